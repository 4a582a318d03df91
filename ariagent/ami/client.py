"""One connection to Asterisk's manager interface: login, actions with bounds, events, and connecting again.

``run`` keeps it connected. Nothing is queued while there is no connection and nothing is sent twice: a transfer that
was asked for before an outage must not happen after it.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self

from ariagent.ami.events import Event, parse
from ariagent.ami.protocol import Decoder, Message, Value, challenge_key, encode
from ariagent.config import AmiSettings
from ariagent.errors import AmiError, AmiRefusedError
from ariagent.hosts import joined
from ariagent.lograte import LineBudget
from ariagent.reminder import Reminder
from ariagent.tls import AMI, client_context, failure, speaks_tls

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0
PING_S = 10.0
"""A connection that was quiet for so long is asked whether it still is one."""
READ_BYTES = 64 * 1024
MAX_LISTED = 100_000
"""Messages of one list; more is no queue's status."""


@dataclass(slots=True)
class _Pending:
    """An action that was not answered completely yet."""

    answer: asyncio.Future[list[Message]]
    as_list: bool
    messages: list[Message] = field(default_factory=list)

    def fail(self, error: AmiError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def take(self, message: Message) -> bool:
        """Add a message; returns whether it was the last."""
        if self.answer.done():
            return True
        response = message["response"] if next(iter(message)) == "response" else None
        if response is not None:
            if response.lower() not in ("success", "goodbye", "pong"):
                self.fail(AmiRefusedError(message.get("message") or f"the answer was {response[:64]}"))
                return True
            self.messages.append(message)
            if self.as_list:
                return False
        else:
            self.messages.append(message)
            if message.get("eventlist", "").lower() not in ("complete", "cancelled"):
                if len(self.messages) > MAX_LISTED:
                    self.fail(AmiError("Asterisk's list does not end"))
                    return True
                return False
        self.answer.set_result(self.messages)
        return True


class AmiClient:
    """The manager interface of one Asterisk.

    Raises ConfigurationError for a password or CA file that cannot be had.
    """

    def __init__(self, settings: AmiSettings) -> None:
        self.settings = settings
        self.failure: AmiError | None = None
        """Why there was no connection when that was last tried; None while there is one."""
        self.version = ""
        """The interface's version, of the last greeting."""
        self.malformed = 0
        """Messages that made no sense and were skipped."""
        # A missing or wrong setting is found here, not when a caller has to be rescued.
        self._password = settings.password.get_secret_value()
        self._tls = client_context(settings.ca_file, "ami.ca_file") if settings.tls else None
        self._on_event: list[Callable[[Event], None]] = []
        self._on_connected: list[Callable[[], Awaitable[None]]] = []
        self._on_lost: list[Callable[[], None]] = []
        self._on_failed: list[Callable[[], None]] = []
        self._reminder = Reminder()
        self._writer: asyncio.StreamWriter | None = None
        self._logged_in = asyncio.Event()
        self._pending: dict[str, _Pending] = {}
        self._malformed_lines = LineBudget()
        self._heard = 0.0

    def subscribe(
        self,
        on_event: Callable[[Event], None] | None = None,
        *,
        on_connected: Callable[[], Awaitable[None]] | None = None,
        on_lost: Callable[[], None] | None = None,
        on_failed: Callable[[], None] | None = None,
    ) -> None:
        """Tell one more subscriber, after those that subscribed before it.

        ``on_event`` gets every event in the order of the wire, those of lists too. ``on_connected`` runs beside each
        new connection once it is logged in, again until it does not fail. It may rely on those of earlier subscribers:
        if one of these passes only after a failure, it runs again. ``on_lost`` runs when that connection is gone,
        ``on_failed`` when ``failure`` is a new one. But for ``on_connected``, none may block.
        """
        self._on_event += [on_event] if on_event is not None else []
        self._on_connected += [on_connected] if on_connected is not None else []
        self._on_lost += [on_lost] if on_lost is not None else []
        self._on_failed += [on_failed] if on_failed is not None else []

    @property
    def state(self) -> str:
        """The state of the connection, for ``/healthz``."""
        if self.connected:
            return "connected"
        return "not connected" if self.failure is None else f"not connected: {self.failure.line}"

    @property
    def connected(self) -> bool:
        """Whether it is logged in: actions can be asked for."""
        return self._logged_in.is_set()

    async def wait_connected(self) -> None:
        """Return once it is logged in."""
        await self._logged_in.wait()

    async def action(self, name: str, /, **fields: Value) -> Message:
        """Ask for one thing; returns Asterisk's answer.

        Raises AmiRefusedError when Asterisk says no, AmiError when there is no connection, no answer within
        ``ami.request_timeout_s``, or something that cannot be sent. Not sent again, whatever happens.
        """
        if not self.connected:
            raise AmiError(f"{name}: not connected to Asterisk's manager interface")
        return (await self._ask(name, fields, as_list=False))[0]

    async def action_list(self, name: str, /, **fields: Value) -> list[Message]:
        """Ask for a list; returns its items without the answer before and the end after them. Raises as ``action``."""
        if not self.connected:
            raise AmiError(f"{name}: not connected to Asterisk's manager interface")
        return (await self._ask(name, fields, as_list=True))[1:-1]

    async def run(self) -> None:
        """Be connected until cancelled, with growing pauses between attempts."""
        pause = FIRST_PAUSE_S
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self.connection()
                self.failure = AmiError("the connection was closed")
            except AmiError as error:
                self.failure = error
            except Exception:
                # Calls continue without this connection.
                log.exception("ami.fault")
                self.failure = AmiError("an internal error ended the connection")
            if self._reminder.due(self.failure.line, loop.time()):
                log.warning("ami.lost", extra={"fields": {"cause": self.failure.line}})
                for failed in self._on_failed:
                    failed()
            if loop.time() - began > LONGEST_PAUSE_S:
                pause = FIRST_PAUSE_S
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Self]:
        """One connection, logged in, for the length of the context. Raises AmiError where there is none."""
        connection, waiting = asyncio.ensure_future(self.connection()), asyncio.ensure_future(self.wait_connected())
        try:
            await asyncio.wait((connection, waiting), return_when=asyncio.FIRST_COMPLETED)
            if connection.done():
                connection.result()
                raise AmiError("Asterisk closed the connection")
            yield self
        finally:
            for task in (waiting, connection):
                task.cancel()
            await asyncio.gather(waiting, connection, return_exceptions=True)

    # -- one connection ----------------------------------------------------------------------------

    async def connection(self) -> None:
        """One connection, for as long as it lasts. Raises AmiError where it cannot be made or is not let in."""
        reader, writer = await self._open()
        self._writer = writer
        reading = asyncio.ensure_future(self._read(reader))
        living = asyncio.ensure_future(self._live())
        try:
            await asyncio.wait((reading, living), return_when=asyncio.FIRST_COMPLETED)
            for task in (reading, living):
                if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                    raise error
        finally:
            was_connected = self.connected
            self._logged_in.clear()
            self._writer = None
            self._fail_all()
            for task in (reading, living):
                task.cancel()
            await asyncio.gather(reading, living, return_exceptions=True)
            # Not close(): what a hung Asterisk does not read would be waited for.
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
            for lost in self._on_lost if was_connected else ():
                lost()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self.settings.host, self.settings.port
        where = joined(host, port)
        secured: dict[str, Any] = {}
        if self._tls is not None:
            secured = {"ssl": self._tls, "server_hostname": self.settings.tls_name or host}
        try:
            async with asyncio.timeout(self.settings.request_timeout_s):
                return await asyncio.open_connection(host, port, **secured)
        except (OSError, TimeoutError) as error:
            if self._tls is not None and (failed := failure(error, AMI, where)) is not None:
                raise AmiError(failed.cause, remedy=failed.remedy) from None
            cause = getattr(error, "strerror", None) or "no answer"
            remedy = (
                "Is Asterisk running, and is its manager interface enabled (manager.conf) at ami.host and ami.port?"
            )
            raise AmiError(f"cannot reach Asterisk's manager interface at {where}: {cause}", remedy=remedy) from None

    async def _never_greeted(self) -> AmiError:
        """The connection ended before anything came."""
        host, port = self.settings.host, self.settings.port
        if self._tls is None and await speaks_tls(host, port):
            return AmiError(f"{joined(host, port)} speaks TLS, and ami.tls is false", remedy=AMI.use_tls)
        remedy = "Compare ami.host and ami.port with manager.conf, and read Asterisk's log"
        return AmiError(f"{joined(host, port)} closed the connection without a greeting", remedy=remedy)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        decoder = Decoder()
        loop = asyncio.get_running_loop()
        dropped = 0
        while True:
            try:
                data = await reader.read(READ_BYTES)
            except OSError as error:
                if not decoder.version:
                    raise await self._never_greeted() from None
                raise AmiError(f"the connection broke: {error.strerror or error}") from None
            if not data:
                if not decoder.version:
                    raise await self._never_greeted()
                return
            self._heard = loop.time()
            for message in decoder.feed(data):
                self._dispatch(message)
            self.version = decoder.version
            if decoder.dropped > dropped:
                self._count_malformed("too large")
                dropped = decoder.dropped
            # A flood must not keep the calls of this process from their frames.
            await asyncio.sleep(0)

    async def _live(self) -> None:
        """Log in, have the state read, then see to it that the other side is alive."""
        await self._login()
        self._logged_in.set()
        self.failure = None
        self._reminder.over()
        log.info("ami.connected", extra={"fields": {"version": self.version, "user": self.settings.user}})
        catching_up = asyncio.ensure_future(self._catch_up())
        loop = asyncio.get_running_loop()
        try:
            while True:
                quiet = loop.time() - self._heard
                if quiet < PING_S:
                    await asyncio.sleep(PING_S - quiet)
                    continue
                await self._ask("Ping", {}, as_list=False)
        finally:
            catching_up.cancel()
            await asyncio.gather(catching_up, return_exceptions=True)

    async def _login(self) -> None:
        try:
            (answer,) = await self._ask("Challenge", {"AuthType": "MD5"}, as_list=False)
        except AmiRefusedError as error:
            # Asterisk refuses none (main/manager.c, action_challenge). The password itself is shown to nobody.
            raise AmiError(
                f"Asterisk's manager interface does not give a challenge for the login: {error}",
                remedy="Compare ami.host and ami.port with manager.conf: every Asterisk gives a challenge. "
                "ariagent did not send the password",
            ) from None
        proof = {"AuthType": "MD5", "Key": challenge_key(answer.get("challenge", ""), self._password)}
        try:
            await self._ask("Login", {"Username": self.settings.user, **proof, "Events": "on"}, as_list=False)
        except AmiRefusedError as error:
            remedy = "Check ami.user and ami.password against manager.conf, and its permit lines"
            raise AmiError(f"Asterisk refused the manager's login: {error}", remedy=remedy) from None

    async def _catch_up(self) -> None:
        """Run every ``on_connected`` until it has passed. One that fails for ever does not keep the others waiting."""
        passed: set[int] = set()
        failed: set[int] = set()
        pause, reminder = FIRST_PAUSE_S, Reminder()
        while True:
            for place, on_connected in enumerate(self._on_connected):
                if place in passed:
                    continue
                if not await self._passes(on_connected, reminder):
                    failed.add(place)
                    continue
                if place in failed:
                    # Those after it ran without it.
                    failed.discard(place)
                    passed = {other for other in passed if other < place}
                passed.add(place)
            if not failed:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    @staticmethod
    async def _passes(on_connected: Callable[[], Awaitable[None]], reminder: Reminder) -> bool:
        try:
            await on_connected()
        except AmiError as error:
            if reminder.due(error.line, asyncio.get_running_loop().time()):
                log.warning("ami.catch_up_failed", extra={"fields": {"cause": error.line}})
        except Exception:
            log.exception("ami.catch_up_fault")
        else:
            return True
        return False

    # -- actions and their answers -----------------------------------------------------------------

    async def _ask(self, name: str, fields: dict[str, Value], *, as_list: bool) -> list[Message]:
        writer = self._writer
        if writer is None or writer.transport.is_closing():
            raise AmiError(f"{name}: not connected to Asterisk's manager interface")
        # Nobody can guess it: a caller's number that looks like the end of a list ends none.
        action_id = f"ariagent-{secrets.token_hex(8)}"
        data = encode(name, action_id, fields)
        pending = _Pending(asyncio.get_running_loop().create_future(), as_list)
        self._pending[action_id] = pending
        timeout_s = self.settings.request_timeout_s
        try:
            writer.write(data)
            async with asyncio.timeout(timeout_s):
                return await pending.answer
        except TimeoutError:
            raise AmiError(f"Asterisk did not answer {name} within {timeout_s:g} s") from None
        except AmiRefusedError as error:
            raise AmiRefusedError(f"{name}: {error}") from None
        finally:
            self._pending.pop(action_id, None)

    def _dispatch(self, message: Message) -> None:
        kind, *others = message
        pending = self._pending.get(message.get("actionid", ""))
        if kind == "event":
            listed = pending is not None and pending.as_list and "privilege" not in message
            try:
                event = parse(message, listed=listed)
            except (KeyError, ValueError, OverflowError) as error:
                cause = f"there is no {error.args[0]}" if isinstance(error, KeyError) else str(error)[:100]
                self._count_malformed(message["event"][:64], cause)
                event = None
            if event is not None:
                self._tell(event)
        elif kind != "response" or others[:1] != ["actionid"]:
            return  # neither an event nor an answer of Asterisk's
        # Events that an action causes may carry its id too; they do not end what has no list.
        if pending is not None and (pending.as_list or kind == "response") and pending.take(message):
            self._pending.pop(message["actionid"], None)

    def _tell(self, event: Event) -> None:
        for on_event in self._on_event:
            try:
                on_event(event)
            except Exception:
                # The other subscribers, the next event and the connection are not this subscriber's.
                log.exception("ami.event_fault", extra={"fields": {"event": type(event).__name__}})

    def _count_malformed(self, what: str, cause: str = "") -> None:
        self.malformed += 1
        left_out = self._malformed_lines.take(asyncio.get_running_loop().time())
        if left_out is not None:
            more = {"cause": cause} if cause else {}
            fields = {"event": what, **more, **({"unlogged": left_out} if left_out else {})}
            log.warning("ami.malformed", extra={"fields": fields})

    def _fail_all(self) -> None:
        waiting, self._pending = self._pending, {}
        for pending in waiting.values():
            pending.fail(AmiError("the connection to Asterisk's manager interface was lost"))
