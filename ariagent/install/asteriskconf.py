"""CORE: Asterisk's configuration files as Asterisk reads them: sections, values, includes.

Source: main/config.c of Asterisk. ``[name](template)`` begins with the template's values, ``[name](+)`` adds to a
section that is there. ``;`` begins a comment unless it is ``\\;``. ``;--`` and ``--;`` enclose a comment of several
lines. ``#exec`` is not run.

Asterisk stops reading a file at a line that it refuses. If that is an included file, it keeps the lines before, and
continues with the file that includes it. If it is the document itself, Asterisk does not use it at all. Asterisk passes
over other lines that it does not understand.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

DEEPEST_INCLUDE = 10
"""Asterisk's own limit (MAX_INCLUDE_LEVEL)."""
LONGEST_LINE = 8190
"""The longest line in bytes. Asterisk ignores longer ones."""

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
    problem: str = ""
    """Why Asterisk does not use the document at all, as ``file:line: what``."""
    cut_off: list[str] = field(default_factory=list)
    """Where and why Asterisk stops reading an included file, in the same form."""
    borrowed: list[str] = field(default_factory=list)
    """Sections that need one that is defined elsewhere, in the same form."""
    runs: list[str] = field(default_factory=list)
    """Commands of ``#exec``. They are not run, so their output is unknown."""

    def titled(self, name: str) -> list[Section]:
        """The sections of this name that are not templates."""
        return [
            section for section in self.sections if section.name.lower() == name.lower() and not section.is_template
        ]

    def has(self, name: str) -> bool:
        """Whether there is a section of this name, to which ``[name](+)`` can add."""
        return bool(self.titled(name))

    def values(self, section: str, key: str) -> list[Value]:
        """Every value of ``key`` in the first section of this name, in order."""
        found = self.titled(section)
        return [value for value in found[0].values if value.key.lower() == key.lower()] if found else []

    def value(self, section: str, key: str, default: str = "") -> str:
        """The last value of ``key``, the one that Asterisk uses in ``[general]`` sections."""
        found = self.values(section, key)
        return found[-1].value if found else default


def is_true(value: str) -> bool:
    """Whether Asterisk reads a text as a yes (main/utils.c, ast_true)."""
    return value.strip().lower() in ("yes", "true", "y", "t", "1", "on")


def parse(name: str, read: ReadFile, expand: ListFiles, *, elsewhere: str = "") -> Document | None:
    """Read the file ``name`` and what it includes; None if there is no such file.

    ``elsewhere``: the beginning of names of sections that files define which ``read`` does not return.
    """
    text = read(name)
    if text is None:
        return None
    document = Document()
    try:
        _Reader(document, read, expand, elsewhere).file(name, text, 0)
    except _RefusedError as refused:
        document.problem = str(refused)
    return document


def left_open(content: bytes) -> int | None:
    """Where (byte) the line begins from which on everything to the end of the file is a comment; None where nothing is.

    That is a ``;--`` without its ``--;``, or a ``--;`` too many.
    """
    depth, at, found = 0, 0, None
    for line in content.split(b"\n"):
        _, after = _uncommented(line.decode("latin-1"), depth)
        if after and not depth:
            found = at
        depth, at = after, at + len(line) + 1
    return found if depth else None


class _RefusedError(Exception):
    """A line at which Asterisk stops reading; the text is ``file:line: what``."""


_HEAD = re.compile(r"\[([^\]]*)\](?:\(([^)]*)(\))?)?")
_DIRECTIVE = re.compile(r"#(\S*)\s*(.*)$", re.DOTALL)


