"""One call's line to the model: a session at a time, reconnected when it is lost, and renewed before it expires.

What the new session knows of the conversation is for whoever hears ``SessionRenewed`` to tell it.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from ariagent.config import RealtimeSettings
from ariagent.realtime.client import RealtimeClient
from ariagent.realtime.dialect import Understanding
from ariagent.realtime.events import (
    AudioArrived,
    Event,
    Fault,
    SessionFailed,
    SessionLost,
    SessionReady,
    SessionRenewed,
)
from ariagent.realtime.health import ModelHealth
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.recovery import ONCE, Recovery
from ariagent.realtime.session import RealtimeSession

RENEW_BEFORE_S = 120.0
"""Seconds before the session's end from which a quiet moment for its renewal is looked for."""
LOOK_EVERY_S = 0.25
SHORTEST_SESSION_S = 1.0
"""A server that lets each session expire sooner is not connected to more often."""
RENEW_AGAIN_S = 10.0
"""Seconds until the next try after a renewal that failed; the old session still works."""


class ModelClient(Protocol):
    """The part of a session's connection that a line uses; a ``RealtimeClient``."""

    session: RealtimeSession
    dropped_s: float
    in_use: bool

    async def run(self) -> None: ...

    def append_audio(self, audio: bytes) -> bool: ...

    def flush(self) -> None: ...

    def give_up(self, cause: str) -> None: ...

    async def close(self) -> None: ...


class Connect(Protocol):
    """Makes a session's connection, which is opened by ``run``; see ``RealtimeClient``."""

    def __call__(
        self,
        settings: RealtimeSettings,
        profile: SessionProfile,
        on_event: Callable[[Event], None],
        understanding: Understanding,
        /,
        *,
        on_audio: Callable[[AudioArrived], None],
        on_session: Callable[[SessionReady | SessionFailed], None],
    ) -> ModelClient: ...


