"""Conversations with ``turns: fast``, in memory. Times are literal seconds."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ariagent.audio.waiting_tone import waiting_tone
from ariagent.dialogue import effects as fx
from ariagent.dialogue import events, notes
from ariagent.dialogue.conversation import CUT_IN_S
from ariagent.dialogue.history import Said, Used
from ariagent.dialogue.introduction import Party
from ariagent.dialogue.memory import Unfinished
from ariagent.dialogue.tool_calls import PROMPT_AFTER_S
from ariagent.realtime import events as rt
from ariagent.realtime.dialect import SPEECH_TO_SPEECH, Understanding
from ariagent.realtime.session import RealtimeSession
from tests.dialogue.talking import DESK, LOUD, Call, tone

FAST = {"turns": "fast", "fast_turns": {"hold_ms": 800, "threshold": 0.7}, "interruptions": {"confirm": True}}
USAGE = {"input_token_details": {"text_tokens": 90, "audio_tokens": 10}, "output_token_details": {"audio_tokens": 40}}
DISCARDED = ["cancel", "delete"]


class FastCall(Call):
    """A call whose agent has fast turns. The server ends a turn after 0.2 s of silence."""

    def __init__(self, agent: Mapping[str, Any] | None = None, **given: Any) -> None:
        super().__init__({**FAST, **(agent or {})}, **given)
        self.lasts(0.5)

    def pauses(self, item_id: str = "u1", words: str | None = None, seconds: float = 1.0) -> None:
        """The caller speaks, and the server ends a turn."""
        self.begins_to_speak(item_id)
        self.goes_on(item_id, words, seconds)

    def goes_on(self, item_id: str, words: str | None = None, seconds: float = 0.3) -> None:
        """The caller, who has begun to speak, speaks on, and the server ends a turn."""
        self.lasts(seconds, LOUD)
        self.lasts(0.2)
        self.falls_silent(item_id, words)

    def answers(self, ms: float = 200, item_id: str = "a1", words: str = "Here you are.") -> str:
        """A whole response of the model."""
        response_id = self.starts()
        self.adds(item_id)
        self.sounds(ms, item_id)
        self.ends(item_id, words, usage=USAGE)
        return response_id

    def adds(self, item_id: str) -> None:
        """The response has this item."""
        item = {"id": item_id, "type": "message"}
        self.says("response.output_item.added", response_id=f"r{self.responses}", item=item)

    def asked(self) -> fx.JudgeTurn:
        """The newest request to the judge."""
        self.took()
        return [effect for effect in self.all if isinstance(effect, fx.JudgeTurn)][-1]

    def judged(self, probability: float) -> None:
        """The judge answers the newest request."""
        self.dialogue.turn_judged(self.asked().pause, probability, self.now)

    def heard_of(self, seconds: float) -> float:
        """How much the caller hears in this time, in ms."""
        return 20.0 * sum(frame is not None for frame in self.lasts(seconds))

    def count(self, *kinds: type) -> int:
        """How many effects of these kinds there were so far."""
        self.took()
        return sum(isinstance(effect, kinds) for effect in self.all)


@pytest.fixture
def call() -> FastCall:
    return FastCall()


class TestRelease:
    def test_the_server_is_asked_to_end_turns_early(self, call: FastCall) -> None:
        detection = call.profile.session()["audio"]["input"]["turn_detection"]
        assert detection == {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 200,
            "create_response": True,
            "interrupt_response": False,
        }

    def test_the_judge_is_asked_about_the_turn_within_the_hold_time(self, call: FastCall) -> None:
        call.pauses()
        assert call.asked() == fx.JudgeTurn(1, pytest.approx(1200), pytest.approx(0.6))

    def test_a_turn_that_the_judge_takes_for_complete_is_answered_in_the_next_frame(self, call: FastCall) -> None:
        call.pauses(words="Where is my order?")
        call.answers(200)
        assert call.heard_of(0.1) == 0
        assert not call.dialogue.finished
        assert call.of(events.CallerEnded) == []
        call.judged(0.7)
        assert fx.SpeechReady() in call.dialogue.effects
        assert call.lasts(0.02) == [tone(200)[: len(LOUD)]]
        call.lasts(0.4)
        assert call.took() == [
            events.AnswerReleased(),
            events.TurnTranscribed("u1", pytest.approx(1.2), True, True, pytest.approx(0.1)),
            events.CallerEnded(),
            events.CallerSaid("u1", "Where is my order?"),
            events.AgentSaid("a1", "Here you are."),
            events.AgentBegan("a1"),
            call.all[-2],
            events.AgentEnded(),
        ]
        assert call.entries == (Said("caller", "Where is my order?"), Said("agent", "Here you are."))
        assert call.dialogue.finished

    def test_the_time_for_which_it_was_held_is_told(self, call: FastCall) -> None:
        call.pauses()
        call.lasts(0.1)
        call.answers(200)
        call.lasts(0.3)
        call.judged(0.9)
        call.lasts(0.02)
        [began] = call.of(events.AnswerBegan)
        found = began.latency
        assert (found.detection_s, found.model_s) == (pytest.approx(0.2), pytest.approx(0.1))
        assert (found.held_s, found.service_s) == (pytest.approx(0.3), pytest.approx(0.02))
        assert found.response_s == pytest.approx(0.62)

    def test_an_answer_that_comes_after_the_verdict_is_not_held(self, call: FastCall) -> None:
        call.pauses()
        call.judged(0.9)
        call.lasts(0.2)
        call.starts()
        assert call.count(events.CallerEnded) == 0
        call.sounds(200, "a1")
        assert call.count(events.CallerEnded) == 1
        assert call.lasts(0.02)[0] is not None
        assert call.heard_of(0.3) == 180
        [began] = call.of(events.AnswerBegan)
        assert began.latency.held_s == 0

    def test_a_tool_that_comes_after_the_verdict_runs_at_once(self) -> None:
        call = FastCall({"tools": ["order"]})
        call.pauses()
        call.judged(0.9)
        call.calls(("order", {}))
        assert call.count(fx.RunTool) == call.count(events.CallerEnded) == 1

    def test_one_that_began_before_the_verdict_is_heard_in_its_order(self, call: FastCall) -> None:
        call.pauses()
        call.starts()
        call.sounds(100, "a1")
        call.judged(0.9)
        call.sounds(100, "a1")
        call.ends("a1", "Here you are.")
        assert call.heard_of(0.4) == 200

    @pytest.mark.parametrize("probability", [None, 0.69])
    def test_otherwise_it_is_heard_when_the_hold_time_is_over(self, call: FastCall, probability: float | None) -> None:
        call.pauses()
        call.answers(200)
        if probability is not None:
            call.judged(probability)
        assert call.heard_of(0.58) == 0
        assert call.heard_of(0.04) > 0
        assert call.of(fx.StopJudging) == [fx.StopJudging()]

    def test_the_hold_time_needs_no_frame_and_no_event(self, call: FastCall) -> None:
        call.pauses()
        call.answers(200)
        assert call.until_due(3.0) == [pytest.approx(2.3, abs=0.02)]
        assert call.count(events.CallerEnded) == 1

    def test_a_verdict_that_comes_too_late_changes_nothing(self, call: FastCall) -> None:
        call.pauses()
        asked = call.asked()
        call.lasts(0.7)
        call.took()
        call.dialogue.turn_judged(asked.pause, 0.9, call.now)
        assert call.took() == []

    def test_a_verdict_on_an_earlier_pause_changes_nothing(self, call: FastCall) -> None:
        call.pauses("u1")
        asked = call.asked()
        call.pauses("u2")
        call.answers(200)
        call.dialogue.turn_judged(asked.pause, 0.9, call.now)
        assert call.heard_of(0.1) == 0

    def test_a_second_report_of_the_same_end_changes_nothing(self, call: FastCall) -> None:
        call.pauses()
        call.answers(200)
        call.says("input_audio_buffer.speech_stopped", item_id="u1", audio_end_ms=call.dialogue._uplink.appended_ms)
        assert call.heard_of(0.58) == 0
        assert call.heard_of(0.4) == 200
        assert call.count(events.CallerEnded) == 1

    def test_a_server_that_does_not_answer_leaves_nothing_behind(self, call: FastCall) -> None:
        call.pauses()
        call.lasts(1.0)
        assert call.count(events.CallerEnded) == 0, "nothing was heard: the caller may go on"
        call.lasts(2.0)
        assert call.count(events.CallerEnded) == 1
        assert not call.dialogue.at_rest, "an answer is pending"
        call.starts()
        call.sounds(200, "a1")
        assert call.heard_of(0.3) == 200


class TestTheCallerGoesOn:
    def one_turn(self, call: FastCall, words: str) -> None:
        """The rest of the conversation was one turn of the caller's and its answer."""
        call.answers(200, "a9", "The answer.")
        call.judged(1.0)
        assert call.heard_of(0.4) == 200
        assert call.entries == (Said("caller", words), Said("agent", "The answer."))
        assert call.count(events.CallerBegan) == call.count(events.CallerEnded) == 1
        assert call.count(events.CallerSaid, events.TurnTranscribed) == 2
        assert call.count(events.AgentSaid) == call.count(events.AnswerReleased) == 1
        assert call.count(events.Interrupted, events.SoundDismissed, events.CutIn) == 0

    def test_an_answer_that_is_complete_is_forgotten_unheard(self, call: FastCall) -> None:
        call.pauses("u1", "I would like")
        discarded = call.answers(200, "a1")
        call.told()
        call.begins_to_speak("u2")
        [delete] = call.told()
        assert (delete["type"], delete["item_id"]) == ("conversation.item.delete", "a1")
        assert call.heard_of(0.3) == 0
        assert call.of(events.AnswerDiscarded) == [
            events.AnswerDiscarded(discarded, rt.Usage(input_text=90, input_audio=10, output_audio=40))
        ]
        call.lasts(0.5, LOUD)
        call.lasts(0.2)
        call.falls_silent("u2", "a pizza.")
        self.one_turn(call, "I would like a pizza.")

    def test_one_that_runs_is_cancelled_and_forgotten_when_it_is_over(self, call: FastCall) -> None:
        call.pauses("u1", "I would like")
        response_id = call.starts()
        call.adds("a1")
        call.sounds(100, "a1")
        call.told()
        call.begins_to_speak("u2")
        assert [message.get("response_id") for message in call.told()] == [response_id]
        call.sounds(100, "a1")
        assert call.count(events.AnswerDiscarded) == 0
        call.ends("a1", "Here you are", status="cancelled", usage=USAGE)
        assert [message["item_id"] for message in call.told()] == ["a1"]
        [discarded] = call.of(events.AnswerDiscarded)
        assert discarded.usage.output_audio == 40
        assert call.heard_of(0.4) == 0
        call.lasts(0.2)
        call.falls_silent("u2", "a pizza.")
        self.one_turn(call, "I would like a pizza.")

    def test_one_that_begins_afterwards_is_cancelled_too(self, call: FastCall) -> None:
        call.pauses("u1", "I would like")
        call.begins_to_speak("u2")
        call.told()
        response_id = call.starts()
        assert [message["response_id"] for message in call.told()] == [response_id]
        call.adds("a1")
        call.sounds(100, "a1")
        call.ends("a1", status="cancelled", usage=USAGE)
        assert call.kinds() == ["delete"]
        assert call.count(events.AnswerDiscarded) == 1
        assert call.heard_of(0.2) == 0
        call.lasts(0.2)
        call.falls_silent("u2", "a pizza.")
        self.one_turn(call, "I would like a pizza.")

    def test_it_may_still_begin_after_the_next_pause(self, call: FastCall) -> None:
        """The server was slow: its answer to the first part is none to the whole turn."""
        call.pauses("u1", "I would like")
        call.begins_to_speak("u2")
        call.starts()
        call.sounds(100, "a1")
        call.goes_on("u2", "a pizza.")
        call.told()
        call.ends("a1", status="cancelled")
        call.begins_to_speak("u3")
        assert call.kinds() == [], "it was cancelled once"
        call.goes_on("u3", "with cheese.")
        self.one_turn(call, "I would like a pizza. with cheese.")

    def test_it_may_begin_before_the_next_part_is_an_item(self, call: FastCall) -> None:
        call.pauses("u1", "I would like")
        call.begins_to_speak("u2")
        call.lasts(0.3, LOUD)
        call.lasts(0.2)
        at_ms = call.dialogue._uplink.appended_ms
        call.says("input_audio_buffer.speech_stopped", item_id="u2", audio_end_ms=at_ms)
        call.told()
        call.starts()
        call.adds("a1")
        call.ends("a1", status="cancelled")
        assert call.kinds() == DISCARDED
        call.says("input_audio_buffer.committed", item_id="u2")
        call.begins_to_speak("u3")
        assert call.kinds() == [], "it was forgotten already"
        assert call.count(events.AnswerDiscarded) == 1

    def test_after_the_verdict_and_before_anything_was_heard(self, call: FastCall) -> None:
        call.pauses("u1", "I would like")
        call.judged(1.0)
        call.lasts(0.1)
        call.begins_to_speak("u2")
        call.starts()
        call.sounds(200, "a1")
        call.ends("a1", status="cancelled")
        assert call.heard_of(0.3) == 0
        call.goes_on("u2", "a pizza.")
        self.one_turn(call, "I would like a pizza.")

    def test_any_number_of_pauses(self, call: FastCall) -> None:
        for n in range(1, 6):
            call.pauses(f"u{n}", f"{n}", seconds=0.4)
            call.answers(200, f"a{n}")
            assert call.heard_of(0.1) == 0
        call.begins_to_speak("u6")
        call.lasts(0.4, LOUD)
        call.lasts(0.2)
        call.falls_silent("u6", "6")
        assert call.count(events.AnswerDiscarded) == 5
        assert call.count(fx.JudgeTurn) == 6
        self.one_turn(call, "1 2 3 4 5 6")

    def test_the_judge_hears_the_turn_from_its_beginning(self, call: FastCall) -> None:
        call.pauses("u1")
        call.pauses("u2")
        assert call.asked() == fx.JudgeTurn(2, pytest.approx(2400), pytest.approx(0.6))

    def test_a_server_that_cancels_by_itself_is_not_told_to(self) -> None:
        call = FastCall({"turn_detection": {"interrupt_response": True}})
        call.pauses("u1", "I would like")
        call.starts()
        call.adds("a1")
        call.sounds(100, "a1")
        call.told()
        call.begins_to_speak("u2")
        assert call.told() == []
        call.ends("a1", status="cancelled")
        assert call.kinds() == ["delete"]
        call.goes_on("u2", "a pizza.")
        self.one_turn(call, "I would like a pizza.")

    def test_answers_that_ariagent_asks_for_are_thrown_away_too(self) -> None:
        call = FastCall({"turn_detection": {"create_response": False}})
        call.pauses("u1", "I would like")
        assert call.kinds() == ["create"]
        call.begins_to_speak("u2")
        response_id = call.starts()
        assert [message["response_id"] for message in call.told()] == [response_id]
        call.sounds(100, "a1")
        call.ends("a1", status="cancelled")
        call.goes_on("u2", "a pizza.")
        assert call.kinds() == ["create"]
        self.one_turn(call, "I would like a pizza.")

    def test_words_that_come_late_are_in_the_same_turn(self, call: FastCall) -> None:
        call.pauses("u1")
        call.begins_to_speak("u2")
        call.goes_on("u2", "a pizza.")
        call.answers(200, "a9", "The answer.")
        call.judged(1.0)
        kind = "conversation.item.input_audio_transcription.completed"
        call.says(kind, item_id="u1", transcript="I would like")
        assert Said("caller", "I would like a pizza.") in call.entries
        assert call.count(events.CallerSaid) == 1

    def test_pauses_are_no_turns_without_sense(self) -> None:
        """Nobody would be taken to talk with the agent after five turns without a reply in between."""
        call = FastCall({"transcription": None})
        for n in range(30):
            call.pauses(f"u{n}", seconds=1.6)
        call.answers(200)
        call.judged(1.0)
        assert call.count(events.CallerBegan) == 1
        assert not call.dialogue._background.noticed

    def test_the_caller_is_asked_to_hold_on_by_the_whole_turn(self) -> None:
        call = FastCall({"silence": {"ask_after_s": 5.0, "hold_on_s": 60.0}})
        call.pauses("u1", "One")
        call.pauses("u2", "moment please.")
        call.lasts(20.0)
        assert notes.silence_note not in call.notes()
        assert call.notes() == []

    def test_the_caller_who_cannot_be_heard_by_the_server_yet_is_heard_by_us(self, call: FastCall) -> None:
        call.pauses("u1", "I would like")
        call.answers(200, "a1")
        call.lasts(0.5)
        assert [frame for frame in call.lasts(0.18, LOUD) if frame] == []
        call.begins_to_speak("u2")
        call.goes_on("u2", "a pizza.")
        self.one_turn(call, "I would like a pizza.")


