"""Turns, with the real session, playout, uplink and codec; the model's side is its texts, times are literal seconds."""

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ariagent.audio.format import SLIN8, SLIN24, AudioFormat
from ariagent.audio.playout import Playout
from ariagent.audio.rates import ModelCodec
from ariagent.audio.uplink import Uplink
from ariagent.config import AgentSettings, RealtimeSettings, SemanticVad, ServerVad
from ariagent.dialogue.background import Background
from ariagent.dialogue.conversation import Conversation
from ariagent.dialogue.events import (
    AgentBegan,
    AgentEnded,
    AgentSaid,
    AnswerBegan,
    CallerBegan,
    CallerEnded,
    CallerSaid,
    DialogueEvent,
    Interrupted,
    ResponseFailed,
    SoundDismissed,
)
from ariagent.dialogue.interruption import BargeInDetector
from ariagent.dialogue.leaving import Leaving
from ariagent.realtime.events import Event, ResponseEnded, SpeechStarted, ToolCall
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.session import RealtimeSession
from tests.examples import examples

BOUNDARIES = (AgentBegan, AgentEnded, CallerBegan, CallerEnded)
"""Told at every turn; left out where a test is about other things."""
MODEL_BYTES_PER_MS = {"pcm": 48, "pcmu": 8, "pcma": 8}


def tone(ms: float, rate_hz: int = 24_000) -> bytes:
    """A loud tone, PCM."""
    at = np.arange(int(rate_hz * ms / 1000)) / rate_hz
    return (12_000 * np.sin(2 * np.pi * 440 * at)).astype("<i2").tobytes()


