"""The service's HTTP servers: too many connections, slow ones, and ports."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web

from ariagent.errors import ResourceError
from ariagent.webserver import MOST_A_TURN, WebServer

pytestmark = pytest.mark.both_loops

LIMIT_S = 20.0
REQUEST = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="good day")


began: list[str] = []
"""Requests for ``/noted`` that began, since the event loop's turn was looked at."""


async def noted(request: web.Request) -> web.Response:
    began.append(request.path)
    return web.Response(text="noted")


async def large(request: web.Request) -> web.Response:
    return web.Response(body=bytes(1_000_000))


async def length(request: web.Request) -> web.Response:
    return web.Response(text=f"{len(await request.read())} bytes")


class Serving(WebServer):
    """``/slow`` counts up ``asked``, and answers once ``answer`` is set."""

    def __init__(self, app: web.Application, **options: Any) -> None:
        self.asked = asyncio.Semaphore(0)
        self.answer = asyncio.Event()
        app.router.add_get("/slow", self._slow)
        super().__init__(app, **options)

    async def _slow(self, request: web.Request) -> web.Response:
        self.asked.release()
        await self.answer.wait()
        return web.Response(text="at last")


@pytest.fixture
async def serving() -> AsyncIterator[Callable[..., Awaitable[WebServer]]]:
    servers: list[WebServer] = []

    async def make(**options: Any) -> WebServer:
        app = web.Application(client_max_size=1000)
        app.router.add_get("/hello", hello)
        app.router.add_get("/large", large)
        app.router.add_get("/noted", noted)
        app.router.add_post("/length", length)
        servers.append(Serving(app, **options))
        await servers[-1].start("127.0.0.1", 0, what="greetings", key="hello.port")
        return servers[-1]

    yield make
    for server in servers:
        await server.close()


