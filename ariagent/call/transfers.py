"""The transfers of one call: the announcement before, the transfer itself, and who waits for its outcome."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ariagent.audio.rates import ModelCodec, ModelEncoding
from ariagent.call import events as ev
from ariagent.call.announcement import Announcement
from ariagent.call.arrival import Arrival
from ariagent.call.attended_transfer import AttendedTransfer
from ariagent.call.blind_transfer import UnansweredError, transfer
from ariagent.call.caller_leg import CallerLeg
from ariagent.call.context import Context
from ariagent.call.machine import TRANSFER_TIMEOUT_S
from ariagent.call.warm_transfer import WarmTransfer
from ariagent.dialogue.dialogue import Dialogue
from ariagent.dialogue.handoff import Handoff
from ariagent.dialogue.memory import Memory
from ariagent.errors import AsteriskError
from ariagent.logs import CallLog
from ariagent.records import events as rec
from ariagent.termination import Termination

ANNOUNCEMENT_LIMIT_S = 8.0
"""How long after the caller is gone an announcement may take that somebody is about to hear."""
CALLER_GONE_S = 1.0
"""How long after the caller is gone Asterisk's answer is waited for while a human agent waits on the line."""
LATE_S = 20.0
"""How long Asterisk may still carry out a transfer that it did not answer. A seat's caller who hangs up in this time
counts as transferred, too: Asterisk ends the seat's channel in the same way."""


@dataclass(frozen=True, slots=True)
class TransferOutcome:
    """The outcome of a transfer that somebody waits for."""

    termination: Termination | None
    """How the call ended; None: the caller is still with the agent."""
    went: Handoff | None
    """The transfer that was made, if one was."""


@dataclass(frozen=True, slots=True)
class _Unanswered:
    """A transfer that Asterisk was asked for and did not answer."""

    call_id: str
    memory: Callable[[], Memory]
    """Returns the agent's memory of the conversation."""
    until: float
    """Asterisk may carry it out until then, in monotonic seconds."""
    made: Callable[[], None]
    """Tells that it was made."""


