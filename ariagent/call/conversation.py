"""Who speaks when: joins the model's session, the playout and the caller's audio. No I/O, no clock.

Everything that a position is needed for (what the caller heard when they interrupted, when an answer began)
is counted in frames handed to Asterisk, never in what was received from the model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ariagent.audio.playout import ItemStarted, Playout
from ariagent.audio.rates import ModelCodec
from ariagent.audio.uplink import Uplink
from ariagent.call.turns import TurnClock, TurnLatency
from ariagent.realtime import events as rt
from ariagent.realtime.session import Heard, RealtimeSession, State


@dataclass(frozen=True, slots=True)
class AnswerBegan:
    """The agent's answer to the caller's turn can be heard from now on."""

    latency: TurnLatency


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The caller, or a digit of theirs, cut the agent off."""

    item_id: str
    heard_ms: float
    dropped_ms: float


@dataclass(frozen=True, slots=True)
class CallerSaid:
    item_id: str
    text: str | None
    """None: the transcription failed."""


@dataclass(frozen=True, slots=True)
class AgentSaid:
    """What the agent generated; interruptions tell how much of it was heard."""

    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class ToolsCalled:
    calls: tuple[rt.ToolCall, ...]


@dataclass(frozen=True, slots=True)
class ResponseFailed:
    """The model fell silent for a reason that nobody would see otherwise (a limit, its filter)."""

    status: str
    reason: str
    message: str


Happening = AnswerBegan | Interrupted | CallerSaid | AgentSaid | ToolsCalled | ResponseFailed


class Conversation:
    """One call's turns. ``handle`` takes the model's events, ``frame_due`` the pacer's clock."""

    def __init__(self, session: RealtimeSession, playout: Playout, uplink: Uplink, codec: ModelCodec) -> None:
        self._session = session
        self._playout = playout
        self._uplink = uplink
        self._codec = codec
        self._turns = TurnClock()
        self._silence_wait_ms = 0.0
        self._item_id = ""  # of the audio that arrived last

    @property
    def quiet(self) -> bool:
        """The agent has been heard to the end and nothing more of it is on the way."""
        return self._playout.idle and (self._session.gate.active is None or self._session.state is State.CLOSED)

    def open(self, words: str | None, now: float) -> None:
        """Have the agent say its first words, if it has any."""
        if words:
            self._session.request_response(now, f"Say exactly: {words}")

    def give_digits(self, digits: str, now: float) -> list[Happening]:
        """Tell the model what the caller pressed; that cuts the agent off as speech does."""
        happened = list(self._cut_off(now, by_server=False))
        self._session.add_text("user", f"[The caller pressed {digits} on the keypad.]")
        self._session.request_response(now)
        return happened

    def handle(self, event: rt.Event, now: float) -> list[Happening]:
        """What one event of the model means for the conversation."""
        match event:
            case rt.AudioArrived():
                self._turns.audio_arrived(now)
                self._item_id = event.item_id
                self._playout.push(event.item_id, self._codec.from_model(event.audio))
            case rt.AudioEnded():
                self._end_item(event.item_id)
            case rt.SpeechStarted():
                self._turns.speech_started()
                return list(self._cut_off(now, by_server=True))
            case rt.SpeechStopped():
                self._turns.speech_ended(self._true_end(event.audio_end_ms, now), now)
            case rt.CallerTranscribed():
                return [CallerSaid(event.item_id, event.text)]
            case rt.AgentTranscribed():
                return [AgentSaid(event.item_id, event.text)]
            case rt.ResponseEnded():
                return list(self._response_ended(event))
            case rt.SessionFailed():
                self._end_item(self._item_id)
            case rt.SessionReady():
                self._silence_wait_ms = event.silence_wait_ms
        return []

    def frame_due(self, now: float) -> tuple[bytes | None, Sequence[Happening]]:
        """The next 20 ms for the caller (None: silence), and what became audible with it."""
        frame = self._playout.next_frame()
        if frame is None:
            return None, ()
        happened: list[Happening] = []
        for event in self._playout.take_events():
            if isinstance(event, ItemStarted) and (latency := self._turns.frame_sent(now)) is not None:
                happened.append(AnswerBegan(latency))
        return frame, happened

    def _end_item(self, item_id: str) -> None:
        self._playout.push(item_id, self._codec.end_item())
        self._playout.finish(item_id)

    def _true_end(self, audio_end_ms: float, now: float) -> float:
        """Wall time at which the caller really fell silent."""
        if not self._uplink.appended_ms:
            return now  # a server that hears what it was not sent
        if self._silence_wait_ms:
            return self._uplink.wall_time(audio_end_ms - self._silence_wait_ms)
        last_loud = self._uplink.last_loud_ms
        return self._uplink.wall_time(audio_end_ms if last_loud is None else last_loud)

    def _cut_off(self, now: float, *, by_server: bool) -> Iterator[Happening]:
        cleared = self._playout.clear()
        self._codec.end_item()
        # An item of which nothing was heard is cut at 0, so that the model does not think it said it. One that
        # was heard to its end stays whole.
        heard = [Heard(c.item_id, c.sent_ms) for c in cleared if not (c.finished and c.sent_ms >= c.pushed_ms)]
        (self._session.interrupt if by_server else self._session.cancel)(heard, now)
        for c in cleared:
            yield Interrupted(c.item_id, c.sent_ms, c.pushed_ms - c.sent_ms)

    def _response_ended(self, event: rt.ResponseEnded) -> Iterator[Happening]:
        if self._session.gate.active is None:
            # One that failed may leave its item open, and the playout would wait for more of it.
            self._end_item(self._item_id)
        if event.tool_calls:
            yield ToolsCalled(event.tool_calls)
        if event.status in ("failed", "incomplete"):
            yield ResponseFailed(event.status, event.reason, event.message)
