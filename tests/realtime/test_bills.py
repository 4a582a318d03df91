"""Reports of use that are believed."""

from contextlib import suppress
from typing import Any

import pytest

from ariagent.realtime.bills import KEPT, Bills
from ariagent.realtime.events import Usage
from ariagent.realtime.fields import MalformedError


def counts(heard: int = 0, said: int = 0, text: int = 0) -> dict[str, Any]:
    return {
        "input_token_details": {"audio_tokens": heard, "text_tokens": text},
        "output_token_details": {"audio_tokens": said},
    }


def begun(*responses: str) -> Bills:
    bills = Bills()
    for response_id in responses:
        bills.began(response_id)
    return bills


def test_a_response_is_counted_once() -> None:
    bills = begun("r")
    assert bills.ended("r", counts(13, 91), 2.0) == Usage(input_audio=13, output_audio=91)
    with pytest.raises(MalformedError):
        bills.ended("r", counts(13, 91), 3.0)


def test_a_response_that_never_began_is_not() -> None:
    with pytest.raises(MalformedError):
        Bills().ended("r", counts(13), 2.0)


@pytest.mark.parametrize("value", [None, {}, counts()])
def test_no_use_is_nothing_to_refuse(value: object) -> None:
    assert Bills().ended("r", value, 2.0) == Usage()


def test_what_it_heard_fits_into_the_time_there_was() -> None:
    assert begun("r").ended("r", counts(heard=1_800), 60.0).input_audio == 1_800  # both spoke for a minute
    assert begun("r").ended("r", counts(heard=100_000), 3600.0).input_audio == 100_000
    with pytest.raises(MalformedError):
        begun("r").ended("r", counts(heard=100_000), 60.0)


def test_what_it_said_fits_into_the_audio_that_came() -> None:
    bills = begun("r", "s")
    for response_id in ("r", "unknown"):
        bills.brought(response_id, 60.0)
    assert bills.ended("r", counts(said=1_200), 60.0).output_audio == 1_200
    with pytest.raises(MalformedError):
        bills.ended("s", counts(said=2_001), 60.0)


def test_responses_that_never_end_are_forgotten() -> None:
    bills = begun(*(f"r{n}" for n in range(KEPT + 1)))
    with pytest.raises(MalformedError):
        bills.ended("r0", counts(1), 1.0)
    assert bills.ended("r1", counts(1), 1.0).input_audio == 1


def test_many_small_responses_cannot_bill_more_than_a_conversation_does() -> None:
    """25 responses a second, each with as much text as one response can have."""
    bills, used = Bills(), Usage()
    for number in range(1_500):
        bills.began(f"r{number}")
        counted = {"input_token_details": {"text_tokens": 255_000}, "output_token_details": {"text_tokens": 4_000}}
        with suppress(MalformedError):
            used += bills.ended(f"r{number}", counted, number / 25)
    assert used.input_text <= 300_000 + 60 * 10_000
    assert used.output_text <= 16_000 + 60 * 200


def test_an_hour_of_a_busy_conversation_is_believed_whole() -> None:
    """Eight responses a minute, each reads 32,000 tokens and writes 400."""
    bills = Bills()
    for number in range(480):
        bills.began(f"r{number}")
        counted = {"input_token_details": {"text_tokens": 32_000}, "output_token_details": {"text_tokens": 400}}
        assert bills.ended(f"r{number}", counted, 7.5 * number).input_text == 32_000


def test_the_time_there_was_counts_from_the_sessions_beginning() -> None:
    bills = begun("r")
    bills.opened(1_000.0)
    with pytest.raises(MalformedError):
        bills.ended("r", counts(heard=100_000), 1_060.0)
