"""Supervisors at their phones: answers what ``dialplan/ariagent-supervisor.conf`` asks by UserEvent.

A UserEvent comes from the dialplan, or from a user of the manager interface with the class ``user``; callers cannot
send one, and nothing in it is taken from them. The answer is a variable of the channel that asks.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress

from pydantic import ValidationError

from ariagent import complaints
from ariagent.ami.events import Event, UserEvent
from ariagent.ami.protocol import Value
from ariagent.call.handoff import Handoff, clean
from ariagent.call.machine import AUDIBLE
from ariagent.config.handoff import DestinationSettings
from ariagent.control.desk import Desk
from ariagent.control.refusal import RefusedError
from ariagent.control.shapes import TransferBody
from ariagent.errors import AmiError, CallStateError
from ariagent.pool.pool import Pool

log = logging.getLogger(__name__)

USER_EVENT = "AriagentSupervisor"
ANSWER = "ARIAGENT_ANSWER"
DONE, REFUSED, NONE = "done", "refused", "none"
SPOKEN_DIGITS = 4

PRESENT = ("listen", "whisper", "barge", "leave")
"""How a supervisor is with a call; the last one ends it."""
COMES = {
    "whisper": "from now on you may hear my voice beside the caller's. The caller does not hear me. Do not answer me; "
    "act on what I say in what you say to the caller.",
    "barge": "I am joining the conversation by voice, and the caller hears me too. Let me lead it; "
    "keep to a few words.",
}
GOES = "I do not speak any more; what you hear now is the caller alone."
"""What the model is told when a supervisor's voice comes in, and when it goes."""


class SupervisorPhones:
    """Hears what the pool is told; ``close`` ends what is under way."""

    def __init__(self, desk: Desk, pool: Pool, app: str) -> None:
        """``app``: the service's Stasis application. Phones that ask another one are not answered."""
        self._app = app
        self._desk = desk
        self._pool = pool
        self._tasks: set[asyncio.Task[None]] = set()
        pool.listeners.append(self._hear)

    async def close(self) -> None:
        """Wait for the answers that are on their way; each has a bound."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _hear(self, event: Event) -> None:
        if not isinstance(event, UserEvent) or event.name != USER_EVENT:
            return
        fields = event.fields
        if (fields.get("app") or self._app) != self._app:
            return
        do, by = fields.get("do", ""), f"phone {clean(fields.get('by')) or '-'}"
        if do == REFUSED:
            log.warning("supervisor.refused", extra={"fields": {"by": by, "channel": fields.get("channel", "")}})
        elif do in PRESENT:
            self._present(do, fields, by)
        else:
            task = asyncio.ensure_future(self._answer(do, fields, by))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _present(self, mode: str, fields: Mapping[str, str], by: str) -> None:
        """A supervisor is with a call in another way than before: a record says so, and the model whom it will hear."""
        # They come from a call that is over, too.
        with suppress(RefusedError, CallStateError):
            call = self._desk.find(fields.get("call", ""))
            call.log.event("call.supervised", mode=mode, by=by)
            if words := COMES.get(mode) or (GOES if fields.get("was") in COMES else ""):
                call.whisper(words, by)

    # -- what is asked -----------------------------------------------------------------------------

    async def _answer(self, do: str, fields: Mapping[str, str], by: str) -> None:
        channel = fields.get("channel", "")
        try:
            answer = await self._asked(do, fields, by)
        except (RefusedError, CallStateError, ValidationError) as error:
            wrong = complaints.in_one_line(error, "transfer") if isinstance(error, ValidationError) else str(error)
            told = {"do": do, "by": by, "cause": wrong[:300]}
            log.warning("supervisor.not_done", extra={"fields": {"call": fields.get("call", ""), **told}})
            answer = REFUSED
        values: dict[str, Value] = {"Channel": channel, "Variable": ANSWER, "Value": answer}
        try:
            await self._pool.client.action("Setvar", **values)
        except AmiError as error:
            log.warning("supervisor.not_answered", extra={"fields": {"channel": channel, "cause": error.line}})

    async def _asked(self, do: str, fields: Mapping[str, str], by: str) -> str:
        """The answer to a phone. Raises RefusedError, CallStateError, ValidationError."""
        if do == "next":
            return self._next(fields.get("after", ""))
        call_id, to, reason = fields.get("call", ""), fields.get("to", ""), f"moved by {by}"
        if do == "take":
            phone = DestinationSettings(extension=to, description="the supervisor", kind="blind")
            self._desk.find(call_id).hand_off(
                Handoff("supervisor", phone, by, reason, joins=fields.get("channel", "-"))
            )
            return DONE
        await self._desk.transfer(call_id, TransferBody.model_validate({do: to, "reason": reason}), by)
        return DONE

    def _next(self, after: str) -> str:
        """The oldest call that came after this one did, else the oldest."""
        running = [(f"{call.live().arrived:.6f}", call) for call in self._desk.registry.calls if call.state in AUDIBLE]
        running.sort(key=lambda found: found[0])
        if not running:
            return NONE
        at = next((place for place, (came, _) in enumerate(running) if came > after), 0)
        came, call = running[at]
        digits = "".join(c for c in call.live().caller_number if c in "0123456789")[-SPOKEN_DIGITS:]
        return "&".join(("call", call.media.channel, call.call_id, came, str(at + 1), str(len(running)), digits))