class Talk:
    """One conversation. ``says`` is the model, ``play`` Asterisk's clock, ``caller`` the phone."""

    def __init__(self, agent: AgentSettings, fmt: AudioFormat, *, judges: bool = False, **realtime: Any) -> None:
        settings = RealtimeSettings(**realtime)
        profile = SessionProfile.of(agent, settings)
        self.fmt = fmt
        self.session = RealtimeSession(profile)
        self.playout = Playout(fmt)
        self.uplink = Uplink(fmt)
        transcribes = agent.transcription is not None
        detector = BargeInDetector(agent.interruptions, self.uplink, "en", transcribes=transcribes) if judges else None
        codec = ModelCodec(fmt, profile.encoding)
        self.leaving = Leaving("en", None, transcribes=transcribes)
        self.background = Background()
        self.conversation = Conversation(
            self.session, self.playout, self.uplink, codec, self.leaving, self.background, detector
        )
        self.bytes_per_ms = MODEL_BYTES_PER_MS[profile.encoding]
        self.now = 0.0
        self.called: list[ToolCall] = []
        """The tools that the model called, and that are to run."""
        self.says("session.created", session={"id": "s"})
        self.says("session.updated", session={"id": "s", **profile.session()})
        self.session.take_outgoing()

    def says(self, kind: str, **fields: Any) -> list[DialogueEvent]:
        happened: list[DialogueEvent] = []
        for event in self.session.receive(json.dumps({"type": kind, **fields}), self.now):
            if isinstance(event, SpeechStarted):
                happened += [*self.conversation.settle(self.now), *self.releases()]
            if not self.conversation.holds_back(event, self.now):
                happened += self._handle(event, self.now)
        happened += self.releases()
        return [what for what in happened if not isinstance(what, BOUNDARIES)]

    def releases(self) -> list[DialogueEvent]:
        """Audio that was held back while a sound was judged."""
        released = self.conversation.take_released()
        return [what for event, arrived in released for what in self._handle(event, arrived)]

    def _handle(self, event: Event, now: float) -> list[DialogueEvent]:
        if isinstance(event, ResponseEnded):
            self.called += event.tool_calls
        return self.conversation.handle(event, now)

    def tick(self) -> list[DialogueEvent]:
        """Time, as often as the conversation wants it."""
        due = self.conversation.next_deadline()
        if due is None or self.now < due:
            return []
        happened = self.conversation.judge(self.now) or self.conversation.missed_end(self.now)
        return [*happened, *self.releases()]

    def hears(self) -> list[dict[str, Any]]:
        return [json.loads(message) for message in self.session.take_outgoing()]

    def starts(self, response_id: str = "r1") -> None:
        self.says("response.created", response={"id": response_id})

    def speaks(self, ms: float, item_id: str = "a", response_id: str = "r1") -> None:
        """So much audio of an item, at once."""
        audio = tone(ms) if self.bytes_per_ms == 48 else b"\x10" * int(ms * self.bytes_per_ms)
        delta = base64.b64encode(audio).decode()
        self.says("response.output_audio.delta", response_id=response_id, item_id=item_id, delta=delta)

    def finishes(self, item_id: str = "a", response_id: str = "r1") -> None:
        self.says("response.output_audio.done", response_id=response_id, item_id=item_id)

    def ends(self, response_id: str = "r1", status: str = "completed", **fields: Any) -> list[DialogueEvent]:
        return self.says("response.done", response={"id": response_id, "status": status, **fields})

    def play(self, frames: int) -> list[bytes | None]:
        """So many frames of 20 ms."""
        played = []
        for _ in range(frames):
            ticked = self.tick()
            frame = self.playout.next_frame()
            happened = self.conversation.frame_left(self.now, speech=frame is not None)
            happened = [*ticked, *happened]
            played.append(frame)
            self.heard = [what for what in happened if not isinstance(what, BOUNDARIES)]
            self.now += 0.02
        return played

    def caller(self, ms: int, *, loud: bool = True) -> None:
        """Frames of the caller; each arrives when its last sample was spoken."""
        frame = tone(20, self.fmt.rate_hz) if loud else self.fmt.silence(20)
        for _ in range(ms // 20):
            self.now += 0.02
            self.uplink.received(frame, self.now)

    def interrupts(self) -> list[DialogueEvent]:
        return self.says("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)

    def truncations(self) -> list[tuple[str, int]]:
        truncates = [m for m in self.hears() if m["type"] == "conversation.item.truncate"]
        return [(m["item_id"], m["audio_end_ms"]) for m in truncates]


MakeTalk = Callable[..., Talk]


@pytest.fixture
def make_talk() -> MakeTalk:
    def make(agent: AgentSettings | None = None, fmt: AudioFormat = SLIN24, **realtime: Any) -> Talk:
        return Talk(agent or AgentSettings(turn_detection=ServerVad(interrupt_response=True)), fmt, **realtime)

    return make


@pytest.fixture
def talk(make_talk: MakeTalk) -> Talk:
    return make_talk()


class TestOpening:
    def test_the_agents_first_words_are_asked_for(self, talk: Talk) -> None:
        talk.conversation.open("Good day.", 0.0)
        (create,) = talk.hears()
        assert create["type"] == "response.create"
        assert create["response"] == {"instructions": "Say exactly: Good day."}

    def test_an_opening_is_no_answer(self, talk: Talk) -> None:
        talk.conversation.open("Good day.", 0.0)
        talk.starts()
        talk.speaks(100)
        talk.play(1)
        assert talk.heard == []


class TestOpeningAgain:
    """For a caller who is transferred in the middle of the call."""

    def played(self, talk: Talk) -> int:
        """Plays what there is; how many frames that were."""
        frames = 0
        while talk.play(1) != [None]:
            frames += 1
        return frames

    def test_what_is_being_said_is_for_somebody_who_is_gone(self, talk: Talk) -> None:
        talk.starts()
        talk.speaks(1000)
        talk.play(10)
        talk.hears()
        [cut] = talk.conversation.break_off(talk.now)
        assert isinstance(cut, Interrupted)
        assert cut.heard_ms == 200
        kinds = [message["type"] for message in talk.hears()]
        assert kinds == ["conversation.item.truncate", "response.cancel"]
        assert talk.play(1) == [None]

    def test_follows_what_was_said_and_the_model_goes_on_behind_it(self, talk: Talk) -> None:
        talk.conversation.open("Good day.", 0.0, tone(100))
        assert self.played(talk) == 5
        talk.hears()
        said = talk.conversation.open("Good day.", 1.0, tone(100), note="[system] new", continues=True)
        opening, note, create = talk.hears()
        assert said == [AgentSaid(opening["item"]["id"], "Good day.")]
        assert opening["item"]["id"] == "aria_opening_2"
        assert "previous_item_id" not in opening
        assert note["item"]["role"] == "system"
        assert create["response"] == {}
        assert self.played(talk) == 5

    def test_a_cut_one_is_remembered_as_far_as_it_was_heard(self, talk: Talk) -> None:
        talk.conversation.open("Good day.", 0.0, tone(100))
        self.played(talk)
        talk.conversation.open("One two three four.", 1.0, tone(400), note="[system] new")
        talk.play(11)
        talk.hears()
        talk.interrupts()
        delete, heard = talk.hears()
        assert (delete["type"], delete["item_id"]) == ("conversation.item.delete", "aria_opening_2")
        assert heard["item"]["content"][0]["text"] == "One two three ..."
        assert "previous_item_id" not in heard

    def test_where_it_is_not_rendered_the_model_says_it_and_goes_on(self, talk: Talk) -> None:
        talk.conversation.open("Good day.", 0.0, note="[system] new", continues=True)
        note, create = talk.hears()
        assert note["item"]["role"] == "system"
        assert create["response"]["instructions"].startswith("Say exactly: Good day. Then continue")

    def test_without_words_the_model_begins(self, talk: Talk) -> None:
        talk.conversation.open("", 0.0, note="[system] new", continues=True)
        assert [message["type"] for message in talk.hears()] == ["conversation.item.create", "response.create"]


class TestSpeech:
    def test_what_the_model_says_is_played_whole_in_frames(self, talk: Talk) -> None:
        talk.starts()
        for _ in range(3):
            talk.speaks(33.5)
        talk.finishes()
        frames = talk.play(7)
        assert [frame is not None for frame in frames] == [True] * 6 + [False]
        spoken = b"".join(frame for frame in frames if frame)
        assert spoken == (3 * tone(33.5)).ljust(6 * SLIN24.frame_bytes, b"\0")

    @pytest.mark.parametrize(("fmt", "encoding"), [(SLIN8, "pcm"), (SLIN8, "pcmu"), (SLIN24, "pcma")])
    def test_an_item_keeps_its_length_in_other_rates(
        self, make_talk: MakeTalk, fmt: AudioFormat, encoding: str
    ) -> None:
        talk = make_talk(fmt=fmt, encoding=encoding)
        talk.starts()
        for _ in range(10):
            talk.speaks(100)
        talk.finishes()
        frames = talk.play(60)
        assert sum(frame is not None for frame in frames) == 50
        assert talk.playout.sent_ms("a") == 1000.0

    def test_silence_where_there_is_nothing_to_say(self, talk: Talk) -> None:
        assert talk.play(3) == [None, None, None]


class TestInterruption:
    def test_the_model_remembers_what_was_heard(self, talk: Talk) -> None:
        talk.starts()
        talk.speaks(1000)
        talk.play(10)
        assert talk.interrupts() == [Interrupted("a", 200.0, 800.0)]
        assert talk.truncations() == [("a", 200)]
        assert talk.play(2) == [None, None]

    def test_also_when_it_had_generated_everything_long_ago(self, talk: Talk) -> None:
        talk.starts()
        talk.speaks(1000)
        talk.finishes()
        talk.ends()
        talk.play(10)
        assert talk.interrupts() == [Interrupted("a", 200.0, 800.0)]
        assert talk.truncations() == [("a", 200)]

    def test_later_items_were_not_heard_at_all(self, talk: Talk) -> None:
        talk.starts()
        talk.speaks(100, "a")
        talk.finishes("a")
        talk.speaks(500, "b")
        talk.speaks(500, "c")
        talk.play(7)
        assert talk.interrupts() == [Interrupted("b", 40.0, 460.0), Interrupted("c", 0.0, 500.0)]
        assert talk.truncations() == [("b", 40), ("c", 0)]

    def test_what_was_heard_to_its_end_stays_whole(self, talk: Talk) -> None:
        talk.starts()
        talk.speaks(100)
        talk.finishes()
        talk.ends()
        talk.play(6)
        assert talk.interrupts() == []
        assert talk.hears() == []

    def test_what_ran_dry_is_cut_where_it_ended(self, talk: Talk) -> None:
        talk.starts()
        talk.speaks(100)
        talk.play(6)
        assert talk.interrupts() == [Interrupted("a", 100.0, 0.0)]
        assert talk.truncations() == [("a", 100)]

    def test_late_audio_of_it_is_not_played(self, talk: Talk) -> None:
        talk.starts()
        talk.speaks(1000)
        talk.play(10)
        talk.interrupts()
        talk.speaks(200)
        talk.finishes()
        assert talk.play(3) == [None, None, None]
        assert talk.conversation.quiet is False  # the server has yet to say that it is over
        talk.ends(status="cancelled")
        assert talk.conversation.quiet

    def test_the_next_answer_is_played_from_its_beginning(self, make_talk: MakeTalk) -> None:
        talk = make_talk(fmt=SLIN8)
        talk.starts()
        talk.speaks(1000)
        talk.play(10)
        talk.interrupts()
        talk.speaks(200)  # late
        talk.finishes()
        talk.ends(status="cancelled")
        fresh = make_talk(fmt=SLIN8)
        answers = []
        for either in (talk, fresh):
            either.starts("r2")
            either.speaks(100, "b", "r2")
            either.finishes("b", "r2")
            answers.append(either.play(6))
        assert answers[0] == answers[1]
        assert answers[0].count(None) == 1

    @pytest.mark.parametrize(("fmt", "encoding"), [(SLIN8, "pcm"), (SLIN8, "pcmu"), (SLIN24, "pcm"), (SLIN24, "pcma")])
    def test_the_position_is_the_one_of_the_model_whatever_the_rates(
        self, make_talk: MakeTalk, fmt: AudioFormat, encoding: str
    ) -> None:
        talk = make_talk(fmt=fmt, encoding=encoding)
        talk.starts()
        talk.speaks(1000)
        talk.play(13)
        talk.interrupts()
        assert talk.truncations() == [("a", 260)]

    def test_a_server_that_does_not_interrupt_itself_is_told_to(self, make_talk: MakeTalk) -> None:
        talk = make_talk(AgentSettings(turn_detection=ServerVad(interrupt_response=False)))
        talk.starts()
        talk.speaks(1000)
        talk.play(5)
        talk.interrupts()
        assert [m["type"] for m in talk.hears()] == ["response.cancel", "conversation.item.truncate"]


@settings(max_examples=examples(100), deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("speak"), st.integers(1, 300)),
            st.tuples(st.just("finish"), st.just(0)),
            st.tuples(st.just("play"), st.integers(1, 20)),
            st.tuples(st.just("interrupt"), st.just(0)),
        ),
        max_size=30,
    ),
    st.sampled_from([(SLIN24, "pcm"), (SLIN8, "pcm"), (SLIN8, "pcmu")]),
)
def test_no_truncation_is_past_what_was_generated_or_beside_what_was_heard(
    steps: list[tuple[str, int]], kind: tuple[AudioFormat, str]
) -> None:
    talk = Talk(AgentSettings(), kind[0], encoding=kind[1])
    generated_ms: dict[str, float] = {}
    heard_ms: dict[str, float] = {}
    item, number = "", 0
    talk.starts()
    for step, amount in steps:
        if step == "speak":
            if not item:
                number += 1
                item = f"item{number}"
            talk.speaks(amount, item, "r1")
            generated_ms[item] = generated_ms.get(item, 0.0) + amount
        elif step == "finish" and item:
            talk.finishes(item)
            item = ""
        elif step == "play":
            talk.play(amount)
        elif step == "interrupt":
            before = {name: talk.playout.sent_ms(name) for name in generated_ms}
            for happening in talk.interrupts():
                assert isinstance(happening, Interrupted)
                heard_ms[happening.item_id] = happening.heard_ms
            for name, audio_end_ms in talk.truncations():
                assert audio_end_ms <= generated_ms[name]
                assert audio_end_ms == int(heard_ms[name]) == int(before[name])
            talk.ends(status="cancelled")
            talk.starts()
            break
    talk.finishes(item)
    total = talk.play(400)
    assert total[-1] is None
    assert talk.playout.idle


