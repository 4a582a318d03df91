"""The view of a queue, and the wait in it."""

from typing import Any

import pytest

from ariagent.ami.events import (
    AgentCompleted,
    CallerAbandoned,
    CallerJoined,
    CallerLeft,
    CallerWaits,
    MemberChanged,
    MemberPaused,
    MemberRemoved,
    QueuesListed,
    QueueState,
    UserEvent,
)
from ariagent.pool.queues import QueueBoard, QueueView, describe, in_words

Q = "support"


def state(queue: str = Q, talktime_s: int = 0) -> QueueState:
    return QueueState(queue, "rrmemory", holdtime_s=0, talktime_s=talktime_s, completed=0, abandoned=0)


def completed(talked_s: int, interface: str = "PJSIP/1", reason: str = "caller") -> AgentCompleted:
    return AgentCompleted(Q, interface, "A", "1.1", "1.1", 0, talked_s, reason)


def listed(*items: Any, talktime_s: int = 0, now: float = 100.0) -> QueueBoard:
    board = QueueBoard()
    for event in (state(talktime_s=talktime_s), *items, QueuesListed()):
        board.handle(event, now)
    return board


def viewed(board: QueueBoard, now: float = 100.0) -> QueueView:
    view = board.view(Q, now)
    assert view is not None
    assert view.logged_in == view.free + view.ringing + view.busy + view.paused
    return view


def test_nothing_is_known_before_the_list_is_complete_and_after_a_loss() -> None:
    board = QueueBoard()
    board.handle(state(), 0)
    assert board.view(Q, 0) is None
    assert board.names == []
    board.handle(QueuesListed(), 0)
    assert board.view(Q, 0) is not None
    assert board.names == [Q]
    board.lost()
    assert board.view(Q, 0) is None
    assert board.estimate_s(Q, 1, 0) is None
    assert board.position(Q, "1.1") is None


def test_a_name_is_the_same_in_any_letters(member: Any) -> None:
    board = listed(member("Support", "PJSIP/1"), CallerWaits("SUPPORT", "1.1", 1, wait_s=30, priority=0))
    for name in (Q, "Support", "SUPPORT"):
        view = board.view(name, 100)
        assert view is not None
        assert (view.name, view.free, view.waiting, board.name_of(name)) == (Q, 1, 1, Q)
        assert board.position(name, "1.1") == 1
    assert board.name_of("sales") is None
    board.handle(state("SUPPORT"), 200)
    board.handle(QueuesListed(), 200)
    assert board.names == ["SUPPORT"]
    board.lost()
    assert board.name_of(Q) is None


def test_members_are_counted_as_asterisk_does(member: Any) -> None:
    board = listed(
        member(Q, "PJSIP/1"),
        member(Q, "PJSIP/2", "talking"),
        member(Q, "PJSIP/3", "ringing"),
        member(Q, "PJSIP/4", paused="Lunch"),
        member(Q, "PJSIP/5", "gone"),
        member(Q, "PJSIP/6", "gone", paused="Lunch"),
        member(Q, "PJSIP/7", "held"),
        member(Q, "Local/8@x", "unknown"),
    )
    view = viewed(board)
    assert (view.logged_in, view.free, view.ringing, view.busy, view.paused) == (6, 2, 1, 2, 1)
    assert view.working == 5


def test_members_change_come_and_go(member: Any) -> None:
    board = listed(member(Q, "PJSIP/1"))
    board.handle(MemberChanged(member(Q, "PJSIP/1", "talking")), 101)
    assert viewed(board).busy == 1
    board.handle(MemberPaused(member(Q, "PJSIP/1", "idle", paused="Lunch")), 102)
    assert viewed(board).paused == 1
    board.handle(MemberChanged(member(Q, "PJSIP/2")), 103)
    assert viewed(board).free == 1
    board.handle(MemberRemoved(Q, "PJSIP/2"), 104)
    board.handle(MemberRemoved(Q, "PJSIP/2"), 104)
    assert viewed(board).logged_in == 1
    assert [each.interface for each in board.members(Q)] == ["PJSIP/1"]


def test_events_of_queues_that_were_not_listed_change_nothing(member: Any) -> None:
    board = listed()
    for event in (
        MemberChanged(member("other", "PJSIP/1")),
        CallerJoined("other", "1.1", "1.1", 1),
        CallerLeft("other", "1.1"),
        MemberRemoved("other", "x"),
        UserEvent("X", {}),
    ):
        board.handle(event, 100)
    assert board.names == [Q]


