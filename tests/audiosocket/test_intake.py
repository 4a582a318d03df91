"""How much audio a connection may bring."""

import pytest

from ariagent.audiosocket.intake import AHEAD_S, LEAST_S, RATE, Intake


def taken(intake: Intake, audio_s: float, every_s: float, until: float) -> bool:
    """Whether frames of this length that come so often until then are all allowed."""
    return all(intake.take(audio_s, every_s * number) for number in range(1, int(until / every_s)))


@pytest.mark.parametrize("audio_s", [0.0025, 0.005, 0.01, 0.02, 0.06])
def test_a_call_may_last_for_hours(audio_s: float) -> None:
    lasts_s = 60_000 * audio_s  # an hour of the longest frames, and as many of the shorter ones
    assert taken(Intake(0.0), audio_s, audio_s, lasts_s)
    assert taken(Intake(0.0), audio_s, audio_s / RATE * 1.01, lasts_s)


@pytest.mark.parametrize("pause_s", [0.5, 5.0, 50.0])
def test_after_a_pause_all_of_it_may_come_at_once(pause_s: float) -> None:
    intake = Intake(0.0)
    assert taken(intake, 0.02, 0.02, 100.0)
    now = 100.0 + pause_s
    assert all(intake.take(0.02, now) for _ in range(int(pause_s / 0.02)))


def test_more_than_a_call_makes_is_refused() -> None:
    intake = Intake(0.0)
    assert all(intake.take(0.02, 0.0) for _ in range(int(AHEAD_S / 0.02) - 1))
    assert not all(intake.take(0.02, 0.0) for _ in range(3))
    assert not taken(Intake(0.0), 0.02, 0.004, 3600.0)


@pytest.mark.parametrize("audio_s", [0.0, 0.0000625, 0.001])
def test_a_short_frame_counts_for_the_shortest_of_a_codec(audio_s: float) -> None:
    frames = 0
    intake = Intake(0.0)
    while intake.take(audio_s, 0.0):
        frames += 1
    assert frames == pytest.approx(AHEAD_S / LEAST_S, abs=1)
