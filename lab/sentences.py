"""Sentences of human speech, and the same with a pause inside: the prompts of Debian's ``asterisk-core-sounds``."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 8_000
STEP = RATE_HZ // 100
"""Samples of 10 ms."""
SPEECH_RMS = 260.0
"""-42 dBFS, the level from which 10 ms count as speech. The service uses the same level."""
SHORTEST_S, LONGEST_S = 1.8, 3.2
"""The length of a sentence."""
LONGEST_OWN_PAUSE_S = 0.15
"""A longer pause of the sentence's own would be one more pause."""
EDGE_S = 0.2
"""Sound around the sentence that is kept: it fades in and out."""
HISS_RMS = 4.0
"""Noise of the line in the gaps."""

Samples = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Sentence:
    """Speech at 8 kHz with its first and last 10 ms of speech, as positions in samples."""

    samples: Samples
    begins: int
    ends: int

    def with_pause(self, pause_ms: int) -> Paused:
        """The sentence with a pause of this length in its middle, counted from sound to sound; 0: as it is."""
        if not pause_ms:
            return Paused(self.samples, 0, self.begins, self.ends, None)
        spoken = self.samples[self.begins : self.ends]
        at = self.begins + pause(spoken)
        first, last = self._silence_around(at)
        gap = max(0, pause_ms * RATE_HZ // 1000 - (last - first))
        hiss = np.random.default_rng(len(spoken)).normal(0, HISS_RMS, gap).astype(np.int16)
        whole = np.concatenate((_faded_out(self.samples[:at]), hiss, _faded_in(self.samples[at:])))
        return Paused(whole, pause_ms, self.begins, self.ends + gap, first)

    def _silence_around(self, at: int) -> tuple[int, int]:
        """The stretch of silence that holds this position; empty if there is none."""
        loud = levels_of(self.samples) >= SPEECH_RMS
        first = last = at // STEP
        while first > 0 and not loud[first - 1]:
            first -= 1
        while last < len(loud) and not loud[last]:
            last += 1
        return (first * STEP, last * STEP) if last > first else (at, at)


@dataclass(frozen=True, slots=True)
class Paused:
    """A sentence to be played. Positions in samples."""

    samples: Samples
    pause_ms: int
    begins: int
    ends: int
    """The true end of speech."""
    pauses_at: int | None
    """Where the pause begins."""


def _faded_out(samples: Samples) -> Samples:
    return _faded_in(samples[::-1])[::-1]


def _faded_in(samples: Samples) -> Samples:
    """Without a click at its beginning: 5 ms of fading."""
    ramp = min(len(samples), RATE_HZ // 200)
    faded = samples.astype(np.float64)
    faded[:ramp] *= np.linspace(0, 1, ramp)
    return faded.astype(np.int16)


def sentences(root: Path) -> list[Sentence]:
    """The sentences of a package of prompts: long enough, and without a long pause of their own."""
    found = []
    for path in sorted(root.rglob("sounds/*/*.wav")):
        if (samples := samples_of(path)) is None:
            continue
        loud = np.flatnonzero(levels_of(samples) >= SPEECH_RMS)
        if len(loud) < 2:
            continue
        begins, ends = int(loud[0]) * STEP, int(loud[-1] + 1) * STEP
        own_pause_s = (int(np.diff(loud).max()) - 1) * STEP / RATE_HZ
        if SHORTEST_S <= (ends - begins) / RATE_HZ <= LONGEST_S and own_pause_s <= LONGEST_OWN_PAUSE_S:
            before = max(0, begins - int(EDGE_S * RATE_HZ))
            kept = samples[before : ends + int(EDGE_S * RATE_HZ)]
            found.append(Sentence(kept, begins - before, ends - before))
    return found


def samples_of(path: Path) -> Samples | None:
    """A recording; None if it is not mono at 8 kHz."""
    with wave.open(str(path)) as file:
        if file.getframerate() != RATE_HZ or file.getnchannels() != 1:
            return None
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)


def pause(speech: Samples) -> int:
    """Where the deepest pause between a third and two thirds of a prompt is, in samples."""
    levels = levels_of(speech)
    smooth = np.convolve(levels, np.ones(8) / 8, mode="same")
    third = len(levels) // 3
    return int(third + np.argmin(smooth[third : 2 * third])) * STEP


def levels_of(samples: Samples) -> NDArray[np.float64]:
    """The level of each 10 ms."""
    whole = samples[: len(samples) // STEP * STEP].reshape(-1, STEP).astype(np.float64)
    levels: NDArray[np.float64] = np.sqrt(np.mean(whole**2, axis=1))
    return levels
