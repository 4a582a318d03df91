"""Sample rate conversion for the live path: linear phase, 3 ms of delay, nothing held back. CORE.

A polyphase FIR whose length is fixed in time: 6 ms, so that the delay is 3 ms at every rate. A streaming soxr is better
at the edge of the band but holds back 25 to 125 ms when fed 20 ms frames, which is more than this service may add in
all. The price is a transition of about 0.8 kHz below half the lower rate; telephone speech ends at 3.4 kHz.

The coefficients are whole multiples of 2**-20: sums of products with 16-bit samples are then exact in float64, so the
output does not depend on how the input was cut, to the last bit.
"""

from functools import lru_cache
from math import gcd

import numpy as np
from numpy.typing import NDArray

DELAY_MS = 3.0
RATES_HZ = (8_000, 16_000, 24_000)

_STOP_BAND_DB = 75.0
_CUTOFF_BELOW_NYQUIST_HZ = 150.0
_STEP = 2.0**-20

Floats = NDArray[np.float64]


class Resampler:
    """Streaming conversion of 16-bit mono PCM between 8, 16 and 24 kHz; equal rates pass through untouched.

    20 ms in give exactly 20 ms out, whatever the cuts; the signal comes out ``delay_ms`` later. ValueError for other
    rates. Output beyond full scale is clipped.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        if from_hz not in RATES_HZ or to_hz not in RATES_HZ:
            raise ValueError(f"no conversion from {from_hz} to {to_hz} Hz")
        self.from_hz = from_hz
        self.to_hz = to_hz
        self.identity = from_hz == to_hz
        divisor = gcd(from_hz, to_hz)
        self._up, self._down = to_hz // divisor, from_hz // divisor
        if not self.identity:
            self._branches, self._history = _branches(from_hz, to_hz)
        self.reset()

    @property
    def delay_ms(self) -> float:
        """The delay of the output behind the input, in milliseconds."""
        return 0.0 if self.identity else DELAY_MS

    @property
    def delay_bytes(self) -> int:
        """The delay of the output behind the input, in bytes of output."""
        return int(self.delay_ms * self.to_hz / 1000) * 2

    def reset(self) -> None:
        """Forget what was heard, as if new."""
        self._half_sample = b""
        if not self.identity:
            # Input not consumed yet, after as many past samples as the filter looks back.
            self._input: Floats = np.zeros(self._history)
            self._phase = 0  # outputs made since the last whole period of ``up`` outputs

    def process(self, pcm: bytes) -> bytes:
        """All the output that ``pcm`` makes possible. A sample may be cut in two between calls."""
        if self.identity:
            return pcm
        if self._half_sample or len(pcm) % 2:
            pcm = self._half_sample + pcm
            whole = len(pcm) & ~1
            pcm, self._half_sample = pcm[:whole], pcm[whole:]
        if not pcm:
            return b""
        samples = np.concatenate((self._input, np.frombuffer(pcm, "<i2")))
        return self._convert(samples)

    def _convert(self, samples: Floats) -> bytes:
        """Outputs ``phase`` to ``total`` of the period that starts at ``samples[history]``."""
        up, down, history = self._up, self._down, self._history
        fresh = len(samples) - history
        total = -(-fresh * up // down)
        periods = -(-total // up)
        out = np.zeros((periods, up))
        for j, (first, taps_by_residue) in enumerate(self._branches):
            n = -((j - total) // up)  # outputs j, j + up, j + 2 * up ... below total
            if n <= 0:
                continue
            for residue, taps in enumerate(taps_by_residue):
                newest = history + first - residue
                window = samples[newest - (len(taps) - 1) * down : newest + (n - 1) * down + 1 : down]
                out[:n, j] += np.correlate(window, taps)
        done = total // up  # whole periods, whose input can go
        begin, self._phase = self._phase, total - done * up
        self._input = samples[done * down :]
        flat = out.reshape(-1)[begin:total]
        np.rint(flat, out=flat)
        np.clip(flat, -32768, 32767, out=flat)
        return flat.astype("<i2").tobytes()


@lru_cache
def _branches(from_hz: int, to_hz: int) -> tuple[list[tuple[int, list[Floats]]], int]:
    """The filter as ``up`` branches, and how many past input samples they need.

    Branch j makes outputs j, j + up ...: the newest input it uses within the period, and its taps split by the residue
    of their age modulo ``down``, oldest first, each for a correlation with every ``down``-th sample.
    """
    divisor = gcd(from_hz, to_hz)
    up, down = to_hz // divisor, from_hz // divisor
    impulse = _design(from_hz * up, min(from_hz, to_hz))
    branches = []
    longest = 0
    for j in range(up):
        taps = _exact(impulse[(j * down) % up :: up])
        longest = max(longest, len(taps))
        branches.append((j * down // up, [taps[residue::down][::-1].copy() for residue in range(down)]))
    return branches, longest + down


def _design(rate_hz: int, band_hz: int) -> Floats:
    """A Kaiser-windowed sinc of 2 * DELAY_MS at ``rate_hz``, odd length, that ends below ``band_hz`` / 2."""
    half = int(DELAY_MS * rate_hz / 1000)
    cutoff_hz = band_hz / 2 - _CUTOFF_BELOW_NYQUIST_HZ
    at = np.arange(-half, half + 1)
    window = np.kaiser(2 * half + 1, 0.1102 * (_STOP_BAND_DB - 8.7))
    ideal: Floats = np.sinc(2 * cutoff_hz / rate_hz * at) * window
    return ideal


def _exact(taps: Floats) -> Floats:
    """Scaled to a sum of one and rounded to whole steps; every branch then has the same gain for a constant."""
    steps = np.rint(taps / (taps.sum() * _STEP))
    steps[np.argmax(steps)] += 1 / _STEP - steps.sum()
    return np.asarray(steps * _STEP)
