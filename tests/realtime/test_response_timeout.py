"""The response that is pending, and the time that it may be silent, at literal times."""

import pytest

from ariagent.realtime.response_timeout import SHORT_WAIT_S, ResponseTimeout, TimeoutStep

LIMIT_S = 10.0


@pytest.fixture
def timeout() -> ResponseTimeout:
    return ResponseTimeout(LIMIT_S)


def test_nothing_is_pending_at_first(timeout: ResponseTimeout) -> None:
    assert timeout.next_deadline() is None
    assert not timeout.answer_pending
    assert timeout.judge(1000.0) is TimeoutStep.WAIT


def test_a_response_that_does_not_come_is_the_end(timeout: ResponseTimeout) -> None:
    timeout.response_asked(5.0)
    assert timeout.next_deadline() == 5.0 + LIMIT_S
    assert not timeout.answer_pending
    assert timeout.judge(5.0 + LIMIT_S - 0.001) is TimeoutStep.WAIT
    assert timeout.judge(5.0 + LIMIT_S) is TimeoutStep.GIVE_UP


def test_an_answer_that_does_not_come_is_asked_for_in_half_the_time(timeout: ResponseTimeout) -> None:
    timeout.answer_awaited(5.0)
    assert timeout.answer_pending
    assert timeout.next_deadline() == 5.0 + LIMIT_S / 2
    assert timeout.judge(5.0 + LIMIT_S / 2 - 0.001) is TimeoutStep.WAIT
    assert timeout.judge(5.0 + LIMIT_S / 2) is TimeoutStep.ASK


def test_progress_starts_the_clock_again(timeout: ResponseTimeout) -> None:
    timeout.response_asked(5.0)
    timeout.progress(14.0)
    assert timeout.next_deadline() == 14.0 + LIMIT_S
    timeout.answer_awaited(15.0)
    timeout.progress(17.0)
    assert timeout.next_deadline() == 17.0 + LIMIT_S / 2


def test_asking_does_not(timeout: ResponseTimeout) -> None:
    timeout.answer_awaited(5.0)
    timeout.response_asked(5.0 + LIMIT_S / 2)
    assert timeout.next_deadline() == 5.0 + LIMIT_S
    assert timeout.judge(5.0 + LIMIT_S) is TimeoutStep.GIVE_UP


def test_progress_makes_nothing_pending(timeout: ResponseTimeout) -> None:
    timeout.progress(5.0)
    assert timeout.next_deadline() is None


def test_what_was_settled_is_not_pending(timeout: ResponseTimeout) -> None:
    timeout.answer_awaited(1.0)
    timeout.settled(1.5)
    assert not timeout.answer_pending
    timeout.response_begun(2.0)
    timeout.settled(2.5)
    assert timeout.next_deadline() is None
    assert timeout.judge(1000.0) is TimeoutStep.WAIT


def test_a_caller_who_speaks_on_waives_the_answer(timeout: ResponseTimeout) -> None:
    timeout.answer_awaited(1.0)
    timeout.answer_waived(1.5)
    assert not timeout.answer_pending
    assert timeout.next_deadline() is None


def test_but_not_a_response_that_has_begun(timeout: ResponseTimeout) -> None:
    timeout.response_asked(1.0)
    timeout.answer_waived(1.5)
    assert timeout.judge(1.0 + LIMIT_S) is TimeoutStep.GIVE_UP


def test_a_response_that_begins_is_the_answer(timeout: ResponseTimeout) -> None:
    timeout.answer_awaited(1.0)
    timeout.response_begun(2.0)
    assert not timeout.answer_pending
    assert timeout.next_deadline() == 2.0 + LIMIT_S


def test_a_caller_who_asks_again_and_again_is_not_kept_waiting_anew_each_time(timeout: ResponseTimeout) -> None:
    timeout.answer_awaited(0.0)
    timeout.answer_waived(4.0)  # "Hello?"
    timeout.answer_awaited(5.0)
    assert timeout.next_deadline() == 5.0 + (LIMIT_S - (4.0 - SHORT_WAIT_S)) / 2
    timeout.settled(9.0)
    timeout.answer_awaited(10.0)
    # Whatever was waited before, half of the limit is left for a server that answers after all.
    timeout.response_begun(11.0)
    assert timeout.next_deadline() == 11.0 + LIMIT_S / 2
    timeout.heard(12.0)
    assert timeout.next_deadline() == 12.0 + LIMIT_S


def test_short_pauses_of_a_caller_who_speaks_on_are_no_waiting(timeout: ResponseTimeout) -> None:
    for turn in range(20):
        timeout.answer_awaited(float(turn))
        timeout.answer_waived(turn + SHORT_WAIT_S)
    timeout.answer_awaited(100.0)
    assert timeout.next_deadline() == 100.0 + LIMIT_S / 2
