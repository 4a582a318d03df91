"""Music on hold, made here: the package closure has none, and a lab needs something that is clearly not speech."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_CHORDS = ((261.63, 329.63, 392.00), (220.00, 261.63, 329.63), (174.61, 220.00, 261.63), (196.00, 246.94, 293.66))
"""C major, A minor, F major, G major, in Hz."""
_CHORD_S = 2.0
_ROUNDS = 4


def chords(rate_hz: int) -> NDArray[np.int16]:
    """A soft chord pattern of 32 s, peak about -18 dBFS: samples at ``rate_hz``."""
    samples = int(_CHORD_S * rate_hz)
    at_s = np.arange(samples) / rate_hz
    fade = np.minimum(1.0, np.minimum(at_s / 0.15, (_CHORD_S - at_s) / 0.4)) * np.exp(-0.6 * at_s)
    bars = [fade * sum(np.sin(2 * np.pi * tone * at_s) for tone in chord) for chord in _CHORDS]
    pattern = np.concatenate(bars * _ROUNDS)
    quiet: NDArray[np.int16] = np.round(pattern / np.abs(pattern).max() * 4096).astype(np.int16)
    return quiet


def write_hold_music(directory: Path) -> None:
    """``chords.wav`` (8 kHz) and ``chords.wav16`` (16 kHz, for HD callers), as Asterisk's format_wav names them."""
    directory.mkdir(parents=True, exist_ok=True)
    for rate_hz, suffix in ((8000, "wav"), (16000, "wav16")):
        with wave.open(str(directory / f"chords.{suffix}"), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(rate_hz)
            out.writeframes(chords(rate_hz).tobytes())
