"""Watches whether the service lives. If it does not for too long, sends its callers to the human queue.

If the service answers on its Unix socket in ``state_directory`` it lives: strangers can neither jam that socket nor
answer in its place. If it does not, or if this user or machine cannot see the socket, ``/healthz`` is asked. A busy
port is not taken for death at once, and an answer there is not believed if Asterisk shows callers without audio.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from enum import Enum

import aiohttp

from ariagent import ownsocket
from ariagent.ami.client import AmiClient
from ariagent.ami.queues import queue_exists
from ariagent.call.recorded_calls import interrupted_calls
from ariagent.call.variables import CALLER, HUMAN_QUEUE, PEER, WAYS_BACK
from ariagent.config import Settings
from ariagent.dialogue.handoff import clean
from ariagent.dialogue.history import History
from ariagent.errors import AmiError, AmiRefusedError, ConfigurationError
from ariagent.healthpage import health_at
from ariagent.hosts import joined, local
from ariagent.ownsocket import Absent
from ariagent.pool.device_state import CLOSED, state_of
from ariagent.reminder import Reminder
from ariagent.rescue.stranded import Stranded, Way, stranded, without_audio

log = logging.getLogger(__name__)

LOOK_S = 1.0
AGAIN_S = 5.0
"""Interval of further rescues while the service is dead: a caller may not have been moved, or may have returned."""
ANSWER_S = 2.0
"""Time limit for an answer of the service."""
DOUBT_S = 30.0
"""How long signs of death must last that strangers can cause, or that a healthy service shows for a moment."""
CONTEXT = "ariagent-handoff"
LAST_RESORT = {"Context": "ariagent-human", "Exten": "human"}
"""The dialplan's own way to a human agent, or to a spoken sentence if there is none."""
NOWHERE = "the last resort"
WAIT_S = 300
"""How long callers wait in the human queue before the dialplan continues."""
REASON = "The AI agent failed during the call"


class Sign(Enum):
    """The signs of the service's life."""

    SERVES = "serves"
    GONE = "gone"
    """Nobody answers on its own socket, or its port refuses connections, or it says that it has no callers."""
    MUTE = "mute"
    """Its own socket cannot be seen from here, and its port does not answer: it is dead, or the port is busy."""
    CLAIMED = "claimed"
    """Nobody answers on its own socket, but somebody does at its port: a stranger, or a service with another
    ``state_directory``."""
    SAYS_SO = "says_so"
    """Its own socket cannot be seen from here. Somebody answers at its port."""


