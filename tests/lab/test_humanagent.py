"""The demo's human agent, and the words that they heard."""

import numpy as np
import pytest
import soxr

from ariagent.audio.g711 import decode_alaw, encode_alaw
from lab.humanagent import likeness


def noise(seconds: float, rate_hz: int, seed: int) -> np.ndarray:
    """Something without a period, in the telephone's band."""
    samples = np.random.default_rng(seed).normal(0, 3000, int(seconds * 4000))
    return np.asarray(soxr.resample(samples, 4000, rate_hz)).astype(np.int16)


def test_a_sound_is_found_again_after_a_telephone_line() -> None:
    spoken = noise(1.0, 24_000, 1)
    on_the_line = np.asarray(decode_alaw(encode_alaw(soxr.resample(spoken, 24_000, 8000).astype(np.int16))))
    heard = np.concatenate([np.zeros(3000, np.int16), on_the_line, np.zeros(5000, np.int16)]).astype(np.int16)
    assert likeness(spoken, heard) > 0.95


def test_half_of_it_is_not_all_of_it() -> None:
    spoken = noise(1.0, 24_000, 1)
    half = np.asarray(soxr.resample(spoken, 24_000, 8000)).astype(np.int16)[:4000]
    assert likeness(spoken, np.concatenate([half, np.zeros(8000, np.int16)])) == pytest.approx(0.7, abs=0.1)


def test_another_sound_is_not_like_it() -> None:
    assert likeness(noise(1.0, 24_000, 1), noise(2.0, 8000, 2)) < 0.2


def test_silence_is_like_nothing() -> None:
    assert likeness(np.zeros(0, np.int16), noise(1.0, 8000, 1)) == 0.0
    assert likeness(noise(1.0, 24_000, 1), np.zeros(0, np.int16)) == 0.0
