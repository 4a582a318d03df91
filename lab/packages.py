"""Programs for the lab, without root: the machine's own where they will do, else unpacked distribution packages.

An Asterisk with a sound AudioSocket is only in Debian's suite ``forky`` and later. Where the machine has none, it is
fetched into ``.lab/packages/<package>/`` (``synthesis.debian``). Nothing outside the lab's folder is written.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ariagent.errors import AriagentError, ConfigurationError
from ariagent.release import Release
from ariagent.synthesis import debian, programs
from ariagent.synthesis.debian import Progress
from ariagent.synthesis.unpacked import first, loader, tool_argv
from ariagent.turns import modelfile
from lab.processes import CHECKOUT

MINIMUM_VERSIONS = {20: 20, 22: 10, 23: 4}
"""Lowest minor release per branch whose AudioSocket has none of the known defects; 21 never got the fixes."""

PACKAGES = {**programs.PACKAGES, "sipp": "sip-tester", "promtool": "prometheus", "systemd-analyze": "systemd"}
"""Tool -> the Debian package that holds it."""

_REMEDY = f"Install Asterisk 20.20, 22.10, 23.4 or newer, or run on Debian, whose suite {debian.SUITE} has it"


@dataclass(frozen=True, slots=True)
class AsteriskProgram:
    """An Asterisk that can be started: ``command`` is the argv prefix up to and including the program."""

    command: tuple[str, ...]
    version: str
    modules_dir: Path
    data_dir: Path
    """Holds ``documentation/`` and ``rest-api/``, which Asterisk needs at start, and ``sounds/``."""


def stderr_progress(line: str) -> None:
    """The default progress: one line on standard error."""
    sys.stderr.write(f"lab: {line}\n")
    sys.stderr.flush()


def default_lab_dir() -> Path:
    """``ARIAGENT_LAB``, else ``.lab`` of the checkout this module is in.

    Programs are run from there: never from a folder that the current directory happens to have.
    """
    if named := os.environ.get("ARIAGENT_LAB"):
        return Path(named).resolve()
    return CHECKOUT / ".lab"


def version_suffices(banner: str) -> bool:
    """Whether the release that ``asterisk -V`` reports has the AudioSocket fixes that the service relies on."""
    release = Release.parse(banner)
    if release is None or release.minor is None or release.certified:
        return False
    least = MINIMUM_VERSIONS.get(release.major)
    return release.major > max(MINIMUM_VERSIONS) or (least is not None and release.minor >= least)


def ensure_asterisk(lab_dir: Path, progress: Progress = stderr_progress) -> AsteriskProgram:
    """The machine's own Asterisk when it is recent enough, else the one in ``lab_dir``, fetched when it is missing.

    Raises ConfigurationError when neither is to be had.
    """
    if (own := _machine_asterisk(progress)) is not None:
        return own
    root = ensure_package("asterisk", lab_dir, progress)
    command = (*loader(root), str(root / "usr/sbin/asterisk"))
    modules = first(root, "usr/lib/*/asterisk/modules", "usr/lib/asterisk/modules")
    banner = subprocess.run([*command, "-V"], capture_output=True, text=True, check=False).stdout
    if not version_suffices(banner):
        raise ConfigurationError(f"the unpacked Asterisk does not run or is too old: {banner!r}", remedy=_REMEDY)
    return AsteriskProgram(command, banner.split()[1], modules, root / "usr/share/asterisk")


def ensure_tool(tool: str, lab_dir: Path, progress: Progress = stderr_progress) -> list[str]:
    """The argv prefix that runs a tool of ``PACKAGES``: the machine's own, else fetched into ``lab_dir``."""
    if own := shutil.which(tool):
        return [own]
    return tool_argv(tool, ensure_package(PACKAGES[tool], lab_dir, progress))


def ensure_package(package: str, lab_dir: Path, progress: Progress = stderr_progress) -> Path:
    """The folder with ``package`` and its dependencies unpacked; fetches it once. Safe to call from two processes."""
    try:
        return debian.ensure_package(package, lab_dir, progress)
    except ConfigurationError as error:
        if package != "asterisk":
            raise
        raise ConfigurationError(str(error), remedy=_REMEDY) from None


def ensure_judge(
    lab_dir: Path,
    progress: Progress = stderr_progress,
    *,
    without: str = "So the tests of the end-of-turn judge are skipped",
) -> bool:
    """Fetch the model of the end-of-turn judge into ``lab_dir``. Returns whether it is there: it needs pip's index.

    ``without``: a sentence for ``progress`` about the consequence, if it is not there.
    """
    try:
        modelfile.fetch(modelfile.in_lab(lab_dir), progress, wheel=True)
    except AriagentError as error:
        progress(f"{error.line}. {without}")
        return False
    return True


def _machine_asterisk(progress: Progress) -> AsteriskProgram | None:
    own = shutil.which("asterisk") or shutil.which("asterisk", path="/usr/sbin:/usr/local/sbin")
    if own is None:
        return None
    banner = subprocess.run([own, "-V"], capture_output=True, text=True, check=False).stdout.strip()
    if not version_suffices(banner):
        progress(f"the machine's own {banner or own} is too old for AudioSocket (needs 20.20, 22.10 or 23.4)")
        return None
    system = Path("/")
    modules = [
        path
        for pattern in ("usr/lib/*/asterisk/modules", "usr/lib*/asterisk/modules", "usr/local/lib*/asterisk/modules")
        for path in system.glob(pattern)
        if (path / "chan_audiosocket.so").exists()
    ]
    data = [path for path in map(Path, ("/usr/share/asterisk", "/var/lib/asterisk")) if (path / "rest-api").is_dir()]
    if not modules or not data:
        progress(f"the machine's own {banner} lacks chan_audiosocket or its ARI description")
        return None
    return AsteriskProgram((own,), banner.split()[1], modules[0], data[0])
