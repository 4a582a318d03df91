"""What the server owes and how long it may be silent, at literal times."""

import pytest

from ariagent.realtime.patience import Patience, Verdict

LIMIT_S = 10.0


@pytest.fixture
def patience() -> Patience:
    return Patience(LIMIT_S)


def test_nothing_is_owed_at_first(patience: Patience) -> None:
    assert patience.next_deadline() is None
    assert not patience.owes_answer
    assert patience.judge(1000.0) is Verdict.WAIT


def test_a_response_that_does_not_come_is_the_end(patience: Patience) -> None:
    patience.response_owed(5.0)
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


def test_a_sign_of_life_starts_the_clock_again(patience: Patience) -> None:
    patience.response_owed(5.0)
    patience.alive(14.0)
    assert patience.next_deadline() == 14.0 + LIMIT_S
    patience.answer_owed(15.0)
    patience.alive(17.0)
    assert patience.next_deadline() == 17.0 + LIMIT_S / 2


def test_a_sign_of_life_makes_nothing_owed(patience: Patience) -> None:
    patience.alive(5.0)
    assert patience.next_deadline() is None


def test_what_was_settled_is_not_owed(patience: Patience) -> None:
    patience.answer_owed(1.0)
    patience.settled()
    assert not patience.owes_answer
    patience.response_owed(2.0)
    patience.settled()
    assert patience.next_deadline() is None
    assert patience.judge(1000.0) is Verdict.WAIT


def test_a_caller_who_speaks_on_waives_the_answer(patience: Patience) -> None:
    patience.answer_owed(1.0)
    patience.answer_waived()
    assert not patience.owes_answer
    assert patience.next_deadline() is None


def test_but_not_a_response_that_has_begun(patience: Patience) -> None:
    patience.response_owed(1.0)
    patience.answer_waived()
    assert patience.judge(1.0 + LIMIT_S) is Verdict.GIVE_UP


def test_a_response_that_begins_is_the_answer(patience: Patience) -> None:
    patience.answer_owed(1.0)
    patience.response_owed(2.0)
    assert not patience.owes_answer
    assert patience.next_deadline() == 2.0 + LIMIT_S
