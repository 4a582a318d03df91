"""The waiting tone, measured."""

import numpy as np
import pytest

from ariagent.audio.format import SLIN8, SLIN16, SLIN24, AudioFormat
from ariagent.audio.waiting_tone import TONE_MS, waiting_tone


@pytest.mark.parametrize("fmt", [SLIN8, SLIN16, SLIN24])
def test_the_tone_is_short_soft_and_has_two_notes(fmt: AudioFormat) -> None:
    heard = np.frombuffer(waiting_tone(fmt), "<i2").astype(float)
    assert fmt.ms(2 * len(heard)) == TONE_MS
    assert 20 * np.log10(np.sqrt(np.mean(heard**2)) / 32768) == pytest.approx(-26, abs=0.1)
    assert abs(heard).max() < 32768 * 10 ** (-14 / 20)
    assert abs(heard[[0, -1]]).max() < 10
    halves = np.array_split(heard, 2)
    pitches = [np.argmax(np.abs(np.fft.rfft(half, fmt.rate_hz))) for half in halves]
    assert pitches[0] == pytest.approx(659, abs=8)
    assert pitches[1] == pytest.approx(880, abs=8)
