"""Speech told from silence: first and last loud frame to the frame, over digital silence and over noise."""

import numpy as np
import pytest

from ariagent.audio import g711
from ariagent.audio.format import SLIN8, SLIN24, AudioFormat
from ariagent.caller.ears import CutIn, Ear, Sentences, Silences, level_dbfs

FRAME_S = 0.02


def frames(fmt: AudioFormat, seconds: float, dbfs: float | None, seed: int = 0) -> list[bytes]:
    """Noise of this RMS level, or digital silence."""
    count = round(seconds / FRAME_S)
    if dbfs is None:
        return [fmt.silence(20)] * count
    noise = np.random.default_rng(seed).normal(0, 32768 * 10 ** (dbfs / 20), (count, fmt.frame_samples))
    return [row.tobytes() for row in np.clip(noise, -32768, 32767).astype("<i2")]


def listen(ear: Ear, pieces: list[bytes], begin_s: float = 0.0) -> float:
    """Frames at their times; returns the time of the next."""
    for index, piece in enumerate(pieces):
        ear.heard(piece, begin_s + index * FRAME_S)
    return begin_s + len(pieces) * FRAME_S


def test_levels() -> None:
    assert level_dbfs(b"") == level_dbfs(bytes(960)) == -96
    assert level_dbfs(np.full(480, 32767, "<i2").tobytes()) == pytest.approx(0, abs=0.01)
    assert level_dbfs(np.full(480, 328, "<i2").tobytes()) == pytest.approx(-40, abs=0.01)


@pytest.mark.parametrize("fmt", [SLIN8, SLIN24], ids=str)
@pytest.mark.parametrize("noise_dbfs", [None, -60.0, -52.0], ids=["digital silence", "quiet line", "noisy line"])
def test_utterance_begins_and_ends_with_its_loud_frames(fmt: AudioFormat, noise_dbfs: float | None) -> None:
    ear = Ear(fmt)
    now = listen(ear, frames(fmt, 2.0, noise_dbfs))
    assert ear.began_at is None
    end = listen(ear, frames(fmt, 1.0, -22.0, seed=1), now)
    after = listen(ear, frames(fmt, 1.0, noise_dbfs, seed=2), end)
    assert ear.began_at == pytest.approx(2.0)
    assert ear.last_loud_at == pytest.approx(2.98)
    assert ear.quiet_s(after) == pytest.approx(1.02)
    utterance = ear.take()
    assert utterance is not None
    assert utterance.duration_s == pytest.approx(0.98)
    assert ear.take() is None
    assert ear.quiet_s(after) == float("inf")


def test_noise_through_g711_is_silence() -> None:
    ear = Ear(SLIN8)
    for piece in frames(SLIN8, 3.0, -58.0):
        coded = g711.decode_alaw(g711.encode_alaw(np.frombuffer(piece, "<i2")))
        ear.heard(coded.astype("<i2").tobytes(), 0.0)
    assert ear.began_at is None


def test_a_click_is_no_speech() -> None:
    ear = Ear(SLIN24)
    now = listen(ear, frames(SLIN24, 0.5, None))
    now = listen(ear, frames(SLIN24, 0.04, -20.0), now)
    listen(ear, frames(SLIN24, 0.5, None), now)
    assert ear.began_at is None


def test_a_pause_does_not_end_an_utterance() -> None:
    ear = Ear(SLIN24)
    now = listen(ear, frames(SLIN24, 0.4, -25.0))
    now = listen(ear, frames(SLIN24, 0.6, None), now)
    listen(ear, frames(SLIN24, 0.4, -25.0), now)
    utterance = ear.take()
    assert utterance is not None
    assert utterance.began_at == pytest.approx(0.0)
    assert utterance.ended_at == pytest.approx(1.38)


def test_quiet_grows_without_frames() -> None:
    ear = Ear(SLIN24)
    listen(ear, frames(SLIN24, 0.2, -25.0))
    assert ear.quiet_s(5.0) == pytest.approx(4.82)


