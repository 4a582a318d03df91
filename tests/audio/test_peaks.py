"""Peaks: one byte per block, whatever the frames; the same for any way of cutting the audio."""

import math
import timeit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.audio.format import SLIN8, SLIN24, AudioFormat
from ariagent.audio.peaks import FLOOR_DB, Peaks, decibels


def frame(level: int, fmt: AudioFormat = SLIN8) -> bytes:
    return np.full(fmt.frame_samples, level, "<i2").tobytes()


def test_five_frames_are_two_blocks() -> None:
    peaks = Peaks(SLIN8)
    for _ in range(5):
        peaks.add(frame(32767))
    assert peaks.take() == b"\xff\xff"
    assert peaks.taken_s == 0.1
    assert peaks.take() == b""


def test_none_is_a_silent_frame() -> None:
    peaks = Peaks(SLIN8, 20)
    for piece in (None, frame(1000), None):
        peaks.add(piece)
    taken = peaks.take()
    assert (taken[0], taken[2]) == (0, 0)
    assert taken[1] > 0


def test_a_negative_full_scale_sample_is_full_scale() -> None:
    peaks = Peaks(SLIN8, 20)
    peaks.add(frame(-32768))
    assert peaks.take() == b"\xff"


@pytest.mark.parametrize("amplitude", [33, 100, 1000, 10_000, 32767])
def test_the_scale_is_logarithmic_and_can_be_read_back(amplitude: int) -> None:
    peaks = Peaks(SLIN8, 20)
    peaks.add(frame(amplitude))
    assert decibels(peaks.take()[0]) == pytest.approx(20 * math.log10(amplitude / 32767), abs=0.2)


def test_what_is_softer_than_the_floor_is_zero() -> None:
    peaks = Peaks(SLIN8, 20)
    peaks.add(frame(20))
    assert peaks.take() == b"\0"
    assert decibels(0) == FLOOR_DB


def test_a_part_of_a_block_waits_for_its_rest_or_for_the_end() -> None:
    peaks = Peaks(SLIN8)
    peaks.add(frame(32767))
    assert peaks.take() == b""
    assert peaks.take(final=True) == b"\xff"
    assert peaks.take(final=True) == b""


def test_more_than_a_pass_at_once_is_all_there() -> None:
    peaks = Peaks(SLIN24)
    for _ in range(250):
        peaks.add(frame(32767, SLIN24))
    assert peaks.take() == b"\xff" * 100
    assert peaks.taken_s == 5.0


@given(st.lists(st.integers(0, 1000), max_size=30))
def test_how_the_audio_is_cut_makes_no_difference(cuts: list[int]) -> None:
    rng = np.random.default_rng(1)
    audio = rng.integers(-20000, 20000, sum(cuts), "i2").astype("<i2").tobytes()
    whole = Peaks(SLIN8)
    whole.add(audio)
    pieces, at, taken = Peaks(SLIN8), 0, b""
    for samples in cuts:
        pieces.add(audio[at : at + 2 * samples])
        at += 2 * samples
        taken += pieces.take() if samples % 3 == 0 else b""
    assert taken + pieces.take(final=True) == whole.take(final=True)


def test_blocks_of_no_whole_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="whole number of samples"):
        Peaks(AudioFormat(22050))


def test_a_second_of_audio_costs_microseconds() -> None:
    """Measured at 19 us on an idle machine; the limit leaves a loaded one room and still catches work per sample."""
    pieces = [frame(n * 100, SLIN24) for n in range(50)]
    peaks = Peaks(SLIN24)

    def second() -> None:
        for piece in pieces:
            peaks.add(piece)
        peaks.take()

    assert min(timeit.repeat(second, number=50, repeat=5)) / 50 < 500e-6


def test_silence_in_one_piece_is_the_same_as_frame_by_frame() -> None:
    for lead in (b"", b"\x00\x40" * 100):
        one, many = Peaks(SLIN8), Peaks(SLIN8)
        one.add(lead)
        one.add_silence(50)
        one.add_silence(3)
        many.add(lead)
        for _ in range(53):
            many.add(None)
        assert one.take(final=True) == many.take(final=True)
        assert one.taken_s == many.taken_s
