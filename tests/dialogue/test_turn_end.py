"""Whether a pause is the end of the caller's turn. Times are literal seconds."""

import itertools

import numpy as np
import pytest

from ariagent.audio.format import SLIN8
from ariagent.audio.uplink import Uplink
from ariagent.dialogue.turn_end import AWAITED_S, HELD, LOOK_AGAIN_S, MOST_LOOKS, STEPS, Phase, Sign, Step, TurnEnd

HOLD_S, THRESHOLD = 0.8, 0.7


def sine(dbfs: float) -> bytes:
    """20 ms of a 500 Hz sine."""
    at = np.arange(160) / 8000
    return (32768 * 10 ** (dbfs / 20) * np.sqrt(2) * np.sin(2 * np.pi * 500 * at)).astype("<i2").tobytes()


class Line:
    """A caller who begins to speak at 100 s."""

    def __init__(self) -> None:
        self.uplink = Uplink(SLIN8)
        self.end = TurnEnd(self.uplink, HOLD_S, THRESHOLD)
        self.now = 99.0
        self.hears(1.0, -70)

    def hears(self, seconds: float, dbfs: float) -> None:
        for _ in range(round(seconds / 0.02)):
            self.now = round(self.now + 0.02, 6)
            self.uplink.received(sine(dbfs), self.now)

    def pauses(self, *, answered: bool = True) -> None:
        """A second of speech, the 0.2 s of silence after which the server ends the turn, and its answer."""
        assert self.end.voice(self.uplink.appended_ms) in (Step.NOTHING, Step.DISCARD)
        self.hears(1.0, -20)
        self.hears(0.2, -70)
        assert self.end.silence(self.now - 0.2, self.now) is Step.HOLD
        if answered:
            assert self.end.answered(self.now) is Step.NOTHING


@pytest.fixture
def line() -> Line:
    return Line()


def test_every_sign_has_a_step_in_every_phase() -> None:
    assert set(STEPS) == set(itertools.product(Phase, Sign))


def test_an_answer_is_held_from_a_pause_until_it_is_released_or_discarded() -> None:
    for (phase, sign), (after, step) in STEPS.items():
        assert (step is Step.HOLD) == ((phase, sign) == (Phase.SPEAKING, Sign.SILENCE))
        assert (phase in HELD and after not in HELD) == (step in (Step.RELEASE, Step.DISCARD))
        assert (phase not in HELD and after in HELD) == (step is Step.HOLD)
        if step is Step.DISCARD:
            assert sign in (Sign.VOICE, Sign.DROPPED)
        if step is Step.RELEASE:
            assert sign in (Sign.COMPLETE, Sign.ANSWER)
        assert sign is not Sign.DROPPED or after is Phase.CLOSED
        assert sign is not Sign.VOICE or after is Phase.SPEAKING


def test_without_a_verdict_the_pause_is_the_end_when_the_hold_time_is_over(line: Line) -> None:
    assert line.end.next_deadline() is None
    line.pauses()
    assert (line.end.paused, line.end.pause) == (True, 1)
    assert line.end.next_deadline() == pytest.approx(101.8)
    line.hears(0.58, -70)
    assert line.end.tick(101.79) is Step.NOTHING
    assert line.end.tick(101.81) is Step.RELEASE
    assert (line.end.paused, line.end.next_deadline()) == (False, None)
    assert line.end.tick(103.0) is Step.NOTHING


class TestWithoutAnAnswer:
    """A turn that is taken for complete stays open as long as nothing can be heard."""

    def test_the_answer_is_released_when_it_comes(self, line: Line) -> None:
        line.pauses(answered=False)
        assert line.end.judged(1, 0.9, 101.3) is Step.NOTHING
        assert line.end.paused
        assert line.end.answered(101.5) is Step.RELEASE
        assert not line.end.paused

    def test_and_the_caller_may_still_go_on(self, line: Line) -> None:
        line.pauses(answered=False)
        line.end.judged(1, 0.9, 101.3)
        assert line.end.voice(line.uplink.appended_ms) is Step.DISCARD
        assert line.end.answered(101.5) is Step.NOTHING

    def test_so_it_is_after_the_hold_time(self, line: Line) -> None:
        line.pauses(answered=False)
        assert line.end.tick(101.81) is Step.NOTHING
        assert line.end.answered(102.0) is Step.RELEASE

    def test_one_that_does_not_come_is_not_waited_for(self, line: Line) -> None:
        line.pauses(answered=False)
        line.end.judged(1, 0.9, 101.3)
        assert line.end.judged(1, 0.9, 101.4) is Step.NOTHING
        assert line.end.next_deadline() == 101.3 + AWAITED_S
        assert line.end.tick(101.3 + AWAITED_S) is Step.RELEASE

    def test_one_that_comes_while_the_caller_is_heard_again_is_held(self, line: Line) -> None:
        line.pauses(answered=False)
        line.end.judged(1, 0.9, 101.3)
        line.hears(0.1, -20)
        assert line.end.answered(line.now) is Step.NOTHING
        assert line.end.next_deadline() == line.now + LOOK_AGAIN_S
        line.hears(0.12, -70)
        assert line.end.tick(line.now) is Step.RELEASE


def test_a_pause_that_is_reported_after_the_hold_time_is_the_end_at_once(line: Line) -> None:
    line.end.voice(0.0)
    line.hears(1.0, -70)
    line.end.silence(100.1, line.now)
    line.end.answered(line.now)
    assert line.end.tick(line.now) is Step.RELEASE


