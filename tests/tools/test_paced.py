"""Answers are given to aiohttp a little at a time. A pair of sockets is the connection."""

import asyncio
import socket
from typing import cast

import pytest
from aiohttp.client_proto import ResponseHandler

from ariagent.tools.paced import AT_ONCE_BYTES, Paced

PATIENCE_S = 20.0


class Reader:
    """In the place of aiohttp's: keeps what it is given."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport: asyncio.Transport | None = transport
        self.pieces: list[bytes] = []
        self.lost = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        assert not self.lost.is_set()
        self.pieces.append(data)

    def eof_received(self) -> None:
        """The reason as aiohttp gives it: the connection is to be closed."""

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


@pytest.mark.parametrize(("limit", "sent", "read"), [(10**9, 100_000, 100_000), (50_000, 100_000, 50_000), (10, 0, 0)])
async def test_little_at_a_time_and_all_of_it_or_up_to_the_limit(limit: int, sent: int, read: int) -> None:
    here, there = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=here)
    reader = Reader(transport)
    transport.set_protocol(Paced(transport, cast(ResponseHandler, reader), limit))
    content = bytes(number % 251 for number in range(sent))
    there.settimeout(PATIENCE_S)
    await asyncio.to_thread(there.sendall, content)
    there.shutdown(socket.SHUT_WR)
    await asyncio.wait_for(reader.lost.wait(), PATIENCE_S)
    there.close()
    assert b"".join(reader.pieces) == content[:read]
    assert all(0 < len(piece) <= AT_ONCE_BYTES for piece in reader.pieces)


async def test_a_connection_that_is_lost_too_early_still_ends_with_its_answer() -> None:
    # With TLS the end is known before the reading stops.
    here, there = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=here)
    reader = Reader(transport)
    paced = Paced(transport, cast(ResponseHandler, reader), 10**9)
    paced.data_received(bytes(10_000))
    paced.connection_lost(None)
    await asyncio.wait_for(reader.lost.wait(), PATIENCE_S)
    assert sum(map(len, reader.pieces)) == 10_000
    transport.abort()
    there.close()


async def test_a_reader_that_has_enough_gets_no_more() -> None:
    here, there = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=here)
    reader = Reader(transport)
    paced = Paced(transport, cast(ResponseHandler, reader), 10**9)
    paced.data_received(bytes(10_000))
    reader.transport = None
    paced.connection_lost(None)
    await asyncio.wait_for(reader.lost.wait(), PATIENCE_S)
    assert sum(map(len, reader.pieces)) == AT_ONCE_BYTES
    transport.abort()
    there.close()
