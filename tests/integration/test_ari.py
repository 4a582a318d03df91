"""The ARI client and the listener on a real Asterisk: every request for real, and what happens when Asterisk does not
answer, is lost, or is taken over.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from ariagent.ari import client as client_module
from ariagent.ari import listener as listener_module
from ariagent.ari.client import AriClient, ConflictError, NotFoundError
from ariagent.ari.events import ChannelDestroyed, DigitReceived, Event, StasisEnded, StasisStarted
from ariagent.ari.listener import Router, listen
from ariagent.audio.format import SLIN24
from ariagent.audiosocket.server import AudioSocketServer, MediaConnection
from ariagent.config import AsteriskSettings
from ariagent.errors import AriError
from lab.asterisk import AsteriskInstance

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
ECHO = "Local/600@ariagent-internal/n"


def settings_of(asterisk: AsteriskInstance, **changes: Any) -> AsteriskSettings:
    given: dict[str, Any] = {
        "url": asterisk.ari_url,
        "user": asterisk.ari_user,
        "password": SecretStr(asterisk.ari_password),
        "app": f"test-{uuid4()}",
        "request_timeout_s": LIMIT_S,
    }
    return AsteriskSettings(**{**given, **changes})


class Ear:
    """A client that listens, and everything that was routed to it."""

    def __init__(self, client: AriClient) -> None:
        self.client = client
        self.events: list[Event] = []
        self.new: list[StasisStarted] = []
        self.streams = 0
        self.changed = asyncio.Event()
        self.router = Router(self._on_new)
        self.running: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.running = asyncio.create_task(listen(self.client, self.router, self._on_stream))

    def expect(self, channel_id: str) -> str:
        """Hear this channel's events; returns its id."""
        self.router.register(channel_id, self._on_event)
        return channel_id

    def _on_event(self, event: Event) -> None:
        self.events.append(event)
        self.changed.set()

    def _on_new(self, event: StasisStarted) -> None:
        self.new.append(event)
        self.changed.set()

    async def _on_stream(self) -> None:
        self.streams += 1
        self.changed.set()

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def saw(self, kind: type[Event], channel_id: str) -> Event:
        """The event of this kind about this channel, awaited."""

        def found() -> list[Event]:
            about = [e for e in self.events if isinstance(e, kind)]
            return [e for e in about if channel_id == (e.channel.id if isinstance(e, StasisStarted) else e.channel_id)]  # type: ignore[union-attr]

        await self.until(found)
        return found()[0]

    async def stop(self) -> None:
        if self.running is not None:
            assert not self.running.done(), self.running
            self.running.cancel()
            with suppress(asyncio.CancelledError):
                await self.running


@pytest.fixture(autouse=True)
async def _leave_no_bridge(asterisk: AsteriskInstance) -> AsyncIterator[None]:
    """A request that was given up may still be carried out, once Asterisk continues: other tests want it empty."""
    yield
    async with AriClient(settings_of(asterisk)) as client:
        await client.connect()
        for bridge in await client._call("bridges", "list"):
            await client.destroy_bridge(bridge["id"])


MakeEar = Callable[..., Awaitable[Ear]]


@pytest.fixture
async def make_ear(asterisk: AsteriskInstance) -> AsyncIterator[MakeEar]:
    """``await make_ear(app="x")``: connected and listening. What its application has left is given back at the end."""
    made: list[Ear] = []

    async def make(**changes: Any) -> Ear:
        client = AriClient(settings_of(asterisk, **changes))
        made.append(Ear(client))
        await client.connect()
        made[-1].start()
        await made[-1].until(lambda: made[-1].streams)
        return made[-1]

    yield make
    for ear in made:
        await ear.stop()
        with suppress(AriError):
            channels, bridges = await ear.client.application()
            for channel in channels:
                with suppress(AriError):
                    await ear.client.hang_up(channel)
            for bridge in bridges:
                with suppress(AriError):
                    await ear.client.destroy_bridge(bridge)
        await ear.client.close()


@pytest.fixture
async def ear(make_ear: MakeEar) -> Ear:
    return await make_ear()


async def channel_in(ear: Ear) -> str:
    """A channel in the application; its far end echoes."""
    channel = ear.expect(f"test-{uuid4()}")
    await ear.client.originate(channel, endpoint=ECHO, caller_id="Ann Other <5550100>", timeout_s=10)
    await ear.saw(StasisStarted, channel)
    return channel


