"""Sounds and recordings for tests of what the lab measures."""

import numpy as np

from lab.sentences import RATE_HZ, Samples


def sound(*parts_s: float, peak: int = 8000) -> Samples:
    """Noise and silence in turn."""
    noise = np.random.default_rng(1).integers(-peak, peak, RATE_HZ * 10, dtype=np.int16)
    pieces = [noise[: round(RATE_HZ * part)] * (number % 2 == 0) for number, part in enumerate(parts_s)]
    return np.concatenate(pieces).astype(np.int16)
