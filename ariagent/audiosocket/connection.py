"""One AudioSocket connection: the handshake, then an endpoint's media with a frame out every 20 ms.

The rules it keeps are Asterisk's (``res_audiosocket``, ``chan_audiosocket``): the UUID comes first and soon; the peer
is never left without a frame, for an idle server starves its channel's read path; every frame is one write on a socket
without Nagle, for a pause of 5 ms inside a frame ends the channel; we never stop reading, for a short write is an
error on the other side; and we send nothing but audio of the agreed kind and one hangup.
"""

import asyncio
import logging
import socket
import time
from collections import Counter
from typing import Protocol, cast
from uuid import UUID

from ariagent.audio.format import FRAME_MS, AudioFormat
from ariagent.audio.pacer import Pacer
from ariagent.audiosocket.endpoint import Expected, MediaEndpoint, Reason, Refusal
from ariagent.audiosocket.frameclock import FrameClock
from ariagent.audiosocket.frames import (
    HEADER_BYTES,
    Decoder,
    Frame,
    FrameError,
    Kind,
    Opening,
    audio_frame,
    audio_header,
    hangup_frame,
    kind_for,
)
from ariagent.audiosocket.intake import Intake

log = logging.getLogger(__name__)

FRAME_S = FRAME_MS / 1000
SEND_BUFFER_BYTES = 32_768
"""Asked of the kernel, so that a peer that stops reading is noticed after seconds, not minutes."""
FRAMES_A_TURN = 8
"""Frames of one connection that are handled in one turn of the event loop: 160 ms of audio, which take less than a
millisecond. Asterisk sends them one by one; more of them come only after a pause of this process or of the network."""
GRANTED_FRAMES = 50
"""Whole frames are allowed a second at a time."""
MAX_BACKLOG_FRAMES = 50
STALL_LIMIT_S = 5.0
CLOSE_LIMIT_S = 1.0


