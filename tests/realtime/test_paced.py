"""The connection's messages: each as it was sent, in order, whatever frames carried it; broken ones end it."""

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import OP_BINARY, OP_CLOSE, OP_CONT, OP_PING, CloseCode, Frame

from ariagent.realtime import paced
from ariagent.realtime.budget import MOST_WORK_S
from ariagent.realtime.paced import PacedConnection
from ariagent.tls import client_context
from lab.hostilemodel import frame

PATIENCE_S = 20.0
LONG = "é" * 40_000
"""Longer than 65,535 bytes."""


@dataclass
class Heard:
    """A receiver that keeps everything."""

    stops_after: int = 10**9
    messages: list[str | bytes] = field(default_factory=list)
    frames: int = 0
    size: int = 0
    connection: PacedConnection | None = None
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def spend(self, frames: int, size: int) -> bool:
        self.frames += frames
        self.size += size
        if self.frames > self.stops_after and self.connection is not None:
            self.connection.transport.abort()
        return self.frames <= self.stops_after

    def received(self, message: str | bytes) -> None:
        self.messages.append(message)

    def lost(self) -> None:
        self.gone.set()


async def hear(stream: bytes, *, step: int = 0) -> tuple[Heard, PacedConnection]:
    """The messages of a server that sends these bytes, ``step`` at a time, and then says goodbye."""
    heard = Heard()

    async def send(connection: ServerConnection) -> None:
        for at in range(0, len(stream), step or len(stream)):
            connection.transport.write(stream[at : at + (step or len(stream))])
            if step:
                await asyncio.sleep(0)
        await connection.close()

    return heard, await served(heard, send)


async def served(
    heard: Heard, send: Callable[[ServerConnection], Awaitable[None]], authority: Any = None
) -> PacedConnection:
    """A connection to a server that does ``send``, once it is over; by TLS with a certificate of ``authority``."""
    tls = None if authority is None else authority.issue("localhost").server()
    listening = serve(send, "127.0.0.1", 0, close_timeout=0.5, compression=None, ssl=tls)
    async with asyncio.timeout(PATIENCE_S), listening as server:
        port = next(iter(server.sockets)).getsockname()[1]

        def made(*given: Any, **named: Any) -> PacedConnection:
            heard.connection = PacedConnection(*given, receiver=heard, **named)
            return heard.connection

        options: dict[str, Any] = {
            "create_connection": made,
            "compression": None,
            "max_size": 100_000,
            "close_timeout": 0.5,
        }
        url = f"ws://127.0.0.1:{port}/"
        if authority is not None:
            url = f"wss://localhost:{port}/"
            options["ssl"] = client_context(authority.file, "test")
        connection = await connect(url, proxy=None, ping_interval=None, **options)  # type: ignore[arg-type]
        try:
            await heard.gone.wait()
        finally:
            connection.transport.abort()
    assert isinstance(connection, PacedConnection)
    return connection


MIXED: Sequence[tuple[bytes, str | bytes | None]] = (
    (frame(b'{"n": 1}'), '{"n": 1}'),
    (frame(b"in ", fin=False), None),
    (frame(b"ping", OP_PING), None),
    (frame(b"drei ", OP_CONT, fin=False), None),
    (frame("Stücken".encode(), OP_CONT), "in drei Stücken"),
    (frame(b"\x00\xff", OP_BINARY), b"\x00\xff"),
    (frame(b""), ""),
    (frame(LONG.encode()), LONG),
    (frame(b"x" * 300), "x" * 300),
    (frame(b"cut in \xc3", fin=False), None),
    (frame(b"\xa9", OP_CONT), "cut in é"),
    (frame(b"last"), "last"),
)
WHOLE = b"".join(sent for sent, _ in MIXED)
MESSAGES = [message for _, message in MIXED if message is not None]


@pytest.mark.parametrize("step", [0, 1_000, 7])
async def test_every_message_arrives_as_it_was_sent(step: int) -> None:
    stream = WHOLE if step != 7 else WHOLE.replace(frame(LONG.encode()), frame(b"short"))
    heard, connection = await hear(stream, step=step)
    assert heard.messages == [message if step != 7 or message != LONG else "short" for message in MESSAGES]
    assert heard.frames == len(MIXED) + 1  # and the goodbye
    assert heard.size >= len(stream)
    assert connection.close_code == CloseCode.NORMAL_CLOSURE


async def test_many_at_once_keep_their_order() -> None:
    texts = [str(n) for n in range(3_000)]
    heard, _ = await hear(b"".join(frame(text.encode()) for text in texts))
    assert heard.messages == texts


