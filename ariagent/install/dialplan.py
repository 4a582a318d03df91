"""CORE: what a site's dialplan does with a number, according to ``extensions.conf``."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ariagent.install.asteriskconf import Document, Section


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
    for section in _contexts(document, context):
        for value in section.values:
            if value.key.lower() == "include":
                included.append(value.value.split(",")[0].strip())
            elif value.key.lower() == "exten":
                extension = _filled(document, value.value.split(",")[0].partition("/")[0].strip())
                if takes(extension, number):
                    taken.setdefault(extension, Found(context, extension, value.file, value.line))
    # Asterisk prefers the number itself to a pattern.
    yield from sorted(taken.values(), key=lambda found: found.extension.startswith("_"))
    for name in included:
        yield from _answers(document, name, number, seen)


def _filled(document: Document, extension: str) -> str:
    """An extension with the global variables that the dialplan sets."""
    return re.sub(r"\$\{(\w+)\}", lambda name: document.value("globals", name[1]) or name[0], extension)


def switches(document: Document, context: str) -> list[str]:
    """Where else Asterisk looks for an extension of a context: ``switch =>`` of it and of what it includes."""
    found: dict[str, None] = {}
    for section in _reached(document, context, set()):
        found |= {value.value: None for value in section.values if value.key.lower() in _SWITCHES}
    return list(found)


_SWITCHES = ("switch", "lswitch", "eswitch")


def _reached(document: Document, context: str, seen: set[str]) -> Iterator[Section]:
    if context in seen:
        return
    seen.add(context)
    sections = _contexts(document, context)
    yield from sections
    for value in (value for section in sections for value in section.values if value.key.lower() == "include"):
        yield from _reached(document, value.value.split(",")[0].strip(), seen)


def _contexts(document: Document, name: str) -> list[Section]:
    """Contexts of one name are one; letter case counts."""
    return [section for section in document.titled(name) if section.name == name]


def shown(text: str) -> Iterator[tuple[str, str]]:
    """(extension, what it does first) of what Asterisk's console prints for ``dialplan show``."""
    for found in re.finditer(r"^\s+'([^']*)' =>\s+(?:\d+\. )?(.*?)\s+\[[^\]]*\]$", text, re.MULTILINE):
        if not found[2].startswith("hint:"):
            yield found[1], found[2]


def takes(extension: str, number: str) -> bool:
    """Whether an extension of the dialplan, or its pattern, matches this number, for some caller at least."""
    extension = extension.partition("/")[0]  # behind it: for which callers' numbers
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
