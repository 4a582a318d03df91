"""The search for a colleague who takes the caller over, while caller and agent go on talking (warm hand-off)."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from ariagent.ari.events import Channel
from ariagent.call import events as ev
from ariagent.call.colleague import Colleague
from ariagent.call.context import Context
from ariagent.dialogue.handoff import Handoff, caller_id, found_note, not_found_note, waiting_note
from ariagent.call.talk import Talk
from ariagent.errors import AriError, AsteriskError
from ariagent.logs import CallLog

REASSURE_EVERY_S = 30.0
"""How often a caller hears that a colleague is still being looked for."""
BRIEF_WAIT_S, BRIEF_LIMIT_S = 3.0, 60.0
"""How long somebody who has answered waits for the summary to begin, and to end."""


class Search:
    """Of one call; one at a time. When somebody has heard what it is about, HandoffRequested goes to ``feed``."""

    def __init__(
        self, context: Context, log: CallLog, feed: Callable[[ev.Event], None], changed: Callable[[], None]
    ) -> None:
        self._context = context
        self.log = log
        self._feed = feed
        self._changed = changed
        self._colleague: Colleague | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def goes_on(self) -> bool:
        """Somebody is being called, or told what it is about."""
        return self._colleague is not None

    @property
    def brief_failed(self) -> bool:
        """Somebody has answered, and Asterisk could not play them the summary."""
        return self._colleague is not None and self._colleague.briefed is False

    def owns(self, channel_id: str) -> bool:
        """Whether this is one of the two halves of the leg that looks for somebody."""
        colleague = self._colleague
        return colleague is not None and channel_id in (colleague.channel, colleague.queue_call)

    def begin(self, talk: Talk, handoff: Handoff, call_id: str, leg: str, caller: Channel) -> None:
        """Look for somebody at ``handoff``'s destination, for the caller on channel ``leg``."""
        if self._task is None or self._task.done():
            self._colleague = Colleague(self._context.ari, handoff)
            self._task = asyncio.ensure_future(self._run(talk, self._colleague, call_id, leg, caller))

    def cancel(self) -> None:
        """Look for nobody any more."""
        if self._task is not None:
            self._task.cancel()

    async def end(self, why: str) -> None:
        """Stop, and hang up whom the caller was not joined with."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._drop(why)

    def join(self) -> str:
        """The caller is about to be joined with who was found; returns the call's id in the people's queue.

        Raises AsteriskError when they are gone again.
        """
        colleague = self._colleague
        if colleague is None or colleague.gone:
            raise AsteriskError("the colleague has hung up again")
        colleague.joined = True  # they may be with the caller before we hear of it
        return colleague.queue_call

    async def _run(self, talk: Talk, colleague: Colleague, call_id: str, leg: str, caller: Channel) -> None:
        handoff = colleague.handoff
        self._context.router.register(colleague.channel, colleague.on_ari)
        self.log.event("colleague.called", destination=handoff.name, queue_call=colleague.queue_call)
        self._changed()
        reassuring = asyncio.ensure_future(_reassure(talk))
        why = "CANCELLED"
        try:
            talk.prepare_brief(handoff)
            talk.wait_for_colleague()
            why = await self._ask(talk, colleague, call_id, leg, caller)
        except AriError as error:
            why = "FAILED"
            self.log.event("colleague.failed", logging.WARNING, cause=error.line)
        except Exception:
            why = "FAILED"
            self.log.exception("call.fault")
        finally:
            reassuring.cancel()
            if why:
                await self._drop(why)
        if why:
            talk.tell(not_found_note(handoff.name, why))
        else:
            self._feed(ev.HandoffRequested(replace(handoff, joins=colleague.name)))

    async def _ask(self, talk: Talk, colleague: Colleague, call_id: str, leg: str, caller: Channel) -> str:
        """Returns "" when somebody has heard what it is about, else why not. Raises AriError."""
        handoff = colleague.handoff
        shown = caller_id(f"{handoff.destination.name_prefix}{caller.caller_name}", caller.caller_number)
        variables = handoff.screen_pop(call_id, talk.language)
        leg_name = await self._context.ari.channel_name(leg)
        if why := await colleague.call(shown, leg, leg_name, variables):
            return why
        self.log.event("colleague.answered", destination=handoff.name)
        talk.tell(found_note())
        summary = talk.summary
        if summary is not None and not await summary.written(BRIEF_WAIT_S):
            self.log.event("brief.not_spoken", logging.WARNING, cause="the model did not speak it in time")
        elif summary is not None:
            stayed = await colleague.brief(summary.path, BRIEF_LIMIT_S)
            self._context.briefs.tried(colleague.briefed)
            if stayed and colleague.briefed is False:
                self._context.briefs.failed(self.log)
            return "" if stayed else "GONE"
        return "GONE" if colleague.gone else ""

    async def _drop(self, why: str) -> None:
        colleague, self._colleague = self._colleague, None
        if colleague is None:
            return
        self._context.router.unregister(colleague.channel)
        if colleague.joined and why == "ENDED":
            return
        colleague.joined = False
        self.log.event("colleague.dropped", destination=colleague.handoff.name, why=why)
        self._context.metrics.transfers.labels(colleague.handoff.kind, "failed").inc()
        self._changed()
        try:
            await colleague.close()
        except AriError as error:
            self.log.event("call.not_released", logging.ERROR, cause=error.line)


async def _reassure(talk: Talk) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(REASSURE_EVERY_S)
        talk.tell(waiting_note(time.monotonic() - began))
