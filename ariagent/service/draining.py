"""How the service ends once it takes no new calls: where its running calls go, and when."""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass

from ariagent.config.tree import DrainTo


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan for the remaining calls."""

    to: DrainTo
    after_s: float
    """How long calls may continue, from now on."""


class Draining:
    """The request to drain: by a signal with the plan of the settings, or by a command that may change the plan."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._to: DrainTo = "human_queue"
        self._until = 0.0
        self._changed = asyncio.Event()

    @property
    def plan(self) -> Plan:
        """The present plan."""
        return Plan(self._to, max(0.0, self._until - time.monotonic()))

    def begin(self, usual: Plan, to: DrainTo | None = None, after_s: float | None = None) -> Plan:
        """Begin to drain by the ``usual`` plan, except what is given. A later call changes only what is given."""
        now = time.monotonic()
        if not self.asked.is_set():
            self._to, self._until = usual.to, now + usual.after_s
        if to is not None:
            self._to = to
        if after_s is not None:
            self._until = now + after_s
        self.asked.set()
        self._changed.set()
        return self.plan

    async def over(self, *ends: Awaitable[object]) -> None:
        """Wait until one of ``ends`` is done, or the time is up."""
        waits = [asyncio.ensure_future(end) for end in ends]
        try:
            while not any(wait.done() for wait in waits) and (left_s := self.plan.after_s) > 0:
                self._changed.clear()
                changed = asyncio.ensure_future(self._changed.wait())
                try:
                    await asyncio.wait((*waits, changed), timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    changed.cancel()
        finally:
            for wait in waits:
                wait.cancel()
