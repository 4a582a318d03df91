"""The device state that tells Asterisk whether the AI's seats take calls (dialplan, ``[ariagent-seat]``).

The state outlives this process and Asterisk. The dialplan sets it, too: a seat that finds no service sets it to
UNAVAILABLE. So this module reads the state regularly, and corrects it.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Protocol

from ariagent.errors import AriError

log = logging.getLogger(__name__)

OPEN, CLOSED = "NOT_INUSE", "UNAVAILABLE"
LOOK_S = 5.0
"""Interval between readings. A wrong state is corrected after this at the latest."""
AGAIN_S = 1.0
"""Interval after a failure."""
LEAVE_LIMIT_S = 3.0
"""Time limit for setting the state when the process ends."""


def state_of(app: str) -> str:
    """Name of the device state of a Stasis application."""
    return f"Custom:{app}"


class DeviceStates(Protocol):
    """The needed functions of Asterisk. Both raise AriError."""

    async def device_state(self, name: str) -> str: ...

    async def set_device_state(self, name: str, state: str) -> None: ...


class SeatDeviceState:
    """Open while the queues may send callers to the seats. It acts only in ``run`` and ``leave``, and only after
    ``want`` was called."""

    def __init__(self, asterisk: DeviceStates, app: str) -> None:
        """``app``: the Stasis application."""
        self.name = state_of(app)
        self._asterisk = asterisk
        self._wanted: str | None = None
        self._state = ""
        """The state in Asterisk when it was last read."""
        self._failed = False
        self._wake = asyncio.Event()
        self._working = asyncio.Lock()
        self.settled = asyncio.Event()
        """Set while the state is as it should be."""

    @property
    def open(self) -> bool:
        """Whether the seats took calls when the state was last read."""
        return self._state == OPEN

    def want(self, is_open: bool) -> None:
        """Set the wanted state."""
        wanted = OPEN if is_open else CLOSED
        if wanted != self._wanted:
            self._wanted = wanted
            self.look()

    def look(self) -> None:
        """Read the state at once: something may have changed it."""
        self.settled.clear()
        self._wake.set()

    async def run(self) -> None:
        """Keep the wanted state, until cancelled."""
        while True:
            self._wake.clear()
            await self._put_right()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S if self.settled.is_set() else AGAIN_S):
                    await self._wake.wait()

    async def leave(self) -> None:
        """Set the state to UNAVAILABLE before the process ends. Waits at most 3 s."""
        self.want(False)
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_LIMIT_S):
                await self._put_right()

    async def _put_right(self) -> None:
        async with self._working:
            if (wanted := self._wanted) is None:
                return
            try:
                found = await self._asterisk.device_state(self.name)
                if found != wanted:
                    await self._asterisk.set_device_state(self.name, wanted)
                    found = await self._asterisk.device_state(self.name)
            except AriError as error:
                self._fail(error.line, "")
                return
            if found != wanted:
                self._fail(f"Asterisk keeps {self.name} at {found or 'unknown'}, not {wanted}", "Load func_devstate.so")
                return
            if found != self._state or self._failed:
                log.info("seats.opened" if found == OPEN else "seats.closed", extra={"fields": {"state": self.name}})
            self._state, self._failed = found, False
            if wanted == self._wanted:
                self.settled.set()

    def _fail(self, cause: str, remedy: str) -> None:
        self._state = ""
        self.settled.clear()
        if not self._failed:
            self._failed = True
            fields = {"state": self.name, "cause": cause, **({"remedy": remedy} if remedy else {})}
            log.warning("seats.state_not_set", extra={"fields": fields})