class Line:
    """A media endpoint that counts what comes."""

    def __init__(self) -> None:
        self.connection: MediaConnection | None = None
        self.heard_bytes = 0
        self.digits = ""
        self.reason = ""
        self.changed = asyncio.Event()

    def connected(self, connection: MediaConnection) -> None:
        self.connection = connection
        self.changed.set()

    def audio_received(self, payload: bytes, now: float) -> None:
        self.heard_bytes += len(payload)
        self.changed.set()

    def frame_due(self, now: float) -> bytes | None:
        return None

    def digit_received(self, digit: str) -> None:
        self.digits += digit
        self.changed.set()

    def disconnected(self, reason: str) -> None:
        self.reason = reason
        self.changed.set()

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class TestRequests:
    async def test_the_version(self, asterisk: AsteriskInstance) -> None:
        async with AriClient(settings_of(asterisk)) as client:
            assert (await client.connect()).startswith(asterisk.program.version)

    async def test_a_channel_of_ours_enters_with_its_own_id(self, ear: Ear) -> None:
        channel = await channel_in(ear)
        (event,) = [e for e in ear.events if isinstance(e, StasisStarted)]
        assert event.channel.id == channel
        assert event.channel.name.startswith("Local/600@ariagent-internal")
        assert event.channel.state == "Up"
        assert await ear.client.channel_name(channel) == event.channel.name
        assert ear.new == []

    async def test_variables(self, ear: Ear) -> None:
        channel = await channel_in(ear)
        assert await ear.client.get_variable(channel, "ARIAGENT_RESULT") == ""
        await ear.client.set_variable(channel, "ARIAGENT_RESULT", "no model, & more = \u00fc")
        assert await ear.client.get_variable(channel, "ARIAGENT_RESULT") == "no model, & more = \u00fc"
        assert await ear.client.get_variable(channel, "CHANNEL(linkedid)") == channel
        await ear.client.set_variable(channel, "ARIAGENT_RESULT", "")
        assert await ear.client.get_variable(channel, "ARIAGENT_RESULT") == ""

    async def test_answer_may_be_asked_for_twice(self, ear: Ear) -> None:
        channel = await channel_in(ear)
        await ear.client.answer(channel)
        await ear.client.answer(channel)

    async def test_hang_up_is_told(self, ear: Ear) -> None:
        channel = await channel_in(ear)
        await ear.client.hang_up(channel)
        await ear.saw(StasisEnded, channel)
        destroyed = await ear.saw(ChannelDestroyed, channel)
        assert isinstance(destroyed, ChannelDestroyed)
        assert destroyed.cause in (0, 16)
        with pytest.raises(NotFoundError, match="Channel not found"):
            await ear.client.hang_up(channel)

    async def test_continue_leaves_the_application(self, ear: Ear) -> None:
        channel = await channel_in(ear)
        await ear.client.continue_in_dialplan(channel)
        await ear.saw(StasisEnded, channel)

    async def test_digits(self, ear: Ear) -> None:
        channel = await channel_in(ear)
        async with asyncio.timeout(LIMIT_S):
            # The far end answers before it echoes: what comes in between is lost.
            while DigitReceived(channel, "5") not in ear.events:
                await ear.client.send_digits(channel, "5")
                await asyncio.sleep(0.2)

    async def test_bridge_and_audio_both_given_back(self, ear: Ear) -> None:
        client, line, server = ear.client, Line(), AudioSocketServer()
        await server.start("127.0.0.1", 0)
        try:
            caller = await channel_in(ear)
            connection, bridge = uuid4(), f"test-bridge-{uuid4()}"
            media = ear.expect(f"test-media-{connection}")
            server.expect(connection, line, SLIN24)
            await asyncio.gather(
                client.create_bridge(bridge),
                client.external_media(
                    media, host=f"127.0.0.1:{server.port}", connection=str(connection), format_name="slin24"
                ),
            )
            await ear.saw(StasisStarted, media)
            await client.add_to_bridge(bridge, caller, media)
            assert (await client.channel_name(media)).startswith("AudioSocket/")
            channels, bridges = await client.application()
            # Asterisk also counts the far end of a Local channel that we made, which is not in Stasis.
            assert set(channels) - {f"{caller};2"} == {caller, media}
            assert bridges == [bridge]
            # The silence that we send comes back from the far end's echo.
            await line.until(lambda: line.heard_bytes > 10 * SLIN24.frame_bytes)
            await client.hang_up(media)
            await line.until(lambda: line.reason)
            await ear.saw(ChannelDestroyed, media)
            await client.destroy_bridge(bridge)
            # The application forgets both a moment after they are gone.
            async with asyncio.timeout(LIMIT_S):
                while media in (left := await client.application())[0] or left[1]:
                    await asyncio.sleep(0.02)
            assert caller in left[0]
            with pytest.raises(NotFoundError):
                await client.destroy_bridge(bridge)
        finally:
            await server.close()

    async def test_an_audio_server_that_nobody_started_is_an_error(self, ear: Ear) -> None:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        with pytest.raises(AriError):
            await ear.client.external_media(
                f"test-{uuid4()}", host=f"127.0.0.1:{port}", connection=str(uuid4()), format_name="slin24"
            )

    async def test_an_endpoint_that_does_not_exist_is_an_error(self, ear: Ear) -> None:
        with pytest.raises(AriError):
            await ear.client.originate(f"test-{uuid4()}", endpoint="PJSIP/nobody", caller_id="", timeout_s=5)

    async def test_a_channel_that_left_cannot_be_bridged(self, ear: Ear) -> None:
        channel, bridge = await channel_in(ear), f"test-bridge-{uuid4()}"
        await ear.client.create_bridge(bridge)
        await ear.client.hang_up(channel)
        await ear.saw(ChannelDestroyed, channel)
        with pytest.raises(AriError, match=r"HTTP 4\d\d"):
            await ear.client.add_to_bridge(bridge, channel)
        # Nothing was ever in it, so that only its name says whose it is.
        assert (await ear.client.application())[1] == []
        assert await ear.client.bridges_made() == [bridge]
        await ear.client.destroy_bridge(bridge)

    async def test_a_channel_outside_the_application_is_a_conflict(self, ear: Ear, asterisk: AsteriskInstance) -> None:
        before = set(await _channels(asterisk))
        await asterisk.cli("channel originate Local/600@ariagent-internal/n application Wait 30")
        async with asyncio.timeout(LIMIT_S):
            while not (others := set(await _channels(asterisk)) - before):
                await asyncio.sleep(0.05)
        try:
            for operation in (ear.client.continue_in_dialplan, ear.client.answer):
                with pytest.raises(ConflictError, match="409"):
                    await operation(min(others))
        finally:
            for name in others:
                with suppress(AriError):
                    await ear.client.hang_up(name)

    @pytest.mark.parametrize("channel", ["1.1", "a b", "\u00fc"])
    async def test_a_channel_that_never_was(self, ear: Ear, channel: str) -> None:
        client = ear.client
        for request in (
            client.answer(channel),
            client.hang_up(channel),
            client.continue_in_dialplan(channel),
            client.get_variable(channel, "X"),
            client.set_variable(channel, "X", "1"),
            client.send_digits(channel, "1"),
            client.channel_name(channel),
        ):
            with pytest.raises(NotFoundError):
                await request

    async def test_an_application_that_never_was_is_empty(self, asterisk: AsteriskInstance) -> None:
        async with AriClient(settings_of(asterisk)) as client:
            await client.connect()
            assert await client.application() == ([], [])

    async def test_fifty_requests_at_once(self, ear: Ear) -> None:
        channel = await channel_in(ear)
        async with asyncio.timeout(LIMIT_S):
            values = await asyncio.gather(*(ear.client.get_variable(channel, "CHANNEL(linkedid)") for _ in range(50)))
        assert set(values) == {channel}


