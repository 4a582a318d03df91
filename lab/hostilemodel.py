"""A Realtime server that is hostile or broken, by kinds, to see that the harm stays in its own call.

    async with HostileModel("garbage") as model:
        ...  # a client of model.url has a session, and then gets 30,000 messages that are no JSON

As a program it serves until it is killed, so that its work is not measured with the client's:
``python -m lab.hostilemodel garbage --port 8099``. It has the lowest priority then: a model's server is never on the
telephony server, so what is measured is not that it takes the processor. Loopback only.
"""

import argparse
import asyncio
import base64
import json
import struct
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, repeat
from types import TracebackType
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import OP_BINARY, OP_CONT, OP_PING, OP_TEXT
from websockets.protocol import State

from lab.processes import step_back

MB = 1_000_000
ENDLESS = 10**9
"""More messages than any client takes."""
_WAITING_BYTES = 1 * MB
"""Bytes that are on their way to the client at once."""
_CHUNK_BYTES = 64_000

Message = str | bytes
"""Text, or a whole WebSocket frame as it is sent."""


def frame(payload: bytes, opcode: int = OP_TEXT, *, fin: bool = True) -> bytes:
    """A WebSocket frame of a server (RFC 6455 section 5.2), which the library would not send as fast, or at all."""
    first = opcode | (0x80 if fin else 0)
    if len(payload) < 126:
        return struct.pack("!BB", first, len(payload)) + payload
    if len(payload) < 65_536:
        return struct.pack("!BBH", first, 126, len(payload)) + payload
    return struct.pack("!BBQ", first, 127, len(payload)) + payload


def event(kind: str, **fields: Any) -> str:
    """A server's event as JSON."""
    return json.dumps({"type": kind, "event_id": "event_1", **fields})


class Attack:
    """One session of a client, from the server's side: configured already, and nothing was said to it yet."""

    def __init__(self, connection: ServerConnection, number: int) -> None:
        self._connection = connection
        self.number = number
        """The number of the session: items of two sessions have different names."""

    @property
    def _open(self) -> bool:
        return self._connection.state is State.OPEN and not self._connection.transport.is_closing()

    async def flood(self, messages: Iterable[Message], *, per_s: float = 0.0) -> None:
        """Send them as fast as the client takes them, or at this rate."""
        chunk = bytearray()
        for message in messages:
            chunk += message if isinstance(message, bytes) else frame(message.encode())
            if len(chunk) >= _CHUNK_BYTES or per_s:
                await self._write(chunk)
                chunk = bytearray()
                if per_s:
                    await asyncio.sleep(1 / per_s)
        await self._write(chunk)

    async def _write(self, chunk: bytearray) -> None:
        transport = self._connection.transport
        for at in range(0, len(chunk), _WAITING_BYTES):
            while self._open and transport.get_write_buffer_size() > _WAITING_BYTES:
                await asyncio.sleep(0.001)
            if not self._open:
                raise ConnectionError("the client is gone")
            transport.write(chunk[at : at + _WAITING_BYTES])
        await asyncio.sleep(0)


def _created(response_id: str = "resp_1") -> str:
    return event("response.created", response={"id": response_id, "status": "in_progress", "conversation_id": "conv_1"})


def _done(response_id: str = "resp_1", status: str = "completed", **fields: Any) -> str:
    return event("response.done", response={"id": response_id, "status": status, "usage": None, **fields})


def _audio(audio: bytes, item_id: str = "item_1", response_id: str = "resp_1") -> str:
    return _delta(base64.b64encode(audio).decode(), item_id, response_id)


def _delta(delta: object, item_id: object = "item_1", response_id: object = "resp_1") -> str:
    return event("response.output_audio.delta", response_id=response_id, item_id=item_id, delta=delta)


def _call(number: int, arguments: str = "{}", response_id: str = "resp_1") -> str:
    item = {"id": f"item_{number}", "type": "function_call", "status": "completed", "call_id": f"call_{number}"}
    return event(
        "response.output_item.done", response_id=response_id, item={**item, "name": "nothing", "arguments": arguments}
    )