class Transfers:
    """The transfers of one call. ``warm`` looks for a human agent while caller and agent talk on."""

    def __init__(
        self,
        context: Context,
        log: CallLog,
        *,
        changed: Callable[[], None],
        answered: Callable[[], None],
        ended: Callable[[Handoff, str, str], None],
        fault: Callable[[Exception], None],
        not_given_back: Callable[[rec.NotReleased], None],
    ) -> None:
        """The callables are those of ``WarmTransfer``."""
        self.warm = WarmTransfer(
            context,
            log,
            changed=changed,
            answered=answered,
            ended=ended,
            fault=fault,
            not_given_back=not_given_back,
        )
        self.announcement: Announcement | None = None
        self.made: Handoff | None = None
        """The transfer that was made."""
        self._context = context
        self._log = log
        self._waiting: list[asyncio.Future[TransferOutcome]] = []
        self._asking = False
        """Asterisk is being asked; the caller may have left before it answers."""
        self._unanswered: _Unanswered | None = None
        self._gone_at: float | None = None
        self._limit: asyncio.Timeout | None = None

    # -- those who wait -----------------------------------------------------------------------------

    def outcome(self) -> "asyncio.Future[TransferOutcome]":
        """A future for what comes of the transfer under way."""
        outcome: asyncio.Future[TransferOutcome] = asyncio.get_running_loop().create_future()
        self._waiting.append(outcome)
        return outcome

    @property
    def awaited(self) -> bool:
        """Somebody waits for an outcome that can be told now."""
        return bool(self._waiting) and not self._asking

    def tell(self, termination: Termination | None) -> None:
        """The caller has left (``termination``), or is back with the agent (None)."""
        outcome = TransferOutcome(termination, self.made)
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(outcome)
        self._waiting.clear()

    # -- before -------------------------------------------------------------------------------------

    def announce(self, handoff: Handoff, dialogue: Dialogue, encoding: ModelEncoding) -> Announcement | None:
        """Have the model speak a summary beside the conversation, unless it is not wanted."""
        self.announcement = None
        if handoff.kind == "blind":
            return None
        announcements = self._context.announcements
        announcements.look()
        codec = ModelCodec(self._context.format, encoding)
        self.announcement = Announcement(announcements, codec, handoff)
        dialogue.announce(self.announcement.key, handoff)
        return self.announcement

    def announce_again(self, dialogue: Dialogue) -> None:
        """Another session took the place of the one that was asked for the summary."""
        if (announcement := self.announcement) is not None and announcement.outlook == "late":
            dialogue.announce(announcement.key, announcement.handoff)

    def start_warm(
        self,
        handoff: Handoff,
        dialogue: Dialogue,
        encoding: ModelEncoding,
        *,
        caller_leg: str,
        shown: tuple[str, str],
        variables: dict[str, str],
    ) -> None:
        """Look for a human agent. ``shown``: name and number of the caller."""
        if self.warm.in_progress:
            if self.warm.destination == handoff.name:
                return
            self.warm.cancel()  # the caller wants somebody else
        if (announcement := self.announce(handoff, dialogue, encoding)) is None:
            return
        dialogue.warm_transfer_began(time.monotonic())
        self.warm.begin(handoff, announcement, caller_leg=caller_leg, shown=shown, variables=variables)

    # -- the transfer -------------------------------------------------------------------------------

    def caller_gone(self) -> None:
        """The call is over, whatever Asterisk is being asked: a human agent on the line does not wait long for that."""
        if self._gone_at is None:
            self._gone_at = time.monotonic()
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(self._gone_at + CALLER_GONE_S)

    async def make(
        self,
        handoff: Handoff,
        dialogue: Dialogue,
        parties: AttendedTransfer,
        *,
        arrival: Arrival,
        leg: CallerLeg,
        call_id: str,
    ) -> ev.Transferred | ev.TransferFailed | ev.CallerLeft:
        """Transfer the caller. Never raises AsteriskError."""
        context, name, announcement = self._context, handoff.name, self.announcement
        context.memories.keep(call_id, dialogue.memory(name), time.monotonic())
        path = announcement.path if announcement is not None and not handoff.joins else ""
        # Asterisk plays nothing that it cannot read: then it is a blind one, unless the human agent takes it by a key.
        unheard = bool(path) and not context.announcements.playable
        kind = "blind" if unheard and not handoff.by_key else handoff.kind
        variables = handoff.screen_pop(call_id, dialogue.role.language, path)
        if parties.changed:
            # The channel that stands for them may show another number, or none.
            variables |= parties.current.caller_id()
        outlook = announcement.outlook if path and announcement is not None else ""
        # A supervisor who takes over waits on a line of their own.
        found = bool(handoff.joins) and handoff.kind == "warm"
        if unheard or (found and self.warm.announcement_failed):
            outlook = "failed"
        made = partial(self._made, handoff, kind, outlook, path=path, unheard=unheard)
        self._asking = True
        try:
            if found:
                made = partial(made, queue_call=self.warm.join())
            try:
                await transfer(context, arrival, leg.id, handoff, variables, self._time_limit(waited=found))
            finally:
                self._limit = None
            if leg.hung_up:
                raise AsteriskError("the caller hung up")  # Asterisk takes the request, and moves nobody
        except AsteriskError as error:
            unanswered = isinstance(error, UnansweredError)
            if self._moved_away(leg) and not unanswered and self._tell_unanswered():
                return ev.Transferred()  # by an earlier request
            if not (self._moved_away(leg) and unanswered):
                await self._failed(error, name, kind, found=found, hung_up=leg.hung_up or self._gone_at is not None)
            if not (self._moved_away(leg) and unanswered):  # they may have left meanwhile
                context.memories.take(call_id, time.monotonic())
                if unanswered:
                    until = time.monotonic() + LATE_S
                    self._unanswered = _Unanswered(call_id, partial(dialogue.memory, name), until, made)
                return ev.CallerLeft(hung_up=True) if leg.hung_up else ev.TransferFailed(error.line)
        finally:
            self._asking = False
        made()
        return ev.Transferred()

    def _moved_away(self, leg: CallerLeg) -> bool:
        """The caller has left, and is not known to have hung up."""
        return self._gone_at is not None and not leg.hung_up

    def _time_limit(self, *, waited: bool) -> asyncio.Timeout:
        """The limit of all requests together. ``waited``: a human agent waits for the caller on the line."""
        if not waited:
            return asyncio.timeout(TRANSFER_TIMEOUT_S)
        gone_at = self._gone_at
        self._limit = (
            asyncio.timeout(TRANSFER_TIMEOUT_S) if gone_at is None else asyncio.timeout_at(gone_at + CALLER_GONE_S)
        )
        return self._limit

    def _made(
        self, handoff: Handoff, kind: str, outlook: str, *, path: str, unheard: bool, queue_call: str = ""
    ) -> None:
        self._log.tell(rec.CallTransferred(handoff.name, handoff.by, kind, queue_call, outlook, handoff.summary))
        if unheard:
            self._context.announcements.failed(self._log)
        elif path:
            self._context.announcements.handed(self._log, time.monotonic())
        self._context.metrics.transfers.labels(kind, "done").inc()
        self.made = handoff

    async def _failed(self, error: AsteriskError, name: str, kind: str, *, found: bool, hung_up: bool) -> None:
        """Asterisk has not taken the caller. It is no failure where they have hung up meanwhile."""
        if found:
            await self.warm.end("NOTJOINED" if hung_up else "FAILED")  # which counts it
        elif not hung_up:
            self._context.metrics.transfers.labels(kind, "failed").inc()
        if not hung_up:
            self._log.tell(rec.TransferFailed(name, error.line))

    def made_late(self) -> bool:
        """The caller has left, and is not known to have hung up. Returns whether that is a transfer that Asterisk had
        not answered; it counts as made then. While another one is asked for, that one decides."""
        return not self._asking and self._tell_unanswered()

    def _tell_unanswered(self) -> bool:
        unanswered, self._unanswered = self._unanswered, None
        if unanswered is None or time.monotonic() > unanswered.until:
            return False
        self._context.memories.keep(unanswered.call_id, unanswered.memory(), time.monotonic())
        unanswered.made()
        return True

    async def announced(self) -> None:
        """The caller is gone, and a human agent is about to hear the announcement: wait until it is written."""
        if self.announcement is not None and not await self.announcement.written(ANNOUNCEMENT_LIMIT_S):
            self._log.tell(rec.AnnouncementNotSpoken("the model did not speak it in time"))