async def _channels(asterisk: AsteriskInstance) -> list[str]:
    """Unique ids of all channels."""
    lines = (await asterisk.cli("core show channels concise")).splitlines()
    return [line.rsplit("!", 1)[1] for line in lines if "!" in line]


def _thread_states(pid: int) -> list[str]:
    """One letter of ``/proc`` for each thread."""
    states = []
    for path in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):
            states.append(path.read_text().rpartition(")")[2].split()[0])
    return states


async def test_a_wrong_password_is_told(asterisk: AsteriskInstance) -> None:
    async with AriClient(settings_of(asterisk, password=SecretStr("guess"))) as client:
        with pytest.raises(AriError, match="HTTP 401") as caught:
            await client.connect()
    assert "ari.conf" in caught.value.remedy


class TestStandstill:
    """Asterisk stopped by SIGSTOP: it takes connections, and never answers."""

    @pytest.fixture
    async def stop(self, asterisk: AsteriskInstance) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Await it to stop Asterisk; it continues after the test."""

        async def stop() -> None:
            os.kill(asterisk.pid, signal.SIGSTOP)
            # Its threads stop one after another, each when it is next scheduled.
            async with asyncio.timeout(LIMIT_S):
                while not all(state == "T" for state in _thread_states(asterisk.pid)):
                    await asyncio.sleep(0.01)

        yield stop
        os.kill(asterisk.pid, signal.SIGCONT)
        async with asyncio.timeout(LIMIT_S):
            await asterisk.cli("core show uptime")

    async def test_every_request_has_its_bound(
        self, asterisk: AsteriskInstance, stop: Callable[[], Awaitable[None]]
    ) -> None:
        async with AriClient(settings_of(asterisk, request_timeout_s=2.0)) as client:
            await client.connect()
            await stop()
            requests = (
                client.answer("c"),
                client.get_variable("c", "X"),
                client.application(),
                client.create_bridge("b"),
            )
            async with asyncio.timeout(LIMIT_S):
                results = await asyncio.gather(*requests, return_exceptions=True)
            assert [type(result) for result in results] == [AriError] * 4
            assert all("did not answer" in str(result) for result in results)

    async def test_connecting_has_its_bound(
        self, asterisk: AsteriskInstance, stop: Callable[[], Awaitable[None]]
    ) -> None:
        await stop()
        async with AriClient(settings_of(asterisk, request_timeout_s=0.5)) as client:
            async with asyncio.timeout(LIMIT_S):
                with pytest.raises(AriError, match="did not answer"):
                    await client.connect()

    async def test_the_stream_is_given_up_and_opened_again_when_it_goes_on(
        self,
        asterisk: AsteriskInstance,
        make_ear: MakeEar,
        stop: Callable[[], Awaitable[None]],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr(client_module, "HEARTBEAT_S", 0.5)
        monkeypatch.setattr(listener_module, "FIRST_PAUSE_S", 0.05)
        ear = await make_ear(request_timeout_s=2.0)
        assert ear.client.listening
        await stop()
        async with asyncio.timeout(LIMIT_S):
            while ear.client.listening:
                await asyncio.sleep(0.02)
        os.kill(asterisk.pid, signal.SIGCONT)
        await ear.until(lambda: ear.streams >= 2)
        await channel_in(ear)
        assert "ari.lost" in [record.getMessage() for record in caplog.records]


class Detour:
    """A TCP relay to Asterisk whose connections can be cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> "Detour":
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, far_writer}
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        self._writers -= {writer, far_writer}

    @staticmethod
    async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


