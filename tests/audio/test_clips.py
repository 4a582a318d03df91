"""Clips: what is cut off them, and their rates."""

import numpy as np
import pytest

from ariagent.audio.clips import converted, trimmed
from ariagent.audio.format import SLIN8, SLIN16, SLIN24, AudioFormat

FORMATS = (SLIN8, SLIN16, SLIN24)


def hum(fmt: AudioFormat, ms: float, level: float = 8000, hz: float = 300) -> bytes:
    at = np.arange(int(fmt.rate_hz * ms / 1000)) / fmt.rate_hz
    return (level * np.sin(2 * np.pi * hz * at)).astype("<i2").tobytes()


def samples(pcm: bytes) -> np.ndarray:
    return np.frombuffer(pcm, "<i2").astype(float)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize(
    ("before_ms", "after_ms", "left_ms"),
    [(500, 900, 40 + 200), (40, 200, 240), (30, 100, 130), (0, 0, 0), (0, 500, 200)],
)
def test_long_silence_is_cut_and_short_stays(fmt: AudioFormat, before_ms: int, after_ms: int, left_ms: int) -> None:
    clip = fmt.silence(before_ms) + hum(fmt, 600) + fmt.silence(after_ms)
    assert fmt.ms(len(trimmed(clip, fmt))) == 600 + left_ms


def test_a_soft_beginning_is_speech_and_a_hiss_is_not() -> None:
    soft = hum(SLIN24, 100, 200) + hum(SLIN24, 500)
    assert SLIN24.ms(len(trimmed(SLIN24.silence(300) + soft, SLIN24))) == 640
    hiss = np.random.default_rng(1).normal(0, 15, 24_000).astype("<i2").tobytes()
    assert SLIN24.ms(len(trimmed(hiss + hum(SLIN24, 500) + hiss, SLIN24))) == 740


def test_ends_do_not_click_and_the_middle_is_untouched() -> None:
    clip = hum(SLIN24, 600, 20_000, 315)
    cut = trimmed(clip, SLIN24)
    assert abs(samples(cut)[[0, -1]]).max() < 20
    assert cut[480:-480] == clip[480:-480]


@pytest.mark.parametrize("pcm", [b"", b"\0", bytes(48_000)])
def test_nothing_is_left_of_silence(pcm: bytes) -> None:
    assert trimmed(pcm, SLIN24) == b""


@pytest.mark.parametrize("to", FORMATS)
def test_another_rate_keeps_length_and_pitch(to: AudioFormat) -> None:
    clip = converted(hum(SLIN24, 1000, 8000, 500), 24_000, to.rate_hz)
    assert to.ms(len(clip)) == 1000
    assert np.argmax(np.abs(np.fft.rfft(samples(clip)))) == 500


def test_loud_clips_are_limited_and_do_not_wrap() -> None:
    square = np.where(np.arange(24_000) // 40 % 2, 32767, -32768).astype("<i2").tobytes()
    clip = samples(converted(square, 24_000, 8_000))
    assert abs(np.diff(clip)).max() <= 65535
    steady = samples(square)[::3][10:13]
    assert np.sign(clip[10:13]).tolist() == np.sign(steady).tolist()
