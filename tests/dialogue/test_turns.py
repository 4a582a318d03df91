"""Latency of answers, at literal times (seconds)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.dialogue.turns import TurnClock, TurnLatency


@pytest.fixture
def clock() -> TurnClock:
    return TurnClock()


def parts(latency: TurnLatency | None) -> tuple[float, ...]:
    assert latency is not None
    assert latency.held_s == 0
    return latency.response_s, latency.detection_s, latency.model_s, latency.service_s


def test_the_time_for_which_an_answer_was_held_is_a_part_of_its_own(clock: TurnClock) -> None:
    clock.speech_ended(10.0, 10.25)
    clock.audio_arrived(10.5)
    clock.released(10.8)
    assert clock.frame_sent(10.81) == TurnLatency(
        pytest.approx(0.81), pytest.approx(0.25), pytest.approx(0.25), pytest.approx(0.01), pytest.approx(0.3)
    )


def test_a_release_before_the_audio_costs_nothing(clock: TurnClock) -> None:
    clock.speech_ended(10.0, 10.25)
    clock.released(10.3)
    clock.audio_arrived(10.5)
    assert parts(clock.frame_sent(10.51)) == pytest.approx((0.51, 0.25, 0.25, 0.01))


def test_the_release_of_one_answer_does_not_count_for_the_next(clock: TurnClock) -> None:
    clock.speech_ended(10.0, 10.25)
    clock.released(12.0)
    clock.speech_ended(10.0, 10.25)
    clock.audio_arrived(10.5)
    assert parts(clock.frame_sent(10.51)) == pytest.approx((0.51, 0.25, 0.25, 0.01))


def test_an_answers_parts_add_up(clock: TurnClock) -> None:
    clock.speech_ended(true_end=10.0, noticed=10.5)
    clock.audio_arrived(10.75)
    assert parts(clock.frame_sent(10.76)) == pytest.approx((0.76, 0.5, 0.25, 0.01))


def test_only_the_first_audio_of_the_answer_counts(clock: TurnClock) -> None:
    clock.speech_ended(10.0, 10.5)
    clock.audio_arrived(10.75)
    clock.audio_arrived(10.9)
    assert parts(clock.frame_sent(11.0)) == pytest.approx((1.0, 0.5, 0.25, 0.25))


def test_an_answer_is_told_once(clock: TurnClock) -> None:
    clock.speech_ended(10.0, 10.5)
    clock.audio_arrived(10.75)
    assert clock.frame_sent(10.76) is not None
    assert clock.frame_sent(10.78) is None
    clock.audio_arrived(11.0)
    assert clock.frame_sent(11.0) is None


def test_what_nobody_asked_for_is_no_answer(clock: TurnClock) -> None:
    clock.audio_arrived(1.0)
    assert clock.frame_sent(1.0) is None


def test_a_frame_before_the_answers_audio_belongs_to_something_else(clock: TurnClock) -> None:
    clock.speech_ended(10.0, 10.5)
    assert clock.frame_sent(10.6) is None
    clock.audio_arrived(10.75)
    assert clock.frame_sent(10.76) is not None


def test_audio_from_before_the_end_of_speech_is_not_the_answer(clock: TurnClock) -> None:
    clock.audio_arrived(9.0)
    clock.speech_ended(10.0, 10.5)
    assert clock.frame_sent(10.6) is None


def test_an_answer_that_the_caller_talks_over_is_not_counted(clock: TurnClock) -> None:
    clock.speech_ended(10.0, 10.5)
    clock.audio_arrived(10.75)
    clock.speech_started()
    assert clock.frame_sent(10.76) is None


def test_an_end_of_speech_in_the_future_is_now(clock: TurnClock) -> None:
    clock.speech_ended(true_end=11.0, noticed=10.5)
    clock.audio_arrived(10.75)
    assert parts(clock.frame_sent(10.76)) == pytest.approx((0.26, 0.0, 0.25, 0.01))


@given(st.floats(0, 1e4), st.floats(-1, 3), st.floats(0, 5), st.floats(0, 1))
def test_the_parts_are_never_negative_and_add_up(end: float, detection: float, model: float, service: float) -> None:
    clock = TurnClock()
    noticed = end + detection
    clock.speech_ended(end, noticed)
    clock.audio_arrived(noticed + model)
    response, *each = parts(clock.frame_sent(noticed + model + service))
    assert min(each) >= 0
    assert sum(each) == pytest.approx(response, abs=1e-6)