async def test_at_random_places_nothing_is_lost() -> None:
    rng = random.Random(3)
    texts = ["y" * rng.choice((0, 1, 124, 125, 126, 127, 5_000)) for _ in range(200)]
    heard, _ = await hear(b"".join(frame(text.encode()) for text in texts), step=97)
    assert heard.messages == texts


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (frame(b"no UTF-8: \xff"), CloseCode.INVALID_DATA),
        (frame(b"no UTF-8: \xc3", fin=False) + frame(b"(", OP_CONT), CloseCode.INVALID_DATA),
        (frame(b"begun", fin=False) + frame(b"a text between"), CloseCode.PROTOCOL_ERROR),
        (frame(b"continues nothing", OP_CONT), CloseCode.PROTOCOL_ERROR),
        (bytes([0x81 | 0x20, 1]) + b"x", CloseCode.PROTOCOL_ERROR),
        (frame(b"z" * 100_001), CloseCode.MESSAGE_TOO_BIG),
        (frame(b"z" * 60_000, fin=False) + frame(b"z" * 60_000, OP_CONT), CloseCode.MESSAGE_TOO_BIG),
    ],
    ids=["utf-8", "utf-8 in pieces", "between", "continuation", "reserved", "big", "big in pieces"],
)
async def test_what_breaks_the_protocol_ends_it(broken: bytes, code: CloseCode) -> None:
    heard, connection = await hear(frame(b"before") + broken + frame(b"behind"))
    assert heard.messages == ["before"]
    sent = connection.protocol.close_sent
    assert sent is not None
    assert sent.code == code


async def test_nothing_more_is_heard_when_no_more_is_wanted() -> None:
    heard = Heard(stops_after=30)

    async def send(connection: ServerConnection) -> None:
        connection.transport.write(b"".join(frame(b"x") for _ in range(1_000)))
        await connection.wait_closed()

    await served(heard, send)
    assert len(heard.messages) == 30


@pytest.mark.parametrize(
    "end",
    [frame(b"no UTF-8: \xff"), frame(b"continues nothing", OP_CONT), frame(b"\x03\xe9over", OP_CLOSE)],
    ids=["utf-8", "protocol", "goodbye"],
)
async def test_a_server_that_does_not_hang_up_then_is_not_waited_for(end: bytes) -> None:
    async def send(connection: ServerConnection) -> None:
        transport = connection.transport
        connection.data_received = lambda data: None  # type: ignore[method-assign]  # it answers no goodbye
        transport.write(frame(b"before") + end)
        await connection.wait_closed()

    heard = Heard()
    await served(heard, send)
    assert heard.messages == ["before"]


async def test_the_last_messages_are_heard_though_tls_closes_at_once(
    authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slowly: with the first ones the turn of this connection is over."""
    monkeypatch.setattr(paced, "LAST_WORK_S", 20.0)  # on a busy machine they take more than the 20 ms there are
    texts = [str(n) for n in range(8)]
    clock = [0.0]
    monkeypatch.setattr(paced, "perf_counter", lambda: clock[0])

    class Slow(Heard):
        def received(self, message: str | bytes) -> None:
            super().received(message)
            clock[0] += MOST_WORK_S / 2

    async def send(connection: ServerConnection) -> None:
        connection.transport.write(b"".join(frame(text.encode()) for text in texts))
        connection.transport.close()

    heard = Slow()
    await served(heard, send, authority)
    assert heard.messages == texts


async def test_fragments_without_content_take_no_memory() -> None:
    kept = []

    class Counting(Heard):
        def spend(self, frames: int, size: int) -> bool:
            if self.frames % 500 == 0:
                kept.append(sum(isinstance(each, Frame) for each in gc.get_objects()))
            return super().spend(frames, size)

    async def send(connection: ServerConnection) -> None:
        empty = frame(b"", OP_CONT, fin=False)
        connection.transport.write(frame(b"x", fin=False) + empty * 3_000 + frame(b"y", OP_CONT))
        await connection.close()

    gc.collect()  # else frames of earlier tests are counted, until they are collected in the middle of this one
    heard = Counting()
    await served(heard, send)
    assert heard.messages == ["xy"]
    assert max(kept) < min(kept) + 100


async def test_a_second_message_in_fragments_begins_with_nothing_of_the_first() -> None:
    pieces = frame(b"a", OP_BINARY, fin=False) + frame(b"b", OP_CONT) + frame(b"c", fin=False) + frame(b"d", OP_CONT)
    heard, _ = await hear(pieces)
    assert heard.messages == [b"ab", "cd"]
