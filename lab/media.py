"""The media side of a phone call: one UDP socket, a 20 ms pacer, everything sent and received kept with its time."""

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import Callable
from typing import cast

import numpy as np

from ariagent.errors import AsteriskError
from lab.codecs import CLOCK_HZ, FRAME_TICKS, Codec, Samples, convert_rate, make_codec
from lab.rtp import (
    AudioQueue,
    DtmfReceiver,
    DtmfSender,
    RtpError,
    RtpPacket,
    SentFrame,
    StreamStats,
    check_digits,
    pack,
    peak_of,
    reconstruct,
    stream_stats,
    unpack,
)
from lab.sdp import Sdp
from lab.transactions import Address
from lab.udp import bind_even

log = logging.getLogger(__name__)

FRAME_S = 0.020
MIN_INTERVAL_S = 0.015
"""Late frames are caught up with, but never closer together than this."""
MAX_DEBT_FRAMES = 10
"""Frames owed after a stall; more are forgiven (and counted), or the far end would get a burst."""
_EARLY_LIMIT = 500


class MediaSession(asyncio.DatagramProtocol):
    """RTP of one call. Made by ``open``; sends from ``negotiate`` on; ``close`` may be called at any time."""

    def __init__(self, *, dtx: bool) -> None:
        self.dtx = dtx
        self.mute_rtp = False
        self.on_hold = False
        self.on_packet: Callable[[RtpPacket], None] | None = None
        self.received: list[RtpPacket] = []
        self.sent: list[SentFrame] = []
        self.digits = ""
        self.malformed = self.stray = self.rtcp = self.forgiven_frames = 0
        self.codec: Codec | None = None
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport | None = None
        self._closed = self._loop.create_future()
        self._remote: Address | None = None
        self._early: list[tuple[bytes, Address, float]] = []
        self._may_send = False
        self._payload_type = 0
        self._send_event_type: int | None = None
        self._receive_event_type: int | None = None
        self._ssrc = secrets.randbits(32)
        self._seq = secrets.randbits(16)
        self._timestamp = secrets.randbits(32)
        self._origin = 0.0
        self._frames = 0
        self._last_sent = 0.0
        self._talking = False
        self._timer: asyncio.TimerHandle | None = None
        self._audio = AudioQueue()
        self._unready: list[tuple[Samples, int, int]] = []  # played before the codec was known
        self._dtmf = DtmfSender()
        self._dtmf_in = DtmfReceiver()
        self._tokens = itertools.count()
        self._waiting: dict[int, asyncio.Future[bool]] = {}

    @classmethod
    async def open(cls, bind: str, *, dtx: bool = False) -> "MediaSession":
        """Bind a free even port on ``bind``."""
        loop = asyncio.get_running_loop()
        sock = bind_even(bind, receive_buffer=1 << 20)
        _, session = await loop.create_datagram_endpoint(lambda: cls(dtx=dtx), sock=sock)
        return session

    @property
    def port(self) -> int:
        assert self._transport is not None
        return int(self._transport.get_extra_info("sockname")[1])

    # -- negotiation ---------------------------------------------------------------------------------------------

    def negotiate(self, local: Sdp, remote: Sdp, codec: str) -> None:
        """Both descriptions are known (again): send ``codec`` to where ``remote`` says, in the directions agreed."""
        self._remote = (remote.address, remote.port)
        self._may_send = remote.takes_audio and local.gives_audio
        self._payload_type = remote.payload_of(codec)
        self._send_event_type, self._receive_event_type = remote.event_payload, local.event_payload
        if self.codec is None or self.codec.name != codec:
            self.codec = make_codec(codec)
            for pcm, rate_hz, token in self._unready:
                self._audio.push(convert_rate(pcm, rate_hz, self.codec.rate_hz), token)
            self._unready.clear()
        early, self._early = self._early, []
        for data, source, arrival in early:
            self._receive(data, source, arrival)
        if self._timer is None and not self._closed.done():
            self._origin = time.monotonic()
            self._frames = 0
            self._tick()

    @property
    def sending(self) -> bool:
        """Whether packets go out now: negotiated, not on hold, not muted."""
        return self._may_send and not self.on_hold and not self.mute_rtp

    # -- sending -------------------------------------------------------------------------------------------------

    def play(self, pcm: Samples, rate_hz: int) -> "asyncio.Future[bool]":
        """Queue samples. The future gives True when the last was sent, False when it was cut off."""
        future, token = self._wait()
        if future.done():
            return future
        if not len(pcm):
            self._finish([token], True)
            return future
        if self.codec is None:
            self._unready.append((pcm, rate_hz, token))
        else:
            self._audio.push(convert_rate(pcm, rate_hz, self.codec.rate_hz), token)
        return future

    def stop_playing(self) -> None:
        """Drop what has not been sent."""
        unready, self._unready = self._unready, []
        self._finish([*self._audio.clear(), *(token for _, _, token in unready)], False)

    @property
    def playing(self) -> bool:
        return bool(self._unready) or not self._audio.empty

    def send_dtmf(self, digits: str, tone_ms: int, gap_ms: int) -> "asyncio.Future[bool]":
        """Queue telephone events; audio waits meanwhile. Raises AsteriskError when the far end takes none."""
        check_digits(digits)
        if self._send_event_type is None:
            raise AsteriskError("the far end takes no telephone events", remedy="Send the digits by INFO.")
        future, token = self._wait()
        if not future.done():
            if digits:
                self._dtmf.push(digits, tone_ms=tone_ms, gap_ms=gap_ms, token=token)
            else:
                self._finish([token], True)
        return future

    def _wait(self) -> tuple["asyncio.Future[bool]", int]:
        token = next(self._tokens)
        future: asyncio.Future[bool] = self._loop.create_future()
        self._waiting[token] = future
        if self._closed.done() or (self._transport is not None and self._transport.is_closing()):
            self._finish([token], False)
        return future, token

    def _finish(self, tokens: list[int], whole: bool) -> None:
        for token in tokens:
            future = self._waiting.pop(token, None)
            if future is not None and not future.done():
                future.set_result(whole)

    def _tick(self) -> None:
        now = time.monotonic()  # uvloop's own clock counts whole milliseconds, once per turn of the loop
        late = int((now - self._origin) / FRAME_S) - self._frames
        if late > MAX_DEBT_FRAMES:
            self._frames += late
            self.forgiven_frames += late
        if self.sending:
            self._send_frame(now)
        else:
            self._talking = False
        self._frames += 1
        due = self._origin + self._frames * FRAME_S
        self._timer = self._loop.call_later(max(due, self._last_sent + MIN_INTERVAL_S) - now, self._tick)

    def _send_frame(self, now: float) -> None:
        assert self.codec is not None
        timestamp = self._timestamp + self._frames * FRAME_TICKS & 0xFFFFFFFF
        event, token = self._dtmf.next(timestamp)
        if event is not None and self._send_event_type is not None:
            self._send(now, event.payload, self._send_event_type, event.timestamp, event.marker, 0)
            self._talking = False
        else:
            frame, finished = self._audio.next_frame(self.codec.rate_hz // 50)
            if frame is not None or not self.dtx:
                peak = 0 if frame is None else peak_of(frame)
                pcm = np.zeros(self.codec.rate_hz // 50, np.int16) if frame is None else frame
                payload = self.codec.encode(pcm)
                self._send(now, payload, self._payload_type, timestamp, not self._talking, peak)
            self._talking = frame is not None or not self.dtx
            self._finish(finished, True)
        if token >= 0:
            self._finish([token], True)

    def _send(self, now: float, payload: bytes, payload_type: int, timestamp: int, marker: bool, peak: int) -> None:
        if self._transport is None or self._remote is None:
            return
        self._seq = self._seq + 1 & 0xFFFF
        packet = pack(
            payload, payload_type=payload_type, seq=self._seq, timestamp=timestamp, ssrc=self._ssrc, marker=marker
        )
        self._transport.sendto(packet, self._remote)
        self._last_sent = now
        self.sent.append(SentFrame(now, self._seq, timestamp, marker, payload_type, peak))

    # -- receiving -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        arrival = time.monotonic()
        if self._remote is not None:
            self._receive(data, addr, arrival)
        elif len(self._early) < _EARLY_LIMIT:  # media may overtake the answer that says where it comes from
            self._early.append((data, addr, arrival))

    def _receive(self, data: bytes, source: Address, arrival: float) -> None:
        if source[:2] != self._remote:  # a late packet of another call that had this port before
            self.stray += 1
            return
        try:
            packet = unpack(data, arrival)
            if packet is None:
                self.rtcp += 1
                return
            if packet.payload_type == self._receive_event_type:
                self.digits += self._dtmf_in.received(packet)
        except RtpError:
            self.malformed += 1
            return
        self.received.append(packet)
        if self.on_packet is not None:
            try:
                self.on_packet(packet)
            except Exception:  # the edge of somebody else's code; the stream continues
                log.exception("phone.hook_failed")

    def error_received(self, exc: Exception) -> None:
        log.debug("phone.media_error", extra={"fields": {"error": str(exc)}})

    def heard(self, rate_hz: int = CLOCK_HZ) -> Samples:
        """See ``rtp.reconstruct``."""
        return reconstruct(self.received, rate_hz)

    @property
    def stats(self) -> StreamStats:
        return stream_stats(self.received)

    # -- closing -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop sending and receiving; what was received stays readable."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._may_send = False
        if self._transport is not None:
            self._transport.close()
        self._audio.clear()
        self._dtmf.clear()
        self._finish(list(self._waiting), False)

    async def closed(self) -> None:
        """Wait until the socket is gone."""
        await asyncio.shield(self._closed)

    def when_closed(self, action: Callable[[], object]) -> None:
        """Call ``action`` once the socket is gone."""
        self._closed.add_done_callback(lambda _: action())

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closed.done():
            self._closed.set_result(None)
