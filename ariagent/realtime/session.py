"""A Realtime session without I/O: texts from the server in, events out; requests in, texts for the server out.

    session = RealtimeSession(profile)
    for event in session.receive(text, now): ...      # what happened
    for message in session.take_outgoing(): ...       # what to send

Times are monotonic seconds, passed in. Protocol facts: OpenAI's Realtime (GA) reference and guides.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ariagent.realtime import events as ev
from ariagent.realtime.gate import ResponseGate
from ariagent.realtime.profile import SessionProfile

TRUNCATED_WAIT_S = 0.25
"""A refused truncation is sometimes followed by a clamped acknowledgement; after this long it is asked again."""
TRUNCATE_TRIES = 3
TRUNCATE_STEP_MS = 100
MUTED_KEPT = 32

_APPEND_HEAD = b'{"type":"input_audio_buffer.append","audio":"'
_LARGEST = 2**53
_SHORTER = re.compile(r"Audio content of (\d+)ms is already shorter")


class State(Enum):
    CONNECTED = "connected"
    """Waiting for session.created."""
    CONFIGURING = "configuring"
    """session.update sent, waiting for session.updated."""
    READY = "ready"
    CLOSED = "closed"


class _Owed(Enum):
    """The response that the server has not begun yet."""

    NOTHING = "nothing"
    TO_TURN = "to_turn"
    """It answers the caller's turn by itself."""
    TO_REQUEST = "to_request"
    """We asked for it."""


@dataclass(frozen=True, slots=True)
class Heard:
    """How much of an item of the agent the caller heard when they interrupted."""

    item_id: str
    heard_ms: float


@dataclass(slots=True)
class _Truncation:
    event_id: str
    audio_end_ms: int
    tries: int = 1
    retry_at: float | None = None


class _MalformedError(Exception):
    """An event lacks what it must have."""


