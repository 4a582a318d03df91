"""Warm transfers: a human agent is found for the caller while caller and agent continue talking.

    ariagent's (;1, enters Stasis when somebody answers) -- Local -- (;2) waits in the human queue, or rings an
    extension

The human agent who answers hears the announcement on this consult leg. Then the caller is bridged with ;1, and ariagent
drops out.
"""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress

from ariagent.ari import events as ari
from ariagent.ari.client import AriClient, NotFoundError
from ariagent.audio.tones import Machine
from ariagent.call.announcement import Announcement
from ariagent.call.consult_ear import ConsultEar
from ariagent.call.context import Context
from ariagent.call.takeover import WARM_PREFIX, WARM_QUEUE_PREFIX, handed_over
from ariagent.dialogue.handoff import Handoff, caller_id
from ariagent.errors import AriError, AsteriskError
from ariagent.logs import CallLog
from ariagent.records.events import (
    AnnouncementNotSpoken,
    ConsultAnswered,
    ConsultEnded,
    ConsultFailed,
    ConsultMachine,
    ConsultStarted,
    NotReleased,
)

ANNOUNCEMENT_WAIT_S, ANNOUNCEMENT_LIMIT_S = 3.0, 60.0
"""Longest wait of a human agent for the announcement to begin, and to end."""
EAR_LIMIT_S = 0.3
"""Seconds that a human agent who takes the call waits for what listened to them to be given back."""
ACCEPT_ASKS, ACCEPT_WAIT_S = 3, 4.0
"""Number of prompts for the key that takes the call, and the time for each, the prompt included."""
PRESS = "vm-press"
"""Asterisk's sound "press", in the language of the channel."""
ANY_KEY = "1"
"""The key that is asked for where the destination has none, of somebody who could not hear the announcement."""
LATE_S = 10.0
"""Longer than the dialplan should take to give up by itself."""
JOIN_S = 2.0
"""How long a caller who was sent to a human agent has to get there; who does not come has hung up."""
_FAULTS = ("FAILED", "UNHEARD")
"""Ends of a consult leg that somebody has to look into. In all others nobody took the call, or the caller left."""
STATUS = "SHARED(ARIAGENT_WARM)"
"""Variable of the caller's channel: how waiting in the queue ended (QUEUESTATUS)."""