class TestTools:
    def with_tool(self, **given: Any) -> FastCall:
        return FastCall({"tools": ["order"], "handoff": ["desk"]}, places={"desk": DESK}, **given)

    @pytest.mark.parametrize(
        ("name", "arguments", "effect"),
        [
            ("order", {}, fx.RunTool),
            ("end_call", {}, fx.EndRequested),
            ("transfer_call", {"destination": "desk", "reason": "r", "summary": "s"}, fx.TransferRequested),
        ],
    )
    def test_a_tool_waits_for_the_release(self, name: str, arguments: dict[str, str], effect: type) -> None:
        call = self.with_tool()
        call.pauses()
        call.calls((name, arguments))
        call.lasts(0.3)
        assert call.count(effect, events.ToolStarted) == 0
        call.judged(1.0)
        assert call.count(effect) == call.count(events.ToolStarted) == 1

    @pytest.mark.parametrize("name", ["order", "end_call", "transfer_call"])
    def test_the_tools_of_a_discarded_answer_never_run(self, name: str) -> None:
        call = self.with_tool()
        call.pauses("u1")
        call.calls((name, {"destination": "desk", "reason": "r", "summary": "s"}))
        call.told()
        call.begins_to_speak("u2")
        [delete] = call.told()
        assert delete["item_id"] == "i-r1-0"
        call.lasts(2.0)
        assert call.count(fx.RunTool, fx.EndRequested, fx.TransferRequested, events.ToolStarted) == 0
        assert [entry for entry in call.entries if isinstance(entry, Used)] == []

    def test_the_calls_of_a_response_that_was_cancelled_are_not_answered(self) -> None:
        call = self.with_tool()
        call.pauses("u1")
        call.starts()
        item = {"id": "i1", "type": "function_call", "call_id": "c1", "name": "order", "arguments": "{}"}
        call.says("response.output_item.added", response_id="r1", item=item)
        call.says("response.output_item.done", response_id="r1", item=item)
        call.begins_to_speak("u2")
        call.told()
        call.ends(status="cancelled")
        assert call.kinds() == ["delete"]
        assert call.count(fx.RunTool) == 0

    @pytest.mark.parametrize("whispers", [False, True])
    def test_an_output_that_the_server_had_to_have_meanwhile_is_forgotten_with_the_call(self, whispers: bool) -> None:
        call = self.with_tool()
        call.session = RealtimeSession(call.profile, Understanding(SPEECH_TO_SPEECH))
        call.ready(call.session)
        call.dialogue.use(call.session)
        call.pauses("u1")
        call.calls(("order", {}))
        call.told()
        if whispers:
            call.dialogue.whisper("Be brief.", call.now, at_once=True)
        call.begins_to_speak("u2")
        told = call.told()
        created = [message["item"] for message in told if message["type"] == "conversation.item.create"]
        [output] = [item for item in created if item["type"] == "function_call_output"]
        deleted = [message["item_id"] for message in told if message["type"] == "conversation.item.delete"]
        assert sorted(deleted) == sorted(["i-r1-0", output["id"]])

    def test_one_that_is_safe_to_repeat_runs_at_once_and_is_told_at_the_release(self) -> None:
        call = self.with_tool(safe={"order"})
        call.pauses()
        [made] = call.calls(("order", {}))
        assert call.of(fx.RunTool) == [fx.RunTool(made)]
        call.lasts(0.2)
        call.told()
        call.dialogue.tool_ended(made, '"sent"', ok=True, kind="ok", now=call.now)
        assert (call.told(), call.count(events.ToolEnded, events.ToolStarted)) == ([], 0)
        call.judged(1.0)
        assert call.results() == ["sent", {}]
        assert call.count(fx.RunTool) == 1, "it runs once"
        [ended] = [event for event in call.all if isinstance(event, events.ToolEnded)]
        assert ended.seconds == pytest.approx(0.2)
        assert Used("r1-0", "order", "{}", '"sent"') in call.entries

    def test_one_that_still_runs_at_the_release_is_told_later(self) -> None:
        call = self.with_tool(safe={"order"}, prompts={"order": "tone"})
        call.pauses()
        [made] = call.calls(("order", {}))
        call.judged(1.0)
        assert call.count(fx.RunTool) == call.count(events.ToolStarted) == 1
        call.told()
        call.lasts(PROMPT_AFTER_S + 0.1)
        assert call.of(events.WaitingPromptPlayed) == [events.WaitingPromptPlayed("tone")]
        call.dialogue.tool_ended(made, '"sent"', ok=True, kind="ok", now=call.now)
        assert call.results() == ["sent", {}]

    @pytest.mark.parametrize("before", [True, False])
    def test_the_result_of_one_of_a_discarded_answer_is_given_to_nobody(self, before: bool) -> None:
        call = self.with_tool(safe={"order"})
        call.pauses("u1")
        [made] = call.calls(("order", {}))
        if before:
            call.dialogue.tool_ended(made, '"sent"', ok=True, kind="ok", now=call.now)
        call.begins_to_speak("u2")
        call.told()
        if not before:
            call.dialogue.tool_ended(made, '"sent"', ok=True, kind="ok", now=call.now)
        assert call.told() == []
        assert call.count(events.ToolStarted, events.ToolEnded) == 0
        call.goes_on("u2")
        [again] = call.calls(("order", {}))
        call.judged(1.0)
        call.dialogue.tool_ended(again, '"sent"', ok=True, kind="ok", now=call.now)
        assert call.results()[-2:] == ["sent", {}]

    def test_those_of_a_discarded_answer_leave_their_room_to_others(self) -> None:
        call = self.with_tool(safe={"order"})
        call.pauses("u1")
        call.calls(*[("order", {})] * 8)
        call.pauses("u2")
        call.calls(*[("order", {})] * 8)
        assert call.count(fx.RunTool) == 16

    def test_no_more_run_early_than_may_run(self) -> None:
        call = self.with_tool(safe={"order"})
        call.pauses()
        call.calls(*[("order", {})] * 10)
        assert call.count(fx.RunTool) == 8
        call.judged(1.0)
        assert call.count(fx.RunTool) == 8
        [refused] = call.of(events.ToolsRefused) or [e for e in call.all if isinstance(e, events.ToolsRefused)]
        assert refused.count == 2


