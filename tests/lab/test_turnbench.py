"""How the bench cuts sentences, and how it judges what a phone sent and heard."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from ariagent.caller.voice import write_wav
from ariagent.errors import AriagentError
from lab.benchcalls import PATIENCE_S
from lab.rtp import SentFrame
from lab.sentences import RATE_HZ, SPEECH_RMS, STEP, Paused, Samples, Sentence, levels_of, sentences
from lab.turnbench import (
    FRAME,
    Seen,
    Turn,
    check_machine,
    judged,
    loaded,
    planned,
)
from tests.lab.noises import sound


def silences_ms(samples: Samples) -> list[int]:
    """The lengths of the silences between sounds, in steps of 10 ms."""
    loud = np.flatnonzero(levels_of(samples) >= SPEECH_RMS)
    return [10 * int(gap - 1) for gap in np.diff(loud) if gap > 1]


SENTENCE = Sentence(sound(0.0, 0.1, 1.0, 0.08, 1.0, 0.2), round(0.1 * RATE_HZ), round(2.18 * RATE_HZ))


@pytest.mark.parametrize("pause_ms", [200, 400, 1500])
def test_a_pause_is_as_long_as_it_says_from_sound_to_sound(pause_ms: int) -> None:
    spoken = SENTENCE.with_pause(pause_ms)
    assert silences_ms(spoken.samples) == [pause_ms]
    assert spoken.pauses_at == pytest.approx(1.1 * RATE_HZ, abs=STEP)
    assert spoken.ends - SENTENCE.ends == (pause_ms - 80) * RATE_HZ // 1000
    assert (spoken.begins, spoken.pause_ms) == (SENTENCE.begins, pause_ms)
    assert levels_of(spoken.samples)[spoken.ends // STEP - 1] >= SPEECH_RMS
    assert levels_of(spoken.samples)[spoken.ends // STEP] < SPEECH_RMS


def test_a_sentence_without_a_silence_is_parted_at_its_softest_place() -> None:
    soft = sound(0.08, peak=1200)
    whole = np.concatenate((sound(1.0), soft, sound(1.0)))
    spoken = Sentence(whole, 0, len(whole)).with_pause(500)
    assert silences_ms(spoken.samples) == [pytest.approx(500, abs=10)]
    assert spoken.pauses_at is not None
    assert 1.0 * RATE_HZ <= spoken.pauses_at <= 1.08 * RATE_HZ


def test_without_a_pause_a_sentence_stays_as_it_is() -> None:
    spoken = SENTENCE.with_pause(0)
    assert spoken == Paused(SENTENCE.samples, 0, SENTENCE.begins, SENTENCE.ends, None)


def test_sentences_have_a_fitting_length_and_no_long_pause(tmp_path: Path) -> None:
    folder = tmp_path / "usr/share/asterisk/sounds/en_X"
    folder.mkdir(parents=True)
    write_wav(folder / "short.wav", sound(1.0), RATE_HZ)
    write_wav(folder / "long.wav", sound(4.0), RATE_HZ)
    write_wav(folder / "pauses.wav", sound(1.0, 0.3, 1.0), RATE_HZ)
    write_wav(folder / "silent.wav", sound(0.0, 2.0), RATE_HZ)
    write_wav(folder / "right.wav", sound(0.0, 0.6, 1.2, 0.1, 1.2, 0.6), RATE_HZ)
    [found] = sentences(tmp_path)
    assert (found.ends - found.begins) / RATE_HZ == pytest.approx(2.5, abs=0.02)
    assert len(found.samples) / RATE_HZ == pytest.approx(2.9, abs=0.02)


def test_a_plan_has_so_many_of_each_pause_in_the_same_order_every_time() -> None:
    plan = planned([SENTENCE], (200, 600), 3)
    assert sorted(spoken.pause_ms for spoken in plan) == [200, 200, 200, 600, 600, 600]
    again = planned([SENTENCE], (200, 600), 3)
    assert [spoken.pause_ms for spoken in plan] == [spoken.pause_ms for spoken in again]


def sent(spoken: Paused, began_at: float, silent_frames: int = 3) -> list[SentFrame]:
    """Frames of a phone that plays it after some silence, one every 20 ms."""
    peaks = [0] * silent_frames
    peaks += [int(np.abs(part).max()) for part in np.split(spoken.samples, range(FRAME, len(spoken.samples), FRAME))]
    peaks += [0] * 5
    return [SentFrame(began_at + 0.02 * n, n, 160 * n, False, 0, peak) for n, peak in enumerate(peaks)]


def heard(*sounds: tuple[float, float]) -> list[float]:
    """Loud packets of the agent, from one time to another."""
    return [at for first, last in sounds for at in np.arange(first, last, 0.02).tolist()]


SPOKEN = SENTENCE.with_pause(500)
BEGAN_S = 10 + 0.06 + 0.1
"""The first sound of SPOKEN: after three silent frames and 0.1 s of its own."""
ENDED_S = 10 + 0.06 + 2.18 + 0.42 - 0.02
"""Its last frame with speech is sent then."""


def test_a_turn_is_timed_by_the_frames_that_hold_its_first_and_last_speech() -> None:
    turn = judged(SPOKEN, sent(SPOKEN, 10.0), heard((2.0, 9.0), (13.5, 14.0)))
    assert turn.began_at == pytest.approx(BEGAN_S)
    assert turn.ended_at == pytest.approx(ENDED_S)
    assert turn.cut_in_at is None
    assert turn.answered_at == pytest.approx(13.5)
    assert turn.response_ms == pytest.approx(1000 * (13.5 - ENDED_S))
    assert not turn.early


def test_the_agent_inside_the_sentence_cuts_in_and_its_next_sound_is_the_answer() -> None:
    turn = judged(SPOKEN, sent(SPOKEN, 10.0), heard((11.6, 11.8), (13.4, 13.6)))
    assert turn.cut_in_at == pytest.approx(11.6)
    assert turn.answered_at == pytest.approx(13.4)


def test_a_sound_that_cut_in_and_is_still_heard_after_the_end_is_no_answer() -> None:
    turn = judged(SPOKEN, sent(SPOKEN, 10.0), heard((ENDED_S - 0.1, ENDED_S + 0.2), (13.4, 13.6)))
    assert turn.cut_in_at == pytest.approx(ENDED_S - 0.1)
    assert turn.answered_at == pytest.approx(13.4)


def test_a_sound_before_the_pause_answers_something_before_it() -> None:
    turn = judged(SPOKEN, sent(SPOKEN, 10.0), heard((10.5, 10.7), (13.4, 13.6)))
    assert (turn.cut_in_at, turn.stray_at) == (None, pytest.approx(10.5))
    assert Seen([turn]).stray == 1
    plain = SENTENCE.with_pause(0)
    inside = judged(plain, sent(plain, 10.0), heard((10.5, 10.7), (13.4, 13.6)))
    assert (inside.cut_in_at, inside.stray_at) == (pytest.approx(10.5), None)


@pytest.mark.parametrize(("at", "cut_in", "early"), [(-0.005, True, False), (0.005, False, True), (0.31, False, False)])
def test_a_sound_at_the_end_is_a_cut_in_before_it_and_early_after_it(at: float, cut_in: bool, early: bool) -> None:
    turn = judged(SPOKEN, sent(SPOKEN, 10.0), [ENDED_S + at])
    assert (turn.cut_in_at is not None) is cut_in
    assert turn.early is early


def test_an_answer_that_did_not_come_counts_as_the_patience() -> None:
    turn = judged(SPOKEN, sent(SPOKEN, 10.0), heard((2.0, 9.0)))
    assert turn.answered_at is None
    assert turn.response_ms == 1000 * PATIENCE_S


def turn_of(pause_ms: int, *, cut_in: bool = False, response_s: float = 0.8) -> Turn:
    return Turn(pause_ms, 1.0, 3.0, 2.0 if cut_in else None, 3.0 + response_s)


def test_cut_ins_are_counted_by_pause_and_their_answers_are_no_response_times() -> None:
    seen = Seen([turn_of(300), turn_of(300), turn_of(800, cut_in=True), turn_of(800), turn_of(700, response_s=0.1)])
    assert seen.cut_ins() == 1
    assert (seen.cut_ins(longest_ms=400), seen.cut_ins(800, 800)) == (0, 1)
    assert seen.cut_ins_by_pause() == {"300 ms": "0 of 2", "700 ms": "0 of 1", "800 ms": "1 of 2"}
    assert seen.responses_ms == pytest.approx([800, 800, 800])
    assert (seen.early, seen.unanswered) == (1, 0)


def test_discarded_answers_are_those_that_were_cancelled_or_deleted() -> None:
    def entry(status: str, deleted: list[str]) -> dict[str, object]:
        return {"status": status, "deleted": deleted, "input_tokens": 90, "output_tokens": 10}

    seen = Seen(bill=[entry("completed", []), entry("cancelled", []), entry("completed", ["item_1"])] * 2)
    assert seen.discarded_percent == pytest.approx(200 / 3)
    assert seen.discarded_tokens_percent == pytest.approx(200 / 3)
    assert seen.spent() == {
        "responses": 6,
        "discarded": 4,
        "tokens": 600,
        "tokens_of_discarded": 400,
        "output_tokens_of_discarded": 40,
    }
    assert Seen().discarded_percent == 0


def test_a_run_on_a_busy_machine_measures_nothing() -> None:
    check_machine({"model_ms": 300.0})
    with pytest.raises(AriagentError, match="took 311 ms"):
        check_machine({"model_ms": 311.0})
    with pytest.raises(AriagentError):
        check_machine({})  # nothing was answered


class EverySecond:
    """A judge that fails every second time."""

    def __init__(self) -> None:
        self._fails = itertools.cycle((False, True))

    def judge(self, pcm: bytes, rate_hz: int) -> float:
        if next(self._fails):
            raise ValueError("no judgement")
        return 0.5


async def test_requests_without_an_answer_are_late() -> None:
    load = await loaded(EverySecond(), bytes(16), 40.0, seconds=1.0, within_s=20.0)
    assert load.late_percent == pytest.approx(50, abs=5)
    assert load.core_percent >= 0
    assert load.median_ms < 20_000
