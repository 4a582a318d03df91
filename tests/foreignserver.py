"""A small Realtime server of somebody else's: OpenAI's protocol, but for the deviations that a test asks for.

Written after what speech-to-speech 1.1.0 and LocalAI were seen to do. It speaks a text as a hum, 70 ms a letter.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

RACED = "conversation_already_has_active_response"
LETTER_MS = 70
CHUNKS = 10


@dataclass
class Foreign:
    """The deviations, and what was seen. The defaults are OpenAI's ways."""

    added: str = "conversation.item.added"
    one_system: bool = False
    """Only the last system item is known to the model."""
    retrieves: bool = True
    parallel: str = "runs"
    """``runs``, ``refused``, ``replaces`` or ``waits``: a response outside the conversation, beside another one."""
    truncates: str = "answered"
    """``answered``, ``ignored``, ``drops`` or ``refused``."""
    open_calls: str = "answered"
    """``answered``, ``refused``, ``failed`` or ``ignored``."""
    g711: str = "spoken"
    """``spoken``, ``lies``, ``pcm`` or ``unnamed``: what becomes of G.711 in the session and its sound."""
    sessions: int = 100
    mute: bool = False
    obeys: bool = True
    """The model says the code words that it was told."""
    silent_ms: float = 0.0
    """Between two pieces of sound."""
    url: str = ""
    open: int = 0
    heard: list[dict[str, Any]] = field(default_factory=list)
    """Messages that it received, without sound."""

    async def serve(self, connection: ServerConnection) -> None:
        if self.open >= self.sessions:
            error = {"type": "session_limit_reached", "code": None, "message": f"{self.sessions} sessions at most"}
            await connection.send(json.dumps({"type": "error", "error": error}))
            await connection.close(1008, "too many sessions")
            return
        self.open += 1
        session = _Session(self, connection)
        try:
            await session.run()
        except ConnectionClosed:
            pass
        finally:
            self.open -= 1
            for task in session.tasks:
                task.cancel()


