"""The caller's leg of one call: a channel that ariagent controls from ``Stasis()`` until it returns to the dialplan."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from ariagent.ari.client import AriClient, NotFoundError
from ariagent.ari.events import Place
from ariagent.call.arrival import Arrival
from ariagent.call.dialplan import give_back
from ariagent.errors import AriError
from ariagent.logs import CallLog
from ariagent.records.events import LegReplaced, NotAnswered, NotHungUp, NotReturned
from ariagent.termination import Result

REPLACED_S = 3.0
"""Seconds in which a phone that another one replaced may hang up by itself."""
ON_HOLD = "CHANNEL(rtp,hold)"
"""1 or 0; Asterisk refuses it for channels other than PJSIP (measured: 22.10.1, HTTP 500)."""


class CallerLeg:
    """``not_given_back`` gets the event that tells what Asterisk does not release, and why."""

    def __init__(
        self, ari: AriClient, arrival: Arrival, log: CallLog, not_given_back: Callable[[NotReturned | NotHungUp], None]
    ) -> None:
        self.id = arrival.channel.id
        """Id of the caller's channel; another one after a transfer."""
        self.hung_up = False
        """Whether it is being hung up. Of a seat's channel that is not known, see ``hangs_up``."""
        self.let_go = False
        """Whether the call asks nothing of it any more: it has left, or was given back as far as Asterisk would."""
        self._ari = ari
        self._arrival = arrival
        self._log = log
        self._not_given_back = not_given_back
        self._place: Place | None = None if arrival.resumes is None else arrival.resumes.place
        """Place in the dialplan where it continues after Stasis; None: where it came from."""
        self._replaced: set[asyncio.Task[None]] = set()
        self._released = asyncio.Event()

    def follow(self, channel_id: str) -> None:
        """This channel took the place of the caller's."""
        # The newcomer's own place is that of the transfer's target: it would call itself, or be hung up.
        self._place = self._place or self._arrival.channel.next_place
        self._log.tell(LegReplaced(self.id, channel_id, "" if self._place is None else str(self._place)))
        ending = asyncio.ensure_future(self._end_replaced(self.id))
        self._replaced.add(ending)
        ending.add_done_callback(self._replaced.discard)
        self.id, self.hung_up = channel_id, False

    def hangs_up(self) -> None:
        """Asterisk hangs it up. It does so with a seat's channel, too, when it has transferred the seat's caller."""
        self.hung_up = self._arrival.seat is None

    async def _end_replaced(self, channel_id: str) -> None:
        """Asterisk leaves such a channel in Stasis, where nobody would serve it, count it or end it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(REPLACED_S):
                await self._released.wait()
        with suppress(AriError):  # it is gone, or Asterisk does not answer
            if await self._ari.get_variable(channel_id, "CHANNEL(appname)") == "Stasis":
                await self._ari.hang_up(channel_id)

    async def release(self) -> None:
        """End the channels whose place others took. The call is over."""
        self._released.set()
        if self._replaced:
            await asyncio.wait(self._replaced)

    async def exists(self) -> bool:
        """False only where Asterisk says so."""
        try:
            await self._ari.channel_name(self.id)
        except NotFoundError:
            return False
        except AriError:
            return True
        return True

    async def on_hold(self) -> bool:
        """Whether the caller's phone has put the call on hold, as far as Asterisk says."""
        if self._arrival.seat is None:
            with suppress(AriError):
                return await self._ari.get_variable(self.id, ON_HOLD) == "1"
        return False

    async def break_off(self) -> None:
        """Have a seat that serves nobody answer, before it is given back.

        One that fails unanswered would have the queue try all others, 2 s each, and Asterisk pause them (measured:
        also with QueueWithdrawCaller, which app_queue looks at between two rounds of ringing only). One that answers
        and breaks off gives the caller back to their dialplan at once.
        """
        if self._arrival.seat is not None:
            try:
                await self._ari.answer(self.id)
            except AriError as error:
                self._log.tell(NotAnswered(error.line))

    async def give_back(self, result: Result) -> None:
        """Leave Stasis with ARIAGENT_RESULT set, so that the dialplan can send the caller to the human queue."""
        try:
            await give_back(self._ari, self.id, result, self._place)
        except AriError as error:
            self._not_given_back(NotReturned(error.line))

    async def hang_up(self) -> None:
        """End a seat's channel. A direct caller's dialplan is to continue, and hangs up: ``give_back``."""
        try:
            await self._ari.hang_up(self.id)
        except NotFoundError:
            return
        except AriError as error:
            self._not_given_back(NotHungUp(error.line))
