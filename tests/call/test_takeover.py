"""A new process's knowledge of a call that another one served, from the call's record."""

from dataclasses import replace
from typing import Any

import pytest

from ariagent.ari.events import Channel, Place
from ariagent.call.takeover import (
    LEFT_MEANWHILE,
    SHORT_S,
    InterruptedCall,
    arguments,
    handed_over,
    history_of,
    returned,
)
from ariagent.dialogue.history import Said, Used
from ariagent.dialogue.memory import KEPT_S, Unfinished
from ariagent.records import events as rec
from ariagent.records.model import CallRow, EventRow

STARTED = rec.CallStarted("c", "sales", "-", "5550100")


def at(seconds: float, event: rec.CallEvent) -> EventRow:
    return EventRow.of(seconds, event)


def happened(event: rec.CallEvent) -> EventRow:
    return at(0.0, event)


def left(unfinished: str) -> rec.CallLeft:
    return rec.CallLeft(result="left", reason="stopping", unfinished=unfinished)


def row(**fields: Any) -> CallRow:
    given: dict[str, Any] = dict.fromkeys(("result", "reason", "side", "words", "seat", "caller"), "")
    given |= {"row": 3, "call": "1.1", "visit": 1, "began": 10.0, "answered": 11.0, "ended": None, "dropped": 0}
    return CallRow(**{**given, "agent": "sales", "state": "lost", **fields})


def test_both_sides_keys_and_tools_are_remembered_in_order() -> None:
    entries = history_of(
        [
            happened(STARTED),
            happened(rec.AgentTurn("a", "Good day.")),
            happened(rec.CallerTurn("b", "Where is my order?")),
            happened(rec.ToolCalled("orders", "t", arguments='{"number": 7}')),
            happened(rec.ToolEnded("orders", "t", output='{"state": "ready"}')),
            happened(rec.DigitsGiven(2, "17")),
        ]
    )
    assert entries == (
        Said("agent", "Good day."),
        Said("caller", "Where is my order?"),
        Used("t", "orders", '{"number": 7}', '{"state": "ready"}'),
        Said("caller", "[The caller pressed 17 on the keypad.]"),
    )


def test_the_tools_of_mcp_servers_are_not_repeated_to_the_model() -> None:
    ran = (
        rec.ToolCalled("find", "m", server="crm"),
        rec.ToolEnded("find", "m", 500.0, kind="ok"),
        rec.ToolCalled("orders", "t", arguments="{}"),
    )
    assert history_of(map(happened, ran)) == (Used("t", "orders", "{}"),)


@pytest.mark.parametrize(
    ("heard", "dropped", "known"),
    [
        (500, 500, [Said("agent", "one two three ...")]),
        (0, 900, []),
        (900, 0, [Said("agent", "one two three four")]),
    ],
)
def test_of_the_agent_what_was_heard(heard: int, dropped: int, known: list[Said]) -> None:
    said = happened(rec.AgentTurn("a", "one two three four"))
    assert history_of([said, happened(rec.AgentInterrupted("a", heard, dropped))]) == tuple(known)


def test_what_says_nothing_is_passed_over() -> None:
    silent = (rec.AgentTurn("i"), rec.CallerTurn("i"), rec.AgentInterrupted("x", 0, 0), rec.ToolEnded("t", "unknown"))
    assert history_of(map(happened, silent)) == ()


def test_what_cannot_be_read_is_passed_over() -> None:
    cut = EventRow(0.0, "turn.interrupted", {"item": "a", "heard_ms": "much", "dropped_ms": None})
    other = EventRow(0.0, "quite.new", {"said": "x"})
    assert history_of([happened(rec.AgentTurn("a", "all")), cut, other]) == (Said("agent", "all"),)


def test_the_last_leg_counts_and_earlier_visits_are_remembered() -> None:
    events = [
        at(20.0, replace(STARTED, leg="c1")),
        at(21.0, rec.LegReplaced("c1", "c2", "direct,7001,3")),
        at(22.0, rec.CallerTurn("x", "now")),
    ]
    call = InterruptedCall.from_record(row(), events, [at(1.0, rec.CallerTurn("y", "then"))])
    assert (call.leg, call.call_id, call.row, call.agent, call.dead) == ("c2", "1.1", 3, "sales", True)
    assert call.place == Place("direct", "7001", 3)
    assert (call.began, call.answered, call.last_at) == (10.0, 11.0, 22.0)
    memory = call.memory(23.0)
    assert memory is not None
    assert (memory.entries, memory.interrupted) == ((Said("caller", "then"), Said("caller", "now")), True)
    assert memory.unfinished is None


def test_who_was_not_answered_yet_is_greeted_as_usual() -> None:
    assert InterruptedCall.from_record(row(answered=None), [happened(STARTED)]).memory(1.0) is None


SAID = (at(11.0, STARTED), at(12.0, rec.AgentTurn("a", "Good day.")))


@pytest.mark.parametrize("unfinished", list(Unfinished))
def test_who_was_left_on_purpose_is_owed_what_they_were_waiting_for(unfinished: Unfinished) -> None:
    events = [*SAID, at(20.0, left(unfinished.value)), at(20.0, rec.StateChanged("ended"))]
    memory = InterruptedCall.from_record(row(), events).memory(20.0 + SHORT_S)
    assert memory is not None
    assert (memory.unfinished, memory.entries) == (unfinished, (Said("agent", "Good day."),))