class _Session:
    def __init__(self, ways: Foreign, connection: ServerConnection) -> None:
        self.ways = ways
        self.connection = connection
        self.items: dict[str, dict[str, Any]] = {}
        self.order: list[str] = []
        self.encoding = "audio/pcm"
        self.numbers = 0
        self.active: asyncio.Task[None] | None = None
        self.tasks: set[asyncio.Task[None]] = set()

    async def tell(self, kind: str, **fields: Any) -> None:
        await self.connection.send(json.dumps({"type": kind, **fields}))

    async def refuse(self, code: str, event: dict[str, Any]) -> None:
        await self.tell("error", error={"type": code, "code": None, "message": "no", "event_id": event.get("event_id")})

    def new(self, what: str) -> str:
        self.numbers += 1
        return f"{what}_{self.numbers}"

    async def run(self) -> None:
        await self.tell("session.created", session={"id": "s"})
        async for message in self.connection:
            event = json.loads(message)
            if event["type"] == "input_audio_buffer.append":
                continue
            self.ways.heard.append(event)
            match event["type"]:
                case "session.update":
                    await self.update(event["session"])
                case "conversation.item.create":
                    await self.add(event["item"])
                case "conversation.item.delete":
                    self.items.pop(event["item_id"], None)
                case "conversation.item.retrieve":
                    await self.retrieve(event)
                case "conversation.item.truncate":
                    await self.truncate(event)
                case "response.create":
                    await self.respond(event)

    async def update(self, session: dict[str, Any]) -> None:
        self.encoding = session["audio"]["output"]["format"]["type"]
        if self.encoding != "audio/pcm" and self.ways.g711 in ("pcm", "unnamed"):
            for direction in ("input", "output"):
                session["audio"][direction]["format"] = (
                    {"type": "audio/pcm", "rate": 24000} if self.ways.g711 == "pcm" else None
                )
        await self.tell("session.updated", session=session)

    async def add(self, item: dict[str, Any]) -> None:
        item = {"id": self.new("item"), **item}
        self.items[item["id"]] = item
        await self.tell(self.ways.added, item=item)

    async def retrieve(self, event: dict[str, Any]) -> None:
        item = self.items.get(event["item_id"])
        if item is None or not self.ways.retrieves:
            await self.refuse("unknown_or_invalid_event", event)
        else:
            await self.tell("conversation.item.retrieved", item=item)

    async def truncate(self, event: dict[str, Any]) -> None:
        match self.ways.truncates:
            case "ignored":
                return
            case "refused":
                await self.refuse("unknown_or_invalid_event", event)
                return
            case "drops":
                self.items[event["item_id"]]["content"] = []
        await self.tell("conversation.item.truncated", item_id=event["item_id"], audio_end_ms=event["audio_end_ms"])

    async def respond(self, event: dict[str, Any]) -> None:
        response = event.get("response") or {}
        beside = response.get("conversation") == "none"
        busy = self.active is not None and not self.active.done()
        calls = [i for i in self.items.values() if i["type"] == "function_call"]
        answered = {i.get("call_id") for i in self.items.values() if i["type"] == "function_call_output"}
        if not beside and any(call["call_id"] not in answered for call in calls) and self.ways.open_calls != "answered":
            if self.ways.open_calls == "refused":
                await self.refuse("function_call_output_pending", event)
            elif self.ways.open_calls == "failed":
                failed = {"id": self.new("resp"), "status": "failed", "status_details": {"error": {"code": "pending"}}}
                await self.tell("response.created", response={**failed, "status": "in_progress"})
                await self.tell("response.done", response=failed)
            return
        if busy and (not beside or self.ways.parallel == "refused"):
            await self.refuse(RACED, event)
            return
        before = None
        if busy and self.ways.parallel == "replaces":
            assert self.active is not None
            self.active.cancel()
        elif busy and self.ways.parallel == "waits":
            before = self.active
        task = asyncio.ensure_future(self.speak(response, beside, before))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        if not beside or self.active is None or self.active.done():
            self.active = task

    async def speak(self, response: dict[str, Any], beside: bool, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        response_id, item_id = self.new("resp"), self.new("item")
        shape = {"id": response_id, "conversation_id": None if beside else "conv", "metadata": response.get("metadata")}
        place = {"response_id": response_id, "item_id": item_id}
        await self.tell("response.created", response={**shape, "status": "in_progress"})
        text = self.words(response.get("instructions", ""))
        sound = self.sound(text)
        step = -(-len(sound) // CHUNKS) // 2 * 2 or 2
        try:
            for at in range(0, 0 if self.ways.mute else len(sound), step):
                delta = base64.b64encode(sound[at : at + step]).decode()
                await self.tell("response.output_audio.delta", **place, delta=delta)
                await asyncio.sleep(self.ways.silent_ms / 1000)
        except asyncio.CancelledError:
            await self.tell("response.done", response={**shape, "status": "cancelled"})
            return
        await self.tell("response.output_audio_transcript.done", **place, transcript=text)
        if not beside:
            self.items[item_id] = {
                "id": item_id,
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_audio", "audio": "AAAA", "transcript": text}],
            }
        await self.tell("response.done", response={**shape, "status": "completed", "usage": None})

    def words(self, asked: str) -> str:
        if "code word" in asked:
            told = [i["content"][0]["text"] for i in self.items.values() if i.get("role") == "system"]
            told = told[-1:] if self.ways.one_system else told
            known = [word for word in ("apple", "river") if any(word in text for text in told)]
            return " ".join([*(known if self.ways.obeys else []), "one two three four five six seven eight nine ten"])
        return asked.partition(":")[2].strip() or "yes"

    def sound(self, text: str) -> bytes:
        """A hum, in what the session is said to have; G.711 that is none is PCM at 16 kHz."""
        lies = self.encoding != "audio/pcm" and self.ways.g711 == "lies"
        rate_hz = 16_000 if lies else 24_000 if self.encoding == "audio/pcm" else 8_000
        count = rate_hz * LETTER_MS * sum(map(str.isalnum, text)) // 1000
        wave = (8000 * np.sin(2 * np.pi * 300 * np.arange(count) / rate_hz)).astype("<i2")
        if lies or self.encoding == "audio/pcm":
            return wave.tobytes()
        return (wave >> 8).astype("i1").tobytes()


@asynccontextmanager
async def foreign(**ways: Any) -> AsyncIterator[Foreign]:
    """A running server with these deviations."""
    made = Foreign(**ways)
    async with serve(made.serve, "127.0.0.1", 0) as server:
        made.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/v1/realtime"
        yield made