ANSWERED = (Sign.CLAIMED, Sign.SAYS_SO)
"""The signs that somebody answers. Asterisk tells whether that is the service: then its callers have their audio."""
BELIEVED_S = {Sign.CLAIMED: 10.0, Sign.SAYS_SO: 60.0}
"""How long that somebody is believed, once Asterisk has shown no caller without audio. Each look there is a login."""
DOUBTED = (Sign.MUTE, Sign.SAYS_SO)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The service does not serve its callers."""

    sign: Sign
    only: frozenset[str] | None
    """The channels that are to be moved; None: all."""


@dataclass(frozen=True, slots=True)
class Moved:
    """The outcome for one channel."""

    who: Stranded
    queue: str
    """The queue that the caller was sent to; "" if the channel was only hung up."""
    cause: str = ""
    """Why the channel could not be moved."""


class Rescuer:
    """Rescues the callers of one service. The constructor raises ConfigurationError if the settings do not allow a
    rescue, so that this shows before it is needed."""

    def __init__(self, settings: Settings) -> None:
        if settings.ami is None:
            raise ConfigurationError(
                "rescue needs the section ami: it moves callers through AMI", remedy="Add the section ami"
            )
        if settings.http.port == 0:
            raise ConfigurationError(
                "http.port is 0, but rescue asks the service there whether it is alive", remedy="Set http.port"
            )
        self._settings = settings
        self._asterisk = AmiClient(settings.ami)
        self._believed_until = 0.0
        self._health = f"http://{joined(local(settings.http.host), settings.http.port)}/healthz"

    async def look(self) -> Sign:
        """The service's signs of life, now.

        A service that has lost Asterisk reconnects, and its calls continue. A service that has been waiting for
        Asterisk since its start (for instance because a password was changed) has no callers: those in Asterisk belong
        to an earlier process.
        """
        health = await ownsocket.health(self._settings.state_directory)
        if isinstance(health, dict):
            return Sign.GONE if health.get("started") is False else Sign.SERVES
        sign = await self._look_from_afar()
        if health is Absent.UNSEEN:
            return sign
        return Sign.CLAIMED if sign is Sign.SAYS_SO else Sign.GONE

    async def _look_from_afar(self) -> Sign:
        try:
            health = await health_at(self._health, ANSWER_S)
        except aiohttp.ClientConnectorError as error:
            # Strangers can make a port busy, but cannot have connections refused while the service listens.
            return Sign.GONE if isinstance(error.os_error, ConnectionRefusedError) else Sign.MUTE
        except (aiohttp.ClientError, TimeoutError):
            return Sign.MUTE
        except ValueError:
            return Sign.SAYS_SO  # another program, or another version
        return Sign.GONE if isinstance(health, dict) and health.get("started") is False else Sign.SAYS_SO

    async def verdict(self, for_s: float) -> Verdict | None:
        """Look for so long, and longer where the signs are in doubt. None, at once, if the service serves its
        callers."""
        began = time.monotonic()
        left: frozenset[str] | None = None
        while True:
            sign = await self.look()
            if sign is Sign.SERVES:
                self._believed_until = 0.0
                return None
            if sign in ANSWERED:
                if time.monotonic() < self._believed_until:
                    return None
                now_left = await self._without_audio()
                left = now_left if left is None else left & now_left
                if not left:
                    self._believed_until = time.monotonic() + BELIEVED_S[sign]
                    return None
            limit_s = max(for_s, DOUBT_S) if sign in DOUBTED else for_s
            remaining = began + limit_s - time.monotonic()
            if remaining <= 0:
                return Verdict(sign, left if sign in ANSWERED else None)
            await asyncio.sleep(min(LOOK_S, remaining))

    async def _without_audio(self) -> frozenset[str]:
        """Channels of callers in the application who hear nothing, as Asterisk sees it; none if it does not answer."""
        try:
            async with self._asterisk.session() as asterisk:
                return without_audio(await asterisk.action_list("Status"), self._settings.asterisk.app)
        except AmiError:
            return frozenset()

    async def watch(self) -> None:
        """Watch forever, and rescue callers whenever it is needed."""
        settings = self._settings
        fields = {"service": self._health, "socket": str(settings.state_directory / ownsocket.FILE)}
        log.info("rescue.watching", extra={"fields": {**fields, "after_s": settings.rescue.after_s}})
        reminder = Reminder()
        while True:
            verdict = await self.verdict(settings.rescue.after_s)
            if verdict is None:
                await asyncio.sleep(LOOK_S)
                continue
            log.error("rescue.service_silent", extra={"fields": {"service": self._health, "sign": verdict.sign.value}})
            while True:
                try:
                    await self.rescue(verdict)
                except AmiError as error:
                    if reminder.due(error.line, time.monotonic()):
                        log.error("rescue.failed", extra={"fields": {"cause": error.line}})
                await asyncio.sleep(AGAIN_S)
                if await self.look() in (Sign.SERVES, *ANSWERED):
                    break
            log.info("rescue.service_back")

    async def rescue(self, verdict: Verdict) -> list[Moved]:
        """Send the stranded callers to the human queue now. Raises AmiError if Asterisk does not answer."""
        async with self._asterisk.session() as asterisk:
            if verdict.sign is not Sign.SAYS_SO:
                await self._close_door(asterisk)
            found = stranded(await asterisk.action_list("Status"), self._settings.asterisk.app)
            if verdict.only is not None:
                found = [who for who in found if who.channel in verdict.only]
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
        """Keep the queues from sending callers to dead seats. The service sets the state back when it returns."""
        try:
            state = f"DEVICE_STATE({state_of(self._settings.asterisk.app)})"
            await asterisk.action("Setvar", Variable=state, Value=CLOSED)
        except AmiRefusedError as error:
            # Continue: the waiting callers matter more.
            log.warning("rescue.seats_not_closed", extra={"fields": {"cause": error.line}})

    async def _move(self, asterisk: AmiClient, who: Stranded, said: str) -> Moved:
        queue = ""
        try:
            if who.way is Way.HANG_UP:
                await asterisk.action("Hangup", Channel=who.channel)
                return Moved(who, "")
            caller, ways_back = await self._caller(asterisk, who)
            queue = await self._human_queue(asterisk, who.channel if ways_back else caller)
            told = {"__ARIAGENT_CALL": who.call_id, "__ARIAGENT_REASON": REASON, "__ARIAGENT_SUMMARY": said}
            told |= {"ARIAGENT_ANNOUNCEMENT": "", "ARIAGENT_TIMEOUT": str(WAIT_S), **ways_back}
            set_all = (asterisk.action("Setvar", Channel=caller, Variable=n, Value=v) for n, v in told.items())
            # Ignore errors: to move the caller matters more than the summary.
            await asyncio.gather(*set_all, return_exceptions=True)
            where = {"Context": CONTEXT, "Exten": queue} if queue else LAST_RESORT
            if who.way is Way.TRANSFER:
                await asterisk.action("BlindTransfer", Channel=who.moved_by, **where)
            else:
                await asterisk.action("Redirect", Channel=who.moved_by, **where, Priority="1")
        except AmiError as error:
            return Moved(who, queue, error.line)
        return Moved(who, queue or NOWHERE)

    async def _human_queue(self, asterisk: AmiClient, channel: str) -> str:
        """The human queue of the call, else the site's; empty if Asterisk has neither."""
        named = (await _variable(asterisk, channel, HUMAN_QUEUE), self._settings.human_queue or "")
        for queue in named:
            if await queue_exists(asterisk, queue):
                return queue
        return ""

    async def _caller(self, asterisk: AmiClient, who: Stranded) -> tuple[str, dict[str, str]]:
        """The name of the caller's own channel, and the ways back that it lacks; as ``call.blind_transfer``."""
        if who.way is not Way.TRANSFER:
            return who.channel, {}
        named = await _variable(asterisk, who.channel, CALLER) or who.moved_by
        peers = [name for name in (await _variable(asterisk, who.moved_by, PEER)).split(",") if name]
        if not peers or named in peers:
            return named, {}
        return peers[0], {f"__{name}": await _variable(asterisk, who.channel, name) for name in WAYS_BACK}


def _last_words(settings: Settings) -> dict[str, str]:
    """Call id -> the last words of each unfinished call, from the records, for the human agent."""
    said = {}
    for call in interrupted_calls(settings):
        history = History()
        history.resume(call.entries)
        said[call.call_id] = clean(history.digest())
    return said


async def _variable(asterisk: AmiClient, channel: str, name: str) -> str:
    try:
        return (await asterisk.action("Getvar", Channel=channel, Variable=name)).get("value", "")
    except AmiError:
        return ""