class TestDigits:
    def test_are_told_to_the_model_which_answers(self, talk: Talk) -> None:
        assert talk.conversation.give_digits("12#", 0.0) == []
        item, create = talk.hears()
        assert item["item"]["role"] == "user"
        assert "12#" in item["item"]["content"][0]["text"]
        assert create["type"] == "response.create"

    def test_cut_the_agent_off_as_speech_does(self, talk: Talk) -> None:
        talk.starts()
        talk.speaks(1000)
        talk.play(10)
        assert talk.conversation.give_digits("1", talk.now) == [Interrupted("a", 200.0, 800.0)]
        sent = talk.hears()
        assert [m["type"] for m in sent] == [
            "conversation.item.truncate",
            "response.cancel",
            "conversation.item.create",
        ]
        assert sent[0]["audio_end_ms"] == 200
        assert talk.play(1) == [None]
        talk.ends(status="cancelled")
        assert [m["type"] for m in talk.hears()] == ["response.create"]

    def test_while_the_queued_end_of_an_answer_plays(self, talk: Talk) -> None:
        talk.starts()
        talk.speaks(1000)
        talk.finishes()
        talk.ends()
        talk.play(10)
        talk.conversation.give_digits("1", talk.now)
        assert [m["type"] for m in talk.hears()] == [
            "conversation.item.truncate",
            "conversation.item.create",
            "response.create",
        ]