class TestLoss:
    async def test_a_stream_that_is_cut_off_is_opened_again(
        self, asterisk: AsteriskInstance, make_ear: MakeEar, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listener_module, "FIRST_PAUSE_S", 0.05)
        async with Detour(asterisk.http_port) as detour:
            ear = await make_ear(url=f"http://127.0.0.1:{detour.port}")
            channel = await channel_in(ear)
            for times in (2, 3):
                detour.cut()
                await ear.until(lambda times=times: ear.streams >= times)  # type: ignore[misc]
            # The channel is still ours, and its end is heard through the new stream.
            assert channel in (await ear.client.application())[0]
            await ear.client.hang_up(channel)
            await ear.saw(StasisEnded, channel)
            await ear.stop()
            ear.running = None

    async def test_a_second_program_with_our_name_is_noticed(self, make_ear: MakeEar) -> None:
        app = f"test-{uuid4()}"
        first = await make_ear(app=app)
        await make_ear(app=app)
        async with asyncio.timeout(LIMIT_S):
            await first.router.replaced.wait()

    async def test_a_channel_that_nobody_knows_is_new(self, make_ear: MakeEar) -> None:
        ear = await make_ear()
        channel = f"test-{uuid4()}"
        await ear.client.originate(channel, endpoint=ECHO, caller_id="", timeout_s=10)
        await ear.until(lambda: ear.new)
        assert [event.channel.id for event in ear.new] == [channel]
