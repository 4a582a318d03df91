"""Truncations that are refused, at literal times."""

import pytest

from ariagent.realtime.events import RequestRefused
from ariagent.realtime.truncation import ACKNOWLEDGED_WAIT_S, STEP_MS, TRIES, Truncations

SHORTER = RequestRefused("invalid_value", "Audio content of 4900ms is already shorter than 5000ms")
NO = RequestRefused("invalid_value", "no")
UNKNOWN_ITEM = RequestRefused("item_truncate_invalid_item_id", "Item with item_id not found")


@pytest.fixture
def truncations() -> Truncations:
    """``item_a`` was asked to be cut at 5000 ms in the event ``e1``."""
    truncations = Truncations()
    truncations.asked("item_a", "e1", 5000)
    return truncations


def test_nothing_is_due_while_nothing_is_refused(truncations: Truncations) -> None:
    assert truncations.next_deadline() is None
    assert truncations.due(100.0) == []


def test_a_refused_one_is_due_when_no_acknowledgement_came(truncations: Truncations) -> None:
    assert truncations.refused(NO, "e1", 10.0)
    deadline = truncations.next_deadline()
    assert deadline == 10.0 + ACKNOWLEDGED_WAIT_S
    assert truncations.due(deadline - 0.001) == []
    assert truncations.due(deadline) == [("item_a", 5000 - STEP_MS, 2)]
    assert truncations.due(deadline) == []
    assert truncations.next_deadline() is None


def test_an_acknowledged_one_is_not_asked_for_again(truncations: Truncations) -> None:
    truncations.refused(NO, "e1", 10.0)
    truncations.acknowledged("item_a")
    assert truncations.next_deadline() is None
    assert truncations.due(100.0) == []


def test_an_acknowledgement_of_something_else_changes_nothing(truncations: Truncations) -> None:
    truncations.refused(NO, "e1", 10.0)
    truncations.acknowledged("item_b")
    assert len(truncations.due(100.0)) == 1


@pytest.mark.parametrize("event_id", ["e1", None])
def test_the_servers_own_length_is_taken(truncations: Truncations, event_id: str | None) -> None:
    assert truncations.refused(SHORTER, event_id, 0.0)
    assert truncations.due(1.0) == [("item_a", 4900, 2)]


def test_never_below_nothing() -> None:
    truncations = Truncations()
    truncations.asked("item_a", "e1", STEP_MS // 2)
    truncations.refused(NO, "e1", 0.0)
    assert truncations.due(1.0) == [("item_a", 0, 2)]


@pytest.mark.parametrize("tries", range(1, TRIES + 1))
def test_is_given_up_after_a_few_tries(tries: int) -> None:
    truncations = Truncations()
    truncations.asked("item_a", "e1", 5000, tries)
    truncations.refused(NO, "e1", 0.0)
    assert len(truncations.due(1.0)) == (0 if tries == TRIES else 1)
    assert truncations.next_deadline() is None


@pytest.mark.parametrize(
    ("refused", "event_id"),
    [(SHORTER, "somebody_else"), (NO, "somebody_else"), (NO, None), (RequestRefused("cannot_update_voice", ""), None)],
)
def test_an_error_about_something_else(truncations: Truncations, refused: RequestRefused, event_id: str | None) -> None:
    assert not truncations.refused(refused, event_id, 0.0)
    assert truncations.next_deadline() is None


@pytest.mark.parametrize("refused", [SHORTER, UNKNOWN_ITEM])
def test_without_the_event_the_oldest_that_waits_is_meant(truncations: Truncations, refused: RequestRefused) -> None:
    truncations.asked("item_b", "e2", 0)
    assert truncations.refused(refused, None, 0.0)
    assert truncations.refused(refused, None, 0.1)
    assert not truncations.refused(refused, None, 0.2)
    assert [item for item, _, _ in truncations.due(0.0 + ACKNOWLEDGED_WAIT_S)] == ["item_a"]
    assert [item for item, _, _ in truncations.due(0.1 + ACKNOWLEDGED_WAIT_S)] == ["item_b"]


def test_the_event_tells_which(truncations: Truncations) -> None:
    truncations.asked("item_b", "e2", 700)
    assert truncations.refused(NO, "e2", 0.0)
    assert truncations.due(1.0) == [("item_b", 600, 2)]


def test_a_second_refusal_of_the_same_request_changes_nothing(truncations: Truncations) -> None:
    assert truncations.refused(NO, "e1", 0.0)
    assert not truncations.refused(NO, "e1", 0.1)
    assert truncations.next_deadline() == ACKNOWLEDGED_WAIT_S
    assert truncations.due(1.0) == [("item_a", 4900, 2)]


def test_the_newest_truncation_of_an_item_counts(truncations: Truncations) -> None:
    truncations.refused(NO, "e1", 0.0)
    truncations.asked("item_a", "e2", 300)
    assert truncations.next_deadline() is None
    assert truncations.due(100.0) == []
    assert not truncations.refused(NO, "e1", 0.1)


def test_nothing_was_asked() -> None:
    assert not Truncations().refused(SHORTER, None, 0.0)


def test_one_that_is_refused_too_often_is_told_once(truncations: Truncations) -> None:
    now = 0.0
    for _ in range(TRIES - 1):
        truncations.refused(NO, "e1", now)
        now += 1.0
        [(item, end_ms, tries)] = truncations.due(now)
        truncations.asked(item, "e1", end_ms, tries, now)
    truncations.refused(NO, "e1", now)
    truncations.due(now + 1.0)
    assert list(truncations.unanswered(now + 1.0)) == ["item_a"]
    assert truncations.unanswered(now + 1.0) == {}
    assert not truncations.ignored
