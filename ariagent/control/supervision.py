"""Supervision: what supervisors see of the calls, queues and seats of this process, and do with them."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from ariagent.call.call import Call
from ariagent.call.calls import Calls
from ariagent.call.transfers import TransferOutcome
from ariagent.config.handoff import DestinationSettings
from ariagent.config.tree import DrainTo
from ariagent.control import schemas
from ariagent.control.errors import RefusedError
from ariagent.dialogue.handoff import Handoff, clean
from ariagent.errors import AmiError, CallStateError
from ariagent.pool.pool import Pool
from ariagent.pool.seats import Reason
from ariagent.termination import Result
from ariagent.text import did_you_mean

log = logging.getLogger(__name__)


class DrainPlan(Protocol):
    """How the service ends."""

    @property
    def to(self) -> DrainTo:
        """Where the remaining calls go."""

    @property
    def after_s(self) -> float:
        """How long calls may continue, from now on."""


Drain = Callable[[DrainTo | None, float | None], DrainPlan]
SETTLE_LIMIT_S = 5.0
"""Longest wait of an answer about seats for Asterisk's confirmation."""


def call_answer(call: Call) -> schemas.CallAnswer | None:
    """A call as it is told; None until it is known which one it is, and when it is over."""
    live = call.live()
    if call.over or not live.agent:
        return None
    return schemas.CallAnswer(
        id=live.call_id,
        state=live.state,
        began=live.arrived,
        answered_s=None if live.answered_s is None else round(live.answered_s, 3),
        agent=live.agent,
        seat=live.seat,
        queue=live.queue,
        language=live.language,
        caller=live.caller_number,
        caller_name=live.caller_name,
        channel=live.channel,
        last_words=None if live.last_said is None else schemas.Words(side=live.last_said[0], text=live.last_said[1]),
    )


