"""Supervisors at their phones: answers what ``dialplan/supervisor.conf`` asks by UserEvent.

An event counts only with the key that the service keeps in Asterisk (``phonekey``): other programs may send a
UserEvent, and a caller's number may look like one. The answer is a variable of the channel that asks.
"""

import asyncio
import logging
import secrets
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from ariagent import complaints
from ariagent.ami.client import AmiClient
from ariagent.ami.events import Event, UserEvent
from ariagent.ami.protocol import Value
from ariagent.call.machine import AUDIBLE
from ariagent.config.handoff import DestinationSettings
from ariagent.control.errors import RefusedError
from ariagent.control.phonekey import FIELD, VARIABLE, PhoneKey
from ariagent.control.schemas import TransferBody
from ariagent.control.supervision import Supervision
from ariagent.dialogue.handoff import Handoff, clean
from ariagent.errors import AmiError, CallStateError
from ariagent.lograte import LineBudget
from ariagent.records.events import Supervised

log = logging.getLogger(__name__)

USER_EVENT = "AriagentSupervisor"
ANSWER = "ARIAGENT_ANSWER"
DONE, REFUSED, NONE = "done", "refused", "none"
SPOKEN_DIGITS = 4
MOST_WAITING = 16
"""Events with a wrong key that wait until the variable was read again; more are refused at once."""
MOST_READS = 3
LONGEST_CHANNEL = 100
KEY_REMEDY = "Run `ariagent install --apply`: the dialplan of this version sends the key"

PRESENT = ("listen", "whisper", "barge", "leave")
"""A supervisor's mode in a call; the last one ends it."""
COMES = {
    "whisper": "from now on you may hear my voice beside the caller's. The caller does not hear me. Do not answer me; "
    "act on what I say in what you say to the caller.",
    "barge": "I am joining the conversation by voice, and the caller hears me too. Let me lead it; "
    "keep to a few words.",
}
GOES = "I do not speak any more; what you hear now is the caller alone."
"""The words to the model when a supervisor's voice comes in, and when it goes."""


class SupervisorPhones:
    """A subscriber of the AMI connection; ``close`` ends what is under way."""

    def __init__(self, supervision: Supervision, ami: AmiClient, app: str) -> None:
        """``app``: the service's Stasis application. Phones that ask another one are not answered."""
        self._app = app
        self._supervision = supervision
        self._ami = ami
        self._tasks: set[asyncio.Task[None]] = set()
        self._key = PhoneKey(secrets.token_hex(16))
        self._reading = asyncio.Lock()
        self._waiting = 0
        self._lines = LineBudget()
        ami.subscribe(self._hear, on_connected=self._read_key)

    async def close(self) -> None:
        """Wait for the answers that are on their way; each has a bound."""
        while self._tasks:  # a key that had to be read again has an answer after it
            await asyncio.wait(self._tasks)

    def _hear(self, event: Event) -> None:
        if not isinstance(event, UserEvent) or event.name != USER_EVENT:
            return
        if (event.fields.get("app") or self._app) != self._app:
            return
        if self._key.fits(event.fields.get(FIELD, "")):
            self._believe(event.fields)
        elif self._waiting < MOST_WAITING:
            self._waiting += 1
            self._begin(self._doubt(event.fields))
        else:
            self._refuse(event.fields)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- whose events they are -------------------------------------------------------------------------

    async def _doubt(self, fields: Mapping[str, str]) -> None:
        """The key may be another service's, or Asterisk may have forgotten it: read it again, and judge then."""
        try:
            async with self._reading:
                if self._key.look_due(asyncio.get_running_loop().time()):
                    await self._read_key()
        finally:
            self._waiting -= 1
        if self._key.fits(fields.get(FIELD, "")):
            self._believe(fields)
        else:
            self._refuse(fields)

    async def _read_key(self) -> None:
        """Make the key known to the dialplan, or learn another service's."""
        try:
            for _ in range(MOST_READS):
                answer = await self._ami.action("Getvar", Variable=VARIABLE)
                if (value := self._key.found(answer.get("value", ""))) is None:
                    return
                # Read again afterwards: another service may have set it at the same moment.
                await self._ami.action("Setvar", Variable=VARIABLE, Value=value)
        except AmiError as error:
            log.warning("supervisor.key_not_set", extra={"fields": {"cause": error.line}})

    def _refuse(self, fields: Mapping[str, str]) -> None:
        event = "supervisor.wrong_key" if fields.get(FIELD) else "supervisor.key_missing"
        self._warn(event, fields, do=fields.get("do", "")[:32], remedy=KEY_REMEDY)

    def _warn(self, event: str, fields: Mapping[str, str], **more: str) -> None:
        """A line of the log that strangers can cause: of many, some."""
        if (left_out := self._lines.take(asyncio.get_running_loop().time())) is not None:
            told = {"channel": fields.get("channel", "")[:LONGEST_CHANNEL], **more}
            log.warning(event, extra={"fields": told | ({"unlogged": left_out} if left_out else {})})

    def _believe(self, fields: Mapping[str, str]) -> None:
        do, by = fields.get("do", ""), f"phone {clean(fields.get('by')) or '-'}"
        if do == REFUSED:
            self._warn("supervisor.refused", fields, by=by)
        elif do in PRESENT:
            self._present(do, fields, by)
        else:
            self._begin(self._answer(do, fields, by))

    def _present(self, mode: str, fields: Mapping[str, str], by: str) -> None:
        """A supervisor is with a call in another way than before: a record says so, and the model whom it will hear."""
        # They come from a call that is over, too.
        with suppress(RefusedError, CallStateError):
            call = self._supervision.find(fields.get("call", ""))
            call.log.tell(Supervised(mode, by))
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
            log.warning("supervisor.request_failed", extra={"fields": {"call": fields.get("call", ""), **told}})
            answer = REFUSED
        values: dict[str, Value] = {"Channel": channel, "Variable": ANSWER, "Value": answer}
        try:
            await self._ami.action("Setvar", **values)
        except AmiError as error:
            log.warning("supervisor.answer_failed", extra={"fields": {"channel": channel, "cause": error.line}})

    async def _asked(self, do: str, fields: Mapping[str, str], by: str) -> str:
        """The answer to a phone. Raises RefusedError, CallStateError, ValidationError."""
        if do == "next":
            return self._next(fields.get("after", ""))
        call_id, to, reason = fields.get("call", ""), fields.get("to", ""), f"moved by {by}"
        if do == "take":
            phone = DestinationSettings(extension=to, description="the supervisor", kind="blind")
            waits_on = fields.get("channel", "-")
            self._supervision.find(call_id).transfer(Handoff("supervisor", phone, by, reason, joins=waits_on))
            return DONE
        await self._supervision.transfer(call_id, TransferBody.model_validate({do: to, "reason": reason}), by)
        return DONE

    def _next(self, after: str) -> str:
        """The oldest call that came after this one did, else the oldest."""
        running = [
            (f"{call.live().arrived:.6f}", call) for call in self._supervision.registry.calls if call.state in AUDIBLE
        ]
        running.sort(key=lambda found: found[0])
        if not running:
            return NONE
        at = next((place for place, (came, _) in enumerate(running) if came > after), 0)
        came, call = running[at]
        digits = "".join(c for c in call.live().caller_number if c in "0123456789")[-SPOKEN_DIGITS:]
        return "&".join(("call", call.media.channel, call.call_id, came, str(at + 1), str(len(running)), digits))
