"""One timer for all senders, under asyncio and under uvloop."""

import asyncio
import time
from collections.abc import Callable

import pytest

from ariagent.audiosocket.frameclock import FrameClock

EARLY_S = 0.0006
"""Half a millisecond, and what a float loses."""


class Ticker:
    """A sender that writes down when it was called, and wants more every ``every_s`` for ``times``."""

    def __init__(
        self, clock: FrameClock, every_s: float, times: int, called: Callable[[], None] = lambda: None
    ) -> None:
        self.due: float | None = None
        self.calls: list[tuple[float, float]] = []
        """When it was due, and when it was called."""
        self.over = asyncio.Event()
        self._clock = clock
        self._every_s = every_s
        self._left = times
        self._called = called

    def frame_due(self) -> None:
        assert self.due is not None
        self.calls.append((self.due, time.monotonic()))
        self._left -= 1
        if self._left:
            self._clock.at(self.due + self._every_s, self)
        else:
            self.due = None
            self.over.set()
        self._called()


async def over(*tickers: Ticker) -> None:
    async with asyncio.timeout(10):
        for ticker in tickers:
            await ticker.over.wait()


@pytest.fixture
async def clock() -> FrameClock:
    return FrameClock(asyncio.get_running_loop())


async def test_each_is_called_for_each_of_its_times_and_never_early(clock: FrameClock) -> None:
    now = time.monotonic()
    tickers = [Ticker(clock, 0.002 * (1 + number % 7), 30) for number in range(40)]
    for number, ticker in enumerate(tickers):
        clock.at(now + 0.001 * number, ticker)
    await over(*tickers)
    for number, ticker in enumerate(tickers):
        assert [due for due, _ in ticker.calls] == pytest.approx(
            [now + 0.001 * number + 0.002 * (1 + number % 7) * n for n in range(30)]
        )
        assert all(at >= due - EARLY_S for due, at in ticker.calls)


async def test_one_that_is_wanted_earlier_is_called_once_at_the_new_time(clock: FrameClock) -> None:
    now = time.monotonic()
    late, witness = Ticker(clock, 1.0, 1), Ticker(clock, 1.0, 1)
    clock.at(now + 0.120, late)
    clock.at(now + 0.010, late)
    clock.at(now + 0.200, witness)
    await over(late, witness)
    assert [due for due, _ in late.calls] == [now + 0.010]


async def test_one_that_sends_no_more_is_not_called(clock: FrameClock) -> None:
    now = time.monotonic()
    gone, witness = Ticker(clock, 1.0, 1), Ticker(clock, 1.0, 1)
    clock.at(now + 0.010, gone)
    gone.due = None
    clock.at(now + 0.050, witness)
    await over(witness)
    assert gone.calls == []


async def test_a_sender_may_ask_for_another_or_end_one_that_is_due_too(clock: FrameClock) -> None:
    now = time.monotonic()
    kicked, ended, witness = Ticker(clock, 1.0, 1), Ticker(clock, 1.0, 1), Ticker(clock, 1.0, 1)

    def meddle() -> None:
        clock.at(now, kicked)
        ended.due = None

    first = Ticker(clock, 1.0, 1, meddle)
    for due, ticker in ((0.010, first), (0.0101, ended), (0.100, witness), (9.0, kicked)):
        clock.at(now + due, ticker)
    await over(first, kicked, witness)
    assert ended.calls == []
    assert len(kicked.calls) == 1
    assert kicked.calls[0][1] < witness.calls[0][1]


async def test_one_that_raises_harms_no_other(clock: FrameClock) -> None:
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))

    def fail() -> None:
        raise ZeroDivisionError("a bug in a sender")

    now = time.monotonic()
    faulty, others = Ticker(clock, 1.0, 1, fail), [Ticker(clock, 0.005, 5) for _ in range(3)]
    clock.at(now, faulty)
    for other in others:
        clock.at(now, other)
    await over(faulty, *others)
    assert [type(context["exception"]) for context in told] == [ZeroDivisionError]


async def test_after_the_stop_nobody_is_called(clock: FrameClock) -> None:
    ticker = Ticker(clock, 0.001, 1000)
    clock.at(time.monotonic(), ticker)
    clock.stop()
    reached = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, reached.set)
    await reached.wait()
    assert ticker.calls == []
