"""The calls of this process: admission, and who serves which channel."""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace

from ariagent.ami import events as ami
from ariagent.ari.client import TRIAL_PREFIX, NotFoundError
from ariagent.ari.events import StasisEnded, StasisStarted
from ariagent.call import presentation
from ariagent.call.arrival import Arrival
from ariagent.call.call import Call
from ariagent.call.context import Context
from ariagent.call.dialplan import give_back
from ariagent.call.events import LeaveRequested, StopRequested
from ariagent.call.machine import State
from ariagent.call.takeover import LEFT_MEANWHILE, SERVICE_DIED, WARM_PREFIX, InterruptedCall, arguments, handed_over
from ariagent.dialogue.introduction import Party
from ariagent.errors import AriError
from ariagent.localtime import day as local_day
from ariagent.metrics import NO_AGENT
from ariagent.records.events import CallEnded, CallStarted
from ariagent.reminder import Reminder
from ariagent.termination import Result, Termination

log = logging.getLogger(__name__)

MEDIA_PREFIX = "AudioSocket/"
SEAT, RETURNED = "seat", "returned"
AT_THEIR_END = (State.SAYING_GOODBYE, State.TRANSFERRING, State.ENDING)
SETTLE_S, SETTLE_LOOK_S = 3.0, 0.05
"""Longest wait for calls that are ending before the service leaves."""
LEAVE_LIMIT_S = 2.0
"""Longest wait, in silence, for requests to Asterisk that are still open then."""
LOOK_AGAIN_S = (1.0, 2.0, 5.0)
"""Pauses before Asterisk is asked again about what it did not let go; the last one again and again."""


def arrival_of(event: StasisStarted) -> Arrival:
    """Read the arguments of ``Stasis(ariagent,...)``: ``[agent]``, ``seat,NN`` or ``returned,QUEUE,STATUS``."""
    match event.args:
        case (word, number, *_) if word == SEAT:
            return Arrival(event.channel, agent=None, seat=number)
        case (word, *_) if word in (SEAT, RETURNED):
            return Arrival(event.channel, agent=None, seat=None)
        case (agent, *_) if agent:
            return Arrival(event.channel, agent=agent, seat=None)
    return Arrival(event.channel, agent=None, seat=None)


