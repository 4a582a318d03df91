"""Two ways to talk to a sandbox: its session core on a clock of the test's own, and its server over a real socket.

Both check every server event against the types of the official ``openai`` package.
"""

import asyncio
import base64
import functools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from websockets.asyncio.client import ClientConnection, connect

from ariagent.sandbox import audio as sound
from ariagent.sandbox.faults import Faults
from ariagent.sandbox.line import Abort, Close, Recognise, SendEvent, Synthesize
from ariagent.sandbox.options import SandboxOptions
from ariagent.sandbox.scenario import Scenario
from ariagent.sandbox.scenario_file import load_scenario, parse_scenario
from ariagent.sandbox.server import SandboxServer
from ariagent.sandbox.session import Observer, Session
from ariagent.sandbox.speech import Voice
from ariagent.sandbox.vad import Energy
from ariagent.synthesis.programs import fetched

Json = dict[str, Any]


@functools.cache
def _server_events() -> TypeAdapter[Any]:
    # Imported here: it takes a second, which whoever only collects or runs other tests need not wait.
    from openai.types.realtime import RealtimeServerEvent

    return TypeAdapter(RealtimeServerEvent)


def judge(event: Json) -> None:
    """Raise unless the official package's models take the event and read back every key that they know."""
    parsed = _server_events().validate_python(event)
    assert parsed.type == event["type"]
    assert event["event_id"]


def loud(ms: float, fmt: sound.WireFormat = sound.PCM) -> bytes:
    """A caller who speaks."""
    return fmt.encode(sound.tone(ms, fmt.rate_hz, 440.0))


