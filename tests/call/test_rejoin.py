"""When a seat's channel is put into its bridge anew: literal times, in seconds."""

import pytest
from ariagent.call.rejoin import Rejoining


def attempts(plan: Rejoining, heard_at: float, count: int) -> list[float]:
    """The times of the next attempts while nothing comes."""
    times = []
    for _ in range(count):
        times.append(plan.due(heard_at))
        plan.tried(times[-1])
    return times


def test_every_frame_puts_the_first_attempt_off() -> None:
    plan = Rejoining()
    due = [plan.due(heard_at) for heard_at in (100.0, 100.02, 100.3)]
    assert due == pytest.approx([100.4, 100.42, 100.7])


def test_pauses_grow_to_two_seconds_while_nothing_comes() -> None:
    times = attempts(Rejoining(), 100.0, 6)
    assert times == pytest.approx([100.4, 100.8, 101.6, 103.2, 105.2, 107.2])


def test_late_attempt_delays_those_after_it() -> None:
    plan = Rejoining()
    plan.tried(101.0)
    assert plan.due(heard_at=100.0) == pytest.approx(101.4)


def test_a_frame_after_an_attempt_begins_anew() -> None:
    plan = Rejoining()
    attempts(plan, 100.0, 5)
    assert attempts(plan, 105.21, 3) == pytest.approx([105.61, 106.01, 106.81])


def test_a_frame_during_an_attempt_counts_as_after_it() -> None:
    plan = Rejoining()
    plan.tried(100.4)
    assert plan.due(heard_at=100.401) == pytest.approx(100.801)
