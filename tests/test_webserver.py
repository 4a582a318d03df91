"""The service's HTTP servers: too many connections, slow ones, and ports."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from ariagent.errors import ResourceError
from ariagent.webserver import WebServer

LIMIT_S = 20.0
REQUEST = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="good day")


@pytest.fixture
async def serving() -> AsyncIterator[Callable[..., Awaitable[WebServer]]]:
    servers: list[WebServer] = []

    async def make(**options: Any) -> WebServer:
        app = web.Application(client_max_size=1000)
        app.router.add_get("/hello", hello)
        servers.append(WebServer(app, **options))
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
        """What came until the server closed."""
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


async def test_a_connection_too_many_is_closed_unheard(serving: Any) -> None:
    server = await serving(most_connections=2)
    clients = [await Client.to(server) for _ in range(2)]
    for client in clients:
        await client.greeted()
    third = await Client.to(server)
    assert await third.closed() == b""
    assert server.turned_away == 1
    await clients[0].greeted()
    clients[0].writer.close()
    async with asyncio.timeout(LIMIT_S):
        while len(server._runner.server.connections) > 1:  # type: ignore[union-attr]
            await asyncio.sleep(0.005)
    fourth = await Client.to(server)
    await fourth.greeted()


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
