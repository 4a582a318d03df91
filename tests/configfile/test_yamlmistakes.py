"""Texts that are no YAML: what is said of them, and of which line."""

from pathlib import Path

import pytest

from ariagent.configfile import yamlfile
from ariagent.errors import ConfigurationError

FURTHER = "this line is indented further than line {}, which has its value already"
COLON = "a space must follow the colon after a key"
NO_KEY = "this line is neither a key with a value"
BETWEEN = "this line is indented less than line {} and further than line {}; begin it where one of them begins"

CASES = {
    "indented too far": ("a: 1\n  b: 2\n", 2, FURTHER.format(1)),
    "indented too far, deeper": ("a:\n  b:\n    c: x\n      d: y\n", 4, FURTHER.format(3)),
    "indented too far behind a comment": ("a: 1\n# b\n\n  c: 2\n", 4, FURTHER.format(1)),
    "indented too far behind quotes": ("a: 'x' # ok\n  b: 3\n", 2, FURTHER.format(1)),
    "between two indentations": ("a:\n    b: 1\n  c: 2\n", 3, BETWEEN.format(2, 1)),
    "a list between two indentations": ("a:\n  - b\n - c\n", 3, BETWEEN.format(2, 1)),
    "a text between two indentations": ("a: |\n  one\n two\nb: 1\n", 3, BETWEEN.format(2, 1)),
    "a key in a list": ("- a\nb: 1\n", 2, "this line does not belong to the lines above it"),
    "a tab": ("a:\n\tb: 1\n", 2, "this line is indented with a tab; YAML takes spaces only"),
    "a tab before the value": ("a:\n  b:\t1\n", 2, "this line has a tab before its value"),
    "no space": ("a:\n  b: 1\n  c:2\n", 3, COLON),
    "no space, first of all": ("a:\n  b:1\n  c: 2\n", 2, COLON),
    "no colon": ("a: 1\nbb cc\nd: 2\n", 2, NO_KEY),
    "no colon, first of all": ("aa bb\nc: 1\n", 1, NO_KEY),
    "a colon in the text": ("a: x: y\n", 1, "a value that holds a colon and a space must be in quotes"),
    "a colon in the text, behind quotes": ('a: Say "hi": now\n', 1, "a value that holds a colon"),
    "an open quote": ('a: "x\nb: 2\n', 1, "this line begins a text in quotes that is not closed"),
    "an open single quote": ("c: 1\na: 'x\nb: 2\n", 2, "this line begins a text in quotes that is not closed"),
    "an apostrophe in quotes": ("a: 'it's'\n", 1, "this line has more text behind the closing quote"),
    "text behind quotes": ('a: "x" y\n', 1, "this line has more text behind the closing quote"),
    "a backslash in quotes": ('a: "\\d"\n', 1, "this line has a backslash in double quotes"),
    "an @": ("a: @x\n", 1, "a text that begins with @ must be in quotes"),
    "a %": ("b: 1\na: %x\n", 2, "a text that begins with % must be in quotes"),
    "a % at the start": ("%x: 1\n", 1, "a text that begins with % must be in quotes"),
    "a backtick": ("a: `x`\n", 1, "a text that begins with ` must be in quotes"),
    "a feature code": ("a: *80\n", 1, "a text that begins with * must be in quotes"),
    "a *": ("a: *\n", 1, "a text that begins with * must be in quotes"),
    "a !": ("a: !x\n", 1, "a text that begins with ! must be in quotes"),
    "a >": ("a: >x\n y\n", 1, "the text of a > block begins on the line below it"),
    "a |": ("a: |x\n", 1, "the text of a | block begins on the line below it"),
    "a ?": ("a: ? x\n", 1, "a text that begins with ? must be in quotes"),
    "a dash": ("a: - x\n", 1, "a list begins on the line below its key"),
    "a placeholder": ("a: {caller.name} rings\nb: 1\n", 1, "a text that begins with { must be in quotes"),
    "a ]": ("a: ]\n", 1, "a text that begins with ] must be in quotes"),
    "an open list": ("a: [x\nb: 2\n", 1, "the [ in this line is not closed"),
    "an open list at the end": ("b: 2\na: [x,\n", 2, "the [ in this line is not closed"),
    "an open mapping": ("b: 1\na: {x: 1\nb: 2\n", 2, "the { in this line is not closed"),
    "an open mapping at the end": ("a: {\n", 1, "the { in this line is not closed"),
    "two documents": ("a: 1\n---\nb: 2\n", 2, "this line begins a second document (---); a file has one"),
    "a control character": ("a: 1\nb: \x07\n", 2, "this line holds the character U+0007"),
    "a date that is none": ("a: 1\nb: [2026-12-24, 2026-99-99]\n", 2, "this line has a date or a number that is none"),
    "an escape that is no character": ('a: 1\nb: "\\UFFFFFFFF"\n', 2, "this line has a \\U that is not a character"),
    "a key that is a list": ("a: 1\n? [x]\n: 1\n", 2, "this line has a key that is not text"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_told_with_its_line(case: str) -> None:
    text, line, said = CASES[case]
    with pytest.raises(ConfigurationError) as caught:
        yamlfile.parse(Path("a.yaml"), text)
    assert str(caught.value).startswith(f"a.yaml:{line}: {said}")


def test_what_the_parser_says_of_anything_else_has_its_line_too() -> None:
    with pytest.raises(ConfigurationError, match=r"^a\.yaml:2: is not YAML: expected a mapping or list of mappings"):
        yamlfile.parse(Path("a.yaml"), "a: 1\n<<: 1\n")
