"""The features are those that the model was trained with."""

import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ariagent.turns.features import BANDS, FRAMES, SAMPLES, Samples, features, window

EXTRACTOR = "pipecat/audio/turn/smart_turn/_whisper_features.py"
CLOSE = 2e-4


def chirps(samples: int) -> Samples:
    """Loud sound at every frequency, with pauses. The same on every machine."""
    at = np.arange(samples, dtype=np.int64)
    return ((at * at // 7 % 20011 - 10005) * (at // 4000 % 3) // 2).astype(np.int16)


@pytest.fixture
def extractor(wheel: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """The extractor of the package that the model comes from."""
    module: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {}
    exec(zipfile.ZipFile(wheel).read(EXTRACTOR), module)
    return module["compute_whisper_log_mel_features"]


QUIET = (chirps(160_000) // 5000).astype(np.int16)
NOISE = np.random.default_rng(5).integers(-32768, 32767, 200_000, dtype=np.int16, endpoint=True)
SHIFTED = (chirps(90_000) // 4 + 3000).astype(np.int16)


@pytest.mark.parametrize(
    "samples",
    [chirps(0), chirps(4500), chirps(32_000), chirps(SAMPLES), chirps(170_000), QUIET, NOISE, SHIFTED],
    ids=["nothing", "short", "2 s", "8 s", "longer", "quiet", "noise", "shifted"],
)
def test_they_are_those_of_the_models_own_extractor(
    samples: Samples, extractor: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> None:
    assert np.abs(features(samples) - extractor(window(samples))).max() < CLOSE


CELLS = ((0, 799), (5, 790), (20, 700), (40, 640), (60, 799), (79, 750), (79, 10))


@pytest.mark.parametrize(
    ("samples", "cells", "mean"),
    [
        (32_000, (1.1145, 1.0146, 0.8001, 0.971, 0.8956, 1.0643, -0.1736), 0.0299),
        (128_000, (0.7692, 0.9564, 0.5544, 0.565, 0.9169, 0.7873, -0.2277), 0.567),
        (170_000, (-0.1828, -0.1828, 0.8191, -0.1828, -0.1828, 0.8451, 1.0309), 0.5941),
    ],
)
def test_they_have_the_values_that_its_extractor_gave(samples: int, cells: tuple[float, ...], mean: float) -> None:
    found = features(chirps(samples))
    assert [float(found[cell]) for cell in CELLS] == pytest.approx(cells, abs=CLOSE)
    assert float(found.mean()) == pytest.approx(mean, abs=CLOSE)


def test_their_shape_does_not_depend_on_the_length() -> None:
    for samples in (0, 1, 200, SAMPLES - 1, SAMPLES + 1):
        found = features(chirps(samples))
        assert (found.shape, found.dtype) == ((BANDS, FRAMES), np.float32)
        assert np.isfinite(found).all()


def test_only_the_newest_eight_seconds_count() -> None:
    newest = chirps(SAMPLES)
    assert (features(np.concatenate((NOISE, newest))) == features(newest)).all()


def test_silence_comes_before_a_short_sound() -> None:
    short = chirps(6000)
    padded = window(short)
    assert not padded[: SAMPLES - len(short)].any()
    assert (padded[SAMPLES - len(short) :] * 32768 == short).all()


def test_they_take_one_core() -> None:
    """A library that multiplies matrices with threads of its own would take more, and disturb the event loop."""
    speech = chirps(SAMPLES)
    features(speech)
    began, thread_began = time.process_time(), time.thread_time()
    for _ in range(20):
        features(speech)
    in_this_thread = time.thread_time() - thread_began
    assert time.process_time() - began < 1.4 * in_this_thread


def test_loudness_does_not_matter() -> None:
    loud = chirps(SAMPLES) // 4 * 4
    assert np.abs(features(loud) - features((loud // 4).astype(np.int16))).max() < CLOSE
