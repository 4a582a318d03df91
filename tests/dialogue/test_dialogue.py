"""A whole conversation in memory. Times are literal seconds."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ariagent.audio.waiting_tone import waiting_tone
from ariagent.config import ServerVad
from ariagent.config.handoff import DestinationSettings
from ariagent.dialogue import effects as fx
from ariagent.dialogue import events, notes
from ariagent.dialogue.dialogue import LOST_PROMPT_AFTER_S, LOST_PROMPT_AGAIN_S, WAITING_NOTE_EVERY_S
from ariagent.dialogue.handoff import Handoff
from ariagent.dialogue.history import Said, Used
from ariagent.dialogue.introduction import Introduction, Party
from ariagent.dialogue.memory import Memory, Unfinished
from ariagent.dialogue.role import Role
from ariagent.dialogue.tool_calls import PROMPT_AFTER_S, PROMPT_AGAIN_S
from ariagent.dialogue.tool_rounds import MOST_CALLS, MOST_REMINDERS, MOST_ROUNDS
from ariagent.realtime import events as rt
from ariagent.realtime.session import RealtimeSession
from ariagent.tools.plugins import CallFacts
from tests.dialogue.talking import (
    DESK,
    EXPERT,
    FMT,
    LOUD,
    SUNDAY,
    WARM_FIRST,
    Call,
    tone,
)


class TestBegin:
    def test_a_rendered_opening_is_played_and_the_model_need_not_be_asked(self) -> None:
        call = Call({"opening": "Good day."}, phrases={"Good day.": tone(100)})
        assert call.dialogue.begun
        assert fx.SpeechReady() in call.dialogue.effects
        assert call.took() == [events.AgentSaid("aria_opening", "Good day.")]
        [item] = call.told()
        assert (item["previous_item_id"], item["item"]["content"][0]["text"]) == ("root", "Good day.")
        frames = call.lasts(0.2)
        assert b"".join(frame for frame in frames if frame) == tone(100)
        assert call.took() == [events.AgentBegan("aria_opening"), events.AgentEnded()]
        assert call.entries == (Said("agent", "Good day."),)
        assert call.dialogue.finished

    def test_one_that_is_not_rendered_is_said_by_the_model(self) -> None:
        call = Call({"opening": "Good day."})
        [create] = call.told()
        assert create["response"] == {"instructions": "Say exactly: Good day."}
        assert not call.dialogue.finished
        call.speaks(100, words="Good day.")
        call.lasts(0.2)
        assert call.took() == [events.AgentSaid("a", "Good day."), events.AgentBegan("a"), events.AgentEnded()]
        assert call.dialogue.finished

    def test_without_an_opening_the_caller_speaks_first(self) -> None:
        call = Call()
        assert (call.told(), call.took()) == ([], [])
        assert call.dialogue.at_rest

    def test_the_opening_is_in_the_callers_language(self) -> None:
        facts = CallFacts("1.1", "sales", language="de")
        call = Call({"opening": {"en": "Good day.", "de": "Guten Tag."}}, begins=False)
        call.dialogue.role = Role(call.agent, "", facts)
        call.ready(call.session)
        call.dialogue.begin(call.now)
        assert call.told()[0]["response"] == {"instructions": "Say exactly: Guten Tag."}

    def test_a_caller_whom_a_human_agent_transferred_is_met_with_what_was_said_of_them(self) -> None:
        by = Introduction(Party("1001", "Anna"), "a broken wheel")
        call = Call({"opening": "Good day."}, phrases={"Good day.": tone(100)}, introduced_by=by)
        opening, note, create = call.told()
        assert opening["item"]["role"] == "assistant"
        assert note["item"]["content"][0]["text"] == notes.introduced_note(by, opening=True)
        assert create["response"] == {}

    def test_a_caller_who_comes_back_goes_on_where_they_were(self) -> None:
        entries = (Said("caller", "a human, please"), Used("c", "transfer_call", "{}", '{"ok": true}'))
        memory = Memory(entries, "desk", "5551000")
        call = Call({"opening": "Good day."}, memory=memory, why_back="BUSY")
        said, used, output, note, create = call.told()
        assert (said["item"]["role"], said["item"]["content"][0]["text"]) == ("user", "a human, please")
        assert (used["item"]["type"], output["item"]["type"]) == ("function_call", "function_call_output")
        assert note["item"]["content"][0]["text"] == notes.returned_note("desk", "BUSY")
        assert create["type"] == "response.create"
        assert call.entries == entries

    def test_nothing_happens_by_itself_before(self) -> None:
        call = Call(begins=False)
        assert not call.dialogue.begun
        assert call.dialogue.next_deadline() is None
        call.dialogue.press("1", call.now)
        call.dialogue.listen(tone(1000), call.now)
        call.dialogue.tick(call.now)
        assert (call.told(), call.took()) == ([], [])


class TestTurns:
    def test_a_turn_and_its_answer(self) -> None:
        call = Call()
        call.lasts(1.0)
        call.turn("Where is my order?")
        assert call.took() == [
            events.CallerBegan(),
            fx.CallerSpoke(),
            events.TurnTranscribed("u1", 1.0, billed=True, believed=True),
            events.CallerEnded(),
            events.CallerSaid("u1", "Where is my order?"),
        ]
        assert not call.dialogue.at_rest
        call.lasts(0.3)
        call.speaks(200, words="It is on its way.")
        assert call.took() == [events.AgentSaid("a", "It is on its way.")]
        call.lasts(0.4)
        began, answer, ended = call.took()
        assert (began, ended) == (events.AgentBegan("a"), events.AgentEnded())
        assert isinstance(answer, events.AnswerBegan)
        assert answer.item_id == "a"
        assert 0.3 <= answer.latency.response_s <= 1.0
        assert call.entries == (Said("caller", "Where is my order?"), Said("agent", "It is on its way."))
        assert call.dialogue.last_said == ("agent", "It is on its way.")
        assert call.dialogue.at_rest

    def test_nothing_follows_from_speech_of_the_model_alone(self) -> None:
        call = Call()
        call.dialogue.take_effects()
        call.starts()
        call.dialogue.take_effects()
        call.sounds(20, "a")
        assert call.dialogue.take_effects() == []

    def test_while_the_caller_speaks_every_frame_goes_at_once(self) -> None:
        call = Call()
        call.begins_to_speak()
        call.falls_silent()
        call.heard.clear()
        call.lasts(0.32)
        assert [len(pcm) for pcm in call.heard] == [8 * FMT.frame_bytes] * 2
        call.begins_to_speak("u2")
        call.heard.clear()
        call.lasts(0.1)
        assert [len(pcm) for pcm in call.heard] == [FMT.frame_bytes] * 5

    def test_positions_that_cannot_be_right_are_not_billed(self) -> None:
        call = Call()
        call.says("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
        call.says("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=900_000)
        [turn] = call.of(events.TurnTranscribed)
        assert (turn.seconds, turn.believed) == (0.0, False)

    def test_a_gap_in_the_callers_audio_is_filled_and_told(self) -> None:
        call = Call()
        call.lasts(0.2)
        call.heard.clear()
        call.lasts(1.0, b"")
        assert sum(map(len, call.heard)) > 0
        assert call.of(events.GapEnded) == []
        call.lasts(0.02)
        [gap] = call.of(events.GapEnded)
        assert gap.ms == pytest.approx(1000, abs=100)
        assert call.dialogue.account() == {
            "underruns": 0,
            "caller_audio_gap_s": pytest.approx(1.0, abs=0.1),
            "caller_audio_gaps": 1,
        }

    def test_a_machine_that_calls_ends_the_call(self) -> None:
        call = Call({"machines": "end"})
        at = np.arange(FMT.rate_hz // 2) / FMT.rate_hz
        beep = (4000 * np.sin(2 * np.pi * 1100 * at)).astype("<i2").tobytes() + FMT.silence(3000)
        for start in range(0, len(beep), 50 * FMT.frame_bytes):
            call.now += 1.0
            call.dialogue.listen(beep[start : start + 50 * FMT.frame_bytes], call.now)
        assert call.of(fx.NobodyThere) == [fx.NobodyThere("fax")]


class TestInterruptions:
    def test_the_model_is_told_at_once_what_was_heard_before_it_can_answer(self) -> None:
        """Confirmed by its length, in the middle of a frame: the server says nothing then."""
        call = Call()
        call.speaks(5000, words="one two three four five six seven eight nine ten")
        call.lasts(1.0)
        assert call.dialogue.unfinished is Unfinished.WORDS
        call.took()
        call.begins_to_speak()
        assert call.took() == []
        while not call.took():
            call.lasts(0.02, LOUD)
            assert call.now < 110.0
        [truncate] = call.told()
        assert (truncate["type"], truncate["item_id"]) == ("conversation.item.truncate", "a")
        assert 1000 <= truncate["audio_end_ms"] <= 1200
        interrupted, began, spoke = call.all[-3:]
        assert interrupted == events.Interrupted("a", truncate["audio_end_ms"], 5000 - truncate["audio_end_ms"])
        assert (began, spoke) == (events.CallerBegan(), fx.CallerSpoke())
        assert call.lasts(0.1, LOUD) == [None] * 5
        assert call.took() == [events.AgentEnded()]
        # Nothing is asked of the model before it knows.
        call.falls_silent(words="What about my order?")
        call.starts()
        assert call.told() == []
        assert call.entries == (Said("agent", "one two three ..."), Said("caller", "What about my order?"))

    def _short_sound_with_an_answer(self, answer: Callable[[Call], object]) -> Call:
        """A sound over a reply that is speech by its length, but for its words, which are still missing."""
        call = Call()
        call.speaks(4000)
        call.lasts(1.0)
        call.begins_to_speak()
        call.lasts(0.36, LOUD)
        call.lasts(0.3)
        call.falls_silent()
        answer(call)
        call.took()
        return call

    def test_a_second_sound_cuts_off_the_answer_to_the_first_that_was_held_back(self) -> None:
        call = self._short_sound_with_an_answer(lambda call: call.speaks(1500, "b"))
        call.lasts(0.2)
        call.lasts(0.1, LOUD)
        call.begins_to_speak("u2")
        assert [cut.item_id for cut in call.of(events.Interrupted)] == ["a"], "the first one was speech"
        heard = [frame for frame in call.lasts(1.0, LOUD) if frame]
        assert len(heard) <= 40, "it is judged as any other sound over a reply"
        assert [cut.item_id for cut in call.of(events.Interrupted)] == ["b"]

    def test_a_tool_of_an_answer_that_was_held_back_runs_from_its_release_on(self) -> None:
        made: list[rt.ToolCall] = []
        call = self._short_sound_with_an_answer(lambda call: made.extend(call.calls(("order_status", {}))))
        call.lasts(1.5)
        assert call.of(fx.RunTool) == []
        call.says("conversation.item.input_audio_transcription.completed", item_id="u1", transcript="Stop, order it!")
        assert [run.call for run in call.of(fx.RunTool)] == made
        call.now += 0.25
        call.dialogue.tool_ended(made[0], "{}", ok=True, kind="ok", now=call.now)
        [ended] = call.of(events.ToolEnded)
        assert ended.seconds == pytest.approx(0.25)

    def test_an_answer_that_was_held_back_is_played_at_once(self) -> None:
        call = self._short_sound_with_an_answer(lambda call: call.speaks(1500, "b"))
        call.says("conversation.item.input_audio_transcription.completed", item_id="u1", transcript="Stop, please!")
        assert fx.SpeechReady() in call.dialogue.effects
        assert all(call.lasts(1.4))

    def test_a_response_that_goes_on_is_cancelled_first(self) -> None:
        call = Call()
        call.starts()
        call.sounds(5000, "a")
        call.lasts(0.5)
        call.begins_to_speak()
        call.lasts(1.0, LOUD)
        assert call.kinds() == ["cancel", "truncate"]
        call.sounds(5000, "a")
        call.took()
        assert call.lasts(0.1) == [None] * 5

    def test_where_the_server_interrupts_by_itself_it_is_told_only_what_was_heard(self) -> None:
        call = Call({"turn_detection": ServerVad(interrupt_response=True)})
        call.starts()
        call.sounds(5000, "a")
        call.lasts(0.5)
        call.took()
        call.begins_to_speak()
        assert call.took() == [events.Interrupted("a", 500.0, 4500.0), events.CallerBegan(), fx.CallerSpoke()]
        assert call.kinds() == ["truncate"]
        assert call.dialogue.unfinished is Unfinished.TURN

    def test_a_cough_is_none(self) -> None:
        call = Call()
        call.speaks(3000)
        call.lasts(0.5)
        call.took()
        call.begins_to_speak()
        call.lasts(0.1, LOUD)
        call.falls_silent(words="")
        assert call.kinds() == ["delete"]
        [dismissed] = [effect for effect in call.took() if isinstance(effect, events.SoundDismissed)]
        assert dismissed.what == "noise"
        assert sum(frame is not None for frame in call.lasts(3.0)) > 100
        assert call.of(events.CallerBegan) == []


class TestKeys:
    def test_digits_cut_the_agent_off_and_are_for_the_model(self) -> None:
        call = Call()
        call.speaks(5000, words="Please type the number of your order now.")
        call.lasts(1.0)
        call.took()
        for digit in "47#":
            call.dialogue.press(digit, call.now)
        assert call.took() == [events.DigitsGiven("47#"), events.Interrupted("a", 1000.0, 4000.0)]
        truncate, item, create = call.told()
        assert truncate["audio_end_ms"] == 1000
        assert "pressed 47# on the keypad" in item["item"]["content"][0]["text"]
        assert create["type"] == "response.create"
        assert call.entries[-1] == Said("caller", "[The caller pressed 47# on the keypad.]")

    def test_they_end_with_a_pause(self) -> None:
        call = Call()
        call.dialogue.press("4", call.now)
        assert call.dialogue.next_deadline() == pytest.approx(100.8)
        assert call.until_due(1.0) == [0.8]
        assert call.took() == [events.DigitsGiven("4")]

    @pytest.mark.parametrize(
        ("places", "effect"),
        [
            ({}, fx.FallbackRequested("caller_pressed_person")),
            (
                {"desk": DESK},
                fx.TransferRequested(Handoff("desk", DESK, "caller", "the caller pressed a key for a person")),
            ),
            (
                WARM_FIRST,
                fx.WarmTransferRequested(Handoff("expert", EXPERT, "caller", "the caller pressed a key for a person")),
            ),
        ],
    )
    def test_one_for_a_human_agent(self, places: dict[str, DestinationSettings], effect: fx.Effect) -> None:
        call = Call({"keypad": {"actions": {"*0": "person"}}}, places=places)
        for digit in "*0":
            call.dialogue.press(digit, call.now)
        assert call.took() == [effect]
        assert call.told() == []

    def test_one_that_ends_the_call(self) -> None:
        call = Call({"keypad": {"actions": {"*9": "end_call"}}})
        for digit in "*9":
            call.dialogue.press(digit, call.now)
        assert call.took() == [fx.EndRequested("caller_pressed_end", final=True)]


class TestSilence:
    AGENT = {"silence": {"ask_after_s": 10, "ask_again_after_s": 8, "goodbye_after_s": 6, "hold_on_s": 100}}  # noqa: RUF012

    def test_asked_asked_again_told_goodbye_and_ended(self) -> None:
        call = Call(self.AGENT)
        told = []
        for at in (10.0, 18.0, 24.0):
            assert call.dialogue.next_deadline() == pytest.approx(100.0 + at)
            assert call.until_due(at) == [at]
            told += call.notes()
        assert told == [notes.NOTE_ASK, notes.NOTE_ASK_AGAIN, notes.NOTE_GOODBYE]
        assert call.took() == [fx.EndRequested("caller_silent")]

    def test_counted_from_the_last_of_what_the_agent_says(self) -> None:
        call = Call(self.AGENT)
        call.lasts(5.0)
        call.speaks(2000)
        call.lasts(3.0)
        due = call.dialogue.next_deadline()
        assert due == pytest.approx(100 + 5 + 2 + 10, abs=0.1)

    def test_a_caller_who_answers_begins_it_anew(self) -> None:
        call = Call(self.AGENT)
        call.until_due(10.0)
        assert call.notes() == [notes.NOTE_ASK]
        call.turn("Yes, I am here.")
        assert call.dialogue.next_deadline() == pytest.approx(call.now + 10)

    def test_the_longest_call(self) -> None:
        call = Call({"length": {"longest_s": 600, "warn_before_s": 60}})
        assert call.until_due(1000) == [540.0, 600.0]
        warning, goodbye = call.notes()
        assert "about a minute" in warning
        assert goodbye == notes.NOTE_LENGTH
        assert call.took() == [fx.EndRequested("too_long", final=True)]
        assert call.dialogue.next_deadline() is None


class TestSiteTools:
    def test_one_is_run_answered_and_told(self) -> None:
        call = Call()
        [made] = call.calls(("order_status", {"number": 7}))
        assert call.took() == [
            events.ToolStarted(made.call_id, "order_status", '{"number": 7}'),
            fx.RunTool(made),
        ]
        assert not call.dialogue.finished
        assert not call.dialogue.at_rest
        call.now += 2.5
        call.dialogue.tool_ended(made, '{"state":"ready"}', ok=True, kind="ok", now=call.now)
        assert call.took() == [events.ToolEnded(made.call_id, "order_status", '{"state":"ready"}', True, "ok", 2.5)]
        assert call.results() == [{"state": "ready"}, {}]
        assert call.entries == (Used(made.call_id, "order_status", '{"number": 7}', '{"state":"ready"}'),)

    def test_the_model_goes_on_once_after_the_last_result_of_a_response(self) -> None:
        call = Call()
        one, other = call.calls(("stock", {}), ("price", {}))
        call.dialogue.tool_ended(other, "1", ok=True, kind="ok", now=call.now)
        assert call.results() == [1]
        call.dialogue.tool_ended(one, "2", ok=True, kind="ok", now=call.now)
        assert call.results() == [2, {}]
        call.dialogue.tool_ended(one, "3", ok=True, kind="ok", now=call.now)
        assert call.results() == []

    def test_a_caller_who_waits_hears_a_prompt_again_and_again(self) -> None:
        call = Call(prompts={"order_status": "tone"})
        [made] = call.calls(("order_status", {}))
        call.took()
        assert call.dialogue.next_deadline() == pytest.approx(call.now + PROMPT_AFTER_S)
        played = call.lasts(PROMPT_AFTER_S + PROMPT_AGAIN_S + 0.5)
        assert b"".join(frame for frame in played if frame).count(waiting_tone(FMT)[:960]) == 2
        assert call.of(events.WaitingPromptPlayed) == [events.WaitingPromptPlayed("tone")] * 2
        call.dialogue.tool_ended(made, "{}", ok=True, kind="ok", now=call.now)
        assert call.dialogue._prompts.next_deadline() is None
        call.speaks(100)
        call.lasts(10.0)
        assert call.of(events.WaitingPromptPlayed) == []

    def test_a_rendered_phrase_is_heard_and_the_model_not_told(self) -> None:
        call = Call(prompts={"order_status": "One moment."}, phrases={"One moment.": tone(500)})
        call.calls(("order_status", {}))
        call.told()
        played = call.lasts(2.0)
        assert b"".join(frame for frame in played if frame) == tone(500)
        assert call.of(events.WaitingPromptPlayed) == [events.WaitingPromptPlayed("One moment.")]
        assert call.told() == []
        assert not [entry for entry in call.entries if isinstance(entry, Said)]

    def test_a_phrase_that_is_not_rendered_is_a_tone(self) -> None:
        call = Call(prompts={"order_status": "One moment."})
        call.calls(("order_status", {}))
        call.lasts(2.0)
        assert call.of(events.WaitingPromptPlayed) == [events.WaitingPromptPlayed("tone")]

    def test_nobody_is_interrupted_by_a_prompt(self) -> None:
        call = Call(prompts={"order_status": "tone"})
        call.calls(("order_status", {}))
        call.begins_to_speak()
        call.lasts(2.0, LOUD)
        assert call.of(events.WaitingPromptPlayed) == []

    def test_a_tool_without_a_prompt_gives_none(self) -> None:
        call = Call()
        call.calls(("order_status", {}))
        assert call.lasts(10.0) == [None] * 500

    def test_one_that_runs_is_no_silence(self) -> None:
        call = Call(TestSilence.AGENT)
        [made] = call.calls(("order_status", {}))
        call.now += 60.0
        call.dialogue.tick(call.now)
        assert call.notes() == []
        call.dialogue.tool_ended(made, "{}", ok=True, kind="ok", now=call.now)
        assert call.dialogue.next_deadline() == pytest.approx(call.now + 10)


class TestBuiltinTools:
    def test_end_call_says_nothing_more(self) -> None:
        call = Call()
        [made] = call.calls(("end_call", {}))
        assert call.took() == [
            events.ToolStarted(made.call_id, "end_call", "{}"),
            events.BuiltinToolUsed("end_call"),
            fx.EndRequested("agent_ended"),
        ]
        assert call.results() == [{"ok": True}]
        assert call.dialogue.finished

    def test_hold_on_waits_longer_before_anybody_is_asked(self) -> None:
        call = Call(TestSilence.AGENT)
        call.calls(("hold_on", {}))
        assert call.results() == [{"ok": True}]
        assert call.dialogue.next_deadline() == pytest.approx(200.0)

    def test_collect_digits_has_its_result_when_they_are_typed(self) -> None:
        call = Call()
        [made] = call.calls(("collect_digits", {"length": 3}))
        assert call.results() == []
        assert not call.dialogue.finished
        for digit in "401":
            call.dialogue.press(digit, call.now)
        assert events.ToolEnded(made.call_id, "collect_digits", '{"digits": "401"}') in call.took()
        assert call.results() == [{"digits": "401"}, {}]
        assert call.dialogue.finished is False  # the model is asked
        assert call.entries == (Used(made.call_id, "collect_digits", '{"length": 3}', '{"digits": "401"}'),)

    def test_collect_digits_asks_again_and_gives_up(self) -> None:
        call = Call()
        call.calls(("collect_digits", {"timeout_s": 5, "retries": 1}))
        assert call.until_due(20.0) == [5.0, 10.0]
        told = call.told()
        assert "typed nothing" in told[0]["item"]["content"][0]["text"]
        [output] = [m["item"]["output"] for m in told if "function_call_output" in json.dumps(m)]
        assert "typed nothing" in output

    def test_collect_digits_with_wrong_arguments_collects_nothing(self) -> None:
        call = Call()
        call.calls(("collect_digits", {"length": 0}))
        error, asked = call.results()
        assert "length" in error["error"]
        assert asked == {}

    def test_collect_digits_before_there_is_a_caller(self) -> None:
        call = Call(begins=False)
        call.ready(call.session)
        call.calls(("collect_digits", {}))
        assert "not here yet" in call.results()[0]["error"]

    def test_after_digits_that_came_beside_another_tool_silence_counts_again(self) -> None:
        call = Call(TestSilence.AGENT)
        _, order = call.calls(("collect_digits", {"length": 1}), ("order_status", {}))
        call.dialogue.tool_ended(order, "{}", ok=True, kind="ok", now=call.now)
        call.dialogue.press("1", call.now)
        assert call.dialogue.next_deadline() == pytest.approx(call.now + 10)

    def test_transfer(self) -> None:
        call = Call(places={"desk": DESK})
        call.calls(("transfer_call", {"destination": "desk", "reason": "a bill", "summary": "A copy of it."}))
        assert call.took()[-1] == fx.TransferRequested(Handoff("desk", DESK, "model", "a bill", "A copy of it."))
        assert call.results() == [{"ok": True}]

    def test_a_transfer_to_where_nobody_is_now(self) -> None:
        call = Call(places={"desk": DESK}, starts_at=SUNDAY)
        call.calls(("transfer_call", {"destination": "desk"}))
        refusal, asked = call.results()
        assert refusal["state"] == "closed until tomorrow, 8:00"
        assert asked == {}
        assert call.took()[-1] == events.TransferDeclined("desk", "briefed", refusal["state"], wrong=False)

    def test_warm_transfer_and_its_cancellation(self) -> None:
        call = Call(places=WARM_FIRST)
        call.calls(("transfer_call", {"destination": "expert"}))
        assert call.took()[-1] == fx.WarmTransferRequested(Handoff("expert", EXPERT, "model"))
        call.calls(("cancel_transfer", {}))
        assert call.took()[-1] == fx.WarmTransferCancelled()
        assert call.results() == [{"ok": True}] * 2

    def test_transfer_status(self) -> None:
        call = Call(places={"desk": DESK}, starts_at=SUNDAY)
        call.calls(("transfer_status", {}))
        status, asked = call.results()
        assert status["desk"]["state"] == "closed until tomorrow, 8:00"
        assert asked == {}

    def test_take_message_knows_the_callers_number(self) -> None:
        call = Call({"alternatives": ["message", "callback"]})
        call.calls(("take_message", {"kind": "callback", "text": "About the bill."}))
        assert call.took()[-1] == events.MessageTaken("callback", "About the bill.", "5551000", "")
        assert call.results() == [{"ok": True, "noted": "callback"}, {}]


class TestToolRounds:
    def rounds(self, call: Call, count: int = MOST_ROUNDS) -> None:
        for _ in range(count):
            call.calls(("transfer_status", {}))
        call.took()

    def test_too_many_at_once_are_answered_and_not_run(self) -> None:
        call = Call()
        call.calls(*[("stock", {"n": n}) for n in range(MOST_CALLS + 2)])
        effects = call.took()
        assert [type(effect) for effect in effects].count(fx.RunTool) == MOST_CALLS
        assert events.ToolsRefused(2, "stock", 1) in effects
        assert all("no more than 8" in result["error"] for result in call.results())

    def test_after_ten_the_model_has_to_speak(self) -> None:
        call = Call(places={"desk": DESK})
        self.rounds(call)
        told = call.told()
        assert told[-2]["item"]["content"][0]["text"] == notes.speak_note(MOST_ROUNDS)
        assert told[-1]["response"] == {"tool_choice": "none"}
        call.calls(("transfer_status", {}))
        assert events.ToolsRefused(1, "transfer_status", MOST_ROUNDS) in call.took()
        assert notes.SPEAK_FIRST in call.told()[0]["item"]["output"]

    def test_one_that_calls_whatever_it_is_told_is_given_up(self) -> None:
        for places in ({"desk": DESK}, {}):
            call = Call(places=places)
            for _ in range(MOST_ROUNDS + MOST_REMINDERS + 1):
                assert call.of(fx.AgentFailed) + call.of(fx.ModelFailed) == []
                call.calls(("collect_digits", {"length": 0}))
            [failed] = [each for each in call.took() if isinstance(each, fx.AgentFailed | fx.ModelFailed)]
            assert failed.reason == fx.MODEL_SILENT
            assert "again and again" in failed.cause
            assert isinstance(failed, fx.AgentFailed) == bool(places)

    def test_a_prompt_for_a_caller_who_waits_is_not_the_model_speaking(self) -> None:
        call = Call(places={"desk": DESK}, prompts={"stock": "tone"})
        self.rounds(call, MOST_ROUNDS - 1)
        [made] = call.calls(("stock", {}))
        call.lasts(2.0)
        call.dialogue.tool_ended(made, "7", ok=True, kind="ok", now=call.now)
        assert events.WaitingPromptPlayed("tone") in call.took()
        call.told()
        call.calls(("transfer_status", {}))
        error, asked = call.results()
        assert "speak to the caller first" in error["error"]
        assert asked == {"tool_choice": "none"}

    @pytest.mark.parametrize("by", ["voice", "key"])
    def test_the_caller_makes_room_for_new_ones(self, by: str) -> None:
        call = Call(places={"desk": DESK})
        self.rounds(call)
        if by == "key":
            call.dialogue.press("1", call.now)
        else:
            call.turn("Well?")
        call.told()
        call.calls(("transfer_status", {}))
        assert call.of(events.ToolsRefused) == []
        assert "desk" in call.results()[0]


class TestProviderTools:
    ITEM = {"id": "m", "type": "mcp_call", "name": "find_customer", "server_label": "crm"}  # noqa: RUF012

    def running(self, **agent: Any) -> Call:
        call = Call({"mcp": ["crm"], **agent})
        response_id = call.starts()
        call.says("response.output_item.added", response_id=response_id, item=self.ITEM)
        call.ends()
        return call

    def test_one_is_waited_for_with_a_prompt_and_told_of(self) -> None:
        call = self.running()
        assert call.took() == [events.ToolStarted("m", "find_customer", server="crm")]
        assert not call.dialogue.at_rest
        assert not call.dialogue.finished
        call.lasts(2.0)
        assert call.of(events.WaitingPromptPlayed) == [events.WaitingPromptPlayed("tone")]
        call.says("response.mcp_call.completed", item_id="m")
        [ended] = call.of(events.ProviderToolEnded)
        assert ended == events.ProviderToolEnded("m", "find_customer", "crm", ended.seconds, "", ok=True)
        assert ended.seconds == pytest.approx(2.0)
        assert call.dialogue._prompts.next_deadline() is None

    def test_the_prompt_does_not_wait_for_the_response_that_called_it(self) -> None:
        call = Call({"mcp": ["crm"]})
        response_id = call.starts()
        call.says("response.output_item.added", response_id=response_id, item=self.ITEM)
        call.lasts(1.5)
        assert call.of(events.WaitingPromptPlayed) == [events.WaitingPromptPlayed("tone")]

    def test_one_that_runs_is_no_silence(self) -> None:
        call = self.running(**TestSilence.AGENT)
        call.dialogue.tick(call.now + 60)
        assert call.notes() == []
        call.now += 60
        call.says("response.mcp_call.completed", item_id="m")
        assert call.dialogue.next_deadline() == pytest.approx(call.now + 10)

    def test_one_that_a_lost_session_ran_is_over(self) -> None:
        call = self.running(**TestSilence.AGENT)
        call.now += 1.5
        call.dialogue.handle(rt.SessionLost(rt.Fault.NETWORK, "cut off"), call.now)
        assert call.dialogue._policy is not None
        assert call.dialogue._policy.next_deadline() == pytest.approx(call.now + 10)
        assert call.dialogue.next_deadline() == pytest.approx(call.now + LOST_PROMPT_AFTER_S)

    def test_a_server_whose_tools_are_not_listed(self) -> None:
        call = Call({"mcp": ["crm"]})
        for server in ("crm", "evil"):
            call.dialogue.handle(rt.ToolsNotListed(server), call.now)
        assert call.took() == [events.ProviderToolsMissing("crm"), events.ProviderToolsMissing("other")]


class TestLostSessions:
    def lose(self, call: Call) -> None:
        event = call.session.closed(1006, "")[0]
        assert isinstance(event, rt.SessionFailed)
        call.dialogue.handle(rt.SessionLost(event.fault, event.cause), call.now)

    def renew(self, call: Call) -> None:
        call.session = RealtimeSession(call.profile)
        call.ready(call.session)
        call.dialogue.renew(call.session, call.now)

    def test_the_caller_hears_a_tone_until_there_is_another(self) -> None:
        call = Call()
        self.lose(call)
        call.lasts(LOST_PROMPT_AFTER_S + LOST_PROMPT_AGAIN_S + 0.1)
        assert call.of(events.WaitingPromptPlayed) == [events.WaitingPromptPlayed("tone")] * 2
        self.renew(call)
        call.lasts(10.0)
        assert call.of(events.WaitingPromptPlayed) == []

    def test_or_until_it_is_certain_that_there_will_be_none(self) -> None:
        call = Call()
        self.lose(call)
        call.dialogue.handle(rt.SessionFailed(rt.Fault.NETWORK, "cut off"), call.now)
        call.lasts(10.0)
        assert call.of(events.WaitingPromptPlayed) == []

    def test_a_quiet_one_is_told_what_was_said_and_no_more(self) -> None:
        call = Call()
        call.turn("Where is my order?")
        call.speaks(100, words="On its way.")
        call.lasts(0.5)
        call.calls(("order_status", {}))
        call.dialogue.tool_ended(rt.ToolCall("r2-0", "order_status", "{}"), "7", ok=True, kind="ok", now=call.now)
        call.speaks(100, item_id="b", words="Seven.")
        call.lasts(0.5)
        self.lose(call)
        self.renew(call)
        items = [message["item"] for message in call.told()]
        assert [item.get("role", item["type"]) for item in items] == [
            *("user", "assistant", "function_call", "function_call_output", "assistant")
        ]
        assert items[3]["output"] == "7"

    @pytest.mark.parametrize("unfinished", ["answer", "turn", "request", "key"])
    def test_what_was_owed_is_made_good(self, unfinished: str) -> None:
        call = Call()
        if unfinished == "answer":
            call.turn("Where is my order?")
        elif unfinished == "turn":
            call.begins_to_speak()
            call.lasts(0.5, LOUD)
        elif unfinished == "request":
            call.dialogue.tell("[system] Say something.", call.now)
        call.took()
        self.lose(call)
        if unfinished == "turn":
            assert call.took() == [events.CallerEnded()]
        if unfinished == "key":
            call.dialogue.press("#", call.now)
        self.renew(call)
        told = call.told()
        assert told[-2]["item"]["content"][0]["text"] == notes.LOST_NOTE
        assert told[-1]["type"] == "response.create"

    def test_words_that_no_session_heard_are_asked_for(self) -> None:
        for ms, asked in ((100, False), (300, True)):
            call = Call()
            self.lose(call)
            for _ in range(ms // 20):
                call.dialogue.not_sent(call.dialogue.hear(LOUD, call.now))
            self.renew(call)
            assert (notes.LOST_NOTE in call.notes()) == asked
            assert call.session.audio_origin_ms == 0.0  # nothing was appended to the former one

    def test_a_turn_that_it_was_lost_in_is_over(self) -> None:
        call = Call()
        call.begins_to_speak()
        call.lasts(0.5, LOUD)
        self.lose(call)
        self.renew(call)
        call.heard.clear()
        call.lasts(0.32)
        assert [len(pcm) for pcm in call.heard] == [8 * FMT.frame_bytes] * 2

    def test_positions_of_the_next_one_go_on_where_the_caller_was(self) -> None:
        call = Call()
        call.lasts(2.0)
        self.lose(call)
        self.renew(call)
        assert call.session.audio_origin_ms == call.dialogue._uplink.appended_ms > 0

    def test_a_tool_that_was_running_is_answered_in_the_next_one(self) -> None:
        call = Call()
        [made] = call.calls(("order_status", {}))
        self.lose(call)
        self.renew(call)
        used, output = [message["item"] for message in call.told()]
        assert (used["type"], used["call_id"]) == ("function_call", made.call_id)
        assert (output["type"], output["call_id"]) == ("function_call_output", made.call_id)
        assert "still running" in output["output"]
        call.dialogue.tool_ended(made, "7", ok=True, kind="ok", now=call.now)
        assert call.notes() == [notes.late_result_note("order_status", "7")]

    def test_a_result_that_comes_while_there_is_none_is_known_to_the_next_one(self) -> None:
        call = Call()
        [made] = call.calls(("order_status", {}))
        self.lose(call)
        call.dialogue.tool_ended(made, "7", ok=True, kind="ok", now=call.now)
        self.renew(call)
        used, output, note, create = call.told()
        assert (used["item"]["call_id"], output["item"]["output"]) == (made.call_id, "7")
        assert note["item"]["content"][0]["text"] == notes.LOST_NOTE
        assert create["type"] == "response.create"


class TestFailures:
    def fail(self, call: Call, fault: rt.Fault, *, full: bool = False) -> fx.Effect | events.DialogueEvent:
        call.dialogue.handle(rt.SessionFailed(fault, "it broke", full=full), call.now)
        [effect] = call.took()
        return effect

    @pytest.mark.parametrize(
        ("fault", "full", "no_seat_helps"),
        [(rt.Fault.NETWORK, False, False), (rt.Fault.REQUEST, False, True), (rt.Fault.LIMIT, True, True)],
    )
    def test_before_the_agent_has_begun(self, fault: rt.Fault, full: bool, no_seat_helps: bool) -> None:
        call = Call(begins=False, places={"desk": DESK})
        assert self.fail(call, fault, full=full) == fx.ModelFailed("it broke", no_seat_helps=no_seat_helps)

    @pytest.mark.parametrize(
        ("fault", "reason"), [(rt.Fault.NETWORK, fx.MODEL_LOST), (rt.Fault.SILENT, fx.MODEL_SILENT)]
    )
    def test_afterwards_without_a_destination(self, fault: rt.Fault, reason: str) -> None:
        assert self.fail(Call(), fault) == fx.ModelFailed("it broke", reason)

    def test_afterwards_the_caller_goes_to_the_first_destination_with_what_was_said(self) -> None:
        call = Call(places=WARM_FIRST)
        call.turn("My bike is broken.")
        call.took()
        failed = self.fail(call, rt.Fault.NETWORK)
        assert isinstance(failed, fx.AgentFailed)
        assert (failed.fallback.name, failed.fallback.kind, failed.fallback.by) == ("expert", "blind", "ariagent")
        assert failed.fallback.reason == "the agent failed: it broke"
        assert failed.fallback.summary == "caller: My bike is broken."

    def test_a_server_that_sends_more_than_anybody_would_listen_to_is_given_up(self) -> None:
        call = Call()
        call.starts()
        for n in range(400):
            call.sounds(1000, f"i{n % 4}")
            if found := call.of(fx.GiveUpSession):
                assert "more speech than may wait" in found[0].cause
                break
        else:
            pytest.fail("everything was taken")
        assert call.dialogue.quiet or call.dialogue._playout.idle
        assert call.lasts(0.1) == [None] * 5


class TestMeet:
    BEFORE, CALLER = Party("1001", "Anna"), Party("5552000", "Eva")

    def caller_changed(self, call: Call) -> None:
        call.told()
        call.took()
        call.dialogue.caller_changed(self.BEFORE, self.CALLER, call.now)

    def test_what_was_being_said_is_cut_off_and_the_opening_is_for_the_caller(self) -> None:
        call = Call({"opening": "Good day."}, phrases={"Good day.": tone(100)})
        call.lasts(0.2)
        call.turn("I have a caller for you, with a broken wheel.")
        call.speaks(5000, words="Go ahead, I am listening.")
        call.lasts(1.0)
        self.caller_changed(call)
        cut, said = call.took()
        assert (type(cut), said) == (events.Interrupted, events.AgentSaid("aria_opening_2", "Good day."))
        truncate, opening, note, create = call.told()
        assert truncate["type"] == "conversation.item.truncate"
        assert opening["item"]["id"] == "aria_opening_2"
        met = notes.caller_changed_note(self.BEFORE, self.CALLER, opening=True, talked=True)
        assert note["item"]["content"][0]["text"] == met
        assert create["type"] == "response.create"
        assert Said("note", met) in call.entries

    def test_without_a_word_before_the_opening_is_enough(self) -> None:
        call = Call({"opening": "Good day."}, phrases={"Good day.": tone(100)})
        self.caller_changed(call)
        told = call.told()
        assert "response.create" not in [message["type"] for message in told]
        assert notes.caller_changed_note(self.BEFORE, self.CALLER, opening=True, talked=False) in [
            message["item"]["content"][0]["text"] for message in told if message["type"].endswith("create")
        ]

    def test_the_new_caller_is_who_is_called_back_and_remembered(self) -> None:
        call = Call({"alternatives": ["callback"]})
        self.caller_changed(call)
        call.speaks(100)
        call.calls(("take_message", {"kind": "callback", "text": "Call me."}))
        assert events.MessageTaken("callback", "Call me.", "5552000", "") in call.took()
        memory = call.dialogue.memory("desk")
        assert (memory.caller_number, memory.caller_name, memory.destination) == ("5552000", "Eva", "desk")
        assert call.dialogue.role.facts.caller_number == "5552000"

    def test_they_make_room_for_tools(self) -> None:
        call = Call({"builtin_tools": ["collect_digits"]})
        for _ in range(MOST_ROUNDS):
            call.calls(("collect_digits", {"length": 0}))
        self.caller_changed(call)
        call.speaks(100)
        call.told()
        call.calls(("collect_digits", {"length": 0}))
        assert call.of(events.BuiltinToolUsed) == [events.BuiltinToolUsed("collect_digits")]
        assert "length" in call.results()[0]["error"]


class TestHumanAgents:
    def test_a_summary_is_spoken_beside_the_conversation(self) -> None:
        call = Call(places={"desk": DESK})
        call.dialogue.announce("k", Handoff("desk", DESK, "model", "a bill"))
        [create] = call.told()
        response = create["response"]
        assert (response["conversation"], response["instructions"]) == ("none", "Say exactly: a bill")
        assert call.dialogue.finished

    def test_a_supervisors_words_wait_for_the_next_answer_or_not(self) -> None:
        call = Call()
        call.dialogue.whisper("offer a discount", call.now, at_once=False)
        [note] = call.told()
        assert note["item"]["content"][0]["text"] == notes.whisper_note("offer a discount")
        call.dialogue.whisper("offer a discount", call.now, at_once=True)
        assert call.kinds() == ["create", "create"]
        assert call.took() == []

    def test_a_caller_in_a_warm_transfer_is_told_every_now_and_then_and_not_asked_whether_they_are_there(self) -> None:
        call = Call({**TestSilence.AGENT, "silence": {"ask_after_s": 10, "hold_on_s": 500}})
        call.dialogue.warm_transfer_began(call.now)
        assert call.dialogue.next_deadline() == pytest.approx(100.0 + WAITING_NOTE_EVERY_S)
        assert call.until_due(95.0) == [30.0, 60.0, 90.0]
        assert call.notes() == [notes.waiting_note(waited) for waited in (30, 60, 90)]
        call.dialogue.warm_transfer_ended()
        assert call.until_due(400.0) == []

    def test_a_key_or_a_turn_leaves_the_search_as_it_is(self) -> None:
        call = Call(places=WARM_FIRST)
        call.dialogue.warm_transfer_began(call.now)
        call.turn("Are you still trying?")
        call.told()
        call.now = 130.0
        call.dialogue.tick(call.now)
        assert [note for note in call.notes() if note == notes.waiting_note(30)]


class TestOwed:
    def test_nothing(self) -> None:
        assert Call().dialogue.unfinished is Unfinished.NOTHING

    def test_words(self) -> None:
        call = Call()
        call.speaks(2000)
        call.lasts(0.5)
        assert call.dialogue.unfinished is Unfinished.WORDS

    def test_turn(self) -> None:
        call = Call()
        call.begins_to_speak()
        assert call.dialogue.unfinished is Unfinished.TURN

    @pytest.mark.parametrize("to", ["words", "key", "tool", "note"])
    def test_answer(self, to: str) -> None:
        call = Call()
        if to == "words":
            call.turn("Where is my order?")
        elif to == "key":
            call.dialogue.press("#", call.now)
        elif to == "tool":
            call.calls(("order_status", {}))
        else:
            call.dialogue.tell("[system] Say something.", call.now)
        assert call.dialogue.unfinished is Unfinished.ANSWER

    def test_whoever_is_left_hears_no_more_and_it_is_known_how_far_they_heard(self) -> None:
        call = Call()
        call.speaks(2000, words="one two three four")
        call.lasts(1.0)
        assert not call.dialogue.quiet
        call.took()
        call.dialogue.break_off(call.now)
        assert call.dialogue.quiet
        assert call.took() == [events.Interrupted("a", 1000.0, 1000.0)]
        assert call.lasts(0.1) == [None] * 5
        assert call.entries == (Said("agent", "one two three ..."),)


def test_what_is_remembered_of_a_caller_who_may_come_back() -> None:
    call = Call()
    call.turn("A human, please.")
    call.speaks(100, words="One moment.")
    call.lasts(0.5)
    assert call.dialogue.memory("desk") == Memory(
        (Said("caller", "A human, please."), Said("agent", "One moment.")), "desk", "5551000", "Ben", agent="sales"
    )


def test_a_note_is_acted_on_after_what_is_being_said() -> None:
    call = Call()
    call.starts()
    call.sounds(500, "a")
    call.dialogue.tell("[system] Say that it rains.", call.now)
    assert call.kinds() == ["create"]
    call.ends("a")
    assert [message["type"] for message in call.told()] == ["response.create"]


def test_effects_are_taken_once_and_in_order() -> None:
    call = Call()
    call.turn("Hello")
    first = call.dialogue.take_effects()
    assert first.index(events.CallerBegan()) < first.index(events.CallerEnded())
    assert call.dialogue.take_effects() == []
