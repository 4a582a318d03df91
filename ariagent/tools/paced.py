"""Connections of tools whose server cannot keep the event loop from calls.

aiohttp parses all that one read brought, up to 256 kB, and takes interim answers (1xx) without end: a server that sends
nothing else would keep the event loop for seconds. So it is given little at a time, and no more than an answer needs.
"""

import asyncio
from contextvars import ContextVar
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

AT_ONCE_BYTES = 2048
"""Bytes that are delivered before calls have their turn: a hundred interim answers at most."""
HEAD_BYTES = 64 * 1024
"""Bytes: more than aiohttp takes for the head of an answer."""
FRAMED = 8
"""A body in chunks of one byte is six times as long on the wire."""

largest_body: ContextVar[int] = ContextVar("largest_body")
"""Bytes of the longest answer to the request that is being made."""


class PacedConnector(aiohttp.TCPConnector):
    """A connector for requests that have set ``largest_body``."""

    async def connect(self, *given: Any, **named: Any) -> Any:
        """Connect like aiohttp. The answer on the connection is paced and limited."""
        connection = await super().connect(*given, **named)
        if connection.transport is not None and connection.protocol is not None:
            limit = HEAD_BYTES + FRAMED * largest_body.get()
            connection.transport.set_protocol(Paced(connection.transport, connection.protocol, limit))
        return connection


class Paced(asyncio.Protocol):
    """Stands between a connection and aiohttp's reader of the answer."""

    def __init__(self, transport: asyncio.Transport, reader: ResponseHandler, limit: int) -> None:
        """``limit``: bytes of the answer; what is longer ends the connection."""
        self._transport = transport
        self._reader = reader
        self._left = limit
        self._waiting = bytearray()
        self._turn: asyncio.Handle | None = None
        self._held = False  # reading is paused, by us
        self._lost: tuple[Exception | None] | None = None

    def data_received(self, data: bytes) -> None:
        self._waiting += data[: self._left]
        self._left -= len(data)
        if self._turn is None:
            self._deliver()

    def _deliver(self) -> None:
        self._turn = None
        if self._reader.transport is None:  # it has all that it wants
            self._waiting.clear()
        piece = bytes(self._waiting[:AT_ONCE_BYTES])
        del self._waiting[:AT_ONCE_BYTES]
        if piece:
            self._reader.data_received(piece)
        if self._waiting:
            self._hold()
            self._turn = asyncio.get_running_loop().call_soon(self._deliver)
        elif self._lost is not None:
            self._reader.connection_lost(*self._lost)
        elif self._left < 0:
            self._transport.abort()
        elif self._held and not self._transport.is_closing():
            self._held = False
            self._transport.resume_reading()

    def _hold(self) -> None:
        if not (self._held or self._transport.is_closing()):
            self._held = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        self._reader.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        # TLS tells it while we still hold the end of the answer.
        self._lost = (exc,)
        if self._turn is None:
            self._deliver()

    def pause_writing(self) -> None:
        self._reader.pause_writing()

    def resume_writing(self) -> None:
        self._reader.resume_writing()
