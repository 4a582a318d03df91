"""Expectations: each kind is met, missed and told about; what only records know is not guessed."""

from pathlib import Path
from typing import Any

import pytest

from ariagent.caller import script as do
from ariagent.caller.expectations import Expectations
from ariagent.caller.report import CallReport, Interruption, TalkedOver, Turn, Wait
from ariagent.caller.script import parse_script, with_patience
from ariagent.errors import ConfigurationError
from ariagent.rehearsal.judge import AgentSide, Remark, ToolCall, judge

AGENT = AgentSide(
    remarks=(Remark(0.4, "Hello, this is Ann's office."), Remark(6.0, "Mañana, a las diez. Until Friday then!")),
    tools=(ToolCall(5.0, "book", {"day": "Friday", "people": 2, "who": {"name": "Ann", "age": 30}}),),
    result="done",
    reason="end_call",
)


def report(**changes: Any) -> CallReport:
    made = CallReport("7001", "caller-1", "slin/8000", ended_by="other side", steps_began_s=[0.0, 3.0, 9.0])
    made.turns = [
        Turn("agent", 0.5, 2.5, "hello this is an office", latency_ms=80.0, after="answer"),
        Turn("caller", 3.0, 4.5, "I need a table."),
        Turn("agent", 5.4, 8.0, "until friday then", latency_ms=900.0, after="speech"),
    ]
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def failures(expected: dict[str, Any], agent: AgentSide | None = AGENT, **changes: Any) -> list[str]:
    found = judge(Expectations.model_validate(expected), report(**changes), agent)
    return [f"{failure.step}: {failure.cause}" for failure in found]


@pytest.mark.parametrize(
    "expected",
    [
        {"said": ["this is ann's office", "manana a las diez"]},
        {"said": ["/until (Monday|friday)/"]},
        {"said": [{"any": ["good day", "hello"]}]},
        {"said": [{"any": ["until friday"], "after": 2}]},
        {"never_said": ["goodbye", {"any": ["hello"], "after": 2}, "day"]},
        {"tools": ["book", {"name": "book", "arguments": {"day": "friday", "who": {"name": "/^a/"}}, "times": 1}]},
        {"never_called": ["end_call"]},
        {"ended_by": "agent", "reason": "end_call"},
        {"reason": "/^end/"},
        {"never_talked_over": True},
        {"answer_within_ms": 901, "opening_within_ms": 81, "longest_silence_s": 2},
    ],
    ids=str,
)
def test_met(expected: dict[str, Any]) -> None:
    assert failures(expected) == []


@pytest.mark.parametrize(
    ("expected", "complaint"),
    [
        ({"said": ["goodbye"]}, 'expect.said[0]: the agent never said "goodbye"; it said: Hello, this is'),
        (
            {"said": ["hello", {"any": ["hello", "/office/"], "after": 2}]},
            'expect.said[1]: the agent never said "hello"',
        ),
        ({"said": [{"any": ["hello"], "after": 3}]}, "it said: nothing"),
        ({"never_said": ["office"]}, 'expect.never_said[0]: the agent said "office": "Hello, this is Ann'),
        ({"tools": [{"name": "book", "arguments": {"people": 3}}]}, "expect.tools[0]: book(people=3) was not called"),
        ({"tools": [{"name": "book", "times": 2}]}, "was called 1 times, not 2"),
        ({"tools": [{"name": "book", "arguments": {"where": "here"}}]}, "called: book(day='Friday'"),
        ({"never_called": ["book"]}, "expect.never_called[0]: book was called"),
        ({"ended_by": "caller"}, "expect.ended_by: the call was ended by agent, not by caller"),
        ({"ended_by": "transfer"}, "ended by agent, not by transfer"),
        ({"reason": "caller_hangup"}, "expect.reason: the call ended with 'end_call', not 'caller_hangup'"),
        ({"answer_within_ms": 899}, "expect.answer_within_ms: the answer at 5.4 s came after 900 ms, not 899"),
        ({"opening_within_ms": 79}, "expect.opening_within_ms: the opening began after 80 ms, not 79"),
        ({"interrupted_within_ms": 500}, "expect.interrupted_within_ms: the caller interrupted nothing"),
    ],
    ids=str,
)
def test_missed(expected: dict[str, Any], complaint: str) -> None:
    (found,) = failures(expected)
    assert complaint in found


def test_a_transferred_call_was_ended_by_the_transfer() -> None:
    agent = AgentSide(result="no_model", reason="model_lost")
    assert failures({"ended_by": "transfer", "reason": "model_lost"}, agent) == []
    assert failures({"ended_by": "caller"}, agent, ended_by="caller") != []


def test_an_agent_that_stops_late_and_keeps_waiting() -> None:
    changes: dict[str, Any] = {"interruptions": [Interruption(3.0, 600.0)], "waits": [Wait(4.0, 9.5)]}
    found = failures({"interrupted_within_ms": 500, "longest_silence_s": 5}, AGENT, **changes)
    assert found == [
        "expect.interrupted_within_ms: the agent stopped after 600 ms, not 500",
        "expect.longest_silence_s: the caller waited 5.5 s in silence from 4.0 s on, not 5",
    ]


