"""Measures by which the bench judges audio."""

import numpy as np

from ariagent.audio.g711 import encode_ulaw
from ariagent.audio.resample import Resampler
from lab.benchcalls import RATE_HZ, Samples, _noise_words, count_jumps, missing_ms, tone


def at_24k(heard: Samples) -> bytes:
    """With some silence behind it, for the resampler keeps the last samples to itself."""
    return Resampler(RATE_HZ, 24_000).process(heard.tobytes() + bytes(800))


def test_words_that_came_whole_miss_nothing_wherever_they_are() -> None:
    words = _noise_words(0.5)
    silence = np.zeros(3333, np.int16)
    assert missing_ms(words, at_24k(np.concatenate((silence, words, silence)))) == 0


def test_a_frame_that_was_lost_or_cut_off_is_missed() -> None:
    words = _noise_words(0.5)
    assert missing_ms(words, at_24k(np.concatenate((words[:1600], np.zeros(160, np.int16), words[1760:])))) == 20
    assert missing_ms(words, at_24k(words[:3200])) == 100


def test_other_words_are_not_the_ones_that_were_sent() -> None:
    words = _noise_words(0.5)
    assert missing_ms(words, at_24k(words[::-1].copy())) > 400


def test_silence_between_the_words_is_not_looked_for() -> None:
    words = _noise_words(0.5)
    words[1600:2400] = 10
    heard = words.copy()
    heard[1600:2400] = -10
    assert missing_ms(words, at_24k(heard)) == 0


def test_a_tone_jumps_where_a_piece_of_it_is_left_out() -> None:
    whole = tone(1.0, hz=1000)
    assert count_jumps(encode_ulaw(whole)) == 0
    assert count_jumps(encode_ulaw(np.concatenate((whole[:3000], whole[3043:])))) == 1
