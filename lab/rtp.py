"""RTP packets (RFC 3550), telephone events (RFC 4733), and what a test wants to know about a stream of them. I/O-free.

Times are seconds on the process's monotonic clock, positions are ticks of the 8 kHz RTP clock, 160 per 20 ms frame.
"""

import struct
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ariagent.errors import AsteriskError, ConfigurationError
from lab.codecs import CLOCK_HZ, FRAME_TICKS, Codec, Samples, convert_rate, make_codec

_HEADER = struct.Struct("!BBHII")
_EVENT = struct.Struct("!BBH")
DIGITS = "0123456789*#ABCD"
"""Telephone events 0 to 15 (RFC 4733 section 3.2)."""
CODEC_OF_PAYLOAD = {0: "ulaw", 8: "alaw", 9: "g722"}
END_PACKETS = 3
"""How often the end of an event is sent (RFC 4733 section 2.5.1.4)."""
DEFAULT_LOUD = 1000
"""A frame whose peak reaches this (of 32767) is loud: well above comfort noise and codec error."""


class RtpError(AsteriskError):
    """A datagram on a media port is not RTP."""


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One received packet; ``arrival`` is when the event loop handed it over."""

    arrival: float
    seq: int
    timestamp: int
    marker: bool
    payload_type: int
    payload: bytes
    ssrc: int = 0


@dataclass(frozen=True, slots=True)
class SentFrame:
    """One packet sent; ``peak`` is the largest sample in it (0 for silence and telephone events)."""

    time: float
    seq: int
    timestamp: int
    marker: bool
    payload_type: int
    peak: int = 0


def pack(payload: bytes, *, payload_type: int, seq: int, timestamp: int, ssrc: int, marker: bool = False) -> bytes:
    """One packet: version 2, no padding, no extension, no contributing sources."""
    return _HEADER.pack(0x80, payload_type | marker << 7, seq & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


def unpack(data: bytes, arrival: float) -> RtpPacket | None:
    """One datagram as a packet; None for RTCP (told apart as RFC 5761 section 4 says). Raises RtpError."""
    if len(data) < 2 or data[0] >> 6 != 2:
        raise RtpError("not RTP version 2")
    if 192 <= data[1] <= 223:
        return None
    if len(data) < _HEADER.size:
        raise RtpError(f"RTP header cut short: {len(data)} bytes")
    first, second, seq, timestamp, ssrc = _HEADER.unpack_from(data)
    start = _HEADER.size + 4 * (first & 0x0F)
    end = len(data)
    if first & 0x10:
        if len(data) < start + 4:
            raise RtpError("RTP extension cut short")
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    if first & 0x20:
        if data[-1] == 0:
            raise RtpError("RTP padding of length 0")
        end -= data[-1]
    if end < start:
        raise RtpError(f"RTP packet cut short: {len(data)} bytes")
    return RtpPacket(arrival, seq, timestamp, bool(second & 0x80), second & 0x7F, data[start:end], ssrc)


# -- telephone events ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EventPacket:
    """One 20 ms slot of a telephone event: its payload, the timestamp of its start, the marker bit."""

    payload: bytes
    timestamp: int
    marker: bool


def pack_event(digit: str, *, duration_ticks: int, end: bool, volume: int = 10) -> bytes:
    """The 4-byte payload (RFC 4733 section 2.3). ``volume`` is -dBm0."""
    return _EVENT.pack(DIGITS.index(digit), end << 7 | volume, min(duration_ticks, 0xFFFF))


def unpack_event(payload: bytes) -> tuple[str, bool, int]:
    """(digit, end, duration in ticks); the digit is '' for an event that is none. Raises RtpError."""
    if len(payload) < _EVENT.size:
        raise RtpError(f"telephone event of {len(payload)} bytes")
    event, flags, duration = _EVENT.unpack_from(payload)
    return DIGITS[event] if event < len(DIGITS) else "", bool(flags & 0x80), duration


def check_digits(digits: str) -> None:
    """Raises ConfigurationError for a character that is no digit of a telephone."""
    wrong = [digit for digit in digits if digit not in DIGITS]
    if wrong:
        raise ConfigurationError(f"not telephone digits: {wrong}", remedy=f"Use {DIGITS}.")


class DtmfSender:
    """Turns digits into event packets, one per 20 ms slot: updates with growing duration, then three ends."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, int, int, int]] = deque()
        self._slot = 0
        self._start = 0

    def push(self, digits: str, *, tone_ms: int, gap_ms: int, token: int) -> None:
        """Queue digits; ``token`` is given back when the last of them and the gap after it are over."""
        check_digits(digits)
        slots, gap = max(1, tone_ms // 20), max(0, gap_ms // 20 - (END_PACKETS - 1))
        for position, digit in enumerate(digits):
            self._waiting.append((digit, slots, gap, token if position == len(digits) - 1 else -1))

    @property
    def idle(self) -> bool:
        return not self._waiting

    def next(self, timestamp: int) -> tuple[EventPacket | None, int]:
        """The packet for the slot that starts at ``timestamp`` (None: audio as usual), and a finished token or -1."""
        if not self._waiting:
            return None, -1
        digit, slots, gap, token = self._waiting[0]
        if self._slot == 0:
            self._start = timestamp
        self._slot += 1
        last = slots + END_PACKETS - 1
        finished = self._slot >= last + gap
        packet = None
        if self._slot <= last:
            ended = self._slot >= slots
            payload = pack_event(digit, duration_ticks=min(self._slot, slots) * FRAME_TICKS, end=ended)
            packet = EventPacket(payload, self._start, self._slot == 1)
        if finished:
            self._waiting.popleft()
            self._slot = 0
        return packet, token if finished else -1

    def clear(self) -> list[int]:
        """Drop everything; the tokens that will not be given back."""
        tokens = [token for *_, token in self._waiting if token >= 0]
        self._waiting.clear()
        self._slot = 0
        return tokens


class DtmfReceiver:
    """Finds the digits in event packets: one per event, however many packets it takes."""

    def __init__(self) -> None:
        self._last: tuple[int, int] | None = None

    def received(self, packet: RtpPacket) -> str:
        """The digit when this packet is the first seen of its event, else ''. Raises RtpError."""
        digit, _, _ = unpack_event(packet.payload)
        event = (packet.ssrc, packet.timestamp)
        if not digit or event == self._last:
            return ""
        self._last = event
        return digit


class AudioQueue:
    """Samples waiting to be sent, cut into frames; a recording that ends inside a frame is joined with the next one."""

    def __init__(self) -> None:
        self._chunks: deque[tuple[Samples, int]] = deque()
        self._offset = 0

    @property
    def empty(self) -> bool:
        return not self._chunks

    def push(self, pcm: Samples, token: int) -> None:
        self._chunks.append((pcm, token))

    def next_frame(self, n_samples: int) -> tuple[Samples | None, list[int]]:
        """The next frame, padded with silence where nothing follows (None when empty), and the tokens it finished."""
        if not self._chunks:
            return None, []
        parts: list[Samples] = []
        finished: list[int] = []
        missing = n_samples
        while missing and self._chunks:
            pcm, token = self._chunks[0]
            part = pcm[self._offset : self._offset + missing]
            parts.append(part)
            missing -= len(part)
            self._offset += len(part)
            if self._offset >= len(pcm):
                self._chunks.popleft()
                self._offset = 0
                finished.append(token)
        if missing:
            parts.append(np.zeros(missing, np.int16))
        return (parts[0] if len(parts) == 1 else np.concatenate(parts)), finished

    def clear(self) -> list[int]:
        """Drop everything; the tokens of what was dropped."""
        tokens = [token for _, token in self._chunks]
        self._chunks.clear()
        self._offset = 0
        return tokens


# -- judging a stream ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StreamStats:
    """``lost`` is by sequence number, per source; ``reordered`` packets came after one with a higher number."""

    received: int
    lost: int
    duplicated: int
    reordered: int


def stream_stats(packets: Iterable[RtpPacket]) -> StreamStats:
    """Count one stream, telephone events included: they share its sequence numbers."""
    seen: dict[int, set[int]] = {}
    highest: dict[int, int] = {}
    received = duplicated = reordered = 0
    for packet in packets:
        received += 1
        numbers = seen.setdefault(packet.ssrc, set())
        top = highest.setdefault(packet.ssrc, packet.seq)
        number = top + _signed(packet.seq - top, 16)
        if number in numbers:
            duplicated += 1
        elif number < top:
            reordered += 1
        numbers.add(number)
        highest[packet.ssrc] = max(top, number)
    lost = sum(max(numbers) - min(numbers) + 1 - len(numbers) for numbers in seen.values())
    return StreamStats(received, lost, duplicated, reordered)


@dataclass(frozen=True, slots=True)
class Spacing:
    """The distances between the times of consecutive frames, in ms; ``count`` of them (0: the rest is 0 too)."""

    count: int
    mean_ms: float
    p50_ms: float
    p99_ms: float
    min_ms: float
    max_ms: float


def spacing(times: Sequence[float]) -> Spacing:
    """``spacing([p.arrival for p in packets])`` or ``spacing([f.time for f in sent])``."""
    if len(times) < 2:
        return Spacing(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    gaps = np.diff(np.asarray(times, np.float64)) * 1000
    p50, p99 = np.percentile(gaps, [50, 99])
    return Spacing(len(gaps), float(gaps.mean()), float(p50), float(p99), float(gaps.min()), float(gaps.max()))


def peak_of(pcm: Samples) -> int:
    """The largest magnitude, 0 for no samples."""
    return max(int(pcm.max()), -int(pcm.min())) if len(pcm) else 0


def loud_packets(packets: Iterable[RtpPacket], *, threshold: int = DEFAULT_LOUD) -> Iterator[RtpPacket]:
    """The audio packets whose peak reaches ``threshold``, in order. G.722 is decoded from the first one given on."""
    codecs: dict[str, Codec] = {}
    for packet in packets:
        name = CODEC_OF_PAYLOAD.get(packet.payload_type)
        if name is None:
            continue
        if name not in codecs:
            codecs[name] = make_codec(name)
        codec = codecs[name]
        if peak_of(codec.decode(packet.payload)) >= threshold:
            yield packet


def first_loud(packets: Iterable[RtpPacket], *, after: float = 0.0, threshold: int = DEFAULT_LOUD) -> RtpPacket | None:
    """The first packet that arrived at or after ``after`` and is loud."""
    later = (packet for packet in packets if packet.arrival >= after)
    return next(loud_packets(later, threshold=threshold), None)


def last_loud(
    packets: Sequence[RtpPacket], *, before: float = float("inf"), threshold: int = DEFAULT_LOUD
) -> RtpPacket | None:
    """The last packet that arrived before ``before`` and is loud."""
    last = None
    for packet in loud_packets((packet for packet in packets if packet.arrival < before), threshold=threshold):
        last = packet
    return last


def first_loud_sent(
    frames: Iterable[SentFrame], *, after: float = 0.0, threshold: int = DEFAULT_LOUD
) -> SentFrame | None:
    """The first frame sent at or after ``after`` that is loud: the start of a round trip."""
    return next((frame for frame in frames if frame.time >= after and frame.peak >= threshold), None)


def last_loud_sent(
    frames: Sequence[SentFrame], *, after: float = 0.0, threshold: int = DEFAULT_LOUD
) -> SentFrame | None:
    """The last frame sent at or after ``after`` that is loud: the true end of the caller's speech."""
    for frame in reversed(frames):
        if frame.time < after:
            return None
        if frame.peak >= threshold:
            return frame
    return None


def reconstruct(packets: Iterable[RtpPacket], rate_hz: int = CLOCK_HZ) -> Samples:
    """The audio that the listener heard: samples by RTP timestamp from the first packet on, gaps as silence.

    Where the source changes, or its timestamps jump against the clock by more than a second, the place is taken from
    the time of arrival instead. A packet that comes twice is heard once.
    """
    placed: dict[str, dict[int, bytes]] = {}
    end = 0
    for name, position, payload in _place(packets):
        placed.setdefault(name, {}).setdefault(position, payload)
        end = max(end, position + len(payload))
    total = np.zeros(end * rate_hz // CLOCK_HZ, np.int16)
    for name, frames in placed.items():
        codec = make_codec(name)
        scale = codec.rate_hz // CLOCK_HZ
        track = np.zeros(end * scale, np.int16)
        for position in sorted(frames):
            pcm = codec.decode(frames[position])[: len(track) - position * scale]
            track[position * scale : position * scale + len(pcm)] = pcm
        converted = convert_rate(track, codec.rate_hz, rate_hz)[: len(total)]
        total[: len(converted)] += converted
    return total


def _place(packets: Iterable[RtpPacket]) -> Iterator[tuple[str, int, bytes]]:
    """(codec, position in ticks, payload) of each audio packet."""
    first: RtpPacket | None = None
    anchor: RtpPacket | None = None
    anchor_position = 0
    for packet in packets:
        name = CODEC_OF_PAYLOAD.get(packet.payload_type)
        if name is None:
            continue
        first = first or packet
        elapsed = (packet.arrival - first.arrival) * CLOCK_HZ
        position = 0
        if anchor is not None:
            position = anchor_position + _signed(packet.timestamp - anchor.timestamp, 32)
        if anchor is None or packet.ssrc != anchor.ssrc or abs(position - elapsed) > CLOCK_HZ:
            anchor, anchor_position = packet, round(elapsed / FRAME_TICKS) * FRAME_TICKS
            position = anchor_position
        if position >= 0:
            yield name, position, packet.payload


def _signed(value: int, bits: int) -> int:
    """The difference of two counters that wrap, as the nearer of its two readings."""
    half = 1 << (bits - 1)
    return (value + half) % (1 << bits) - half