class Supervision:
    """The supervisors' place."""

    def __init__(
        self,
        registry: Calls,
        pool: Pool | None,
        destinations: Mapping[str, DestinationSettings],
        *,
        drain: Drain,
    ) -> None:
        """``drain(to, after_s)`` has the service end, as it usually does or as told, and returns how it does."""
        self.registry = registry
        self.pool = pool
        self.destinations = destinations
        self._drain = drain
        self._process = secrets.token_hex(4)

    # -- seeing -----------------------------------------------------------------------------------

    def calls(self) -> schemas.CallsAnswer:
        found = (call_answer(call) for call in self.registry.calls)
        calls = sorted((call for call in found if call is not None), key=lambda c: c.began)
        return schemas.CallsAnswer(calls=calls, process=self._process)

    def call(self, call_id: str) -> schemas.CallAnswer:
        """Raises RefusedError."""
        if (answer := call_answer(self.find(call_id))) is None:
            raise self._no_call(call_id)
        return answer

    def queues(self) -> schemas.QueuesAnswer:
        views = [] if self.pool is None else [self.pool.view(name) for name in self.pool.queues.names]
        return schemas.QueuesAnswer(
            known=self.pool is not None and self.pool.queues.known,
            queues=[schemas.QueueAnswer.model_validate(view) for view in views if view is not None],
            destinations=[
                schemas.DestinationAnswer(
                    name=name, description=place.description, queue=place.queue, extension=place.extension
                )
                for name, place in self.destinations.items()
            ],
        )

    def seats(self) -> schemas.SeatsAnswer:
        if self.pool is None:
            return schemas.SeatsAnswer(known=False, held_by=[], seats=[])
        seats = self.pool.seats
        return schemas.SeatsAnswer(
            known=seats.known,
            held_by=[reason.value for reason in Reason if reason in seats.reasons],
            seats=[schemas.SeatAnswer.model_validate(seat) for seat in seats.view()],
        )

    # -- calls ------------------------------------------------------------------------------------

    async def transfer(self, call_id: str, wanted: schemas.TransferBody, by: str) -> schemas.TransferAnswer:
        """Transfer a caller, and wait for the outcome as long as is wanted. Raises RefusedError."""
        call = self.find(call_id)
        name, place = await self._place(wanted)
        handoff = Handoff(name, place, by, clean(wanted.reason), clean(wanted.summary))
        try:
            async with asyncio.timeout(wanted.wait_s):
                outcome = await call.transfer(handoff)
        except CallStateError as error:
            raise RefusedError(409, "wrong_state", str(error)) from None
        except TimeoutError:
            return schemas.TransferAnswer(id=call_id, to=name, state="under_way")
        return self._outcome(call_id, handoff, outcome)

    @staticmethod
    def _outcome(call_id: str, handoff: Handoff, outcome: TransferOutcome) -> schemas.TransferAnswer:
        ended, name = outcome.termination, handoff.name
        if ended is None and handoff.kind == "warm":
            reason = f"no human agent of {name} took the call; the caller stays with the AI"
            raise RefusedError(409, "nobody_found", reason)
        if ended is None:
            reason = f"Asterisk refused the transfer to {name}; the caller stays with the AI"
            raise RefusedError(
                502, "not_transferred", reason, remedy="The service's log says why (call.transfer_failed)"
            )
        if ended.result is not Result.TRANSFERRED:
            reason = f"the call ended before the transfer: {ended.result.value} ({ended.reason})"
            raise RefusedError(409, "call_ended", reason)
        went = outcome.went
        if went is not None and (went.name, went.by) != (name, handoff.by):
            raise RefusedError(409, "moved_elsewhere", f"{went.by} transferred the caller to {went.name}")
        return schemas.TransferAnswer(id=call_id, to=name, state="transferred")

    def whisper(self, call_id: str, text: str, by: str, *, now: bool) -> schemas.WhisperAnswer:
        """Tell the model something. Raises RefusedError."""
        call, told = self.find(call_id), clean(text)
        if not told:
            raise RefusedError(422, "bad_body", "text is empty")
        try:
            call.whisper(told, by, now=now)
        except CallStateError as error:
            raise RefusedError(409, "wrong_state", str(error)) from None
        return schemas.WhisperAnswer(id=call_id, told=told)

    def find(self, call_id: str) -> Call:
        """The call with this id, if it is in progress. Raises RefusedError."""
        if (call := self.registry.find(call_id)) is None:
            raise self._no_call(call_id)
        return call

    @staticmethod
    def _no_call(call_id: str) -> RefusedError:
        reason = f"no active call {call_id[:64]}"
        return RefusedError(404, "unknown_call", reason, remedy="GET /v1/calls lists the active calls")

    async def _place(self, wanted: schemas.TransferBody) -> tuple[str, DestinationSettings]:
        """The place of a transfer: a destination of the site, or a queue of Asterisk."""
        if (name := wanted.destination) is not None:
            if (place := self.destinations.get(name)) is None:
                raise self._unknown("destination", name, list(self.destinations))
            return name, place
        assert wanted.queue is not None
        for name, place in self.destinations.items():
            if place.queue is not None and place.queue.lower() == wanted.queue.lower():
                return name, place
        known: list[str] = []
        if self.pool is not None:
            try:
                if await self.pool.find_queue(wanted.queue):
                    queue = self.pool.queues.name_of(wanted.queue) or wanted.queue
                    return queue, DestinationSettings(queue=queue, description=queue)
            except AmiError as error:
                cause = error if self.pool.connected else "no connection to the manager interface"
                reason = f"it is not known whether queue {wanted.queue} exists: {cause}"
                remedy = "Try again when /healthz says that the manager interface is connected"
                raise RefusedError(503, "queues_unknown", reason, remedy=remedy) from None
            known = self.pool.queues.names
        raise self._unknown("queue", wanted.queue, sorted({*known, *self._configured_queues()}))

    def _configured_queues(self) -> list[str]:
        return [place.queue for place in self.destinations.values() if place.queue is not None]

    @staticmethod
    def _unknown(kind: str, name: str, known: list[str]) -> RefusedError:
        remedy = f"There are: {', '.join(known)}" if known else f"The settings name no {kind}"
        return RefusedError(
            404, f"unknown_{kind}", f"there is no {kind} {name}{did_you_mean(name, known)}", remedy=remedy
        )

    # -- the service ------------------------------------------------------------------------------

    def drain(self, wanted: schemas.DrainBody, by: str) -> schemas.DrainAnswer:
        """Begin to end. A second time changes what it says, and nothing else."""
        calls = len(self.registry)
        plan = self._drain(wanted.to, wanted.after_s)
        fields = {"by": by, "calls": calls, "to": plan.to, "after_s": round(plan.after_s, 1)}
        log.info("control.drain_requested", extra={"fields": fields})
        timeout_s = round(plan.after_s, 3)
        return schemas.DrainAnswer(calls=calls, timeout_s=timeout_s, to=plan.to, process=self._process)

    # -- seats ------------------------------------------------------------------------------------

    async def pause(self, seat: str | None, *, paused: bool) -> schemas.PausedAnswer:
        """Pause seats, or end that. Raises RefusedError."""
        pool = self.pool
        if pool is None:
            remedy = "Give the service access to it: ami, in its settings"
            raise RefusedError(503, "no_manager", "seats are paused through the manager interface", remedy=remedy)
        if not pool.seats.known:
            reason = "the seats are not known: no connection to the manager interface"
            raise RefusedError(503, "seats_unknown", reason, remedy="Try again when /healthz says that it is connected")
        number = None if seat is None else seat.zfill(2)
        numbers = pool.pause(number) if paused else pool.resume(number)
        if not numbers:
            known = sorted({each.number for each in pool.seats.view()})
            there = f"There are: {known[0]} to {known[-1]}" if known else "The queues have no seats: see queues.conf"
            reason = "there are no seats" if number is None else f"there is no seat {number}"
            raise RefusedError(404, "unknown_seat", reason, remedy=there)
        began = time.monotonic()
        try:
            async with asyncio.timeout(SETTLE_LIMIT_S):
                await pool.settled.wait()
        except TimeoutError:
            log.warning("control.seats_not_settled", extra={"fields": {"after_s": round(time.monotonic() - began, 1)}})
        return schemas.PausedAnswer(seats=numbers, paused=paused, settled=pool.settled.is_set())
