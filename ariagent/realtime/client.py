"""Drives a RealtimeSession over a WebSocket: feeds what arrives, writes what is to be sent, re-arms its timer."""

import asyncio
import ssl
import time
from binascii import b2a_base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus, WebSocketException
from websockets.frames import CloseCode
from websockets.protocol import OPEN

from ariagent.config import RealtimeSettings
from ariagent.proxies import uses_proxy
from ariagent.realtime.budget import Allowance, Budget
from ariagent.realtime.dialect import Understanding
from ariagent.realtime.events import (
    AudioArrived,
    AudioEnded,
    Event,
    Fault,
    InputMalformed,
    RequestRefused,
    ResponseEnded,
    SessionFailed,
    SessionReady,
)
from ariagent.realtime.paced import PacedConnection
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.session import RealtimeSession
from ariagent.realtime.wire import APPEND_HEAD, APPEND_TAIL, TextFramer
from ariagent.redaction import Redaction, secrets_of
from ariagent.tls import MODEL, client_context, failure

MAX_MESSAGE_BYTES = 1024 * 1024
"""OpenAI's audio deltas are below 100 kB. The largest others are ``session.updated`` with the instructions (65 kB) and
tools, an MCP server's list of tools (some 100 kB), and a compatible server's whole sentence: 12 s in one delta."""
MAX_CONTROL_BYTES = 1024 * 1024
LONGEST_CAUSE = 500
"""Characters of what is said about a failure."""
CLOSE_TIMEOUT_S = 0.5
"""Time limit for the closing handshake, in seconds. If the peer does not answer, callers wait that long in silence."""
VIOLATIONS: dict[int, str] = {
    CloseCode.PROTOCOL_ERROR: "a broken WebSocket frame",
    CloseCode.INVALID_DATA: "text that is not UTF-8",
    CloseCode.MESSAGE_TOO_BIG: "a message that is too big",
}
"""Reasons for closing the connection, by the close code that ariagent sends (RFC 6455 section 7.4.1)."""


def session_url(settings: RealtimeSettings, model: str) -> str:
    """The URL to open: the configured one with ``model`` in its query."""
    parts = urlsplit(settings.url)
    query = dict(parse_qsl(parts.query))
    query.setdefault("model", model)
    return urlunsplit(parts._replace(query=urlencode(query)))


def session_headers(settings: RealtimeSettings) -> dict[str, str]:
    """The headers that carry the key; the site's own headers win."""
    key = settings.api_key.get_secret_value()
    host = urlsplit(settings.url).hostname or ""
    azure = settings.auth == "api-key" or (settings.auth == "auto" and host.endswith(".azure.com"))
    ours = {"api-key": key} if azure else {"Authorization": f"Bearer {key}"}
    theirs = {name: value.get_secret_value() for name, value in settings.headers.items()}
    given = {name.lower() for name in theirs}
    return {**{name: value for name, value in ours.items() if key and name.lower() not in given}, **theirs}


def trust(settings: RealtimeSettings) -> ssl.SSLContext:
    """The TLS context that verifies the certificate of the model's server. Raises ConfigurationError."""
    return client_context(settings.ca_file, "realtime.ca_file")


