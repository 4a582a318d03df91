"""The synthetic caller's channels: a call originated through ARI, bridged with an AudioSocket of the command.

    Local/EXTEN@CONTEXT/n ;2 runs the dialplan
                          ;1 --+ bridge +-- AudioSocket/127.0.0.1:PORT-UUID --TCP-- Line

All of it lives in a Stasis application of its own: a second connection under the service's name would take the
service's calls over. Ids are chosen here and known before the requests that make them, so that everything can be taken
back whenever the call is broken off.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Self
from uuid import uuid4

from ariagent.ari import events as ari
from ariagent.ari.client import AriClient, NotFoundError
from ariagent.ari.listener import Router
from ariagent.audio.format import AudioFormat
from ariagent.audio.rates import choose_format
from ariagent.audiosocket.server import AudioSocketServer
from ariagent.caller import contexts
from ariagent.caller.answerer import Answerer
from ariagent.caller.line import Line
from ariagent.config import AsteriskSettings, AudioSocketSettings
from ariagent.errors import AriError, AsteriskError

log = logging.getLogger(__name__)

STREAM_LIMIT_S = 10.0
MEDIA_LIMIT_S = 8.0
EMPTY_LIMIT_S = 2.0
_FORMAT_NAMES = {8_000: "slin", 24_000: "slin24"}

CAUSES = {
    1: "no such number",
    3: "no route",
    16: "hung up",
    17: "busy",
    18: "nobody there",
    19: "nobody answered",
    20: "nobody there",
    21: "refused",
    27: "out of order",
    34: "no channel free",
    38: "network out of order",
}
"""Q.850 causes in plain words."""


class Leg:
    """One call of the synthetic caller. ``connect``, then ``prepare``, then ``place``; leaving the context gives
    everything back."""

    def __init__(self, asterisk: AsteriskSettings, audiosocket: AudioSocketSettings) -> None:
        token = secrets.token_hex(4)
        self.answerer = Answerer(asterisk.app)
        """The way of the call through the dialplan."""
        self.app = f"ariagent-caller-{token}"
        self.channel = f"caller-{token}"
        self.line: Line
        self.answered_at: float | None = None
        """When the call was answered, in seconds of ``time.monotonic()``."""
        self.answered = asyncio.Event()
        """The call was answered and can be heard."""
        self.left = asyncio.Event()
        """The call's channel is gone, or was never answered."""
        self.cause: int | None = None
        """Q.850 cause of the end, where Asterisk told one."""
        self._media_channel = f"caller-media-{token}"
        self._bridge = f"caller-bridge-{token}"
        self._media_uuid = uuid4()
        self._media_entered = asyncio.Event()
        self._audiosocket = audiosocket
        self._ari = AriClient(asterisk.model_copy(update={"app": self.app}))
        self._router = Router(lambda event: None)
        self._server = AudioSocketServer(allowed=audiosocket.allowed)
        self._requests: set[asyncio.Task[Any]] = set()
        self._events: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._look_again = False
        self.lost = ""
        """Why the event stream ended; empty while it has not."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        releasing = asyncio.create_task(self._release())
        try:
            await asyncio.shield(releasing)
        except asyncio.CancelledError:
            # Cancelled while everything is being given back: that is what the canceller wants, so finish it.
            await asyncio.wait([releasing])
            raise

    async def connect(self) -> AudioFormat:
        """Reach Asterisk and listen for its audio; returns the format of the audio. Raises AriagentError."""
        version = await self._ari.connect()
        await self._server.start(self._audiosocket.host, 0)
        wanted = self._audiosocket.format if self._audiosocket.format != "slin16" else "auto"
        return choose_format(version, wanted, "pcm")

    async def prepare(self, line: Line) -> None:
        """Make bridge and audio channel, so that not a word is lost when the call is answered. Raises AriError."""
        self.line = line
        for channel_id in (self.channel, self._media_channel):
            self._router.register(channel_id, self._on_event)
        self._server.expect(self._media_uuid, line, line.format)
        self._events = asyncio.create_task(self._receive(), name="caller events")
        try:
            async with asyncio.timeout(STREAM_LIMIT_S):
                await self._first(self._ari.stream_opened(), self._events)
            async with asyncio.timeout(MEDIA_LIMIT_S):
                await self._request(self._ari.create_bridge(self._bridge))
                await self._request(
                    self._ari.external_media(
                        self._media_channel,
                        host=self._address(),
                        connection=str(self._media_uuid),
                        format_name=_FORMAT_NAMES[line.format.rate_hz],
                    )
                )
                await self._first(self._media_entered.wait(), self._events)
                await self._request(self._ari.add_to_bridge(self._bridge, self._media_channel))
        except TimeoutError:
            remedy = f"Can Asterisk connect to {self._address()}? Set audiosocket.advertise to an address it can reach"
            raise AriError("Asterisk did not connect the caller's audio in time", remedy=remedy) from None
        if self.lost:
            raise AriError(f"Asterisk's event stream ended: {self.lost}")

    async def place(self, endpoint: str, *, caller_id: str, ring_s: float) -> None:
        """Call ``endpoint``. Its answer or its end set the events above. Raises AriError where it cannot be called."""
        await self._request(
            self._ari.originate(
                self.channel,
                endpoint=endpoint,
                caller_id=caller_id,
                timeout_s=max(1, round(ring_s)),
                format_name=_FORMAT_NAMES[self.line.format.rate_hz],
            )
        )

    async def press(self, digits: str) -> None:
        """Send keys to the other side. Raises AriError."""
        await self._request(self._ari.send_digits(self.channel, digits))

    async def hang_up(self) -> None:
        """End the call; nothing happens when it is over already."""
        with suppress(NotFoundError):
            await self._request(self._ari.hang_up(self.channel))

    def _address(self) -> str:
        """Where Asterisk is told to connect to: the service's own address, with our port."""
        advertised = self._audiosocket.advertise or self._audiosocket.host
        host = advertised.rpartition(":")[0] if self._audiosocket.advertise else advertised
        return f"{host}:{self._server.port}"

    async def contexts_with(self, extension: str) -> list[str]:
        """Dialplan contexts that have this extension, as far as that can be known."""
        return await contexts.contexts_with(self._ari, extension)

    async def has_extension(self, extension: str, context: str) -> bool | None:
        """Whether the dialplan has it; None where Asterisk does not tell."""
        return await contexts.has_extension(self._ari, extension, context)

    async def look_for_ai(self) -> None:
        """Find out whether the AI is in the call where the dialplan does not show it: behind another Local channel."""
        self._look()
        while (looking := self._looking) is not None:
            await asyncio.wait([looking])

    def _route(self, message: dict[str, Any]) -> None:
        """One message of the stream. The dialplan's steps are reported for the other half of the call's channel."""
        channel = message.get("channel")
        if isinstance(channel, dict) and channel.get("id") == f"{self.channel};2":
            if self.answerer.take(message):
                self._dialplan_went_on(bridged=message.get("variable") == "BRIDGEPEER")
            return
        self._router.route(message)

    def _dialplan_went_on(self, *, bridged: bool) -> None:
        if bridged and not self.answerer.ai:
            self._look()
        self.line.wake()

    def _look(self) -> None:
        """Look for our call among the channels that the service has; once more if the call changes meanwhile."""
        if self._looking is not None:
            self._look_again = True
        elif self.answerer.up and not self.answerer.ai and not self.left.is_set():
            self._looking = asyncio.create_task(self._look_now())

    async def _look_now(self) -> None:
        try:
            self._look_again = True
            while self._look_again and not self.answerer.ai:
                self._look_again = False
                self.answerer.ai = await self._ai_has_it()
        except AriError as error:
            log.info("caller.ai_check_failed", extra={"fields": {"cause": error.line}})
        finally:
            self._looking = None

    async def _ai_has_it(self) -> bool:
        apps = await self._ari.applications()
        theirs = [channels for app, channels in apps.items() if self.answerer.serves(app)]
        for channel in {channel for channels in theirs for channel in channels}:
            with suppress(NotFoundError):
                if await self._ari.get_variable(channel, "CHANNEL(linkedid)") == self.channel:
                    return True
        return False

    def _on_event(self, event: ari.Event) -> None:
        match event:
            case ari.StasisStarted() if event.channel.id == self._media_channel:
                self._media_entered.set()
            case ari.StasisStarted() if event.channel.id == self.channel:
                self.answered_at = time.monotonic()
                self._spawn(self._join())
            case ari.ChannelDestroyed() if event.channel_id == self.channel:
                self.cause = event.cause
                self._gone()
            case ari.StasisEnded() if event.channel_id == self.channel:
                self._gone()

    async def _join(self) -> None:
        """Put the answered call to the audio that waits for it."""
        try:
            await self._ari.add_to_bridge(self._bridge, self.channel)
        except AriError as error:
            self.lost = self.lost or error.line
            self._gone()
        else:
            self.answered.set()
            self.line.wake()

    def _gone(self) -> None:
        self.left.set()
        self.line.end("the call is over")

    async def _receive(self) -> None:
        try:
            await self._ari.run(self._route)
            self.lost = "Asterisk closed it"
        except AsteriskError as error:
            self.lost = error.line
        self._gone()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    async def _request(self, work: Coroutine[Any, Any, None]) -> None:
        """A request that continues when its caller is cancelled: what it makes has to exist before it can be undone."""
        task = asyncio.create_task(work)
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)
        await asyncio.shield(task)

    @staticmethod
    async def _first(work: Coroutine[Any, Any, object], other: asyncio.Task[None]) -> None:
        """Wait for ``work`` or the end of ``other``, whichever is first."""
        waiting = asyncio.ensure_future(work)
        try:
            await asyncio.wait([waiting, other], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    async def _release(self) -> None:
        if self._requests:
            await asyncio.wait(list(self._requests))
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        self._server.forget(self._media_uuid)
        if self._events is not None:
            undone = await asyncio.gather(
                self._ari.hang_up(self.channel),
                self._ari.hang_up(self._media_channel),
                self._ari.destroy_bridge(self._bridge),
                return_exceptions=True,
            )
            for failure in undone:
                if isinstance(failure, BaseException) and not isinstance(failure, NotFoundError):
                    log.warning("caller.release_failed", extra={"fields": {"cause": str(failure)}})
            await self._until_empty()
            self._events.cancel()
            await asyncio.wait([self._events])
        await self._server.close()
        await self._ari.close()

    async def _until_empty(self) -> None:
        """Asterisk forgets an application with its connection, but only if nothing belongs to it by then."""
        with suppress(TimeoutError, AriError):
            async with asyncio.timeout(EMPTY_LIMIT_S):
                while not self.lost and any(await self._ari.application()):
                    await asyncio.sleep(0.01)
