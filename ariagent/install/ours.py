"""CORE: the lines that ariagent adds to a site's files, and how to find them again."""

import re
from collections.abc import Iterable
from pathlib import Path

from ariagent.install.asteriskconf import left_open

FOLDER = "ariagent"
"""ariagent's folder in Asterisk's configuration folder."""
STATE = Path("var/lib/ariagent/install")
"""Below the root of the file system: the list of installed files, and backups of the files before. Root acts on the
list, so nobody else may be able to replace the folder. Its parent folder belongs to root too; the service's user has a
separate folder beside it (``state``)."""
FIRST = b"; Added by `ariagent install`; `ariagent uninstall` takes out the lines from here to the #tryinclude."
_INCLUDE = re.compile(rb';*\s*#tryinclude\s+"?' + FOLDER.encode() + b"/")
"""An include of ariagent's. An administrator may have made it a comment."""
_BEFORE = re.compile(rb"\[general\]|(?:enabled|bindaddr|bindport|port) = \S+")
"""The lines that the survey puts before an include."""


def include_of(name: str) -> str:
    """The line that includes ariagent's file of this name."""
    return f'#tryinclude "{FOLDER}/{name}"'


def added_to(content: bytes, name: str, before: Iterable[str] = ()) -> bytes:
    """A site's file with our lines at its end. ``before``: what stands before the include.

    A comment that is not closed takes in everything to the end of the file, so our lines stand before it.
    """
    if (at := left_open(content)) is not None:
        return content[:at] + _lines(name, before) + content[at:]
    if content and not content.endswith(b"\n"):
        content += b"\n"  # otherwise ariagent's first line would continue the site's last line, maybe a comment
    return content + _lines(name, before)


def has_lines(content: bytes, name: str, before: Iterable[str] = ()) -> bool:
    """Whether a file has the lines that ``added_to`` adds, anywhere in it."""
    return _lines(name, before) in content and content.count(FIRST) == 1


def _lines(name: str, before: Iterable[str]) -> bytes:
    lines = [FIRST, *(line.encode() for line in before), include_of(name).encode()]
    return b"".join(line + b"\n" for line in lines)


def taken_out(content: bytes) -> bytes:
    """A site's file without ariagent's lines, anywhere in it.

    Between the comment and the include may be lines of the site's. They stay, with the ``[general]`` that they are in.
    Without the include only the comment goes.
    """
    lines = content.splitlines(keepends=True)
    bare = [line.strip() for line in lines]
    kept: list[bytes] = []
    at = 0
    for begin in (n for n, line in enumerate(bare) if line == FIRST):
        kept += lines[at:begin]
        at = begin + 1
        end = next((n for n in range(at, len(bare)) if bare[n] == FIRST or _INCLUDE.match(bare[n])), None)
        if end is None or bare[end] == FIRST:
            continue
        if not all(_BEFORE.fullmatch(line) for line in bare[at:end]):
            kept += lines[at:end]
        at = end + 1
    return b"".join(kept + lines[at:])


def is_of_site(path: Path) -> bool:
    """Whether a file that an installation has written to is the site's, not one of ariagent's own."""
    return path.suffix == ".conf" and path.parent.name != FOLDER


def has_ours(content: bytes) -> bool:
    """Whether ariagent's lines are in the file."""
    return any(line.strip() == FIRST for line in content.splitlines())
