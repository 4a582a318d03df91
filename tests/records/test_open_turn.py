"""The words of a turn that a process did not live to tell. Times are literal seconds."""

from ariagent.records import events as rec
from ariagent.records.model import EventRow
from ariagent.records.open_turn import closed


def rows(*events: rec.CallEvent) -> list[EventRow]:
    return [EventRow.of(float(at), event) for at, event in enumerate(events)]


def left(*events: rec.CallEvent) -> list[rec.CallEvent | None]:
    return [row.event for row in closed(rows(*events))]


SO_FAR, TURN = rec.CallerTurnSoFar("u1", "I would like"), rec.CallerTurn("u1", "I would like")
WHOLE, ENDED = rec.CallerTurn("u2", "I would like a pizza."), rec.CallerTurnEnded("u2", 2.0)
TAKEN_OVER = rec.CallTakenOver(leg="1", agent="a", seat="-", media="m", since_record_s=1.0, lines=1)


def test_a_turn_that_was_told_is_told_once() -> None:
    assert left(SO_FAR, rec.CallerTurnSoFar("u2", "I would like a pizza."), ENDED, WHOLE) == [ENDED, WHOLE]


def test_the_newest_words_of_an_open_turn_are_a_turn() -> None:
    [turn] = closed(rows(SO_FAR, rec.CallerTurnSoFar("u2", "I would like a pizza.")))
    assert (turn.at, turn.event) == (1.0, WHOLE)


def test_a_turn_that_is_over_may_lack_words() -> None:
    assert left(SO_FAR, ENDED) == [ENDED, TURN]


def test_the_next_turn_may_have_begun_before_the_words_of_the_last_are_complete() -> None:
    following = rec.CallerTurnSoFar("u3", "Hello?")
    assert left(SO_FAR, ENDED, following) == [ENDED, TURN, rec.CallerTurn("u3", "Hello?")]
    assert left(SO_FAR, ENDED, following, WHOLE) == [ENDED, WHOLE, rec.CallerTurn("u3", "Hello?")]


def test_the_turn_belongs_before_the_takeover() -> None:
    assert left(SO_FAR, TAKEN_OVER, ENDED, WHOLE) == [TURN, TAKEN_OVER, ENDED, WHOLE]


def test_other_turns_and_erased_words_stay_as_they_are() -> None:
    assert left(ENDED, WHOLE) == [ENDED, WHOLE]
    assert left(rec.CallerTurnSoFar("u1", ""), TAKEN_OVER) == [TAKEN_OVER]