def _key(call: FastCall) -> None:
    call.dialogue.press("5", call.now)
    call.lasts(1.0)


def _next_caller(call: FastCall) -> None:
    call.dialogue.caller_changed(Party("1001", "Anna"), Party("5552000", "Eve"), call.now)


def _leaves(call: FastCall) -> None:
    call.dialogue.break_off(call.now)


class TestInTheMiddle:
    """Something else happens while an answer is held."""

    def held(self, agent: Mapping[str, Any] | None = None, **given: Any) -> FastCall:
        call = FastCall({"tools": ["order"], **(agent or {})}, **given)
        call.pauses("u1", "My order?")
        call.starts()
        call.adds("a1")
        call.sounds(400, "a1")
        item = {"id": "i1", "type": "function_call", "call_id": "c1", "name": "order", "arguments": "{}"}
        call.says("response.output_item.added", response_id="r1", item=item)
        call.says("response.output_item.done", response_id="r1", item=item)
        call.ends("a1", "Let me see.", usage=USAGE)
        call.took()
        call.told()
        return call

    def test_the_session_is_lost(self) -> None:
        call = self.held()
        call.dialogue.handle(rt.SessionLost(rt.Fault.NETWORK, "cut"), call.now)
        assert call.count(events.CallerEnded) == call.count(events.AnswerDiscarded) == 1
        assert Said("caller", "My order?") in call.entries
        call.session = RealtimeSession(call.profile)
        call.ready(call.session)
        call.dialogue.renew(call.session, call.now)
        assert notes.LOST_NOTE in call.notes()
        heard = [frame for frame in call.lasts(3.0) if frame]
        assert b"".join(heard).strip(b"\0") in waiting_tone(call.dialogue._format) * 3
        assert call.count(fx.RunTool, events.AgentSaid) == 0
        assert [entry.text for entry in call.entries if isinstance(entry, Said) and entry.who == "agent"] == []

    def test_the_words_that_are_known_outlive_the_session(self) -> None:
        call = FastCall()
        call.pauses("u1", "I would like")
        call.pauses("u2")
        call.dialogue.handle(rt.SessionLost(rt.Fault.NETWORK, "cut"), call.now)
        assert call.entries == (Said("caller", "I would like"),)

    def test_words_without_their_response_are_those_of_the_discarded_one(self) -> None:
        call = FastCall()
        call.pauses("u1", "I would like")
        call.starts()
        call.sounds(100, "a1")
        call.begins_to_speak("u2")
        call.says("response.output_audio_transcript.done", item_id="a1", transcript="Here")
        assert call.count(events.AgentSaid) == 0

    @pytest.mark.parametrize("happens", [_key, _next_caller, _leaves])
    def test_the_agent_has_to_stop(self, happens: Callable[[FastCall], None]) -> None:
        call = self.held({"opening": None, "keypad": {"pause_ms": 100}})
        happens(call)
        deleted = {message["item_id"] for message in call.told() if message["type"] == "conversation.item.delete"}
        assert deleted == {"a1", "i1"}
        assert call.heard_of(2.0) == 0
        assert call.count(events.CallerEnded) == call.count(events.CallerSaid) == 1
        assert call.count(events.AnswerDiscarded) == 1
        assert call.count(fx.RunTool, events.AgentSaid, events.Interrupted) == 0

    def test_a_key_cancels_the_running_answer_once_and_is_answered(self) -> None:
        call = FastCall({"keypad": {"pause_ms": 100}})
        call.pauses("u1", "My order?")
        call.starts()
        call.adds("a1")
        call.sounds(400, "a1")
        call.told()
        call.dialogue.press("5", call.now)
        assert call.heard_of(0.2) == 0
        assert call.kinds() == ["cancel", "create"]
        call.ends("a1", status="cancelled")
        deleted, create = call.told()
        assert (deleted["item_id"], create["type"]) == ("a1", "response.create")
        call.speaks(200, "a2", "Five.")
        assert call.heard_of(0.3) == 200
        assert call.entries[0] == Said("caller", "My order?")

    def test_a_key_in_the_middle_of_a_sentence_does_not_end_it(self) -> None:
        call = FastCall({"keypad": {"pause_ms": 100}})
        call.begins_to_speak("u1")
        call.lasts(0.3, LOUD)
        call.dialogue.press("5", call.now)
        call.lasts(0.7, LOUD)
        assert call.of(events.DigitsGiven)
        call.lasts(0.2)
        call.falls_silent("u1")
        call.answers(200)
        assert call.heard_of(0.3) == 0
        call.judged(1.0)
        assert call.heard_of(0.4) == 200

    def test_keys_that_follow_slowly_are_waited_for(self) -> None:
        """The time until the sequence counts as complete is longer than the rest of the hold time."""
        call = self.held({"keypad": {"pause_ms": 800}})
        call.lasts(0.3)
        call.dialogue.press("5", call.now)
        assert call.heard_of(0.5) == 0
        call.dialogue.press("6", call.now)
        assert call.heard_of(0.9) == 0
        assert [event.digits for event in call.of(events.DigitsGiven)] == ["56"]
        assert call.count(fx.RunTool, events.AgentSaid) == 0

    def test_a_key_that_is_not_told_leaves_the_answer(self) -> None:
        call = self.held({"keypad": {"pause_ms": 300, "actions": {"5": "ignore"}}})
        call.dialogue.press("5", call.now)
        call.judged(1.0)
        assert call.heard_of(0.3) == 0
        assert call.heard_of(0.8) == 400
        assert call.count(fx.RunTool) == 1

    def test_a_whisper_that_is_to_be_acted_on_is_answered_behind_it(self) -> None:
        call = FastCall()
        call.pauses("u1", "My order?")
        call.answers(200, "a1", "One.")
        call.told()
        call.dialogue.whisper("Offer a discount.", call.now, at_once=True)
        assert call.kinds() == ["create", "create"]
        call.answers(200, "a2", "Two.")
        assert call.heard_of(0.2) == 0
        call.judged(1.0)
        assert call.heard_of(0.6) == 400
        assert call.entries == (Said("caller", "My order?"), Said("agent", "One."), Said("agent", "Two."))

    def test_the_answer_to_a_whisper_is_thrown_away_with_the_other(self) -> None:
        call = FastCall()
        call.pauses("u1", "I would like")
        call.answers(200, "a1", "One.")
        call.dialogue.whisper("Offer a discount.", call.now, at_once=True)
        call.starts()
        call.adds("a2")
        call.sounds(200, "a2")
        call.told()
        call.begins_to_speak("u2")
        assert sorted(call.kinds()) == ["cancel", "delete"]
        call.ends("a2", status="cancelled")
        assert call.kinds() == ["delete"]
        assert call.heard_of(0.5) == 0
        assert call.count(events.AnswerDiscarded) == 2

    def test_the_answer_to_a_whisper_that_begins_when_the_caller_continues_is_cancelled(self) -> None:
        call = FastCall()
        call.pauses("u1", "I would like")
        call.answers(200, "a1", "One.")
        call.dialogue.whisper("Offer a discount.", call.now, at_once=True)
        call.begins_to_speak("u2")
        call.told()
        call.starts()
        call.sounds(200, "a2")
        assert call.kinds() == ["cancel"]
        assert call.heard_of(0.3) == 0

    def test_a_whisper_that_waits_for_the_answer_is_acted_on_by_the_next(self) -> None:
        call = FastCall()
        call.pauses("u1", "I would like")
        call.starts()
        call.sounds(100, "a1")
        call.dialogue.whisper("Offer a discount.", call.now, at_once=True)
        call.begins_to_speak("u2")
        call.ends("a1", status="cancelled")
        call.goes_on("u2")
        call.told()
        call.answers(200)
        call.judged(1.0)
        call.lasts(3.0)
        assert "create" not in call.kinds(), "the note is in the conversation that is answered"

    def test_a_whisper_for_later_changes_nothing(self) -> None:
        call = self.held()
        call.dialogue.whisper("Offer a discount.", call.now, at_once=False)
        call.judged(1.0)
        assert call.heard_of(0.6) == 400
        assert call.count(fx.RunTool) == 1

    def test_a_transfer_waits_until_the_answer_was_heard(self) -> None:
        call = FastCall()
        call.pauses()
        call.answers(200)
        assert not call.dialogue.finished
        call.lasts(0.5)
        assert not call.dialogue.finished
        call.judged(1.0)
        call.lasts(0.1)
        assert not call.dialogue.finished
        call.lasts(0.2)
        assert call.dialogue.finished

    def test_the_call_ends(self) -> None:
        call = self.held()
        call.dialogue.close(call.now)
        stopped, discarded, turn, ended, said = call.took()
        assert stopped == fx.StopJudging()
        assert isinstance(discarded, events.AnswerDiscarded)
        assert (discarded.response_id, discarded.usage.output_audio) == ("r1", 40)
        assert isinstance(turn, events.TurnTranscribed)
        assert (ended, said) == (events.CallerEnded(), events.CallerSaid("u1", "My order?"))
        call.dialogue.close(call.now)
        assert call.took() == []

    def test_nobody_is_asked_whether_they_are_there(self) -> None:
        call = FastCall({"silence": {"ask_after_s": 0.5}, "fast_turns": {"hold_ms": 4000, "threshold": 0.7}})
        call.pauses()
        call.told()
        call.answers(200)
        call.lasts(3.0)
        assert call.notes() == []
        call.judged(1.0)
        call.lasts(1.0)
        assert len(call.notes()) == 1

    def test_a_process_that_leaves_owes_an_answer(self) -> None:
        call = self.held()
        assert call.dialogue.unfinished is Unfinished.ANSWER
        call.begins_to_speak("u2")
        assert call.dialogue.unfinished is Unfinished.TURN

    def test_the_session_is_not_changed(self) -> None:
        call = FastCall()
        call.pauses("u1", "My order?")
        call.answers(200)
        assert not call.dialogue.at_rest
        call.judged(1.0)
        call.lasts(0.5)
        assert call.dialogue.at_rest

    def test_the_response_fails_and_is_asked_for_again(self) -> None:
        call = FastCall()
        call.pauses()
        call.starts()
        call.ends(status="failed", status_details={"error": {"code": "server_error"}})
        assert call.kinds() == ["create"]
        call.answers(200)
        assert call.count(events.ResponseFailed) == 0
        assert call.heard_of(0.3) == 0
        call.judged(1.0)
        assert call.heard_of(0.4) == 200
        assert call.count(events.ResponseFailed) == 1

    def test_one_that_breaks_off_is_continued_after_the_release(self) -> None:
        call = FastCall()
        call.pauses()
        call.starts()
        call.sounds(100, "a1")
        call.ends("a1", "Once", status="incomplete", status_details={"reason": "max_output_tokens"})
        assert call.notes() == []
        call.judged(1.0)
        assert call.notes() == [notes.TOO_LONG_NOTE]

    def test_one_that_breaks_off_and_is_discarded_is_not_continued(self) -> None:
        call = FastCall()
        call.pauses()
        call.starts()
        call.ends("a1", "Once", status="incomplete", status_details={"reason": "max_output_tokens"})
        call.begins_to_speak("u2")
        call.lasts(1.0, LOUD)
        assert (call.notes(), call.count(events.ResponseFailed)) == ([], 0)

    def test_more_than_anybody_would_listen_to(self) -> None:
        call = FastCall({"max_output_tokens": 100})
        call.pauses()
        call.starts()
        for _ in range(200):
            call.sounds(1000, "a1")
        assert call.count(fx.GiveUpSession) >= 1
        assert call.heard_of(1.0) == 0


