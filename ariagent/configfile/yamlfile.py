"""YAML files read strictly: every mistake is told with file, line and key.

``read`` gives the tree and where each key stands; a pydantic model then judges the tree, and ``explain`` puts its
complaints beside the lines they are about.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ariagent import complaints
from ariagent.complaints import KeyPath
from ariagent.configfile.yamlmistakes import mistake
from ariagent.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Block:
    """A text of several lines, written below ``|`` or ``>``."""

    path: KeyPath
    first_line: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was read."""

    tree: dict[str, Any]
    lines: dict[KeyPath, str] = field(default_factory=dict)
    """The place of each key: ``file:line``."""
    empty: frozenset[KeyPath] = frozenset()
    """Keys with nothing behind them; one with ``null`` behind it has a value."""
    blocks: tuple[Block, ...] = ()


def read(source: Path, *, remedy: str = "") -> tuple[dict[str, Any], dict[KeyPath, str]]:
    """The file's tree, and for each key path where it stands (``file:line``).

    Raises ConfigurationError; ``remedy`` is what to do when there is no such file.
    """
    document = load(source, remedy=remedy)
    return document.tree, document.lines


def parse(source: Path, text: str) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    """Parse a text that was read from ``source``. A key that stands twice is an error; no text is no keys."""
    document = _document(source, text)
    return document.tree, document.lines


def load(source: Path, *, remedy: str = "") -> Document:
    """The file as a Document. Raises as ``read``."""
    try:
        data = source.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(f"{source}: there is no such file", remedy=remedy) from None
    except OSError as error:
        raise ConfigurationError(f"{source}: cannot be read: {error.strerror or error}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigurationError(
            f"{source}:{line}: this line is not UTF-8", remedy="Save the file as UTF-8 in your editor"
        ) from None
    return _document(source, text)


def _document(source: Path, text: str) -> Document:
    node: yaml.Node | None = None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        line, wrong = mistake(text, error)
        raise ConfigurationError(f"{source}:{line}: {wrong}") from None
    except (ValueError, OverflowError):
        if node is None:  # the parser makes a character of \\U and a number, whatever that is
            line, wrong = text[: text.find("\\U")].count("\n") + 1, "this line has a \\U that is not a character"
        else:
            line, wrong = _valueless(node), "this line has a date or a number that is none; put it in quotes"
        raise ConfigurationError(f"{source}:{line}: {wrong}") from None
    except RecursionError:
        raise ConfigurationError(f"{source}: nested too deeply") from None
    marks = _Marks(source, text.splitlines())
    try:
        if node is not None:
            marks.take(node, ())
    except RecursionError:
        raise ConfigurationError(f"{source}: nested too deeply") from None
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        what = "a list" if isinstance(tree, list) else "a text" if isinstance(tree, str) else "a single value"
        raise ConfigurationError(f"{source}:1: the file must hold sections (key: value), not {what}")
    return Document(tree, marks.lines, frozenset(marks.empty), tuple(marks.blocks))


def _valueless(node: yaml.Node) -> int:
    """The line of the first scalar that looks like a date or a number and is none."""
    loader = yaml.SafeLoader("")
    waiting = [node]
    while waiting:
        here = waiting.pop(0)
        if isinstance(here, yaml.MappingNode):
            waiting[:0] = [part for pair in here.value for part in pair]
        elif isinstance(here, yaml.SequenceNode):
            waiting[:0] = here.value
        else:
            try:
                loader.construct_object(here)
            except (ValueError, OverflowError):
                return int(here.start_mark.line) + 1
    return 1


def dotted(path: KeyPath) -> str:
    """A key path in the usual notation: ``agents.default.voice``, ``steps[2].say``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def explain(
    source: str,
    lines: Mapping[KeyPath, str],
    error: ValidationError,
    hint: Callable[[KeyPath], str] = lambda path: "",
    empty: Collection[KeyPath] = (),
) -> Iterator[str]:
    """``file:line: key: what is wrong`` for each of a model's complaints.

    Parts that are no key of the file (pydantic names the branches of a union) are left out. ``hint`` is
    asked for words to put behind "unknown key". ``empty``: places of sections with nothing in them; all that is missing
    there is one complaint about the section.
    """
    problems = [(_known(problem, lines), problem) for problem in error.errors(include_url=False)]
    problems = [(path, problem) for path, problem in problems if problem["type"] not in complaints.UNSAID]
    said: dict[tuple[KeyPath, bool], list[str]] = {}
    for section in empty:
        if keys := [path[-1] for path, problem in problems if problem["type"] == "missing" and path[:-1] == section]:
            said[section, False] = [f"this section is empty; it needs {' and '.join(map(str, keys))}"]
            problems = [(path, problem) for path, problem in problems if path[:-1] != section]
    for path, problem in problems:
        # If a value may be of several kinds, an error inside it says more than a list of the other kinds.
        inside = any(len(other) > len(path) and other[: len(path)] == path for other, _ in problems)
        if not (inside and complaints.is_of_kind(problem)):
            message = complaints.sentence(problem)
            of_the_key = problem["loc"][-1:] == ("[key]",)
            said.setdefault((path, of_the_key), []).append(
                message + hint(path) if problem["type"] == "extra_forbidden" else message
            )
    for (path, of_the_key), sentences in said.items():
        begins = "the key " if of_the_key and sentences[0].startswith("must ") else ""
        yield f"{place(source, lines, path)}: {dotted(path) or 'file'}: {begins}{complaints.together(sentences)}"


def place(source: str, lines: Mapping[KeyPath, str], path: KeyPath) -> str:
    """``file:line`` of a key; of the nearest one above it where it is not written in the file."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, source)


def _known(problem: ErrorDetails, lines: Mapping[KeyPath, str]) -> KeyPath:
    """The location without parts that are no keys; the name of a missing key stays, as the last part."""
    path: KeyPath = ()
    location = problem["loc"]
    for at, part in enumerate(location):
        if (*path, part) not in lines and (*path, str(part)) in lines:
            part = str(part)  # a number as a key
        if (*path, part) in lines or (at == len(location) - 1 and problem["type"] == "missing"):
            path = (*path, part)
    return path


class _Marks:
    """Collects what a tree does not tell: lines, keys with nothing behind them, texts of several lines."""

    def __init__(self, source: Path, text: list[str]) -> None:
        self._source = source
        self._text = text
        self.lines: dict[KeyPath, str] = {(): f"{source}:1"}
        self.empty: set[KeyPath] = set()
        self.blocks: list[Block] = []

    def take(self, node: yaml.Node, path: KeyPath) -> None:
        """Go through ``node``, which stands at ``path``. Raises ConfigurationError for a key that stands twice."""
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = (*path, str(key.value))
                where = f"{self._source}:{key.start_mark.line + 1}"
                if here in self.lines:
                    raise ConfigurationError(f"{where}: {dotted(here)}: this key is given twice")
                self.lines[here] = where
                self.take(value, here)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self.lines[(*path, index)] = f"{self._source}:{value.start_mark.line + 1}"
                self.take(value, (*path, index))
        elif not isinstance(node, yaml.ScalarNode):
            return
        elif node.style in ("|", ">"):
            first, end = node.start_mark.line + 1, node.end_mark.line
            self.blocks.append(Block(path, first + 1, tuple(self._text[first:end])))
        elif path and node.value == "" and node.style is None:
            self.empty.add(path)