@pytest.mark.parametrize(
    ("probability", "step"), [(0.0, Step.NOTHING), (0.69, Step.NOTHING), (0.7, Step.RELEASE), (1.0, Step.RELEASE)]
)
def test_a_verdict_from_the_threshold_on_is_the_end(line: Line, probability: float, step: Step) -> None:
    line.pauses()
    assert line.end.judged(1, probability, 101.3) is step
    assert line.end.paused == (step is Step.NOTHING)


def test_a_verdict_below_the_threshold_leaves_the_hold_time(line: Line) -> None:
    line.pauses()
    line.end.judged(1, 0.1, 101.3)
    assert line.end.next_deadline() == pytest.approx(101.8)


def test_a_verdict_on_an_earlier_pause_says_nothing_about_this_one(line: Line) -> None:
    line.pauses()
    line.pauses()
    assert line.end.judged(1, 1.0, line.now) is Step.NOTHING
    assert line.end.judged(2, 1.0, line.now) is Step.RELEASE


def test_a_verdict_that_comes_when_the_caller_speaks_or_has_been_answered_says_nothing(line: Line) -> None:
    line.pauses()
    assert line.end.voice(1200.0) is Step.DISCARD
    assert line.end.judged(1, 1.0, line.now) is Step.NOTHING
    line.pauses()
    line.hears(1.0, -70)
    assert line.end.tick(line.now) is Step.RELEASE
    assert line.end.judged(2, 1.0, line.now) is Step.NOTHING


def test_a_second_report_of_the_same_pause_changes_nothing(line: Line) -> None:
    line.pauses()
    line.hears(0.2, -70)
    assert line.end.silence(line.now - 0.1, line.now) is Step.NOTHING
    assert (line.end.pause, line.end.next_deadline()) == (1, pytest.approx(101.8))


def test_a_caller_who_goes_on_is_in_the_same_turn(line: Line) -> None:
    start_ms = line.uplink.appended_ms
    line.pauses()
    assert line.end.voice(line.uplink.appended_ms) is Step.DISCARD
    assert line.end.start_ms == start_ms
    line.end.dropped()
    line.end.voice(5000.0)
    assert line.end.start_ms == 5000.0


def test_a_turn_whose_end_nobody_waits_for_is_closed(line: Line) -> None:
    assert line.end.dropped() is Step.NOTHING
    line.end.voice(0.0)
    assert line.end.dropped() is Step.NOTHING
    assert line.end.silence(line.now, line.now) is Step.NOTHING, "it was dropped"
    line.pauses()
    assert line.end.dropped() is Step.DISCARD
    assert line.end.tick(200.0) is Step.NOTHING


class TestTheCallerTypes:
    def test_the_answer_is_held_until_no_more_keys_can_follow(self, line: Line) -> None:
        line.pauses()
        line.end.key_pressed(102.2)
        assert line.end.judged(1, 1.0, 101.3) is Step.NOTHING
        assert line.end.next_deadline() == 102.2
        assert line.end.tick(102.19) is Step.NOTHING
        assert line.end.tick(102.2) is Step.RELEASE

    def test_so_is_one_that_comes_then(self, line: Line) -> None:
        line.pauses(answered=False)
        line.end.judged(1, 1.0, 101.3)
        line.end.key_pressed(102.2)
        assert line.end.answered(101.5) is Step.NOTHING
        assert line.end.tick(102.2) is Step.RELEASE

    def test_keys_of_an_earlier_turn_do_not_matter(self, line: Line) -> None:
        line.end.key_pressed(101.0)
        line.pauses()
        assert line.end.judged(1, 1.0, 101.3) is Step.RELEASE


class TestTheCallerIsHeardAgain:
    def test_the_release_waits_for_the_server_to_notice(self, line: Line) -> None:
        line.pauses()
        line.hears(0.52, -70)
        line.hears(0.1, -20)
        assert line.end.tick(line.now) is Step.NOTHING
        assert line.end.next_deadline() == line.now + LOOK_AGAIN_S
        assert line.end.voice(line.uplink.appended_ms) is Step.DISCARD

    def test_a_verdict_does_not_release_either(self, line: Line) -> None:
        line.pauses()
        line.hears(0.1, -20)
        assert line.end.judged(1, 1.0, line.now) is Step.NOTHING
        assert line.end.next_deadline() == line.now + LOOK_AGAIN_S
        line.hears(0.12, -70)
        assert line.end.tick(line.now) is Step.RELEASE, "it was a click"

    def test_a_server_that_does_not_notice_it_is_right_in_the_end(self, line: Line) -> None:
        line.pauses()
        line.hears(0.6, -70)
        for _ in range(MOST_LOOKS):
            line.hears(0.1, -20)
            assert line.end.tick(line.now) is Step.NOTHING
        line.hears(0.1, -20)
        assert line.end.tick(line.now) is Step.RELEASE

    def test_the_noise_of_the_line_is_no_voice(self, line: Line) -> None:
        line.end.voice(line.uplink.appended_ms)
        line.hears(1.0, -20)
        line.hears(0.2, -28)
        line.end.silence(line.now - 0.2, line.now)
        line.end.answered(line.now)
        line.hears(0.6, -28)
        assert line.end.tick(line.now) is Step.RELEASE
