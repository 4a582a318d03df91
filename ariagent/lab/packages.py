"""Programs for the lab, without root: the machine's own where they will do, else unpacked distribution packages.

An Asterisk with a sound AudioSocket is only in Debian's suite ``forky`` and later. Where the machine has none, apt
fetches the package and everything it depends on from the mirror, and with the keyring, of the machine's own sources;
``dpkg-deb -x`` unpacks them into ``.lab/packages/<package>/`` and the program runs through the loader found there.
Nothing outside the lab's folder is written.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ariagent.errors import ConfigurationError
from ariagent.lab.sources import AptSource, candidates, render, system_sources
from ariagent.release import Release

SUITE = "forky"
MINIMUM_VERSIONS = {20: 20, 22: 10, 23: 4}
"""Lowest minor release per branch whose AudioSocket has none of the known defects; 21 never got the fixes."""

PACKAGES = {
    "flite": "flite",
    "espeak-ng": "espeak-ng",
    "sipp": "sip-tester",
    "promtool": "prometheus",
    "systemd-analyze": "systemd",
}
"""Tool -> the Debian package that holds it."""

_REMEDY = "install Asterisk 20.20, 22.10, 23.4 or newer, or run on Debian, whose suite forky has it"
_UPDATE_LASTS_S = 600.0

Progress = Callable[[str], None]
Make = Callable[[Sequence[Path], Path], None]
"""(archives, folder): makes something of archives in an empty folder. Raises ConfigurationError."""


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
    """``ARIAGENT_LAB``, else ``.lab`` of the checkout this module is in, else a folder of the user's cache.

    Programs are run from there: never from a folder that the current directory happens to have.
    """
    if named := os.environ.get("ARIAGENT_LAB"):
        return Path(named).resolve()
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").exists():
        return checkout / ".lab"
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "ariagent"


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
    modules = _first(root, "usr/lib/*/asterisk/modules", "usr/lib/asterisk/modules")
    banner = subprocess.run([*command, "-V"], capture_output=True, text=True, check=False).stdout
    if not version_suffices(banner):
        raise ConfigurationError(f"the unpacked Asterisk does not run or is too old: {banner!r}", remedy=_REMEDY)
    return AsteriskProgram(command, banner.split()[1], modules, root / "usr/share/asterisk")


def ensure_tool(tool: str, lab_dir: Path, progress: Progress = stderr_progress) -> list[str]:
    """The argv prefix that runs a tool of ``PACKAGES``: the machine's own, else fetched into ``lab_dir``."""
    if own := shutil.which(tool):
        return [own]
    root = ensure_package(PACKAGES[tool], lab_dir, progress)
    argv = [*loader(root), str(root / "usr/bin" / tool)]
    if tool == "espeak-ng":  # looks for its voices where the distribution has them
        argv.append(f"--path={_first(root, 'usr/lib/*/espeak-ng-data', 'usr/share/espeak-ng-data').parent}")
    return argv


def ensure_package(package: str, lab_dir: Path, progress: Progress = stderr_progress) -> Path:
    """The folder with ``package`` and its dependencies unpacked; fetches it once. Safe to call from two processes."""
    return ensure_folder(package, [package], lab_dir, unpack, progress)


def ensure_folder(
    name: str,
    packages: Sequence[str],
    lab_dir: Path,
    make: Make,
    progress: Progress = stderr_progress,
    *,
    suite: str = SUITE,
) -> Path:
    """The folder ``name`` that ``make`` makes of the packages of a suite and all that they depend on. It is made once.

    Safe to call from two processes."""
    root = lab_dir / "packages" / name
    stamp = root / ".complete"
    if stamp.exists():
        return root
    lab_dir.mkdir(parents=True, exist_ok=True)
    with _locked(lab_dir / "packages.lock", progress):
        if not stamp.exists():
            _fetch(name, packages, lab_dir, root, make, suite, progress)
    return root


def loader(root: Path) -> tuple[str, ...]:
    """The argv prefix that runs a program of ``root`` with the C library and the libraries of ``root`` only."""
    program = _first(root, "usr/lib64/ld-linux-*.so.*", "usr/lib/ld-linux-*.so.*", "lib*/ld-linux-*.so.*")
    libraries = [*root.glob("usr/lib/*-linux-gnu*"), *root.glob("lib/*-linux-gnu*"), root / "usr/lib"]
    for private in ("pulseaudio", "systemd"):
        libraries += root.glob(f"usr/lib/*-linux-gnu*/{private}")
    return (str(program), "--library-path", ":".join(str(path) for path in libraries if path.is_dir()))


def _first(root: Path, *patterns: str) -> Path:
    for pattern in patterns:
        for path in sorted(root.glob(pattern)):
            return path
    raise ConfigurationError(f"{root} lacks {patterns[0]}", remedy="delete the folder and run the command again")


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