def test_callers_stand_where_they_joined(member: Any) -> None:
    board = listed(CallerWaits(Q, "1.1", 1, wait_s=30, priority=0), CallerWaits(Q, "1.2", 2, wait_s=10, priority=0))
    board.handle(CallerJoined(Q, "1.3", "1.3", 3), 105)
    board.handle(CallerJoined(Q, "1.9", "1.9", 1), 110)  # with priority
    assert [board.position(Q, caller) for caller in ("1.9", "1.1", "1.2", "1.3", "1.8")] == [1, 2, 3, 4, None]
    view = viewed(board, 120)
    assert (view.waiting, view.longest_wait_s) == (4, 50)
    board.handle(CallerLeft(Q, "1.1"), 121)
    board.handle(CallerAbandoned(Q, "1.9", 11), 121)
    board.handle(CallerLeft(Q, "1.9"), 121)
    assert [board.position(Q, caller) for caller in ("1.2", "1.3")] == [1, 2]
    assert viewed(board, 121).longest_wait_s == 31


def test_a_caller_told_twice_waits_once() -> None:
    board = listed(CallerWaits(Q, "1.1", 1, wait_s=30, priority=0))
    board.handle(CallerJoined(Q, "1.1", "1.1", 1), 100)  # its event was on the way while the list was made
    view = viewed(board)
    assert (view.waiting, view.longest_wait_s) == (1, 30)


def test_a_new_list_replaces_what_was_known_and_keeps_what_was_learned(member: Any) -> None:
    board = listed(member(Q, "PJSIP/1", "talking"), CallerWaits(Q, "1.1", 1, 5, 0))
    for _ in range(3):
        board.handle(completed(60), 100)
    for event in (state("new"), state(), member(Q, "PJSIP/2", "talking"), QueuesListed()):
        board.handle(event, 200)
    assert board.names == ["new", Q]
    view = viewed(board, 200)
    assert (view.waiting, view.logged_in, view.handling_s) == (0, 1, 60)
    for event in (state(), QueuesListed()):
        board.handle(event, 300)
    assert board.names == [Q]


def test_until_a_new_list_is_complete_the_earlier_state_counts_with_what_happens_meanwhile(member: Any) -> None:
    """A list of many queues comes in several reads; a supervisor or a transfer may look between two of them."""
    board = listed(member(Q, "PJSIP/1"), member(Q, "PJSIP/2"), CallerWaits(Q, "1.1", 1, wait_s=30, priority=0))
    for event in (state("new"), state()):
        board.handle(event, 200)
    view = viewed(board, 200)
    assert (view.logged_in, view.waiting, board.position(Q, "1.1")) == (2, 1, 1)
    assert board.names == [Q]
    board.handle(member(Q, "PJSIP/1"), 200)
    for change in (
        MemberChanged(member(Q, "PJSIP/1", "talking")),
        MemberRemoved(Q, "PJSIP/2"),
        CallerLeft(Q, "1.1"),
        CallerJoined(Q, "1.2", "1.2", 1),
        completed(60),
    ):
        board.handle(change, 200)
    before = viewed(board, 210)
    assert (before.logged_in, before.busy, before.handling_s, board.position(Q, "1.2")) == (1, 1, 60, 1)
    board.handle(QueuesListed(), 210)
    assert viewed(board, 210) == before
    assert board.names == ["new", Q]


def test_the_time_after_a_conversation_is_no_free_time(member: Any) -> None:
    board = listed(member(Q, "PJSIP/1", wrapup_s=30))
    board.handle(completed(60), 200)
    assert viewed(board, 229).busy == 1
    for event in (state(), member(Q, "PJSIP/1", wrapup_s=30), QueuesListed()):
        board.handle(event, 220)  # a list in between does not end it
    assert viewed(board, 229).free == 0
    assert viewed(board, 230).free == 1
    assert viewed(board).handling_s == 90
    for event in (state(), completed(60), member(Q, "PJSIP/1", wrapup_s=30), QueuesListed()):
        board.handle(event, 300)  # it ends between two items of a list
    assert viewed(board, 329).busy == 1


# -- the estimate ------------------------------------------------------------------------------------------------------


