"""The extension that takes a number."""

import pytest

from ariagent.install.asteriskconf import Document, parse
from ariagent.install.dialplan import answers_to, shown, takes


def dialplan(text: str) -> Document:
    document = parse("extensions.conf", {"extensions.conf": text}.get, lambda pattern: [])
    assert document is not None
    return document


@pytest.mark.parametrize(
    ("extension", "number", "wanted"),
    [
        ("7000", "7000", True),
        ("7000", "700", False),
        ("70-00", "7000", True),
        ("_7XXX", "7000", True),
        ("_7XXX", "70000", False),
        ("_7XXX", "8000", False),
        ("_NXXX", "1000", False),
        ("_Z.", "7000", True),
        ("_X.", "7", False),
        ("_X!", "7", True),
        ("_[5-8]000", "7000", True),
        ("_[5-8]000", "9000", False),
        ("_*8X", "*80", True),
        ("_+1X.", "+17000", True),
        ("_7x0x", "7000", True),
        ("_[", "[", True),
        ("7000/5551", "7000", True),
        ("_7XXX/_1.", "7000", True),
        ("_7XXX/_1.", "8000", False),
    ],
)
def test_patterns(extension: str, number: str, wanted: bool) -> None:
    assert takes(extension, number) is wanted


def test_the_number_itself_goes_before_a_pattern() -> None:
    document = dialplan("[c]\nexten => _7XXX,1,A()\n same => n,B()\nexten => 7000,1,C()\n")
    assert [found.extension for found in answers_to(document, "c", "7000")] == ["7000", "_7XXX"]


def test_what_a_context_includes_comes_after_its_own_in_order_once() -> None:
    document = dialplan(
        "[c]\ninclude => one\ninclude => two\nexten => _X.,1,A()\n[one]\ninclude => c\nexten => 7000,1,B()\n"
        "[two]\ninclude => one\nexten => _7.,1,C()\n"
    )
    found = list(answers_to(document, "c", "7000"))
    assert [(each.context, each.extension, each.line) for each in found] == [
        ("c", "_X.", 4),
        ("one", "7000", 7),
        ("two", "_7.", 10),
    ]


def test_a_caller_id_behind_the_number_is_no_part_of_it() -> None:
    assert next(answers_to(dialplan("[c]\nexten => 7000/_1XX,1,A()\n"), "c", "7000")).extension == "7000"


def test_nobody_takes_a_number_of_another_context() -> None:
    assert list(answers_to(dialplan("[c]\n[d]\nexten => 7000,1,A()\n"), "c", "7000")) == []


def test_a_number_that_is_a_variable_is_found() -> None:
    document = dialplan("[globals]\nRECEPTION = 7000\n[a]\nexten => ${RECEPTION},1,NoOp()\n")
    assert [found.extension for found in answers_to(document, "a", "7000")] == ["7000"]


def test_the_letter_case_of_a_context_counts() -> None:
    document = dialplan("[A]\nexten => 7000,1,NoOp()\n")
    assert list(answers_to(document, "a", "7000")) == []


def test_what_the_console_shows() -> None:
    text = (
        "[ Context 'a' created by 'pbx_ael' ]\n"
        "  '7000' =>         1. NoOp(a [b])                   [pbx_ael]\n"
        "                    2. Hangup()                      [pbx_ael]\n"
        "  '7000' =>         hint: PJSIP/1001                 [pbx_config]\n"
        "  Include =>        'b'                              [pbx_config]\n"
    )
    assert list(shown(text)) == [("7000", "NoOp(a [b])")]
