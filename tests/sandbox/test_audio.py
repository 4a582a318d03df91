"""Wire formats, deltas and the down-sampler."""

from typing import Any

import numpy as np
import pytest

from ariagent.sandbox import audio as sound


@pytest.mark.parametrize("fmt", [sound.PCM, sound.PCMU, sound.PCMA])
def test_formats_agree_on_bytes_milliseconds_and_ticks(fmt: Any) -> None:
    data = fmt.silence(250)
    assert len(data) == fmt.n_bytes(250)
    assert fmt.ms(len(data)) == 250
    assert fmt.ticks(len(data)) == 6000
    assert fmt.ticks_per_byte * len(data) == 6000
    assert sound.wire_format({"type": fmt.name}) is fmt
    assert np.abs(fmt.decode(data).astype(int)).max() <= 8
    wave = sound.tone(100, fmt.rate_hz)
    assert sound.rms(fmt.decode(fmt.encode(wave)) - wave) < sound.rms(wave) / 20


@pytest.mark.parametrize("fmt", [sound.PCM, sound.PCMU])
@pytest.mark.parametrize("ms", [20, 150, 1000, 3333])
def test_deltas_are_the_whole_audio_in_uneven_pieces(fmt: Any, ms: int) -> None:
    audio = bytes(np.random.default_rng(1).integers(0, 256, fmt.n_bytes(ms), np.uint8))
    pieces = list(sound.deltas(audio, fmt))
    assert b"".join(piece for _, piece in pieces) == audio
    assert [at for at, _ in pieces] == [sum(len(p) for _, p in pieces[:n]) for n in range(len(pieces))]
    for _, piece in pieces[:-1]:
        assert len(piece) % 160
        assert len(piece) % fmt.sample_bytes == 0
        assert 100 <= fmt.ms(len(piece)) <= 201


@pytest.mark.parametrize("rate_hz", [8_000, 24_000])
@pytest.mark.parametrize("frame", [1, 37, 160, 480, 24_000])
def test_downsampler_gives_the_same_for_any_cut(rate_hz: int, frame: int) -> None:
    wave = np.random.default_rng(2).normal(0, 3000, rate_hz // 10).astype(np.int16)
    whole = sound.Downsampler(rate_hz).feed(wave)
    pieces = sound.Downsampler(rate_hz)
    cut = np.concatenate([pieces.feed(wave[at : at + frame]) for at in range(0, len(wave), frame)])
    assert len(whole) == 1600
    np.testing.assert_allclose(cut, whole, atol=0.05)


@pytest.mark.parametrize("rate_hz", [8_000, 24_000])
def test_downsampler_keeps_speech_and_drops_what_would_fold(rate_hz: int) -> None:
    def gain(frequency: float) -> float:
        out = sound.Downsampler(rate_hz).feed(sound.tone(500, rate_hz, frequency))
        return float(np.sqrt(np.mean(out[800:] ** 2)) / (0.3 * 32767 / np.sqrt(2)))

    assert gain(300) == pytest.approx(1, abs=0.05)
    assert gain(2500) == pytest.approx(1, abs=0.1)
    if rate_hz == 24_000:
        assert gain(11_000) < 0.05


def test_downsampler_refuses_other_rates() -> None:
    with pytest.raises(ValueError, match="44100"):
        sound.Downsampler(44_100)


def test_tone_has_the_wished_length_and_level() -> None:
    wave = sound.tone(400, 8000, 1000, 0.5)
    assert len(wave) == 3200
    assert 0.45 < np.abs(wave).max() / 32767 <= 0.5
    assert sound.rms(wave[:0]) == 0
