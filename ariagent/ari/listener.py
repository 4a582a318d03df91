"""Keeps the event stream connected and routes each event to the one that it concerns.

The router never awaits: an event is handed to the call's own queue at once, so no call waits for another.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from ariagent.ari.client import AriClient, DeniedError
from ariagent.ari.events import ApplicationReplaced, ChannelDestroyed, Event, StasisStarted, channel_id_of, parse
from ariagent.errors import AriError
from ariagent.reminder import Reminder

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0
LONGEST_DENIED_S = 30.0
"""The longest pause while Asterisk denies us access: each try is a line in its security log."""
ECHO_EVERY_S = 5.0
ECHO = "ariagent-echo"

Sink = Callable[[Event], None]


class Router:
    """Routes the events of each channel to their receiver. Ids are registered before the request that makes them."""

    def __init__(self, on_new_channel: Callable[[StasisStarted], None]) -> None:
        self._sinks: dict[str, Sink] = {}
        self._on_new_channel = on_new_channel
        self.replaced = asyncio.Event()
        """Set when another program took our application's name."""

    def register(self, channel_id: str, sink: Sink) -> None:
        self._sinks[channel_id] = sink

    def unregister(self, channel_id: str, sink: Sink | None = None) -> None:
        """Stop routing the channel's events; with ``sink``: unless somebody else has taken its place."""
        if sink is None or self._sinks.get(channel_id) == sink:
            self._sinks.pop(channel_id, None)

    def route(self, message: dict[str, Any]) -> None:
        """Hand one message of the stream on."""
        try:
            event = parse(message)
        except (KeyError, TypeError, ValueError, AttributeError):
            log.warning("ari.malformed", extra={"fields": {"type": str(message.get("type"))[:64]}})
            return
        if event is None:
            return
        if isinstance(event, ApplicationReplaced):
            self.replaced.set()
            return
        channel_id = channel_id_of(event)
        sink = self._sinks.get(channel_id) if channel_id else None
        if sink is not None:
            sink(event)
        elif isinstance(event, StasisStarted):
            self._on_new_channel(event)
        if isinstance(event, ChannelDestroyed):
            self.unregister(event.channel_id)


class Backoff:
    """How long to wait between attempts to reach Asterisk, and which of them are logged. Its state is for ``/healthz``.

    Somebody may mend ari.conf, or start Asterisk, at any time: it is tried for ever.
    """

    def __init__(self) -> None:
        self.cause = ""
        """Why Asterisk cannot be used now; empty while it can."""
        self._pause_s = FIRST_PAUSE_S
        self._reminder = Reminder()

    def works(self) -> None:
        """Asterisk can be used: the next failure is news."""
        self.cause = ""
        self._reminder.over()

    def lasts(self) -> None:
        """Asterisk could be used for so long that the next attempt may come soon."""
        self._pause_s = FIRST_PAUSE_S

    async def fails(self, event: str, error: AriError) -> None:
        """Asterisk cannot be used: log it, unless that was just done, and wait."""
        denied = isinstance(error, DeniedError)
        self.cause = error.line
        if self._reminder.due(error.line, asyncio.get_running_loop().time()):
            log.log(logging.ERROR if denied else logging.WARNING, event, extra={"fields": {"cause": error.line}})
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_DENIED_S if denied else LONGEST_PAUSE_S)


async def connect(client: AriClient, backoff: Backoff) -> str:
    """Wait until Asterisk is there and lets us control calls; returns its version."""
    while True:
        try:
            version = await client.connect()
            await client.check_rights()
        except AriError as error:
            await client.close()
            await backoff.fails("asterisk.waiting", error)
        else:
            backoff.works()
            backoff.lasts()
            return version


async def listen(
    client: AriClient, router: Router, on_connected: Callable[[], Awaitable[None]], backoff: Backoff | None = None
) -> None:
    """Receive events for ever, reconnecting with growing pauses. A clean close is a loss like any other.

    ``on_connected`` runs beside each new stream, to find what was missed while there was none.
    """
    backoff = backoff or Backoff()
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        try:
            await client.check_rights()
            await _receive(client, router, on_connected, backoff)
            lost = AriError("the event stream was closed")
        except AriError as error:
            lost = error
        if loop.time() - began > LONGEST_PAUSE_S:
            backoff.lasts()
        await backoff.fails("ari.lost", lost)


async def _receive(
    client: AriClient, router: Router, on_connected: Callable[[], Awaitable[None]], backoff: Backoff
) -> None:
    echo, overtaken = asyncio.Event(), asyncio.Event()

    def on_message(message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "ChannelUserevent" and message.get("eventname") == ECHO:
            echo.set()
        elif kind == "ApplicationReplaced" and client.may_be_overtaken:
            overtaken.set()
        else:
            router.route(message)

    ends = [
        asyncio.ensure_future(work)
        for work in (
            client.run(on_message),
            _listen_for_echo(client, echo),
            _be_overtaken(overtaken),
            _be_denied(client),
        )
    ]
    caught_up = asyncio.ensure_future(_once_open(client, on_connected, backoff))
    try:
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            each.result()
    finally:
        for each in (*ends, caught_up):
            each.cancel()
        await asyncio.gather(*ends, caught_up, return_exceptions=True)


async def _be_overtaken(overtaken: asyncio.Event) -> None:
    """Measured with Asterisk 22: an attempt to connect that was given up while its HTTP server hung is carried out when
    that continues, ends at once, and has taken the application from the stream that stands. No other program did
    that."""
    await overtaken.wait()
    raise AriError("an earlier connection attempt of ariagent replaced the event stream")


async def _be_denied(client: AriClient) -> None:
    """Without an event stream Stasis() fails at once, and new callers continue in the dialplan. With it they would
    enter, and nobody could answer them, send them on or hang them up."""
    await client.became_read_only()
    raise AriError("Asterisk refused to change something: the ARI user may only read")


async def _listen_for_echo(client: AriClient, echo: asyncio.Event) -> None:
    """Have Asterisk send us an event, time and again: a connection that is alive need not be one that events come on.

    Raises AriError when none comes.
    """
    await client.stream_opened()
    limit_s = client.settings.request_timeout_s
    while True:
        echo.clear()
        try:
            await client.tell_application(ECHO)
        except AriError:
            pass  # not asked for here, or no answer now: the stream's own heartbeat finds that
        else:
            try:
                async with asyncio.timeout(limit_s):
                    await echo.wait()
            except TimeoutError:
                raise AriError("Asterisk's event stream is open, but no events come") from None
        await asyncio.sleep(ECHO_EVERY_S)


async def _once_open(client: AriClient, on_connected: Callable[[], Awaitable[None]], backoff: Backoff) -> None:
    await client.stream_opened()
    backoff.works()
    log.info("ari.connected", extra={"fields": {"app": client.settings.app}})
    pause, reminder = FIRST_PAUSE_S, Reminder()
    # Until it works, or the stream ends and takes this with it: what was missed stays missed otherwise.
    while True:
        try:
            await on_connected()
        except AriError as error:
            if reminder.due(error.line, asyncio.get_running_loop().time()):
                log.warning("ari.catch_up_failed", extra={"fields": {"cause": error.line}})
        except Exception:
            log.exception("ari.catch_up_fault")
        else:
            return
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)
