"""The driver against real WebSocket servers, and worse, on loopback."""

import asyncio
import base64
import gc
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from http import HTTPStatus
from typing import Any

import pytest
from pydantic import SecretStr
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from ariagent.config import AgentSettings, RealtimeSettings
from ariagent.realtime import client as client_module
from ariagent.realtime import gate as gate_module
from ariagent.realtime.client import RealtimeClient, session_headers, session_url
from ariagent.realtime.events import (
    Event,
    Fault,
    InputMalformed,
    RequestRefused,
    SessionFailed,
    SessionReady,
    SpeechStarted,
)
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.session import State

PATIENCE_S = 20.0  # for what must happen, on a busy machine

Script = Callable[[ServerConnection], Awaitable[None]]


async def within(work: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(work, PATIENCE_S)


async def greet(connection: ServerConnection) -> None:
    """Create and configure a session as the real server does."""
    await connection.send(json.dumps({"type": "session.created", "session": {"id": "s1"}}))
    update = json.loads(await connection.recv())
    assert update["type"] == "session.update"
    await connection.send(json.dumps({"type": "session.updated", "session": {"id": "s1", **update["session"]}}))


class Recorder:
    """One client with what it reported."""

    def __init__(self, url: str, **settings: Any) -> None:
        given: dict[str, Any] = {"api_key": SecretStr("sk-1"), "connect_timeout_s": PATIENCE_S, **settings}
        realtime = RealtimeSettings(url=url, **given)
        self.events: list[Event] = []
        self.changed = asyncio.Event()
        self.client = RealtimeClient(realtime, SessionProfile.of(AgentSettings(), realtime), self.on_event)
        self.running = asyncio.ensure_future(self.client.run())

    def on_event(self, event: Event) -> None:
        self.events.append(event)
        self.changed.set()

    async def saw(self, kind: type[Event]) -> Event:
        """The first event of this kind, awaited."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for event in self.events:
                    if isinstance(event, kind):
                        return event
                self.changed.clear()
                await self.changed.wait()

    async def failure(self) -> SessionFailed:
        """How the session ended: its last event."""
        await within(self.running)
        last = self.events[-1]
        assert isinstance(last, SessionFailed)
        assert self.client.session.state is State.CLOSED
        assert self.client.session.next_deadline() is None
        assert sum(isinstance(event, SessionFailed) for event in self.events) == 1
        return last


Connect = Callable[..., Recorder]
Listen = Callable[..., Awaitable[str]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """``connect(url, setting=...)``: a client that runs; ended after the test."""
    made: list[Recorder] = []

    def make(url: str, **settings: Any) -> Recorder:
        made.append(Recorder(url, **settings))
        return made[-1]

    yield make
    for recorder in made:
        recorder.running.cancel()
        with suppress(asyncio.CancelledError):
            await recorder.running


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    """``await listen(script)``: the URL of a WebSocket server that does ``script`` with each connection."""
    async with AsyncExitStack() as servers:

        async def start(script: Script, **options: Any) -> str:
            async def handler(connection: ServerConnection) -> None:
                with suppress(ConnectionClosed):
                    await script(connection)

            server: Server = await servers.enter_async_context(
                serve(handler, "127.0.0.1", 0, **{"ping_interval": None, "close_timeout": 0.5, **options})
            )
            return f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/v1/realtime"

        yield start


@pytest.fixture
async def listen_raw() -> AsyncIterator[Listen]:
    """``await listen_raw(answer)``: the URL of a TCP server that answers with these bytes; without any it waits."""
    servers: list[asyncio.Server] = []
    over = asyncio.Event()

    async def start(answer: bytes) -> str:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if answer:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
                await writer.drain()
            else:
                await over.wait()
            writer.close()

        servers.append(await asyncio.start_server(handler, "127.0.0.1", 0))
        return f"ws://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}/"

    yield start
    over.set()
    for server in servers:
        server.close()
        await server.wait_closed()


async def hold(connection: ServerConnection) -> None:
    await greet(connection)
    await connection.wait_closed()


class TestConnection:
    async def test_asks_for_the_model_with_the_key_and_without_compression(
        self, listen: Listen, connect: Connect
    ) -> None:
        asked: list[Request] = []

        async def script(connection: ServerConnection) -> None:
            assert connection.request is not None
            asked.append(connection.request)
            await hold(connection)

        recorder = connect(await listen(script), model="gpt-x")
        assert await recorder.saw(SessionReady)
        (request,) = asked
        assert request.path == "/v1/realtime?model=gpt-x"
        assert request.headers["Authorization"] == "Bearer sk-1"
        assert "Sec-WebSocket-Extensions" not in request.headers

    async def test_sends_what_the_session_says_as_text(self, listen: Listen, connect: Connect) -> None:
        heard: asyncio.Queue[Any] = asyncio.Queue()

        async def script(connection: ServerConnection) -> None:
            await greet(connection)
            async for message in connection:
                heard.put_nowait(message)

        recorder = connect(await listen(script))
        await recorder.saw(SessionReady)
        recorder.client.session.add_text("user", "Grüß Gott")
        recorder.client.flush()
        assert recorder.client.append_audio(b"\x01\x02" * 480)
        item, append = await within(heard.get()), await within(heard.get())
        assert json.loads(item)["item"]["content"][0]["text"] == "Grüß Gott"
        assert base64.b64decode(json.loads(append)["audio"]) == b"\x01\x02" * 480

    async def test_answers_of_the_session_go_out_by_themselves(self, listen: Listen, connect: Connect) -> None:
        asked = asyncio.get_running_loop().create_future()

        async def script(connection: ServerConnection) -> None:
            await greet(connection)
            asked.set_result(json.loads(await connection.recv())["type"])

        recorder = connect(await listen(script))
        recorder.client.session.request_response(0.0)  # wanted before there is a connection
        assert await within(asked) == "response.create"

    async def test_a_deadline_of_the_session_is_kept_without_any_message(
        self, listen: Listen, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gate_module, "SERVER_RESPONSE_WAIT_S", 0.05)
        asked = asyncio.get_running_loop().create_future()

        async def script(connection: ServerConnection) -> None:
            await greet(connection)
            committed = {"type": "input_audio_buffer.committed", "item_id": "u", "previous_item_id": None}
            await connection.send(json.dumps(committed))
            asked.set_result(json.loads(await connection.recv())["type"])

        recorder = connect(await listen(script))
        await recorder.saw(SessionReady)
        loop = asyncio.get_running_loop()
        recorder.client.session.responses.caller_ceased(loop.time())
        recorder.client.session.request_response(loop.time())
        recorder.client.flush()
        assert await within(asked) == "response.create"

    async def test_a_malformed_frame_is_skipped(self, listen: Listen, connect: Connect) -> None:
        async def script(connection: ServerConnection) -> None:
            await greet(connection)
            await connection.send(b"\x00\x01\x02")
            await connection.send("{")
            started = {"type": "input_audio_buffer.speech_started", "item_id": "u", "audio_start_ms": 20}
            await connection.send(json.dumps(started))
            await connection.wait_closed()

        recorder = connect(await listen(script))
        await recorder.saw(SpeechStarted)
        assert recorder.events[1:] == [
            InputMalformed("binary frame", 3),
            InputMalformed("not JSON", 1),
            SpeechStarted("u", 20.0),
        ]

    async def test_audio_before_the_connection_goes_nowhere(self, listen_raw: Listen, connect: Connect) -> None:
        recorder = connect(await listen_raw(b""))
        assert not recorder.client.append_audio(bytes(960))
        assert recorder.client.dropped_s == 0.0

    async def test_an_error_of_the_receiver_comes_out_of_run(self, listen: Listen) -> None:
        def broken(event: Event) -> None:
            raise RuntimeError("the receiver's")

        realtime = RealtimeSettings(url=await listen(hold), api_key=SecretStr("sk-1"), connect_timeout_s=PATIENCE_S)
        with pytest.raises(RuntimeError, match="the receiver's"):
            await within(RealtimeClient(realtime, SessionProfile.of(AgentSettings(), realtime), broken).run())

    async def test_an_error_of_the_receiver_that_comes_with_the_end_is_not_complained_of_later(
        self, listen: Listen, caplog: pytest.LogCaptureFixture
    ) -> None:
        made: list[RealtimeClient] = []

        def broken(event: Event) -> None:
            made[0]._closing = True  # as ``close`` does first
            raise RuntimeError("the receiver's")

        async def script(connection: ServerConnection) -> None:
            error = {"type": "invalid_request_error", "code": "x", "message": "no"}
            await connection.send(json.dumps({"type": "error", "error": error}))
            await connection.wait_closed()

        realtime = RealtimeSettings(url=await listen(script), api_key=SecretStr("sk-1"), connect_timeout_s=PATIENCE_S)
        made.append(RealtimeClient(realtime, SessionProfile.of(AgentSettings(), realtime), broken))
        with suppress(RuntimeError):
            await within(made[0].run())
        made.clear()
        gc.collect()
        await asyncio.sleep(0)
        assert caplog.records == []


class TestRefusal:
    @pytest.mark.parametrize(
        ("status", "fault"),
        [
            (HTTPStatus.BAD_REQUEST, Fault.REQUEST),
            (HTTPStatus.UNAUTHORIZED, Fault.CREDENTIALS),
            (HTTPStatus.FORBIDDEN, Fault.CREDENTIALS),
            (HTTPStatus.NOT_FOUND, Fault.REQUEST),
            (HTTPStatus.TOO_MANY_REQUESTS, Fault.LIMIT),
            (HTTPStatus.SERVICE_UNAVAILABLE, Fault.SERVER),
        ],
    )
    async def test_by_http_status(self, listen: Listen, connect: Connect, status: HTTPStatus, fault: Fault) -> None:
        def refuse(connection: ServerConnection, request: Request) -> Response:
            return connection.respond(status, "because of reasons\n")

        failure = await connect(await listen(hold, process_request=refuse)).failure()
        assert failure.fault is fault
        assert failure.cause == f"the model refused the connection with HTTP {status.value} because of reasons"

    @pytest.mark.parametrize("framing", [b"", b"Content-Length: 900000000\r\n", b"Transfer-Encoding: chunked\r\n"])
    async def test_without_end(self, connect: Connect, framing: bytes) -> None:
        # Chunks of one byte, read to the library's limit, would keep the event loop for 20 s.
        async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                writer.write(b"HTTP/1.1 403 Forbidden\r\n" + framing + b"\r\n")
                while True:
                    writer.write(b"1\r\na\r\n" * 1000)
                    await writer.drain()
            writer.close()

        async with await asyncio.start_server(flood, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            failure = await connect(f"ws://127.0.0.1:{port}/v1/realtime").failure()
        assert failure.fault is Fault.CREDENTIALS
        assert failure.cause.startswith("the model refused the connection with HTTP 403 ")

    async def test_in_band(self, listen: Listen, connect: Connect) -> None:
        async def script(connection: ServerConnection) -> None:
            error = {"type": "invalid_request_error", "code": "invalid_api_key", "message": "Incorrect API key"}
            await connection.send(json.dumps({"type": "error", "error": error}))
            await connection.close(3000, "invalid_request_error.invalid_api_key")

        recorder = connect(await listen(script))
        failure = await recorder.failure()
        assert failure.fault is Fault.CREDENTIALS
        assert failure.remedy == "Check realtime.api_key"
        assert isinstance(recorder.events[0], RequestRefused)

    async def test_of_the_configuration_closes_the_connection(self, listen: Listen, connect: Connect) -> None:
        closed = asyncio.get_running_loop().create_future()

        async def script(connection: ServerConnection) -> None:
            await connection.send(json.dumps({"type": "session.created", "session": {"id": "s1"}}))
            await connection.recv()
            error = {"type": "invalid_request_error", "code": "invalid_value", "message": "no such voice"}
            await connection.send(json.dumps({"type": "error", "error": error}))
            await connection.wait_closed()
            closed.set_result(connection.close_code)

        failure = await connect(await listen(script)).failure()
        assert failure.fault is Fault.REQUEST
        assert "no such voice" in failure.cause
        assert await within(closed) == 1000

    async def test_the_key_does_not_follow_a_redirection(self, listen: Listen, connect: Connect) -> None:
        elsewhere: list[str] = []

        def note(connection: ServerConnection, request: Request) -> Response:
            elsewhere.append(request.headers.get("Authorization", ""))
            return connection.respond(HTTPStatus.GONE, "")

        other = await listen(hold, process_request=note)

        def redirect(connection: ServerConnection, request: Request) -> Response:
            response = connection.respond(HTTPStatus.FOUND, "")
            response.headers["Location"] = other
            return response

        failure = await connect(await listen(hold, process_request=redirect)).failure()
        assert failure.fault is Fault.REQUEST
        assert elsewhere == []


class TestUnreachable:
    async def test_nobody_listens(self, connect: Connect) -> None:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        failure = await connect(f"ws://127.0.0.1:{port}/v1/realtime").failure()
        assert failure.fault is Fault.NETWORK
        assert failure.cause.startswith(f"cannot reach the model at 127.0.0.1:{port}: ")
        assert failure.remedy == "Check realtime.url"

    async def test_no_tls_where_tls_is_wanted(self, listen_raw: Listen, connect: Connect) -> None:
        url = await listen_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        failure = await connect(url.replace("ws://", "wss://"), connect_timeout_s=1.0).failure()
        assert failure.fault is Fault.NETWORK

    @pytest.mark.parametrize(
        "answer",
        [
            b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
            b"\x00" * 64 + b"\r\n\r\n",
        ],
    )
    async def test_something_else_listens(self, listen_raw: Listen, connect: Connect, answer: bytes) -> None:
        failure = await connect(await listen_raw(answer)).failure()
        assert failure.fault in (Fault.NETWORK, Fault.REQUEST)

    async def test_a_connection_that_nobody_answers(self, listen_raw: Listen, connect: Connect) -> None:
        failure = await connect(await listen_raw(b""), connect_timeout_s=0.3).failure()
        assert failure.fault is Fault.NETWORK
        assert failure.cause.endswith("no answer within 0.3 s")

    @pytest.mark.parametrize("created", [False, True])
    async def test_a_session_that_is_not_configured_in_time(
        self, listen: Listen, connect: Connect, created: bool
    ) -> None:
        async def script(connection: ServerConnection) -> None:
            if created:
                await connection.send(json.dumps({"type": "session.created", "session": {"id": "s1"}}))
            await connection.wait_closed()

        recorder = connect(await listen(script), connect_timeout_s=0.3)
        failure = await recorder.failure()
        assert failure.cause.endswith("no answer within 0.3 s")
        assert recorder.events == [failure]

    async def test_the_patience_ends_with_the_beginning(self, listen: Listen, connect: Connect) -> None:
        async def script(connection: ServerConnection) -> None:
            await greet(connection)
            await asyncio.sleep(1.2)  # longer than a beginning may take
            started = {"type": "input_audio_buffer.speech_started", "item_id": "u", "audio_start_ms": 20}
            await connection.send(json.dumps(started))
            await connection.wait_closed()

        recorder = connect(await listen(script), connect_timeout_s=1.0)
        assert await recorder.saw(SpeechStarted)


ELSEWHERE = "ws://model.invalid/v1"
"""A server that only a proxy could reach."""


class TestProxy:
    """The library obeys the environment's proxy settings; whatever is wrong with them, the model is unreachable."""

    @pytest.fixture(autouse=True)
    def bypass_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)

    @pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "nonsense://127.0.0.1:9", "http://"])
    async def test_settings_that_cannot_work(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch, proxy: str
    ) -> None:
        monkeypatch.setenv("ws_proxy", proxy)
        recorder = connect(ELSEWHERE)
        failure = await recorder.failure()
        assert failure.fault is Fault.NETWORK
        assert failure.cause.startswith("cannot reach the model at model.invalid: ")
        assert recorder.events == [failure]

    async def test_a_package_for_them_that_is_not_there(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "python_socks", None)
        monkeypatch.setitem(sys.modules, "python_socks.async_.asyncio", None)
        monkeypatch.setenv("ws_proxy", "socks5://127.0.0.1:9")
        failure = await connect(ELSEWHERE).failure()
        assert failure.fault is Fault.NETWORK
        assert "python-socks" in failure.cause

    async def test_one_that_refuses(
        self, listen_raw: Listen, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        proxy = await listen_raw(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        monkeypatch.setenv("ws_proxy", proxy.replace("ws://", "http://"))
        failure = await connect(ELSEWHERE).failure()
        assert failure.fault is Fault.NETWORK
        assert "407" in failure.cause

    async def test_a_server_on_this_machine_needs_none(
        self, listen: Listen, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ws_proxy", "http://127.0.0.1:9")
        recorder = connect(await listen(greet))
        await recorder.saw(SessionReady)


class TestLoss:
    async def test_closed_at_the_longest_duration(self, listen: Listen, connect: Connect) -> None:
        async def script(connection: ServerConnection) -> None:
            await greet(connection)
            text = "Your session hit the maximum duration of 60 minutes."
            error = {"type": "invalid_request_error", "code": "session_expired", "message": text}
            await connection.send(json.dumps({"type": "error", "error": error}))
            await connection.close(1001, text)

        assert (await connect(await listen(script)).failure()).fault is Fault.EXPIRED

    async def test_cut_off_inside_a_frame(self, listen: Listen, connect: Connect) -> None:
        async def script(connection: ServerConnection) -> None:
            await greet(connection)
            connection.transport.write(b"\x81\x7e\x10\x00" + b'{"type":')  # 4096 bytes promised
            await asyncio.sleep(0)
            connection.transport.close()

        failure = await connect(await listen(script)).failure()
        assert (failure.fault, failure.cause) == (Fault.NETWORK, "the connection to the model was cut off")

    async def test_reset(self, listen: Listen, connect: Connect) -> None:
        async def script(connection: ServerConnection) -> None:
            await greet(connection)
            connection.transport.abort()

        assert (await connect(await listen(script)).failure()).fault is Fault.NETWORK

    async def test_a_frame_that_breaks_the_protocol(self, listen: Listen, connect: Connect) -> None:
        async def script(connection: ServerConnection) -> None:
            await greet(connection)
            connection.transport.write(b"\xff\xff\xff\xff")
            await connection.wait_closed()

        assert (await connect(await listen(script)).failure()).fault in (Fault.NETWORK, Fault.SERVER)

    async def test_a_peer_that_answers_no_ping_is_gone(
        self, listen: Listen, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client_module, "CLOSE_TIMEOUT_S", 0.1)
        over = asyncio.Event()

        async def script(connection: ServerConnection) -> None:
            await greet(connection)
            connection.transport.pause_reading()  # a host that is gone: nothing is read, nothing is said
            await over.wait()
            connection.transport.abort()

        recorder = connect(await listen(script), ping_interval_s=0.2)
        try:
            failure = await recorder.failure()
        finally:
            over.set()
        assert (failure.fault, failure.cause) == (Fault.NETWORK, "the connection to the model was cut off")

    async def test_what_is_said_after_the_loss_is_not_an_error(self, listen: Listen, connect: Connect) -> None:
        async def script(connection: ServerConnection) -> None:
            await greet(connection)
            connection.transport.abort()

        recorder = connect(await listen(script))
        await recorder.failure()
        assert not recorder.client.append_audio(bytes(960))
        recorder.client.session.add_text("user", "x")
        recorder.client.flush()
        await within(recorder.client.close())


class TestSlowNetwork:
    async def test_audio_that_it_does_not_take_is_dropped_and_counted_and_events_still_arrive(
        self, listen: Listen, connect: Connect
    ) -> None:
        resume = asyncio.Event()
        heard_s = asyncio.get_running_loop().create_future()
        end = "end of the test"

        async def script(connection: ServerConnection) -> None:
            await greet(connection)
            connection.transport.pause_reading()
            started = {"type": "input_audio_buffer.speech_started", "item_id": "u", "audio_start_ms": 20}
            await connection.send(json.dumps(started))
            await resume.wait()
            connection.transport.resume_reading()
            heard = 0
            async for text in connection:
                message = json.loads(text)
                if message["type"] != "input_audio_buffer.append":
                    break
                heard += len(base64.b64decode(message["audio"]))
            heard_s.set_result(heard / 48_000)

        url = await listen(script, max_size=None)
        recorder = connect(url, max_backlog_s=0.5, ping_interval_s=3600.0)
        await recorder.saw(SpeechStarted)  # told while nothing is read any more
        client = recorder.client
        chunk, given_s = bytes(96_000), 0.0
        try:
            # The kernel takes some megabytes; then ours fills, and no more.
            for _ in range(500):
                dropped_s = client.dropped_s
                taken = client.append_audio(chunk)
                assert client.dropped_s == dropped_s + (0.0 if taken else 2.0)
                given_s += 2.0
                await asyncio.sleep(0)
                if client.dropped_s >= 10.0:
                    break
            assert client.dropped_s == 10.0
            backlog = client._connection.transport.get_write_buffer_size()  # type: ignore[union-attr]
            assert backlog < 48_000 * 4 / 3 * (0.5 + 2.0) + 100
        finally:
            resume.set()
        client.session.add_text("user", end)
        client.flush()
        assert await within(heard_s) == pytest.approx(given_s - client.dropped_s)


class Hole:
    """A peer that greets, then reads nothing any more though its host still takes what fits into its buffers."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    async def script(self, connection: ServerConnection) -> None:
        await greet(connection)
        connection.transport.pause_reading()
        await self.over.wait()
        connection.transport.abort()


@pytest.fixture
async def hole() -> AsyncIterator[Hole]:
    hole = Hole()
    yield hole
    hole.over.set()


async def fill(client: RealtimeClient) -> None:
    """Append caller audio until no more is taken."""
    chunk = bytes(96_000)
    for _ in range(500):
        if not client.append_audio(chunk):
            return
        await asyncio.sleep(0)
    pytest.fail("the network takes everything")


async def speak_on(client: RealtimeClient) -> None:
    """Append caller audio in real time, for ever."""
    while True:
        client.append_audio(bytes(960))
        await asyncio.sleep(0.02)


class TestBlackHole:
    """A network that takes nothing and says nothing, while the caller speaks on."""

    @pytest.mark.parametrize("max_backlog_s", [0.5, 5.0])
    async def test_is_noticed(
        self,
        listen: Listen,
        connect: Connect,
        hole: Hole,
        monkeypatch: pytest.MonkeyPatch,
        max_backlog_s: float,
    ) -> None:
        monkeypatch.setattr(client_module, "CLOSE_TIMEOUT_S", 0.2)
        recorder = connect(await listen(hole.script), max_backlog_s=max_backlog_s, ping_interval_s=0.5)
        await recorder.saw(SessionReady)
        await fill(recorder.client)
        speaking = asyncio.ensure_future(speak_on(recorder.client))
        try:
            failure = await recorder.failure()
        finally:
            speaking.cancel()
        assert (failure.fault, failure.cause) == (Fault.NETWORK, "the connection to the model was cut off")
        assert recorder.client.dropped_s > 0

    @pytest.mark.parametrize("notes_bytes", [10, 8 * client_module.MAX_CONTROL_BYTES])
    async def test_does_not_hold_up_the_end_of_a_call(
        self, listen: Listen, connect: Connect, hole: Hole, monkeypatch: pytest.MonkeyPatch, notes_bytes: int
    ) -> None:
        monkeypatch.setattr(client_module, "CLOSE_TIMEOUT_S", 0.2)
        recorder = connect(await listen(hole.script), max_backlog_s=0.5, ping_interval_s=3600.0)
        await recorder.saw(SessionReady)
        await fill(recorder.client)
        recorder.client.session.add_text("user", "x" * notes_bytes)
        recorder.client.flush()
        await within(recorder.client.close())
        await within(recorder.running)
        assert [type(event) for event in recorder.events] == [SessionReady]
        assert not recorder.client.append_audio(bytes(960))

    async def test_nor_does_one_that_swallows_the_goodbye_of_a_failed_session(
        self, listen: Listen, connect: Connect, hole: Hole, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client_module, "CLOSE_TIMEOUT_S", 0.2)

        async def script(connection: ServerConnection) -> None:
            await greet(connection)
            connection.transport.pause_reading()
            for number in range(2):
                details = {"error": {"code": "rate_limit_exceeded", "message": "slow"}}
                response = {"id": f"r{number}", "status": "failed", "status_details": details}
                await connection.send(json.dumps({"type": "response.done", "response": response}))
            await hole.over.wait()

        recorder = connect(await listen(script), ping_interval_s=3600.0)
        failure = await recorder.failure()
        assert failure.fault is Fault.LIMIT


class TestClosing:
    async def test_ends_without_an_event(self, listen: Listen, connect: Connect) -> None:
        closed = asyncio.get_running_loop().create_future()

        async def script(connection: ServerConnection) -> None:
            await hold(connection)
            closed.set_result(connection.close_code)

        recorder = connect(await listen(script))
        await recorder.saw(SessionReady)
        await within(recorder.client.close())
        await within(recorder.running)
        assert await within(closed) == 1000
        assert [type(event) for event in recorder.events] == [SessionReady]

    async def test_what_arrives_while_closing_is_not_told(self, listen: Listen, connect: Connect) -> None:
        ready, closing = asyncio.Event(), asyncio.Event()

        async def script(connection: ServerConnection) -> None:
            await greet(connection)
            connection.transport.pause_reading()  # so that our goodbye is not answered yet
            ready.set()
            await closing.wait()
            started = {"type": "input_audio_buffer.speech_started", "item_id": "u", "audio_start_ms": 20}
            await connection.send(json.dumps(started))
            connection.transport.resume_reading()
            await connection.wait_closed()

        recorder = connect(await listen(script))
        await recorder.saw(SessionReady)
        await within(ready.wait())
        close = asyncio.ensure_future(recorder.client.close())
        await asyncio.sleep(0)
        closing.set()
        await within(close)
        await within(recorder.running)
        assert [type(event) for event in recorder.events] == [SessionReady]

    async def test_ends_a_connection_that_is_still_being_made(self, listen: Listen, connect: Connect) -> None:
        asked, answer = asyncio.Event(), asyncio.Event()
        closed = asyncio.get_running_loop().create_future()

        async def slow(connection: ServerConnection, request: Request) -> None:
            asked.set()
            await answer.wait()

        async def script(connection: ServerConnection) -> None:
            await connection.wait_closed()
            closed.set_result(connection.close_code)

        recorder = connect(await listen(script, process_request=slow))
        await within(asked.wait())
        await within(recorder.client.close())
        answer.set()
        await within(recorder.running)
        assert recorder.events == []
        assert await within(closed) == 1000

    async def test_twice_is_once(self, listen: Listen, connect: Connect) -> None:
        recorder = connect(await listen(hold))
        await recorder.saw(SessionReady)
        await within(recorder.client.close())
        await within(recorder.client.close())


class TestUrlAndHeaders:
    def settings(self, **given: Any) -> RealtimeSettings:
        return RealtimeSettings(**given)

    @pytest.mark.parametrize(
        ("url", "opened"),
        [
            ("wss://api.openai.com/v1/realtime", "wss://api.openai.com/v1/realtime?model=m"),
            ("ws://h:1/x?intent=y", "ws://h:1/x?intent=y&model=m"),
            ("ws://h/x?model=own", "ws://h/x?model=own"),
        ],
    )
    def test_the_model_is_in_the_query(self, url: str, opened: str) -> None:
        assert session_url(self.settings(url=url), "m") == opened

    def test_a_models_name_is_quoted(self) -> None:
        assert session_url(self.settings(url="ws://h/x"), "a b&c") == "ws://h/x?model=a+b%26c"

    @pytest.mark.parametrize(
        ("url", "auth", "headers"),
        [
            ("wss://api.openai.com/v1/realtime", "auto", {"Authorization": "Bearer k"}),
            ("wss://r.openai.azure.com/openai/v1/realtime", "auto", {"api-key": "k"}),
            ("wss://r.openai.azure.com/openai/v1/realtime", "bearer", {"Authorization": "Bearer k"}),
            ("wss://gateway.example/v1", "api-key", {"api-key": "k"}),
            ("wss://azure.com.example/v1", "auto", {"Authorization": "Bearer k"}),
        ],
    )
    def test_the_key_goes_where_the_server_looks_for_it(self, url: str, auth: str, headers: dict[str, str]) -> None:
        assert session_headers(self.settings(url=url, auth=auth, api_key=SecretStr("k"))) == headers

    def test_the_sites_headers_win(self) -> None:
        site = {"Authorization": "other", "OpenAI-Project": "p"}
        assert session_headers(self.settings(api_key=SecretStr("k"), headers=site)) == site

    def test_in_any_case(self) -> None:
        site = {"authorization": "other"}
        assert session_headers(self.settings(api_key=SecretStr("k"), headers=site)) == site

    def test_without_a_key_there_is_no_header_for_it(self) -> None:
        assert session_headers(self.settings()) == {}
