"""The interface between a media connection and the call: events, requests, and the end."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from ariagent.audio.format import AudioFormat


class Reason(StrEnum):
    """Why a media connection ended, as ``disconnected`` is told."""

    PEER_CLOSED = "peer_closed"
    """Asterisk closed the connection: the channel is gone. The normal end."""
    PEER_HANGUP = "peer_hangup"
    PEER_ERROR = "peer_error"
    """A frame of that kind came."""
    LOCAL = "local"
    """ariagent hung up or closed."""
    LOST = "lost"
    """The network failed, other than by a reset: that is how Asterisk closes with our frames unread."""
    MALFORMED = "malformed"
    """Bytes that are not AudioSocket."""
    UNEXPECTED_KIND = "unexpected_kind"
    """A frame that has no place here: audio of another rate, a second UUID."""
    FLOODED = "flooded"
    """More audio came than a telephone call makes."""
    STALLED = "stalled"
    """The peer did not read for ``STALL_LIMIT_S``."""
    FAULT = "fault"
    """The endpoint raised: our own bug."""


class Refusal(StrEnum):
    """Why a connection never became a media connection."""

    NOT_ALLOWED = "not_allowed"
    TOO_MANY = "too_many"
    """The largest number of calls have their connections already."""
    CROWDED = "crowded"
    """The connection did not say which call it was for, and a new connection needed its place."""
    HANDSHAKE_TIMEOUT = "handshake_timeout"
    UNKNOWN_UUID = "unknown_uuid"
    MALFORMED = "malformed"
    NO_UUID = "no_uuid"
    CLOSED_EARLY = "closed_early"
    CLOSING = "closing"


class MediaConnection(Protocol):
    """The endpoint's side of its connection. Each method may be called at any time, also after the end."""

    @property
    def uuid(self) -> UUID: ...

    @property
    def format(self) -> AudioFormat: ...

    def speech_ready(self) -> None:
        """A frame of speech became available: if the line is silent, it will be asked for within a few ms."""

    def hangup(self) -> None:
        """Ask Asterisk to hang the channel up, then close."""

    def close(self) -> None:
        """Close, which Asterisk takes for a hangup as well."""


class MediaEndpoint(Protocol):
    """One end of a call's audio. Called in the event loop; must not block.

    ``connected`` first, ``disconnected`` exactly once and last. An exception out of any of them ends the connection
    (and is logged as an internal error), not the server. Times are seconds of ``time.monotonic()``.
    """

    def connected(self, connection: MediaConnection) -> None: ...

    def audio_received(self, payload: bytes, now: float) -> None:
        """Audio of the caller in the connection's format: whole samples, most often 20 ms."""

    def frame_due(self, now: float) -> bytes | None:
        """The next 20 ms for the caller, exactly one frame, or None for silence. It is sent now."""

    def digit_received(self, digit: str) -> None: ...

    def disconnected(self, reason: str) -> None:
        """The connection is over; ``reason`` is a ``Reason``."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A connection that is to come."""

    endpoint: MediaEndpoint
    format: AudioFormat
    call: str = ""
    """The id of the call that it is for, for the log."""