class TestInterruptions:
    def speaking(self, agent: Mapping[str, Any] | None = None) -> FastCall:
        """The agent speaks, and has been heard for two seconds."""
        call = FastCall(agent)
        call.pauses("u0", "Hello.")
        call.answers(8000, "a0", "one two three four five six seven eight")
        call.judged(1.0)
        call.lasts(2.0)
        call.took()
        call.told()
        call.all.clear()
        return call

    def test_a_long_one_is_a_turn_whose_pauses_are_judged(self) -> None:
        call = self.speaking()
        call.pauses("u1", "No, I do not want that.")
        assert call.kinds() == ["truncate"]
        call.answers(200, "a1")
        assert call.heard_of(0.1) == 0
        assert call.count(events.Interrupted) == call.count(events.CallerBegan) == 1
        call.begins_to_speak("u2")
        assert call.kinds() == ["delete"]
        call.goes_on("u2", "Really.")
        call.answers(200, "a2", "Well.")
        call.judged(1.0)
        assert call.heard_of(0.4) == 200
        assert call.entries[-2:] == (Said("caller", "No, I do not want that. Really."), Said("agent", "Well."))

    def test_one_that_is_known_by_its_words_is_held_once(self) -> None:
        """The answer is held for the sound, and then for the end of the turn."""
        call = self.speaking()
        call.begins_to_speak("u1")
        call.lasts(0.4, LOUD)
        call.lasts(0.2)
        call.falls_silent("u1")
        call.answers(200, "a1")
        call.told()
        kind = "conversation.item.input_audio_transcription.completed"
        call.says(kind, item_id="u1", transcript="Not that.")
        assert call.kinds() == ["truncate"], "the answer stays"
        assert call.count(events.Interrupted) == call.count(fx.JudgeTurn) == 1
        assert call.heard_of(0.1) == 0
        call.judged(1.0)
        assert call.heard_of(0.4) == 200
        assert call.count(events.CallerSaid) == call.count(events.CallerEnded) == 1

    def test_such_a_one_goes_on_too(self) -> None:
        call = self.speaking()
        call.begins_to_speak("u1")
        call.lasts(0.4, LOUD)
        call.lasts(0.2)
        call.falls_silent("u1")
        call.answers(200, "a1")
        kind = "conversation.item.input_audio_transcription.completed"
        call.says(kind, item_id="u1", transcript="Not that")
        call.told()
        call.begins_to_speak("u2")
        assert call.kinds() == ["delete"]
        call.lasts(0.4, LOUD)
        call.lasts(0.2)
        call.falls_silent("u2", "one.")
        call.answers(200, "a2", "Well.")
        call.judged(1.0)
        assert call.heard_of(0.4) == 200
        assert call.entries[-2:] == (Said("caller", "Not that one."), Said("agent", "Well."))
        assert call.count(events.CallerSaid, events.TurnTranscribed) == 2

    def test_one_whose_words_come_after_the_hold_time_is_answered_at_once(self) -> None:
        call = self.speaking()
        call.begins_to_speak("u1")
        call.lasts(0.4, LOUD)
        call.lasts(0.2)
        call.falls_silent("u1")
        call.answers(200, "a1")
        call.lasts(1.0)
        kind = "conversation.item.input_audio_transcription.completed"
        call.says(kind, item_id="u1", transcript="Not that.")
        assert call.count(fx.JudgeTurn) == 0
        assert call.lasts(0.04)[1] is not None

    @pytest.mark.parametrize("words", ["", "Uh-huh."])
    def test_a_sound_that_is_none_ends_nobodys_turn(self, words: str) -> None:
        call = self.speaking()
        call.begins_to_speak("u1")
        call.goes_on("u1")
        call.answers(200, "a1")
        kind = "conversation.item.input_audio_transcription.completed"
        call.says(kind, item_id="u1", transcript=words)
        assert call.count(events.SoundDismissed) == 1
        assert call.count(fx.JudgeTurn, events.CallerBegan, events.CallerEnded, events.AnswerDiscarded) == 0
        assert call.kinds() == ["delete", "delete"]
        assert call.heard_of(6.5) == pytest.approx(5500, abs=700)

    def test_a_short_pause_in_it_is_not_its_end(self) -> None:
        """ "No" alone would be too short to be speech, and would be forgotten."""
        call = self.speaking()
        call.begins_to_speak("u1")
        call.lasts(0.26, LOUD)
        call.lasts(0.24)
        call.falls_silent("u1")
        call.starts()
        call.adds("a1")
        call.sounds(100, "a1")
        call.lasts(0.06, LOUD)
        call.begins_to_speak("u2")
        assert call.kinds() == ["cancel"]
        call.ends("a1", status="cancelled")
        assert call.kinds() == ["delete"]
        call.lasts(0.3, LOUD)
        assert call.count(events.Interrupted) == 1, "600 ms of speech within 1.5 s"
        call.lasts(0.2)
        call.falls_silent("u2", "I do not.")
        kind = "conversation.item.input_audio_transcription.completed"
        call.says(kind, item_id="u1", transcript="No,")
        call.answers(200, "a2", "Well.")
        call.judged(1.0)
        assert call.heard_of(0.4) == 200
        assert call.entries[-2:] == (Said("caller", "No, I do not."), Said("agent", "Well."))
        assert call.count(events.SoundDismissed) == 0
        assert call.count(events.CallerBegan) == call.count(events.CallerSaid) == 1

    def test_a_sound_of_two_parts_that_is_none_is_forgotten_whole(self) -> None:
        call = self.speaking()
        for item_id in ("u1", "u2"):
            call.begins_to_speak(item_id)
            call.lasts(0.1, LOUD)
            call.lasts(0.22)
            call.falls_silent(item_id)
        kind = "conversation.item.input_audio_transcription.completed"
        call.told()
        call.says(kind, item_id="u1", transcript="Uh-huh.")
        assert call.count(events.SoundDismissed) == 0, "half of it"
        call.says(kind, item_id="u2", transcript="Okay.")
        assert [message["item_id"] for message in call.told()] == ["u1", "u2"]
        assert [event.item_id for event in call.of(events.SoundDismissed)] == ["u2"]
        assert call.count(events.CallerBegan, events.CallerEnded, events.Interrupted) == 0

    def test_a_sound_of_two_parts_does_not_lose_what_was_wanted(self) -> None:
        """A tool has its result while the agent speaks, and the caller hums twice."""
        call = self.speaking({"tools": ["order"]})
        [made] = call.calls(("order", {}))
        call.dialogue.tool_ended(made, '"sent"', ok=True, kind="ok", now=call.now)
        call.starts()
        call.begins_to_speak("u1")
        call.dialogue.whisper("Be brief.", call.now, at_once=True)
        call.lasts(0.1, LOUD)
        call.lasts(0.22)
        call.falls_silent("u1")
        call.begins_to_speak("u2")
        call.lasts(0.1, LOUD)
        call.lasts(0.22)
        call.falls_silent("u2")
        kind = "conversation.item.input_audio_transcription.completed"
        for item_id in ("u1", "u2"):
            call.says(kind, item_id=item_id, transcript="Uh-huh.")
        call.told()
        call.sounds(100, "a5")
        call.ends("a5")
        call.lasts(3.0)
        assert "create" in call.kinds()

    def test_a_long_pause_in_it_is_its_end(self) -> None:
        call = self.speaking()
        call.begins_to_speak("u1")
        call.lasts(0.26, LOUD)
        call.lasts(0.7)
        call.falls_silent("u1")
        call.begins_to_speak("u2")
        assert [event.item_id for event in call.of(events.SoundDismissed)] == ["u1"]

    def test_without_confirmation_each_sound_is_a_turn(self) -> None:
        call = self.speaking({"interruptions": {"confirm": False}})
        call.pauses("u1", "Not that")
        call.answers(200, "a1")
        call.pauses("u2", "one.")
        call.answers(200, "a2", "Well.")
        call.judged(1.0)
        assert call.heard_of(0.4) == 200
        assert call.entries[-2:] == (Said("caller", "Not that one."), Said("agent", "Well."))


