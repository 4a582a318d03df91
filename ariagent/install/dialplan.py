"""CORE: what a site's dialplan does with a number, according to ``extensions.conf``."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ariagent.install.asteriskconf import Document


@dataclass(frozen=True, slots=True)
class Found:
    """An extension that matches a number."""

    context: str
    extension: str
    """The number itself, or a pattern that begins with ``_``."""
    file: str
    line: int


def answers_to(document: Document, context: str, number: str) -> Iterator[Found]:
    """The extensions that match ``number`` in ``context``: its own first, then those of its includes, in order."""
    yield from _answers(document, context, number, set())


def _answers(document: Document, context: str, number: str, seen: set[str]) -> Iterator[Found]:
    if context in seen:
        return
    seen.add(context)
    included = []
    taken: dict[str, Found] = {}
    for section in document.titled(context):
        for value in section.values:
            if value.key.lower() == "include":
                included.append(value.value.split(",")[0].strip())
            elif value.key.lower() == "exten":
                extension = value.value.split(",")[0].partition("/")[0].strip()
                if takes(extension, number):
                    taken.setdefault(extension, Found(context, extension, value.file, value.line))
    # Asterisk prefers the number itself to a pattern.
    yield from sorted(taken.values(), key=lambda found: found.extension.startswith("_"))
    for name in included:
        yield from _answers(document, name, number, seen)


def takes(extension: str, number: str) -> bool:
    """Whether an extension of the dialplan, or its pattern, matches this number."""
    if not extension.startswith("_"):
        # Hyphens are not part of an extension.
        return extension.replace("-", "") == number.replace("-", "")
    return re.fullmatch(_expression(extension[1:]), number, re.IGNORECASE) is not None


def _expression(pattern: str) -> str:
    parts, at = [], 0
    signs = {"X": "[0-9]", "Z": "[1-9]", "N": "[2-9]", ".": ".+", "!": ".*", "-": "", " ": ""}
    while at < len(pattern):
        sign = pattern[at]
        if sign == "[" and (end := pattern.find("]", at)) > 0:
            inside = re.sub(r"([\\^\[])", r"\\\1", pattern[at + 1 : end])
            parts.append(f"[{inside}]" if inside else "")
            at = end
        else:
            parts.append(signs.get(sign.upper(), re.escape(sign)))
        at += 1
    return "".join(parts)
