"""What the model may ask of the keypad, and what it is told."""

import json
from typing import Any

import pytest

from ariagent.dialogue.digits import COLLECT_DIGITS, ask_again_note, collect_output, parse_collect
from ariagent.dialogue.keypad import AskAgain, Collect, Collected, CollectFailed


def test_everything_that_is_declared_is_taken() -> None:
    asked: dict[str, Any] = {
        "min_length": 4,
        "max_length": 8,
        "terminator": "*",
        "timeout_s": 20,
        "retries": 1,
        "read_back": True,
    }
    assert {*asked, "length"} == set(COLLECT_DIGITS["parameters"]["properties"])
    assert parse_collect(json.dumps(asked)) == Collect(4, 8, "*", 20.0, tries=2, read_back=True)
    assert parse_collect('{"length": 4, "terminator": ""}') == Collect(4, 4, "")


@pytest.mark.parametrize("nothing", ["", " ", "{}", '{"length": null, "terminator": null, "colour": "red"}'])
def test_nothing_asked_is_the_default(nothing: str) -> None:
    assert parse_collect(nothing) == Collect()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("{", "JSON"),
        ("[]", "arguments"),
        ('{"length": 0}', "length"),
        ('{"length": 33}', "length"),
        ('{"length": "four"}', "length"),
        ('{"length": 4, "max_length": 5}', "either"),
        ('{"min_length": 5, "max_length": 4}', "min_length is more"),
        ('{"terminator": "9"}', "terminator"),
        ('{"timeout_s": NaN}', "timeout_s"),
        ('{"timeout_s": 1e9}', "timeout_s"),
        ('{"retries": 99}', "retries"),
        ('{"read_back": "perhaps"}', "read_back"),
    ],
)
def test_wrong_arguments_are_explained(arguments: str, told: str) -> None:
    said = parse_collect(arguments)
    assert isinstance(said, str)
    assert told in said


def test_the_result_holds_the_digits() -> None:
    assert json.loads(collect_output(Collected("4711", True), Collect())) == {"digits": "4711"}


@pytest.mark.parametrize(
    ("event", "wanted"),
    [(Collected("4711", True), Collect(read_back=True)), (Collected("4711", False), Collect())],
)
def test_digits_that_are_to_be_confirmed_are_read_back(event: Collected, wanted: Collect) -> None:
    result = json.loads(collect_output(event, wanted))
    assert result["digits"] == "4711"
    assert "one by one" in result["next"]


def test_a_failure_says_what_the_caller_did() -> None:
    assert "typed nothing" in json.loads(collect_output(CollectFailed("timeout"), Collect()))["error"]
    assert "too few" in json.loads(collect_output(CollectFailed("too_short"), Collect()))["error"]
    assert "another" in json.loads(collect_output(CollectFailed("replaced"), Collect()))["error"]


def test_the_caller_is_asked_again_with_the_reason() -> None:
    assert "typed nothing" in ask_again_note(AskAgain("timeout", 2), Collect(terminator=""))
    note = ask_again_note(AskAgain("too_short", 1), Collect(terminator="*"))
    assert "too few" in note
    assert "press *" in note
