"""The sandbox's noise reduction: only sounds that stand out from the background are heard (CORE).

The API filters the caller's audio before its turn detection and does not say how. This stands in for that filter, for
turn detection only and alike for ``near_field`` and ``far_field``: what is not clearly louder than the background of
the last seconds is no speech, whatever it sounds like. So voices that talk 10 dB below the caller start no turn and
hold none open. Where noise begins it is heard for as long as it takes to know it for the background.
"""

from collections import deque
from dataclasses import replace

import numpy as np

from ariagent.sandbox.audio import CLOCK_HZ, Samples
from ariagent.sandbox.turns import Verdict

_BLOCK_MS = 10
_BLOCK_TICKS = CLOCK_HZ * _BLOCK_MS // 1000
_BACKGROUND_BLOCKS = 400
"""4 s: nobody speaks for so long without a pause."""
_STEADY_BLOCKS = 20
"""Blocks in 200 ms: the background is the lowest average power of as many blocks."""
_LEVEL_BLOCKS = 10
"""Blocks in 100 ms: the average power of as many blocks must stand out from the background."""
_STANDS_OUT = 10 ** (10.5 / 10)
"""The power ratio by which it must stand out, 10.5 dB: in babble the loudest tenths of a second are 10 dB above the
softest."""
_HANG_BLOCKS = 15
_QUIETEST = 32768.0**2 * 10 ** (-70 / 10)
"""A background below -70 dBFS, and one not known yet, counts as that."""


class NoiseReduction:
    """One session's. ``feed`` takes the audio that the detector takes, ``heard`` each verdict that it gave."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.int16)
        self._recent: deque[float] = deque(maxlen=_STEADY_BLOCKS)
        self._steady: deque[float] = deque([_QUIETEST], maxlen=_BACKGROUND_BLOCKS)
        self._hang = 0
        self._blocks: deque[tuple[int, bool]] = deque()  # the tick at which each ends, whether it stands out
        self._stands_out = False

    def feed(self, samples: Samples, rate_hz: int, end_tick: int) -> None:
        """New samples, of which the last is at ``end_tick`` of the 24 kHz clock."""
        block = rate_hz * _BLOCK_MS // 1000
        line = np.concatenate((self._rest, samples))
        count = len(line) // block
        self._rest = line[count * block :]
        wide = line[: count * block].astype(np.float32).reshape(-1, block)
        end = end_tick - len(self._rest) * CLOCK_HZ // rate_hz - (count - 1) * _BLOCK_TICKS
        for index, power in enumerate(np.einsum("ij,ij->i", wide, wide) / block):
            self._blocks.append((end + index * _BLOCK_TICKS, self._is_near(float(power))))

    def heard(self, verdict: Verdict) -> Verdict:
        """The verdict on what is left of the noise: none of speech where nothing stood out."""
        near = []
        while self._blocks and self._blocks[0][0] <= verdict.end_tick:
            near.append(self._blocks.popleft()[1])
        if near:
            self._stands_out = near[-1]
        return verdict if any(near) or self._stands_out else replace(verdict, speech=0.0)

    def _is_near(self, power: float) -> bool:
        self._recent.append(power)
        recent = list(self._recent)
        full = len(recent) == _STEADY_BLOCKS
        self._steady.append(max(_QUIETEST, sum(recent) / len(recent)) if full else _QUIETEST)
        known = len(self._steady) == _BACKGROUND_BLOCKS
        background = min(self._steady) if known else _QUIETEST
        latest = recent[-_LEVEL_BLOCKS:]
        self._hang = _HANG_BLOCKS if sum(latest) / len(latest) >= background * _STANDS_OUT else self._hang - 1
        return self._hang > 0
