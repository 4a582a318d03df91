"""The calls of this process: admission, and who serves which channel."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable

from ariagent.ari.client import NotFoundError
from ariagent.ari.events import StasisEnded, StasisStarted
from ariagent.call.commands import Result, Termination
from ariagent.call.events import StopRequested
from ariagent.call.runner import Arrival, CallRunner, Context
from ariagent.errors import AriError

log = logging.getLogger(__name__)

MEDIA_PREFIX = "AudioSocket/"
SEAT, RETURNED = "seat", "returned"


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


class Registry:
    """Every call that is being served. ``context`` is made by the service once its peers are up."""

    def __init__(self, make_context: Callable[[], Context]) -> None:
        self._make_context = make_context
        self._calls: dict[CallRunner, asyncio.Task[None]] = {}
        self._admitting = True
        self._none_left = asyncio.Event()
        self._none_left.set()
        self._sweeps: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def calls(self) -> Iterable[CallRunner]:
        return tuple(self._calls)

    def channel_entered(self, event: StasisStarted) -> None:
        """A channel that nobody waits for entered our application."""
        context = self._make_context()
        if event.channel.name.startswith(MEDIA_PREFIX):
            self._spawn(self._discard(context, event.channel.id))
            return
        if not self._admitting or len(self._calls) >= context.settings.max_calls:
            self._spawn(self._refuse(context, event))
            return
        call = CallRunner(context, arrival_of(event))
        self._none_left.clear()
        self._calls[call] = asyncio.create_task(self._serve(context, call), name=f"call {event.channel.id}")

    async def _serve(self, context: Context, call: CallRunner) -> None:
        context.metrics.active.inc()
        try:
            termination = await call.run()
        except Exception:
            log.exception("call.fault", extra={"fields": {"call": call.call_id}})
            termination = Termination(Result.ERROR, "fault")
        finally:
            context.metrics.active.dec()
            self._calls.pop(call, None)
            if not self._calls:
                self._none_left.set()
        context.metrics.ended(termination)

    async def _refuse(self, context: Context, event: StasisStarted) -> None:
        """Full, or stopping: the caller goes to people."""
        reason = "full" if self._admitting else "stopping"
        fields = {"call": event.channel.id, "result": "busy", "reason": reason}
        log.warning("call.ended", extra={"fields": fields})
        context.metrics.ended(Termination(Result.BUSY, reason))
        try:
            await context.ari.set_variable(event.channel.id, "ARIAGENT_RESULT", Result.BUSY.value)
            await context.ari.continue_in_dialplan(event.channel.id)
        except AriError as error:
            if not isinstance(error, NotFoundError):
                log.warning("call.not_returned", extra={"fields": {"call": event.channel.id, "cause": error.line}})

    async def _discard(self, context: Context, channel_id: str) -> None:
        """A media channel of a call that is over, or of a process that died."""
        try:
            await context.ari.hang_up(channel_id)
        except NotFoundError:
            pass
        except AriError as error:
            log.warning("media.not_discarded", extra={"fields": {"channel": channel_id, "cause": error.line}})

    async def catch_up(self) -> None:
        """Compare with what Asterisk has: after a (re)connection, events may have been missed.

        Calls whose channel is gone end; what a dead process left behind goes back to the dialplan.
        """
        context = self._make_context()
        # A call that begins, or changes its leg, while Asterisk answers is not in the answer.
        legs = [(call, call.leg) for call in self._calls]
        channels, bridges = await context.ari.application()
        present = set(channels)
        for call, leg in legs:
            if leg not in present:
                call.on_ari(StasisEnded(leg))  # which is not about the call's leg any more if that has changed
        for channel_id in present:
            await self._sweep(context, channel_id)
        live = {call.media.bridge for call in self._calls}
        for bridge_id in set(bridges) - live:
            try:
                await context.ari.destroy_bridge(bridge_id)
            except AriError as error:
                self._not_swept("bridge", bridge_id, error)

    async def _sweep(self, context: Context, channel_id: str) -> None:
        try:
            name = await context.ari.channel_name(channel_id)
            # Asked now: a call may have begun since the list was made.
            if any(channel_id in (call.leg, call.media.channel) for call in self._calls):
                return
            log.warning("call.left_behind", extra={"fields": {"channel": channel_id, "name": name}})
            if name.startswith(MEDIA_PREFIX):
                await context.ari.hang_up(channel_id)
            else:
                await context.ari.set_variable(channel_id, "ARIAGENT_RESULT", Result.ERROR.value)
                await context.ari.continue_in_dialplan(channel_id)
        except AriError as error:
            self._not_swept("channel", channel_id, error)

    @staticmethod
    def _not_swept(kind: str, name: str, error: AriError) -> None:
        """One that Asterisk does not let go must not keep the others, or the service, from going on."""
        if not isinstance(error, NotFoundError):
            log.warning("call.not_swept", extra={"fields": {kind: name, "cause": error.line}})

    def refuse_new(self) -> None:
        """From now on every new call is told that we are busy."""
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
        if self._sweeps:
            await asyncio.wait(self._sweeps)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._sweeps.add(task)
        task.add_done_callback(self._sweeps.discard)
