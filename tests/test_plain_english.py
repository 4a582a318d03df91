"""Phrases that have to be read twice stay out of code, messages, dialplan files and documents.

Each phrase has a plain word, which the failure shows. A word in a pattern or in a caller's mouth is no sentence of
ariagent's: ``SPOKEN`` lists the files that hold such words.
"""

import ast
import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.parsing import parsed

ROOT = Path(__file__).parents[1]
CODE = ("ariagent", "lab", "tests")
FILES = ("dialplan", "asterisk", "lab", "packaging")

PHRASES = {
    r"\banew\b": "again; reconnected",
    r"\bput(s|ting)? ((the|this|a) )?(callers? |them )?through\b": "transferred",
    r"\bin vain\b": "without an answer",
    r"\bfaults? of ours\b": "internal error",
    r"\b(brings?|brought) nothing\b": "sends nothing",
    r"\bstands? in\b(?! for\b)": "is in",
    r"\b(goes|went) on\b(?! and on\b)": "continues",
    r"\bpeople's (queue|phone)": "human queue, human agent",
    r"\b(to|from|by|with|for the|reach(es)?|first) people\b": "human agents, the human queue",
    r"\bcolleagues?\b": "human agent",
    r"\bnobody has this token\b": "unknown token",
    r"\bso much too late\b": "later than this",
    r"\bhave (now )?to do without\b": "failed for lack of",
    r"\bthe law wants\b": "jurisdictions require",
    r"\bowes (a|the) response\b": "a response is due",
    r"\bthe one who tries\b": "read by",
    r"\blooks at the clock\b": "timer ticks",
    r"\bwhat is weaker\b": "quieter sounds",
    r"\b(not_swept|left_behind|goes_on|not_told|put_aside)\b(?=`|\")": "a past-tense fact",
    r"\. Who(se|m) (?![^.]*\?)": "a noun: a caller who ...",
}
"""Phrases, as regular expressions without regard to case, and the plain words."""

ANY = re.compile("|".join(PHRASES), re.IGNORECASE)
COMMENT = re.compile(r"\s*# (.*)")
FIRST = re.compile(r"(What|Whose|Whom|Who|Which|Of|The same|That which)\b(?!.*\?$)")
"""Beginnings of a docstring or comment that has no subject."""

SPOKEN = {
    "ariagent/dialogue/politeness.py",  # a caller's words
    "ariagent/sandbox/notes.py",  # patterns for notes in any wording
    "tests/test_plain_english.py",
    "tests/audio/test_tones.py",
    "tests/records/conftest.py",
}
PAGES_LEFT: dict[str, int] = {}
"""Pages that still have such phrases, and how many. An author who rewrites a page takes its line out."""


@functools.cache
def texts(path: Path) -> list[tuple[int, str, bool]]:
    """Every text of a module, as line, text, and whether it is a docstring or the beginning of a comment."""
    source = path.read_text()
    listed, descriptions, quoted = [], set(), set()
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Expr):
            descriptions.add(id(node.value))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            listed.append((node.lineno, " ".join(node.value.split()), id(node) in descriptions))
            quoted.update(range(node.lineno + 1, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(source.splitlines(), 1)
    comments = {number: match[1] for number, line in lines if number not in quoted and (match := COMMENT.match(line))}
    return listed + [(number, text, number - 1 not in comments) for number, text in comments.items()]


def found(text: str) -> list[str]:
    if not ANY.search(text):
        return []
    return [
        f"{match[0].strip()!r} (plain: {plain})"
        for phrase, plain in PHRASES.items()
        if (match := re.search(phrase, text, re.IGNORECASE))
    ]


def modules() -> Iterator[Path]:
    for folder in CODE:
        yield from sorted((ROOT / folder).rglob("*.py"))


def hits(paths: Iterable[Path]) -> list[str]:
    """The phrases in files that are text, by file and line; a phrase may run over the end of a line."""
    listed = []
    for path in paths:
        lines = path.read_text().splitlines()
        for number, (line, following) in enumerate(zip(lines, [*lines[1:], ""], strict=True), 1):
            both = f"{line.strip()} {following.strip().lstrip(';#').strip()}"
            both = f". {both}" if number == 1 or not lines[number - 2].strip() else both
            alone = found(following.strip().lstrip(";#").strip())
            listed += [f"{path.relative_to(ROOT)}:{number}: {hit}" for hit in found(both) if hit not in alone]
    return listed


def test_code() -> None:
    listed = [
        f"{path.relative_to(ROOT)}:{line}: {hit}"
        for path in modules()
        if str(path.relative_to(ROOT)) not in SPOKEN
        for line, text, _ in texts(path)
        for hit in found(text)
    ]
    assert listed == []


def test_docstrings_and_comments_begin_with_a_subject() -> None:
    listed = [
        f"{path.relative_to(ROOT)}:{line}: {text[:60]}"
        for path in modules()
        for line, text, describes in texts(path)
        if describes and FIRST.match(text)
    ]
    assert listed == []


def test_files_for_a_site() -> None:
    assert hits(path for folder in FILES for path in sorted((ROOT / folder).rglob("*.conf"))) == []


def test_documents() -> None:
    pages = {
        str(path.relative_to(ROOT)): hits([path])
        for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    }
    assert {name: listed for name, listed in pages.items() if len(listed) > PAGES_LEFT.get(name, 0)} == {}
    fewer = {name: len(pages.get(name, ())) for name, left in PAGES_LEFT.items() if len(pages.get(name, ())) < left}
    assert fewer == {}, "lower these numbers in PAGES_LEFT"


@pytest.mark.parametrize(
    "text",
    [
        "the session is made anew",
        "callers are put through",
        "The agent puts them through.",
        "a call that goes on",
        "Then it continues. Whose sentence was cut off hears the rest.",
        "it is sent to people",
        "One moment. Whom nobody takes comes back.",
    ],
)
def test_a_phrase_is_found(text: str) -> None:
    assert found(text)


@pytest.mark.parametrize(
    "text", ["Ask who is calling: whose order is it?", "It stands in for a model.", "other people"]
)
def test_plain_words_are_not(text: str) -> None:
    assert not found(text)
