"""One timer for the frames of all connections: many go out in the same turn of the event loop.

A timer for each frame would cost as much as the frame itself, for nearly all of them are due on the pacer's raster.
"""

import asyncio
import time
from heapq import heappop, heappush
from itertools import count
from typing import Protocol

_AT_ONCE_S = 0.0005  # a deadline this near needs no timer; uvloop's count in whole milliseconds


class Sender(Protocol):
    """Sends a frame when it is due."""

    due: float | None
    """When its next frame is due, in seconds of ``time.monotonic()``; None: it sends no more."""

    def frame_due(self) -> None:
        """Send it, and ask the clock for the next one."""


class FrameClock:
    """Calls each sender at its time, at most half a millisecond early."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[tuple[float, int, Sender]] = []
        """A heap. An entry with another time than its sender's ``due`` is void."""
        self._order = count()
        self._timer: asyncio.Handle | None = None
        self._timer_at = float("inf")

    def at(self, due: float, sender: Sender) -> None:
        """Call the sender at this time, and not at the one that it waits for now."""
        sender.due = due
        heappush(self._waiting, (due, next(self._order), sender))
        if due < self._timer_at:
            self._set(time.monotonic())

    def stop(self) -> None:
        """Call nobody any more."""
        self._waiting.clear()
        self._set(0.0)

    def _set(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._waiting:
            self._timer, self._timer_at = None, float("inf")
            return
        self._timer_at = self._waiting[0][0]
        if self._timer_at <= now + _AT_ONCE_S:
            self._timer = self._loop.call_soon(self._tick)
        else:
            self._timer = self._loop.call_at(self._timer_at, self._tick)

    def _tick(self) -> None:
        self._timer_at = float("-inf")  # nobody needs to set it meanwhile
        waiting = self._waiting
        now = time.monotonic()
        try:
            while waiting and waiting[0][0] <= now + _AT_ONCE_S:
                due, _, sender = heappop(waiting)
                if sender.due == due:
                    sender.frame_due()
        finally:
            self._set(time.monotonic())
