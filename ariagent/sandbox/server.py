"""The sandbox: a WebSocket server that drives sessions, their voice and their recogniser."""

import asyncio
import errno
import http
import json
import logging
import secrets
import socket
import struct
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from ariagent.errors import AriagentError, ConfigurationError
from ariagent.sandbox import recognise, speech
from ariagent.sandbox.bill import Bill
from ariagent.sandbox.catalogue import model_list
from ariagent.sandbox.gatekeeper import Refusal, admit, wrong_key
from ariagent.sandbox.line import Abort, Close, Recognise, SendEvent, Synthesize
from ariagent.sandbox.network import Way
from ariagent.sandbox.options import SandboxOptions
from ariagent.sandbox.record import SandboxSession
from ariagent.sandbox.scenario import Paraphrases
from ariagent.sandbox.scenario_file import load_scenario
from ariagent.sandbox.session import Session
from ariagent.sandbox.turns import Detector
from ariagent.sandbox.vad import Energy, Silero
from ariagent.synthesis import programs

log = logging.getLogger(__name__)

PATHS = ("/v1/realtime", "/openai/v1/realtime")
BILL = "/sandbox/bill"
"""Not of the API: the tokens of the latest responses, as JSON, and which of their items were deleted."""
CONVERSATIONS = "/sandbox/conversations"
"""Not of the API: what the latest responses were made from, as JSON. ``?response=ID`` or ``?session=ID`` chooses."""
MAX_MESSAGE_BYTES = 24 * 1024 * 1024
"""15 MiB of audio, as base64, and some."""
MAX_BACKLOG_BYTES = 64 * 1024 * 1024
"""A client that does not read what it is sent is cut off here."""
_CLOSE_SECONDS = 2.0


