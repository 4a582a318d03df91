"""How the service is to end once it takes no new calls: who gets the calls that go on, and when."""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass

from ariagent.config.tree import DrainTo


@dataclass(frozen=True, slots=True)
class Plan:
    """Of one end."""

    to: DrainTo
    after_s: float
    """How long calls may still go on, from now on."""


class Draining:
    """What was asked for: by a signal, as the settings say, or by a command that may say otherwise."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._to: DrainTo = "people"
        self._until = 0.0
        self._changed = asyncio.Event()

    @property
    def plan(self) -> Plan:
        """As it is now."""
        return Plan(self._to, max(0.0, self._until - time.monotonic()))

    def begin(self, usual: Plan, to: DrainTo | None = None, after_s: float | None = None) -> Plan:
        """Begin to end, as is ``usual`` unless told otherwise; the first time. Later only what is told changes."""
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
        """Wait until one of ``ends`` has come, or the time is up."""
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
