"""CORE: what is wrong with a text that is no YAML, in words for its author, and in which line."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import yaml

Mistake = tuple[int, str]
"""Line, from 1, and what is wrong there. The text itself is not repeated: it may be a secret."""

_SPACE = "a space must follow the colon after a key"


def mistake(text: str, error: yaml.YAMLError) -> Mistake:
    """Explain the mistake in ``text``, which the parser refused with ``error``."""
    if isinstance(error, yaml.reader.ReaderError):
        line = text[: int(error.position)].count("\n") + 1
        return line, f"this line holds the character U+{int(error.character):04X}, which no YAML file may hold"
    said = str(getattr(error, "problem", None) or error)
    mark: yaml.Mark | None = getattr(error, "problem_mark", None)
    began: yaml.Mark | None = getattr(error, "context_mark", None) or mark
    mark = mark or began
    if mark is None or began is None:
        return 1, f"is not YAML: {said}"
    spot = _Spot(text.splitlines(), mark.line + 1, mark.column, began.line + 1, began.column, said)
    for part, explain in _EXPLANATIONS:
        if part in said:
            return explain(spot)
    return min(spot.number, max(1, len(spot.lines))), f"is not YAML: {said}"


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where the parser stopped. Lines from 1, columns from 0."""

    lines: list[str]
    number: int
    column: int
    began: int
    """The line in which what it was reading had begun."""
    began_column: int
    said: str
    """Its own words."""

    @property
    def line(self) -> str:
        return self.at(self.number)

    @property
    def above(self) -> int:
        """The line before this one that has something in it; 0: there is none."""
        return next((at for at in range(self.number - 1, 0, -1) if _filled(self.at(at))), 0)

    @property
    def around(self) -> int:
        """The line before this one that begins further to the left; 0: there is none."""
        places = range(self.number - 1, 0, -1)
        return next((at for at in places if _filled(self.at(at)) and _indent(self.at(at)) < _indent(self.line)), 0)

    def at(self, number: int) -> str:
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""


def _filled(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


_KEY = re.compile(r"\s*(- +)*[^\s#][^#]*?:(\s|$)")
_VALUE = re.compile(r"\s*(- +)*[^\s:]+: *(?P<first>\S)")
_NO_SPACE = re.compile(r"\s*(- +)*[\w-]+:[^\s/]")


def _quotes(character: str) -> str:
    return f"a text that begins with {character} must be in quotes"


def _too_far(spot: _Spot) -> Mistake:
    return spot.number, (
        f"this line is indented further than line {spot.above}, which has its value already. "
        f"Indent it as line {spot.above}, or put the text in quotes if both lines are one text"
    )


def _mapping_not_allowed(spot: _Spot) -> Mistake:
    if _KEY.match(spot.line[: spot.column]):
        return spot.number, "a value that holds a colon and a space must be in quotes"
    above = spot.at(spot.above)
    if _NO_SPACE.match(above) and not _KEY.match(above):
        return spot.above, _SPACE
    if spot.above and not _KEY.match(above):
        return spot.above, "this line is neither a key with a value nor part of a text: a colon and a space are missing"
    if _indent(spot.line) > _indent(above):
        return _too_far(spot)
    return spot.number, "a key is where no key is allowed; compare its indentation with the lines above"


def _cannot_start(spot: _Spot) -> Mistake:
    found = spot.line[spot.column : spot.column + 1]
    if found != "\t":
        return spot.number, _quotes(found)
    if not spot.line[: spot.column].strip():
        return spot.number, "this line is indented with a tab; YAML takes spaces only"
    return spot.number, "this line has a tab before its value; write a space"


def _unfinished(spot: _Spot) -> Mistake:
    return spot.began, "this line begins a text in quotes that is not closed; put the same quote at its end"


def _no_colon(spot: _Spot) -> Mistake:
    if _NO_SPACE.match(spot.at(spot.began)):
        return spot.began, _SPACE
    return spot.began, "this line is neither a key with a value nor part of a text: a colon and a space are missing"


def _out_of_block(spot: _Spot) -> Mistake:
    value = _VALUE.match(spot.line)
    if value is not None and value.end() <= spot.column and value["first"] in "{[":
        return spot.number, _quotes(value["first"])
    if value is not None and value.end() <= spot.column and value["first"] in "\"'":
        return spot.number, "this line has more text behind the closing quote; put all of it in one pair of quotes"
    above = spot.at(spot.above)
    if spot.above and _indent(spot.line) > _indent(above):
        return _too_far(spot)
    if spot.above and _indent(spot.line) < _indent(above) and spot.around:
        return spot.number, (
            f"this line is indented less than line {spot.above} and further than line {spot.around}; "
            "begin it where one of them begins"
        )
    return spot.number, "this line does not belong to the lines above it; compare indentation and dashes"


def _open_bracket(spot: _Spot) -> Mistake:
    return spot.began, f"the {'{' if '}' in spot.said else '['} in this line is not closed"


def _at_the_end(spot: _Spot) -> Mistake:
    for number in range(len(spot.lines), 0, -1):
        for opens, closes in ("[]", "{}"):
            if spot.at(number).count(opens) > spot.at(number).count(closes):
                return number, f"the {opens} in this line is not closed"
    return _out_of_block(spot)


def _no_content(spot: _Spot) -> Mistake:
    return spot.number, _quotes(spot.line[spot.column : spot.column + 1])


def _as_it_began(spot: _Spot) -> Mistake:
    return spot.began, _quotes(spot.at(spot.began)[spot.began_column : spot.began_column + 1])


def _block_text(spot: _Spot) -> Mistake:
    sign = spot.at(spot.began)[spot.began_column : spot.began_column + 1]
    return spot.began, f"the text of a {sign} block begins on the line below it; {_quotes(sign)}"


def _escape(spot: _Spot) -> Mistake:
    return spot.number, "this line has a backslash in double quotes, where it means something; use single quotes"


def _list_below(spot: _Spot) -> Mistake:
    return spot.number, "a list begins on the line below its key; a text that begins with a dash must be in quotes"


def _second_document(spot: _Spot) -> Mistake:
    return spot.number, "this line begins a second document (---); a file has one"


_EXPLANATIONS: tuple[tuple[str, Callable[[_Spot], Mistake]], ...] = (
    ("mapping values are not allowed", _mapping_not_allowed),
    ("that cannot start any token", _cannot_start),
    ("unexpected end of stream", _unfinished),
    ("unexpected document separator", _unfinished),
    ("could not find expected ':'", _no_colon),
    ("expected ',' or '", _open_bracket),
    ("expected <block end>", _out_of_block),
    ("expected the node content, but found '<stream end>'", _at_the_end),
    ("expected the node content, but found '<", _out_of_block),
    ("expected the node content", _no_content),
    ("undefined alias", lambda spot: (spot.number, _quotes("*"))),
    ("duplicate anchor", lambda spot: (spot.number, _quotes("&"))),
    ("could not determine a constructor", lambda spot: (spot.number, _quotes("!"))),
    ("undefined tag handle", lambda spot: (spot.number, _quotes("!"))),
    ("escape", _escape),
    ("chomping or indentation", _block_text),
    ("sequence entries are not allowed", _list_below),
    ("mapping keys are not allowed", lambda spot: (spot.number, _quotes("?"))),
    ("but found another document", _second_document),
    ("expected alphabetic or numeric", _as_it_began),
    ("document start", lambda spot: (spot.number, "a line cannot begin with %; put the text in quotes")),
    ("unhashable key", lambda spot: (spot.number, "this line has a key that is not text")),
)
"""Explanations by the parser's message."""