class _Connect(connect):
    """Follows no redirection: it would take the key to another server."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class RealtimeClient:
    """One model session on one WebSocket. Raises ConfigurationError for a secret or CA file that cannot be had.

    ``on_event`` is called for every event, in order, from the event loop; it must not block. ``on_audio`` gets the
    speech instead, where it is given, and ``on_session`` gets SessionReady and SessionFailed. The last event is
    SessionFailed, unless ``close`` was called.
    """

    def __init__(
        self,
        settings: RealtimeSettings,
        profile: SessionProfile,
        on_event: Callable[[Event], None],
        understanding: Understanding | None = None,
        *,
        session: RealtimeSession | None = None,
        on_audio: Callable[[AudioArrived], None] | None = None,
        on_session: Callable[[SessionReady | SessionFailed], None] | None = None,
    ) -> None:
        self.session = session or RealtimeSession(profile, understanding or Understanding.of(settings))
        self.dropped_s = 0.0
        """Caller audio thrown away because the network did not take it."""
        self._settings = settings
        self._headers = session_headers(settings)
        self._tls: dict[str, Any] = {"ssl": trust(settings)} if settings.url.startswith("wss:") else {}
        self._on_event = on_event
        self._on_audio = on_audio or on_event
        self._on_session = on_session or on_event
        self.in_use = True
        """While it is not, only events of the session itself are handed on."""
        self._connection: ClientConnection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._loop = asyncio.get_running_loop()
        bytes_per_s = 48_000 if profile.encoding == "pcm" else 8_000
        self._bytes_per_s = bytes_per_s
        self._max_backlog = int(settings.max_backlog_s * bytes_per_s * 4 / 3)
        self._closing = False
        self._telling = False
        """An event is being handed on."""
        self._budget = Budget()
        self._connecting: asyncio.Timeout
        self._over: asyncio.Future[bool] = self._loop.create_future()
        """True: the end of the session was told. False: the connection is gone."""
        self._given_up: SessionFailed | None = None
        self._framer = TextFramer()
        self._redact = Redaction((*secrets_of(settings), *_sent_secrets(profile)))

    async def run(self) -> None:
        """Connect, configure and receive until the session is over."""
        failed: list[Event]
        try:
            failed = await self._converse()
        except TimeoutError:
            failed = [self._unreachable(f"no answer within {self._settings.connect_timeout_s:g} s")]
        except InvalidStatus as error:
            body = (error.response.body or b"").decode("utf-8", "replace")
            failed = [_status_failure(error.response.status_code, self._redact(body))]
        except (OSError, WebSocketException, ImportError) as error:
            # ImportError: the environment names a kind of proxy that needs a package which is not there.
            failed = [self._without_tls(error) or self._unreachable(str(error) or type(error).__name__)]
        finally:
            self.session.closed(None, "")
            if self._over.done() and not self._over.cancelled():
                self._over.exception()  # it may have come too late to be raised
            if self._timer is not None:
                self._timer.cancel()
        for event in failed:
            self._tell(event)

    async def _converse(self) -> list[Event]:
        url = session_url(self._settings, self.session.profile.model)
        async with asyncio.timeout(self._settings.connect_timeout_s) as self._connecting:
            through_proxy = await uses_proxy(urlsplit(url).hostname or "")
            connection = await _Connect(
                url,
                additional_headers=self._headers,
                user_agent_header="ariagent",
                # Base64 audio hardly compresses; the attempt would cost more than everything else here.
                compression=None,
                max_size=MAX_MESSAGE_BYTES,
                open_timeout=None,
                ping_interval=self._settings.ping_interval_s,
                ping_timeout=self._settings.ping_interval_s,
                # Beyond our own bound: pings wait behind this limit, and would never notice a network that is gone.
                write_limit=2 * self._max_backlog + MAX_CONTROL_BYTES,
                close_timeout=CLOSE_TIMEOUT_S,
                create_connection=partial(PacedConnection, receiver=self),  # type: ignore[arg-type]
                # The environment's, but for a server on this machine.
                proxy=True if through_proxy else None,
                **self._tls,
            )
            self._connection = connection
            try:
                over = self._over.done()
                if not over:
                    self.flush()
                if (self._closing and not over) or await self._over:
                    return []
            finally:
                await _close(connection)
        lost = self.session.closed(connection.close_code, connection.close_reason or "")
        return [self._given_up] if self._given_up is not None else _violation(connection) or lost

    # -- what the connection brings (paced.Receiver) ------------------------------------------------

    def received(self, message: str | bytes) -> None:
        """Hear a message of the server's."""
        if self._closing or self._over.done():
            return
        try:
            for event in self.session.receive(message, self._loop.time()):
                if isinstance(event, SessionReady):
                    self._connecting.reschedule(None)
                self._tell(event)
                if isinstance(event, SessionFailed):
                    self._end(told=True)
                    return
            self.flush()
        except Exception as error:  # noqa: BLE001  # raised by ``run``
            if not self._over.done():
                self._over.set_exception(error)

    def lost(self) -> None:
        """The connection is gone."""
        self._end(told=False)

    def _end(self, *, told: bool) -> None:
        if not self._over.done():
            self._over.set_result(told)

    def spend(self, frames: int, size: int) -> bool:
        """Count frames and bytes that arrived."""
        now = self._loop.time()
        self._spend(self._budget.frames, frames, now)
        self._spend(self._budget.bytes, size, now)
        return self._given_up is None

    def _spend(self, allowance: Allowance, amount: float, now: float) -> None:
        if not allowance.take(amount, now):
            self.give_up(f"the model's server sent {allowance.excess}")

    def give_up(self, cause: str) -> None:
        """End the session because of what the server sends: nothing more of it is read."""
        if self._given_up is None and self._connection is not None:
            remedy = "Look at what the model's server sends: docs/failures.md#a-flood-of-messages lists the limits"
            self._given_up = SessionFailed(Fault.FLOOD, cause, remedy)
            self._connection.transport.abort()

    def append_audio(self, audio: bytes) -> bool:
        """Send caller audio (the session's input encoding); False where it was dropped.

        Never blocks: what a slow network does not take is dropped, newest first, and counted in ``dropped_s``.
        """
        connection = self._connection
        if connection is None or connection.protocol.state is not OPEN:
            return False
        if connection.transport.get_write_buffer_size() > self._max_backlog:
            self.dropped_s += len(audio) / self._bytes_per_s
            return False
        # Straight to the transport: the library's send awaits, for flow control that a live stream must not
        # obey, and costs twice as much. Nothing of its own is ever half written here.
        connection.transport.write(self._framer.frame(APPEND_HEAD, b2a_base64(audio, newline=False), APPEND_TAIL))
        return True

    async def round_trip_s(self) -> float:
        """Seconds from a ping to its answer. Raises ConnectionError when there is no connection, or none any more."""
        if self._connection is None:
            raise ConnectionError("there is no connection to the model")
        began = time.monotonic()  # the event loop's clock counts whole milliseconds
        try:
            await (await self._connection.ping())
        except ConnectionClosed:
            raise ConnectionError("the connection to the model is closed") from None
        return time.monotonic() - began

    def flush(self) -> None:
        """Send what the session wants to say, and set its timer. Call after using ``session``.

        Within ``on_event`` it does nothing: everything goes out once the message is dealt with.
        """
        if self._telling:
            return
        connection = self._connection
        if connection is not None and connection.protocol.state is OPEN and (messages := self.session.take_outgoing()):
            for message in messages:
                connection.protocol.send_text(message)
            connection.send_data()
        deadline = self.session.next_deadline()
        # A timer that rings too soon does no harm: most deadlines move on with every message.
        if deadline is not None and (self._timer is None or deadline < self._timer_at):
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = deadline
            self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        for event in self.session.tick(self._loop.time()):
            self._tell(event)
            if isinstance(event, SessionFailed) and self._connection is not None:
                # A server that says nothing would not answer a goodbye either.
                self._connection.transport.abort()
        self.flush()

    def _tell(self, event: Event) -> None:
        """Hand an event on."""
        if self._closing:
            return
        self._telling = True
        try:
            if isinstance(event, AudioArrived):
                if self.in_use:
                    self._on_audio(event)
                return
            event = self._counted(event)
            if isinstance(event, SessionReady | SessionFailed):
                self._on_session(event)
            elif self.in_use:
                self._on_event(event)
        finally:
            self._telling = False

    def _counted(self, event: Event) -> Event:
        """Count an event. What a server says of a failure may hold what it was sent, the key among it."""
        if isinstance(event, AudioEnded):
            return event
        now = self._loop.time()
        self._spend(self._budget.events, 1, now)
        match event:
            case InputMalformed():
                self._spend(self._budget.malformed, 1, now)
            case SessionFailed():
                return replace(event, cause=self._redact(event.cause[:LONGEST_CAUSE]))
            case RequestRefused() | ResponseEnded() if event.message:
                return replace(event, message=self._redact(event.message))
        return event

    async def close(self) -> None:
        """End the session; no event follows. A connection that is still being made ends as soon as it is."""
        self._closing = True
        if self._connection is not None:
            await _close(self._connection)

    def _without_tls(self, error: Exception) -> SessionFailed | None:
        host = urlsplit(self._settings.url).netloc
        found = failure(error, MODEL, host) if self._tls and self._connection is None else None
        if not self._tls and isinstance(error, InvalidMessage):
            cause = f"cannot reach the model at {host}: it does not speak HTTP, or it is a TLS port"
            return SessionFailed(Fault.NETWORK, cause, f"Check realtime.url. {MODEL.use_tls} for a TLS port")
        return None if found is None else SessionFailed(Fault.NETWORK, found.cause, found.remedy)

    def _unreachable(self, cause: str) -> SessionFailed:
        host = urlsplit(self._settings.url).netloc
        return SessionFailed(Fault.NETWORK, f"cannot reach the model at {host}: {cause}", "Check realtime.url")


