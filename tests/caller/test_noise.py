"""The noises: the same for a seed, at the level they are asked for, and of their kind."""

from pathlib import Path

import numpy as np
import pytest

from ariagent.audio.format import SLIN8, SLIN16, SLIN24, AudioFormat
from ariagent.caller.noise import KINDS, NOISE_HZ, Kind, NoiseMaker, active_level_dbfs, mixed, placed, single_cough
from ariagent.caller.voice import Samples, Voice
from lab.packages import default_lab_dir, ensure_tool


@pytest.fixture(scope="session")
def flite() -> list[str]:
    return ensure_tool("flite", default_lab_dir())


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("noise")


def share_between(samples: Samples, low_hz: float, high_hz: float) -> float:
    power = np.abs(np.fft.rfft(samples.astype(float))) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / NOISE_HZ)
    return float(power[(hz >= low_hz) & (hz < high_hz)].sum() / power.sum())


def levels(samples: Samples) -> np.ndarray:
    steps = samples[: len(samples) - len(samples) % 320].astype(float).reshape(-1, 320)
    return np.asarray(10 * np.log10((steps**2).mean(axis=1) + 1))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_seed_makes_the_same_noise_and_another_makes_another(flite: list[str], kind: Kind) -> None:
    maker = NoiseMaker(flite)
    first, again, other = [await maker.track(kind, 6.0, seed) for seed in (1, 1, 2)]
    assert len(first) == 6 * NOISE_HZ
    assert np.array_equal(first, again)
    assert abs(np.corrcoef(first.astype(float), other.astype(float))[0, 1]) < 0.3


@pytest.mark.parametrize("fmt", [SLIN8, SLIN16, SLIN24], ids=str)
@pytest.mark.parametrize("kind", KINDS)
async def test_noise_is_placed_below_the_speech(flite: list[str], kept: Path, kind: Kind, fmt: AudioFormat) -> None:
    speech = np.frombuffer(await Voice(flite, "kal16", fmt).say("What are your opening hours?"), "<i2")
    level = active_level_dbfs(speech, fmt.rate_hz)
    assert -35 < level < -8
    track = await NoiseMaker(flite, kept).track(kind, 10.0)
    for snr_db in (10.0, 20.0):
        noise = np.frombuffer(placed(track, level - snr_db, fmt), "<i2")
        assert level - active_level_dbfs(noise, fmt.rate_hz) == pytest.approx(snr_db, abs=0.5)


async def test_a_track_is_kept_for_later_runs(flite: list[str], tmp_path: Path) -> None:
    made = await NoiseMaker(flite, tmp_path).track("babble", 3.0)
    assert np.array_equal(await NoiseMaker(["/nonexistent/flite"], tmp_path).track("babble", 3.0), made)
    assert len(list(tmp_path.glob("*.wav"))) == 1


async def test_babble_never_pauses_and_sounds_like_voices(flite: list[str], kept: Path) -> None:
    babble = await NoiseMaker(flite, kept).track("babble", 10.0)
    assert np.ptp(np.quantile(levels(babble), [0.05, 0.95])) < 18
    assert share_between(babble, 200, 1500) > 0.6


async def test_cars_pass_in_the_street(flite: list[str]) -> None:
    street = await NoiseMaker(flite).track("street", 20.0)
    slow = levels(street)[: 950 // 25 * 25].reshape(-1, 25).mean(axis=1)  # half seconds
    assert 3 < np.ptp(slow) < 25
    assert levels(street).min() > 20, "a street is never silent"


async def test_a_cough_is_short_sharp_and_broad() -> None:
    for seed in range(5):
        cough = single_cough(seed)
        assert 0.15 <= len(cough) / NOISE_HZ <= 1.8
        onset = np.flatnonzero(levels(cough) > levels(cough).max() - 10)[0]
        assert onset * 20 <= 40, f"cough {seed} does not begin with its burst"
        assert share_between(cough, 500, 3800) > 0.4


async def test_most_of_a_cough_track_is_silence() -> None:
    coughs = await NoiseMaker([]).track("cough", 20.0)
    loud = levels(coughs) > levels(coughs).max() - 25
    assert 0.05 < loud.mean() < 0.5
    assert int((np.diff(loud.astype(int)) == 1).sum()) >= 4


def test_sums_are_as_long_as_the_longer_and_clipped() -> None:
    a, b = np.array([30000, 1, -30000], "<i2"), np.array([10000, 2], "<i2")
    for first, second in ((a, b), (b, a)):
        assert np.frombuffer(mixed(first.tobytes(), second.tobytes()), "<i2").tolist() == [32767, 3, -30000]
    assert mixed(b"", a.tobytes()) == a.tobytes()


def test_the_level_of_speech_does_not_count_its_pauses() -> None:
    tone = (8000 * np.sin(2 * np.pi * 700 * np.arange(NOISE_HZ) / NOISE_HZ)).astype(np.int16)
    with_pauses = np.concatenate([tone, np.zeros(3 * NOISE_HZ, np.int16), tone])
    assert active_level_dbfs(with_pauses, NOISE_HZ) == pytest.approx(active_level_dbfs(tone, NOISE_HZ), abs=0.2)
    assert active_level_dbfs(np.zeros(NOISE_HZ, np.int16), NOISE_HZ) == -96.0
