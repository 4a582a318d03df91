"""Looks after a call whose other end was transferred: a call that nobody is left in is to end."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from ariagent.ari.client import AriClient, RefusedError
from ariagent.call.far_end import ATTENDED, LOCAL, LOOK_S, FarEnd, Watch, find_far_end, twin
from ariagent.errors import AriError


class FarEndWatch:
    """One call's. ``alone`` is called once a second while nobody is there; it returns whether the call ends."""

    def __init__(self, ari: AriClient, name: str, *, alone: Callable[[], bool], polls: bool, moved: bool) -> None:
        """``name``: of the caller's channel. ``polls``: look without a sign, because no manager interface tells that a
        seat was transferred. ``moved``: it may have been transferred before."""
        self.name = name
        self.linked: set[str] = set()
        """The linked ids that the leg has been seen with since its other end was transferred."""
        self._ari = ari
        self._alone = alone
        now = time.monotonic()
        self._watch = Watch(now + LOOK_S if polls and twin(name) else None)
        self._woken = asyncio.Event()
        if moved:
            self.moved()

    def follow(self, name: str) -> bool:
        """The channel of this name took the place of the caller's. Returns whether the party sent the agent elsewhere
        (a blind transfer), instead of joining two calls."""
        self.name = name
        self.moved()
        return name.startswith(LOCAL) and not name.startswith(ATTENDED)

    def moved(self) -> None:
        """The other end of the caller's channel was transferred."""
        if twin(self.name):
            self._watch.moved(time.monotonic())
            self._woken.set()

    async def run(self) -> None:
        """Look when it is time to, until the call ends."""
        while True:
            due = self._watch.next_look
            left_s = None if due is None else due - time.monotonic()
            if left_s is None or left_s > 0:
                await self._sleep(left_s)
            elif (left := await self._look()) is not None and self._alone():
                await self._hang_up(left)
                return

    async def _sleep(self, seconds: float | None) -> None:
        self._woken.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def _look(self) -> set[str] | None:
        """The Local channels behind this one in which nobody is left, if the call is to end; None if it is not."""
        looked = self._watch.next_look
        try:
            self.linked |= {await self._read(self.name, "CHANNEL(linkedid)")} - {""}
            on_the_way: set[str] = set()
            found = await find_far_end(self.name, self._read, on_the_way)
        except AriError:  # Asterisk does not answer now
            self._watch.next_look = time.monotonic() + LOOK_S
            return None
        if self._watch.next_look != looked:
            return None  # transferred again meanwhile
        if not self._watch.saw(found, time.monotonic()):
            return None
        return on_the_way - {self.name, twin(self.name)} if found is FarEnd.NOBODY else set()

    async def _hang_up(self, names: set[str]) -> None:
        """End the Local channels behind this one. If two phones transferred at the same moment, they form a ring that
        would stay in Asterisk for ever."""
        if not names:
            return
        with suppress(AriError):  # they are gone, or Asterisk does not answer
            left = [channel.id for channel in await self._ari.channels() if channel.name in names]
            await asyncio.gather(*map(self._ari.hang_up, left), return_exceptions=True)

    async def _read(self, name: str, variable: str) -> str:
        try:
            return await self._ari.get_variable(name, variable)
        except RefusedError:  # there is no such channel any more
            return ""