class Calls:
    """Every call that is being served. ``context`` is made by the service once its peers are up."""

    def __init__(self, make_context: Callable[[], Context]) -> None:
        self._make_context = make_context
        self._calls: dict[Call, asyncio.Task[None]] = {}
        self._admitting = True
        self._leaving = False
        self._none_left = asyncio.Event()
        self._none_left.set()
        self._sweeps: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._reminder = Reminder()
        self.watchers: list[Callable[[Call], None]] = []
        """Told of every call that begins, changes or ends. They must not block."""

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def calls(self) -> Iterable[Call]:
        return tuple(self._calls)

    def find(self, call_id: str) -> Call | None:
        """The call with this id, if it is being served."""
        return next((call for call in self._calls if call.call_id == call_id and not call.over), None)

    def _changed(self, call: Call) -> None:
        for watcher in self.watchers:
            try:
                watcher(call)
            except Exception:
                log.exception("call.watcher_failed", extra={"fields": {"call": call.call_id}})

    def transferred(self, event: ami.Event) -> None:
        """The manager interface tells something; of interest is that a seat's caller is another one now."""
        for call in self.calls:
            match event:
                case ami.AttendedTransferred():
                    call.attended(event)
                case ami.BlindTransferred():
                    call.sent_elsewhere(event)

    def channel_entered(self, event: StasisStarted) -> None:
        """A channel that nobody waits for entered our application."""
        context = self._make_context()
        if event.channel.id.startswith(TRIAL_PREFIX):
            return  # one that came late, of a trial that is over and has it hung up
        if event.channel.name.startswith(MEDIA_PREFIX) or event.channel.id.startswith(WARM_PREFIX):
            self._spawn(self._discard(context, event.channel.id))
            return
        # If a channel once took another's place, Asterisk says so again whenever the dialplan lets it enter.
        if event.replaces is not None and event.channel.app_name != "Stasis":
            # It took the place of a participant whose call is over: no new call of somebody's.
            self._spawn(self._turn_away(context, event, Termination(Result.ERROR, "late_transfer")))
            return
        if refusal := self._refusal(context):
            self._spawn(self._turn_away(context, event, Termination(Result.BUSY, refusal)))
            return
        self._begin(context, arrival_of(event))

    def _begin(self, context: Context, arrival: Arrival) -> None:
        call = Call(context, arrival, self._changed, self._converses)
        # At once: the next event of the stream may be about this channel already.
        context.router.register(call.leg, call.on_ari)
        self._none_left.clear()
        self._calls[call] = asyncio.create_task(self._serve(context, call), name=f"call {call.leg}")

    def _converses(self, linked_id: str, name: str) -> bool:
        return any(call.converses(linked_id, name) for call in self._calls)

    def _served(self, channel_id: str) -> bool:
        return any(call.owns(channel_id) for call in self._calls)

    def _refusal(self, context: Context) -> str:
        """Why no new call is taken, or nothing."""
        if not self._admitting:
            return "stopping"
        serving, now = sum(not call.over for call in self._calls), time.time()
        return context.admission.refusal(serving, now, local_day(now, context.settings.zone)) or (
            "over_daily_cap" if context.spending.over_cap else "overloaded" if context.overloaded() else ""
        )

    async def _serve(self, context: Context, call: Call) -> None:
        context.metrics.active.inc()
        try:
            termination = await call.run()
        except Exception:
            log.exception("call.fault", extra={"fields": {"call": call.call_id}})
            call.stuck = True  # nobody knows what is left: it is looked for
            termination = Termination(Result.ERROR, "fault")
        finally:
            context.metrics.active.dec()
            self._calls.pop(call, None)
            self._changed(call)
            if not self._calls:
                self._none_left.set()
            if call.stuck:
                self._look_again()
        if termination.result is not Result.LEFT:
            context.metrics.ended(termination, call.agent)

    async def _turn_away(self, context: Context, event: StasisStarted, termination: Termination) -> None:
        """Send a caller who is not served to the human queue."""
        channel, now = event.channel.id, time.time()
        call_id, caller = channel, Party.of(event.channel.caller_number, event.channel.caller_name)
        try:
            names = ("CHANNEL(linkedid)", presentation.NUMBER)
            linked_id, shown = await asyncio.gather(*(context.ari.get_variable(channel, name) for name in names))
            call_id, caller = linked_id or channel, presentation.shown(caller, {presentation.NUMBER: shown})
        except AriError:
            caller = Party()
        ended = CallEnded(result=termination.result.value, reason=termination.reason)
        log.warning(ended.NAME, extra={"fields": {"call": call_id, **ended.for_log()}})
        record = context.journal.begin(call_id, now)
        record.tell(CallStarted(channel, "-", "-", caller.number or "-"), now)
        record.tell(ended, now)
        context.metrics.ended(termination)
        try:
            await give_back(context.ari, channel, termination.result, served=lambda: self._served(channel))
        except AriError as error:
            log.error("call.return_failed", extra={"fields": {"call": call_id, "cause": error.line}})
            self._look_again()

    async def _discard(self, context: Context, channel_id: str) -> None:
        """A media channel of a call that is over, or of a process that died."""
        try:
            await context.ari.hang_up(channel_id)
        except NotFoundError:
            pass
        except AriError as error:
            log.warning("media.discard_failed", extra={"fields": {"channel": channel_id, "cause": error.line}})

    async def take_over(self, interrupted: Iterable[InterruptedCall]) -> None:
        """Continue the calls that a former process left behind; calls that are over are recorded as ended.

        Media and bridges of theirs are left to ``catch_up``. Raises AriError when Asterisk does not say what there is.
        """
        context = self._make_context()
        known = {call.leg: call for call in interrupted}
        channels, _ = await context.ari.application()
        if self._admitting:
            await asyncio.gather(*(self._take_over(context, channel_id, known) for channel_id in channels))
        for call in known.values():
            if call.leg not in channels and call.dead and call.row is not None:
                died = call.unfinished is None
                ended = Termination(Result.ERROR, SERVICE_DIED) if died else Termination(Result.DONE, LEFT_MEANWHILE)
                event = CallEnded(result=ended.result.value, reason=ended.reason)
                level = logging.WARNING if died else logging.INFO
                log.log(level, event.NAME, extra={"fields": {"call": call.call_id, **event.for_log()}})
                context.journal.resume(call.row, call.call_id, call.began).tell(event, call.last_at)
                if call.answered is not None:
                    context.admission.add(call.answered, call.last_at, unknown=not call.caller)
                context.metrics.ended(ended, call.agent if call.agent in context.settings.agents else NO_AGENT)

    async def _take_over(self, context: Context, channel_id: str, known: Mapping[str, InterruptedCall]) -> None:
        try:
            channel = await context.ari.channel(channel_id)
        except AriError as error:
            self._not_released("channel", channel_id, error)
            return
        args, resumes = arguments(channel, context.settings.asterisk.app), known.get(channel_id)
        # Asked now: it may have entered just now.
        if (args is None and resumes is None) or self._served(channel_id):
            return
        entered = StasisStarted(channel, args or ())
        if resumes is None and channel.state != "Up":
            self.channel_entered(entered)
            return
        if resumes is None:
            now = time.time()
            resumes = InterruptedCall("", began=now, answered=now, last_at=now)
        if resumes.caller not in ("", channel.caller_number):
            entered = replace(entered, channel=replace(channel, caller_number=resumes.caller, caller_name=""))
        arrival = arrival_of(entered)
        self._begin(context, replace(arrival, agent=resumes.agent or arrival.agent, resumes=resumes))

    async def catch_up(self) -> None:
        """Compare with what Asterisk has: after a (re)connection, events may have been missed.

        Calls whose channel is gone end; what a dead process left behind goes back to the dialplan, later where Asterisk
        does not let it go now. Raises AriError when Asterisk does not say what there is.
        """
        if not await self._compare():
            self._look_again()

    def _look_again(self) -> None:
        """Look again and again until nothing is left in Asterisk that nobody serves: no event may tell of it."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(self._compare_again())

    async def _compare_again(self) -> None:
        for pause in itertools.chain(LOOK_AGAIN_S, itertools.repeat(LOOK_AGAIN_S[-1])):
            await asyncio.sleep(pause)
            try:
                if await self._compare():
                    return
            except AriError as error:
                if self._reminder.due(error.line, time.monotonic()):
                    log.warning("ari.catch_up_failed", extra={"fields": {"cause": error.line}})

    async def _compare(self) -> bool:
        """Returns whether nothing is left that nobody serves. Raises AriError."""
        if self._leaving:
            return True  # what nobody serves is for the next process
        context = self._make_context()
        # A call that begins, or changes its leg, while Asterisk answers is not in the answer.
        legs = [(call, call.leg) for call in self._calls]
        channels, bridges = await context.ari.application()
        bridges += await context.ari.bridges_made()
        present = {channel_id for channel_id in channels if not channel_id.startswith(TRIAL_PREFIX)}
        for call, leg in legs:
            if leg not in present:
                call.on_ari(StasisEnded(leg))  # which is not about the call's leg any more if that has changed
        swept = await asyncio.gather(*(self._sweep(context, channel_id) for channel_id in present))
        for bridge_id in set(bridges):
            if self._served(bridge_id) or any(call.media.bridge == bridge_id for call in self._calls):
                continue
            try:
                await context.ari.destroy_bridge(bridge_id)
            except AriError as error:
                swept.append(self._not_released("bridge", bridge_id, error))
        return all(swept)

    async def _sweep(self, context: Context, channel_id: str) -> bool:
        try:
            channel = await context.ari.channel(channel_id)
            # Asked now: a call may have begun since the list was made.
            if handed_over(channel) or self._served(channel_id):
                return True
            if self._reminder.due(channel_id, time.monotonic()):
                log.warning("orphan_call.found", extra={"fields": {"channel": channel_id, "name": channel.name}})
            if channel.name.startswith(MEDIA_PREFIX) or channel_id.startswith(WARM_PREFIX):
                await context.ari.hang_up(channel_id)
            else:
                await give_back(context.ari, channel_id, Result.ERROR, served=lambda: self._served(channel_id))
        except AriError as error:
            return self._not_released("channel", channel_id, error)
        return True

    def _not_released(self, kind: str, name: str, error: AriError) -> bool:
        """One that Asterisk does not let go must not keep the others, or the service, from continuing; returns whether
        it is gone. It is tried every few seconds, and told seldom."""
        if gone := isinstance(error, NotFoundError):
            return gone
        if self._reminder.due(f"{name}: {error.line}", time.monotonic()):
            log.warning("orphan_call.not_released", extra={"fields": {kind: name, "cause": error.line}})
        return False

    def refuse_new(self) -> None:
        """Refuse every new call as busy from now on."""
        self._admitting = False

    async def drained(self) -> None:
        """Wait until no call is left."""
        await self._none_left.wait()

    async def stop(self) -> None:
        """End every call: callers go back to the dialplan. Returns when all is given back."""
        self.refuse_new()
        for call in self.calls:
            call.feed(StopRequested())
        await self.drained()
        if self._looking is not None:
            self._looking.cancel()
        if self._sweeps:
            await asyncio.wait(self._sweeps)

    async def leave(self) -> None:
        """Serve no call any more, and leave them in Asterisk as they are, for the next process to continue."""
        self.refuse_new()
        await self._settle()
        self._leaving = True
        if self._looking is not None:
            self._looking.cancel()
        for call in self.calls:
            call.feed(LeaveRequested())
        try:
            async with asyncio.timeout(LEAVE_LIMIT_S):
                await self.drained()
                await asyncio.gather(*self._sweeps, return_exceptions=True)
        except TimeoutError:
            log.warning("service.calls_left_unfinished", extra={"fields": {"calls": len(self)}})
            unfinished = [*self._calls.values(), *self._sweeps]
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    async def _settle(self) -> None:
        """Let goodbyes be heard and hand-offs be made, for a while, and while the other calls talk on."""
        for call in self.calls:
            if call.state is State.BEFORE_TRANSFER:
                call.feed(LeaveRequested())
        deadline = time.monotonic() + SETTLE_S
        while any(call.state in AT_THEIR_END for call in self._calls) and time.monotonic() < deadline:
            await asyncio.sleep(SETTLE_LOOK_S)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._sweeps.add(task)
        task.add_done_callback(self._sweeps.discard)
