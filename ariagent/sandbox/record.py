"""The record of a session for tests: messages received and sent, items, and events to wait for."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ariagent.sandbox.session import Session

Json = dict[str, Any]

MOST_CONVERSATIONS = 100
"""Responses of a session whose conversations are kept."""


class SandboxSession:
    """A session of a :class:`~ariagent.sandbox.server.SandboxServer`, live or past.

    ``received`` and ``sent`` hold the events in order. Audio payloads are replaced by ``audio_bytes``, their length
    once decoded, and appends in a row are one entry (``events`` says of how many), so that a long call stays small.
    """

    core: Session
    """The session itself; set by the server before anything is received."""

    def __init__(
        self, number: int, *, keep_audio: bool = False, made_from: Callable[[Json], None] = lambda _: None
    ) -> None:
        self.number = number
        """1 for the server's first session."""
        self.conversations: deque[Json] = deque(maxlen=MOST_CONVERSATIONS)
        """The conversations that the newest responses were made from, as ``known`` has them."""
        self._made_from = made_from
        self._keep_audio = keep_audio
        self.received: list[Json] = []
        self.received_at: list[float] = []
        """When each of ``received`` came in, in seconds of ``time.monotonic()``; of appends in a row, the first."""
        self.sent: list[Json] = []
        self.sent_at: list[float] = []
        """When each of ``sent`` went out, in seconds of ``time.monotonic()``."""
        self.audio = bytearray()
        """All appended audio in the input format, with the option ``keep_audio``."""
        self.closed = asyncio.Event()
        self.close_code: int | None = None
        self._changed = asyncio.Event()

    # -- looking --

    @property
    def id(self) -> str:
        """The ``sess_...`` id."""
        return str(self.settings["id"])

    @property
    def settings(self) -> Json:
        """The session object as session.updated shows it."""
        return self.core.state.settings

    @property
    def appended_ms(self) -> float:
        """The audio clock: how much audio has arrived."""
        return self.core.hearing.appended_ms

    @property
    def items(self) -> list[Json]:
        """The conversation, as the protocol shows its items."""
        return [item.public() for item in self.core.conversation]

    @property
    def texts(self) -> list[str]:
        """Everything that is written in the conversation, of both sides."""
        parts = [part for item in self.items for part in item.get("content", [])]
        return [part.get("text") or part.get("transcript") or "" for part in parts]

    @property
    def said(self) -> list[str]:
        """The words that the recogniser understood, turn by turn."""
        return [words for words in self.core.state.heard.values() if words]

    @property
    def alive(self) -> bool:
        """Whether the connection is up."""
        return not self.closed.is_set()

    def received_events(self, kind: str) -> list[Json]:
        """The client events of this type."""
        return [event for event in self.received if event.get("type") == kind]

    def received_times(self, kind: str) -> list[float]:
        """When the client events of this type came in, by time.monotonic()."""
        pairs = zip(self.received_at, self.received, strict=True)
        return [at for at, event in pairs if event.get("type") == kind]

    def sent_times(self, kind: str) -> list[float]:
        """When the server events of this type left, by time.monotonic()."""
        return [at for at, event in zip(self.sent_at, self.sent, strict=True) if event.get("type") == kind]

    def sent_events(self, kind: str) -> list[Json]:
        """The server events of this type."""
        return [event for event in self.sent if event.get("type") == kind]

    def conversation_of(self, response_id: str) -> Json:
        """The conversation that this response was made from. Raises LookupError."""
        for conversation in self.conversations:
            if conversation["response"] == response_id:
                return conversation
        raise LookupError(f"no conversation is kept of response {response_id}")

    # -- waiting --

    async def wait_event(self, kind: str, timeout: float = 5.0, *, count: int = 1) -> Json:
        """The ``count``-th event of this type from the client; it may have come already. Raises TimeoutError."""
        return await self._nth(self.received_events, kind, timeout, count)

    async def wait_sent(self, kind: str, timeout: float = 5.0, *, count: int = 1) -> Json:
        """The ``count``-th event of this type to the client; it may be gone already. Raises TimeoutError."""
        return await self._nth(self.sent_events, kind, timeout, count)

    async def wait_sent_at(self, kind: str, timeout: float = 5.0, *, count: int = 1) -> float:
        """When the ``count``-th event of this type left, by time.monotonic(). Raises TimeoutError."""
        event = await self.wait_sent(kind, timeout, count=count)
        return next(at for at, sent in zip(self.sent_at, self.sent, strict=True) if sent is event)

    async def wait_appended(self, ms: float, timeout: float = 5.0) -> None:
        """Wait until this much audio has arrived. Raises TimeoutError."""
        await self.wait_until(lambda: self.appended_ms >= ms, timeout, f"{ms} ms of audio, not {self.appended_ms}")

    async def wait_closed(self, timeout: float = 5.0) -> int | None:
        """Until the connection is gone; its close code. Raises TimeoutError."""
        await asyncio.wait_for(self.closed.wait(), timeout)
        return self.close_code

    async def wait_until(self, condition: Callable[[], bool], timeout: float = 5.0, what: str = "condition") -> None:
        """Until ``condition()`` holds; it is looked at after every event. Raises TimeoutError."""
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            tail = ", ".join(str(event.get("type")) for event in self.received[-8:])
            message = f"session {self.number}: no {what} within {timeout:g} s; last received: {tail}"
            raise TimeoutError(message) from None

    async def _nth(self, look: Callable[[str], list[Json]], kind: str, timeout: float, count: int) -> Json:
        await self.wait_until(lambda: len(look(kind)) >= count, timeout, f"{count} x {kind}")
        return look(kind)[count - 1]

    # -- the server's side --

    def note_received(self, event: Json) -> None:
        """The session got a client event."""
        self._received(event)
        self._changed.set()

    def note_append(self, data: bytes) -> None:
        """The session decoded an append."""
        n_bytes = len(data)
        if self._keep_audio:
            self.audio += data
        last = self.received[-1] if self.received else None
        if last is not None and last["type"] == "input_audio_buffer.append":
            last["events"] += 1
            last["audio_bytes"] += n_bytes
        else:
            self._received({"type": "input_audio_buffer.append", "events": 1, "audio_bytes": n_bytes})
        self._changed.set()

    def _received(self, event: Json) -> None:
        self.received.append(event)
        self.received_at.append(time.monotonic())

    def note_conversation(self, conversation: Json) -> None:
        """The session makes a response from this."""
        self.conversations.append(conversation)
        self._made_from(conversation)
        self._changed.set()

    def note_sent(self, event: Json) -> None:
        """The driver sent a server event."""
        if event["type"] == "response.output_audio.delta":
            event = {key: value for key, value in event.items() if key not in ("delta", "obfuscation")} | {
                "audio_bytes": len(event["delta"]) * 3 // 4 - event["delta"].count("=")
            }
        self.sent.append(event)
        self.sent_at.append(time.monotonic())
        self._changed.set()

    def note_closed(self, code: int | None) -> None:
        """The driver lost or ended the connection."""
        self.close_code = code
        self.closed.set()
        self._changed.set()