class ModelLine:
    """``on_event`` gets the events of the session in use, ``on_audio`` its speech, all in order, from the event loop;
    neither may block.

    A session that was never ready ends with SessionFailed. One that was is replaced: SessionLost, then SessionRenewed,
    or SessionFailed when no new one could be had within ``realtime.recover_s``. A renewal without a loss is one
    SessionRenewed, at a moment when ``quiet()``. With ``in_call`` the caller has been talking with the agent, and the
    first session, too, is tried for as long.
    """

    def __init__(
        self,
        health: ModelHealth,
        profile: SessionProfile,
        on_event: Callable[[Event], None],
        on_audio: Callable[[AudioArrived], None],
        quiet: Callable[[], bool],
        *,
        in_call: bool = False,
        connect: Connect = RealtimeClient,
    ) -> None:
        self._health = health
        self._connect = connect
        self._settings = health.endpoints[0]
        self._place = 0
        """Index of the endpoint in use."""
        self._tried: set[int] = set()
        """Endpoints that failed since one worked."""
        self._profile = profile
        self._on_event = on_event
        self._on_audio = on_audio
        self._quiet = quiet
        self._in_call = in_call
        self._closed = False
        self._dropped_s = 0.0  # of former sessions
        self._renew_at = float("inf")
        self._failure: SessionFailed | None = None
        recover_s = self._settings.recover_s
        self._recovery = Recovery(recover_s, self._settings.stall_timeout_s + recover_s)
        self._used = False
        """There was a session that could be used."""
        self._ready = asyncio.Event()
        """The session that is being made can be used."""
        self._lost_at = 0.0
        self._known = asyncio.Event()
        """When the session ends has become known."""
        self._live = False
        self._counted: int | None = None
        """The endpoint that was told of the session in use."""
        self.client = self._new()
        """The connection of the session in use."""
        self._spare: ModelClient | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def session(self) -> RealtimeSession:
        """The one in use."""
        return self.client.session

    @property
    def at_first(self) -> bool:
        """Whether there is a session now, at the first endpoint."""
        return self._counted == 0

    @property
    def dropped_s(self) -> float:
        """Caller audio that a slow network did not take; see ``RealtimeClient``."""
        return self._dropped_s + self.client.dropped_s

    def append_audio(self, audio: bytes) -> bool:
        """Send caller audio; False where it was dropped, also because there is no session at the moment."""
        return self._live and self.client.append_audio(audio)

    def give_up(self, cause: str) -> None:
        """End the session in use because of what the server sends."""
        self.client.give_up(cause)

    async def run(self) -> None:
        """Keep a session for as long as one can be had."""
        running = self._start(self.client)
        try:
            while True:
                await self._until_something(running)
                if running.done():
                    running.result()
                    if (failure := self._failure) is None:
                        return
                    new = await self._recover(failure) if self._used or self._in_call else self._elsewhere(failure)
                    if new is None:
                        self._tell(self._failure or failure)
                        return
                    running = new
                elif self._until_renewal_s() <= 0:
                    running = await self._renew(running)
        finally:
            self._stands(False)
            for task in self._tasks:
                task.cancel()

    async def close(self) -> None:
        """End the session; no event follows."""
        self._closed = True
        await self.client.close()
        if self._spare is not None:
            await self._spare.close()

    def _tell(self, event: Event) -> None:
        if not self._closed:
            self._on_event(event)

    # -- sessions ----------------------------------------------------------------------------------

    def _new(self) -> ModelClient:
        self._place = self._health.choose(time.monotonic(), self._tried)
        settings, profile = self._health.endpoints[self._place], self._profile
        if self._place:
            profile = profile.at(settings)
        dialect = self._health.dialects[self._place]
        client = self._connect(
            settings,
            profile,
            self._on_event,
            dialect,
            on_audio=self._on_audio,
            on_session=lambda event: self._session_event(client, event),
        )
        return client

    def _note_failure(self, fault: Fault) -> bool:
        """The endpoint in use failed; returns whether there is another one to be tried.

        A server that refused this session's settings may serve other agents: then other calls go on asking it.
        """
        if fault is not Fault.REQUEST:
            self._health.session_failed(self._place, time.monotonic())
        self._tried.add(self._place)
        if self._health.untried(self._tried):
            return True
        self._tried.clear()
        return False

    def _elsewhere(self, failure: SessionFailed) -> "asyncio.Task[None] | None":
        """The first session, at another endpoint; None: there is none."""
        if self._closed or not self._note_failure(failure.fault):
            return None
        self.client, self._failure = self._new(), None
        return self._start(self.client)

    def _start(self, client: ModelClient) -> "asyncio.Task[None]":
        task = asyncio.ensure_future(client.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _session_event(self, client: ModelClient, event: SessionReady | SessionFailed) -> None:
        """A session can be used, or is over."""
        match event:
            case SessionReady() if client is self.client:
                lost_s = time.monotonic() - self._lost_at
                self._use(event, SessionRenewed(lost_s) if self._used else event)
            case SessionReady() if client is self._spare:
                self._expires(event)
                self._ready.set()
            case SessionFailed() if client is self.client:
                self._failure = event

    def _use(self, ready: SessionReady, told: Event) -> None:
        self._stands(True)
        self._used = True
        self._recovery.stands(time.monotonic())
        self._tried.clear()
        self._expires(ready)
        self._ready.set()
        self._tell(told)

    def _stands(self, live: bool) -> None:
        """Whether there is a session that can be used. All calls share what is known of it."""
        self._live = live
        if self._counted is not None:
            self._health.session_ended(self._counted)
        self._counted = self._place if live else None
        if self._counted is not None:
            self._health.session_made(self._counted)

    def _expires(self, ready: SessionReady) -> None:
        self._renew_at = float("inf")
        # A time that is over would have each session replaced at once.
        if (left_s := ready.expires_at - time.time()) > 0:
            lasts_s = left_s - min(RENEW_BEFORE_S, left_s / 2)
            self._renew_at = time.monotonic() + max(lasts_s, SHORTEST_SESSION_S)
        self._known.set()

    async def _until_something(self, running: "asyncio.Task[None]") -> None:
        """Wait until the session is over, may be renewed, or is known to end."""
        self._known.clear()
        wait_s = max(self._until_renewal_s(), LOOK_EVERY_S)
        known = asyncio.ensure_future(self._known.wait())
        try:
            await asyncio.wait(
                (running, known),
                timeout=wait_s if wait_s < float("inf") else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            known.cancel()

    def _until_renewal_s(self) -> float:
        return self._renew_at - time.monotonic()

    # -- after a loss ------------------------------------------------------------------------------

    async def _recover(self, failure: SessionFailed) -> "asyncio.Task[None] | None":
        """A new session instead of the lost one; None: there is none to be had, and that was told."""
        self._lost_at = time.monotonic()
        outage = self._recovery
        if self.client.session.responses.proved:
            outage.proved()
        outage.lost(failure.fault, self._lost_at)
        self._stands(False)
        if self._used:
            self._tell(SessionLost(failure.fault, failure.cause))
        # One that can be connected to, and says nothing, is no better the next time.
        elsewhere = (not self._used or failure.fault in ONCE) and self._note_failure(failure.fault)
        while (at := outage.next_attempt(failure.fault, time.monotonic(), elsewhere=elsewhere)) is not None:
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            if self._closed:
                break
            self._dropped_s += self.client.dropped_s
            self.client, self._failure = self._new(), None
            self._ready.clear()
            running = self._start(self.client)
            # An endpoint that says nothing leaves time for the others.
            others = self._health.untried({*self._tried, self._place})
            if await self._made(running, outage.left_s(time.monotonic()) / (1 + others)):
                return running
            running.cancel()
            await self.client.close()
            failure = self._failure = self._failure or failure
            elsewhere = self._note_failure(failure.fault)
        return None

    async def _made(self, making: "asyncio.Task[None]", limit_s: float, *others: "asyncio.Task[None]") -> bool:
        """Wait for the session that is being made, while the ``others`` live; returns whether it can be used."""
        ready = asyncio.ensure_future(self._ready.wait())
        try:
            await asyncio.wait((making, ready, *others), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        return self._ready.is_set() and not making.done()

    # -- before the end ----------------------------------------------------------------------------

    async def _renew(self, running: "asyncio.Task[None]") -> "asyncio.Task[None]":
        """Put a new session in the place of the one that is about to expire, in a quiet moment, or when it has expired
        before there was one; returns the task of the one in use."""
        place = self._place
        spare = self._spare = self._new()
        spare.in_use = False
        place, self._place = self._place, place  # until the spare one is used
        self._ready.clear()
        making = self._start(spare)
        made = await self._made(making, self._settings.connect_timeout_s, running)
        while made and not (self._quiet() or running.done() or making.done()):
            await asyncio.wait((running, making), timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
        self._spare = None
        if self._closed or making.done() or not made or (running.done() and self._failure is None):
            making.cancel()
            await spare.close()
            self._renew_at = time.monotonic() + RENEW_AGAIN_S
            return running
        if self._failure is not None:
            lost, self._failure = self._failure, None
            self._tell(SessionLost(lost.fault, lost.cause))
        old, self.client, self._place = self.client, spare, place
        old.in_use, spare.in_use = False, True
        if old.session.responses.proved:
            self._recovery.proved()
        self._dropped_s += old.dropped_s
        self._stands(True)
        self._tell(SessionRenewed(0.0))
        running.cancel()
        with suppress(OSError):
            await old.close()
        return making
