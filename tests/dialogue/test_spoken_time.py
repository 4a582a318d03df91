"""Seconds of speech that are believed."""

import pytest

from ariagent.dialogue.spoken_time import SpokenTime


def turn_s(spoken: SpokenTime, start_ms: float, end_ms: float, sent_ms: float) -> float:
    spoken.turn_began(start_ms)
    return spoken.turn_s(end_ms, sent_ms)


def test_turns_add_up() -> None:
    spoken = SpokenTime()
    assert turn_s(spoken, 500.0, 1500.0, 2000.0) == 1.0
    assert turn_s(spoken, 3000.0, 3500.0, 4000.0) == 0.5
    assert spoken.believed


@pytest.mark.parametrize(
    ("start_ms", "end_ms"), [(0.0, 2.0**53), (-1.0, 500.0), (-(2.0**53), 2.0**53), (900.0, 100.0), (0.0, 3001.0)]
)
def test_what_cannot_be_is_nothing(start_ms: float, end_ms: float) -> None:
    spoken = SpokenTime()
    assert turn_s(spoken, start_ms, end_ms, 2000.0) == 0.0
    assert not spoken.believed
    assert turn_s(spoken, 0.0, 1000.0, 2000.0) == 1.0
    assert spoken.believed


def test_no_more_is_counted_than_was_sent_and_nothing_twice() -> None:
    spoken = SpokenTime()
    total = sum(turn_s(spoken, 0.0, end, 2000.0) for end in (500.0, 1000.0, 1000.0, 2500.0, 2999.0))
    assert total == 2.0
    assert spoken.believed


def test_a_turn_may_begin_in_the_one_before() -> None:
    """The server counts some of what was before a turn into it."""
    spoken = SpokenTime()
    turn_s(spoken, 0.0, 1000.0, 5000.0)
    assert turn_s(spoken, 700.0, 2000.0, 5000.0) == 1.0
    assert spoken.believed
