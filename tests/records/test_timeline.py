"""The order in which a call is told, what made an answer slow, and what was heard of an interrupted one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.config import CostSettings
from ariagent.realtime.events import Usage
from ariagent.records import events as rec
from ariagent.records.cost import PriceTable
from ariagent.records.entries import Note, ToolRun, Turn
from ariagent.records.model import CallRow, EventRow, UseRow, WaveRow
from ariagent.records.reconstruction import heard_words
from ariagent.records.timeline import Timeline, build
from ariagent.records.views import clock, facts, printable, span, split, timeline_data

BEGAN = 1_795_357_064.0
CALL = CallRow(
    1, "17.1", 1, BEGAN, BEGAN + 0.3, BEGAN + 30, "ended", "frontdesk", "+34600", "", "done", "caller_left", "", "", 0
)
LOUD, SILENT = bytes([200]), bytes(1)


def timeline(*events: tuple[float, rec.CallEvent], waves: tuple[WaveRow, ...] = ()) -> Timeline:
    return build(CALL, [EventRow.of(BEGAN + at, event) for at, event in events], waves)


def answered(at: float, detection: float, model: float, service: float) -> tuple[float, rec.CallEvent]:
    return at, rec.AnswerBegan("", detection + model + service, detection, model, service)


def test_words_that_come_after_the_answer_stand_before_it() -> None:
    line = timeline(
        answered(5.0, 200, 300, 10),
        (5.2, rec.AgentTurn("a1", "On Tuesday.")),
        (5.9, rec.CallerTurn("c1", "When?")),
    )
    assert [(turn.side, turn.text) for turn in line.turns] == [("caller", "When?"), ("agent", "On Tuesday.")]
    assert [turn.at_s for turn in line.turns] == pytest.approx([4.49, 5.0])
    assert line.turns[1].latency is not None
    assert split(line.turns[1].latency) == "510 ms = 200 detection + 300 model + 10 service"
    assert line.turns[1].latency.why == ""


def test_words_that_come_before_the_first_frame_get_its_latency_too() -> None:
    line = timeline((5.0, rec.AgentTurn("a1", "Yes.")), answered(5.1, 200, 300, 10))
    (turn,) = line.turns
    assert turn.latency is not None
    assert turn.at_s == pytest.approx(5.1)


def test_an_opening_has_no_latency_and_does_not_take_the_first_answers() -> None:
    line = timeline(
        (0.5, rec.AgentTurn("a0", "Welcome.")),
        (4.4, rec.CallerTurn("c1", "Hello?")),
        answered(5.0, 200, 300, 10),
        (5.2, rec.AgentTurn("a1", "Hello.")),
    )
    assert [(turn.text, turn.latency is not None) for turn in line.turns] == [
        ("Welcome.", False),
        ("Hello?", False),
        ("Hello.", True),
    ]


def test_an_answer_without_words_is_still_there() -> None:
    (turn,) = timeline(answered(5.0, 200, 300, 10)).turns
    assert (turn.text, turn.latency is not None) == ("", True)


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ((200, 300, 499), ""),
        ((1500, 300, 10), "turn detection waited 1500 ms"),
        ((200, 1800, 10), "the model took 1800 ms"),
        ((200, 300, 2000), "the service took 2000 ms"),
    ],
)
def test_a_slow_answer_says_which_part_made_it_so(parts: tuple[float, float, float], why: str) -> None:
    (turn,) = timeline(answered(9.0, *parts)).turns
    assert turn.latency is not None
    assert turn.latency.why.startswith(why)
    assert bool(why) is bool(turn.latency.why)


def test_the_time_for_which_an_answer_was_held_is_told() -> None:
    line = timeline(
        (8.54, rec.CallerTurnEnded("c1", 1.2, 1290)),
        (8.55, rec.AnswerBegan("a1", 1500, 200, 740, 10, 550)),
        (8.6, rec.CallerTurn("c1", "When?")),
        (8.7, rec.AgentTurn("a1", "On Tuesday.")),
    )
    caller, agent = line.turns
    assert agent.latency is not None
    assert split(agent.latency) == "1500 ms = 200 detection + 740 model + 550 held + 10 service"
    assert agent.latency.why.startswith("the model took 740 ms")
    assert (caller.at_s, caller.end_s) == (pytest.approx(5.85), pytest.approx(7.05)), "the true end of speech"


def test_an_answer_is_slow_because_it_was_held() -> None:
    line = timeline((8.5, rec.AnswerBegan("a1", 1500, 200, 250, 10, 1040)))
    assert line.latencies[0].why == "ariagent held the answer for 1040 ms until it knew that the caller's turn was over"


def test_discarded_answers_are_told_with_their_cost() -> None:
    line = timeline(
        (5.0, rec.AnswerDiscarded("r1", 0.002, input_text=90, output_audio=40)),
        (6.0, rec.AnswerDiscarded("r2", 0.001)),
    )
    assert ("Discarded answers", "2 (0.0030)") in facts(line)
    assert line.notes[0].text == "response: r1, cost: 0.002, input_text: 90, output_audio: 40"
    unpriced = timeline((5.0, rec.AnswerDiscarded("r1", 0.002)), (6.0, rec.AnswerDiscarded("r2")))
    assert ("Discarded answers", "2 (-)") in facts(unpriced)
    assert "Discarded answers" not in dict(facts(timeline()))


def test_what_a_tool_took_of_an_answer_is_not_the_models() -> None:
    line = timeline(
        (6.0, rec.ToolCalled("order_status", "c", arguments='{"n": 1}')),
        (8.0, rec.ToolEnded("order_status", "c", 2000.0, True, output="{}")),
        answered(8.5, 200, 2800, 10),
    )
    latency = line.latencies[0]
    assert [latency.tools_ms, latency.model_ms] == pytest.approx([2000, 800])
    assert latency.why == "the tool order_status took 2000 ms"
    assert sum(ms for _, ms in latency.parts) == pytest.approx(latency.response_ms)
    (run,) = line.tools
    assert (run.tool, run.ms, run.slow, run.arguments, run.output) == ("order_status", 2000, True, '{"n": 1}', "{}")


def test_a_slow_tools_sign_is_told() -> None:
    (note,) = timeline((6.9, rec.WaitingPromptPlayed("tone"))).notes
    assert (note.name, note.kind, note.text) == ("tool.waiting_prompt", "waiting_prompt", "prompt: tone")


def test_a_tool_before_the_turn_is_not_part_of_its_wait() -> None:
    line = timeline(
        (1.0, rec.ToolCalled("t", "c")),
        (2.0, rec.ToolEnded("t", "c", 1000)),
        answered(8.5, 200, 1800, 10),
    )
    assert line.latencies[0].tools_ms == 0
    assert "model" in line.latencies[0].why


def test_two_tools_of_one_name_are_told_apart_and_one_may_not_come_back() -> None:
    line = timeline(
        (1.0, rec.ToolCalled("t", "c1")),
        (1.0, rec.ToolCalled("t", "c2")),
        (1.4, rec.ToolEnded("t", "c2", 400, False, "timeout")),
    )
    assert [(run.ms, run.ok, run.kind) for run in line.tools] == [(None, True, ""), (400, False, "timeout")]


def test_a_tool_without_times_is_measured_by_its_events() -> None:
    (run,) = timeline((1.0, rec.ToolCalled("t", "c")), (1.5, rec.ToolEnded("t", "c"))).tools
    assert run.ms == pytest.approx(500)


def test_an_interrupted_turn_shows_what_was_heard() -> None:
    line = timeline(
        (2.0, rec.AgentTurn("a1", "one two three four five six seven eight")),
        (4.0, rec.AgentInterrupted("a1", 1000, 1000)),
    )
    (turn,) = line.turns
    assert (turn.heard_ms, turn.heard_text) == (1000, "one two three four")


def test_an_interruption_before_the_words_finds_them_and_one_without_words_is_not_lost() -> None:
    line = timeline(
        (4.0, rec.AgentInterrupted("a1", 500, 0)),
        (4.1, rec.AgentTurn("a1", "All of it.")),
        (9.0, rec.AgentInterrupted("a2", 0, 700)),
    )
    assert [(turn.text, turn.heard_text, turn.heard_ms) for turn in line.turns] == [
        ("All of it.", "All of it.", 500),
        ("", "", 0),
    ]


@given(st.text(), st.floats(0, 1e5), st.floats(0, 1e5))
def test_what_was_heard_is_a_beginning(text: str, heard: float, dropped: float) -> None:
    words = heard_words(text, heard, dropped).split()
    assert text.split()[: len(words)] == words


def test_errors_and_gaps_stand_out() -> None:
    line = timeline(
        (1.0, rec.ModelRefused("x")),
        (2.0, rec.AudioGap(420)),
        (3.0, rec.NotReturned("x")),
        (5.0, rec.TransferDeclined("desk", "closed until Monday, 8:00")),
        (6.0, rec.DestinationUnusable("desk", "cannot be reached")),
    )
    assert [(note.name, note.kind) for note in line.notes] == [
        ("model.refused", "error"),
        ("caller_audio.gap", "gap"),
        ("call.return_failed", "error"),
        ("call.transfer_declined", "event"),
        ("call.transfer_impossible", "error"),
    ]
    assert ("Errors", "3") in facts(line), "that an office is closed is none"
    assert line.notes[3].text == "destination: desk, state: closed until Monday, 8:00"


def test_an_event_that_cannot_be_read_is_shown_as_it_is_stored() -> None:
    unknown = EventRow(BEGAN + 4, "quite.new", {"colour": "blue", "size": 1.5})
    odd = EventRow(BEGAN + 5, "turn.interrupted", {"item": 5, "heard_ms": "much"})
    line = build(CALL, [unknown, odd])
    assert [(note.name, note.kind, note.text) for note in line.notes] == [
        ("quite.new", "event", "colour: blue, size: 1.5"),
        ("turn.interrupted", "event", "item: 5, heard_ms: much"),
    ]
    assert line.turns == ()


def test_a_callers_turn_ends_with_the_report_of_its_end() -> None:
    """Two turns before one answer: the second is what was answered."""
    line = timeline(
        (3.0, rec.CallerTurnEnded("c1", 1.5)),
        (4.7, rec.CallerTurnEnded("c2", 0.5)),
        answered(5.0, 200, 300, 0),
        (5.5, rec.CallerTurn("c2", "second")),
        (5.6, rec.CallerTurn("c1", "first")),
    )
    assert [turn.text for turn in line.turns] == ["first", "second", ""]
    assert [turn.end_s for turn in line.turns] == pytest.approx([3.0, 4.5, 5.0])
    assert [turn.at_s for turn in line.turns] == pytest.approx([1.5, 4.0, 5.0])


def test_a_callers_turn_that_is_not_transcribed_is_there_without_words() -> None:
    (turn,) = timeline((3.0, rec.CallerTurnEnded("c1", 1.5))).turns
    assert (turn.side, turn.text, turn.at_s, turn.end_s) == ("caller", "", 1.5, 3.0)


def test_where_an_agents_turn_began_without_an_answers_latency() -> None:
    """By its own event, else by what was heard of it, else by its wave, whose waiting tones are not its end."""
    told = timeline((5.0, rec.AgentTurnBegan("a")), (8.0, rec.AgentTurn("a", "x")))
    cut = timeline(
        (8.0, rec.AgentInterrupted("a", 2500, 1)),
        (8.1, rec.AgentTurn("a", "x")),
    )
    wave = WaveRow("agent", 4.0, LOUD * 80 + SILENT * 40 + LOUD * 4)
    late = (8.5, rec.AgentInterrupted("a", 2500, 1))
    assert timeline(late, waves=(wave,)).turns[0].at_s == pytest.approx(5.5), "known to be one only after a while"
    seen = timeline((7.0, rec.AgentTurn("a", "x")), waves=(wave,))
    assert [line.turns[0].at_s for line in (told, cut, seen)] == pytest.approx([5.0, 5.5, 4.0])
    assert [line.turns[0].end_s for line in (cut, seen)] == pytest.approx([8.0, 8.0])


def test_a_tool_of_our_own_need_not_come_back() -> None:
    line = timeline(
        (1.0, rec.ToolCalled("end_call", "c1", arguments="{}")),
        (1.0, rec.BuiltinToolUsed("end_call")),
    )
    assert [(run.tool, run.ms, run.own) for run in line.tools] == [("end_call", None, True)]
    assert line.notes == ()


def test_waves_tell_where_turns_began_and_ended() -> None:
    caller = WaveRow("caller", 2.0, LOUD * 40)
    agent = (WaveRow("agent", 5.0, LOUD * 20), WaveRow("agent", 6.0, LOUD * 10 + SILENT * 10))
    line = timeline(
        answered(5.0, 200, 800, 0),
        (5.2, rec.AgentTurn("a1", "On Tuesday.")),
        (5.3, rec.CallerTurn("c1", "When?")),
        waves=(caller, *agent),
    )
    assert [turn.side for turn in line.turns] == ["caller", "agent"]
    assert [time for turn in line.turns for time in (turn.at_s, turn.end_s)] == pytest.approx([2.0, 4.0, 5.0, 6.5])
    assert len(line.waves["agent"]) == 140
    assert line.waves["agent"][:100] == bytes(100)


def test_a_wave_at_an_absurd_place_takes_no_memory() -> None:
    line = timeline(waves=(WaveRow("caller", 1e12, LOUD), WaveRow("caller", -5.0, LOUD)))
    assert len(line.waves["caller"]) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"response_ms": "fast", "item": 5, "said": None, "heard_ms": "x", "tool": None, "ms": True, "call_id": []},
        {"response_ms": float("inf"), "heard_ms": -1, "dropped_ms": -5, "ms": -3},
    ],
)
def test_fields_that_are_missing_or_odd_are_done_without(fields: dict[str, object]) -> None:
    line = build(CALL, [EventRow(BEGAN + n, name, fields) for n, name in enumerate(rec.KINDS)])
    assert len(line.entries) >= 3
    assert timeline_data(line)["id"] == "17.1"


def test_cost_is_known_only_when_all_of_it_is() -> None:
    prices = PriceTable(CostSettings())
    known = UseRow("gpt-realtime-2.1", Usage(input_text=1_000_000))
    assert build(CALL, [], (), [known], prices).cost == pytest.approx(4)
    assert build(CALL, [], (), [known, UseRow("other", Usage())], prices).cost is None
    assert build(CALL, []).cost is None


def test_data_has_every_entry_with_its_type() -> None:
    line = timeline(
        answered(5.0, 200, 1300, 10),
        (5.2, rec.AgentTurn("a1", "Yes.")),
        (6.0, rec.ToolCalled("t", "c")),
        (7.0, rec.ModelRefused("x")),
    )
    data = timeline_data(line)
    entries = data["timeline"]
    assert isinstance(entries, list)
    assert [entry["type"] for entry in entries] == ["turn", "tool", "note"]
    assert entries[0]["latency"]["slow"] is True
    assert [type(entry) for entry in line.entries] == [Turn, ToolRun, Note]
    assert ("Slowest", "1510 ms") in facts(line)


def test_words_for_times() -> None:
    assert [clock(0), clock(59.96), clock(61.25)] == ["0:00.0", "1:00.0", "1:01.2"]
    assert [span(9.34), span(59.96), span(245), span(7380)] == ["9.3 s", "1 min 00 s", "4 min 05 s", "2 h 03 min"]


def test_what_a_terminal_would_obey_is_not_printed() -> None:
    assert printable("a\x1b[31mb\nc\u202ed\0") == "a�[31mb c�d�"