class Desk:
    """A session core, driven by hand: ``now`` moves only when a test says so.

    Speech is a tone of ``speech_ms`` (by the length of its text if ``None``); what the recogniser hears is taken from
    ``hears``, one entry per turn, ``None`` for "still working".
    """

    def __init__(
        self,
        options: SandboxOptions,
        scenario: Scenario,
        model: str,
        *,
        transcription: bool,
        observer: Observer | None = None,
    ) -> None:
        self.options = options
        self.now = 100.0
        self.speech_ms: float | None = None
        self.hears: list[str | None] = []
        self.events: list[Json] = []
        self.times: list[float] = []
        self.other: list[Any] = []
        """Close and Abort commands, and the Recognise ones that were left open."""
        self.session = Session(
            model=model,
            options=options,
            scenario=scenario,
            detector=Energy() if options.detector in ("energy", "reflex") else None,
            salt="test",
            wall_time=1_800_000_000.0,
            transcription=transcription,
            observer=observer,
        )
        self.session.start(self.now)
        self._do()

    def send(self, event: Json | str) -> None:
        """A client event, now."""
        self.session.receive(event if isinstance(event, str) else json.dumps(event), self.now)
        self._do()

    def append(self, audio: bytes, step_ms: int = 20, fmt: sound.WireFormat = sound.PCM) -> None:
        """The caller's audio in real time, frame by frame."""
        step = fmt.n_bytes(step_ms)
        for at in range(0, len(audio), step):
            piece = audio[at : at + step]
            self.run(fmt.ms(len(piece)) / 1000)
            self.send({"type": "input_audio_buffer.append", "audio": base64.b64encode(piece).decode()})

    def speak(self, ms: float = 600, quiet_ms: float = 400, fmt: sound.WireFormat = sound.PCM) -> None:
        """A turn of the caller: sound, then quiet."""
        self.append(loud(ms, fmt) + fmt.silence(quiet_ms), fmt=fmt)

    def run(self, seconds: float = 60.0) -> None:
        """Let time pass."""
        end = self.now + seconds
        while (deadline := self.session.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.session.tick(self.now)
            self._do()
        self.now = end

    def say(self, text: str, role: str = "user") -> None:
        """A text item, without a response."""
        content = [{"type": "input_text", "text": text}]
        self.send({"type": "conversation.item.create", "item": {"type": "message", "role": role, "content": content}})

    def respond(self, **response: Any) -> None:
        """A response.create."""
        self.send({"type": "response.create", **({"response": response} if response else {})})

    def configure(self, **session: Any) -> None:
        """A session.update."""
        self.send({"type": "session.update", "session": {"type": "realtime", **session}})

    def hear(self, command: Recognise, words: str) -> None:
        """The recogniser is done, late."""
        self.session.recognised(command.key, words, self.now)
        self._do()

    def of(self, *kinds: str) -> list[Json]:
        """The events of these types, in order."""
        return [event for event in self.events if event["type"] in kinds]

    def last(self, kind: str) -> Json:
        """The newest event of this type."""
        found = self.of(kind)
        assert found, f"no {kind} among {self.kinds}"
        return found[-1]

    def at(self, kind: str, index: int = -1) -> float:
        """When an event of this type was sent."""
        return [time for time, event in zip(self.times, self.events, strict=True) if event["type"] == kind][index]

    @property
    def kinds(self) -> list[str]:
        """The types of all events so far."""
        return [event["type"] for event in self.events]

    @property
    def error(self) -> Json:
        """The newest refusal."""
        error: Json = self.last("error")["error"]
        return error

    @property
    def done(self) -> Json:
        """The newest finished response."""
        response: Json = self.last("response.done")["response"]
        return response

    def forget(self) -> None:
        """Start collecting again."""
        self.events.clear()
        self.times.clear()

    def _do(self) -> None:
        for command in self.session.take():
            if isinstance(command, SendEvent):
                event = json.loads(json.dumps(command.event))
                judge(event)
                self.events.append(event)
                self.times.append(self.now)
            elif isinstance(command, Synthesize):
                ms = 65 * len(command.text) if self.speech_ms is None else self.speech_ms
                audio = command.format.encode(sound.tone(ms / command.speed, command.format.rate_hz))
                self.session.speech_ready(command.key, audio, self.now)
                self._do()
            elif isinstance(command, Recognise):
                words = self.hears.pop(0) if self.hears else ""
                if words is None:
                    self.other.append(command)
                else:
                    self.session.recognised(command.key, words, self.now)
                    self._do()
            else:
                assert isinstance(command, Close | Abort)
                self.other.append(command)


DeskMaker = Callable[..., Desk]
_shipped_scenario = functools.cache(load_scenario)


@pytest.fixture
def make_desk() -> DeskMaker:
    """``make_desk(scenario=TEXT, faults="stall:300", model=..., **options)`` gives a :class:`Desk`."""

    def make(
        scenario: str | None = None,
        *,
        faults: str = "",
        model: str = "gpt-realtime-2.1",
        transcription: bool = False,
        observer: Observer | None = None,
        **options: Any,
    ) -> Desk:
        chosen = SandboxOptions(**{"detector": "energy", "faults": Faults.parse(faults), **options})
        story = parse_scenario(scenario, "test.yaml") if scenario else _shipped_scenario()
        return Desk(chosen, story, model, transcription=transcription, observer=observer)

    return make


@pytest.fixture
def desk(make_desk: DeskMaker) -> Desk:
    """A session of the default scenario with the energy detector."""
    return make_desk()


class Client:
    """A WebSocket client that judges and keeps everything it is sent; ``judged`` false: of a server that deviates."""

    def __init__(self, connection: ClientConnection, *, judged: bool = True) -> None:
        self.connection = connection
        self.judged = judged
        self.events: list[Json] = []

    async def send(self, event: Json | str | bytes) -> None:
        """Send a client event, or anything else."""
        await self.connection.send(json.dumps(event) if isinstance(event, dict) else event)

    async def until(self, kind: str, timeout: float = 10.0, *, count: int = 1) -> Json:
        """Read up to the ``count``-th event of this type from now on."""
        async with asyncio.timeout(timeout):
            while True:
                event: Json = json.loads(await self.connection.recv())
                if self.judged:
                    judge(event)
                self.events.append(event)
                count -= event["type"] == kind
                if count == 0:
                    return event

    async def append(self, audio: bytes, frame: int = 960) -> None:
        """Append audio, frame by frame, as fast as it goes."""
        for at in range(0, len(audio), frame):
            encoded = base64.b64encode(audio[at : at + frame]).decode()
            await self.connection.send(f'{{"type":"input_audio_buffer.append","audio":"{encoded}"}}')

    def of(self, kind: str) -> list[Json]:
        """The events of this type so far."""
        return [event for event in self.events if event["type"] == kind]

    @property
    def kinds(self) -> list[str]:
        """The types of all events so far."""
        return [event["type"] for event in self.events]

    async def fence(self) -> Json:
        """Read everything that the server sends before it answers one more request."""
        await self.send({"type": "conversation.item.retrieve", "item_id": "fence"})
        return await self.until("error")


class Place:
    """A running server and clients of it."""

    def __init__(self, server: SandboxServer, stack: AsyncExitStack) -> None:
        self.server = server
        self._stack = stack

    async def client(
        self, query: str = "model=gpt-realtime-2.1", key: str = "sk-test", *, judged: bool = True, **options: Any
    ) -> Client:
        """A new connection."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        headers |= options.pop("headers", {})
        url = f"{self.server.url}?{query}"
        settings = {"compression": None, "max_size": None, **options}
        connection = await self._stack.enter_async_context(connect(url, additional_headers=headers, **settings))
        return Client(connection, judged=judged)


PlaceMaker = Callable[..., Any]


@pytest.fixture
async def make_place(tmp_path: Path) -> AsyncIterator[PlaceMaker]:
    """``await make_place(scenario=TEXT, faults=..., **options)`` gives a :class:`Place`; it ends with the test."""
    async with AsyncExitStack() as stack:

        async def make(scenario: str | None = None, *, faults: str = "", **options: Any) -> Place:
            chosen: Json = {"voice": "tone", "recogniser": False, "detector": "energy", "think_ms": 0}
            chosen |= {"faults": Faults.parse(faults), **options}
            if scenario is not None:
                path = tmp_path / "scenario.yaml"
                path.write_text(scenario)
                chosen["scenario"] = path
            server = await stack.enter_async_context(SandboxServer(SandboxOptions(**chosen)))
            return Place(server, stack)

        yield make


@pytest.fixture
def speech_like() -> Callable[[float], bytes]:
    """Sound for so many ms at 24 kHz."""
    return loud


@pytest.fixture(scope="session")
def flite() -> list[str]:
    """The argv prefix of flite; fetched where the machine has none."""
    return fetched("flite")


@pytest.fixture
def flite_clip(flite: list[str]) -> Callable[[str, sound.WireFormat], Any]:
    """``await flite_clip(text, format)`` is that text spoken."""
    voice = Voice(flite, "rms")

    async def clip(text: str, fmt: sound.WireFormat) -> bytes:
        return await voice.say(text, "", 1.0, fmt)

    return clip
