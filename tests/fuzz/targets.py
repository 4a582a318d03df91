"""Fuzz targets: functions of bytes that raise if a decoder does what it must not.

Used by ``fuzz.py`` (atheris thinks up the bytes) and by ``test_targets.py`` (they stay alive).
"""

import contextlib
import json
from collections.abc import Callable, Iterator

from ariagent.ami import events as ami_events
from ariagent.ami import protocol as ami
from ariagent.ari import events as ari_events
from ariagent.audiosocket import frames as audiosocket
from ariagent.config import AgentSettings, RealtimeSettings
from ariagent.errors import AmiError
from ariagent.realtime import events as rt
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.session import Heard, RealtimeSession, State

PROFILE = SessionProfile.of(AgentSettings(), RealtimeSettings())


def _pieces(data: bytes) -> tuple[bytes, list[bytes]]:
    """A stream, and the same cut into pieces; the first byte says how long they are."""
    if not data:
        return b"", []
    step, stream = data[0] % 29 + 1, data[1:]
    return stream, [stream[at : at + step] for at in range(0, len(stream), step)]


def audiosocket_frames(data: bytes) -> None:
    """Whole or in pieces, a stream is the same frames and the same fault; frames are written as they were read."""

    def read(pieces: list[bytes]) -> tuple[list[audiosocket.Frame], str]:
        decoder, frames = audiosocket.Decoder(), []
        try:
            for piece in pieces:
                frames += decoder.feed(piece)
                assert decoder.buffered_bytes < audiosocket.MAX_PAYLOAD_BYTES + audiosocket.HEADER_BYTES
        except audiosocket.FrameError as error:
            return frames + error.frames, str(error)
        return frames, ""

    stream, pieces = _pieces(data)
    found, fault = read([stream])
    assert read(pieces) == (found, fault)
    assert stream.startswith(b"".join(map(audiosocket.encode, found)))
    for frame in found:
        _ = frame.digit if frame.kind is audiosocket.Kind.DTMF else str(frame)


def manager_messages(data: bytes) -> None:
    """Whole or in pieces, a stream is the same messages; whatever they hold, they are events, nothing, or malformed."""

    def read(pieces: list[bytes]) -> tuple[list[ami.Message], bool]:
        decoder, messages = ami.Decoder(), []
        try:
            for piece in (ami.GREETING + b"11.0.0\r\n", *pieces):
                messages += decoder.feed(piece)
        except AmiError:
            return messages, True
        return messages, False

    stream, pieces = _pieces(data)
    found, fault = read([stream])
    assert read(pieces) == (found, fault)
    for message in found:
        for listed in (False, True):
            with contextlib.suppress(KeyError, ValueError, OverflowError):
                ami_events.parse(message, listed=listed)


def _lines(data: bytes) -> Iterator[str]:
    for line in data.split(b"\n"):
        yield line.decode("utf-8", "replace")


def realtime_events(data: bytes) -> None:
    """Lines are a server's messages: the session never raises, says what happened, and sends JSON; it can be closed."""
    session = RealtimeSession(PROFILE)
    session.receive('{"type":"session.created","session":{}}', 0.0)
    session.receive(json.dumps({"type": "session.updated", "session": PROFILE.session()}), 0.0)
    now = 0.0
    for number, line in enumerate(_lines(data)):
        now += 0.3
        for event in session.receive(line, now):
            assert isinstance(event, rt.Event)
        if number % 5 == 2:
            session.interrupt([Heard("item_a", 120.0)], now)
        if number % 7 == 3:
            session.request_response(now)
        session.tick(now)
        for message in session.take_outgoing():
            json.loads(message)
    assert session.closed(1006, "") != [] or session.state is State.CLOSED


def asterisk_events(data: bytes) -> None:
    """Lines are messages of ARI's event stream: events, nothing, or malformed."""
    for line in _lines(data):
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(message, dict):
            with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
                ari_events.parse(message)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "audiosocket": audiosocket_frames,
    "realtime": realtime_events,
    "ami": manager_messages,
    "ari": asterisk_events,
}

