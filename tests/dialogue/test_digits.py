"""Arguments with which the model may ask for digits."""

import json
from typing import Any

import pytest

from ariagent.dialogue.builtin_tools import validated
from ariagent.dialogue.digits import COLLECT_DIGITS, DigitsArguments
from ariagent.dialogue.keypad import Collect


def parsed(arguments: str) -> Collect | str:
    """The digits to collect, or the error in the arguments."""
    found = validated(DigitsArguments, arguments)
    return found if isinstance(found, str) else found.wanted


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
    assert parsed(json.dumps(asked)) == Collect(4, 8, "*", 20.0, tries=2, read_back=True)
    assert parsed('{"length": 4, "terminator": ""}') == Collect(4, 4, "")


@pytest.mark.parametrize("nothing", ["", " ", "{}", '{"length": null, "terminator": null, "colour": "red"}'])
def test_nothing_asked_is_the_default(nothing: str) -> None:
    assert parsed(nothing) == Collect()


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
    said = parsed(arguments)
    assert isinstance(said, str)
    assert told in said
