"""Whether the AI takes calls, from what is true of the service: looked at every second, told to the pool."""

import asyncio
import math
from collections.abc import Callable

from ariagent.pool.pool import Pool
from ariagent.pool.seats import Reason

LOOK_S = 1.0
ROOM = 0.1
"""Share of the places that must be free again after all were taken: at the brink every call would be two rows in
queue_log for each seat."""


class Availability:
    """The reasons ``down``, ``hours``, ``capped`` and ``overloaded`` of a pool."""

    def __init__(
        self,
        pool: Pool,
        *,
        listening: Callable[[], bool],
        calls: Callable[[], int],
        over_cap: Callable[[], bool],
        most: int,
        off_hours: Callable[[], bool] = lambda: False,
        overloaded: Callable[[], bool] = lambda: False,
    ) -> None:
        """``listening``: connected to Asterisk's events; ``over_cap``: enough was spent; ``most``: calls at once;
        ``off_hours``: it is people's time; ``overloaded``: the machine is too busy."""
        self._pool = pool
        self._listening = listening
        self._calls = calls
        self._over_cap = over_cap
        self._most = most
        self._off_hours = off_hours
        self._overloaded = overloaded
        self._full = False

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Tell the pool what holds now."""
        self._pool.set_reason(Reason.DOWN, not self._listening())
        self._pool.set_reason(Reason.HOURS, self._off_hours())
        self._pool.set_reason(Reason.OVERLOADED, self._overloaded())
        calls = self._calls()
        self._full = calls >= self._most or (self._full and calls > self._most - math.ceil(ROOM * self._most))
        self._pool.set_reason(Reason.CAPPED, self._full or self._over_cap())
