"""The AI's seats in Asterisk's queues: the queues that AMI shows, and the seats' pauses."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from ariagent.ami.client import AmiClient
from ariagent.ami.events import Event
from ariagent.ami.queues import queue_exists
from ariagent.errors import AmiError, AmiRefusedError
from ariagent.pool.owner import NO_SEATS_REMEDY, applications
from ariagent.pool.queues import QueueBoard, QueueView
from ariagent.pool.seats import HINT_REMEDY, INVALID_REMEDY, Reason, Seats, SetPause

log = logging.getLogger(__name__)

RESYNC_S = 60.0
"""How often the queues are read again: Asterisk sends no event for averages and for a reload of queues."""
MENDED_S = 5.0
"""Seconds between two looks while there are invalid seats: an administrator may be reloading the queues."""
PAUSES_AT_ONCE = 60
"""The most pauses that wait for Asterisk's answer together. One after another, 60 of them would delay every start."""
FAULT_PAUSE_S = 5.0
LEAVE_LIMIT_S = 3.0
"""Time limit for pausing the seats when the process ends."""


class Pool:
    """Owns the board and the seats. It is a subscriber of the AMI connection. ``run`` lasts until it is cancelled."""

    def __init__(self, client: AmiClient, app: str) -> None:
        """``app``: the Stasis application that the service's seats lead to."""
        self._app = app
        self._client = client
        client.subscribe(self._hear, on_connected=self._connected, on_lost=self._lost)
        self.queues = QueueBoard()
        self.seats = Seats()
        self.watchers: list[Callable[[], None]] = []
        """Called after each event that the board and the seats took in. They must not block."""
        self.settled = asyncio.Event()
        """Set while the seats are in their wanted state."""
        self.looks_for: Callable[[], Iterable[str]] = tuple
        """Names of the queues that the settings send callers to. They are looked up even if Asterisk does not list
        them."""
        self._elsewhere: dict[str, bool] = {}
        """Name in lower case -> whether a queue exists that was not listed."""
        self._doubted: set[str] = set()
        """Names of queues that something needs and that Asterisk did not have: it is asked again."""
        self._ready = False
        self._invalid: list[str] = []
        """Numbers of the seats that were logged as invalid."""
        self._lacking = False
        """Whether it was logged that all seats lead to other services."""
        self._wake = asyncio.Event()
        self._looks_at = 0.0
        """When ``run`` looks at the seats again, if nothing wakes it."""
        self._working = asyncio.Lock()

    async def run(self) -> None:
        """Pause and resume seats in Asterisk."""
        while True:
            try:
                await self._keep_seats()
            except Exception:
                # Calls continue without the pool.
                log.exception("pool.fault")
            await asyncio.sleep(FAULT_PAUSE_S)

    async def leave(self) -> None:
        """Pause the seats before the process ends. Waits at most 3 s."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_LIMIT_S):
                await self._tell_asterisk()

    def set_reason(self, reason: Reason, on: bool) -> None:
        """A reason to take no calls begins (``on``) or ends."""
        self.seats.set_reason(reason, on)
        self._changed()

    def pause(self, number: str | None = None) -> list[str]:
        """Pause one seat or all by hand; returns their numbers."""
        numbers = self.seats.pause(number)
        self._changed()
        return numbers

    def resume(self, number: str | None = None) -> list[str]:
        """End the pause of one seat or all, whoever made it. The service's own reasons still apply. Returns their
        numbers."""
        numbers = self.seats.resume(number)
        self._changed()
        return numbers

    @property
    def connected(self) -> bool:
        """Whether seats can be paused now."""
        return self._client.connected

    def view(self, queue: str) -> QueueView | None:
        """The present state of a queue; None if it is not known or there is no such queue."""
        return self.queues.view(queue, time.monotonic())

    def has_queue(self, name: str) -> bool | None:
        """Whether there is a queue of this name; None: not known without asking Asterisk."""
        if self.queues.name_of(name) is not None:
            return True
        known = self._elsewhere.get(name.lower()) if self.queues.known else None
        if known is False and name.lower() not in self._doubted:
            # An administrator may have added it since the last list.
            self._doubted.add(name.lower())
            self._wake.set()
        return known

    async def find_queue(self, name: str) -> bool:
        """Return a queue; asks Asterisk if it is not known. Raises AmiError."""
        if not (known := self.has_queue(name)):
            known = self._elsewhere[name.lower()] = await queue_exists(self._client, name)
        return known

    # -- the connection's side ---------------------------------------------------------------------

    def _hear(self, event: Event) -> None:
        now = time.monotonic()
        self.queues.handle(event, now)
        self.seats.handle(event, now)
        if (deadline := self.seats.next_deadline()) is not None:
            if deadline <= now:
                self._changed()
            elif deadline < self._looks_at:
                self._wake.set()
        if self.seats.known:
            self._tell_invalid()
        elif self.seats.unplaced:
            self._wake.set()
        for watcher in self.watchers:
            watcher()

    async def _connected(self) -> None:
        self.seats.begin()
        await self._read()
        self._changed()

    def _lost(self) -> None:
        self.queues.lost()
        self.seats.lost()
        self.settled.clear()
        self._ready = False

    def _tell_invalid(self) -> None:
        """Log when seats become invalid or valid. Invalid seats get no calls until the queues are reloaded."""
        invalid = self.seats.invalid
        if invalid == self._invalid:
            return
        self._invalid = invalid
        self._wake.set()
        if invalid:
            remedy = HINT_REMEDY if set(invalid) <= set(self.seats.without_hint) else INVALID_REMEDY
            fields = {"seats": len(invalid), "numbers": ",".join(invalid), "remedy": remedy}
            log.error("seats.invalid", extra={"fields": fields})
        else:
            log.info("seats.valid")

    # -- the seats' side ---------------------------------------------------------------------------

    def _changed(self) -> None:
        self.settled.clear()
        self._wake.set()

    async def _keep_seats(self) -> None:
        read_at = time.monotonic()
        while True:
            self._wake.clear()
            now = time.monotonic()
            every_s = MENDED_S if self._invalid else RESYNC_S
            if self.seats.known and now - read_at >= every_s:
                read_at = now
                await self._read_again()
            elif self._client.connected and self.seats.unplaced:
                await self._try(self._place())
            if self._client.connected and self._doubted:
                await self._try(self._ask_again())
            await self._tell_asterisk()
            self._looks_at = read_at + every_s
            if (deadline := self.seats.next_deadline()) is not None:
                self._looks_at = min(self._looks_at, deadline)
            # A deadline in the past: Asterisk has just refused the pause, or the connection is gone.
            # (asyncio.wait_for of Python 3.11 may lose a cancellation that comes together with its result.)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(self._looks_at - time.monotonic(), 1.0)):
                    await self._wake.wait()

    async def _read(self) -> None:
        await self._client.action_list("QueueStatus")
        await self._place()
        for name in self.looks_for():
            if self.queues.name_of(name) is None:
                self._elsewhere[name.lower()] = await queue_exists(self._client, name)

    async def _place(self) -> None:
        """Find out which seats lead to this service. A dialplan may change, so each list asks again."""
        for context, number in list(self.seats.contexts.items()):
            leads_to = await applications(self._client, number, context)
            self.seats.place(context, not leads_to or self._app in leads_to, time.monotonic())
        if not self.seats.known:
            return
        self._tell_invalid()
        lacking = bool(self.seats.other_queues) and not self.seats.view()
        if lacking and not self._lacking:
            fields = {"app": self._app, "queues": ",".join(self.seats.other_queues), "remedy": NO_SEATS_REMEDY}
            log.warning("seats.none_found", extra={"fields": fields})
        self._lacking = lacking

    async def _ask_again(self) -> None:
        while self._doubted:
            name = self._doubted.pop()
            self._elsewhere[name] = await queue_exists(self._client, name)

    async def _read_again(self) -> None:
        await self._try(self._read())

    @staticmethod
    async def _try(reading: Awaitable[None]) -> None:
        try:
            await reading
        except AmiError as error:
            log.warning("queues.not_read", extra={"fields": {"cause": error.line}})

    async def _tell_asterisk(self) -> None:
        """Send every due pause, many at a time. Returns early if the connection is lost."""
        async with self._working:
            while commands := self.seats.commands(time.monotonic()):
                done: list[SetPause] = []
                for first in range(0, len(commands), PAUSES_AT_ONCE):
                    together = commands[first : first + PAUSES_AT_ONCE]
                    errors = await asyncio.gather(*map(self._set_pause, together))
                    if unsent := [error for error in errors if error and not isinstance(error, AmiRefusedError)]:
                        fields = {"seats": len(unsent), "cause": unsent[0].line}
                        log.warning("seats.pause_not_sent", extra={"fields": fields})
                        return
                    done += [command for command, error in zip(together, errors, strict=True) if error is None]
                self._log_done(done)
            if self.seats.any_refused(time.monotonic()):
                self.settled.clear()
            elif self.seats.known:
                self._settle()

    def _settle(self) -> None:
        self.settled.set()
        if not self._ready:
            self._ready = True
            seats = self.seats.view()
            fields = {"queues": len(self.queues.names), "seats": len(seats), "paused": sum(s.paused for s in seats)}
            log.info("pool.ready", extra={"fields": fields})

    async def _set_pause(self, command: SetPause) -> AmiError | None:
        """Send one pause. Returns the error if Asterisk refuses it, or cannot be asked."""
        try:
            await self._client.action(
                "QueuePause",
                Queue=command.queue,
                Interface=command.interface,
                Paused=command.paused,
                Reason=command.reason,
            )
        except AmiRefusedError as error:
            log.warning("seat.pause_refused", extra={"fields": {"seat": command.interface, "cause": error.line}})
            self.seats.refused(command, time.monotonic())
            return error
        except AmiError as error:
            return error
        self.seats.applied(command)
        return None

    @staticmethod
    def _log_done(commands: list[SetPause]) -> None:
        for paused, reason in dict.fromkeys((command.paused, command.reason) for command in commands):
            count = sum((command.paused, command.reason) == (paused, reason) for command in commands)
            event = "seats.paused" if paused else "seats.resumed"
            log.info(event, extra={"fields": {"seats": count, "reason": reason}})
