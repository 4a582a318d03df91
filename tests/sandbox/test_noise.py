"""The sandbox's hearing in noise when the session asks for noise reduction. Samples are made; ticks are 24 kHz."""

from typing import Any

import numpy as np
import pytest

from ariagent.sandbox.audio import CLOCK_HZ, TICKS_PER_MS, Samples
from ariagent.sandbox.noise import NoiseReduction
from ariagent.sandbox.turns import Verdict
from ariagent.sandbox.vad import Energy

CHUNK_MS = 32
RNG = np.random.default_rng(5)


def hiss(ms: int, dbfs: float, rate_hz: int = 8000) -> Samples:
    return RNG.normal(0, 32768 * 10 ** (dbfs / 20), ms * rate_hz // 1000).astype(np.int16)


def murmur(ms: int, dbfs: float) -> Samples:
    """Noise that swells and sinks by 3 dB, 5 times a second."""
    swell = np.repeat(10 ** (RNG.uniform(-3, 3, ms // 200 + 1) / 20), 1600)[: 8 * ms]
    return np.asarray(hiss(ms, dbfs) * swell).astype(np.int16)


def words(ms: int, dbfs: float) -> Samples:
    """Half a second of sound and 0.2 s of quiet, again and again."""
    quiet = np.tile(np.repeat([1.0, 0.001], [4000, 1600]), ms // 700 + 1)[: 8 * ms]
    return np.asarray(hiss(ms, dbfs) * quiet).astype(np.int16)


class Ears:
    """A reduction behind a detector that takes everything for speech, a verdict for every 32 ms."""

    def __init__(self, rate_hz: int = 8000) -> None:
        self.reduction = NoiseReduction()
        self.rate_hz = rate_hz
        self.tick = self.judged = 0

    def hear(self, sound: Samples, append_ms: int = 20) -> float:
        """The part of the sound that is heard, 0 to 1."""
        step = append_ms * self.rate_hz // 1000
        heard = []
        for at in range(0, len(sound), step):
            piece = sound[at : at + step]
            self.tick += len(piece) * CLOCK_HZ // self.rate_hz
            self.reduction.feed(piece, self.rate_hz, self.tick)
            while self.tick - self.judged >= CHUNK_MS * TICKS_PER_MS:
                self.judged += CHUNK_MS * TICKS_PER_MS
                heard.append(self.reduction.heard(Verdict(self.judged, CHUNK_MS * TICKS_PER_MS, 0.9)).speech)
        assert set(heard) <= {0.0, 0.9}
        return float(np.count_nonzero(heard)) / len(heard)


@pytest.mark.parametrize("append_ms", [20, 7, 600])
@pytest.mark.parametrize("rate_hz", [8000, 24_000])
def test_a_steady_noise_is_heard_until_it_is_known(rate_hz: int, append_ms: int) -> None:
    ears = Ears(rate_hz)
    assert ears.hear(hiss(3600, -32, rate_hz), append_ms) == 1.0
    ears.hear(hiss(1200, -32, rate_hz), append_ms)
    assert ears.hear(hiss(6000, -32, rate_hz), append_ms) == 0.0
    assert ears.hear(hiss(600, -18, rate_hz), append_ms) >= 0.8


def test_one_that_swells_is_not_heard_either() -> None:
    ears = Ears()
    ears.hear(murmur(6000, -32))
    assert ears.hear(murmur(30_000, -32)) <= 0.02


def test_a_voice_10_db_above_it_is_heard() -> None:
    ears = Ears()
    ears.hear(murmur(6000, -32))
    assert ears.hear((murmur(700, -32) + hiss(700, -20)).astype(np.int16)) >= 0.8
    ears.hear(murmur(300, -32))
    assert ears.hear(murmur(2000, -32)) <= 0.1


def test_a_voice_is_heard_from_the_first_moment_and_for_long() -> None:
    assert Ears().hear(words(20_000, -20)) >= 0.8


def test_a_weak_voice_on_a_quiet_line_is_heard() -> None:
    ears = Ears()
    ears.hear(hiss(6000, -65))
    assert ears.hear(words(5000, -45)) >= 0.8


def test_a_session_that_asks_for_it_ends_turns_amid_noise(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the detector that takes everything above -36 dBFS for speech."""
    monkeypatch.setattr(Energy, "noise_matters", True)
    noise = hiss(6000, -28, CLOCK_HZ).astype("<i2").tobytes()
    desk.append(noise)
    assert len(desk.of("input_audio_buffer.speech_started")) == 1
    assert not desk.of("input_audio_buffer.speech_stopped")
    desk.configure(audio={"input": {"noise_reduction": {"type": "near_field"}}})
    desk.append(noise)
    assert len(desk.of("input_audio_buffer.speech_stopped")) == 1
    desk.append(hiss(600, -10, CLOCK_HZ).astype("<i2").tobytes())
    desk.append(hiss(600, -28, CLOCK_HZ).astype("<i2").tobytes())
    assert len(desk.of("input_audio_buffer.speech_stopped")) == 2
    desk.configure(audio={"input": {"noise_reduction": None}})
    desk.append(noise)
    assert len(desk.of("input_audio_buffer.speech_started")) == 3
    assert len(desk.of("input_audio_buffer.speech_stopped")) == 2
