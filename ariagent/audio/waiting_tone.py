"""The waiting tone: it tells the caller that something takes a moment, and is being done. CORE."""

import math

import numpy as np

from ariagent.audio.clips import faded, to_pcm
from ariagent.audio.format import AudioFormat

TONE_MS = 150
TONE_DBFS = -26.0
_NOTES_HZ = (659.26, 880.0)  # e'' a'': a fourth up, asks for patience without alarming


def waiting_tone(fmt: AudioFormat) -> bytes:
    """Two soft notes of ``TONE_MS`` in all, as PCM of ``fmt``; RMS ``TONE_DBFS``."""
    n = fmt.rate_hz * TONE_MS // 1000
    half = n // 2
    at = np.arange(n)
    wave = np.zeros(n)
    for note, hz in enumerate(_NOTES_HZ):
        # Each note sounds until the end, the second over the first: a bell, not a beeper.
        start = note * half
        t = (at[start:] - start) / fmt.rate_hz
        attack = np.minimum(1.0, t / 0.008)
        wave[start:] += np.sin(2 * math.pi * hz * t) * attack * np.exp(-t / 0.06)
    wave = faded(wave, fmt.rate_hz * 20 // 1000)
    wanted = 32768 * 10 ** (TONE_DBFS / 20)
    return to_pcm(wave * (wanted / math.sqrt(float(np.mean(wave**2)))))
