"""Ports on loopback that behave in some way."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest


@pytest.fixture
def closed_port() -> int:
    """Nobody listens there."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
async def silent_port() -> AsyncIterator[int]:
    """The kernel accepts; nobody ever reads or writes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
async def talking_port() -> AsyncIterator[int]:
    """Says something that is no protocol of ours, and closes."""

    def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n" * 3)
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