class _Reader:
    def __init__(self, document: Document, read: ReadFile, expand: ListFiles, elsewhere: str) -> None:
        self._document = document
        self._read = read
        self._expand = expand
        self._elsewhere = elsewhere
        self._latest: Section | None = None

    def file(self, name: str, text: str, depth: int) -> None:
        """An included file begins in the section that was the latest, and the file that includes it continues in the
        one that it was in itself."""
        self._document.includes.append(name)
        section = self._latest
        for number, line in _lines(text):
            place = f"{name}:{number}"
            if line.startswith("["):
                section = self._latest = self._head(line, name, number)
            elif line.startswith("#"):
                self._directive(line, place, depth)
            elif section is None:
                self._refuse(f"{place}: a value outside of any section")
            else:
                self._assign(section, line, name, number)

    def _assign(self, section: Section, line: str, name: str, number: int) -> None:
        key, sign, value = line.partition("=")
        key, value = key.strip(), value.removeprefix(">").strip()
        if key.endswith("+"):
            key = key[:-1].strip()
            for at, earlier in reversed(list(enumerate(section.values))):
                if earlier.key == key:
                    section.values[at] = Value(key, earlier.value + value, name, number)
                    return
        if sign and key:
            section.values.append(Value(key, value, name, number))

    def _head(self, line: str, name: str, number: int) -> Section:
        place = f"{name}:{number}"
        found = _HEAD.match(line)
        if found is None or (found[2] is not None and not found[3]):
            raise _RefusedError(f"{place}: a bracket is not closed: {line[:60]}")
        title, options = found[1], [option for option in (found[2] or "").split(",") if option]
        sections = self._document.sections
        section, is_new = Section(title, name, number, is_template="!" in options), True
        for option in options:
            if option.startswith("+"):
                known = next(iter(self._document.titled(title)), None)
                if known is None and self._is_elsewhere(title):
                    self._document.borrowed.append(f"{place}: [{title}](+)")
                    is_new = False
                    continue
                if known is None:
                    self._refuse(f"{place}: [{title}](+) adds to a section that does not exist")
                    continue
                known.is_template = known.is_template or section.is_template
                known.values += section.values
                section, is_new = known, False
            elif option != "!":
                base = next((each for each in sections if each.name.lower() == option.lower()), None)
                if base is None and self._is_elsewhere(option):
                    self._document.borrowed.append(f"{place}: [{title}] inherits from {option}")
                    continue
                if base is None:
                    self._refuse(f"{place}: [{title}] inherits from {option}, which does not exist")
                    continue
                section.values += base.values
        if is_new:
            sections.append(section)
        return section

    def _is_elsewhere(self, name: str) -> bool:
        return bool(self._elsewhere) and name.lower().startswith(self._elsewhere)

    def _refuse(self, what: str) -> None:
        """A section is missing, unless a command has printed it."""
        if not self._document.runs:
            raise _RefusedError(what)

    def _directive(self, line: str, place: str, depth: int) -> None:
        found = _DIRECTIVE.match(line)
        assert found is not None
        kind, target = found[1].lower(), _unquoted(found[2].strip())
        if kind == "exec" and target:
            self._document.runs.append(target)
        if kind not in ("include", "tryinclude") or not target:
            return  # Asterisk passes over it
        must = kind == "include"
        if depth + 1 >= DEEPEST_INCLUDE:
            if must:
                raise _RefusedError(f"{place}: includes are nested too deeply")
            return
        self._document.named_files.append(target)
        targets = self._expand(target) if any(sign in target for sign in "*?[{") else [target]
        texts = [(each, self._read(each)) for each in targets]
        if must and not any(text is not None for _, text in texts):
            raise _RefusedError(f"{place}: includes {target}, which does not exist")
        for each, text in texts:
            if text is not None:
                try:
                    self.file(each, text, depth + 1)
                except _RefusedError as refused:
                    self._document.cut_off.append(str(refused))
                    break  # neither does Asterisk read the other files of a pattern


def _unquoted(target: str) -> str:
    closing = {'"': '"', "<": ">"}.get(target[:1])
    return target[1:-1] if closing and target.endswith(closing) and len(target) > 1 else target


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """(number, content) of every line that has content besides comments."""
    depth = 0
    # Not splitlines(): only this sign ends a line for Asterisk.
    for number, line in enumerate(text.split("\n"), 1):
        if len(line.encode()) > LONGEST_LINE:
            continue
        content, depth = _uncommented(line, depth)
        if content := content.strip(_BLANKS):
            yield number, content


_BLANKS = "".join(chr(code) for code in range(1, 33))


def _uncommented(line: str, depth: int) -> tuple[str, int]:
    """(the line without comments, the number of comments open at its end). As in Asterisk, a ``--;`` too many makes
    that number negative, and everything after it is a comment too."""
    line = line.partition("\0")[0]
    begin = None if depth else 0
    at = 0
    while (found := line.find(";", at)) >= 0:
        if found > at and line[found - 1] == "\\":
            line, at = line[: found - 1] + line[found:], found
        elif line.startswith(";--", found) and not line.startswith(";---", found):
            line, at, depth = f"{line[:found]}\0{line[found + 1 :]}", found + 3, depth + 1
        elif found >= at + 2 and line[found - 2 : found] == "--":
            at, depth = found + 1, depth - 1
            if depth == 0 and begin is None:
                begin = at
            elif depth == 0:
                kept = line[: line.index("\0", begin)]
                line, at = kept + line[at:], len(kept)
        elif depth == 0:
            line = line[:found]
            break
        else:
            at = found + 1
    return ("" if begin is None else line[begin:].partition("\0")[0]), depth