class Client:
    """A connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, server: WebServer) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", server.port))

    async def closed(self) -> bytes:
        """The bytes that came until the server closed."""
        async with asyncio.timeout(LIMIT_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def greeted(self) -> None:
        self.writer.write(REQUEST)
        async with asyncio.timeout(LIMIT_S):
            assert b"good day" in await self.reader.readuntil(b"good day")


async def test_answers_one_after_another_on_one_connection(serving: Any) -> None:
    client = await Client.to(await serving())
    for _ in range(3):
        await client.greeted()
    client.writer.close()


async def test_requests_that_come_together_begin_a_few_in_each_turn_of_the_event_loop(serving: Any) -> None:
    server = await serving()
    clients = [await Client.to(server) for _ in range(8)]
    began.clear()
    for client in clients:
        client.writer.write(20 * b"GET /noted HTTP/1.1\r\nHost: x\r\n\r\n")
    seen = [0]
    async with asyncio.timeout(LIMIT_S):
        while sum(seen) < 160:
            await asyncio.sleep(0)
            seen.append(len(began))
            began.clear()
    assert max(seen) <= 2 * MOST_A_TURN  # what began before this looked, and after it


async def test_the_connection_that_is_idle_for_longest_gives_way(serving: Any, caplog: Any) -> None:
    server = await serving(most_connections=3)
    first, second, third = [await Client.to(server) for _ in range(3)]
    await first.greeted()
    await third.greeted()
    await second.greeted()
    fourth = await Client.to(server)
    await fourth.greeted()
    assert await first.closed() == b""
    await second.greeted()
    fifth = await Client.to(server)
    await fifth.greeted()
    assert await third.closed() == b""
    await second.greeted()
    await fourth.greeted()
    assert (server.gave_way, server.turned_away) == (2, 0)
    assert [record.getMessage() for record in caplog.records] == ["web.idle_connection_closed"]


@pytest.mark.parametrize("said", [b"", REQUEST[:-2], REQUEST], ids=["nothing", "half", "asks"])
async def test_a_crowd_keeps_nobody_out(serving: Any, caplog: Any, said: bytes) -> None:
    """Whatever it says. Its connections are closed without many words in the log."""
    server = await serving(most_connections=8)
    crowd = []
    for _ in range(10):
        for _ in range(20):
            crowd.append(await Client.to(server))
            crowd[-1].writer.write(said)
        newcomer = await Client.to(server)
        await newcomer.greeted()
        newcomer.writer.close()
    assert server.gave_way > 100
    assert server.turned_away == 0
    assert "Traceback" not in caplog.text
    assert sum(record.getMessage() == "web.idle_connection_closed" for record in caplog.records) < 20
    for one in crowd:
        one.writer.transport.abort()


async def test_a_request_that_is_being_handled_does_not_give_way(serving: Any, caplog: Any) -> None:
    server = await serving(most_connections=2)
    slow = [await Client.to(server) for _ in range(2)]
    for client in slow:
        client.writer.write(REQUEST.replace(b"hello", b"slow"))
    async with asyncio.timeout(LIMIT_S):
        await server.asked.acquire()
        await server.asked.acquire()
    for _ in range(30):
        assert await (await Client.to(server)).closed() == b""
    assert (server.gave_way, server.turned_away) == (0, 30)
    assert "Traceback" not in caplog.text
    assert sum(record.getMessage() == "web.connection_refused" for record in caplog.records) < 10
    server.answer.set()
    for client in slow:
        async with asyncio.timeout(LIMIT_S):
            assert b"at last" in await client.reader.readuntil(b"at last")
    # They are idle now.
    await (await Client.to(server)).greeted()


async def test_one_that_never_reads_is_cut_off(serving: Any) -> None:
    server = await serving(write_limit_s=0.2)
    client = await Client.to(server)
    client.writer.transport.pause_reading()
    with suppress(ConnectionError):
        async with asyncio.timeout(LIMIT_S):
            while not client.writer.transport.is_closing():
                client.writer.write(REQUEST.replace(b"hello", b"large") * 10)
                await client.writer.drain()
                await asyncio.sleep(0.005)
    await (await Client.to(server)).greeted()


async def test_a_connection_has_a_longest_life(serving: Any) -> None:
    server = await serving(life_s=0.4)
    client = await Client.to(server)
    closing = asyncio.create_task(client.closed())
    async with asyncio.timeout(LIMIT_S):
        while not closing.done():
            client.writer.write(REQUEST)
            await asyncio.wait([closing], timeout=0.05)
    assert b"good day" in closing.result()


async def test_an_old_connections_request_is_answered_first(serving: Any) -> None:
    server = await serving(life_s=0.1)
    client = await Client.to(server)
    client.writer.write(REQUEST.replace(b"hello", b"slow"))
    async with asyncio.timeout(LIMIT_S):
        await server.asked.acquire()
        (connection,) = server._busy
        while not connection.too_old:
            await asyncio.sleep(0.005)
    server.answer.set()
    answer = await client.closed()
    assert answer.endswith(b"at last")
    assert b"Connection: close" in answer


@pytest.mark.parametrize(
    "request_", [REQUEST, b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x00\r\n\r\n"]
)
async def test_no_answer_names_versions(serving: Any, request_: bytes) -> None:
    client = await Client.to(await serving())
    client.writer.write(request_)
    async with asyncio.timeout(LIMIT_S):
        head = await client.reader.readuntil(b"\r\n\r\n")
    assert b"\r\nServer: ariagent\r\n" in head
    assert b"Python" not in head
    assert b"aiohttp" not in head
    client.writer.close()


async def test_a_packed_body_is_not_unpacked(serving: Any) -> None:
    client = await Client.to(await serving())
    body = b"\x1f\x8bnothing that can be unpacked"
    head = b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    client.writer.write(head + body)
    async with asyncio.timeout(LIMIT_S):
        assert b"%d bytes" % len(body) in await client.reader.readuntil(b" bytes")
    client.writer.close()


@pytest.mark.parametrize("head", [b"", b"GET", REQUEST[:-2], REQUEST[:-2] + b"X-More: 1\r\n"])
async def test_a_head_that_does_not_come_is_not_waited_for(serving: Any, head: bytes) -> None:
    server = await serving(idle_limit_s=0.2)
    client = await Client.to(server)
    client.writer.write(head)
    assert await client.closed() == b""


async def test_a_head_that_trickles_in_is_not_waited_for(serving: Any) -> None:
    server = await serving(idle_limit_s=0.3)
    client = await Client.to(server)
    closing = asyncio.create_task(client.closed())
    client.writer.write(REQUEST[:-2])
    async with asyncio.timeout(LIMIT_S):
        while not closing.done():
            client.writer.write(b"X-Slow: 1\r\n")
            await asyncio.wait([closing], timeout=0.02)


async def test_a_taken_port_is_told_with_what_to_do(serving: Any) -> None:
    taken = await serving()
    other = WebServer(web.Application())
    with pytest.raises(ResourceError) as caught:
        await other.start("127.0.0.1", taken.port, what="greetings", key="hello.port")
    assert str(caught.value) == f"cannot serve greetings on 127.0.0.1:{taken.port}: Address already in use"
    assert caught.value.remedy == "Stop the program that uses the port, or set hello.port to a free one (0 takes any)"
    await other.close()


async def test_closing_gives_the_port_back(serving: Any) -> None:
    server = await serving()
    client = await Client.to(server)
    await client.greeted()
    await server.close()
    assert await client.closed() == b""
    again = WebServer(web.Application())
    await again.start("127.0.0.1", server.port, what="greetings", key="hello.port")
    await again.close()


async def test_a_server_that_was_never_started_can_be_closed() -> None:
    await WebServer(web.Application()).close()


async def test_what_is_no_http_is_a_line_without_its_bytes(serving: Any, caplog: Any) -> None:
    server = await serving()
    for _ in range(30):
        client = await Client.to(server)
        client.writer.write(REQUEST[:-2] + b"Authorization: Bearer the-secret\x00token\r\n\r\n")
        answer = await client.closed()
        assert b" 400 " in answer[:20]
    lines = [record for record in caplog.records if record.getMessage() == "web.malformed"]
    assert 1 <= len(lines) < 30
    assert "the-secret" not in caplog.text
    assert all(record.exc_info is None and record.levelname == "WARNING" for record in lines)


async def test_a_fault_of_ours_keeps_its_trace(serving: Any, caplog: Any) -> None:
    server = await serving()

    async def fails(request: web.Request) -> web.Response:
        raise ZeroDivisionError

    server._runner.app.router._frozen = False
    server._runner.app.router.add_get("/fails", fails)
    client = await Client.to(server)
    client.writer.write(REQUEST.replace(b"hello", b"fails"))
    async with asyncio.timeout(LIMIT_S):
        assert b" 500 " in await client.reader.readline()
    assert "ZeroDivisionError" in caplog.text
    client.writer.close()