def test_an_agent_that_talks_over_the_caller() -> None:
    over: dict[str, Any] = {"talked_over": [TalkedOver(3.5, 240.0, "I need ... a table.")]}
    assert failures({"never_talked_over": True}, **over) == [
        'expect.never_talked_over: the agent spoke at 3.5 s, for 240 ms, inside "I need ... a table."'
    ]
    assert failures({"never_talked_over": False}, **over) == []


def test_a_caller_who_says_nothing_cannot_be_talked_over() -> None:
    assert failures({"never_talked_over": True}, turns=[]) == ["expect.never_talked_over: the caller said nothing"]


def test_an_agent_that_waits_for_the_caller_did_not_speak_first() -> None:
    assert failures({"opening_within_ms": 500}, turns=[]) == ["expect.opening_within_ms: the agent did not speak first"]


def test_without_records_words_are_those_that_were_recognised() -> None:
    # Approximately: "and office" sounds like "an office".
    assert failures({"said": ["and office"], "never_said": ["ann's"]}, None) == []
    assert failures({"said": ["goodbye"]}, None) != []


@pytest.mark.parametrize(
    "expected", [{"tools": ["book"]}, {"never_called": ["book"]}, {"reason": "x"}, {"ended_by": "transfer"}]
)
def test_what_only_records_tell_is_not_guessed(expected: dict[str, Any]) -> None:
    (found,) = failures(expected, None)
    assert "records" in found
    assert Expectations.model_validate(expected).need_agent_side


def test_without_records_and_recogniser_no_words_are_judged() -> None:
    silent = [Turn("agent", 0.5, 2.5, None)]
    (found,) = failures({"said": ["hello"], "never_said": ["goodbye"]}, None, turns=silent)
    assert "the agent's words are not known" in found


def test_records_without_words_are_no_reason_to_pass() -> None:
    agent = AgentSide(tools=(ToolCall(5.0, "book", None),), result="done", reason="end_call")
    assert failures({"said": ["hello"], "tools": ["book"], "never_called": ["pay"]}, agent) == []
    (said,) = failures({"never_said": ["until friday"]}, agent)
    assert said == 'expect.never_said[0]: the agent said "until friday": "until friday then"'
    (tools,) = failures({"tools": [{"name": "book", "arguments": {"day": "friday"}}]}, agent)
    assert tools == "expect.tools[0]: the arguments of book are not known: keep records (records.transcripts)"
    (pay,) = failures({"tools": [{"name": "pay", "arguments": {"card": "1"}}]}, agent)
    assert pay == "expect.tools[0]: pay(card='1') was not called; called: book(...)"


def test_nothing_is_expected_of_a_call_that_was_not_answered() -> None:
    assert failures({"said": ["goodbye"], "ended_by": "caller"}, None, outcome="not_answered") == []


@pytest.mark.parametrize(
    ("expect", "complaint"),
    [
        ("saied: [x]", "talk.yaml:4: expect.saied: unknown key (known here: said, never_said, tools"),
        ("said: [/(/]", "talk.yaml:4: expect.said[0]: /(/ is not a regular expression"),
        ("said: ['...']", "'...' has no words"),
        ("said: [{any: [x], after: 2}]", "after: 2, but there are 1 steps"),
        ("said: [{all: [x]}]", "expect.said[0].all: unknown key (known here: any, after)"),
        ("ended_by: nobody", "expect.ended_by"),
        ("answer_within_ms: 0", "expect.answer_within_ms"),
        ("tools: [{arguments: {}}]", "expect.tools[0].name"),
    ],
)
def test_mistakes_name_file_line_and_key(expect: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_script(f"steps:\n  - hangup\nexpect:\n  {expect}\n", Path("talk.yaml"))
    assert complaint in str(caught.value)


def test_a_rehearsal_is_a_script_with_more() -> None:
    text = """
title: A noisy caller
voice: es
noise: {kind: street, snr_db: 10, seed: 3}
caller_id: "5550123"
extension: "7002"
steps: [hangup]
expect: {said: [hola], ended_by: caller}
"""
    script = parse_script(text, Path("noisy.yaml"))
    assert (script.title, script.voice, script.caller_id, script.extension) == (
        "A noisy caller",
        "es",
        "5550123",
        "7002",
    )
    assert script.noise is not None
    assert (script.noise.kind, script.noise.snr_db, script.noise.seed) == ("street", 10, 3)
    assert script.expected.said[0].any == ("hola",)
    assert parse_script("steps: [hangup]", Path("in_a_hurry.yaml")).title == "in a hurry"


def test_patience_multiplies_limits_and_nothing_else() -> None:
    text = """
steps:
  - wait_answer: {within: 5, quiet: 0.5}
  - interrupt: {after: 1, say: Stop, stop_within: 2}
  - silence: 3
  - expect_hangup: {within: 4}
expect: {said: [hello], answer_within_ms: 1000, longest_silence_s: 2}
"""
    patient = with_patience(parse_script(text, Path("talk.yaml")), 3)
    assert patient.steps == (
        do.WaitAnswer(15, 0.5),
        do.Interrupt(1, "Stop", 6),
        do.Silence(3),
        do.ExpectHangup(12),
    )
    expected = patient.expected
    assert (expected.answer_within_ms, expected.longest_silence_s, expected.opening_within_ms) == (3000, 6, None)
    assert expected.said[0].any == ("hello",)
