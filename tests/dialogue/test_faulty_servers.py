"""Servers that are late, refuse or break off, in whole conversations in memory; times are literal seconds."""

import json
from typing import Any

import pytest

from ariagent.config import AgentSettings, SemanticVad, ServerVad
from ariagent.dialogue import events as said
from ariagent.dialogue.effects import RunTool
from ariagent.dialogue.notes import FILTERED_NOTE, TOO_LONG_NOTE
from ariagent.realtime.dialect import SPEECH_TO_SPEECH, UNKNOWN, Understanding
from ariagent.realtime.items import FOR_NOW
from ariagent.realtime.session import RealtimeSession
from tests.scriptedcall import ScriptedCall, creates, kinds, texts, tone

PENDING = "function_call_output_pending"


@pytest.fixture
def call() -> ScriptedCall:
    return ScriptedCall()


def outputs(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    items = [m["item"] for m in messages if m["type"] == "conversation.item.create"]
    return [(item["call_id"], item["output"]) for item in items if item["type"] == "function_call_output"]


def refuse(call: ScriptedCall, code: str = PENDING, event_id: str | None = None) -> None:
    call.says("error", error={"type": code, "code": None, "message": "no", "event_id": event_id})


class TestRepliesThatBreakOff:
    @pytest.mark.parametrize(
        ("reason", "note"), [("max_output_tokens", TOO_LONG_NOTE), ("content_filter", FILTERED_NOTE)]
    )
    def test_the_agent_goes_on_at_once(self, call: ScriptedCall, reason: str, note: str) -> None:
        call.starts()
        call.speaks(2000)
        call.ends(status="incomplete", reason=reason)
        sent = call.sent()
        assert texts(sent) == [note]
        assert kinds(sent)[-1] == "response.create"

    def test_what_comes_is_heard_behind_it_without_a_gap(self, call: ScriptedCall) -> None:
        call.starts()
        call.speaks(2000)
        call.ends(status="incomplete", reason="max_output_tokens")
        call.wait(1.0)
        call.reply(1000, "r2", "a2")
        call.wait(2.0)
        assert call.played_ms == 3000

    def test_the_silent_caller_is_not_asked_before_the_agent_has_gone_on(self, call: ScriptedCall) -> None:
        call.starts()
        call.speaks(1000)
        call.ends(status="incomplete", reason="max_output_tokens")
        call.reply(1000, "r2", "a2")
        call.sent()
        call.wait(11.0)
        assert kinds(call.sent()) == []
        call.wait(2.0)
        assert "silent for a while" in texts(call.sent())[0]

    def test_not_for_ever(self, call: ScriptedCall) -> None:
        for number in range(3):
            call.starts(f"r{number}")
            call.speaks(500, f"a{number}", f"r{number}")
            call.ends(f"r{number}", "incomplete", reason="max_output_tokens")
        assert len(creates(call.sent())) == 2

    def test_again_when_the_caller_has_spoken(self, call: ScriptedCall) -> None:
        self.test_not_for_ever(call)
        call.wait(2.0)
        call.turn("Go on.")
        call.starts("r9")
        call.speaks(500, "a9", "r9")
        call.sent()
        call.ends("r9", "incomplete", reason="max_output_tokens")
        assert texts(call.sent()) == [TOO_LONG_NOTE]

    def test_one_that_the_caller_interrupted_is_not_gone_on_with(self, call: ScriptedCall) -> None:
        call.starts()
        call.speaks(5000)
        call.wait(1.0)
        call.caller(100, loud=True)
        call.hears_speech()
        call.caller(800, loud=True)
        assert call.saw(said.Interrupted)
        call.sent()
        call.ends(status="incomplete", reason="max_output_tokens")
        assert creates(call.sent()) == []


class TestToolsThatStillRun:
    """A server that makes no response while a function call has no output."""

    def running(self, understanding: Understanding) -> ScriptedCall:
        call = ScriptedCall(understanding=understanding)
        call.starts()
        call.calls("weather", city="Berlin")
        call.ends()
        assert call.saw(RunTool)
        call.sent()
        return call

    def ended(self, call: ScriptedCall) -> None:
        [run] = call.saw(RunTool)
        call.dialogue.tool_ended(run.call, '{"sky": "blue"}', ok=True, kind="", now=call.now)

    def test_a_known_one_gets_an_output_before_the_caller_is_answered(self) -> None:
        call = self.running(Understanding(SPEECH_TO_SPEECH))
        call.hears_speech()
        assert outputs(call.sent()) == [("c1", FOR_NOW)]
        call.hears_silence()
        self.ended(call)
        sent = call.sent()
        assert outputs(sent) == []
        assert '{"sky": "blue"}' in texts(sent)[0]
        assert "weather" in texts(sent)[0]

    def test_the_model_is_asked_to_go_on_with_the_late_result(self) -> None:
        call = self.running(Understanding(SPEECH_TO_SPEECH))
        call.hears_speech()
        call.hears_silence()
        call.starts("r2")
        call.speaks(500, "a2", "r2")
        call.ends("r2")
        call.sent()
        self.ended(call)
        assert kinds(call.sent()) == ["conversation.item.create", "response.create"]

    def test_a_quick_one_has_its_own_output(self) -> None:
        call = self.running(Understanding(SPEECH_TO_SPEECH))
        self.ended(call)
        assert outputs(call.sent()) == [("c1", '{"sky": "blue"}')]

    def test_others_are_left_alone(self, call: ScriptedCall) -> None:
        call = self.running(Understanding.openai())
        call.hears_speech()
        call.hears_silence()
        assert outputs(call.sent()) == []
        self.ended(call)
        assert outputs(call.sent()) == [("c1", '{"sky": "blue"}')]

    def test_one_that_refuses_gets_an_output_and_is_asked_again(self) -> None:
        call = self.running(Understanding(UNKNOWN))
        call.hears_speech()
        call.hears_silence()
        refuse(call, "response_failed")  # the answer that it wanted to make by itself
        sent = call.sent()
        assert outputs(sent) == [("c1", FOR_NOW)]
        assert len(creates(sent)) == 1
        assert kinds(sent)[-1] == "response.create"

    def test_a_request_that_is_refused_for_it_is_no_failure_of_the_model(self) -> None:
        understanding = Understanding(UNKNOWN)
        call = self.running(understanding)
        call.session.request_response(call.now)
        for number in range(4):
            sent = call.sent()
            assert kinds(sent)[-1] == "response.create"
            call.session.add_call(f"call{number}", "weather", "{}")
            refuse(call, event_id=creates(sent)[-1])
        assert call.failed == []
        assert not understanding.now.open_calls

    def test_a_failed_response_neither(self) -> None:
        call = self.running(Understanding(UNKNOWN))
        for number in (2, 3, 4):
            call.session.add_call(f"c{number}", "weather", "{}")
            call.starts(f"r{number}")
            call.ends(f"r{number}", "failed", error={"type": PENDING})
        assert call.failed == []
        assert len(outputs(call.sent())) == 4

    def test_a_refusal_without_an_open_call_counts_as_ever(self, call: ScriptedCall) -> None:
        for number in (1, 2):
            call.starts(f"r{number}")
            call.ends(f"r{number}", "failed", error={"type": PENDING})
        assert len(call.failed) == 1

    def test_a_new_session_is_told_no_call_without_an_output(self) -> None:
        call = self.running(Understanding.openai())
        call.renewed()
        sent = call.sent()
        assert outputs(sent) == [("c1", FOR_NOW)]
        self.ended(call)
        late = call.sent()
        assert outputs(late) == []
        assert '{"sky": "blue"}' in texts(late)[0]


class TestTurnsThatTheServerDoesNotEnd:
    def speaks_and_falls_silent(self, call: ScriptedCall, quiet_s: float, level: int = 0) -> None:
        call.wait(1.0)
        call.caller(100, loud=True)
        call.hears_speech()
        call.caller(1400, loud=True)
        call.sent()
        for _ in range(int(quiet_s * 50)):
            call.frame(tone(20, level) if level else bytes(960))

    def test_an_answer_is_owed_and_asked_for(self, call: ScriptedCall) -> None:
        self.speaks_and_falls_silent(call, 3.2)
        assert not call.saw(said.CallerEnded)
        call.wait(0.6)  # half a second of the server's, and three
        assert call.saw(said.CallerEnded)
        assert creates(call.sent()) == []
        call.wait(4.0)
        assert len(creates(call.sent())) == 1
        assert call.failed == []

    def test_a_server_that_hangs_is_given_up(self, call: ScriptedCall) -> None:
        self.speaks_and_falls_silent(call, 3.5 + 8.3)
        [failed] = call.failed
        assert failed.fault.value == "silent"

    def test_a_steady_hum_is_no_speech(self, call: ScriptedCall) -> None:
        self.speaks_and_falls_silent(call, 3.8, level=600)
        assert call.saw(said.CallerEnded)

    def test_somebody_who_goes_on_is_waited_for(self, call: ScriptedCall) -> None:
        call.wait(1.0)
        call.caller(100, loud=True)
        call.hears_speech()
        for _ in range(10):
            call.caller(1000, loud=True)
            call.caller(1000, loud=False)
        assert not call.saw(said.CallerEnded)
        assert creates(call.sent()) == []

    def test_a_loud_background_does_not_hide_a_caller_who_goes_on(self, call: ScriptedCall) -> None:
        call.wait(1.0)
        call.caller(100, loud=True)
        call.hears_speech()
        for _ in range(50):
            call.caller(100, loud=True)
            call.frame(tone(20, 6000))  # 6 dB below
        assert not call.saw(said.CallerEnded)

    def test_semantic_detection_has_more_time(self) -> None:
        call = ScriptedCall(AgentSettings(turn_detection=SemanticVad(type="semantic_vad")))
        self.speaks_and_falls_silent(call, 9.0)
        assert not call.saw(said.CallerEnded)
        call.wait(2.5)
        assert call.saw(said.CallerEnded)

    def test_a_late_report_begins_the_wait_anew(self, call: ScriptedCall) -> None:
        self.speaks_and_falls_silent(call, 6.0)
        call.hears_silence()
        call.starts()
        call.speaks(500)
        call.ends()
        call.wait(5.0)
        assert call.failed == []
        assert creates(call.sent()) == []

    def test_a_turn_that_was_dismissed_wants_no_answer(self, call: ScriptedCall) -> None:
        call.reply(20_000)
        call.wait(1.0)
        call.caller(60, loud=True)
        call.hears_speech()
        call.transcribes("")  # a click; the server never says that it is over
        assert call.saw(said.SoundDismissed)
        call.wait(8.0)
        assert not call.saw(said.CallerEnded)
        assert creates(call.sent()) == []


class TestTwoWordsThatMustStopTheAgent:
    def says_no_wait(self, call: ScriptedCall) -> None:
        call.wait(1.0)
        call.turn("Hello, this is a caller.", ms=1500)  # how loud they are
        call.starts()
        call.speaks(20_000)
        call.wait(2.0)
        call.caller(100, loud=True)
        call.hears_speech("u2")
        call.caller(320, loud=True)

    def test_a_server_that_never_ends_the_turn(self, call: ScriptedCall) -> None:
        self.says_no_wait(call)
        call.wait(1.0)
        assert not call.saw(said.Interrupted)
        call.wait(0.5)
        assert call.saw(said.Interrupted)
        played = call.played_ms
        call.wait(2.0)
        assert call.played_ms == played

    def test_then_the_answer_is_owed(self, call: ScriptedCall) -> None:
        self.says_no_wait(call)
        call.wait(1.5)
        call.ends(status="cancelled")
        call.sent()
        call.wait(2.5)
        assert call.saw(said.CallerEnded)
        call.wait(4.2)
        assert len(creates(call.sent())) == 1

    def test_one_that_is_in_time_is_waited_for(self, call: ScriptedCall) -> None:
        self.says_no_wait(call)
        call.wait(0.6)
        call.hears_silence()
        call.transcribes("Okay.")
        assert call.saw(said.SoundDismissed)
        call.wait(3.0)
        assert not call.saw(said.Interrupted)

    def test_as_long_as_it_waits_itself(self) -> None:
        call = ScriptedCall(AgentSettings(turn_detection=ServerVad(silence_duration_ms=1500)))
        self.says_no_wait(call)
        call.wait(2.0)
        assert not call.saw(said.Interrupted)
        call.wait(0.4)
        assert call.saw(said.Interrupted)

    def test_a_cough_stops_nobody(self, call: ScriptedCall) -> None:
        call.starts()
        call.speaks(20_000)
        call.wait(2.0)
        call.caller(100, loud=True)
        call.hears_speech()
        call.caller(60, loud=True)
        call.wait(5.0)
        assert not call.saw(said.Interrupted)


def test_a_function_call_that_was_answered_for_now_is_answered_once(call: ScriptedCall) -> None:
    session: RealtimeSession = call.session
    session.add_call("x", "book", "{}")
    session.answer_tools_for_now()
    session.answer_tools_for_now()
    assert outputs(call.sent()) == [("x", FOR_NOW)]
    assert json.loads(FOR_NOW)["status"].startswith("still running")
    assert not session.answer_tool("x", "{}")
    assert session.answer_tool("y", "{}")