class WarmTransfer:
    """The warm transfers of one call; one at a time.

    ``answered`` is called when a human agent has answered; ``ended`` with the transfer, with the reason why it came to
    nothing (empty: it did not), and with the name of the channel on which the human agent waits for the caller.
    ``fault`` gets what must not happen, ``not_given_back`` the event that tells what Asterisk does not release.
    """

    def __init__(
        self,
        context: Context,
        log: CallLog,
        *,
        changed: Callable[[], None],
        answered: Callable[[], None],
        ended: Callable[[Handoff, str, str], None],
        fault: Callable[[Exception], None],
        not_given_back: Callable[[NotReleased], None],
    ) -> None:
        self._context = context
        self._log = log
        self._changed = changed
        self._answered = answered
        self._ended = ended
        self._fault = fault
        self._not_given_back = not_given_back
        self._leg: ConsultLeg | None = None
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False
        """The one under way is being cleared away."""

    @property
    def in_progress(self) -> bool:
        """A human agent is being called, or hears the announcement."""
        return self._leg is not None and not (self._leg.joined or self._cancelled)

    @property
    def destination(self) -> str:
        """The name of the newest one's destination; empty: there was none."""
        return "" if self._leg is None else self._leg.handoff.name

    @property
    def announcement_failed(self) -> bool:
        """A human agent has answered, and Asterisk could not play them the announcement."""
        return self._leg is not None and self._leg.announced is False

    def owns(self, channel_id: str) -> bool:
        """Whether this is one of the two halves of the consult leg, or what listens to it."""
        leg = self._leg
        if leg is None:
            return False
        return channel_id in (leg.channel, leg.queue_call) or (leg.ear is not None and leg.ear.owns(channel_id))

    def begin(
        self,
        handoff: Handoff,
        announcement: Announcement,
        *,
        caller_leg: str,
        shown: tuple[str, str],
        variables: dict[str, str],
    ) -> None:
        """Call somebody at ``handoff``'s destination. ``shown``: name and number of the caller."""
        self._leg, self._cancelled = ConsultLeg(self._context.ari, handoff), False
        name, number = shown
        caller = caller_id(f"{handoff.destination.name_prefix}{name}", number)
        work = self._run(self._task, self._leg, announcement, caller_leg, caller, variables)
        self._task = asyncio.ensure_future(work)

    def cancel(self) -> None:
        """Call nobody any more."""
        if self._task is not None and not self._task.done():
            self._cancelled = True
            self._task.cancel()

    async def end(self, why: str) -> None:
        """Stop, and hang up on whom the caller was not joined with. ``ENDED``: the call is over."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._leg is not None:
            await self._drop(self._leg, why)

    def join(self) -> str:
        """The caller is about to be joined with the human agent; returns the call's id in the human queue.

        Raises AsteriskError when the human agent is gone again.
        """
        leg = self._leg
        if leg is None or leg.gone:
            raise AsteriskError("the human agent hung up again")
        leg.joined = True  # they may be with the caller before we hear of it
        return leg.queue_call

    async def _run(
        self,
        former: "asyncio.Task[None] | None",
        leg: "ConsultLeg",
        announcement: Announcement,
        caller_leg: str,
        caller: str,
        variables: dict[str, str],
    ) -> None:
        if former is not None:
            await _cleared(former)
        handoff = leg.handoff
        self._context.router.register(leg.channel, leg.on_ari)
        self._log.tell(ConsultStarted(handoff.name, leg.queue_call))
        self._changed()
        why = "CANCELLED"
        try:
            why = await self._ask(leg, announcement, caller_leg, caller, variables)
        except AriError as error:
            why = "FAILED"
            self._log.tell(ConsultFailed(error.line))
        except Exception as error:  # noqa: BLE001  # ends this call, is logged, and harms no other
            self._fault(error)
            return
        finally:
            if why:
                await self._drop(leg, why)
        self._ended(handoff, why, leg.name)

    async def _ask(
        self, leg: "ConsultLeg", announcement: Announcement, caller_leg: str, caller: str, variables: dict[str, str]
    ) -> str:
        """Returns "" when somebody has heard the announcement, else why not. Raises AriError."""
        leg_name = await self._context.ari.channel_name(caller_leg)
        if why := await leg.call(caller, caller_leg, leg_name, variables):
            return why
        self._log.tell(ConsultAnswered(leg.handoff.name))
        if not leg.handoff.by_key:
            self._answered()
        if leg.handoff.destination.machines == "ignore":
            return await self._offer(leg, announcement)
        leg.ear = ConsultEar(self._context, leg.channel, self._log, leg.on_machine)
        leg.ear.begin()
        limit_s = None
        try:
            why = await self._offer(leg, announcement)
            limit_s = None if why else EAR_LIMIT_S
        finally:
            await leg.ear.close(limit_s)
        return why

    async def _offer(self, leg: "ConsultLeg", announcement: Announcement) -> str:
        """Have the party that answered hear the announcement, and press the key if one is needed.

        Without having heard it, a machine cannot be told from a human agent: then a key is always needed.
        """
        if await announcement.written(ANNOUNCEMENT_WAIT_S):
            await leg.announce(announcement.path, ANNOUNCEMENT_LIMIT_S)
            self._context.announcements.tried(leg.announced)
            if leg.announced is False:
                self._context.announcements.failed(self._log)
        else:
            self._log.tell(AnnouncementNotSpoken("the model did not speak it in time"))
        heard = leg.announced
        by_key = leg.handoff.by_key or not heard
        if by_key:
            await leg.ask_for_key()
        if leg.machine is not None and not leg.accepted:
            self._log.tell(ConsultMachine(leg.handoff.name, leg.machine))
            return "MACHINE"
        if leg.gone:
            return "GONE"
        if by_key and not leg.accepted:
            return "NOTACCEPTED" if heard else "UNHEARD"
        if leg.handoff.by_key:
            self._answered()
        return ""

    async def _drop(self, leg: "ConsultLeg", why: str) -> None:
        sent = leg.joined and why == "ENDED"
        try:
            # Where the request failed the caller is still here, unless only its answer was lost.
            leg.joined = leg.joined and (await leg.taken() if sent else leg.gone)
        except AriError as error:
            self._not_given_back(NotReleased(error.line))  # what is in our application is looked for
        if self._leg is leg:
            self._leg = None
        self._context.router.unregister(leg.channel)
        if sent and leg.joined:
            return
        self._log.tell(ConsultEnded(leg.handoff.name, "NOTJOINED" if sent else why))
        if not sent:
            result = "failed" if why in _FAULTS else "not_taken"
            self._context.metrics.transfers.labels(leg.handoff.kind, result).inc()
        self._changed()
        try:
            await leg.close()
        except AriError as error:
            self._not_given_back(NotReleased(error.line))


async def _cleared(former: "asyncio.Task[None]") -> None:
    """Wait until a transfer that was cancelled has hung up on its human agent, even if this one is cancelled, too."""
    cancelled = False
    while not former.done():
        try:
            await asyncio.wait([former])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


class ConsultLeg:
    """One attempt to find a human agent. ``close`` gives everything back, whatever became of it."""

    def __init__(self, client: AriClient, handoff: Handoff) -> None:
        self.handoff = handoff
        own = secrets.token_hex(8)
        self.channel = f"{WARM_PREFIX}{own}"
        self.queue_call = f"{WARM_QUEUE_PREFIX}{own}"
        """The id that queue_log has for this leg; short, for databases often have 32 characters for it."""
        self.name = ""
        """The channel's name, once somebody has answered."""
        self.announced: bool | None = None
        """Whether Asterisk could play the announcement; None: that was not tried."""
        self.accepted = False
        """The key that takes the call was pressed."""
        self.ear: ConsultEar | None = None
        self.machine: Machine | None = None
        """The kind of machine that answered; None: none, as far as is known."""
        self.joined = False
        """The caller is joined with it, or about to be: it is not ours to hang up any more."""
        self._ari = client
        self._left = asyncio.Event()
        self._news: asyncio.Queue[str] = asyncio.Queue()
        self._made = False

    def on_ari(self, event: ari.Event) -> None:
        """An event of the leg's channel."""
        match event:
            case ari.StasisStarted():
                self.name = event.channel.name
                self._news.put_nowait("answered")
            case ari.PlaybackEnded(playback_id=self._announcement, failed=failed):
                self.announced = not failed
                self._news.put_nowait("played")
            case ari.PlaybackEnded():
                self._news.put_nowait("asked")
            case ari.DigitReceived(digit=digit) if digit == self._key:
                self.accepted = True
                self._news.put_nowait("accepted")
            case ari.StasisEnded() | ari.ChannelDestroyed():
                self._left.set()
                self._news.put_nowait("gone")

    @property
    def gone(self) -> bool:
        """It has left our application: the human agent has hung up, or the caller has them."""
        return self._left.is_set()

    async def taken(self) -> bool:
        """Wait until it is gone; returns False for one that stays. Raises AriError."""
        with suppress(TimeoutError):
            async with asyncio.timeout(JOIN_S):
                await self._left.wait()
        # The event may have been missed.
        if self.gone:
            return True
        try:
            return handed_over(await self._ari.channel(self.channel))
        except NotFoundError:
            return True

    def on_machine(self, machine: Machine) -> None:
        """A machine was heard there. A party that pressed the key is no machine, whatever sounds at their side."""
        if self.accepted:
            return
        self.machine = machine
        self._news.put_nowait("machine")

    async def call(self, caller: str, leg: str, leg_name: str, variables: dict[str, str]) -> str:
        """Call somebody on behalf of the channel ``leg``; returns "" when they have answered, else why nobody did.

        ``caller`` is shown to them: ``"Name" <number>``. Raises AriError.
        """
        destination = self.handoff.destination
        endpoint = f"Local/{destination.queue}@ariagent-warm/n"
        if destination.queue is None:
            endpoint = f"Local/{destination.extension}@{destination.context}/n"
        inherited = {f"__{name.lstrip('_')}": value for name, value in variables.items()}
        self._made = True
        await self._ari.originate(
            self.channel,
            endpoint=endpoint,
            caller_id=caller,
            timeout_s=destination.timeout_s,
            originator=leg,
            other_id=self.queue_call,
            variables={**inherited, "__ARIAGENT_LEG": leg_name},
        )
        try:
            async with asyncio.timeout(destination.timeout_s + LATE_S):
                if await self._news.get() == "answered":
                    return ""
        except TimeoutError:
            return "TIMEOUT"
        return await self._status(leg)

    async def _status(self, leg: str) -> str:
        if self.handoff.destination.queue is None:
            return "NOANSWER"
        try:
            return await self._ari.get_variable(leg, STATUS) or "NOANSWER"
        except AriError:
            return "NOANSWER"

    async def announce(self, path: str, limit_s: float) -> None:
        """Play the announcement to its end, unless they hang up or are a machine: ``announced`` tells."""
        if self._nobody:
            return
        try:
            await self._ari.play(self.channel, self._announcement, path)
        except AriError:
            if not self._nobody:
                self.announced = False
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                # A key that is pressed before its end does not cut it: the caller would hear the rest.
                while self.announced is None and not self._nobody:
                    await self._news.get()
        if self.announced is None and not self._nobody:
            # It has no end, and the prompt for the key would wait behind it.
            with suppress(AriError):
                await self._ari.stop_playing(self._announcement)

    async def ask_for_key(self) -> None:
        """Ask for the key that takes the call, until it is pressed or that makes no sense any more."""
        prompt = ""
        for number in range(ACCEPT_ASKS):
            if self.accepted or self._nobody:
                break
            prompt = f"{self.channel}-key-{number}"
            with suppress(AriError):  # without the words they may still press it
                await self._ari.play(self.channel, prompt, PRESS, self._key)
            with suppress(TimeoutError):
                async with asyncio.timeout(ACCEPT_WAIT_S):
                    while not (self.accepted or self._nobody):
                        await self._news.get()
        if prompt and self.accepted and not self._nobody:
            with suppress(AriError):  # it may be over
                await self._ari.stop_playing(prompt)

    @property
    def _nobody(self) -> bool:
        """Nobody is there who could take the call."""
        return self.gone or self.machine is not None

    @property
    def _key(self) -> str:
        return self.handoff.destination.accept or ANY_KEY

    @property
    def _announcement(self) -> str:
        """The id of its playback."""
        return f"{self.channel}-announcement"

    async def close(self) -> None:
        """Hang the leg up, unless the caller has it."""
        if self.joined or not self._made:
            return
        self._made = False
        with suppress(NotFoundError):
            await self._ari.hang_up(self.channel)