def _sent_secrets(profile: SessionProfile) -> Iterator[str]:
    """The secrets with which the model's provider reaches the site's MCP servers."""
    for tool in profile.tools:
        if tool.get("type") == "mcp":
            yield from (str(tool.get("authorization", "")), *map(str, dict(tool.get("headers", {})).values()))


async def _close(connection: ClientConnection) -> None:
    """Close politely, but not for long: what waits to be sent to a peer that is gone would hold the call up."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await connection.close()
    except TimeoutError:
        connection.transport.abort()


def _violation(connection: ClientConnection) -> list[Event]:
    """Describe the server's violation of the WebSocket protocol, for which the library ended the connection."""
    sent, received = connection.protocol.close_sent, connection.protocol.close_rcvd
    if sent is None or received is not None or (what := VIOLATIONS.get(sent.code)) is None:
        return []
    fault = Fault.FLOOD if sent.code == CloseCode.MESSAGE_TOO_BIG else Fault.SERVER
    return [InputMalformed(what, 0), SessionFailed(fault, f"the model sent {what}: {sent.reason}".rstrip(": "))]


def _status_failure(status: int, body: str) -> SessionFailed:
    """The server refused the upgrade itself, as Azure does (OpenAI refuses after it)."""
    text = body[:200].strip()
    cause = f"the model refused the connection with HTTP {status} {text}".strip()
    if status in (401, 403):
        return SessionFailed(Fault.CREDENTIALS, cause, "Check realtime.api_key and that it may use the model")
    if status == 429:
        return SessionFailed(Fault.LIMIT, cause, "Ask for a higher limit or lower max_calls", full=True)
    if status < 500:
        return SessionFailed(Fault.REQUEST, cause, "Check realtime.url and realtime.model")
    return SessionFailed(Fault.SERVER, cause)
