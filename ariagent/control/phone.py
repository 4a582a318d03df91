"""Supervisors at their phones: answers what ``dialplan/ariagent-supervisor.conf`` asks by UserEvent.

A UserEvent comes from the dialplan, or from a user of the manager interface with the class ``user``; callers cannot
send one, and nothing in it is taken from them. The answer is a variable of the channel that asks.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress

from pydantic import ValidationError

from ariagent.ami.events import Event, UserEvent
from ariagent.ami.protocol import Value
from ariagent.call.handoff import Handoff, clean
from ariagent.call.machine import State
from ariagent.call.registry import Registry
from ariagent.config import Settings
from ariagent.config.handoff import DestinationSettings
from ariagent.errors import AmiError, CallStateError
from ariagent.pool.pool import Pool

log = logging.getLogger(__name__)

USER_EVENT = "AriagentSupervisor"
ANSWER = "ARIAGENT_ANSWER"
DONE, REFUSED, NONE = "done", "refused", "none"
AUDIBLE = (State.TALKING, State.DRAINING, State.PARTING)
SPOKEN_DIGITS = 4

HEARD = ("listen", "whisper", "barge")
"""How a supervisor is with a call; ``leave`` ends it."""
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

    def __init__(self, settings: Settings, pool: Pool, calls: Registry) -> None:
        self._settings = settings
        self._pool = pool
        self._calls = calls
        self._tasks: set[asyncio.Task[None]] = set()
        pool.listeners.append(self._hear)

    def _hear(self, event: Event) -> None:
        if not isinstance(event, UserEvent) or event.name != USER_EVENT:
            return
        fields = event.fields
        do, by = fields.get("do", ""), f"phone {clean(fields.get('by')) or '-'}"
        if do == REFUSED:
            log.warning("supervisor.refused", extra={"fields": {"by": by, "channel": fields.get("channel", "")}})
        elif do in HEARD or do == "leave":
            self._present(do, fields, by)
        else:
            self._answer(fields.get("channel", ""), self._asked(do, fields, by))

    async def close(self) -> None:
        """Wait for the answers that are on their way; each has a bound."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    # -- what is asked -----------------------------------------------------------------------------

    def _asked(self, do: str, fields: Mapping[str, str], by: str) -> str:
        if do == "next":
            return self._next(fields.get("after", ""))
        call = self._calls.find(fields.get("call", ""))
        if call is None:
            return REFUSED
        try:
            call.hand_off(self._handoff(do, fields, by))
        except (CallStateError, ValidationError, LookupError) as error:
            cause = "; ".join(str(error).split("\n")[:3])
            log.warning("supervisor.not_done", extra={"fields": {"call": call.call_id, "do": do, "cause": cause}})
            return REFUSED
        return DONE

    def _next(self, after: str) -> str:
        """The oldest call that came after this one did, else the oldest."""
        calls = [(f"{call.live().arrived:.6f}", call) for call in self._calls.calls if call.state in AUDIBLE]
        calls.sort(key=lambda found: found[0])
        if not calls:
            return NONE
        at = next((place for place, (came, _) in enumerate(calls) if came > after), 0)
        came, call = calls[at]
        digits = "".join(c for c in call.live().caller_number if c in "0123456789")[-SPOKEN_DIGITS:]
        return "&".join(("call", call.media.channel, call.call_id, came, str(at + 1), str(len(calls)), digits))

    def _handoff(self, do: str, fields: Mapping[str, str], by: str) -> Handoff:
        """Raises LookupError, ValidationError."""
        to = fields.get("to", "")
        reason = f"moved by {by}"
        if do == "queue":
            return Handoff(to, DestinationSettings(queue=to, description="people"), by, reason)
        if do == "destination" and to in self._settings.destinations:
            return Handoff(to, self._settings.destinations[to], by, reason)
        if do == "take" and (channel := fields.get("channel")):
            phone = DestinationSettings(extension=to, description="the supervisor")
            return Handoff("supervisor", phone, by, reason, joins=channel)
        raise LookupError(f"there is no {do} {to}")

    def _present(self, mode: str, fields: Mapping[str, str], by: str) -> None:
        """A supervisor is with a call in another way than before: a record says so, and the model whom it will hear."""
        call = self._calls.find(fields.get("call", ""))
        if call is None:
            return
        call.log.event("call.supervised", mode=mode, by=by)
        words = COMES.get(mode) or (GOES if fields.get("was") in COMES else "")
        if words:
            with suppress(CallStateError):
                call.whisper(words, by)

    def _answer(self, channel: str, answer: str) -> None:
        task = asyncio.ensure_future(self._set(channel, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _set(self, channel: str, answer: str) -> None:
        fields: dict[str, Value] = {"Channel": channel, "Variable": ANSWER, "Value": answer}
        try:
            await self._pool.client.action("Setvar", **fields)
        except AmiError as error:
            log.warning("supervisor.not_answered", extra={"fields": {"channel": channel, "cause": error.line}})