@contextlib.contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another process that is fetching packages")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _fetch(
    name: str, packages: Sequence[str], lab_dir: Path, root: Path, make: Make, suite: str, progress: Progress
) -> None:
    for needed in ("apt-get", "dpkg-deb"):
        if shutil.which(needed) is None:
            raise ConfigurationError(f"{name} is missing and there is no {needed} to fetch it with", remedy=_REMEDY)
    apt = lab_dir / ("apt" if suite == SUITE else f"apt-{suite}")
    archives = _download(packages, suite, apt, progress)
    progress(f"unpacking {len(archives)} packages")
    partial = root.with_name(root.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(root, ignore_errors=True)
    partial.mkdir(parents=True)
    make(archives, partial)
    (partial / ".complete").write_text(json.dumps([archive.name for archive in archives], indent=1) + "\n")
    partial.rename(root)
    shutil.rmtree(apt / "cache", ignore_errors=True)
    progress(f"{name} is ready in {root}")


def unpack(archives: Sequence[Path], root: Path) -> None:
    """Unpack archives side by side below ``root``."""
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:
        list(pool.map(lambda archive: _unpack(archive, root), archives))


def _unpack(archive: Path, root: Path) -> None:
    done = subprocess.run(["dpkg-deb", "-x", str(archive), str(root)], capture_output=True, text=True, check=False)
    if done.returncode:
        # Damaged, so to be fetched again; a negative status is only our own Ctrl-C.
        if done.returncode > 0:
            archive.unlink(missing_ok=True)
        raise ConfigurationError(
            f"{archive.name} could not be unpacked: {done.stderr.strip()}", remedy="run the command again"
        )


def _download(packages: Sequence[str], suite: str, apt: Path, progress: Progress) -> list[Path]:
    """Bring the packages and their dependencies into the lab's own cache; returns the archives."""
    names = ", ".join(packages)
    found = candidates(system_sources())
    if not found:
        raise ConfigurationError(
            "the machine's apt sources name no Debian mirror",
            remedy=f"{_REMEDY}, or add a source for Debian {suite} to /etc/apt/sources.list.d",
        )
    problem = ""
    for source in found:
        options = _prepare(apt, source, suite)
        for fresh in (False, True):
            if problem := _update(apt, options, suite, progress, fresh=fresh):
                break
            wanted, size = _plan(packages, apt, options)
            if not wanted:
                problem = f"the mirror's suite {suite} has no {names} for {platform.machine()}"
                break
            progress(f"fetching {len(wanted)} packages, {size / 1e6:.0f} MB, for {names}")
            if not (problem := _apt_download(packages, options, progress)):
                return [apt / "cache" / "archives" / name for name in wanted]
    raise ConfigurationError(f"{names} could not be fetched from Debian {suite}: {problem}", remedy=_REMEDY)


def _prepare(apt: Path, source: AptSource, suite: str) -> list[str]:
    """Write the lab's own apt state; returns the options that keep apt inside it."""
    for folder in ("state/lists/partial", "cache/archives/partial", "empty/partial"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    listing = apt / f"{suite}.sources"
    text = render(source, suite)
    if not listing.exists() or listing.read_text() != text:
        (apt / "updated").unlink(missing_ok=True)
        listing.write_text(text)
    settings = {
        "Dir::State": apt / "state",
        "Dir::State::status": apt / "status",
        "Dir::State::extended_states": apt / "state" / "extended_states",
        "Dir::Cache": apt / "cache",
        "Dir::Cache::archives": apt / "cache" / "archives",
        "Dir::Etc::sourcelist": listing,
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::preferences": "-",
        "Dir::Etc::preferencesparts": "-",
        "APT::Install-Recommends": "false",
        "APT::Install-Suggests": "false",
        "APT::Default-Release": "",
        "APT::Keep-Downloaded-Packages": "true",
        "APT::Sandbox::User": "root",
        "Acquire::Retries": "3",
        "Acquire::http::Timeout": "30",
        "Acquire::Languages": "none",
        "Debug::NoLocking": "1",
        "Dpkg::Use-Pty": "0",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _run_apt(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(["apt-get", *words], capture_output=True, text=True, check=False, env=environment)


def _errors(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.startswith("E:")] or stderr.strip().splitlines()[-1:]
    return " / ".join(lines[:2]) or "apt-get failed without a message"


def _update(apt: Path, options: list[str], suite: str, progress: Progress, *, fresh: bool) -> str:
    """Bring the package lists up to date; returns what went wrong, or ""."""
    stamp = apt / "updated"
    if not fresh and stamp.exists() and time.time() - stamp.stat().st_mtime < _UPDATE_LASTS_S:
        return ""
    progress(f"reading the package lists of Debian {suite}")
    # Without Error-Mode an unreachable mirror is only a warning and the exit status is 0.
    done = _run_apt([*options, "-o", "APT::Update::Error-Mode=any", "update"])
    if done.returncode:
        return _errors(done.stderr)
    stamp.touch()
    return ""


def _plan(packages: Sequence[str], apt: Path, options: list[str]) -> tuple[list[str], int]:
    """File names of the packages and all they depend on, and their size in bytes; nothing when one is not there."""
    # apt leaves out what is in its cache already, as after a cut-off run: the plan is made with an empty one.
    empty = ["-o", f"Dir::Cache::archives={apt / 'empty'}"]
    done = _run_apt([*options, *empty, "install", "-y", "--print-uris", *packages])
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("'")]
    return [row[1] for row in rows], sum(int(row[2]) for row in rows)


def _apt_download(packages: Sequence[str], options: list[str], progress: Progress) -> str:
    """Download with a percentage every few seconds; returns what went wrong, or ""."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    words = [*options, "-o", "APT::Status-Fd=1", "-qq", "install", "-y", "--download-only", *packages]
    with subprocess.Popen(
        ["apt-get", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        shown = 0.0
        for line in process.stdout:
            if line.startswith("dlstatus:"):
                percent = float(line.split(":")[2])
                if percent >= shown + 20.0:
                    progress(f"fetched {percent:.0f} %")
                    shown = percent
        stderr = process.stderr.read()
    return _errors(stderr) if process.returncode else ""
