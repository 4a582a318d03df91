"""CORE: Asterisk's configuration files as Asterisk reads them: sections, values, includes.

Source: main/config.c of Asterisk. ``[name](template)`` begins with the template's values, ``[name](+)`` adds to a
section that is there. ``;`` begins a comment unless it is ``\\;``. ``;--`` and ``--;`` enclose a comment of several
lines. ``#exec`` is not run.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

DEEPEST_INCLUDE = 10
"""Asterisk's own limit (MAX_INCLUDE_LEVEL)."""

ReadFile = Callable[[str], str | None]
"""Returns the text of a file, by its path as an include names it; None if there is none."""
ListFiles = Callable[[str], list[str]]
"""Returns the files that a pattern of an include matches."""


@dataclass(frozen=True, slots=True)
class Value:
    """One line ``key = value``."""

    key: str
    value: str
    file: str
    line: int


@dataclass(slots=True)
class Section:
    """One ``[name]``. Its values begin with those of its templates."""

    name: str
    file: str
    line: int
    is_template: bool = False
    values: list[Value] = field(default_factory=list)


@dataclass(slots=True)
class Document:
    """One configuration file and everything it includes."""

    sections: list[Section] = field(default_factory=list)
    includes: list[str] = field(default_factory=list)
    """Every file that was read, in the order of reading, the document itself first."""
    named_files: list[str] = field(default_factory=list)
    """Every file that an include names, whether it exists or not."""
    problems: list[str] = field(default_factory=list)
    """Mistakes that Asterisk would refuse, as ``file:line: what``."""
    runs: list[str] = field(default_factory=list)
    """Commands of ``#exec``. They are not run, so their output is unknown."""

    def titled(self, name: str) -> list[Section]:
        """The sections of this name that are not templates."""
        return [
            section for section in self.sections if section.name.lower() == name.lower() and not section.is_template
        ]

    def has(self, name: str) -> bool:
        """Whether Asterisk knows a section of this name, a template included."""
        return any(section.name == name for section in self.sections)

    def values(self, section: str, key: str) -> list[Value]:
        """Every value of ``key`` in the first section of this name, in order."""
        found = self.titled(section)
        return [value for value in found[0].values if value.key.lower() == key.lower()] if found else []

    def value(self, section: str, key: str, default: str = "") -> str:
        """The last value of ``key``, the one that Asterisk uses in ``[general]`` sections."""
        found = self.values(section, key)
        return found[-1].value if found else default


def is_true(value: str) -> bool:
    """As Asterisk reads a yes (main/utils.c, ast_true)."""
    return value.strip().lower() in ("yes", "true", "y", "t", "1", "on")


def parse(name: str, read: ReadFile, expand: ListFiles) -> Document | None:
    """Read the file ``name`` and what it includes; None if there is no such file."""
    text = read(name)
    if text is None:
        return None
    document = Document()
    _Reader(document, read, expand).file(name, text, 0)
    return document


_HEAD = re.compile(r"\[([^\]]*)\]\s*(?:\(([^)]*)\))?")
_INCLUDE = re.compile(r"#(include|tryinclude|exec)\s+(.*)$", re.IGNORECASE)
_ASSIGN = re.compile(r"([^=]+?)\s*(?:\+=|=>|=)\s*(.*)$")


class _Reader:
    def __init__(self, document: Document, read: ReadFile, expand: ListFiles) -> None:
        self._document = document
        self._read = read
        self._expand = expand
        self._section: Section | None = None

    def file(self, name: str, text: str, depth: int) -> None:
        self._document.includes.append(name)
        for number, line in _lines(text):
            if line.startswith("["):
                self._head(line, name, number)
            elif line.startswith("#"):
                self._directive(line, name, number, depth)
            elif (found := _ASSIGN.match(line)) is None:
                self._problem(name, number, f"not a line key = value: {line[:60]}")
            elif self._section is None:
                self._problem(name, number, "a value before the first section")
            else:
                self._section.values.append(Value(found[1].strip(), found[2].strip(), name, number))

    def _head(self, line: str, name: str, number: int) -> None:
        found = _HEAD.match(line)
        if found is None:
            self._problem(name, number, f"not a section: {line[:60]}")
            return
        title, options = found[1], [option.strip() for option in (found[2] or "").split(",") if option.strip()]
        sections = self._document.sections
        if "+" in options:
            known = next((section for section in sections if section.name == title), None)
            if known is None:
                self._problem(name, number, f"[{title}](+) adds to a section that does not exist")
            self._section = known
            return
        section = Section(title, name, number, is_template="!" in options)
        for option in options:
            if option == "!":
                continue
            base = next((each for each in sections if each.name == option), None)
            if base is None:
                self._problem(name, number, f"[{title}] inherits from {option}, which does not exist")
            else:
                section.values += base.values
        sections.append(section)
        self._section = section

    def _directive(self, line: str, name: str, number: int, depth: int) -> None:
        found = _INCLUDE.match(line)
        if found is None:
            self._problem(name, number, f"unknown directive: {line[:60]}")
            return
        kind, target = found[1].lower(), found[2].strip().strip('"<>').strip()
        if kind == "exec":
            self._document.runs.append(target)
            return
        if depth + 1 >= DEEPEST_INCLUDE:
            self._problem(name, number, "includes are nested too deeply")
            return
        self._document.named_files.append(target)
        targets = self._expand(target) if any(sign in target for sign in "*?[") else [target]
        texts = [(each, self._read(each)) for each in targets]
        if kind == "include" and not any(text is not None for _, text in texts):
            self._problem(name, number, f"includes {target}, which does not exist")
        for each, text in texts:
            if text is not None:
                self.file(each, text, depth + 1)

    def _problem(self, name: str, number: int, what: str) -> None:
        self._document.problems.append(f"{name}:{number}: {what}")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """(number, content) of every line that has content besides comments."""
    nested = 0
    for number, line in enumerate(text.splitlines(), 1):
        kept, at = [], 0
        while at < len(line):
            rest = line[at:]
            if nested:
                end, begin = rest.find("--;"), _comment_start(rest)
                if begin >= 0 and (end < 0 or begin < end):
                    nested, at = nested + 1, at + begin + 3
                elif end >= 0:
                    nested, at = nested - 1, at + end + 3
                else:
                    break
            elif rest.startswith("\\;"):
                kept.append(";")
                at += 2
            elif rest.startswith(";--") and not rest.startswith(";---"):
                nested, at = nested + 1, at + 3
            elif rest[0] == ";":
                break
            else:
                kept.append(rest[0])
                at += 1
        if content := "".join(kept).strip():
            yield number, content


def _comment_start(text: str) -> int:
    found = re.search(r";--(?!-)", text)
    return found.start() if found else -1