def latency(talk: Talk) -> tuple[float, ...]:
    (began,) = talk.heard
    assert isinstance(began, AnswerBegan)
    parts = began.latency
    return parts.response_s, parts.detection_s, parts.model_s, parts.service_s


class TestLatency:
    def answer(self, talk: Talk, arrives_at: float, sent_at: float) -> None:
        talk.starts()
        talk.now = arrives_at
        talk.speaks(100)
        talk.now = sent_at
        talk.play(1)

    def test_begins_at_the_true_end_of_speech(self, talk: Talk) -> None:
        talk.caller(2000)
        talk.caller(520, loud=False)
        talk.now = 2.55
        # The model heard 500 ms of silence after the speech, 2500 ms into what it was sent.
        talk.says("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=2500)
        self.answer(talk, arrives_at=2.8, sent_at=2.81)
        assert latency(talk) == pytest.approx((0.81, 0.55, 0.25, 0.01))

    def test_follows_the_wall_clock_where_the_audio_came_late(self, talk: Talk) -> None:
        talk.now = 100.0  # a call that was answered long after this process began
        talk.caller(1000)
        talk.now += 0.3  # nothing came for a while, and nobody filled it
        talk.caller(500)
        talk.says("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=1500)
        self.answer(talk, arrives_at=102.0, sent_at=102.0)
        assert latency(talk) == pytest.approx((1.0, 0.8, 0.2, 0.0), abs=1e-6)

    def test_by_the_last_loud_frame_where_detection_waits_no_fixed_time(self, make_talk: MakeTalk) -> None:
        talk = make_talk(AgentSettings(turn_detection=SemanticVad(type="semantic_vad")))
        talk.caller(1000)
        talk.caller(600, loud=False)
        talk.says("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=1600)
        self.answer(talk, arrives_at=1.9, sent_at=1.9)
        assert latency(talk) == pytest.approx((0.9, 0.6, 0.3, 0.0))

    def test_by_the_acknowledged_wait_not_the_wished_for(self, talk: Talk) -> None:
        talk.caller(1000)
        talk.caller(300, loud=False)
        session = talk.session.profile.session()
        session["audio"]["input"]["turn_detection"]["silence_duration_ms"] = 200
        other = Talk(AgentSettings(), SLIN24)
        other.session = RealtimeSession(other.session.profile)
        codec = ModelCodec(SLIN24, "pcm")
        other.conversation = Conversation(
            other.session, other.playout, talk.uplink, codec, other.leaving, other.background
        )
        other.says("session.created", session={})
        other.says("session.updated", session=session)
        other.now = 1.25
        other.says("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=1200)
        self.answer(other, arrives_at=1.5, sent_at=1.5)
        assert latency(other) == pytest.approx((0.5, 0.25, 0.25, 0.0))

    def test_of_a_server_that_hears_what_it_was_not_sent(self, talk: Talk) -> None:
        talk.now = 5.0
        talk.says("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=900)
        self.answer(talk, arrives_at=5.2, sent_at=5.25)
        assert latency(talk) == pytest.approx((0.25, 0.0, 0.2, 0.05))

    @pytest.mark.parametrize("end_ms", [-(2.0**53), -1.0, 2.0**53, 4_001.0])
    def test_of_a_server_whose_positions_cannot_be(self, talk: Talk, end_ms: float) -> None:
        talk.caller(3000)
        talk.now = 5.0
        talk.says("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=end_ms)
        self.answer(talk, arrives_at=5.2, sent_at=5.25)
        assert latency(talk) == pytest.approx((0.25, 0.0, 0.2, 0.05))

    def test_of_a_server_that_reports_a_turn_of_long_ago(self, talk: Talk) -> None:
        talk.caller(122_000)
        talk.now = 130.0
        talk.says("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=1_000)
        self.answer(talk, arrives_at=130.2, sent_at=130.25)
        assert latency(talk) == pytest.approx((0.25, 0.0, 0.2, 0.05))

    def test_is_told_once_an_answer(self, talk: Talk) -> None:
        talk.caller(1000)
        talk.says("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=1000)
        self.answer(talk, arrives_at=1.2, sent_at=1.2)
        talk.finishes()
        talk.speaks(100, "b")
        told = 0
        for _ in range(8):
            talk.play(1)
            told += len(talk.heard)
        assert told == 0

    def test_of_an_answer_that_is_talked_over_is_not_told(self, talk: Talk) -> None:
        talk.caller(1000)
        talk.says("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=1000)
        talk.starts()
        talk.speaks(10)  # not a whole frame yet
        talk.play(1)
        talk.interrupts()
        talk.ends(status="cancelled")
        talk.starts("r2")
        talk.speaks(100, "b", "r2")
        talk.play(1)
        assert talk.heard == []


class TestWords:
    def test_of_the_caller(self, talk: Talk) -> None:
        kind = "conversation.item.input_audio_transcription"
        assert talk.says(f"{kind}.completed", item_id="u", transcript="Hello") == [CallerSaid("u", "Hello")]
        assert talk.says(f"{kind}.failed", item_id="u", error={}) == [CallerSaid("u", None)]

    def test_of_the_agent(self, talk: Talk) -> None:
        said = talk.says("response.output_audio_transcript.done", item_id="a", transcript="Yes?")
        assert said == [AgentSaid("a", "Yes?")]


class TestResponses:
    def test_tools_are_called_when_the_response_completes(self, talk: Talk) -> None:
        item = {"type": "function_call", "status": "completed", "call_id": "c", "name": "end_call", "arguments": "{}"}
        talk.starts()
        assert talk.says("response.output_item.done", response_id="r1", item=item) == []
        assert talk.ends() == []
        assert talk.called == [ToolCall("c", "end_call", "{}")]

    @pytest.mark.parametrize("status", ["failed", "incomplete"])
    def test_one_that_falls_silent_says_why(self, talk: Talk, status: str) -> None:
        details = {"error": {"code": "rate_limit_exceeded", "message": "too many"}}
        assert talk.ends(status=status, status_details=details) == [
            ResponseFailed(status, "rate_limit_exceeded", "too many", status == "incomplete")
        ]

    @pytest.mark.parametrize("status", ["completed", "cancelled"])
    def test_others_are_no_failures(self, talk: Talk, status: str) -> None:
        assert talk.ends(status=status, status_details={"reason": "turn_detected"}) == []


class TestQuiet:
    def test_at_first(self, talk: Talk) -> None:
        assert talk.conversation.quiet

    def test_not_while_the_model_speaks_nor_while_it_is_heard(self, talk: Talk) -> None:
        talk.starts()
        assert not talk.conversation.quiet
        talk.speaks(100)
        talk.finishes()
        talk.ends()
        for _ in range(5):
            assert not talk.conversation.quiet
            talk.play(1)
        assert talk.conversation.quiet

    def test_a_model_that_is_gone_says_nothing_more(self, talk: Talk) -> None:
        talk.starts()
        talk.session.closed(1006, "")
        assert talk.conversation.quiet

    @pytest.mark.parametrize("status", ["failed", "incomplete"])
    def test_after_a_response_that_broke_off_inside_a_sentence(self, talk: Talk, status: str) -> None:
        talk.starts()
        talk.speaks(50)
        talk.ends(status=status)
        assert [frame is not None for frame in talk.play(4)] == [True, True, True, False]
        assert talk.conversation.quiet == (status == "incomplete")  # one that failed is asked for once more

    def test_a_response_beside_the_conversation_does_not_end_the_agents_words(self, make_talk: MakeTalk) -> None:
        talk = make_talk(fmt=SLIN8)
        talk.starts()
        talk.speaks(50)
        talk.ends("summary")
        talk.speaks(50)
        talk.finishes()
        assert sum(frame is not None for frame in talk.play(8)) == 5
        assert talk.playout.sent_ms("a") == 100.0

    def test_even_when_it_went_inside_a_sentence(self, talk: Talk) -> None:
        talk.starts()
        talk.speaks(50)
        for event in talk.session.closed(1006, ""):
            talk.conversation.handle(event, talk.now)
        talk.play(4)
        assert talk.conversation.quiet


class TestLost:
    """The session is gone; another one takes its place."""

    def lose(self, talk: Talk) -> None:
        """The session is lost while nobody speaks."""
        talk.session.closed(1006, "")
        talk.conversation.lost(talk.now)

    def renew(self, talk: Talk) -> list[str]:
        """Another session takes its place; returns what is asked of it, by type."""
        session = RealtimeSession(talk.session.profile)
        for kind in ("session.created", "session.updated"):
            session.receive(json.dumps({"type": kind, "session": {"id": "t", **session.profile.session()}}), talk.now)
        session.take_outgoing()
        talk.conversation.renew(session, (), talk.now)
        return [json.loads(message)["type"] for message in session.take_outgoing()]

    def miss(self, talk: Talk, ms: int, *, loud: bool) -> None:
        frame = tone(20) if loud else talk.fmt.silence(20)
        for _ in range(ms // 20):
            talk.conversation.missed(frame, 20.0)

    def test_in_a_quiet_moment_nothing_is_said_about_it(self, talk: Talk) -> None:
        self.lose(talk)
        self.miss(talk, 3000, loud=False)
        self.miss(talk, 100, loud=True)  # a click
        assert self.renew(talk) == []

    def test_what_the_caller_said_meanwhile_is_asked_for(self, talk: Talk) -> None:
        self.lose(talk)
        self.miss(talk, 400, loud=True)
        assert self.renew(talk) == ["conversation.item.create", "response.create"]

    def test_keys_pressed_meanwhile_are_answered(self, talk: Talk) -> None:
        self.lose(talk)
        talk.conversation.give_digits("1", talk.now)
        assert self.renew(talk) == ["conversation.item.create", "response.create"]

    def test_what_a_slow_network_did_not_take_before_does_not_count(self, talk: Talk) -> None:
        self.miss(talk, 400, loud=True)
        self.lose(talk)
        assert self.renew(talk) == []


class Judged(Talk):
    """One whose sounds are judged. The caller's side: silence, a loud sound, or what the server says of it."""

    def __init__(self, agent: AgentSettings | None = None, **realtime: Any) -> None:
        super().__init__(agent or AgentSettings(), SLIN24, judges=True, **realtime)
        self.happened: list[DialogueEvent] = []
        self.line(500, loud=False)
        self.happened.clear()

    def says(self, kind: str, **fields: Any) -> list[DialogueEvent]:
        happened = super().says(kind, **fields)
        if hasattr(self, "happened"):
            self.happened += happened
        return happened

    def line(self, ms: int, *, loud: bool) -> list[bytes]:
        """So much of the caller's side, while the agent's is played: what was heard of the agent."""
        heard = []
        for _ in range(ms // 20):
            self.caller(20, loud=loud)
            ticked = self.tick()
            frame = self.playout.next_frame()
            happened = self.conversation.frame_left(self.now, speech=frame is not None)
            self.happened += [what for what in (*ticked, *happened) if not isinstance(what, BOUNDARIES)]
            if frame is not None:
                heard.append(frame)
        return heard

    def talks(self, ms: int = 4000, item_id: str = "a", response_id: str = "r1", *, whole: bool = True) -> None:
        """The model generates a reply, all of it at once; without ``whole`` it is still at it."""
        self.starts(response_id)
        item = {"id": item_id, "type": "message"}
        self.says("response.output_item.added", response_id=response_id, item=item)
        self.speaks(ms, item_id, response_id)
        if whole:
            self.finishes(item_id, response_id)
            self.ends(response_id)
        self.hears()

    def begins(self, item_id: str = "u") -> None:
        start = self.uplink.appended_ms - 100
        self.says("input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=start)

    def stops(self, item_id: str = "u") -> None:
        """The turn ends and becomes an item."""
        self.says("input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=self.uplink.appended_ms)
        self.says("input_audio_buffer.committed", item_id=item_id, previous_item_id=None)

    def words(self, text: str, item_id: str = "u") -> None:
        self.says("conversation.item.input_audio_transcription.completed", item_id=item_id, transcript=text)

    def sound(self, ms: int = 200, item_id: str = "u") -> list[bytes]:
        """One sound, from its first to the end of its turn; what was heard of the agent meanwhile."""
        heard = self.line(80, loud=True)
        self.begins(item_id)
        heard += self.line(ms - 80, loud=True)
        heard += self.line(400, loud=False)
        self.stops(item_id)
        return heard

    def sent(self) -> list[tuple[str, str]]:
        """Messages to the model, as type and subject."""
        return [
            (m["type"], m.get("item_id") or m.get("response_id") or "")
            for m in self.hears()
            if m["type"] != "input_audio_buffer.append"
        ]

    @property
    def dismissed(self) -> list[str]:
        return [what.what for what in self.happened if isinstance(what, SoundDismissed)]

    @property
    def interrupted(self) -> list[Interrupted]:
        return [what for what in self.happened if isinstance(what, Interrupted)]


@pytest.fixture
def judged() -> Judged:
    talk = Judged()
    talk.talks()
    talk.line(1000, loud=False)
    return talk


class TestJudgedSound:
    def test_pauses_the_agent_with_the_next_frame(self, judged: Judged) -> None:
        judged.line(80, loud=True)
        judged.begins()
        assert judged.line(200, loud=True) == []
        assert judged.hears() == []

    def test_that_was_noise_costs_the_caller_nothing_of_the_reply(self) -> None:
        plain, judged = Judged(), Judged()
        plain.talks()
        judged.talks()
        heard = judged.line(1000, loud=False) + judged.sound()
        judged.words("")
        heard += judged.line(5000, loud=False)
        assert judged.dismissed == ["noise"]
        assert b"".join(heard) == b"".join(plain.line(5000, loud=False))

    def test_that_was_noise_is_forgotten_and_nothing_else_is_told(self, judged: Judged) -> None:
        judged.sound()
        judged.words("")
        assert judged.sent() == [("conversation.item.delete", "u")]
        assert judged.interrupted == []

    def test_of_some_length_is_the_caller(self, judged: Judged) -> None:
        judged.line(80, loud=True)
        judged.begins()
        assert judged.line(800, loud=True) == []
        assert judged.interrupted == [Interrupted("a", 1080.0, 2920.0)]
        assert judged.sent() == [("conversation.item.truncate", "a")]

    def test_the_cut_is_where_the_agent_was_paused(self, judged: Judged) -> None:
        judged.line(80, loud=True)
        judged.begins()
        judged.line(800, loud=True)
        assert judged.line(1000, loud=False) == []
        assert judged.playout.idle

    def test_while_the_model_still_generates_has_it_stopped_once_confirmed(self) -> None:
        talk = Judged()
        talk.talks(whole=False)
        talk.line(1000, loud=False)
        talk.line(80, loud=True)
        talk.begins()
        talk.line(200, loud=True)
        assert talk.sent() == []
        talk.line(800, loud=True)
        assert talk.sent() == [("response.cancel", "r1"), ("conversation.item.truncate", "a")]
        talk.speaks(500)
        assert talk.line(200, loud=False) == []

    def test_a_reply_that_grows_while_it_is_paused_is_heard_whole(self) -> None:
        talk = Judged()
        talk.talks(1200, whole=False)
        heard = talk.line(1000, loud=False)
        heard += talk.line(80, loud=True)
        talk.begins()
        talk.line(120, loud=True)
        talk.speaks(800)
        heard += talk.line(400, loud=False)
        talk.stops()
        talk.words("")
        talk.finishes()
        talk.ends()
        heard += talk.line(3000, loud=False)
        assert len(heard) == 100

    def test_a_short_word_is_an_interruption_and_its_answer_is_heard(self, judged: Judged) -> None:
        heard = judged.sound(300)
        judged.talks(500, "b", "r2")
        assert judged.line(100, loud=False)  # the reply continues until the words are known
        judged.words("Stop!")
        [cut] = judged.interrupted
        assert cut.item_id == "a"
        assert cut.heard_ms == pytest.approx(1000 + 20 * (len(heard) + 5))
        assert judged.sent() == [("conversation.item.truncate", "a")]
        assert len(judged.line(1000, loud=False)) == 25

    def test_a_short_word_whose_answer_has_not_begun(self, judged: Judged) -> None:
        judged.sound(300)
        judged.words("No, wait.")
        assert judged.sent() == [("conversation.item.truncate", "a")]
        judged.talks(500, "b", "r2")
        assert len(judged.line(1000, loud=False)) == 25

    @pytest.mark.parametrize("words", ["Uh-huh.", "Okay.", "mhm"])
    def test_agreement_does_not_end_the_reply(self, judged: Judged, words: str) -> None:
        judged.sound(300)
        judged.talks(500, "b", "r2")
        judged.words(words)
        assert judged.dismissed == ["agreement"]
        assert judged.sent() == [("conversation.item.delete", "u"), ("conversation.item.delete", "b")]
        judged.line(6000, loud=False)
        assert judged.playout.sent_ms("a") == 4000
        assert judged.playout.sent_ms("b") == 0

    def test_agreement_in_the_last_moment_is_the_answer(self) -> None:
        talk = Judged()
        talk.talks(1500)
        talk.line(1000, loud=False)
        talk.sound(300)
        talk.talks(500, "b", "r2")
        talk.words("Okay.")
        assert talk.dismissed == []
        assert len(talk.line(1000, loud=False)) == 25

    def test_what_it_provoked_is_never_heard_nor_done(self, judged: Judged) -> None:
        judged.sound()
        judged.starts("r2")
        judged.says("response.output_item.added", response_id="r2", item={"id": "b", "type": "function_call"})
        call = {"id": "b", "type": "function_call", "status": "completed"}
        call |= {"call_id": "c", "name": "end_call", "arguments": "{}"}
        judged.says("response.output_item.done", response_id="r2", item=call)
        judged.ends("r2")
        judged.hears()
        judged.words("")
        assert judged.sent() == [("conversation.item.delete", "u"), ("conversation.item.delete", "b")]
        judged.line(5000, loud=False)
        assert judged.called == []

    def test_tools_of_the_answer_to_a_true_one_are_called(self, judged: Judged) -> None:
        judged.sound(300)
        judged.starts("r2")
        call = {"id": "b", "type": "function_call", "status": "completed"}
        call |= {"call_id": "c", "name": "end_call", "arguments": "{}"}
        judged.says("response.output_item.done", response_id="r2", item=call)
        judged.ends("r2")
        assert judged.called == []
        judged.words("Stop, goodbye!")
        assert judged.called == [ToolCall("c", "end_call", "{}")]

    def test_dismissed_before_the_answer_begins(self, judged: Judged) -> None:
        judged.sound()
        judged.words("")
        judged.hears()
        judged.starts("r2")
        judged.says("response.output_item.added", response_id="r2", item={"id": "b", "type": "message"})
        assert judged.sent() == [("response.cancel", "r2")]
        judged.speaks(500, "b", "r2")
        judged.ends("r2", status="cancelled")
        assert judged.sent() == [("conversation.item.delete", "b")]
        judged.line(5000, loud=False)
        assert judged.playout.sent_ms("b") == 0

    def test_noise_whose_answer_is_refused_because_the_reply_is_still_generated(self) -> None:
        """The server cannot answer it by itself, and it need not be answered."""
        talk = Judged()
        talk.talks(whole=False)
        talk.line(1000, loud=False)
        talk.sound()
        error = {"code": "conversation_already_has_active_response", "message": "no", "event_id": None}
        talk.says("error", error=error)
        talk.words("")
        assert talk.sent() == [("conversation.item.delete", "u")]
        talk.finishes()
        talk.ends()
        talk.line(5000, loud=False)
        assert [kind for kind, _ in talk.sent() if kind == "response.create"] == []
        assert talk.playout.sent_ms("a") == 4000

    def test_a_true_one_whose_answer_is_refused_is_asked_for(self) -> None:
        talk = Judged()
        talk.talks(whole=False)
        talk.line(1000, loud=False)
        talk.sound(300)
        error = {"code": "conversation_already_has_active_response", "message": "no", "event_id": None}
        talk.says("error", error=error)
        talk.words("Stop.")
        assert talk.sent() == [("response.cancel", "r1"), ("conversation.item.truncate", "a")]
        talk.ends("r1", status="cancelled")
        assert talk.sent() == [("response.create", "")]

    def test_two_sounds_in_a_row_are_judged_each(self, judged: Judged) -> None:
        judged.sound(200, "u1")
        judged.sound(200, "u2")
        judged.words("", "u1")
        judged.words("", "u2")
        assert judged.dismissed == ["noise", "noise"]
        assert judged.sent() == [("conversation.item.delete", "u1"), ("conversation.item.delete", "u2")]
        judged.line(6000, loud=False)
        assert judged.playout.sent_ms("a") == 4000

    def test_a_digit_ends_the_judging(self, judged: Judged) -> None:
        judged.line(80, loud=True)
        judged.begins()
        assert judged.conversation.give_digits("1", judged.now)[-1] == Interrupted("a", 1080.0, 2920.0)
        kinds = [kind for kind, _ in judged.sent()]
        assert kinds == ["conversation.item.truncate", "conversation.item.create", "response.create"]
        judged.talks(500, "b", "r2")
        assert len(judged.line(1000, loud=False)) == 25

    @pytest.mark.parametrize("fails", [True, False])
    def test_words_that_never_come_end_the_judging(self, judged: Judged, fails: bool) -> None:
        judged.sound()
        if fails:
            judged.says("conversation.item.input_audio_transcription.failed", item_id="u", error={})
        judged.line(6000, loud=False)
        assert judged.dismissed == ["noise"]
        assert judged.playout.sent_ms("a") == 4000

    def test_without_transcription_the_length_decides_at_once(self) -> None:
        talk = Judged(AgentSettings(transcription=None))
        talk.talks()
        talk.line(1000, loud=False)
        talk.sound()
        assert talk.dismissed == ["noise"]
        talk.sound(500, "u2")
        assert len(talk.interrupted) == 1

    def test_with_semantic_detection_too(self) -> None:
        talk = Judged(AgentSettings(turn_detection=SemanticVad(type="semantic_vad")))
        talk.talks()
        talk.line(1000, loud=False)
        talk.sound()
        talk.words("Okay")
        assert talk.dismissed == ["agreement"]

    def test_before_the_answer_is_heard_does_not_stop_it(self) -> None:
        """A cough while the model thinks, or just before its first word."""
        talk = Judged()
        talk.starts()
        talk.line(80, loud=True)
        talk.begins()
        assert talk.sent() == []
        talk.speaks(1000)
        talk.finishes()
        talk.ends()
        assert talk.line(120, loud=True) == []
        talk.line(400, loud=False)
        talk.stops()
        talk.words("")
        talk.line(2000, loud=False)
        assert talk.playout.sent_ms("a") == 1000
        assert talk.sent() == [("conversation.item.delete", "u")]

    def test_more_of_the_callers_sentence_before_the_answer_is_heard(self) -> None:
        """They only paused to think: the answer to the first half is not wanted."""
        talk = Judged()
        talk.starts()
        talk.line(80, loud=True)
        talk.begins()
        talk.speaks(1000)
        assert talk.line(1000, loud=True) == []
        assert talk.sent() == [("response.cancel", "r1"), ("conversation.item.truncate", "a")]
        talk.ends(status="cancelled")
        talk.stops()
        talk.talks(500, "b", "r2")
        assert len(talk.line(1000, loud=False)) == 25


SOUND_STEPS: dict[str, Callable[[Judged], object]] = {
    "loud": lambda talk: talk.line(200, loud=True),
    "quiet": lambda talk: talk.line(300, loud=False),
    "begins": Judged.begins,
    "stops": Judged.stops,
    "agrees": lambda talk: talk.words("okay"),
    "says": lambda talk: talk.words("stop"),
    "nothing": lambda talk: talk.words(""),
    "starts": Talk.starts,
    "speaks": lambda talk: talk.speaks(500),
    "finishes": Talk.finishes,
    "ends": Talk.ends,
    "fails": lambda talk: talk.ends(status="cancelled"),
    "digit": lambda talk: talk.conversation.give_digits("1", talk.now),
}


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.sampled_from(sorted(SOUND_STEPS)), max_size=25))
def test_no_order_of_events_silences_the_agent_for_ever(steps: list[str]) -> None:
    talk = Judged()
    talk.talks(1000, "z", "r0")
    for step in steps:
        SOUND_STEPS[step](talk)
    if talk.session.responses.active is not None:
        talk.ends(talk.session.responses.active)
    talk.stops()
    talk.line(8000, loud=False)
    assert not talk.playout.paused
    talk.session.tick(talk.now)
    talk.session.tick(talk.now + 10)
    talk.starts("r9")
    talk.speaks(500, "y", "r9")
    talk.finishes("y", "r9")
    talk.ends("r9")
    talk.line(8000, loud=False)
    assert talk.session.responses.active is None
    assert not talk.playout.paused