def test_a_long_silence_or_a_lost_memory_is_excused() -> None:
    events = [*SAID, at(20.0, left("nothing"))]
    for call, now in (
        (InterruptedCall.from_record(row(), events), 20.1 + SHORT_S),
        (InterruptedCall.from_record(row(), events, words=False), 20.0),
    ):
        memory = call.memory(now)
        assert memory is not None
        assert (memory.interrupted, memory.unfinished) == (True, None)


@pytest.mark.parametrize(
    ("then", "consulting"),
    [
        ((), True),
        ((left("warm_transfer"),), True),
        ((rec.ConsultEnded("desk", "TIMEOUT"),), False),
        ((rec.CallTransferred("desk", "model", "warm"),), False),
        ((rec.CallTakenOver("c", "sales", "-", "u", 0.5, 1),), False),
    ],
    ids=["died", "left", "nobody", "joined", "continued"],
)
def test_whether_a_human_agent_was_being_called(then: tuple[rec.CallEvent, ...], consulting: bool) -> None:
    events = [*SAID, at(13.0, rec.ConsultStarted("desk", "q.1")), *(at(14.0, event) for event in then)]
    memory = InterruptedCall.from_record(row(), events).memory(100.0)
    assert memory is not None
    assert (memory.interrupted, memory.consulting) == (True, consulting)


def test_one_that_went_on_and_died_then_was_not_left() -> None:
    events = [*SAID, at(20.0, left("words")), at(21.0, rec.CallTakenOver("c", "sales", "-", "u", 0.5, 1))]
    assert InterruptedCall.from_record(row(), events).unfinished is None
    again = [*events, at(22.0, left("of a later version"))]
    assert InterruptedCall.from_record(row(), again).unfinished is Unfinished.ANSWER


@pytest.mark.parametrize(
    ("name", "data", "found"),
    [
        ("PJSIP/a-1", "ariagent", ()),
        ("PJSIP/a-1", "ariagent,sales", ("sales",)),
        ("Local/03@ariagent-seat-1;2", "ariagent,seat,03", ("seat", "03")),
        ("PJSIP/a-1", "other,sales", None),
        ("AudioSocket/127.0.0.1:9092-1", "ariagent,x", None),
    ],
)
def test_whether_a_channel_is_a_callers(name: str, data: str, found: tuple[str, ...] | None) -> None:
    assert arguments(Channel("1.1", name, "Up", app_name="Stasis", app_data=data), "ariagent") == found
    assert arguments(Channel("ariagent-warm-1", name, "Up", app_name="Stasis", app_data=data), "ariagent") is None
    assert arguments(Channel("1.1", name, "Up", app_name="Queue", app_data=data), "ariagent") is None


# -- callers who come back --------------------------------------------------------------------------------------------


TRANSFERRED = rec.CallTransferred("support", "agent", "warm", text="Wants to return it.")
ENDED = row(state="ended", ended=100.0, result="transferred")


def test_a_caller_who_comes_back_is_known_with_where_they_were_and_their_number() -> None:
    events = [happened(e) for e in (STARTED, rec.CallerTurn("i", "Hello?"), TRANSFERRED)]
    memory = returned(ENDED, events, 100.0 + KEPT_S)
    assert memory is not None
    assert (memory.destination, memory.caller_number) == ("support", "5550100")
    assert (memory.entries, memory.interrupted) == ((Said("caller", "Hello?"),), False)
    assert memory.agent == "sales", "another agent must not take the conversation for its own"
    assert returned(ENDED, events, 100.1 + KEPT_S) is None, "too long ago"


def test_who_was_transferred_into_the_call_is_who_comes_back() -> None:
    changed = happened(rec.CallerChanged("5550100", "5550200"))
    withheld = happened(rec.CallerChanged("5550200", "-"))
    for events, number in (([happened(STARTED), changed], "5550200"), ([changed, withheld], "5550200"), ([], "")):
        memory = returned(ENDED, events, 100.0)
        assert memory is not None
        assert (memory.destination, memory.caller_number) == ("a human agent", number)


def test_only_who_was_transferred_or_lost_comes_back() -> None:
    assert returned(replace(ENDED, result="done", reason="caller_hung_up"), [], 100.0) is None
    assert returned(replace(ENDED, ended=None), [], 100.0) is None
    assert returned(replace(ENDED, result="done", reason=LEFT_MEANWHILE), [], 100.0) is not None


@pytest.mark.parametrize(
    ("channel_id", "state", "application", "found"),
    [
        ("ariagent-warm-1", "Up", "", True),  # where Bridge() has put it
        ("ariagent-warm-1", "Up", "Stasis", False),
        ("ariagent-warm-1", "Ringing", "", False),
        ("warm-1", "Up", "Queue", True),
        ("warm-1", "Ring", "Dial", True),
        ("1.1", "Up", "", False),
        ("ariagent-media-1", "Up", "", False),
    ],
)
def test_a_consult_leg_whose_caller_is_there_is_not_ours(
    channel_id: str, state: str, application: str, found: bool
) -> None:
    assert handed_over(Channel(channel_id, "Local/support@ariagent-warm-1;1", state, app_name=application)) is found