class RealtimeSession:
    """One conversation with the model. See the module's text for how to use it."""

    def __init__(self, profile: SessionProfile) -> None:
        self.profile = profile
        self.state = State.CONNECTED
        self.gate = ResponseGate()
        self.usage = ev.Usage()
        self._out: list[bytes] = []
        self._ids = 0
        self._last_error: ev.RequestRefused | None = None
        self._truncations: dict[str, _Truncation] = {}
        self._calls: dict[str, list[ev.ToolCall]] = {}
        self._muted: dict[str, None] = {}
        self._heard_at = 0.0  # when the server last said anything, or came to owe us something
        self._owed = _Owed.NOTHING
        self._handlers: dict[str, Callable[[dict[str, Any], float], Iterable[ev.Event]]] = {
            "session.created": self._on_created,
            "session.updated": self._on_updated,
            "error": self._on_error,
            "input_audio_buffer.speech_started": self._on_speech_started,
            "input_audio_buffer.speech_stopped": self._on_speech_stopped,
            "input_audio_buffer.committed": self._on_committed,
            "conversation.item.input_audio_transcription.completed": self._on_transcribed,
            "conversation.item.input_audio_transcription.failed": self._on_transcription_failed,
            "conversation.item.truncated": self._on_truncated,
            "response.created": self._on_response_created,
            "response.output_audio.delta": self._on_audio,
            "response.output_audio.done": self._on_audio_done,
            "response.output_audio_transcript.done": self._on_agent_transcript,
            "response.output_item.done": self._on_item_done,
            "response.done": self._on_response_done,
        }

    # -- what goes out ---------------------------------------------------------------------------

    def take_outgoing(self) -> list[bytes]:
        """The messages to send now, in order; each is one WebSocket text frame in UTF-8."""
        out, self._out = self._out, []
        return out

    @staticmethod
    def audio_message(audio: bytes) -> bytes:
        """The message that appends ``audio`` (session's input encoding) to the caller's side.

        Apart from ``take_outgoing`` because it is the hot path: 50 a second and call.
        """
        return b"".join((_APPEND_HEAD, binascii.b2a_base64(audio, newline=False), b'"}'))

    def request_response(self, now: float, instructions: str | None = None) -> None:
        """Have the model speak, as soon as nothing else of it is running."""
        self.gate.request({} if instructions is None else {"instructions": instructions})
        self._pump(now)

    def add_text(self, role: str, text: str) -> None:
        """Add a message to the conversation: role ``user`` or ``system``; nothing is spoken because of it."""
        content = [{"type": "input_text", "text": text}]
        self._send({"type": "conversation.item.create", "item": {"type": "message", "role": role, "content": content}})

    def answer_tool(self, call_id: str, output: str) -> None:
        """Give the model the result of one of its function calls."""
        item = {"type": "function_call_output", "call_id": call_id, "output": output}
        self._send({"type": "conversation.item.create", "item": item})

    def interrupt(self, heard: Iterable[Heard], now: float) -> None:
        """The caller interrupted: nothing more of the running response is wanted, and of what was
        generated only ``heard`` was heard.

        The server cancels by itself where the session says so; a cancel from us would be an error then.
        """
        self.gate.withdraw()
        if self.gate.active is not None:
            self._mute(self.gate.active)
            if not self.profile.server_interrupts:
                self._send({"type": "response.cancel", "response_id": self.gate.active})
        for item in heard:
            # Whole milliseconds, rounded down: past the end of the item is an error.
            self._truncate(item.item_id, int(item.heard_ms))
        self._pump(now)

    def cancel(self, heard: Iterable[Heard], now: float) -> None:
        """As ``interrupt``, for a reason the server cannot know of (a digit, an operator)."""
        active = self.gate.active
        self.interrupt(heard, now)
        if active is not None and self.profile.server_interrupts:
            self._send({"type": "response.cancel", "response_id": active})

    def _truncate(self, item_id: str, audio_end_ms: int, tries: int = 1) -> None:
        event_id = self._send(
            {
                "type": "conversation.item.truncate",
                "item_id": item_id,
                "content_index": 0,
                "audio_end_ms": audio_end_ms,
            }
        )
        self._truncations[item_id] = _Truncation(event_id, audio_end_ms, tries)

    def _mute(self, response_id: str) -> None:
        self._muted[response_id] = None
        while len(self._muted) > MUTED_KEPT:
            del self._muted[next(iter(self._muted))]

    def _send(self, message: dict[str, Any]) -> str:
        self._ids += 1
        event_id = f"aria_{self._ids}"
        self._out.append(json.dumps({"event_id": event_id, **message}, separators=(",", ":")).encode())
        return event_id

    def _pump(self, now: float) -> None:
        if self.state is State.READY and (response := self.gate.take(now)) is not None:
            self._send({"type": "response.create", "response": response})
            self._owed, self._heard_at = _Owed.TO_REQUEST, now

    # -- time -------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When ``tick`` has something to do although no text arrives."""
        times = [t.retry_at for t in self._truncations.values() if t.retry_at is not None]
        if self.state is State.READY and (gate := self.gate.next_deadline()) is not None:
            times.append(gate)
        if (stalled := self._stalled_at()) is not None:
            times.append(stalled)
        return min(times, default=None)

    def _stalled_at(self) -> float | None:
        """When a server that owes us a response, or the rest of one, has been silent for too long."""
        if self.state is not State.READY or (self._owed is _Owed.NOTHING and self.gate.active is None):
            return None
        only_turn = self._owed is _Owed.TO_TURN and self.gate.active is None
        return self._heard_at + self.profile.stall_timeout_s / (2 if only_turn else 1)

    def tick(self, now: float) -> list[ev.Event]:
        """Do what is due. SessionFailed: the server owes a response and says nothing; the connection is of no use."""
        if (stalled := self._stalled_at()) is not None and now >= stalled:
            if self.gate.active is not None or self._owed is _Owed.TO_REQUEST:
                cause = f"the model fell silent for {self.profile.stall_timeout_s:g} s in its turn"
                return self._fail(ev.SessionFailed(ev.Fault.SERVER, cause))
            # Some servers leave a turn unanswered that they made nothing of: ask, before giving it up.
            self._owed = _Owed.NOTHING
            self.gate.request({})
        for item_id, refused in list(self._truncations.items()):
            if refused.retry_at is not None and refused.retry_at <= now:
                del self._truncations[item_id]
                if refused.tries < TRUNCATE_TRIES:
                    self._truncate(item_id, max(0, refused.audio_end_ms), refused.tries + 1)
        self._pump(now)
        return []

    # -- what comes in ----------------------------------------------------------------------------

    def receive(self, text: str | bytes, now: float) -> list[ev.Event]:
        """What one message of the server means. Never raises for anything a server can send."""
        if self.state is State.CLOSED:
            return []
        if isinstance(text, bytes):
            return [ev.InputMalformed("binary frame", len(text))]
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            return [ev.InputMalformed("not JSON", len(text))]
        kind = message.get("type") if isinstance(message, dict) else None
        if not isinstance(kind, str):
            return [ev.InputMalformed("no type", len(text))]
        self._heard_at = now
        handler = self._handlers.get(kind)
        if handler is None:
            return []
        try:
            happened = list(handler(message, now))
        except (_MalformedError, KeyError, TypeError, ValueError, AttributeError):
            return [ev.InputMalformed(kind[:64], len(text))]
        self._pump(now)
        return happened

    def closed(self, code: int | None, reason: str) -> list[ev.Event]:
        """The connection is gone: close code (None: cut off without one) and reason as received."""
        if self.state is State.CLOSED:
            return []
        error, unready = self._last_error, self.state is not State.READY
        self.state = State.CLOSED
        # An error of long ago did not end the session; one that ends it says so in the close reason,
        # or comes where nothing else could.
        if error is not None and (unready or error.code in reason or error.code == "session_expired"):
            return [_classify(error.code, error.message)]
        if (named := reason.rpartition(".")[2]) in _FAULTS:  # "invalid_request_error.invalid_api_key"
            return [_classify(named, reason)]
        if "maximum duration" in reason:
            return [_classify("session_expired", reason)]
        if code in (None, 1006):
            return [ev.SessionFailed(ev.Fault.NETWORK, "the connection to the model was cut off")]
        fault = ev.Fault.NETWORK if code in (1000, 1001, 1012) else ev.Fault.SERVER
        return [ev.SessionFailed(fault, f"the model closed the connection ({code} {reason})".replace(" )", ")"))]

    def _fail(self, failure: ev.SessionFailed) -> list[ev.Event]:
        self.state = State.CLOSED
        return [failure]

    def _on_created(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        _mapping(message, "session")
        if self.state is State.CONNECTED:
            self.state = State.CONFIGURING
            self._send({"type": "session.update", "session": self.profile.session()})
        return ()

    def _on_updated(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        session = _mapping(message, "session")
        if self.state is not State.CONFIGURING:
            return ()
        if mismatch := self.profile.mismatch(session):
            remedy = "Set realtime.encoding to what this server speaks"
            return self._fail(
                ev.SessionFailed(ev.Fault.REQUEST, f"the model's audio would be noise: {mismatch}", remedy)
            )
        self.state = State.READY
        expires_at = session.get("expires_at")
        ready = ev.SessionReady(
            str(session.get("id", "")),
            float(expires_at) if isinstance(expires_at, int | float) and 0 <= expires_at <= _LARGEST else 0.0,
            self.profile.silence_wait_ms(session),
        )
        return (ready,)

    def _on_error(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        error = _mapping(message, "error")
        refused = ev.RequestRefused(
            str(error.get("code") or error.get("type") or "unknown"),
            str(error.get("message") or ""),
            str(error.get("param") or ""),
        )
        self._last_error = refused
        self._owed = _Owed.NOTHING  # it may have been the request for a response that was refused
        if refused.code == "conversation_already_has_active_response":
            self.gate.refused(now)
        elif (refused_truncation := self._refused_truncation(error, refused)) is not None:
            shorter = _SHORTER.search(refused.message)
            bound = refused_truncation.audio_end_ms - TRUNCATE_STEP_MS
            refused_truncation.audio_end_ms = int(shorter[1]) if shorter else bound
            refused_truncation.retry_at = now + TRUNCATED_WAIT_S
        elif self.state is State.CONFIGURING:
            # A rejected session.update is discarded whole: going on would mean talking as somebody else.
            where = f" ({refused.param})" if refused.param else ""
            return self._fail(_classify(refused.code, refused.message + where))
        return (refused,)

    def _refused_truncation(self, error: dict[str, Any], refused: ev.RequestRefused) -> _Truncation | None:
        """The truncation that this error is about. Servers often leave out which request they mean."""
        event_id = error.get("event_id")
        waiting = [t for t in self._truncations.values() if t.retry_at is None]
        if event_id is not None:
            return next((t for t in waiting if t.event_id == event_id), None)
        about = refused.code == "item_truncate_invalid_item_id" or _SHORTER.search(refused.message) is not None
        return waiting[0] if about and waiting else None

    def _on_speech_started(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        if self._owed is _Owed.TO_TURN:
            self._owed = _Owed.NOTHING
        return (ev.SpeechStarted(_text(message, "item_id"), _number(message, "audio_start_ms")),)

    def _on_speech_stopped(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        return (ev.SpeechStopped(_text(message, "item_id"), _number(message, "audio_end_ms")),)

    def _on_committed(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        if self.profile.server_answers:
            self.gate.turn_ended(now)
            self._owed = _Owed.TO_TURN
        else:
            self.gate.request({})
        previous = message.get("previous_item_id")
        return (ev.CallerTurnEnded(_text(message, "item_id"), previous if isinstance(previous, str) else None),)

    def _on_transcribed(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        return (ev.CallerTranscribed(_text(message, "item_id"), _text(message, "transcript")),)

    def _on_transcription_failed(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        return (ev.CallerTranscribed(_text(message, "item_id"), None),)

    def _on_truncated(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        item_id = _text(message, "item_id")
        self._truncations.pop(item_id, None)
        return (ev.ItemTruncated(item_id, int(_number(message, "audio_end_ms"))),)

    def _on_response_created(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        response = _mapping(message, "response")
        response_id = _text(response, "id")
        if response.get("conversation_id", "") is None:
            return ()  # out of band: it does not write to the conversation
        self.gate.started(response_id)
        self._owed = _Owed.NOTHING
        return (ev.ResponseStarted(response_id),)

    def _on_audio(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        if message["response_id"] in self._muted:
            return ()
        audio = base64.b64decode(message["delta"], validate=True)
        if self.profile.encoding == "pcm" and len(audio) % 2:
            raise _MalformedError
        return (ev.AudioArrived(_text(message, "item_id"), audio),)

    def _on_audio_done(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        return (ev.AudioEnded(_text(message, "item_id")),)

    def _on_agent_transcript(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        return (ev.AgentTranscribed(_text(message, "item_id"), _text(message, "transcript")),)

    def _on_item_done(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        item = _mapping(message, "item")
        if item.get("type") == "function_call" and item.get("status") == "completed":
            call = ev.ToolCall(_text(item, "call_id"), _text(item, "name"), _text(item, "arguments"))
            self._calls.setdefault(_text(message, "response_id"), []).append(call)
        return ()

    def _on_response_done(self, message: dict[str, Any], now: float) -> Iterable[ev.Event]:
        response = _mapping(message, "response")
        response_id, status = _text(response, "id"), _text(response, "status")
        usage = _usage(response.get("usage"))
        self.usage += usage
        # Calls of a response that did not complete are never run: their arguments may be cut short,
        # and the caller interrupted them.
        calls = self._calls.pop(response_id, [])
        details = response.get("status_details")
        details = details if isinstance(details, dict) else {}
        error = details.get("error")
        error = error if isinstance(error, dict) else {}
        self.gate.ended(response_id)
        return (
            ev.ResponseEnded(
                response_id,
                status,
                str(error.get("code") or error.get("type") or details.get("reason") or ""),
                str(error.get("message") or ""),
                usage,
                tuple(calls) if status == "completed" else (),
            ),
        )


_FAULTS = {
    "invalid_api_key": (ev.Fault.CREDENTIALS, "Check realtime.api_key"),
    "missing_model": (ev.Fault.REQUEST, "Set realtime.model"),
    "invalid_model": (ev.Fault.REQUEST, "Check realtime.model and that the key may use it"),
    "model_not_found": (ev.Fault.REQUEST, "Check realtime.model and that the key may use it"),
    "beta_api_shape_disabled": (ev.Fault.REQUEST, "Remove the OpenAI-Beta header from realtime.headers"),
    "rate_limit_exceeded": (ev.Fault.LIMIT, "Ask for a higher limit or lower max_calls"),
    "insufficient_quota": (ev.Fault.LIMIT, "Check the plan and billing of the account"),
    "session_expired": (ev.Fault.EXPIRED, ""),
}


def _classify(code: str, message: str) -> ev.SessionFailed:
    fault, remedy = _FAULTS.get(code, (ev.Fault.REQUEST, "Check the agent's settings"))
    if code == "server_error":
        fault, remedy = ev.Fault.SERVER, ""
    return ev.SessionFailed(fault, f"the model refused: {code}: {message}", remedy)


def _mapping(message: dict[str, Any], key: str) -> dict[str, Any]:
    value = message[key]
    if not isinstance(value, dict):
        raise _MalformedError
    return value


def _text(message: dict[str, Any], key: str) -> str:
    value = message[key]
    if not isinstance(value, str):
        raise _MalformedError
    return value


def _number(message: dict[str, Any], key: str) -> float:
    value = message[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _MalformedError
    # Python's JSON takes NaN, Infinity and integers of any length.
    if not -_LARGEST <= value <= _LARGEST:
        raise _MalformedError
    return float(value)


def _usage(usage: object) -> ev.Usage:
    """A cancelled response may come without any."""
    if not isinstance(usage, dict):
        return ev.Usage()

    def count(*path: str) -> int:
        value: object = usage
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value if isinstance(value, int) and 0 < value <= _LARGEST else 0

    given, cached = "input_token_details", "cached_tokens_details"
    return ev.Usage(
        count(given, "text_tokens"),
        count(given, "audio_tokens"),
        count(given, cached, "text_tokens"),
        count(given, cached, "audio_tokens"),
        count("output_token_details", "text_tokens"),
        count("output_token_details", "audio_tokens"),
    )
