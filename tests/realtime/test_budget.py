"""How much a session may send, at literal times."""

import pytest

from ariagent.realtime.budget import BYTES, EVENTS, FRAMES, MALFORMED, Allowance, Limit, most_unheard_s

SOME = Limit("things", 10, 2)


def test_so_much_at_once_and_no_more() -> None:
    allowance = Allowance(SOME)
    assert allowance.take(5, 100.0)
    assert allowance.take(5, 100.0)
    assert not allowance.take(1, 100.0)
    assert allowance.excess == "more than 10 things at once and 2 a second"


def test_time_gives_it_back_up_to_what_is_allowed_at_once() -> None:
    allowance = Allowance(SOME)
    assert allowance.take(10, 100.0)
    assert allowance.take(2, 101.0)
    assert allowance.take(10, 1000.0)
    assert not allowance.take(1, 1000.0)


def test_the_rate_can_be_kept_up_for_ever() -> None:
    allowance = Allowance(SOME)
    assert all(allowance.take(1, 100.0 + n / 2) for n in range(10_000))
    assert not all(allowance.take(1, 6000.0 + n / 4) for n in range(100))


def test_a_clock_that_stands_or_steps_back_gives_nothing() -> None:
    allowance = Allowance(SOME)
    assert allowance.take(10, 100.0)
    assert allowance.take(0, 50.0)
    assert not allowance.take(1, 100.0)


@pytest.mark.parametrize(
    ("limit", "amount", "every_s"),
    [
        (FRAMES, 1, 1 / 600),  # 20 ms of audio each, ten times as fast as it is played, and their transcript
        (BYTES, 64_000, 1 / 50),  # a second of audio each, 50 times as fast
        (EVENTS, 8, 1.0),  # a turn and its answer
        (MALFORMED, 2, 1.0),  # a server that gets one thing wrong in each turn
    ],
)
def test_what_a_conversation_needs_is_allowed_for_an_hour(limit: Limit, amount: float, every_s: float) -> None:
    allowance = Allowance(limit)
    assert all(allowance.take(amount, n * every_s) for n in range(int(min(3600 / every_s, 200_000))))


@pytest.mark.parametrize(
    ("tokens", "seconds"), [(1, 120.0), (1200, 120.0), (4096, 204.8), ("inf", 300.0), (10**9, 300.0)]
)
def test_as_much_speech_may_wait_as_one_response_can_hold(tokens: int | str, seconds: float) -> None:
    assert most_unheard_s(tokens) == seconds
