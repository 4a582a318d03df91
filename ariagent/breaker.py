"""A circuit breaker: knows whether something that every call needs can be used, and tries it until it can.

    not tried --trial passes--> closed (usable) --a call reports trouble, and a trial fails--> open
    open --pause, then a trial passes--> closed

Callers should not have to find out one by one. While a breaker is open the service takes no calls from queues.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

FIRST_TRIAL_S, LONGEST_TRIAL_S = 5.0, 60.0
"""Pauses between two trials of something that cannot be used; each is twice as long as the one before."""
NOT_TRIED = "not tried yet"


class Breaker:
    """Of one thing. ``run`` tries it at once, then whenever there is a reason to."""

    def __init__(self, trial: Callable[[], Awaitable[str]], changed: Callable[[str], None]) -> None:
        """``trial`` returns why the thing cannot be used, or nothing when it can; it logs what it finds.
        ``changed`` is told the same, once for each change, and must not block."""
        self._trial = trial
        self._changed = changed
        self._fault: str | None = None
        self._doubted = asyncio.Event()
        self.tried = asyncio.Event()
        """Set once there was a trial."""

    @property
    def open(self) -> bool:
        """Whether the thing is known not to be usable."""
        return bool(self._fault)

    @property
    def usable(self) -> bool:
        """Whether the thing was usable when it was last tried."""
        return self._fault == ""

    @property
    def state(self) -> str:
        """For ``/healthz``: ``ok``, or why not."""
        return NOT_TRIED if self._fault is None else self._fault or "ok"

    def doubt(self) -> None:
        """A call had trouble that may come from the thing: it is tried at once."""
        self._doubted.set()

    def fail(self, cause: str) -> None:
        """A call found for certain that the thing cannot be used now: as a failed trial, and it is tried at once."""
        if not self._fault:
            self._settle(cause)
        self._doubted.set()

    async def run(self) -> None:
        """Keep trying what cannot be used, and what is doubted. Returns never."""
        pause_s = FIRST_TRIAL_S
        while True:
            self._doubted.clear()
            try:
                self._settle(await self._trial())
            except Exception:
                # An error of ours says nothing about the thing.
                log.exception("breaker.fault")
            self.tried.set()
            if self._fault:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_TRIAL_S)
            else:
                pause_s = FIRST_TRIAL_S
                await self._doubted.wait()

    def _settle(self, fault: str) -> None:
        changed, self._fault = bool(fault) != bool(self._fault) or self._fault is None, fault
        if changed:
            self._changed(fault)
