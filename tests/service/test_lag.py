"""How late the event loop is, and when that is too late."""

from ariagent.service.lag import ENOUGH, LOOK_S, WINDOW_S, Lag


class Clock:
    """Looks, one after another."""

    def __init__(self) -> None:
        self.lag, self.now = Lag(0.1), 100.0

    def look(self, lag_s: float, times: int = 1) -> list[bool]:
        changed = []
        for _ in range(times):
            self.now += LOOK_S + lag_s
            changed.append(self.lag.late(lag_s, self.now))
        return changed


def test_nothing_is_said_before_there_are_enough_looks() -> None:
    clock = Clock()
    assert clock.lag.p95_s == 0.0
    assert clock.look(0.15, ENOUGH - 1) == [False] * (ENOUGH - 1)
    assert not clock.lag.overloaded
    assert clock.look(0.15) == [True]
    assert clock.lag.overloaded


def test_a_few_late_looks_are_no_overload() -> None:
    clock = Clock()
    for _ in range(10):
        clock.look(0.001, 30)
        clock.look(0.4)
    assert not clock.lag.overloaded
    assert clock.lag.p95_s == 0.001


def test_it_ends_below_half_of_the_bound() -> None:
    clock = Clock()
    clock.look(0.15, 30)
    assert clock.lag.overloaded
    clock.look(0.06, int(WINDOW_S / 0.11) + 1)
    assert clock.lag.p95_s == 0.06
    assert clock.lag.overloaded
    changed = clock.look(0.01, int(WINDOW_S / 0.06) + 1)
    assert changed.count(True) == 1
    assert not clock.lag.overloaded
