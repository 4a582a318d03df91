"""Whether the AI takes calls, and why not. The service reports reasons, or they are looked up every second. They set
the seats' device state and the pauses of the pool."""

import asyncio
import logging
import math
from collections.abc import Callable

from ariagent.pool.device_state import SeatDeviceState
from ariagent.pool.pool import Pool
from ariagent.pool.seats import BY_STATE, Reason

log = logging.getLogger(__name__)

LOOK_S = 1.0
ROOM = 0.1
"""Share of the calls that must end after all places were taken. Otherwise the state would change with every call."""


class Availability:
    """Keeps the reasons. It begins with ``down``, and opens nothing before that reason ends."""

    def __init__(
        self,
        pool: Pool | None,
        device_state: SeatDeviceState,
        *,
        listening: Callable[[], bool],
        calls: Callable[[], int],
        over_cap: Callable[[], bool],
        most: int,
        off_hours: Callable[[], bool] = lambda: False,
        overloaded: Callable[[], bool] = lambda: False,
    ) -> None:
        """``listening``: connected to Asterisk's events; ``over_cap``: a daily cap is reached; ``most``: calls at once;
        ``off_hours``: human agents should take the calls now; ``overloaded``: the machine is too busy."""
        self._pool = pool
        self._device_state = device_state
        self._listening = listening
        self._calls = calls
        self._over_cap = over_cap
        self._most = most
        self._off_hours = off_hours
        self._overloaded = overloaded
        self.reasons: set[Reason] = {Reason.DOWN} if pool is None else pool.seats.reasons
        """The present reasons. The pool, if there is one, shares this set: the seats' pauses depend on it."""
        self._held: set[Reason] = set()
        self._full = False

    @property
    def first(self) -> Reason | None:
        """The reason that is shown; None: the AI takes calls."""
        return next((reason for reason in Reason if reason in self.reasons), None)

    def set_reason(self, reason: Reason, on: bool) -> None:
        """A reason to take no calls begins (``on``) or ends."""
        if reason not in self._held and on != (reason in self.reasons):
            event = "seats.pause_reason_began" if on else "seats.pause_reason_ended"
            log.info(event, extra={"fields": {"reason": reason.value}})
            if self._pool is not None:
                self._pool.set_reason(reason, on)
            elif on:
                self.reasons.add(reason)
            else:
                self.reasons.discard(reason)
        self._device_state.want(self._opens())

    def hold(self, reason: Reason) -> None:
        """A reason to take no calls begins, and stays until the process ends."""
        self.set_reason(reason, True)
        self._held.add(reason)

    async def leave(self) -> None:
        """Set the device state to unavailable and pause the seats before the process ends, so that no caller rings a
        dead seat. Waits at most 3 s."""
        self.hold(Reason.DOWN)
        await asyncio.gather(self._device_state.leave(), *([] if self._pool is None else [self._pool.leave()]))

    async def run(self) -> None:
        """Look for reasons and keep the device state, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._device_state.run(), name="device state")
            while True:
                self.look()
                await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Find out which reasons apply now."""
        self.set_reason(Reason.DOWN, not self._listening())
        self.set_reason(Reason.HOURS, self._off_hours())
        self.set_reason(Reason.OVERLOADED, self._overloaded())
        self.set_reason(Reason.CAPPED, self._over_cap())
        calls = self._calls()
        self._full = calls >= self._most or (self._full and calls > self._most - math.ceil(ROOM * self._most))
        # If every seat is in a call, the queue knows that by itself.
        idle = self._pool is None or not self._pool.seats.known or self._pool.seats.any_idle
        self.set_reason(Reason.FULL, self._full and idle)
        if self._device_state.open and self._pool is not None and self._pool.seats.any_unavailable:
            # The dialplan closed it: a seat rang for too long, or found no service while the service was starting.
            self._device_state.look()

    def _opens(self) -> bool:
        if self.reasons & BY_STATE:
            return False
        # Pauses show the other reasons, if there is an AMI connection.
        return not self.reasons or (self._pool is not None and self._pool.connected)
