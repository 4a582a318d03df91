"""Short pieces of audio that are made once and played whole (CORE).

Nothing here is for the live path: a clip is at hand from its first to its last sample. PCM is signed 16-bit
little-endian mono.
"""

import math

import numpy as np
import soxr
from numpy.typing import NDArray

from ariagent.audio.format import AudioFormat

LEAD_MS = 40
"""Silence that may stay before the first sound."""
TAIL_MS = 200
"""Silence that may stay after the last."""

_STEP_MS = 10
_FADE_MS = 5
_QUIETEST = 30.0  # RMS, of 32768: below it is silence, however quiet the clip
_SILENCE_BELOW = 0.006  # of the loudest step: -44 dB

Samples = NDArray[np.float64]


def trimmed(pcm: bytes, fmt: AudioFormat) -> bytes:
    """A clip without more than ``LEAD_MS`` of silence before it and ``TAIL_MS`` after it; its ends do not click.

    Empty when there is no sound in it.
    """
    samples = np.frombuffer(pcm[: len(pcm) & ~1], "<i2").astype(np.float64)
    step = fmt.rate_hz * _STEP_MS // 1000
    padded = np.concatenate((samples, np.zeros(-len(samples) % step)))
    loudness = np.sqrt(np.mean(padded.reshape(-1, step) ** 2, axis=1))
    sounding = np.flatnonzero(loudness > max(_QUIETEST, _SILENCE_BELOW * loudness.max(initial=0.0)))
    if not len(sounding):
        return b""
    begin = max(0, int(sounding[0]) * step - fmt.rate_hz * LEAD_MS // 1000)
    end = (int(sounding[-1]) + 1) * step + fmt.rate_hz * TAIL_MS // 1000
    return to_pcm(faded(samples[begin:end], fmt.rate_hz * _FADE_MS // 1000))


def converted(pcm: bytes, from_hz: int, to_hz: int) -> bytes:
    """A whole clip at another rate, as long as before."""
    if from_hz == to_hz:
        return pcm
    return np.asarray(soxr.resample(np.frombuffer(pcm, "<i2"), from_hz, to_hz, quality="HQ"), "<i2").tobytes()


def faded(samples: Samples, n: int) -> Samples:
    """``samples`` with a rise and a fall of ``n`` samples."""
    faded = samples.copy()
    n = min(n, len(faded) // 2)
    if n:
        ramp = (1 - np.cos(math.pi * (np.arange(n) + 0.5) / n)) / 2
        faded[:n] *= ramp
        faded[-n:] *= ramp[::-1]
    return faded


def to_pcm(samples: Samples) -> bytes:
    """Samples in the range of 16 bits as PCM; what is beyond is clipped."""
    return np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()
