"""What the server owes and how long it may be silent, at literal times."""

import pytest

from ariagent.realtime.patience import SHORT_WAIT_S, Patience, Verdict

LIMIT_S = 10.0


@pytest.fixture
def patience() -> Patience:
    return Patience(LIMIT_S)


def test_nothing_is_owed_at_first(patience: Patience) -> None:
    assert patience.next_deadline() is None
    assert not patience.owes_answer
    assert patience.judge(1000.0) is Verdict.WAIT


def test_a_response_that_does_not_come_is_the_end(patience: Patience) -> None:
    patience.response_asked(5.0)
    assert patience.next_deadline() == 5.0 + LIMIT_S
    assert not patience.owes_answer
    assert patience.judge(5.0 + LIMIT_S - 0.001) is Verdict.WAIT
    assert patience.judge(5.0 + LIMIT_S) is Verdict.GIVE_UP


def test_an_answer_that_does_not_come_is_asked_for_in_half_the_time(patience: Patience) -> None:
    patience.answer_owed(5.0)
    assert patience.owes_answer
    assert patience.next_deadline() == 5.0 + LIMIT_S / 2
    assert patience.judge(5.0 + LIMIT_S / 2 - 0.001) is Verdict.WAIT
    assert patience.judge(5.0 + LIMIT_S / 2) is Verdict.ASK


def test_progress_starts_the_clock_again(patience: Patience) -> None:
    patience.response_asked(5.0)
    patience.progress(14.0)
    assert patience.next_deadline() == 14.0 + LIMIT_S
    patience.answer_owed(15.0)
    patience.progress(17.0)
    assert patience.next_deadline() == 17.0 + LIMIT_S / 2


def test_asking_does_not(patience: Patience) -> None:
    patience.answer_owed(5.0)
    patience.response_asked(5.0 + LIMIT_S / 2)
    assert patience.next_deadline() == 5.0 + LIMIT_S
    assert patience.judge(5.0 + LIMIT_S) is Verdict.GIVE_UP


def test_progress_makes_nothing_owed(patience: Patience) -> None:
    patience.progress(5.0)
    assert patience.next_deadline() is None


def test_what_was_settled_is_not_owed(patience: Patience) -> None:
    patience.answer_owed(1.0)
    patience.settled(1.5)
    assert not patience.owes_answer
    patience.response_begun(2.0)
    patience.settled(2.5)
    assert patience.next_deadline() is None
    assert patience.judge(1000.0) is Verdict.WAIT


def test_a_caller_who_speaks_on_waives_the_answer(patience: Patience) -> None:
    patience.answer_owed(1.0)
    patience.answer_waived(1.5)
    assert not patience.owes_answer
    assert patience.next_deadline() is None


def test_but_not_a_response_that_has_begun(patience: Patience) -> None:
    patience.response_asked(1.0)
    patience.answer_waived(1.5)
    assert patience.judge(1.0 + LIMIT_S) is Verdict.GIVE_UP


def test_a_response_that_begins_is_the_answer(patience: Patience) -> None:
    patience.answer_owed(1.0)
    patience.response_begun(2.0)
    assert not patience.owes_answer
    assert patience.next_deadline() == 2.0 + LIMIT_S


def test_a_caller_who_asks_again_and_again_is_not_kept_waiting_anew_each_time(patience: Patience) -> None:
    patience.answer_owed(0.0)
    patience.answer_waived(4.0)  # "Hello?"
    patience.answer_owed(5.0)
    assert patience.next_deadline() == 5.0 + (LIMIT_S - (4.0 - SHORT_WAIT_S)) / 2
    patience.settled(9.0)
    patience.answer_owed(10.0)
    # Whatever was waited before, half of the limit is left for a server that answers after all.
    patience.response_begun(11.0)
    assert patience.next_deadline() == 11.0 + LIMIT_S / 2
    patience.heard(12.0)
    assert patience.next_deadline() == 12.0 + LIMIT_S


def test_short_pauses_of_a_caller_who_speaks_on_are_no_waiting(patience: Patience) -> None:
    for turn in range(20):
        patience.answer_owed(float(turn))
        patience.answer_waived(turn + SHORT_WAIT_S)
    patience.answer_owed(100.0)
    assert patience.next_deadline() == 100.0 + LIMIT_S / 2
