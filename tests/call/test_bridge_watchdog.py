"""Callers who are not heard are put into the bridge again, then sent to the human queue: literal times in seconds."""

from collections.abc import Callable

import pytest

from ariagent.call.bridge_watchdog import LONGEST_S, ON_THE_WAY_S, BridgeWatchdog, Finding

LIMIT_S = 20.0


def seat() -> BridgeWatchdog:
    return BridgeWatchdog(rejoins=True, limit_s=LIMIT_S)


def direct() -> BridgeWatchdog:
    return BridgeWatchdog(rejoins=False, limit_s=LIMIT_S)


def attempts(watchdog: BridgeWatchdog, heard_at: float, count: int) -> list[float]:
    """The times of the next attempts while nothing comes."""
    times = []
    for _ in range(count):
        due = watchdog.next_deadline(heard_at)
        assert watchdog.tick(due - 0.001, heard_at, talking=True) is Finding.NOTHING
        assert watchdog.tick(due, heard_at, talking=True) is Finding.REJOIN
        times.append(due)
    return times


class TestRejoining:
    def test_every_frame_puts_the_first_attempt_off(self) -> None:
        watchdog = seat()
        due = [watchdog.next_deadline(heard_at) for heard_at in (100.0, 100.02, 100.3)]
        assert due == pytest.approx([100.4, 100.42, 100.7])

    def test_pauses_grow_to_two_seconds_while_nothing_comes(self) -> None:
        times = attempts(seat(), 100.0, 6)
        assert times == pytest.approx([100.4, 100.8, 101.6, 103.2, 105.2, 107.2])

    def test_a_late_attempt_delays_those_after_it(self) -> None:
        watchdog = seat()
        assert watchdog.tick(101.0, 100.0, talking=True) is Finding.REJOIN
        assert watchdog.next_deadline(100.0) == pytest.approx(101.4)

    def test_a_frame_after_an_attempt_begins_anew(self) -> None:
        watchdog = seat()
        attempts(watchdog, 100.0, 5)
        assert attempts(watchdog, 105.21, 3) == pytest.approx([105.61, 106.01, 106.81])

    def test_a_frame_during_an_attempt_counts_as_after_it(self) -> None:
        watchdog = seat()
        assert watchdog.tick(100.4, 100.0, talking=True) is Finding.REJOIN
        assert watchdog.next_deadline(100.401) == pytest.approx(100.801)

    def test_is_for_conversations_only_and_keeps_its_pace(self) -> None:
        watchdog = seat()
        assert watchdog.tick(100.4, 100.0, talking=False) is Finding.NOTHING
        assert attempts(watchdog, 100.0, 2) == pytest.approx([100.8, 101.6])

    def test_is_for_halves_of_local_channels_only(self) -> None:
        watchdog = direct()
        assert watchdog.next_deadline(100.0) == 100.0 + LIMIT_S
        assert watchdog.tick(100.0 + LIMIT_S - 0.001, 100.0, talking=True) is Finding.NOTHING


class TestLost:
    @pytest.mark.parametrize("make", [seat, direct])
    def test_nothing_heard_for_so_long(self, make: Callable[[], BridgeWatchdog]) -> None:
        watchdog, now, heard_at = make(), 100.0, 100.0
        while (due := watchdog.next_deadline(heard_at)) < 100.0 + LIMIT_S:
            assert now < due <= now + LIMIT_S
            now = due
            assert watchdog.tick(now, heard_at, talking=True) is not Finding.LOST
        assert due == 100.0 + LIMIT_S
        assert watchdog.tick(due, heard_at, talking=True) is Finding.LOST

    def test_a_frame_puts_it_off(self) -> None:
        watchdog = direct()
        assert watchdog.next_deadline(110.0) == 110.0 + LIMIT_S
        assert watchdog.tick(129.9, 110.0, talking=True) is Finding.NOTHING

    def test_while_the_call_is_not_in_conversation_somebody_else_looks_after_it(self) -> None:
        watchdog = direct()
        assert watchdog.tick(120.0, 100.0, talking=False) is Finding.NOTHING
        assert watchdog.next_deadline(100.0) == 120.0 + ON_THE_WAY_S
        assert watchdog.tick(127.9, 100.0, talking=True) is Finding.NOTHING
        assert watchdog.tick(128.0, 100.0, talking=True) is Finding.LOST

    def test_a_seat_that_is_on_its_way_is_looked_at_with_bounded_pauses(self) -> None:
        watchdog, now = seat(), 100.0
        for _ in range(40):
            due = watchdog.next_deadline(100.0)
            assert now < due <= now + LONGEST_S
            now = due
            assert watchdog.tick(now, 100.0, talking=False) is Finding.NOTHING