def test_it_is_nothing_while_somebody_is_free_or_about_to_take_those_before(member: Any) -> None:
    board = listed(member(Q, "PJSIP/1"), member(Q, "PJSIP/2", "talking"))
    assert board.estimate_s(Q, None, 100) == 0
    assert describe(viewed(board)) == "somebody is free"
    board.handle(MemberChanged(member(Q, "PJSIP/1", "ringing")), 100)
    board.handle(CallerJoined(Q, "1.1", "1.1", 1), 100)
    assert board.estimate_s(Q, 1, 100) == 0


def test_it_counts_position_people_and_their_average(member: Any) -> None:
    board = listed(*(member(Q, f"PJSIP/{n}", "talking") for n in range(1, 4)))
    for seconds in (60, 120, 180):
        board.handle(completed(seconds), 100)
    assert [board.estimate_s(Q, position, 100) for position in (1, 2, 3, 6)] == [40, 80, 120, 240]
    board.handle(CallerJoined(Q, "1.1", "1.1", 1), 100)
    assert board.estimate_s(Q, None, 100) == 80
    board.handle(MemberPaused(member(Q, "PJSIP/3", "talking", paused="Lunch")), 100)
    assert board.estimate_s(Q, 1, 100) == 60


def test_only_recent_conversations_count(member: Any) -> None:
    board = listed(member(Q, "PJSIP/1", "talking"))
    for seconds in [600] * 20 + [60] * 20:
        board.handle(completed(seconds), 100)
    assert board.estimate_s(Q, 1, 100) == 60


def test_asterisks_own_average_serves_until_there_are_three(member: Any) -> None:
    board = listed(member(Q, "PJSIP/1", "talking"), talktime_s=300)
    assert board.estimate_s(Q, 1, 100) == 300
    board.handle(completed(10), 100)
    board.handle(completed(10), 100)
    assert board.estimate_s(Q, 1, 100) == 300
    board.handle(completed(10), 100)
    assert board.estimate_s(Q, 1, 100) == 10


@pytest.mark.parametrize("items", [(), ("gone",), ("paused",)])
def test_with_nobody_there_it_cannot_be_known(member: Any, items: tuple[str, ...]) -> None:
    members = {"gone": member(Q, "PJSIP/1", "gone"), "paused": member(Q, "PJSIP/1", paused="Lunch")}
    board = listed(*(members[item] for item in items), talktime_s=300)
    assert board.estimate_s(Q, None, 100) is None
    assert board.estimate_s("unheard of", None, 100) is None


def test_with_nothing_to_learn_from_it_cannot_be_known(member: Any) -> None:
    board = listed(member(Q, "PJSIP/1", "talking"))
    assert board.estimate_s(Q, None, 100) is None
    board.handle(completed(0), 100)
    assert board.estimate_s(Q, None, 100) == 1


# -- in words ----------------------------------------------------------------------------------------------------------


def view(**fields: Any) -> QueueView:
    known: dict[str, Any] = {"name": Q, "logged_in": 2, "free": 0, "ringing": 0, "busy": 2, "paused": 0, "waiting": 0}
    known |= {"longest_wait_s": 0.0, "handling_s": 60.0, "next_wait_s": 240.0}
    return QueueView(**known | fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"logged_in": 0, "busy": 0, "next_wait_s": None}, "nobody is logged in"),
        ({"paused": 2, "busy": 0, "next_wait_s": None}, "everybody is on a break"),
        ({"free": 1, "busy": 1, "next_wait_s": 0.0}, "somebody is free"),
        ({}, "everybody is busy, nobody is waiting, the wait is about 4 minutes"),
        ({"waiting": 1}, "everybody is busy, 1 caller is waiting, the wait is about 4 minutes"),
        (
            {"waiting": 3, "next_wait_s": None},
            "everybody is busy, 3 callers are waiting, how long it takes is not known",
        ),
    ],
)
def test_a_queue_in_words(fields: dict[str, Any], words: str) -> None:
    assert describe(view(**fields)) == words
    assert describe(view(**fields), closed=True) == "closed"


def test_an_unknown_queue_in_words() -> None:
    assert describe(None) == "nobody knows how long the wait is"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "less than a minute"),
        (29, "less than a minute"),
        (31, "about a minute"),
        (100, "about 2 minutes"),
        (600, "about 10 minutes"),
        (770, "about 15 minutes"),
        (3600, "about 60 minutes"),
        (3700, "more than an hour"),
    ],
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