def test_speech_without_a_pause_stays_speech() -> None:
    """The noise estimate may follow speech up to a bound only."""
    ear = Ear(SLIN24)
    now = listen(ear, frames(SLIN24, 0.2, None))
    end = listen(ear, frames(SLIN24, 8.0, -25.0), now)
    assert ear.last_loud_at == pytest.approx(end - FRAME_S)


def test_utterance_holds_its_audio_and_a_little_before() -> None:
    ear = Ear(SLIN24)
    speech = frames(SLIN24, 0.5, -20.0)
    now = listen(ear, frames(SLIN24, 1.0, None))
    listen(ear, speech, now)
    utterance = ear.take()
    assert utterance is not None
    assert utterance.pcm.endswith(b"".join(speech))
    before_ms = SLIN24.ms(len(utterance.pcm)) - 500
    assert 100 <= before_ms <= 200


def test_only_so_much_of_endless_sound_is_kept() -> None:
    ear = Ear(SLIN8)
    listen(ear, frames(SLIN8, 40.0, -20.0))
    utterance = ear.take()
    assert utterance is not None
    assert utterance.duration_s == pytest.approx(39.98)
    assert SLIN8.ms(len(utterance.pcm)) == pytest.approx(30_000, abs=200)


def test_only_waiting_for_the_agent_counts_as_silence() -> None:
    silences = Silences()
    silences.begin(0.0)
    silences.agent_heard(1.5)  # the opening, late
    silences.agent_heard(2.0)
    silences.caller_heard(9.0)  # thought for a while: its own affair
    silences.caller_heard(9.5)
    silences.agent_heard(12.0)  # an answer, late
    silences.agent_heard(14.0)  # a pause in the middle of it
    silences.caller_heard(14.5)
    silences.agent_heard(15.4)  # quick enough
    silences.caller_heard(16.0)
    silences.caller_heard(19.0)  # asks again, as nobody answers
    assert silences.waits == [(0.0, 1.5), (9.5, 12.0), (12.0, 14.0), (16.0, 19.0)]


def test_a_caller_who_is_silent_on_purpose_does_not_wait() -> None:
    silences = Silences()
    silences.begin(0.0)
    silences.agent_heard(0.1)
    silences.excused.append((1.0, 8.0))
    silences.agent_heard(10.0)  # are you still there?
    silences.agent_heard(20.0)
    assert silences.waits == [(10.0, 20.0)]


def test_a_pause_inside_a_sentence_is_no_wait() -> None:
    silences = Silences()
    silences.begin(0.0)
    silences.agent_heard(0.1)
    silences.caller_heard(3.0)
    silences.caller_heard(5.0, continues=True)
    silences.agent_heard(7.0)
    assert silences.waits == [(5.0, 7.0)]


def heard(*sounds: tuple[float, float]) -> list[float]:
    """Loud frames of the agent from one time to another."""
    return [at for first, last in sounds for at in np.arange(first, last, FRAME_S).tolist()]


def test_an_agent_that_begins_in_a_pause_of_the_caller_cuts_in() -> None:
    sentences = Sentences(heard((1.0, 2.0), (4.0, 4.4), (4.6, 5.0)), [(3.0, 6.0, "When ... do you open?")])
    [found] = sentences.cut_ins()
    assert found == CutIn(pytest.approx(4.0), pytest.approx(0.98, abs=0.021), "When ... do you open?")


def test_a_cut_in_is_counted_until_the_sentence_is_over() -> None:
    [found] = Sentences(heard((5.5, 9.0)), [(3.0, 6.0, "")]).cut_ins()
    assert found.lasted_s == pytest.approx(0.5)


@pytest.mark.parametrize(
    "sounds",
    [
        [(1.0, 2.9)],  # before the sentence
        [(6.02, 8.0)],  # its answer
        [(1.0, 3.5)],  # the caller interrupts
        [(1.0, 2.9), (3.1, 3.5)],  # the same, in a pause between two words of the agent
        [(4.0, 4.03)],  # a click
    ],
    ids=str,
)
def test_no_other_sound_is_a_cut_in(sounds: list[tuple[float, float]]) -> None:
    assert Sentences(heard(*sounds), [(3.0, 6.0, "")]).cut_ins() == []
