"""Features of Smart Turn v3.2: the log-mel spectrogram of the newest 8 s of speech, as for Whisper. CORE.

The model was trained with the settings of Whisper's feature extractor: windows of 25 ms every 10 ms, 80 mel bands
(Slaney's scale and normalisation) up to 8 kHz, a dynamic range of eight powers of ten. The waveform is brought to mean
0 and variance 1 first, so that loudness does not matter.
"""

import functools

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16_000
WINDOW_S = 8
SAMPLES = RATE_HZ * WINDOW_S
BANDS = 80
FRAMES = 800
"""Frames of 10 ms."""

_FRAME = RATE_HZ * 25 // 1000
_STEP = RATE_HZ * 10 // 1000
_VARIANCE_FLOOR = 1e-7
_POWER_FLOOR = 1e-10
_BLOCK = 16
"""Frames that are multiplied at once. OpenBLAS takes more than one core for more of them: that doubles the cost, and
disturbs the event loop on a machine with two."""
_RANGE = 8.0  # powers of ten below the loudest band that still count

Samples = NDArray[np.int16]
Floats = NDArray[np.float32]


def window(samples: Samples) -> Floats:
    """The newest 8 s of samples at 16 kHz, from -1 to 1. If there are fewer, zeros come before them."""
    newest = samples[-SAMPLES:]
    padded = np.zeros(SAMPLES, np.float32)
    padded[SAMPLES - len(newest) :] = newest
    return padded / np.float32(32768)


def features(samples: Samples) -> Floats:
    """The features of speech at 16 kHz: an array of ``BANDS`` x ``FRAMES``, about -1 to 2."""
    heard = window(samples)
    heard = (heard - heard.mean()) / np.sqrt(heard.var() + _VARIANCE_FLOOR)
    mirrored = np.pad(heard.astype(np.float64), _FRAME // 2, mode="reflect")
    # One frame more would fit, at the very end; the model was trained without it.
    frames = np.lib.stride_tricks.sliding_window_view(mirrored, _FRAME)[::_STEP][:FRAMES]
    spectrum = np.fft.rfft(frames * _hann(), axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    blocks = [power[at : at + _BLOCK] @ _bands() for at in range(0, FRAMES, _BLOCK)]
    levels = np.log10(np.maximum(np.concatenate(blocks), _POWER_FLOOR))
    levels = np.maximum(levels, levels.max() - _RANGE)
    return np.ascontiguousarray((levels.T / 4 + 1).astype(np.float32))


@functools.cache
def _hann() -> NDArray[np.float64]:
    """The periodic Hann window."""
    window: NDArray[np.float64] = 0.5 - 0.5 * np.cos(np.arange(_FRAME) * (2 * np.pi / _FRAME))
    return window


@functools.cache
def _bands() -> NDArray[np.float64]:
    """Weight of each frequency of the spectrum (rows) in each mel band (columns).

    A band is a triangle between its neighbours' centres, of area 1 in hertz.
    """
    bins_hz = np.arange(_FRAME // 2 + 1) * (RATE_HZ / _FRAME)
    edges_hz = _hertz(np.linspace(0.0, _mel(RATE_HZ / 2), BANDS + 2))
    weights = np.empty((len(bins_hz), BANDS))
    for band, (low, centre, high) in enumerate(zip(edges_hz, edges_hz[1:], edges_hz[2:], strict=False)):
        weights[:, band] = np.interp(bins_hz, (low, centre, high), (0.0, 2 / (high - low), 0.0))
    return weights


# Slaney's scale: 15 mels to 1 kHz in even steps, above it 27 mels for each factor of 6.4.
_KNEE_HZ, _KNEE_MEL = 1000.0, 15.0
_PER_MEL = np.log(6.4) / 27


def _mel(hertz: float) -> float:
    """The mel of a frequency above the knee."""
    return float(_KNEE_MEL + np.log(hertz / _KNEE_HZ) / _PER_MEL)


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    below = mel * (_KNEE_HZ / _KNEE_MEL)
    return np.where(mel < _KNEE_MEL, below, _KNEE_HZ * np.exp((mel - _KNEE_MEL) * _PER_MEL))
