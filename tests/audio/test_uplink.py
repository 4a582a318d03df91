"""The caller's audio stays continuous, and its clock maps to ours."""

import numpy as np
import pytest

from ariagent.audio.format import SLIN8, SLIN24, AudioFormat
from ariagent.audio.uplink import HISTORY_MS, Uplink

FRAME = bytes(SLIN8.frame_bytes)


def tone(dbfs: float, fmt: AudioFormat = SLIN8, ms: float = 20) -> bytes:
    """A 500 Hz sine of that RMS level."""
    n = np.arange(fmt.n_bytes(ms) // 2)
    amplitude = 32768 * 10 ** (dbfs / 20) * np.sqrt(2)
    return np.asarray(amplitude * np.sin(2 * np.pi * 500 * n / fmt.rate_hz), "<i2").tobytes()


def feed(uplink: Uplink, start: float, frames: int, payload: bytes = FRAME) -> float:
    """Frames every 20 ms from ``start``, a tick after each; returns when the last came. No silence may result."""
    now = start
    for number in range(frames):
        now = start + number * 0.020
        uplink.received(payload, now)
        assert uplink.tick(now + 0.001) == b""
    return now


def ticks(uplink: Uplink, start: float, end: float, step: float = 0.020) -> int:
    """Ticks from ``start`` up to ``end``; returns the bytes of silence."""
    total, count = 0, 0
    while (now := start + count * step) <= end + 1e-9:
        silence = uplink.tick(now)
        assert silence == bytes(len(silence))
        total += len(silence)
        count += 1
    return total


@pytest.fixture
def uplink() -> Uplink:
    return Uplink(SLIN8)


def test_steady_audio_passes_untouched(uplink: Uplink) -> None:
    feed(uplink, 10.0, 500)
    assert uplink.appended_ms == 10_000
    assert uplink.silence_ms == 0
    assert uplink.gaps == 0


def test_silence_begins_after_the_patience_and_keeps_real_time(uplink: Uplink) -> None:
    last = feed(uplink, 10.0, 5)
    assert uplink.tick(last + 0.020) == b""
    assert uplink.tick(last + 0.0399) == b""
    assert uplink.tick(last + 0.040) == FRAME  # the frame that may be on its way is left room for
    assert uplink.tick(last + 0.060) == FRAME
    assert uplink.tick(last + 0.079) == b""
    assert uplink.tick(last + 0.080) == FRAME
    assert uplink.in_gap


def test_silence_and_the_frames_after_it_add_up_to_the_time_that_passed(uplink: Uplink) -> None:
    last = feed(uplink, 10.0, 5)
    ticks(uplink, last + 0.020, last + 2.990)
    feed(uplink, last + 3.000, 5)
    assert uplink.appended_ms == pytest.approx(100 + 3000 + 80, abs=20)
    assert uplink.appended_ms <= 100 + 3000 + 80
    assert uplink.gaps == 1
    assert not uplink.in_gap


def test_a_long_hold_does_not_drift(uplink: Uplink) -> None:
    feed(uplink, 0.0, 1)
    silence = ticks(uplink, 0.0213, 600.0213)
    assert SLIN8.ms(silence) == pytest.approx(600_000 - 20, abs=20.1)
    assert uplink.gaps == 1
    assert uplink.silence_ms == SLIN8.ms(silence)


def test_jitter_below_the_patience_adds_nothing(uplink: Uplink) -> None:
    now = 0.0
    for number in range(200):
        now = number * 0.060
        for _ in range(3):  # three frames at once every 60 ms, ticks between
            uplink.received(FRAME, now)
        uplink.tick(now + 0.019)
        uplink.tick(now + 0.039)
    assert uplink.silence_ms == 0
    assert uplink.appended_ms == 200 * 60


def test_a_tick_that_comes_late_itself_adds_nothing(uplink: Uplink) -> None:
    last = feed(uplink, 10.0, 5)
    assert uplink.tick(last + 0.300) == b""  # we stalled; the frames are in the socket
    for _ in range(15):
        uplink.received(FRAME, last + 0.3001)
    assert uplink.tick(last + 0.320) == b""
    assert uplink.silence_ms == 0


def test_a_late_tick_is_made_up_for_when_the_silence_was_real(uplink: Uplink) -> None:
    last = feed(uplink, 10.0, 5)
    uplink.tick(last + 0.300)
    assert len(uplink.tick(last + 0.320)) == 15 * len(FRAME)


def test_a_caller_who_never_sends_is_silent_from_the_start(uplink: Uplink) -> None:
    silence = ticks(uplink, 50.0, 51.0)
    assert SLIN8.ms(silence) == pytest.approx(980, abs=20)
    assert uplink.gaps == 1


def test_each_gap_is_counted(uplink: Uplink) -> None:
    now = 0.0
    for _ in range(4):
        now = feed(uplink, now, 3)
        ticks(uplink, now + 0.020, now + 0.200)
        now += 0.220
    assert uplink.gaps == 4


@pytest.mark.parametrize("frame_ms", [10, 30, 60])
def test_other_frame_lengths_pass(frame_ms: int) -> None:
    uplink = Uplink(SLIN24, patience_ms=80)
    for number in range(100):
        uplink.received(SLIN24.silence(frame_ms), number * frame_ms / 1000)
        uplink.tick(number * frame_ms / 1000 + 0.001)
    assert uplink.appended_ms == 100 * frame_ms
    assert uplink.gaps == 0


def test_a_position_maps_to_when_its_sample_came(uplink: Uplink) -> None:
    feed(uplink, 10.020, 100)
    assert uplink.wall_time(0) == pytest.approx(10.000)
    assert uplink.wall_time(20) == pytest.approx(10.020)
    assert uplink.wall_time(1234.5) == pytest.approx(11.2345)
    assert uplink.wall_time(2000) == pytest.approx(12.000)
    assert uplink.wall_time(2030) == pytest.approx(12.030)


def test_the_map_follows_gaps_and_bursts(uplink: Uplink) -> None:
    last = feed(uplink, 10.020, 5)  # until 10.100, position 100
    ticks(uplink, last + 0.020, last + 0.990)  # silence up to 11.06
    position = uplink.appended_ms
    assert uplink.wall_time(600) == pytest.approx(10.600)
    uplink.received(FRAME, 11.100)
    uplink.received(FRAME, 11.100)  # a burst: both came at that moment
    assert uplink.wall_time(position + 20) == pytest.approx(11.100)
    assert uplink.wall_time(position + 40) == pytest.approx(11.100)
    assert uplink.wall_time(position + 30) == pytest.approx(11.090)


def test_the_map_is_bounded_and_keeps_the_last_two_minutes(uplink: Uplink) -> None:
    seconds = 1000
    for number in range(seconds * 50):
        uplink.received(FRAME, (number + 1) * 0.020 + (0.5 if number > 20_000 else 0.0))
    assert len(uplink._ends) <= 2 * HISTORY_MS / 20 + 2
    assert uplink.wall_time(seconds * 1000 - HISTORY_MS) == pytest.approx(seconds - HISTORY_MS / 1000 + 0.5)
    assert uplink.wall_time(seconds * 1000) == pytest.approx(seconds + 0.5)


def test_an_empty_clock_has_no_times(uplink: Uplink) -> None:
    with pytest.raises(LookupError):
        uplink.wall_time(0)
    assert uplink.last_loud_ms is None
    assert uplink.last_loud_at() is None


@pytest.mark.parametrize(("dbfs", "loud"), [(-20, True), (-41, True), (-43, False), (-70, False)])
def test_loudness_has_a_threshold(uplink: Uplink, dbfs: float, loud: bool) -> None:
    uplink.received(tone(dbfs), 1.0)
    assert (uplink.last_loud_ms is not None) == uplink.loud(tone(dbfs)) == loud


def test_the_last_loud_place_is_known_to_10_ms(uplink: Uplink) -> None:
    feed(uplink, 10.020, 7, tone(-20))
    uplink.received(tone(-20, ms=10) + bytes(160), 10.160)
    feed(uplink, 10.180, 200)
    assert uplink.last_loud_ms == 150
    assert uplink.last_loud_at() == pytest.approx(10.150)


def test_loudness_is_found_across_gaps_and_batches(uplink: Uplink) -> None:
    last = feed(uplink, 10.020, 30, tone(-20))  # less than a batch
    ticks(uplink, last + 0.020, last + 2.000)
    assert uplink.last_loud_ms == 600
    feed(uplink, last + 2.020, 1, tone(-20))
    assert uplink.last_loud_ms == uplink.appended_ms
    last = feed(uplink, last + 2.040, 333)
    assert uplink.last_loud_ms == uplink.appended_ms - 333 * 20


def test_looking_often_changes_nothing() -> None:
    often, once = Uplink(SLIN24), Uplink(SLIN24)
    seen = []
    for number in range(300):
        payload = tone(-20 if number % 97 < 11 else -80, SLIN24)
        for uplink in (often, once):
            uplink.received(payload, number * 0.020)
        seen.append(often.last_loud_ms)
    assert once.last_loud_ms == seen[-1] == (291 + 9) * 20
