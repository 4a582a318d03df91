"""Whatever answers at the port of the health."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress

import aiohttp
import pytest

from ariagent.healthpage import LARGEST_BYTES, health_at

Answering = Callable[[bytes], Awaitable[str]]
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
async def answering() -> AsyncIterator[Answering]:
    """``await answering(head_and_body)``: the URL of somebody who says that again and again."""
    async with AsyncExitStack() as stack:

        async def make(said: bytes, *, endlessly: bytes = b"") -> str:
            async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                with suppress(ConnectionError):
                    writer.write(said)
                    while endlessly:
                        writer.write(endlessly)
                        await writer.drain()
                writer.close()

            server = await asyncio.start_server(talk, "127.0.0.1", 0)
            stack.callback(server.close)
            return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/healthz"

        yield make


async def test_json_whatever_its_status(answering: Answering) -> None:
    url = await answering(b'HTTP/1.1 503 No\r\nContent-Type: text/html\r\n\r\n{"a": [1]}')
    assert await health_at(url, 10.0) == {"a": [1]}


@pytest.mark.parametrize(
    "body", [b"", b"hello", b"\xff\xfe", b"[" * 60_000, b'"' + b"x" * LARGEST_BYTES + b'"', b"{} {}"]
)
async def test_what_is_none(answering: Answering, body: bytes) -> None:
    with pytest.raises(ValueError):
        await health_at(await answering(OK + b"\r\n" + body), 10.0)


async def test_an_endless_answer_is_not_read_to_its_end(answering: Callable[..., Awaitable[str]]) -> None:
    with pytest.raises(ValueError, match="more than"):
        await health_at(await answering(OK + b"\r\n", endlessly=b"x" * 10_000), 10.0)


async def test_nobody_is_sent_elsewhere(answering: Answering) -> None:
    elsewhere = await answering(OK + b"\r\n{}")
    url = await answering(b"HTTP/1.1 302 Found\r\nLocation: %s\r\n\r\nhere" % elsewhere.encode())
    with pytest.raises(ValueError):
        await health_at(url, 10.0)


async def test_what_is_no_http(answering: Answering) -> None:
    with pytest.raises(aiohttp.ClientError):
        await health_at(await answering(b"\x00\xff" * 100), 10.0)
