"""What is known of a call whose service died, from its records."""

from typing import Any

import pytest

from ariagent.ari.events import Channel
from ariagent.call.resume import SHORT_S, BrokenOff, arguments, history_of
from ariagent.dialogue.history import Said, Used
from ariagent.dialogue.memory import Owed
from ariagent.records.model import CallRow, EventRow


def event(name: str, at: float = 0.0, **fields: Any) -> EventRow:
    return EventRow(at, name, fields)


def row(**fields: Any) -> CallRow:
    given: dict[str, Any] = dict.fromkeys(("result", "reason", "side", "words", "seat", "caller"), "")
    given |= {"row": 3, "call": "1.1", "visit": 1, "began": 10.0, "answered": 11.0, "ended": None, "dropped": 0}
    return CallRow(**{**given, "agent": "sales", "state": "lost", **fields})


def test_both_sides_keys_and_tools_are_remembered_in_order() -> None:
    entries = history_of(
        [
            event("call.started", leg="c"),
            event("turn.agent", item="a", said="Good day."),
            event("turn.caller", item="b", said="Where is my order?"),
            event("tool.called", id="t", tool="orders", arguments='{"number": 7}'),
            event("tool.done", id="t", tool="orders", output='{"state": "ready"}'),
            event("call.digits", count=2, text="17"),
        ]
    )
    assert entries == (
        Said("agent", "Good day."),
        Said("caller", "Where is my order?"),
        Used("t", "orders", '{"number": 7}', '{"state": "ready"}'),
        Said("caller", "[The caller pressed 17 on the keypad.]"),
    )


@pytest.mark.parametrize(
    ("heard", "dropped", "left"),
    [
        (500, 500, [Said("agent", "one two three ...")]),
        (0, 900, []),
        (900, 0, [Said("agent", "one two three four")]),
    ],
)
def test_of_the_agent_what_was_heard(heard: int, dropped: int, left: list[Said]) -> None:
    said = event("turn.agent", item="a", said="one two three four")
    assert history_of([said, event("turn.interrupted", item="a", heard_ms=heard, dropped_ms=dropped)]) == tuple(left)


def test_nonsense_in_the_records_is_passed_over() -> None:
    assert history_of([event("turn.agent"), event("turn.caller", said=7), event("turn.interrupted", item="x")]) == ()
    cut = event("turn.interrupted", item="a", heard_ms="much", dropped_ms=None)
    assert history_of([event("turn.agent", item="a", said="all"), cut]) == (Said("agent", "all"),)


def test_the_last_leg_counts_and_earlier_visits_are_remembered() -> None:
    events = [
        event("call.started", 20.0, leg="c1"),
        event("call.leg_replaced", 21.0, was="c1", now="c2"),
        event("turn.caller", 22.0, item="x", said="now"),
    ]
    call = BrokenOff.of(row(), events, [event("turn.caller", 1.0, item="y", said="then")])
    assert (call.leg, call.call_id, call.row, call.agent, call.dead) == ("c2", "1.1", 3, "sales", True)
    assert (call.began, call.answered, call.last_at) == (10.0, 11.0, 22.0)
    memory = call.memory(23.0)
    assert memory is not None
    assert (memory.entries, memory.interrupted) == ((Said("caller", "then"), Said("caller", "now")), True)
    assert memory.owed is None


def test_who_was_not_answered_yet_is_greeted_as_usual() -> None:
    assert BrokenOff.of(row(answered=None), [event("call.started", leg="c")]).memory(1.0) is None


SAID = (event("call.started", 11.0, leg="c"), event("turn.agent", 12.0, item="a", said="Good day."))


@pytest.mark.parametrize("owed", list(Owed))
def test_who_was_left_on_purpose_is_owed_what_they_were_waiting_for(owed: Owed) -> None:
    left = [*SAID, event("call.left", 20.0, owed=owed.value), event("call.state", 20.0, state="ended")]
    memory = BrokenOff.of(row(), left).memory(20.0 + SHORT_S)
    assert memory is not None
    assert (memory.owed, memory.entries) == (owed, (Said("agent", "Good day."),))


def test_a_long_silence_or_a_lost_memory_is_excused() -> None:
    left = [*SAID, event("call.left", 20.0, owed="nothing")]
    for call, now in ((BrokenOff.of(row(), left), 20.1 + SHORT_S), (BrokenOff.of(row(), left, words=False), 20.0)):
        memory = call.memory(now)
        assert memory is not None
        assert (memory.interrupted, memory.owed) == (True, None)


def test_one_that_went_on_and_died_then_was_not_left() -> None:
    events = [*SAID, event("call.left", 20.0, owed="words"), event("call.resumed", 21.0, leg="c")]
    assert BrokenOff.of(row(), events).owed is None
    again = [*events, event("call.left", 22.0, owed="of a later version")]
    assert BrokenOff.of(row(), again).owed is Owed.ANSWER


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
