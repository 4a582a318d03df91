"""The conversation: joins the model's session, the playout and the caller's audio. No I/O, no clock.

Everything that a position is needed for (what the caller heard when they interrupted, when an answer began)
is counted in frames handed to Asterisk, never in what was received from the model.
"""

from collections.abc import Iterable, Iterator, Sequence

from ariagent.audio.playout import Cleared, ItemStarted, Playout
from ariagent.audio.rates import ModelCodec
from ariagent.audio.uplink import Uplink
from ariagent.dialogue.answer_hold import AnswerHold
from ariagent.dialogue.background import Background
from ariagent.dialogue.caller_turn import CallerTurn
from ariagent.dialogue.effects import Happened
from ariagent.dialogue.events import (
    AgentBegan,
    AgentEnded,
    AgentSaid,
    AnswerBegan,
    AnswerDiscarded,
    CallerBegan,
    CallerEnded,
    CallerSaid,
    CutIn,
    DialogueEvent,
    Interrupted,
    ResponseFailed,
    SoundDismissed,
)
from ariagent.dialogue.history import PRESSED, Entry, Said, Used
from ariagent.dialogue.interruption import BargeInDecision, BargeInDetector
from ariagent.dialogue.leaving import Leaving
from ariagent.dialogue.memory import Memory
from ariagent.dialogue.notes import LOST_NOTE, opening_instructions
from ariagent.dialogue.spoken_time import ROOM_MS
from ariagent.dialogue.turn_end import TurnEnd
from ariagent.dialogue.turns import TurnClock
from ariagent.realtime import events as rt
from ariagent.realtime.session import Heard, RealtimeSession, State
from ariagent.text import heard_words

OPENING = "aria_opening"
"""The item of the opening, in the playout and in the model's conversation; a number follows when played again."""
_HEARD = "_heard"
PHRASE = "aria_phrase_"
"""Items that are played only: nothing the model needs to remember."""
_ROLES = {"agent": "assistant", "caller": "user", "note": "system"}
TELLING_TURN_MS = 1_000
"""Milliseconds by the server's count, which includes the silence before and after."""
MISSED_MS = 200
"""Milliseconds of the caller's speech without a session after which the agent asks them to repeat it; less may be a
click."""
LATEST_MS = 120_000.0
"""A server reports the end of a turn within that time; response times are counted from there."""
ITEMS_KEPT = 256
TURN_OVERDUE_S, SEMANTIC_WAIT_S = 3.0, 8.0
"""Seconds after the server's own wait in silence (with semantic detection 8 s) at which an open turn is overdue."""
ANSWER_LEFT_MS = 1_000
"""Agreement in the last moments of a reply may be the answer to it."""
SAME_SOUND_S = 0.6
"""Two sounds with a shorter pause between them are one, where the server ends turns early. A server that does not would
have told them as one."""
CUT_IN_S = 1.2
"""A caller who speaks on within this time of the answer's first frame had not finished their turn."""


