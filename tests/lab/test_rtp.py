"""RTP packets, telephone events, codecs, and the judgement of a received stream."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.errors import ConfigurationError
from lab.codecs import Samples, convert_rate, make_codec
from lab.rtp import (
    AudioQueue,
    DtmfReceiver,
    DtmfSender,
    RtpError,
    RtpPacket,
    SentFrame,
    first_loud,
    first_loud_sent,
    last_loud,
    last_loud_sent,
    pack,
    pack_event,
    reconstruct,
    spacing,
    stream_stats,
    unpack,
    unpack_event,
)

SILENCE = b"\xff" * 160
LOUD = make_codec("ulaw").encode(np.full(160, 8000, np.int16))


def tone(seconds: float, hz: float, rate_hz: int) -> Samples:
    return (8000 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate_hz)) / rate_hz)).astype(np.int16)


def packet(number: int, payload: bytes = SILENCE, *, start: float = 10.0, ssrc: int = 1, first: int = 0) -> RtpPacket:
    """The packet that a perfect sender sends as its ``number``-th."""
    seq, timestamp = first + number & 0xFFFF, first + number * 160 & 0xFFFFFFFF
    return RtpPacket(start + number * 0.02, seq, timestamp, False, 0, payload, ssrc)


# -- packets


def test_packet_survives_a_round_trip() -> None:
    data = pack(b"abc", payload_type=101, seq=65535, timestamp=2**32 - 1, ssrc=7, marker=True)
    assert unpack(data, 1.5) == RtpPacket(1.5, 65535, 2**32 - 1, True, 101, b"abc", 7)
    assert data[:2] == b"\x80\xe5"


def test_counters_wrap_when_packed() -> None:
    data = pack(b"", payload_type=0, seq=65536, timestamp=2**32, ssrc=7)
    assert unpack(data, 0.0) == RtpPacket(0.0, 0, 0, False, 0, b"", 7)


def test_sources_extension_and_padding_are_left_out_of_the_payload() -> None:
    plain = pack(b"", payload_type=0, seq=1, timestamp=2, ssrc=3)
    data = bytes([0xB1]) + plain[1:] + b"CSRC" + b"\xbe\xde\x00\x01EXTN" + b"voice" + b"\x00\x00\x03"
    found = unpack(data, 0.0)
    assert found is not None
    assert found.payload == b"voice"
    for length in range(12, 24):
        with pytest.raises(RtpError):
            unpack(data[:length], 0.0)


def test_rtcp_is_told_apart() -> None:
    assert unpack(b"\x80\xc8\x00\x06" + bytes(24), 0.0) is None
    assert unpack(b"\x81\xcb\x00\x01" + bytes(4), 0.0) is None


@given(st.binary(max_size=60))
def test_arbitrary_bytes_raise_nothing_but_rtp_error(data: bytes) -> None:
    for candidate in (data, b"\x80" + data, b"\xb3\x00" + data):
        try:
            unpack(candidate, 0.0)
        except RtpError:
            continue


# -- telephone events


def test_event_payload_is_that_of_rfc_4733() -> None:
    assert pack_event("#", duration_ticks=800, end=True) == bytes([11, 0x8A, 0x03, 0x20])
    assert unpack_event(bytes([11, 0x8A, 0x03, 0x20])) == ("#", True, 800)
    assert unpack_event(bytes([16, 0x0A, 0, 160])) == ("", False, 160)
    with pytest.raises(RtpError):
        unpack_event(b"\x01\x02")


def test_digit_is_sent_as_updates_then_three_ends_with_one_timestamp() -> None:
    sender = DtmfSender()
    sender.push("5", tone_ms=100, gap_ms=80, token=3)
    slots = [sender.next(1000 + 160 * slot) for slot in range(9)]
    events = [event for event, _ in slots if event is not None]
    assert [unpack_event(event.payload) for event in events] == [
        ("5", False, 160),
        ("5", False, 320),
        ("5", False, 480),
        ("5", False, 640),
        ("5", True, 800),
        ("5", True, 800),
        ("5", True, 800),
    ]
    assert {event.timestamp for event in events} == {1000}
    assert [event.marker for event in events] == [True] + [False] * 6
    assert [token for _, token in slots] == [-1] * 8 + [3]  # after a gap of 80 ms: two slots of ends, two of audio
    assert sender.idle
    assert sender.next(9999) == (None, -1)


def test_each_digit_starts_with_a_timestamp_of_its_own_and_is_received_once() -> None:
    sender, receiver = DtmfSender(), DtmfReceiver()
    sender.push("11*", tone_ms=60, gap_ms=60, token=0)
    heard = ""
    slot = 0
    while not sender.idle:
        event, _ = sender.next(160 * slot)
        if event is not None and slot % 3:  # a third is lost
            heard += receiver.received(RtpPacket(0.0, slot, event.timestamp, event.marker, 101, event.payload))
        slot += 1
    assert heard == "11*"


def test_dropped_digits_give_their_tokens_back() -> None:
    sender = DtmfSender()
    sender.push("12", tone_ms=60, gap_ms=60, token=0)
    sender.push("3", tone_ms=60, gap_ms=60, token=1)
    sender.next(0)
    assert sender.clear() == [0, 1]
    assert sender.idle


def test_what_is_no_digit_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        DtmfSender().push("1x", tone_ms=60, gap_ms=60, token=0)


# -- audio


def test_recordings_are_joined_inside_a_frame_and_the_last_is_padded() -> None:
    queue = AudioQueue()
    queue.push(np.arange(250, dtype=np.int16), 1)
    queue.push(np.arange(250, 300, dtype=np.int16), 2)
    frames = [queue.next_frame(160) for _ in range(3)]
    first, second, third = frames
    assert first[0] is not None
    assert second[0] is not None
    assert np.concatenate([first[0], second[0]]).tolist() == [*range(300), *([0] * 20)]
    assert [finished for _, finished in frames] == [[], [1, 2], []]
    assert third[0] is None


@given(st.lists(st.integers(1, 500), max_size=8), st.integers(1, 400))
def test_every_sample_is_sent_once_and_in_order(lengths: list[int], frame: int) -> None:
    queue = AudioQueue()
    total = 0
    for token, length in enumerate(lengths):
        queue.push(np.arange(total, total + length, dtype=np.int16), token)
        total += length
    sent: list[int] = []
    finished: list[int] = []
    while not queue.empty:
        samples, tokens = queue.next_frame(frame)
        assert samples is not None
        assert len(samples) == frame
        sent += samples.tolist()
        finished += tokens
    assert sent[:total] == list(range(total))
    assert not any(sent[total:])
    assert finished == list(range(len(lengths)))


@pytest.mark.parametrize(("name", "hz", "floor_db"), [("ulaw", 1000, 33), ("alaw", 1000, 33), ("g722", 1000, 40)])
def test_codec_keeps_a_tone(name: str, hz: int, floor_db: float) -> None:
    encoder, decoder = make_codec(name), make_codec(name)
    rate = encoder.rate_hz
    samples = tone(1.0, hz, rate)
    step = rate // 50
    payloads = [encoder.encode(samples[at : at + step]) for at in range(0, len(samples), step)]
    assert {len(payload) for payload in payloads} == {160}
    back = np.concatenate([decoder.decode(payload) for payload in payloads]).astype(float)
    delay = 22 if name == "g722" else 0  # the two filters of G.722, in samples
    wanted = samples[4000 : rate - 4000 if rate > 8000 else 8000].astype(float)
    error = back[4000 + delay :][: len(wanted)] - wanted[: len(back) - 4000 - delay]
    assert 10 * np.log10(np.mean(wanted**2) / np.mean(error**2)) > floor_db


def test_rate_conversion_keeps_length_and_pitch() -> None:
    wide = convert_rate(tone(0.5, 1000, 8000), 8000, 16000)
    assert len(wide) == 8000
    assert np.max(np.abs(wide[800:-800].astype(int) - tone(0.5, 1000, 16000)[800:-800])) < 200
    assert convert_rate(wide, 16000, 16000) is wide
    assert len(convert_rate(np.zeros(0, np.int16), 8000, 16000)) == 0


# -- judging a stream


def test_reconstruction_leaves_silence_where_packets_are_missing() -> None:
    heard = reconstruct([packet(0, LOUD), packet(1, LOUD), packet(4, LOUD)])
    assert len(heard) == 5 * 160
    assert [bool(np.all(np.abs(heard[at : at + 160]) > 7000)) for at in range(0, 800, 160)] == [1, 1, 0, 0, 1]
    assert not heard[320:640].any()


def test_reconstruction_puts_late_and_repeated_packets_in_their_place() -> None:
    order = [packet(0), packet(2, LOUD), packet(1), packet(2, LOUD)]
    heard = reconstruct(order)
    assert len(heard) == 480
    assert np.all(np.abs(heard[320:]) > 7000)
    assert not heard[:320].any()


def test_reconstruction_survives_the_wrap_of_the_timestamp() -> None:
    heard = reconstruct([packet(number, LOUD, first=2**32 - 400) for number in range(6)])
    assert len(heard) == 960
    assert np.all(np.abs(heard) > 7000)


def test_new_source_is_placed_by_its_time_of_arrival() -> None:
    before = [packet(number, LOUD) for number in range(10)]
    after = [packet(number, LOUD, start=10.4, ssrc=2, first=123456) for number in range(10)]
    heard = reconstruct([*before, *after])
    assert len(heard) == 30 * 160
    assert np.all(np.abs(heard[:1600]) > 7000)
    assert not heard[1600:3200].any()
    assert np.all(np.abs(heard[3200:]) > 7000)


def test_jump_of_the_timestamps_does_not_make_hours_of_silence() -> None:
    heard = reconstruct([packet(0, LOUD), packet(1, LOUD), RtpPacket(10.04, 2, 2**31 - 5, False, 0, LOUD, 1)])
    assert len(heard) == 480


def test_reconstruction_at_the_rate_of_the_codec_and_at_another() -> None:
    codec = make_codec("g722")
    samples = tone(0.4, 3000, 16000)
    packets = [
        RtpPacket(number * 0.02, number, number * 160, False, 9, codec.encode(samples[number * 320 :][:320]), 1)
        for number in range(20)
    ]
    for rate_hz in (8000, 16000):
        heard = reconstruct(packets, rate_hz)
        assert len(heard) == rate_hz * 4 // 10
        middle = heard[rate_hz // 10 : 3 * rate_hz // 10].astype(float)
        assert np.argmax(np.abs(np.fft.rfft(middle))) * rate_hz / len(middle) == pytest.approx(3000, abs=10)
        assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(8000, rel=0.05)


def test_no_packets_are_no_sound() -> None:
    assert len(reconstruct([])) == 0
    assert len(reconstruct([RtpPacket(0.0, 0, 0, True, 101, b"\x01\x0a\x00\xa0")])) == 0


def test_stream_is_counted_over_the_wrap_of_its_numbers() -> None:
    order = [0, 1, 3, 2, 2, 6]
    stats = stream_stats([packet(number, first=65534) for number in order])
    assert (stats.received, stats.lost, stats.duplicated, stats.reordered) == (6, 2, 1, 1)


def test_loss_is_counted_per_source() -> None:
    stats = stream_stats([packet(0), packet(1), packet(0, ssrc=2, first=500), packet(2, ssrc=2, first=500)])
    assert stats.lost == 1


def test_spacing_of_frames() -> None:
    found = spacing([0.0, 0.02, 0.04, 0.07])
    assert (found.count, round(found.mean_ms, 3), round(found.max_ms, 3)) == (3, 23.333, 30.0)
    assert spacing([1.0]).count == 0


def test_loud_packets_are_found_after_and_before_a_time() -> None:
    packets = [packet(number, LOUD if number in (3, 7) else SILENCE) for number in range(10)]
    assert first_loud(packets) == packets[3]
    assert first_loud(packets, after=packets[4].arrival) == packets[7]
    assert last_loud(packets) == packets[7]
    assert last_loud(packets, before=packets[7].arrival) == packets[3]
    assert first_loud(packets, threshold=9000) is None


def test_first_loud_frame_sent_starts_a_round_trip() -> None:
    frames = [SentFrame(float(number), number, 0, False, 0, peak) for number, peak in enumerate((0, 5, 2000, 3000))]
    assert first_loud_sent(frames) == frames[2]
    assert first_loud_sent(frames, after=2.5) == frames[3]


def test_last_loud_frame_sent_ends_what_was_said_since() -> None:
    peaks = (2000, 0, 3000, 1000, 999, 0)
    frames = [SentFrame(float(number), number, 0, False, 0, peak) for number, peak in enumerate(peaks)]
    assert last_loud_sent(frames) == frames[3]
    assert last_loud_sent(frames, threshold=1500) == frames[2]
    assert last_loud_sent(frames, after=3.5) is None
    assert last_loud_sent([]) is None
