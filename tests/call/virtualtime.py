"""An event loop whose time passes only when nothing else is left to do, and then at once.

A test with ``@virtual_time`` has literal times, whatever the machine is doing: ``await passes(12.0)`` takes no time,
and every timer, limit and pause of the code under test rings at its own moment. ``time.monotonic`` and ``time.time``
go with the loop. What would wait for ever fails at once.
"""

import asyncio
import functools
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec
from unittest import mock

P = ParamSpec("P")

BEGAN_AT = 1_800_000_000.0
"""Seconds since the epoch at the beginning of each test."""
LOOK_S = 0.005
"""How often a test looks whether what it waits for has happened."""
LONGEST_S = 7200.0
"""No test is about more time than this; a loop that only waits for itself ends here."""


class NothingHappensError(AssertionError):
    """Everything waits for something that will not come."""


class _Selector(selectors.SelectSelector):
    """Waits for nothing: moves the time on instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.idle: dict[object, Callable[[], bool]] = {}
        """Asked whenever nothing else is left to do at a moment; true: now something is."""

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        if not found and timeout != 0 and any(ask() for ask in tuple(self.idle.values())):
            return found
        if not found and timeout is None:
            raise NothingHappensError("nothing will happen any more")
        if not found and timeout:
            self.now += timeout
            if self.now > 1000.0 + LONGEST_S:
                raise NothingHappensError(f"nothing has ended the test within {LONGEST_S:g} s")
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """``asyncio``'s loop on a time of its own. Work for other threads is done at once, in this one."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now

    async def until(self, holds: Callable[[], object]) -> None:
        """Return at the first multiple of ``LOOK_S`` from now at which this is so.

        Whether it is, is asked when nothing else is left to do: a timer for each look would be most of a test's work.
        """
        look, waiting = self.time(), asyncio.Event()

        def ask() -> bool:
            nonlocal look
            if not holds():
                return False
            del self._clock.idle[waiting]
            while look <= self.time():
                look += LOOK_S
            self.call_at(look, waiting.set)
            return True

        while not holds():
            self._clock.idle[waiting] = ask
            try:
                await waiting.wait()
            finally:
                self._clock.idle.pop(waiting, None)
            waiting.clear()

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:  # type: ignore[override]
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # as a thread would hand it on
            done.set_exception(error)
        return done


def virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """The test runs on a ``VirtualLoop``."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        loop = VirtualLoop()
        began = loop.time()

        def wall() -> float:
            return BEGAN_AT + loop.time() - began

        with (
            mock.patch.object(time, "monotonic", loop.time),
            mock.patch.object(time, "time", wall),
            asyncio.Runner(loop_factory=lambda: loop) as runner,
        ):
            runner.run(test(*args, **kwargs))

    return run


async def passes(seconds: float) -> None:
    """So much time passes, and everything happens that is due in it."""
    await asyncio.sleep(seconds)
