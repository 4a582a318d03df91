"""A manager interface on loopback that does what a test tells it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from ariagent.ami.client import AmiClient
from ariagent.ami.events import Event
from ariagent.ami.protocol import Message, challenge_key
from ariagent.config import AmiSettings

PASSWORD = "correct horse"
LIMIT_S = 20.0

Handler = Callable[["Connection", Message], Awaitable[None]]


class Connection:
    """One manager that is connected."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def read(self) -> Message:
        """The next action, names in lower case."""
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in text.split("\r\n") if line)}

    def send(self, **fields: object) -> None:
        self.writer.write(self.text(**fields))

    @staticmethod
    def text(**fields: object) -> bytes:
        return "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode() + b"\r\n"

    def succeed(self, action: Message, **fields: object) -> None:
        self.send(Response="Success", ActionID=action["actionid"], **fields)

    def refuse(self, action: Message, message: str) -> None:
        self.send(Response="Error", ActionID=action["actionid"], Message=message)


class Manager:
    """Greets, checks the login, then hands each action to ``on_action`` (by default it succeeds)."""

    def __init__(self) -> None:
        self.port = 0
        self.connections: list[Connection] = []
        self.actions: list[Message] = []
        self.logins: list[Message] = []
        self.challenges: list[Message] = []
        self.greeting = b"Asterisk Call Manager/11.0.0\r\n"
        self.md5 = True
        self.on_action: Handler = self.succeed_always
        self.mute = False
        self.tls: ssl.SSLContext | None = None
        self.password = PASSWORD
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def succeed_always(self, connection: Connection, action: Message) -> None:
        connection.succeed(action)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more and cut everybody off."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = Connection(reader, writer)
        self.connections.append(connection)
        try:
            writer.write(self.greeting)
            while not self.mute:
                await self._serve(connection, await connection.read())
            await asyncio.Event().wait()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, connection: Connection, action: Message) -> None:
        if action["action"] == "Challenge":
            self.challenges.append(action)
        match action["action"]:
            case "Challenge" if self.md5:
                connection.succeed(action, Challenge="12345")
            case "Challenge":
                connection.refuse(action, "Must specify AuthType")
            case "Login":
                self.logins.append(action)
                if action.get("secret") == PASSWORD or action.get("key") == challenge_key("12345", PASSWORD):
                    connection.succeed(action, Message="Authentication accepted")
                else:
                    connection.refuse(action, "Authentication failed")
            case _:
                self.actions.append(action)
                await self.on_action(connection, action)


class Desk:
    """A client, running, and what it was told."""

    def __init__(self, port: int, on_connected: Callable[[], Awaitable[None]] | None, **settings: Any) -> None:
        chosen = {"port": port, "password": PASSWORD, "request_timeout_s": 5, **settings}
        self.events: list[Event] = []
        self.lost = 0
        self.client = AmiClient(AmiSettings.model_validate(chosen))
        self.client.subscribe(self._hear, on_connected=on_connected, on_lost=self._on_lost)
        self.heard = asyncio.Event()

    def _hear(self, event: Event) -> None:
        self.events.append(event)
        self.heard.set()

    def _on_lost(self) -> None:
        self.lost += 1

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                await asyncio.sleep(0.005)


MakeManager = Callable[..., Awaitable[Manager]]


@pytest.fixture
async def make_manager() -> AsyncIterator[MakeManager]:
    """``await make_manager(tls=...)``: one more running ``Manager``; all end after the test."""
    running: list[Manager] = []

    async def make(**options: Any) -> Manager:
        made = Manager()
        for name, value in options.items():
            setattr(made, name, value)
        running.append(made)
        await made.start()
        return made

    yield make
    for made in running:
        await made.stop()


@pytest.fixture
async def manager(make_manager: MakeManager) -> Manager:
    return await make_manager()


@pytest.fixture
async def desk(manager: Manager) -> AsyncIterator[Any]:
    """``await desk(request_timeout_s=1)``: a client that is connected; ``wait=False``: one that may not get there."""
    async with AsyncExitStack() as desks:

        async def make(
            *, wait: bool = True, on_connected: Callable[[], Awaitable[None]] | None = None, **settings: Any
        ) -> Desk:
            made = Desk(manager.port, on_connected, **settings)
            await desks.enter_async_context(_running(made))
            if wait:
                async with asyncio.timeout(LIMIT_S):
                    await made.client.wait_connected()
            return made

        yield make


@asynccontextmanager
async def _running(desk: Desk) -> AsyncIterator[None]:
    task = asyncio.create_task(desk.client.run())
    yield
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled(), task.exception()
    assert not desk.client.connected