_AUDIO = {"type": "response.output_audio.delta", "response_id": "r1", "item_id": "item_a", "delta": "AAAA"}
_CALL = {"type": "function_call", "id": "item_f", "call_id": "c1", "name": "end_call", "arguments": "{}"}
_DONE = {"id": "r1", "status": "completed", "output": [_CALL], "usage": {"input_token_details": {"text_tokens": 3}}}
_EVENTS = (
    {"type": "input_audio_buffer.speech_started", "audio_start_ms": 100, "item_id": "item_u"},
    {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 900, "item_id": "item_u"},
    {"type": "input_audio_buffer.committed", "item_id": "item_u", "previous_item_id": None},
    {"type": "response.created", "response": {"id": "r1", "status": "in_progress"}},
    {"type": "response.output_item.added", "response_id": "r1", "item": {"id": "item_a", "type": "message"}},
    _AUDIO,
    {"type": "response.output_audio.done", "response_id": "r1", "item_id": "item_a"},
    {"type": "response.output_audio_transcript.done", "response_id": "r1", "item_id": "item_a", "transcript": "Hi."},
    {"type": "response.output_item.done", "response_id": "r1", "item": _CALL},
    {"type": "response.done", "response": _DONE},
    {"type": "conversation.item.truncated", "item_id": "item_a", "audio_end_ms": 120},
    {"type": "conversation.item.input_audio_transcription.completed", "item_id": "item_u", "transcript": "Hello."},
    {"type": "error", "error": {"code": "response_cancel_not_active", "message": "m", "event_id": "aria_1"}},
)
_CHANNEL = {"id": "1.1", "name": "PJSIP/1-1", "state": "Up", "caller": {"number": "1", "name": "A"}, "dialplan": {}}
_ARI = (
    {"type": "StasisStart", "args": ["seat", "01"], "channel": _CHANNEL},
    {"type": "ChannelDtmfReceived", "digit": "5", "channel": _CHANNEL},
    {"type": "ChannelHold", "channel": _CHANNEL, "musicclass": "default"},
    {"type": "ChannelLeftBridge", "bridge": {"id": "b"}, "channel": _CHANNEL},
    {"type": "ChannelHangupRequest", "channel": _CHANNEL, "cause": 16},
    {"type": "ChannelDestroyed", "channel": _CHANNEL, "cause": 16},
)
SEEDS: dict[str, tuple[bytes, ...]] = {
    "audiosocket": (
        b"\x05" + audiosocket.encode(audiosocket.Frame(audiosocket.Kind.UUID, bytes(16))),
        b"\x03" + audiosocket.dtmf_frame("5") + audiosocket.audio_frame(audiosocket.Kind.SLIN24, bytes(960)),
        b"\x01" + audiosocket.hangup_frame() + audiosocket.error_frame(b"\x01"),
    ),
    "realtime": (
        *tuple(json.dumps(event).encode() for event in _EVENTS),
        b"\n".join(json.dumps(event).encode() for event in _EVENTS),
    ),
    "ami": (
        b"\x07Event: QueueMemberStatus\r\nQueue: frontline\r\nInterface: Local/01@ariagent-seat\r\nStatus: 1\r\n\r\n",
        b"\x02Response: Success\r\nActionID: ariagent-1\r\nMessage: ok\r\n\r\n",
    ),
    "ari": tuple(json.dumps(event).encode() for event in _ARI),
}
WORDS: dict[str, tuple[str, ...]] = {
    "audiosocket": ("\\x00\\x00\\x00", "\\x01\\x00\\x10", "\\x03\\x00\\x01", "\\x10\\x01\\x40", "\\xff\\xff\\xff"),
    "realtime": (
        *(f'\\"{key}\\":' for event in _EVENTS for key in event),
        *(f'\\"{event["type"]}\\"' for event in _EVENTS),
        *("null", "[]", "{}", "1e999", "-1", "NaN", '\\"\\\\ud800\\"', "\\x0a"),
    ),
    "ami": ("Event: ", "\\x0d\\x0a", "Queue: ", "Status: ", "QueueEntry", "QueueParams", "1e400", "nan"),
    "ari": ('\\"type\\":', '\\"channel\\":', '\\"StasisStart\\"', '\\"args\\":', "null", "[]", "{}", "\\x0a"),
}
"""For atheris: parts that make sense."""