class ConnectionHost(Protocol):
    """The part of the server that a connection uses."""

    clock: FrameClock
    handshake_timeout_s: float
    refused: Counter[str]
    ended: Counter[str]
    frames_held: int

    def admit(self, peer: object) -> Refusal | None:
        """Whether a connection from ``peer`` (a socket address) may stay."""

    def claim(self, uuid: UUID) -> Expected | None:
        """Return the endpoint that waits for ``uuid``, once."""

    def opened(self, connection: "Connection") -> None: ...

    def waits(self, connection: "Connection", peer: object) -> None:
        """The connection was admitted, and has not said yet which call it is for."""

    def identified(self, connection: "Connection") -> None:
        """The connection belongs to a call."""

    def ending(self, connection: "Connection") -> None:
        """Its place is free."""

    def line_worth(self, now: float) -> int | None:
        """Whether a refusal is logged: None if not, else how many were not since the last one."""

    def later(self, connection: "Connection") -> None:
        """Call its ``go_on`` in a later turn of the event loop."""

    def closed(self, connection: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    """One TCP connection, from accept to close: first a handshake, then an endpoint's media."""

    uuid: UUID
    format: AudioFormat
    _transport: asyncio.Transport
    _intake: Intake

    def __init__(self, host: ConnectionHost, loop: asyncio.AbstractEventLoop) -> None:
        self._host = host
        self._loop = loop
        self._opening = Opening()
        self._decoder = Decoder()
        self._reading_paused = False
        self._waits_for_turn = False
        self._endpoint: MediaEndpoint | None = None
        self._identity: dict[str, object] = {}
        """Fields of every line of the log, once it has said which call it is for."""
        self._pacer = Pacer(FRAME_MS / 1000)
        self.due: float | None = None
        """When the next frame is to be sent."""
        self._timer: asyncio.Handle | None = None  # handshake, then closing
        self._ending = False
        self._header = b""
        self._usual_bytes = -1
        self._granted = 0
        """Whole frames that may still come before the allowance is asked again."""
        self._reason: Reason = Reason.PEER_CLOSED
        self._stalled_since: float | None = None

    # --- the event loop's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        refusal = self._host.admit(peer)
        self._host.opened(self)
        if refusal is not None:
            self._refuse(refusal)
            return
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._timer = self._loop.call_later(self._host.handshake_timeout_s, self._refuse, Refusal.HANDSHAKE_TIMEOUT)
        self._host.waits(self, peer)

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        now = time.monotonic()
        if self._endpoint is None:
            data = self._identify(data, now)
            if not data or self._ending:
                return
        if len(data) == self._usual_bytes and data[:HEADER_BYTES] == self._header and not self._decoder.buffered_bytes:
            # Nearly always: one whole frame of the agreed audio, which needs no decoder.
            if self._granted:
                self._granted -= 1
            elif self._intake.take(GRANTED_FRAMES * FRAME_S, now):
                self._granted = GRANTED_FRAMES - 1
            else:
                self._flooded()
                return
            try:
                self._endpoint.audio_received(data[HEADER_BYTES:], now)  # type: ignore[union-attr]  # it is identified
            except Exception:
                log.exception("media.endpoint_fault", extra=self._fields())
                self._end(Reason.FAULT)
            return
        self._decode(data, now)

    def go_on(self) -> None:
        """Look at more of what has been read. The server calls it in a later turn of the event loop."""
        self._waits_for_turn = False
        if not self._ending:
            self._decode(b"", time.monotonic())

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers()
        if exc is not None and not self._ending and not isinstance(exc, ConnectionError):
            self._reason = Reason.LOST
        self._host.closed(self)
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is None:
            if not self._ending:
                self._count_refusal(Refusal.CLOSED_EARLY)
            self._ending = True
            return
        self._ending = True
        self._host.ended[self._reason] += 1
        log.info("media.ended", extra=self._fields(reason=str(self._reason)))
        try:
            endpoint.disconnected(self._reason)
        except Exception:
            log.exception("media.endpoint_fault", extra=self._fields())

    # --- the endpoint's side

    def speech_ready(self) -> None:
        if self._ending or self._endpoint is None:
            return
        now = time.monotonic()
        before = self._pacer.next_deadline()
        self._pacer.speech_ready(now)
        if (due := self._pacer.next_deadline()) < before:
            self._host.clock.at(due, self)

    def hangup(self) -> None:
        if not self._ending and self._endpoint is not None:
            self._transport.write(hangup_frame())
        self.close()

    def close(self) -> None:
        self._end(Reason.LOCAL)

    # --- handshake

    def give_way(self) -> None:
        """Close this connection, which has not said which call it is for: another one needs its place."""
        self._refuse(Refusal.CROWDED)

    def _decode(self, data: bytes, now: float) -> None:
        """Handle some frames. If there are more, stop reading, and let every other connection have its turn first."""
        fault: FrameError | None = None
        try:
            frames = self._decoder.feed(data, most=FRAMES_A_TURN, most_bytes=FRAMES_A_TURN * self._usual_bytes)
        except FrameError as error:
            frames, fault = error.frames, error
        for frame in frames:
            if self._allowed(len(frame.payload), now):
                self._frame_received(frame, now)
            if self._ending:
                return
        if fault is not None:
            self._malformed(fault)
            return
        more = self._decoder.more
        if more and not self._waits_for_turn:
            self._waits_for_turn = True
            self._host.later(self)
        if more != self._reading_paused:
            self._reading_paused = more
            if more:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _allowed(self, payload_bytes: int, now: float) -> bool:
        """Whether the peer may bring this frame, too. If not, the connection ends."""
        if self._intake.take(self.format.ms(payload_bytes) / 1000, now):
            return True
        self._flooded()
        return False

    def _flooded(self) -> None:
        self._warn("media.flooded")
        self._end(Reason.FLOODED)

    def _frame_received(self, frame: Frame, now: float) -> None:
        assert self._endpoint is not None
        try:
            if frame.kind is self._kind:
                self._endpoint.audio_received(frame.payload, now)
            elif frame.kind is Kind.DTMF:
                self._endpoint.digit_received(frame.digit)
            else:
                self._control_received(frame)
        except Exception:
            log.exception("media.endpoint_fault", extra=self._fields())
            self._end(Reason.FAULT)

    def _identify(self, data: bytes, now: float) -> bytes:
        """Look at the first bytes of the connection; returns those behind the UUID frame."""
        try:
            found = self._opening.feed(data)
        except FrameError as error:
            known = error.kind != Kind.UUID and error.kind in tuple(Kind)
            self._refuse(Refusal.NO_UUID if known else Refusal.MALFORMED, kind=f"0x{error.kind:02x}")
            return b""
        if found is None:
            return b""
        uuid, rest = found
        claimed = self._host.claim(uuid)
        if claimed is None:
            self._refuse(Refusal.UNKNOWN_UUID, uuid=str(uuid))
            return b""
        self._belongs_to(uuid, claimed, now)
        return rest

    def _belongs_to(self, uuid: UUID, claimed: Expected, now: float) -> None:
        self._host.identified(self)
        self.uuid = uuid
        self._intake = Intake(now)
        self._endpoint, self.format = claimed.endpoint, claimed.format
        self._identity = {**({"call": claimed.call} if claimed.call else {}), "uuid": str(self.uuid)}
        self._kind = kind_for(self.format)
        self._frame_bytes = self.format.frame_bytes
        self._header = audio_header(self._kind, self._frame_bytes)
        self._usual_bytes = len(self._header) + self._frame_bytes
        self._silence = audio_frame(self._kind, bytes(self._frame_bytes))
        self._backlog_limit = MAX_BACKLOG_FRAMES * len(self._silence)
        self._stop_timers()
        self._pacer.start(now)
        log.info("media.connected", extra=self._fields(format=str(self.format)))
        try:
            self._endpoint.connected(self)
        except Exception:
            log.exception("media.endpoint_fault", extra=self._fields())
            self._end(Reason.FAULT)
            return
        if not self._ending:
            self._host.clock.at(self._pacer.next_deadline(), self)

    def _control_received(self, frame: Frame) -> None:
        if frame.kind is Kind.HANGUP:
            self._end(Reason.PEER_HANGUP)
            return
        reason = Reason.PEER_ERROR if frame.kind is Kind.ERROR else Reason.UNEXPECTED_KIND
        self._warn(f"media.{reason}", kind=frame.kind.name, length=len(frame.payload))
        self._end(reason)

    # --- a frame every 20 ms

    def frame_due(self) -> None:
        """Send a frame. The clock calls it."""
        now = time.monotonic()
        endpoint = self._endpoint
        if endpoint is None or self._ending:
            return
        if self._transport.get_write_buffer_size() > self._backlog_limit:
            self._hold(now)
            return
        self._stalled_since = None
        try:
            payload = endpoint.frame_due(now)
        except Exception:
            log.exception("media.endpoint_fault", extra=self._fields())
            self._end(Reason.FAULT)
            return
        if self._ending:  # by the endpoint, just now
            return
        if payload is None:
            self._transport.write(self._silence)
        elif len(payload) == self._frame_bytes:
            self._transport.write(self._header + payload)
        else:
            self._warn("media.wrong_frame_length", length=len(payload))
            self._end(Reason.FAULT)
            return
        self._host.clock.at(self._pacer.frame_sent(now, speech=payload is not None), self)

    def _hold(self, now: float) -> None:
        """The peer does not read: keep what is to be said, for a while."""
        self._host.frames_held += 1
        if self._stalled_since is None:
            self._stalled_since = now
            self._warn("media.stalled")
        if now - self._stalled_since > STALL_LIMIT_S:
            self._end(Reason.STALLED)
            return
        self._host.clock.at(self._pacer.frame_sent(now, speech=False), self)

    # --- the end

    def _refuse(self, refusal: Refusal, **fields: object) -> None:
        self._count_refusal(refusal, **fields)
        self._end(Reason.LOCAL)

    def _count_refusal(self, refusal: Refusal, **fields: object) -> None:
        self._host.refused[refusal] += 1
        unlogged = self._host.line_worth(time.monotonic())
        if unlogged is None:
            return
        if unlogged:
            fields["unlogged"] = unlogged
        peer = self._transport.get_extra_info("peername")
        self._warn("media.refused", reason=str(refusal), peer=str(peer or "-"), **fields)

    def _malformed(self, fault: FrameError) -> None:
        self._warn("media.malformed", kind=f"0x{fault.kind:02x}", length=fault.length)
        self._end(Reason.MALFORMED)

    def _end(self, reason: Reason) -> None:
        """Close once; ``connection_lost`` does the rest. A peer that does not read is cut off after a second."""
        if self._ending:
            return
        self._ending = True
        self._reason = reason
        self._stop_timers()
        self._host.ending(self)
        if reason is Reason.STALLED or self._endpoint is None:
            self._transport.abort()
            return
        self._transport.close()
        self._timer = self._loop.call_later(CLOSE_LIMIT_S, self._transport.abort)

    def _stop_timers(self) -> None:
        self.due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _warn(self, event: str, **fields: object) -> None:
        log.warning(event, extra=self._fields(**fields))

    def _fields(self, **fields: object) -> dict[str, object]:
        return {"fields": {**self._identity, **fields}}