class Conversation:
    """One call's turns. ``handle`` takes the model's events, ``frame_left`` the frames sent, ``judge`` the timer."""

    def __init__(
        self,
        session: RealtimeSession,
        playout: Playout,
        uplink: Uplink,
        codec: ModelCodec,
        leaving: Leaving,
        background: Background,
        detector: BargeInDetector | None = None,
        turn_end: TurnEnd | None = None,
    ) -> None:
        """``leaving`` and ``background`` are only looked at: while the agent takes its leave politeness is no
        interruption, and what is background is answered only after a pause. Without a ``detector`` every sound that
        the server takes for speech is an interruption. Without ``turn_end`` the server ends the caller's turns."""
        self._session = session
        self._playout = playout
        self._uplink = uplink
        self._codec = codec
        self._leaving = leaving
        self._background = background
        self._detector = detector
        self._latency = TurnClock()
        self.hold = AnswerHold(uplink, self._latency, turn_end)
        self._turn = CallerTurn(uplink)
        self._silence_wait_ms = 0.0
        """How long the server waits in silence before it ends a turn; 0: no fixed time."""
        self._item_id = ""
        """The item of the audio that arrived last."""
        self._items: dict[str, None] = {}
        """The agent's items that the session knows."""
        self._answer_pending = False
        """An answer was lost with the former session."""
        self._missed_ms = 0.0
        """Milliseconds of the caller's speech that no session took since then."""
        self._silent_since = 0.0
        self._silent_ms = 0.0
        """How long the agent was silent because of the sound that is judged."""
        self._cut_in: CutIn | None = None
        """The newest sound of the caller's, should it be speech."""
        self._answer_at = float("-inf")
        """When the caller began to hear the newest answer to a turn of theirs."""
        self._opening = ""
        self._openings = 0
        self._replayed = False
        """Something was said before the opening."""
        self._phrases = 0
        self._speaking = False
        """The caller hears the agent."""

    @property
    def quiet(self) -> bool:
        """The agent has been heard to the end and nothing more of it is on the way."""
        if not self._playout.idle or self.hold.paused:
            return False
        return self._session.responses.idle or self._session.state is State.CLOSED

    @property
    def overfull(self) -> bool:
        """More of the agent's speech waits to be heard than anybody would listen to."""
        held = self.hold.held
        held_ms = self._codec.model_ms(held.audio_bytes)
        return self._playout.overfull or held.overfull or held_ms > self._playout.most_ms

    @property
    def at_rest(self) -> bool:
        """Nobody speaks, and nobody is about to; what was said is known."""
        return self.quiet and not (self._turn.open or self._session.response_pending or self._session.untold)

    def open(
        self, words: str, now: float, audio: bytes | None = None, *, note: str = "", continues: bool = False
    ) -> list[Happened]:
        """Have the agent say its first words: ``audio`` (the playout's format) where they are rendered already.

        Rendered, they are the same every time and the model need not be asked; it is told that it said them. The model
        knows ``note`` before it speaks; with ``continues`` it speaks on behind those words.
        """
        happened: list[Happened] = []
        instructions = None
        if words and audio is not None:
            happened.append(self._say_rendered(words, audio))
        elif words:
            instructions = opening_instructions(words, continues=continues)
        if note:
            self.note(note)
        if continues or instructions:
            self._session.request_response(now, instructions)
        return happened

    def _say_rendered(self, words: str, audio: bytes) -> AgentSaid:
        self._openings += 1
        item_id = OPENING if self._openings == 1 else f"{OPENING}_{self._openings}"
        self._opening = words
        self._session.add_said(item_id, words, first=self._opens)
        self._playout.push(item_id, audio)
        self._playout.finish(item_id)
        return AgentSaid(item_id, words)

    @property
    def _opens(self) -> bool:
        """The opening is the beginning of the conversation."""
        return self._openings == 1 and not self._replayed

    def break_off(self, now: float) -> list[Happened]:
        """The agent says nothing more of what it is saying: it is for somebody who is not there any more."""
        happened = self.judge(now, BargeInDecision.NOISE)
        if self.hold.paused:
            happened += self.hold.drop(self._session, now)
        return [*happened, *self._cut_off(now, by_server=False)]

    def recall(self, memory: Memory, note: str, now: float, *, speaks: bool = True) -> None:
        """Continue a conversation that was interrupted by a transfer; ``note`` tells the model why, and without
        ``speaks`` it waits for the caller then."""
        self.replay(memory.entries)
        if speaks:
            self.tell(note, now)
        else:
            self.note(note)

    def replay(self, entries: Iterable[Entry]) -> None:
        """Have the model know what was said so far."""
        self._replayed |= bool(entries)
        for entry in entries:
            match entry:
                case Said():
                    self._session.add_text(_ROLES[entry.who], entry.text)
                case Used():
                    self._session.add_call(entry.call_id, entry.name, entry.arguments)
                    if entry.output is not None:
                        self._session.answer_tool(entry.call_id, entry.output)
        # Some servers refuse a conversation with a call that has no output.
        self._session.answer_tools_for_now()

    def lost(self, now: float) -> list[Happened]:
        """The session is gone in the middle of the call; what it was about to say will not come."""
        happened = self.judge(now, BargeInDecision.NOISE)
        self._answer_pending, self._missed_ms = self._session.response_pending or self.hold.paused, 0.0
        happened += self.hold.drop(self._session, now)
        self._end_item(self._item_id)
        if self._turn.open:
            happened.append(CallerEnded())
        self._turn.ended()
        return happened

    def begin_in(self, session: RealtimeSession) -> None:
        """The first session that can be used, which need not be the first that was tried."""
        self._session = session

    def missed(self, pcm: bytes, ms: float) -> None:
        """No session took this of the caller's audio."""
        if self._uplink.loud(pcm):
            self._missed_ms += ms

    def renew(self, session: RealtimeSession, entries: Iterable[Entry], now: float) -> None:
        """Continue in another session, which is told what was said so far."""
        # An answer that was due while there was no session (to keys, a tool's result) is asked of the lost one.
        pending = self._answer_pending or self._session.response_pending or self._missed_ms >= MISSED_MS
        self._answer_pending, self._missed_ms = False, 0.0
        self._session = session
        self._latency.speech_started()
        self._items.clear()
        self._opening = ""
        self.replay(entries)
        if pending:
            self.tell(LOST_NOTE, now)

    def play(self, audio: bytes) -> None:
        """Play a rendered phrase or a tone behind what is being said. The model is not told."""
        self._phrases += 1
        item_id = f"{PHRASE}{self._phrases}"
        self._playout.push(item_id, audio)
        self._playout.finish(item_id)

    def tell(self, note: str, now: float) -> None:
        """Have the model act on a note of the system's, as soon as nothing else of it is running."""
        self.note(note)
        self._session.request_response(now)

    def note(self, note: str) -> None:
        """Let the model know, for whenever it speaks next."""
        self._session.add_text("system", note)

    def give_digits(self, digits: str, now: float) -> list[Happened]:
        """Tell the model what the caller pressed; that cuts the agent off as speech does."""
        happened = self.break_off(now)
        self._session.add_text("user", PRESSED.format(digits=digits))
        self._session.request_response(now)
        return happened

    def handle(self, event: rt.Event, now: float) -> list[Happened]:
        """Handle one event of the model, unless ``holds_back`` has taken it."""
        match event:
            case rt.AudioArrived():
                self._latency.audio_arrived(now)
                self._item_id = event.item_id
                self._items[event.item_id] = None
                if len(self._items) > ITEMS_KEPT:
                    del self._items[next(iter(self._items))]
                self._playout.push(event.item_id, self._codec.from_model(event.audio))
            case rt.AudioEnded():
                self._end_item(event.item_id)
            case rt.ResponseStarted():
                sound = None if self._detector is None else self._detector.item_id
                answers_sound = event.answers is not None and event.answers == sound
                if answers_sound or (self.hold.paused and not self._session.responses.discarded(event.response_id)):
                    self.hold.held.begin(event.response_id)
            case rt.SpeechStarted():
                return self._speech_started(event, now)
            case rt.SpeechStopped():
                return self._speech_stopped(event, now)
            case rt.CallerTranscribed():
                if self._detector is not None:
                    self._detector.said(event.item_id, event.text)
                return [CallerSaid(event.item_id, event.text), *self.judge(now)]
            case rt.AgentTranscribed():
                return [AgentSaid(event.item_id, event.text)]
            case rt.ResponseEnded():
                return list(self._response_ended(event))
            case rt.SessionFailed():
                self._end_item(self._item_id)
            case rt.SessionReady():
                self._silence_wait_ms = event.silence_wait_ms
        return []

    def holds_back(self, event: rt.Event, now: float) -> bool:
        """Whether the event is of an answer that is held: to a sound that is being judged, or to a turn that the caller
        may continue. ``take_released`` gives it back if the caller is to hear it."""
        return self.hold.held.takes(event, now)

    def take_released(self) -> tuple[tuple[rt.Event, float], ...]:
        """Events of an answer that was held back, and when they came: to be handled now."""
        return self.hold.take_released()

    def frame_left(self, now: float, *, speech: bool) -> Sequence[Happened]:
        """20 ms left for the caller, ``speech`` or silence. Return what became audible with them."""
        if not speech:
            if self._speaking and self.quiet:
                self._speaking = False
                return (AgentEnded(),)
            return ()
        happened: list[Happened] = []
        for event in self._playout.take_events():
            if isinstance(event, ItemStarted):
                self._speaking = True
                happened.append(AgentBegan(event.item_id))
                if not event.item_id.startswith(PHRASE) and (latency := self._latency.frame_sent(now)) is not None:
                    self._answer_at = now
                    happened.append(AnswerBegan(latency, event.item_id))
        return happened

    # -- the caller's voice, or what the server takes for it --------------------------------------

    def next_deadline(self) -> float | None:
        """The time of the next ``tick``, should no event arrive before."""
        due = None if self._detector is None else self._detector.next_deadline()
        if due is None:
            due = self.hold.next_deadline()
        return self._turn.next_deadline() if due is None else due

    def tick(self, now: float) -> list[Happened]:
        """Do what is due. At most one of these waits for something."""
        return self.judge(now) or self.missed_end(now) or self.hold.tick(now)

    def missed_end(self, now: float) -> list[Happened]:
        """Look whether the caller has been silent for so long that the server should have ended their turn."""
        judges = self._detector is not None and self._detector.item_id is not None
        if judges or not self._turn.missed_end(now, self._overdue_s):
            return []
        self._latency.speech_ended(now - self._overdue_s, now)
        self._session.caller_silent(now)
        self.hold.drop(self._session, now)
        return [CallerEnded()]

    def settle(self, now: float) -> list[Happened]:
        """Decide on the sound that is being judged, which has no time left: another one begins."""
        detector = self._detector
        if self._sound_continues(now):
            return []
        return [] if detector is None else self.judge(now, detector.settle(leaving=self._leaving.announced))

    def judge(self, now: float, decision: BargeInDecision | None = None) -> list[Happened]:
        """Decide on the sound that is being judged, if there is one, and what follows. ``decision``: made already."""
        detector = self._detector
        if detector is None or detector.item_id is None:
            return []
        if decision is None:
            leaving = self._leaving.announced
            decision = detector.decide(now, leaving=leaving, silence_wait_ms=self._silence_wait_ms)
            if decision is BargeInDecision.AGREEMENT and self._last_words and not leaving:
                decision = BargeInDecision.INTERRUPTION
        if decision is BargeInDecision.OPEN:
            self._hold(detector.holds, now)
            return []
        item_id, start_ms, ended = detector.item_id, detector.start_ms, detector.ended
        parts = detector.item_ids
        detector.close()
        self._hold(False, now)
        if decision is not BargeInDecision.INTERRUPTION:
            self.hold.held.end()
            self._turn.dismissed()
            for part in parts:
                self._session.dismiss(part, now)
            return [SoundDismissed(item_id, decision.value, self._silent_ms)]
        held = self.hold.held.response_ids
        happened = [*self._cut_off(now, by_server=True, turn_over=ended is not None, held=held), *self._began(start_ms)]
        if ended is None:
            self.hold.release()
            self._latency.speech_started()
        else:
            happened += self.hold.fell_silent(item_id, *ended, now)
        return happened

    def _speech_started(self, event: rt.SpeechStarted, now: float) -> list[Happened]:
        detector = self._detector
        if self.hold.paused:
            self._turn.began(event.audio_start_ms, now, self._overdue_s)
            return self.hold.continues(event.audio_start_ms, self._session, now)
        if detector is not None and self._sound_continues(now):
            self._turn.began(event.audio_start_ms, now, self._overdue_s)
            before = detector.item_id or ""
            detector.continues(event.item_id)
            return self.hold.sound_continues(before, self._session, now)
        after_s = now - self._answer_at
        self._cut_in = CutIn(after_s) if after_s <= CUT_IN_S and not self.quiet else None
        if self._background.hides(now):
            self._turn.open = True
            self._session.dismiss(event.item_id, now)
            return [SoundDismissed(event.item_id, "background", 0.0)]
        self._turn.began(event.audio_start_ms, now, self._overdue_s)
        if detector is not None and not self.quiet:  # an answer that cannot be heard yet can be lost to a cough, too
            detector.sound_began(event.item_id, event.audio_start_ms, now)
            self._silent_ms = 0.0
            self._hold(detector.holds, now)
            return []
        self._latency.speech_started()
        return [*self._cut_off(now, by_server=True), *self._began(event.audio_start_ms)]

    def _sound_continues(self, now: float) -> bool:
        """True if a sound that begins now belongs to the sound that is being judged: the server ends turns early."""
        detector = self._detector
        ended = None if detector is None or not self.hold.early else detector.ended
        return ended is not None and now - ended[0] < SAME_SOUND_S

    def _began(self, start_ms: float) -> list[Happened]:
        """A turn of the caller's begins."""
        self.hold.turn_began(start_ms)
        return [CallerBegan()] if self._cut_in is None else [CallerBegan(), self._cut_in]

    @property
    def _overdue_s(self) -> float:
        """The shortest turn whose end the server may have missed."""
        return (self._silence_wait_ms / 1000 or SEMANTIC_WAIT_S) + TURN_OVERDUE_S

    def _speech_stopped(self, event: rt.SpeechStopped, now: float) -> list[Happened]:
        self._turn.ended()
        self._background.sound_ended(now)
        fell_silent = self._true_end(event.audio_end_ms, now)
        if self._detector is not None and self._detector.item_id is not None:
            self._detector.sound_ended(event.item_id, fell_silent, now)
            return self.judge(now)
        start_ms = self._turn.start_ms
        # Short turns say little about how loud the caller is, and looking at them costs as much as at long ones.
        if self._detector is not None and start_ms is not None and event.audio_end_ms - start_ms >= TELLING_TURN_MS:
            self._detector.turn_ended(start_ms)
        return self.hold.fell_silent(event.item_id, fell_silent, now, now)

    # -- the agent's voice ------------------------------------------------------------------------

    def _hold(self, hold: bool, now: float) -> None:
        if hold and not self._playout.paused:
            self._silent_since = now
        elif self._playout.paused and not hold:
            self._silent_ms += 1000 * (now - self._silent_since)
        self._playout.paused = hold

    def _end_item(self, item_id: str) -> None:
        self._playout.push(item_id, self._codec.end_item())
        self._playout.finish(item_id)

    def _true_end(self, audio_end_ms: float, now: float) -> float:
        """Wall time at which the caller really fell silent."""
        sent_ms = self._uplink.appended_ms
        if not sent_ms or not max(0.0, sent_ms - LATEST_MS) <= audio_end_ms <= sent_ms + ROOM_MS:
            return now  # a server that hears what it was not sent, or heard so long ago
        if self._silence_wait_ms:
            return self._uplink.wall_time(audio_end_ms - self._silence_wait_ms)
        last_loud = self._uplink.last_loud_ms
        return self._uplink.wall_time(audio_end_ms if last_loud is None else last_loud)

    @property
    def _last_words(self) -> bool:
        """The reply is about to end."""
        over = self._session.responses.active in (None, *self.hold.held.response_ids)
        return over and self._playout.pending_ms <= ANSWER_LEFT_MS

    def _cut_off(
        self, now: float, *, by_server: bool, turn_over: bool = False, held: tuple[str, ...] = ()
    ) -> Iterator[DialogueEvent]:
        cleared = self._playout.clear()
        self._codec.end_item()
        # An item of which nothing was heard is cut at 0, so that the model does not think it said it. One that
        # was heard to its end stays whole.
        cut = [c for c in cleared if not (c.finished and c.sent_ms >= c.pushed_ms)]
        heard = [Heard(c.item_id, c.sent_ms) for c in cut if c.item_id in self._items]
        if by_server:
            self._session.interrupt(heard, now, turn_over=turn_over, answers=held)
        else:
            self._session.cancel(heard, now)
        for c in cut:
            if c.item_id.startswith(OPENING) and self._opening:
                self._opening_cut(c)
        for c in cleared:
            if not c.item_id.startswith(PHRASE):
                yield Interrupted(c.item_id, c.sent_ms, c.pushed_ms - c.sent_ms)

    def _opening_cut(self, cut: Cleared) -> None:
        """The model believes that it said all of the opening: let it know how far the caller heard it."""
        self._session.forget(cut.item_id)
        if heard := heard_words(self._opening, cut.sent_ms / cut.pushed_ms):
            self._session.add_said(cut.item_id + _HEARD, heard, first=self._opens)

    def _response_ended(self, event: rt.ResponseEnded) -> Iterator[DialogueEvent]:
        if self._session.responses.active is None:
            # One that failed may leave its item open, and the playout would wait for more of it.
            self._end_item(self._item_id)
        if event.status in ("failed", "incomplete") or event.reason == rt.SILENT:
            continues = event.status == "incomplete" and not event.unwanted
            yield ResponseFailed(event.status, event.reason, event.message, continues)
        if event.superseded:
            yield AnswerDiscarded(event.response_id, event.usage)