def _turn(number: int, start_ms: object = 0, end_ms: object = 500) -> Iterator[str]:
    item_id = f"turn_{number}"
    yield event("input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=start_ms)
    yield event("input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=end_ms)
    yield event("input_audio_buffer.committed", item_id=item_id, previous_item_id=None)


def _transcripts(number: int, text: str) -> Iterator[str]:
    yield event("response.output_audio_transcript.done", response_id="r", item_id=f"item_{number}", transcript=text)
    yield event("conversation.item.input_audio_transcription.completed", item_id=f"turn_{number}", transcript=text)


def _respond(number: int, status: str = "completed", **fields: Any) -> Iterator[str]:
    response_id = f"resp_{number}"
    yield _created(response_id)
    yield _audio(bytes(960), f"item_{number}", response_id)
    yield _done(response_id, status, **fields)


def _usage(**changes: Any) -> dict[str, Any]:
    """The use as the API sends it, with ``changes`` to the details."""
    given = {"text_tokens": 119, "audio_tokens": 13, "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 0}}
    output = {"text_tokens": 30, "audio_tokens": 91}
    return {"input_token_details": {**given, **changes}, "output_token_details": {**output, **changes}}


Work = Callable[[Attack], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to be hostile."""

    name: str
    says: str
    """The messages that it sends, in words, for a table."""
    work: Work
    ends: bool = False
    """A client gives the session up, and tries one more; otherwise the session survives it."""


KINDS: dict[str, Kind] = {}


def _kind(says: str, *, ends: bool = False) -> Callable[[Work], Work]:
    def add(work: Work) -> Work:
        name = work.__name__.strip("_")
        KINDS[name] = Kind(name, says, work, ends)
        return work

    return add


# -- too large ---------------------------------------------------------------------------------------


@_kind("14.5 MB JSON objects of an unknown type, 2/s", ends=True)
async def _big_objects(attack: Attack) -> None:
    text = event("unknown", fields={f"key{n}": n for n in range(700_000)})
    await attack.flood(repeat(text), per_s=2)


@_kind("15 MB of [[],[],...], 2/s", ends=True)
async def _big_arrays(attack: Attack) -> None:
    await attack.flood(repeat("[" + ",".join(["[]"] * 5 * MB) + "]"), per_s=2)


@_kind("0.9 MB of [[],[],...], as fast as they go", ends=True)
async def _arrays(attack: Attack) -> None:
    await attack.flood(repeat("[" + ",".join(["[]"] * 300_000) + "]", ENDLESS))


@_kind("0.9 MB of numbers with 4,000 figures, as fast as they go", ends=True)
async def _long_numbers(attack: Attack) -> None:
    await attack.flood(repeat("[" + ",".join(["1" * 4_000] * 225) + "]", ENDLESS))


@_kind("a message of 100 MB", ends=True)
async def _huge_message(attack: Attack) -> None:
    await attack.flood([struct.pack("!BBQ", 0x81, 127, 100 * MB)])
    await attack.flood(repeat(b"x" * _CHUNK_BYTES, 100 * MB // _CHUNK_BYTES))


@_kind("audio deltas of 16 MB, 3/s", ends=True)
async def _big_audio(attack: Attack) -> None:
    await attack.flood([_created()])
    await attack.flood(repeat(_audio(bytes(12 * MB))), per_s=3)


@_kind("60 errors of 1 MB", ends=True)
async def _big_errors(attack: Attack) -> None:
    error = {"type": "invalid_request_error", "code": "c" * MB, "message": "m" * MB, "event_id": None}
    await attack.flood(repeat(event("error", error=error), 60))


@_kind("60 errors of 0.4 MB")
async def _errors(attack: Attack) -> None:
    error = {"type": "invalid_request_error", "code": "c" * 200_000, "message": "m" * 200_000, "event_id": None}
    await attack.flood(repeat(event("error", error=error), 60), per_s=20)


@_kind("12 pairs of transcripts of 5 MB", ends=True)
async def _big_transcripts(attack: Attack) -> None:
    await attack.flood(chain.from_iterable(_transcripts(n, "word " * MB) for n in range(12)))


@_kind("pairs of transcripts of 0.5 MB, 12")
async def _transcript_pairs(attack: Attack) -> None:
    await attack.flood(chain.from_iterable(_transcripts(n, "word " * 100_000) for n in range(12)), per_s=10)


@_kind("ids of 0.3 MB in all kinds of events, 500", ends=True)
async def _huge_ids(attack: Attack) -> None:
    long = "i" * 300_000
    kinds = [
        _created(long),
        _audio(bytes(960), long, long),
        event("response.output_item.added", response_id=long, item={"id": long, "type": "message"}),
        *_turn(0),
        event("input_audio_buffer.committed", item_id=long, previous_item_id=long),
    ]
    await attack.flood(kinds[n % len(kinds)].replace("iii]", f"i{n}") for n in range(500))


# -- too many ----------------------------------------------------------------------------------------


@_kind("30,000 messages that are no JSON", ends=True)
async def _garbage(attack: Attack) -> None:
    await attack.flood(repeat("garbage", 30_000))


@_kind("messages of an unknown type, as fast as they go", ends=True)
async def _unknown(attack: Attack) -> None:
    await attack.flood(repeat('{"type":"unknown"}', ENDLESS))


@_kind("empty messages, as fast as they go", ends=True)
async def _empty(attack: Attack) -> None:
    await attack.flood(repeat(frame(b""), ENDLESS))


@_kind("one message in endlessly many empty fragments", ends=True)
async def _fragments(attack: Attack) -> None:
    await attack.flood([frame(b'{"type":', fin=False)])
    await attack.flood(repeat(frame(b"", OP_CONT, fin=False), ENDLESS))


@_kind("WebSocket pings, as fast as they go", ends=True)
async def _pings(attack: Attack) -> None:
    await attack.flood(repeat(frame(b"", OP_PING), ENDLESS))


@_kind("60,000 items of one response", ends=True)
async def _many_items(attack: Attack) -> None:
    await attack.flood([_created()])
    await attack.flood(
        event("response.output_item.added", response_id="resp_1", item={"id": f"item_{n}", "type": "message"})
        for n in range(60_000)
    )


@_kind("60,000 items of 2 bytes of audio each", ends=True)
async def _tiny_items(attack: Attack) -> None:
    await attack.flood([_created()])
    await attack.flood(_audio(bytes(2), f"item_{attack.number}_{n}") for n in range(60_000))


@_kind("items of 2 bytes of audio each, 1,000/s, 1 s", ends=True)
async def _tiny_items_slowly(attack: Attack) -> None:
    await attack.flood([_created()])
    await attack.flood((_audio(bytes(2), f"item_{attack.number}_{n}") for n in range(1_000)), per_s=1_000)


@_kind("5,000 function calls in one response", ends=True)
async def _many_calls(attack: Attack) -> None:
    await attack.flood([_created(), *(_call(n) for n in range(5_000)), _done()])


@_kind("100 function calls in one response")
async def _calls(attack: Attack) -> None:
    await attack.flood([_created(), *(_call(n) for n in range(100)), _done()])


@_kind("function calls with 0.2 MB of arguments in responses that never end", ends=True)
async def _endless_calls(attack: Attack) -> None:
    arguments = json.dumps({"text": "x" * 200_000})
    await attack.flood(_call(n, arguments, f"resp_{n}") for n in range(20_000))


@_kind("20 function calls with arguments that are none")
async def _bad_arguments(attack: Attack) -> None:
    bad = ("", "null", "[]", "{", '{"a":NaN}', "[" * 900, '"text"', "1" * 4_000, "\0", '{"a":"\\ud800"}')
    await attack.flood([_created(), *(_call(n, bad[n % len(bad)]) for n in range(20)), _done()])


@_kind("30,000 responses that begin", ends=True)
async def _begun_responses(attack: Attack) -> None:
    await attack.flood(_created(f"resp_{n}") for n in range(30_000))


@_kind("responses that fail, as fast as they go", ends=True)
async def _failed_responses(attack: Attack) -> None:
    details = {"error": {"code": "server_error", "message": "no"}}
    await attack.flood(chain.from_iterable(_respond(n, "failed", status_details=details) for n in range(10_000)))


@_kind("whole responses, as fast as they go", ends=True)
async def _responses(attack: Attack) -> None:
    await attack.flood(chain.from_iterable(_respond(n) for n in range(10_000)))


@_kind("turns of the caller, as fast as they go", ends=True)
async def _turns(attack: Attack) -> None:
    await attack.flood(chain.from_iterable(_turn(n) for n in range(20_000)))


@_kind("the caller's words, 200/s, 5 s", ends=True)
async def _words(attack: Attack) -> None:
    await attack.flood((text for n in range(500) for text in _transcripts(n, "word " * 200)), per_s=200)


@_kind("progress of a response, without end", ends=True)
async def _progress(attack: Attack) -> None:
    await attack.flood([_created()])
    await attack.flood(repeat(event("response.content_part.added", response_id="resp_1"), ENDLESS))


@_kind("2,000 binary messages that are no JSON", ends=True)
async def _binary(attack: Attack) -> None:
    await attack.flood(repeat(frame(b"\xff\x00\x80", OP_BINARY), 2_000))


@_kind("failures of MCP, as fast as they go", ends=True)
async def _mcp_failures(attack: Attack) -> None:
    await attack.flood(event("mcp_list_tools.failed", item_id=f"item_{n}") for n in range(30_000))


@_kind("1,000 MCP calls that never end, in 50 responses")
async def _mcp_calls(attack: Attack) -> None:
    # The events come at full speed, but fewer than the client takes at once: on any machine it is no flood.
    for n in range(50):
        response_id = f"resp_{n}"
        await attack.flood([_created(response_id)])
        shared = {"type": "mcp_call", "name": "x" * 1_000, "server_label": "crm"}
        calls = ({"id": f"item_{n}_{m}", **shared} for m in range(20))
        await attack.flood(event("response.output_item.added", response_id=response_id, item=call) for call in calls)


# -- too much audio ----------------------------------------------------------------------------------


@_kind("48 kB of audio a message, as fast as they go, in a response that never ends", ends=True)
async def _endless_audio(attack: Attack) -> None:
    await attack.flood([_created()])
    await attack.flood(repeat(_audio(bytes(48_000), f"item_{attack.number}"), ENDLESS))


@_kind("50 s of audio every second, 3 s", ends=True)
async def _fast_audio(attack: Attack) -> None:
    await attack.flood([_created()])
    await attack.flood(repeat(_audio(bytes(48_000), f"item_{attack.number}"), 150), per_s=50)


@_kind("20,000 audio deltas that are no base64", ends=True)
async def _no_base64(attack: Attack) -> None:
    await attack.flood([_created()])
    await attack.flood(repeat(_delta("not base64 at all!"), 20_000))


# -- nonsense ----------------------------------------------------------------------------------------

_NUMBERS = (-1, -(2**53), 2**53, 2**63, 10**300, 1e308, -1e308, 0)


@_kind("positions in the caller's audio that are negative or huge, 64 turns")
async def _numbers(attack: Attack) -> None:
    pairs = [(start, end) for start in _NUMBERS for end in _NUMBERS]
    await attack.flood((text for n, pair in enumerate(pairs) for text in _turn(n, *pair)), per_s=100)


@_kind("JSON that is 900 to 150,000 levels deep")
async def _deep(attack: Attack) -> None:
    for depth in (900, 5_000, 50_000, 150_000):
        await attack.flood(["[" * depth + "]" * depth, '{"a":' * depth, '{"type":"x","a":' + "[" * depth], per_s=20)


@_kind("the same ids again and again, 50 rounds")
async def _duplicates(attack: Attack) -> None:
    once = [_created(), _audio(bytes(960)), _call(1), *_turn(1)]
    await attack.flood(chain.from_iterable(repeat(once, 50)), per_s=200)


_WRONG: tuple[Any, ...] = (None, 1, -1.5, True, [], {}, [[]], {"id": 1}, "", "x")
_FIELDS = ("response", "item", "session", "error", "item_id", "response_id", "delta", "transcript", "audio_start_ms")
_TYPES = (
    "response.created",
    "response.done",
    "response.output_item.added",
    "response.output_item.done",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.input_audio_transcription.completed",
    "conversation.item.truncated",
    "session.created",
    "session.updated",
    "response.mcp_call.failed",
    "mcp_list_tools.failed",
)


@_kind("30,000 events with fields of wrong types", ends=True)
async def _wrong_types(attack: Attack) -> None:
    wrong = [event(kind, **dict.fromkeys(_FIELDS, value)) for kind in _TYPES for value in _WRONG]
    await attack.flood(wrong[n % len(wrong)] for n in range(30_000))


@_kind("usage that cannot be, 20 responses")
async def _usage_lies(attack: Attack) -> None:
    lies: tuple[Any, ...] = (2**53, 2**31, -5, 10**300, "many", True, None, 1e300)
    for n in range(20):
        lie = lies[n % len(lies)]
        usage = _usage(text_tokens=lie, audio_tokens=lie, cached_tokens_details={"audio_tokens": lie})
        await attack.flood(_respond(n, usage=usage), per_s=50)


# --------------------------------------------------------------------------------------------------------


class HostileModel:
    """The server. The kind may be changed between sessions; ``hangs_up``: a session ends when everything was sent."""

    def __init__(self, kind: str, port: int = 0, *, hangs_up: bool = False) -> None:
        self.kind = KINDS[kind]
        self._hangs_up = hangs_up
        self.sessions = 0
        """Sessions that were configured."""
        self.over = 0
        """Sessions in which everything was sent, or which the client ended."""
        self._port = port
        self._server: Server | None = None
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> "HostileModel":
        self._server = await serve(self._serve, "127.0.0.1", self._port, max_size=None, ping_interval=None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            for connection in list(self._server.connections):
                connection.transport.abort()
            await self._server.wait_closed()

    @property
    def url(self) -> str:
        """For ``realtime.url``."""
        assert self._server is not None
        port = next(iter(self._server.sockets)).getsockname()[1]
        return f"ws://127.0.0.1:{port}/v1/realtime"

    async def attacked(self, sessions: int = 1) -> None:
        """Wait until so many sessions are over."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.over >= sessions)

    async def _serve(self, connection: ServerConnection) -> None:
        reading: asyncio.Task[None] | None = None
        try:
            await connection.send(event("session.created", session={"id": "sess_1"}))
            update = json.loads(await connection.recv())
            await connection.send(event("session.updated", session={"id": "sess_1", **update["session"]}))
            self.sessions += 1
            reading = asyncio.ensure_future(_read(connection))
            with suppress(ConnectionError):
                await self.kind.work(Attack(connection, self.sessions))
                if self._hangs_up:
                    await connection.close()
        except ConnectionClosed:
            pass
        finally:
            async with self._changed:
                self.over += 1
                self._changed.notify_all()
            if reading is not None:
                await reading


async def _read(connection: ServerConnection) -> None:
    """Take what the client sends, until it is gone."""
    with suppress(ConnectionClosed):
        async for _ in connection:
            pass


async def _main() -> None:
    parser = argparse.ArgumentParser(description="Be a hostile Realtime server on loopback, until killed.")
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    step_back()
    async with HostileModel(given.kind, given.port) as model:
        sys.stdout.write(f"{model.url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