class SandboxServer:
    """A local Realtime server on loopback, for development and tests.

    ::

        async with SandboxServer(SandboxOptions(think_ms=50)) as server:
            ...connect to server.url...
            session = await server.wait_session()
            await session.wait_event("conversation.item.truncate")

    ``sessions`` holds every session since the start, oldest first, also those that are over. ``made_from`` is called
    with what each response is made from.
    """

    def __init__(
        self,
        options: SandboxOptions | None = None,
        *,
        keep_sessions: int = 1000,
        made_from: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.options = options or SandboxOptions()
        self.sessions: list[SandboxSession] = []
        self.bill = Bill()
        self._keep_sessions = keep_sessions
        self._made_from = made_from or (lambda _: None)
        self._paraphrases = Paraphrases(self.options.paraphrase)
        self._count = 0
        self._arrived = asyncio.Event()
        self._ending = asyncio.Event()
        self._server: Server | None = None
        self._voice: speech.Voice | None = None
        self._recogniser: recognise.Recogniser | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # -- life --

    async def start(self) -> None:
        """Listen. Raises :class:`ConfigurationError` for a bad scenario, a missing tool or extra, or a taken port."""
        options = self.options
        speech.check_voice(options.voice)
        known = recognise.known_word if options.recogniser else None
        await asyncio.to_thread(_detector, options)  # its model is missed now and not by the first session
        self._scenario = await asyncio.to_thread(load_scenario, options.scenario, known)
        self.options = replace(options, faults=options.faults + self._scenario.faults)
        find = programs.fetched if options.fetch else programs.installed
        flite = [] if options.voice == "tone" else await asyncio.to_thread(find, "flite")
        espeak: list[str] = []
        if flite and any(speech.is_spanish(text) for text in self._scenario.texts()):
            espeak = await asyncio.to_thread(find, "espeak-ng")
        self._voice = speech.Voice(flite, options.voice, options.cache_dir, espeak)
        if options.recogniser:
            self._recogniser = recognise.Recogniser(self._scenario.grammar, self._scenario.pronunciations)
        try:
            self._server = await serve(
                self._serve,
                options.host,
                options.port,
                process_request=self._process_request,
                select_subprotocol=_select_subprotocol,
                ping_interval=options.ping_seconds or None,
                ping_timeout=options.ping_seconds or None,
                max_size=MAX_MESSAGE_BYTES,
                close_timeout=_CLOSE_SECONDS,
                server_header="ariagent-sandbox",
            )
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            cause = "it is taken" if taken else error.strerror or str(error)
            raise ConfigurationError(
                f"the sandbox cannot listen on {options.host} port {options.port}: {cause}",
                remedy="Choose another --port, or 0 for a free one",
            ) from error
        self._task(self._warm_up())

    async def close(self) -> None:
        """Close every session, stop listening, and wait until nothing runs any more."""
        self._ending.set()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._voice is not None:
            await self._voice.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _warm_up(self) -> None:
        """Load and synthesise what the first answers would otherwise have to wait for."""
        if self._recogniser is not None:
            await self._recogniser.warm_up()
        if self.options.prewarm and self._voice is not None:
            from ariagent.sandbox.audio import PCM

            for text in self._scenario.texts():
                await self._voice.say(text, "marin", 1.0, PCM)
        log.info("sandbox.warmed_up")

    # -- looking at it --

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None, "not started"
        port: int = next(iter(self._server.sockets)).getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Where clients connect to; they add ``?model=``."""
        return f"ws://{self.options.host}:{self.port}/v1/realtime"

    @property
    def base_url(self) -> str:
        """The ``base_url`` of the openai package's client."""
        return f"http://{self.options.host}:{self.port}/v1"

    @property
    def session(self) -> SandboxSession:
        """The newest session."""
        return self.sessions[-1]

    def count_anew(self) -> None:
        """Forget the sessions until now; the next one is number 1 again."""
        self.sessions.clear()
        self._count = 0

    async def wait_session(self, number: int = 1, timeout: float = 5.0) -> SandboxSession:
        """The ``number``-th session since the start (1 is the first); waits until it is there. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            while True:
                for session in self.sessions:
                    if session.number == number:
                        return session
                self._arrived.clear()
                await self._arrived.wait()

    # -- connections --

    async def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        parts = urlsplit(request.path)
        if parts.path == "/healthz":
            return connection.respond(http.HTTPStatus.OK, "ok\n")
        if (listed := model_list(parts.path, request.headers, self.options)) is not None:
            status, body = listed
            return _respond_json(connection, status, body)
        if parts.path == BILL:
            if (refusal := wrong_key(request.headers, self.options)) is not None:
                return _refused(connection, refusal)
            return _respond_json(connection, 200, {"responses": self.bill.entries()})
        if parts.path == CONVERSATIONS:
            return self._conversations(connection, request)
        if parts.path not in PATHS:
            return connection.respond(http.HTTPStatus.NOT_FOUND, f"no such path; try {PATHS[0]}?model=...\n")
        try:
            options = self._options(request)
        except ConfigurationError as error:
            return connection.respond(http.HTTPStatus.BAD_REQUEST, error.line + "\n")
        if fault := options.faults.get("http"):
            status = http.HTTPStatus(int(fault.number(403)))
            return connection.respond(status, json.dumps({"error": {"message": status.phrase}}))
        if options.faults.get("hang"):
            await self._hang(connection, options.session_seconds)
            return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "the sandbox ends\n")
        if options.network_ms:
            await asyncio.sleep(2 * options.network_ms / 1000)
        return None

    def _conversations(self, connection: ServerConnection, request: Request) -> Response:
        if (refusal := wrong_key(request.headers, self.options)) is not None:
            return _refused(connection, refusal)
        wanted = parse_qs(urlsplit(request.path).query)
        found = [
            conversation
            for session in self.sessions
            for conversation in session.conversations
            if all(conversation[name] in wanted.get(name, [conversation[name]]) for name in ("session", "response"))
        ]
        return _respond_json(connection, 200, {"conversations": found})

    async def _hang(self, connection: ServerConnection, seconds: float) -> None:
        ending = asyncio.ensure_future(self._ending.wait())
        try:
            waits = (ending, connection.connection_lost_waiter)
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ending.cancel()
        if connection.connection_lost_waiter.done():
            raise asyncio.CancelledError  # nobody is left to answer; the library takes it as such, without a trace

    def _options(self, request: Request) -> SandboxOptions:
        query = parse_qs(urlsplit(request.path).query)
        if fault := request.headers.get("X-Sandbox-Fault"):
            query.setdefault("fault", []).append(fault)
        return self.options.with_query(query)

    async def _serve(self, connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        options = self._options(request)
        verdict = admit(request.path, request.headers, options, sum(session.alive for session in self.sessions))
        if isinstance(verdict, Refusal):
            log.info("sandbox.refused", extra={"fields": {"code": verdict.code}})
            await connection.send(json.dumps(verdict.event(f"event_{secrets.token_hex(8)}")))
            await connection.close(verdict.close_code, verdict.reason)
            return
        self._count += 1
        record = SandboxSession(self._count, keep_audio=options.keep_audio, made_from=self._made_from)
        record.core = Session(
            model=verdict.model,
            options=options,
            scenario=self._scenario,
            detector=_detector(options),
            salt=secrets.token_hex(5),
            wall_time=time.time(),
            transcription=verdict.transcription,
            observer=record,
            paraphrases=self._paraphrases,
        )
        self.sessions.append(record)
        del self.sessions[: -self._keep_sessions]
        self._arrived.set()
        log.info("sandbox.connected", extra={"fields": {"session": record.id, "model": verdict.model}})
        await _Driver(self, connection, record, options).run()
        fields = {"session": record.id, "code": record.close_code, "audio_ms": round(record.appended_ms)}
        log.info("sandbox.disconnected", extra={"fields": fields})

    # -- work for sessions --

    async def synthesize(self, command: Synthesize) -> bytes:
        """Do what a :class:`Synthesize` asks for."""
        assert self._voice is not None
        return await self._voice.say(command.text, command.voice, command.speed, command.format)

    async def recognise(self, command: Recognise) -> str:
        """Do what a :class:`Recognise` asks for."""
        if self._recogniser is None:
            return ""
        return await self._recogniser.recognise(command.samples, command.rate_hz)

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Driver:
    """One connection: feeds its session, sends what it says, wakes it in time.

    One timer serves the session and both ways of the network.
    """

    def __init__(
        self, server: SandboxServer, connection: ServerConnection, record: SandboxSession, options: SandboxOptions
    ) -> None:
        self._server = server
        self._connection = connection
        self._record = record
        self._core = record.core
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        slow = options.faults.get("slow_reader")
        self._pause_seconds = slow.number(200) / 1000 if slow else 0.0
        self._in_binary = options.faults.get("binary_frames") is not None
        self._over = False
        self._aborted = False
        """The session has ended; the reset of its connection may still be under way."""
        self._armed_for = 0.0
        delay_s = options.network_ms / 1000
        self._inward: Way[str | bytes] = Way(delay_s)
        self._outward: Way[SendEvent | Close | Abort] = Way(delay_s)

    async def run(self) -> None:
        """Until the connection is gone."""
        try:
            self._core.start(self._loop.time())
            self._proceed(self._loop.time())
            async for message in self._connection:
                self._inward.send(message, self._loop.time())
                self._proceed(self._loop.time())
                if self._pause_seconds:
                    await asyncio.sleep(self._pause_seconds)
            while (due := self._inward.next_arrival()) is not None:  # sent before the client closed
                await asyncio.sleep(due - self._loop.time())
                self._proceed(max(due, self._loop.time()))
        except ConnectionClosed:
            pass
        finally:
            self._over = True
            if self._timer is not None:
                self._timer.cancel()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._record.note_closed(self._connection.close_code)

    def _proceed(self, now: float) -> None:
        """Let messages arrive, do what the session wants, and re-arm the timer."""
        for message in self._inward.arrived(now):
            if isinstance(message, str):
                self._core.receive(message, now)
            else:
                self._core.receive_binary()
        for command in self._core.take():
            if self._over or self._aborted:
                continue
            if isinstance(command, Synthesize):
                self._spawn(self._synthesize(command))
            elif isinstance(command, Recognise):
                self._spawn(self._recognise(command))
            else:
                if isinstance(command, SendEvent):
                    self._record.note_sent(command.event)
                    self._server.bill.note_sent(self._record.id, command.event)
                self._aborted = isinstance(command, Abort)
                self._outward.send(command, now)
        for command in self._outward.arrived(now):
            if self._over:
                continue
            if isinstance(command, SendEvent):
                self._send(command.event)
            elif isinstance(command, Close):
                self._spawn(self._close(command))
            else:
                self._abort(command)
        self._arm()

    def _arm(self) -> None:
        wanted = (self._core.next_deadline(), self._inward.next_arrival(), self._outward.next_arrival())
        deadline = min((when for when in wanted if when is not None), default=None)
        if self._timer is not None:
            # Kept apart: a uvloop handle that is due at once does not say when.
            if deadline == self._armed_for:
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None and not self._over:
            self._armed_for = deadline
            self._timer = self._loop.call_at(deadline, self._wake)

    def _wake(self) -> None:
        self._timer = None
        # The loop may call a hair early; the clock must not be behind the deadline that the timer was armed for.
        now = max(self._loop.time(), self._armed_for)
        self._core.tick(now)
        self._proceed(now)

    def _send(self, event: dict[str, Any]) -> None:
        # broadcast() is the library's way to send without waiting; what is not read piles up, so that is bounded here.
        message = json.dumps(event, separators=(",", ":"))
        broadcast((self._connection,), message.encode() if self._in_binary else message)
        if self._connection.transport.get_write_buffer_size() > MAX_BACKLOG_BYTES:
            log.warning("sandbox.client_reads_nothing", extra={"fields": {"session": self._record.id}})
            self._connection.transport.abort()

    def _abort(self, command: Abort) -> None:
        payload = json.dumps(command.event).encode()
        half = bytes((0x81, 126)) + struct.pack(">H", min(len(payload), 0xFFFF)) + payload[: len(payload) // 2]
        transport = self._connection.transport
        transport.write(half)
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset instead of an orderly end
        transport.abort()
        self._over = True

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except AriagentError as error:
            log.error("sandbox.failed", extra={"fields": {"session": self._record.id, "error": error.line}})
            await self._connection.close(1011, "The server had an error.")
        except Exception:  # a task's edge
            log.exception("sandbox.fault", extra={"fields": {"session": self._record.id}})
            await self._connection.close(1011, "The server had an error.")

    async def _synthesize(self, command: Synthesize) -> None:
        audio = await self._server.synthesize(command)
        self._core.speech_ready(command.key, audio, self._loop.time())
        self._proceed(self._loop.time())

    async def _recognise(self, command: Recognise) -> None:
        words = await self._server.recognise(command)
        log.info("sandbox.heard", extra={"fields": {"session": self._record.id, "words": words}})
        self._core.recognised(command.key, words, self._loop.time())
        self._proceed(self._loop.time())

    async def _close(self, command: Close) -> None:
        with suppress(ConnectionClosed):
            await self._connection.close(command.code, command.reason[:120])


def _refused(connection: ServerConnection, refusal: Refusal) -> Response:
    return _respond_json(connection, 401, {"error": {"code": refusal.code, "message": refusal.message}})


def _respond_json(connection: ServerConnection, status: int, body: dict[str, Any]) -> Response:
    response = connection.respond(http.HTTPStatus(status), json.dumps(body))
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    return response


def _detector(options: SandboxOptions) -> Detector | None:
    if options.detector == "silero":
        return Silero()
    return Energy() if options.detector in ("energy", "reflex") else None


def _select_subprotocol(connection: ServerConnection, offered: Any) -> Subprotocol | None:
    """Browsers offer ``realtime`` beside their key; other clients offer nothing."""
    return Subprotocol("realtime") if "realtime" in offered else None
