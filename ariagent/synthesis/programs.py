"""Where the programs that speak are: on the machine, or unpacked in a folder of this user's.

Nothing is fetched but by ``fetched``, which a command calls where it was told to (``--fetch``).
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from ariagent.errors import ConfigurationError, why
from ariagent.synthesis.unpacked import STAMP, folder_of, tool_argv

PACKAGES = {"flite": "flite", "espeak-ng": "espeak-ng"}
"""Tool -> the package that holds it, in most distributions."""
LAB = "ARIAGENT_LAB"
"""Environment variable: the lab's folder. Programs are unpacked there instead of in the user's cache."""
_MANAGERS = {"apt-get": "apt-get install", "dnf": "dnf install", "zypper": "zypper install", "apk": "apk add"}

Finder = Callable[[str], list[str]]
"""The argv prefix that runs a tool of ``PACKAGES``. Raises ConfigurationError where it is not to be had."""


def cache_dir() -> Path:
    """Where this user's programs keep what can be made again (XDG Base Directory Specification)."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    # The specification: a relative path is to be ignored.
    base = Path(named) if named.startswith("/") else Path("~/.cache").expanduser()
    return base / "ariagent"


def installed(tool: str) -> list[str]:
    """The machine's own tool, else what the lab or an earlier ``fetched`` unpacked. A ``Finder``."""
    if own := shutil.which(tool):
        return [own]
    root = folder_of(PACKAGES[tool], _folder())
    if _is_there(root):
        return tool_argv(tool, root)
    raise ConfigurationError(f"{tool}, which speaks sentences, is not on this machine", remedy=_remedy(tool))


def fetched(tool: str) -> list[str]:
    """Return the programs like ``installed``, but fetch missing ones into this user's cache, with progress on standard
    error."""
    try:
        return installed(tool)
    except ConfigurationError:
        from ariagent.synthesis import debian  # not loaded unless it is wanted

        try:
            return tool_argv(tool, debian.ensure_package(PACKAGES[tool], _folder(), _progress))
        except OSError as error:
            remedy = "Set XDG_CACHE_HOME to a folder that you may write to"
            raise ConfigurationError(f"{tool} cannot be kept in {_folder()}: {why(error)}", remedy=remedy) from None


def _folder() -> Path:
    lab = os.environ.get(LAB)
    return Path(lab).absolute() if lab else cache_dir()


def _is_there(root: Path) -> bool:
    """Whether a package is unpacked in ``root``, by this user or root: a program of somebody else's is not run."""
    try:
        return {(root / STAMP).stat().st_uid, root.parent.stat().st_uid} <= {0, os.geteuid()}
    except OSError:
        return False


def _remedy(tool: str) -> str:
    manager = next((command for name, command in _MANAGERS.items() if shutil.which(name)), "")
    install = f"Install it ({manager} {PACKAGES[tool]})" if manager else "Install it"
    fetch = f", or give --fetch to have it unpacked into {cache_dir()}" if shutil.which("apt-get") else ""
    return f"{install}{fetch}, or give recordings (play: FILE.wav) in place of sentences (say)"


def _progress(line: str) -> None:
    sys.stderr.write(f"ariagent: {line}\n")
    sys.stderr.flush()
