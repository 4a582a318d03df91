"""YAML files read strictly: every mistake is told with file, line and key.

``read`` gives the tree and where each key stands; a pydantic model then judges the tree, and ``explain`` puts its
complaints beside the lines they are about.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ariagent.errors import ConfigurationError

KeyPath = tuple[str | int, ...]
"""The way to a value: keys of mappings, indices of lists."""


def read(source: Path, *, remedy: str = "") -> tuple[dict[str, Any], dict[KeyPath, str]]:
    """The file's tree, and for each key path where it stands (``file:line``).

    Raises ConfigurationError; ``remedy`` is what to do when there is no such file.
    """
    try:
        text = source.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(f"{source}: there is no such file", remedy=remedy) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{source}: cannot be read: {error}") from None
    return parse(source, text)


def parse(source: Path, text: str) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    """The same for a text that was read from ``source``. A key that stands twice is an error; no text is no keys."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        tree = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{source}:{line}: not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or number that is none
        raise ConfigurationError(f"{source}: not valid YAML: {error}") from None
    except RecursionError:
        raise ConfigurationError(f"{source}: nested too deeply") from None
    lines: dict[KeyPath, str] = {(): f"{source}:1"}
    try:
        if node is not None:
            _mark(source, node, (), lines)
    except RecursionError:
        raise ConfigurationError(f"{source}: nested too deeply") from None
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise ConfigurationError(f"{source}:1: the file must hold sections (key: value), not a {type(tree).__name__}")
    return tree, lines


def dotted(path: KeyPath) -> str:
    """A key path as people write it: ``agents.default.voice``, ``steps[2].say``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def explain(
    source: str, lines: Mapping[KeyPath, str], error: ValidationError, hint: Callable[[KeyPath], str] = lambda path: ""
) -> Iterator[str]:
    """``file:line: key: what is wrong`` for each of a model's complaints.

    What stands for no key of the file (pydantic names the branches of a union) is left out of the key. ``hint`` is
    asked for words to put behind "unknown key".
    """
    for problem in error.errors(include_url=False, include_input=False):
        path = _known(problem["loc"], lines, problem["type"])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = f"unknown key{hint(path)}"
        yield f"{place(source, lines, path)}: {dotted(path) or 'file'}: {message}"


def place(source: str, lines: Mapping[KeyPath, str], path: KeyPath) -> str:
    """``file:line`` of a key; of the nearest one above it where it is not written in the file."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, source)


def _known(location: KeyPath, lines: Mapping[KeyPath, str], kind: str) -> KeyPath:
    """The location without parts that are no keys; the name of a missing key stays, as the last part."""
    path: KeyPath = ()
    for at, part in enumerate(location):
        if (*path, part) not in lines and (*path, str(part)) in lines:
            part = str(part)  # a number as a key
        if (*path, part) in lines or (at == len(location) - 1 and kind == "missing"):
            path = (*path, part)
    return path


def _mark(source: Path, node: yaml.Node, path: KeyPath, lines: dict[KeyPath, str]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            where = f"{source}:{key.start_mark.line + 1}"
            if here in lines:
                raise ConfigurationError(f"{where}: {dotted(here)}: this key stands here a second time")
            lines[here] = where
            _mark(source, value, here, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*path, index)] = f"{source}:{value.start_mark.line + 1}"
            _mark(source, value, (*path, index), lines)
