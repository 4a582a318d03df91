"""What is known of a call whose service died, from its records."""

from typing import Any

import pytest

from ariagent.ari.events import Channel
from ariagent.call.resume import SHORT_S, BrokenOff, arguments, history_of, renewed_note, resumed_note
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
            EventRow.of(0.0, rec.CallStarted("c", 0, "-", "-")),
            EventRow.of(0.0, rec.AgentTurn("a", "Good day.")),
            EventRow.of(0.0, rec.CallerTurn("b", "Where is my order?")),
            EventRow.of(0.0, rec.ToolCalled("orders", "t", arguments='{"number": 7}')),
            EventRow.of(0.0, rec.ToolEnded("orders", "t", output='{"state": "ready"}')),
            EventRow.of(0.0, rec.DigitsGiven(2, "17")),
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
    said = EventRow.of(0.0, rec.AgentTurn("a", "one two three four"))
    assert history_of([said, EventRow.of(0.0, rec.AgentInterrupted("a", heard, dropped))]) == tuple(left)


def test_nonsense_in_the_records_is_passed_over() -> None:
    assert history_of([EventRow.of(0.0, rec.AgentTurn("i")), EventRow.of(0.0, rec.CallerTurn("i", 7)), EventRow.of(0.0, rec.AgentInterrupted("x", 0, 0))]) == ()
    cut = EventRow.of(0.0, rec.AgentInterrupted("a", "much", None))
    assert history_of([EventRow.of(0.0, rec.AgentTurn("a", "all")), cut]) == (Said("agent", "all"),)


def test_the_last_leg_counts_and_earlier_visits_are_remembered() -> None:
    events = [
        EventRow.of(20.0, rec.CallStarted("c1", 0, "-", "-")),
        EventRow.of(21.0, rec.LegReplaced("c1", "c2")),
        EventRow.of(22.0, rec.CallerTurn("x", "now")),
    ]
    call = BrokenOff.of(row(), events, [EventRow.of(1.0, rec.CallerTurn("y", "then"))])
    assert (call.leg, call.call_id, call.row, call.agent, call.dead) == ("c2", "1.1", 3, "sales", True)
    assert (call.began, call.answered, call.last_at) == (10.0, 11.0, 22.0)
    memory = call.memory(23.0)
    assert memory is not None
    assert (memory.entries, memory.interrupted) == ((Said("caller", "then"), Said("caller", "now")), True)
    assert memory.owed is None


def test_who_was_not_answered_yet_is_greeted_as_usual() -> None:
    assert BrokenOff.of(row(answered=None), [EventRow.of(0.0, rec.CallStarted("c", 0, "-", "-"))]).memory(1.0) is None


SAID = (EventRow.of(11.0, rec.CallStarted("c", 0, "-", "-")), EventRow.of(12.0, rec.AgentTurn("a", "Good day.")))


@pytest.mark.parametrize("owed", list(Owed))
def test_who_was_left_on_purpose_is_owed_what_they_were_waiting_for(owed: Owed) -> None:
    left = [*SAID, EventRow.of(20.0, rec.CallLeft(result="done", reason="caller_hung_up", owed=owed.value)), EventRow.of(20.0, rec.StateChanged("ended"))]
    memory = BrokenOff.of(row(), left).memory(20.0 + SHORT_S)
    assert memory is not None
    assert (memory.owed, memory.entries) == (owed, (Said("agent", "Good day."),))


def test_a_long_silence_or_a_lost_memory_is_excused() -> None:
    left = [*SAID, EventRow.of(20.0, rec.CallLeft(result="done", reason="caller_hung_up", owed="nothing"))]
    for call, now in ((BrokenOff.of(row(), left), 20.1 + SHORT_S), (BrokenOff.of(row(), left, words=False), 20.0)):
        memory = call.memory(now)
        assert memory is not None
        assert (memory.interrupted, memory.owed) == (True, None)


def test_one_that_went_on_and_died_then_was_not_left() -> None:
    events = [*SAID, EventRow.of(20.0, rec.CallLeft(result="done", reason="caller_hung_up", owed="words")), EventRow.of(21.0, rec.CallTakenOver("c", 0, "-", 0, 0, 0))]
    assert BrokenOff.of(row(), events).owed is None
    again = [*events, EventRow.of(22.0, rec.CallLeft(result="done", reason="caller_hung_up", owed="of a later version"))]
    assert BrokenOff.of(row(), again).owed is Owed.ANSWER


def test_the_model_is_told_what_is_owed_and_nothing_to_be_sorry_for() -> None:
    notes = [renewed_note(owed) for owed in Owed]
    assert len(set(notes)) == len(Owed)
    assert all("Do not greet, do not apologise" in note and "sorry" not in note for note in notes)
    assert "wait for the caller to speak" in renewed_note(Owed.NOTHING)


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


def test_the_model_knows_whether_it_remembers() -> None:
    assert "where you were" in resumed_note(known=True)
    assert "not known to you" in resumed_note(known=False)
