"""The files that ariagent ships for Asterisk and systemd, in a checkout and in an installed package alike.

Their source is the checkout's top level: ``asterisk/``, ``dialplan/`` and ``packaging/``. In the package they are here.
A word between at signs (``@ARI_PASSWORD@``) is filled in by ``ariagent install``.
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable

FOLDERS = ("asterisk", "dialplan", "packaging")
_WORD = re.compile(r"@([A-Z_]+)@")


def names() -> list[str]:
    """Every shipped file, as ``folder/file``, sorted."""
    return sorted(
        f"{folder}/{entry.name}" for folder in FOLDERS for entry in (_root() / folder).iterdir() if entry.is_file()
    )


def text(name: str) -> str:
    """The content of a file of ``names()``. Raises KeyError for another name."""
    if name not in names():
        raise KeyError(name)
    return (_root() / name).read_text(encoding="utf-8")


def filled(name: str, words: Mapping[str, str]) -> str:
    """The content of a file with ``words`` in the places of its ``@WORDS@``. Raises KeyError where one is missing."""
    return _WORD.sub(lambda found: words[found[1]], text(name))


def _root() -> Traversable:
    return files(__name__)