class TestCutIns:
    @pytest.mark.parametrize(("after_s", "cut_in"), [(0.1, True), (CUT_IN_S - 0.1, True), (CUT_IN_S + 0.1, False)])
    @pytest.mark.parametrize("turns", ["fast", "server"])
    def test_a_caller_who_speaks_on_soon_after_the_answer_began(self, turns: str, after_s: float, cut_in: bool) -> None:
        call = FastCall({"turns": turns})
        call.pauses("u0", "I would like")
        call.answers(8000, "a0")
        while not call.of(events.AnswerBegan):
            call.lasts(0.02)
        call.lasts(after_s)
        call.begins_to_speak("u1")
        call.lasts(1.0, LOUD)
        assert call.count(events.CallerBegan) == 2
        found = [event.after_s for event in call.all if isinstance(event, events.CutIn)]
        assert found == ([pytest.approx(after_s, abs=0.03)] if cut_in else [])

    def test_an_answer_to_a_short_answer_is_none(self) -> None:
        call = FastCall()
        call.pauses("u0", "Hello.")
        call.answers(200, "a0")
        call.judged(1.0)
        call.lasts(0.5)
        call.pauses("u1", "Thanks.")
        assert call.count(events.CutIn) == 0

    def test_a_cough_is_none(self) -> None:
        call = FastCall()
        call.pauses("u0", "Hello.")
        call.answers(8000, "a0")
        call.judged(1.0)
        call.lasts(0.3)
        call.begins_to_speak("u1")
        call.lasts(0.1, LOUD)
        call.lasts(0.2)
        call.falls_silent("u1", "")
        assert call.count(events.SoundDismissed) == 1
        assert call.count(events.CutIn) == 0


class TestServerTurns:
    @pytest.mark.parametrize(("turns", "wait_ms"), [("fast", 200), ("server", 500)])
    def test_a_server_that_acknowledges_no_silence_waits_as_it_was_asked(self, turns: str, wait_ms: float) -> None:
        assert FastCall({"turns": turns}).profile.silence_wait_ms({}) == wait_ms

    def test_nothing_is_held_nor_judged(self) -> None:
        call = FastCall({"turns": "server"})
        detection = call.profile.session()["audio"]["input"]["turn_detection"]
        assert detection["silence_duration_ms"] == 500
        call.pauses("u1", "I would like")
        assert call.count(events.CallerEnded) == 1
        call.answers(200, "a1")
        assert call.heard_of(0.4) == 200
        call.pauses("u2", "a pizza.")
        assert call.count(events.CallerBegan) == 2
        assert call.count(fx.JudgeTurn, fx.StopJudging, events.AnswerReleased, events.AnswerDiscarded) == 0
        assert [entry for entry in call.entries if isinstance(entry, Said) and entry.who == "caller"] == [
            Said("caller", "I would like"),
            Said("caller", "a pizza."),
        ]
