"""The resampler's promises, measured: delay, pass band, aliases and images, exact streaming, clipping."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ariagent.audio.resample import Resampler
from tests.examples import examples

PAIRS = [(8_000, 24_000), (24_000, 8_000), (16_000, 24_000), (24_000, 16_000), (8_000, 16_000), (16_000, 8_000)]
LEVEL = 12_000


def pcm(samples: np.ndarray) -> bytes:
    return np.asarray(np.clip(np.rint(samples), -32768, 32767), "<i2").tobytes()


def convert(from_hz: int, to_hz: int, samples: np.ndarray) -> np.ndarray:
    return np.frombuffer(Resampler(from_hz, to_hz).process(pcm(samples)), "<i2").astype(float)


def spectrum(signal: np.ndarray, rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies and amplitudes relative to LEVEL in dB."""
    window = np.blackman(len(signal))
    amplitude = np.abs(np.fft.rfft(signal * window)) * 2 / window.sum() / LEVEL
    return np.arange(len(amplitude)) * rate_hz / len(signal), 20 * np.log10(amplitude + 1e-9)


def respond(from_hz: int, to_hz: int, hz: float) -> tuple[float, float]:
    """A sine of ``hz`` in: its level at ``hz`` out, and the strongest thing anywhere else, in dB."""
    sine = LEVEL * np.sin(2 * np.pi * hz * np.arange(from_hz) / from_hz)
    freqs, levels = spectrum(convert(from_hz, to_hz, sine)[to_hz // 10 :], to_hz)
    near = np.abs(freqs - hz) < 15
    return (float(levels[near].max()) if near.any() else -180.0), float(levels[~near & (freqs > 15)].max())


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_delay_is_3_ms(from_hz: int, to_hz: int) -> None:
    impulse = np.zeros(from_hz // 10)
    impulse[from_hz // 50] = 30_000  # at 20 ms
    out = convert(from_hz, to_hz, impulse)
    peak_ms = float(np.argmax(out)) * 1000 / to_hz
    assert peak_ms == pytest.approx(23.0, abs=0.5 * 1000 / to_hz)
    assert Resampler(from_hz, to_hz).delay_ms == 3.0
    assert Resampler(from_hz, to_hz).delay_bytes == 6 * to_hz // 1000


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_phase_is_linear(from_hz: int, to_hz: int) -> None:
    """Noise of the pass band comes out as itself, 3 ms later."""
    band = min(from_hz, to_hz) / 2 * 0.8
    spectrum_in = np.zeros(from_hz // 2 + 1, complex)
    inside = np.arange(100, int(band))
    spectrum_in[inside] = np.exp(2j * np.pi * np.random.default_rng(1).random(len(inside)))
    spectrum_out = np.zeros(to_hz // 2 + 1, complex)
    spectrum_out[inside] = spectrum_in[inside] * to_hz / from_hz
    signal, expected = np.fft.irfft(spectrum_in, from_hz), np.fft.irfft(spectrum_out, to_hz)
    scale = LEVEL / np.abs(signal).max()
    delay = 3 * to_hz // 1000
    out = convert(from_hz, to_hz, signal * scale)
    settled = slice(to_hz // 10, to_hz - to_hz // 10)
    error = out[delay:][settled] - (expected * scale)[: to_hz - delay][settled]
    assert np.abs(error).max() <= 3


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
@pytest.mark.parametrize("hz", [200, 1000, 2000, 3000, 3400, 3600])
def test_telephone_band_passes_within_half_a_db(from_hz: int, to_hz: int, hz: float) -> None:
    level, other = respond(from_hz, to_hz, hz)
    assert abs(level) < 0.5
    assert other < -70  # images, aliases, rounding


@pytest.mark.parametrize(("from_hz", "to_hz"), [(16_000, 24_000), (24_000, 16_000)])
@pytest.mark.parametrize("hz", [5000, 7000, 7500])
def test_hd_band_passes_within_half_a_db(from_hz: int, to_hz: int, hz: float) -> None:
    level, other = respond(from_hz, to_hz, hz)
    assert abs(level) < 0.5
    assert other < -70


@pytest.mark.parametrize("from_hz", [16_000, 24_000])
@pytest.mark.parametrize("hz", [4400, 4600, 5500, 6500, 7700])
def test_what_8_khz_cannot_carry_is_removed(from_hz: int, hz: float) -> None:
    assert max(respond(from_hz, 8_000, hz)) < -70


@pytest.mark.parametrize("hz", [8400, 9500, 11_500])
def test_what_16_khz_cannot_carry_is_removed(hz: float) -> None:
    assert max(respond(24_000, 16_000, hz)) < -70


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_a_constant_stays_that_constant(from_hz: int, to_hz: int) -> None:
    out = convert(from_hz, to_hz, np.full(from_hz // 10, 10_000))
    assert set(out[to_hz // 50 :]) == {10_000}


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_every_20_ms_in_is_20_ms_out(from_hz: int, to_hz: int) -> None:
    resampler = Resampler(from_hz, to_hz)
    for _ in range(50):
        assert len(resampler.process(bytes(from_hz // 25))) == to_hz // 25


@settings(max_examples=examples(60), deadline=None)
@given(
    pair=st.sampled_from(PAIRS),
    cuts=st.lists(st.integers(1, 1500), max_size=30),
    seed=st.integers(0, 2**32 - 1),
)
def test_output_does_not_depend_on_the_cuts(pair: tuple[int, int], cuts: list[int], seed: int) -> None:
    data = np.random.default_rng(seed).integers(-32768, 32768, 3000).astype("<i2").tobytes()
    whole = Resampler(*pair).process(data)
    resampler = Resampler(*pair)
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(resampler.process(data[at : at + cut]))
        at += cut
    pieces.append(resampler.process(data[at:]))
    assert b"".join(pieces) == whole
    assert len(whole) == -(-3000 * pair[1] // pair[0]) * 2


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_full_scale_is_clipped_not_wrapped(from_hz: int, to_hz: int) -> None:
    square = np.where(np.arange(from_hz) // (from_hz // 400) % 2, -32768, 32767)
    out = convert(from_hz, to_hz, square)[to_hz // 50 :]
    assert out.max() == 32767
    assert out.min() == -32768
    # A wrapped overshoot would jump by the whole range from one sample to the next; the filter cannot.
    assert np.abs(np.diff(out)).max() < 60_000


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_reset_forgets(from_hz: int, to_hz: int) -> None:
    resampler = Resampler(from_hz, to_hz)
    first = resampler.process(b"\x10\x27" * 999 + b"\x01")
    resampler.reset()
    assert resampler.process(b"\x10\x27" * 999 + b"\x01") == first


def test_equal_rates_pass_through() -> None:
    resampler = Resampler(8_000, 8_000)
    data = b"\1\2\3"
    assert resampler.process(data) is data
    assert resampler.delay_ms == 0
    assert resampler.delay_bytes == 0
    assert resampler.identity
    resampler.reset()


@pytest.mark.parametrize("rates", [(11_025, 8_000), (8_000, 48_000)])
def test_other_rates_are_refused(rates: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no conversion"):
        Resampler(*rates)
