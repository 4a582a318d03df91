"""A server on loopback, endpoints that write down what they are told, and peers that are real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID, uuid4

import pytest
import uvloop

from ariagent.audio.format import SLIN8, AudioFormat
from ariagent.audiosocket.frames import Decoder, Frame, uuid_frame
from ariagent.audiosocket.server import AudioSocketServer, MediaConnection

PATIENCE_S = 10.0  # for what must happen, on a busy machine


class RecordingEndpoint:
    """Writes down every call; speaks what is in ``speech``; raises where ``raise_in`` says."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.audio: list[bytes] = []
        self.digits = ""
        self.reasons: list[str] = []
        self.times: list[float] = []
        self.speech: list[bytes] = []
        self.frames_due = 0
        self.raise_in = ""
        self.hang_up_in = ""
        self.connection: MediaConnection | None = None
        self.changed = asyncio.Event()

    def note(self, call: str) -> None:
        self.calls.append(call)
        self.changed.set()
        if self.hang_up_in == call:
            assert self.connection is not None
            self.connection.hangup()
        if self.raise_in == call:
            raise ZeroDivisionError("a bug in an endpoint")

    def connected(self, connection: MediaConnection) -> None:
        self.connection = connection
        self.note("connected")

    def audio_received(self, payload: bytes, now: float) -> None:
        self.audio.append(payload)
        self.times.append(now)
        self.note("audio_received")

    def frame_due(self, now: float) -> bytes | None:
        self.frames_due += 1
        self.times.append(now)
        self.note("frame_due")
        return self.speech.pop(0) if self.speech else None

    def digit_received(self, digit: str) -> None:
        self.digits += digit
        self.note("digit_received")

    def disconnected(self, reason: str) -> None:
        self.reasons.append(reason)
        self.note("disconnected")

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def ended(self) -> str:
        await self.until(lambda: self.reasons)
        return self.reasons[0]


class Peer:
    """Asterisk's end: a socket, and what came out of it as frames with their times."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.decoder = Decoder()
        self.frames: list[Frame] = []
        self.times: list[float] = []

    def send(self, *data: bytes) -> None:
        self.writer.write(b"".join(data))

    async def read(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            try:
                data = await self.reader.read(65_536)
            except ConnectionError:
                return b""
        arrived = asyncio.get_running_loop().time()
        frames = self.decoder.feed(data)
        self.frames += frames
        self.times += [arrived] * len(frames)
        return data

    async def receive(self, count: int) -> list[Frame]:
        """Read until ``count`` frames came in all."""
        while len(self.frames) < count:
            assert await self.read(), "the server closed"
        return self.frames

    async def until_closed(self) -> list[Frame]:
        while await self.read():
            pass
        return self.frames

    def close(self) -> None:
        self.writer.close()


@pytest.hookimpl(optionalhook=True)  # an older pytest-asyncio does not know it and runs everything on asyncio's
def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


async def eventually(condition: Callable[[], object]) -> None:
    """Until ``condition`` holds; for what nobody is told of."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture(name="eventually")
def eventually_() -> Callable[[Callable[[], object]], Awaitable[None]]:
    return eventually


@pytest.fixture
async def server() -> AsyncIterator[AudioSocketServer]:
    server = AudioSocketServer()
    await server.start("127.0.0.1", 0)
    yield server
    await server.close()


@pytest.fixture
def endpoint() -> RecordingEndpoint:
    return RecordingEndpoint()


@pytest.fixture
async def dial() -> AsyncIterator[Callable[[int], Awaitable[Peer]]]:
    """Opens a socket to a port of this machine."""
    peers: list[Peer] = []

    async def dial(port: int) -> Peer:
        peers.append(Peer(*await asyncio.open_connection("127.0.0.1", port)))
        return peers[-1]

    yield dial
    for peer in peers:
        peer.writer.transport.abort()


@pytest.fixture
def call(
    server: AudioSocketServer, endpoint: RecordingEndpoint, dial: Callable[[int], Awaitable[Peer]]
) -> Callable[..., Awaitable[Peer]]:
    """A connection whose handshake is done."""

    async def call(fmt: AudioFormat = SLIN8, uuid: UUID | None = None, other: RecordingEndpoint | None = None) -> Peer:
        uuid = uuid or uuid4()
        answerer = other or endpoint
        server.expect(uuid, answerer, fmt)
        peer = await dial(server.port)
        peer.send(uuid_frame(uuid))
        await answerer.until(lambda: answerer.calls)
        return peer

    return call
