"""A circuit breaker for something that every call needs: it knows whether it can be used, and tries it until it can.

    not tried --trial passes--> closed (usable) --a call reports trouble, and a trial fails--> open
    open --pause, then a trial passes--> closed

It spares callers: while a breaker is open, the service takes no calls from queues.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

FIRST_TRIAL_S, LONGEST_TRIAL_S = 5.0, 60.0
"""First and longest pause between failed trials. Each pause is twice as long as the one before."""


class Breaker:
    """The breaker of one resource. ``run`` tries it at once, and again whenever there is a reason."""

    def __init__(self, changed: Callable[[str], None] | None = None) -> None:
        """``changed`` is called after each change, with why the resource cannot be used, or "". It must not block."""
        self._changed = changed
        self._fault: str | None = None
        self._doubted = asyncio.Event()
        self.tried = asyncio.Event()
        """Set after the first trial."""

    @property
    def open(self) -> bool:
        """Whether the last result was a failure."""
        return bool(self._fault)

    @property
    def usable(self) -> bool:
        """Whether the last result was a success."""
        return self._fault == ""

    @property
    def fault(self) -> str | None:
        """Why the resource cannot be used; "" if it can, None before the first trial."""
        return self._fault

    def doubt(self) -> None:
        """A call had trouble that the resource may have caused: try it at once."""
        self._doubted.set()

    def fail(self, cause: str) -> None:
        """A call found that the resource cannot be used: count this as a failed trial, and try it again at once."""
        if not self._fault:
            self._settle(cause)
        self._doubted.set()

    async def run(self, trial: Callable[[], Awaitable[str]]) -> None:
        """Try the resource while it fails, and after each doubt. Never returns.

        ``trial`` returns why the resource cannot be used, or ""; it logs its result.
        """
        pause_s = FIRST_TRIAL_S
        while True:
            self._doubted.clear()
            try:
                self._settle(await trial())
            except Exception:
                # An internal error says nothing about the resource.
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
        if changed and self._changed is not None:
            self._changed(fault)
