"""Callers whose number and name may be shown."""

import pytest

from ariagent.call.presentation import NAME, NUMBER, prohibits, shown
from ariagent.dialogue.introduction import Party

CALLER = Party("5551000", "Ann")


@pytest.mark.parametrize("value", ["allowed", "allowed_not_screened", "allowed_passed_screen", "allowed_failed_screen"])
def test_allowed(value: str) -> None:
    assert not prohibits(value)
    assert shown(CALLER, {NUMBER: value, NAME: value}) == CALLER


@pytest.mark.parametrize(
    "value", ["prohib", "prohib_not_screened", "prohib_passed_screen", "prohib_failed_screen", "unavailable"]
)
def test_a_withheld_number_withholds_the_name(value: str) -> None:
    assert prohibits(value)
    assert shown(CALLER, {NUMBER: value, NAME: "allowed"}) == Party()
    assert shown(CALLER, {NUMBER: "allowed", NAME: value}) == Party("5551000")


def test_an_asterisk_that_does_not_tell() -> None:
    assert shown(CALLER, {}) == CALLER


@pytest.mark.parametrize(
    "number",
    [
        *("", "anonymous", "Anonymous", "ANONYMOUS", "unavailable", "Restricted", "private", "unknown", "withheld"),
        *("anonymous@anonymous.invalid", "sip:anonymous@anonymous.invalid", "Private Number", "asterisk", " - "),
        # The shipped dialplan takes the @ out.
        *("+anonymous", "anonymousanonymous.invalid", "anonyme", "anonimo", "unbekannt", "+unknown", "No Caller ID"),
    ],
)
def test_words_that_stand_for_no_number(number: str) -> None:
    assert shown(Party(number, "Anonymous"), {NUMBER: "allowed", NAME: "allowed"}) == Party()


@pytest.mark.parametrize("number", ["1001", "+49 30 1", "ann", "privateer@example.com"])
def test_numbers_and_addresses(number: str) -> None:
    assert shown(Party(number), {}) == Party(number)
