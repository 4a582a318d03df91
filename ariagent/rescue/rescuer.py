"""Looks whether the service answers, and sends stranded callers to people when it does not for too long."""

import asyncio
import logging
import time
from dataclasses import dataclass

import aiohttp

from ariagent.ami.client import AmiClient
from ariagent.ami.queues import queue_exists
from ariagent.call.archive import unended
from ariagent.call.handoff import clean
from ariagent.call.history import History
from ariagent.config import Settings
from ariagent.errors import AmiError, AmiRefusedError, ConfigurationError
from ariagent.hosts import joined, local
from ariagent.pool.door import CLOSED, state_of
from ariagent.reminder import Reminder
from ariagent.rescue.stranded import Stranded, Way, stranded

log = logging.getLogger(__name__)

LOOK_S = 1.0
AGAIN_S = 5.0
"""While the service stays away: somebody may not have been moved, or have come back from people."""
ANSWER_S = 2.0
"""How long the service may take to say anything at all."""
CONTEXT = "ariagent-handoff"
LAST_RESORT = {"Context": "ariagent-human", "Exten": "human"}
"""Where the dialplan itself finds somebody, or says that nobody is there."""
HUMAN_QUEUE = "ARIAGENT_HUMAN_QUEUE"
NOWHERE = "the last resort"
WAIT_S = 300
"""How long callers wait for people before the dialplan goes on."""
REASON = "The AI agent broke down in the middle of the call"


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of one channel."""

    who: Stranded
    queue: str
    """"" for what was only hung up."""
    cause: str = ""
    """Why it could not be moved."""


class Rescuer:
    """Of one service and its Asterisk. Raises ConfigurationError where the settings do not allow any rescue: now, and
    not when somebody is stranded."""

    def __init__(self, settings: Settings) -> None:
        if settings.ami is None:
            raise ConfigurationError(
                "callers can only be moved through the manager interface", remedy="Fill in the section ami"
            )
        if settings.http.port == 0:
            raise ConfigurationError("whether the service lives is asked at http.port, which is 0", remedy="Set it")
        self._settings = settings
        self._asterisk = AmiClient(settings.ami, lambda event: None)
        self._health = f"http://{joined(local(settings.http.host), settings.http.port)}/healthz"

    async def answers(self) -> bool:
        """Whether there is a service that has its callers.

        One that has lost Asterisk finds it again, and its calls continue meanwhile. One that has been waiting for
        Asterisk since its start (because a password was changed, for instance) serves nobody: whoever is in Asterisk
        is a former process's caller.
        """
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as session,
                session.get(self._health) as answer,
            ):
                health = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError):
            return False
        except ValueError:
            return True  # whatever that is
        return not (isinstance(health, dict) and health.get("started") is False)

    async def silent(self, for_s: float) -> bool:
        """Whether the service is silent all the time for so long; returns as soon as it answers."""
        deadline = time.monotonic() + for_s
        while not await self.answers():
            if time.monotonic() >= deadline:
                return True
            await asyncio.sleep(min(LOOK_S, max(0.0, deadline - time.monotonic())))
        return False

    async def watch(self) -> None:
        """Look for ever, and rescue whenever it is needed."""
        log.info(
            "rescue.watching", extra={"fields": {"service": self._health, "after_s": self._settings.rescue.after_s}}
        )
        while True:
            if not await self.silent(self._settings.rescue.after_s):
                await asyncio.sleep(LOOK_S)
                continue
            log.error("rescue.service_silent", extra={"fields": {"service": self._health}})
            reminder = Reminder()
            while not await self.answers():
                try:
                    await self.rescue()
                except AmiError as error:
                    if reminder.due(error.line, time.monotonic()):
                        log.error("rescue.failed", extra={"fields": {"cause": error.line}})
                await asyncio.sleep(AGAIN_S)
            log.info("rescue.service_back")

    async def rescue(self) -> list[Moved]:
        """Send everybody who is stranded to people now. Raises AmiError when Asterisk cannot be asked."""
        async with self._asterisk.session() as asterisk:
            await self._close_door(asterisk)
            found = stranded(await asterisk.action_list("Status"), self._settings.asterisk.app)
            said = await asyncio.to_thread(_last_words, self._settings) if found else {}
            moved = await asyncio.gather(*(self._move(asterisk, who, said.get(who.call_id, "")) for who in found))
        for one in moved:
            fields = {"call": one.who.call_id, "channel": one.who.channel, "way": one.who.way.value, "queue": one.queue}
            if one.cause:
                log.error("rescue.not_moved", extra={"fields": {**fields, "cause": one.cause}})
            else:
                log.warning("rescue.moved", extra={"fields": fields})
        return list(moved)

    async def _close_door(self, asterisk: AmiClient) -> None:
        """No more callers go to seats that nobody serves. The service opens it again when it is back."""
        try:
            state = f"DEVICE_STATE({state_of(self._settings.asterisk.app)})"
            await asterisk.action("Setvar", Variable=state, Value=CLOSED)
        except AmiRefusedError as error:
            # Those who wait matter more.
            log.warning("rescue.seats_not_closed", extra={"fields": {"cause": error.line}})

    async def _move(self, asterisk: AmiClient, who: Stranded, said: str) -> Moved:
        queue = ""
        try:
            if who.way is Way.HANG_UP:
                await asterisk.action("Hangup", Channel=who.channel)
                return Moved(who, "")
            caller = await self._caller(asterisk, who)
            queue = await self._human_queue(asterisk, caller)
            told = {"__ARIAGENT_CALL": who.call_id, "__ARIAGENT_REASON": REASON, "__ARIAGENT_SUMMARY": said}
            told |= {"ARIAGENT_BRIEF": "", "ARIAGENT_TIMEOUT": str(WAIT_S)}
            set_all = (asterisk.action("Setvar", Channel=caller, Variable=n, Value=v) for n, v in told.items())
            # What it is about matters less than that they get there.
            await asyncio.gather(*set_all, return_exceptions=True)
            where = {"Context": CONTEXT, "Exten": queue} if queue else LAST_RESORT
            if who.way is Way.TRANSFER:
                await asterisk.action("BlindTransfer", Channel=who.moved_by, **where)
            else:
                await asterisk.action("Redirect", Channel=who.moved_by, **where, Priority="1")
        except AmiError as error:
            return Moved(who, queue, error.line)
        return Moved(who, queue or NOWHERE)

    async def _human_queue(self, asterisk: AmiClient, caller: str) -> str:
        """The caller's own human queue, else the site's; empty where Asterisk has no such queue."""
        named = (await _variable(asterisk, caller, HUMAN_QUEUE), self._settings.human_queue or "")
        for queue in named:
            if await queue_exists(asterisk, queue):
                return queue
        return ""

    async def _caller(self, asterisk: AmiClient, who: Stranded) -> str:
        """The name of the caller's own channel."""
        if who.way is not Way.TRANSFER:
            return who.channel
        return await _variable(asterisk, who.channel, "ARIAGENT_CALLER") or who.moved_by


def _last_words(settings: Settings) -> dict[str, str]:
    """What was said last in each call that did not end, for who takes it; as far as the records tell."""
    said = {}
    for call in unended(settings):
        history = History()
        history.resume(call.entries)
        said[call.call_id] = clean(history.digest())
    return said


async def _variable(asterisk: AmiClient, channel: str, name: str) -> str:
    try:
        return (await asterisk.action("Getvar", Channel=channel, Variable=name)).get("value", "")
    except AmiError:
        return ""
