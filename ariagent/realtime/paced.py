"""A WebSocket connection whose peer cannot keep the event loop from other calls."""

import asyncio
from time import perf_counter
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection
from websockets.frames import DATA_OPCODES, CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import CONNECTING, OPEN

from ariagent.realtime.budget import MOST_AT_ONCE, MOST_WORK_S
from ariagent.realtime.frames import FrameCutter
from ariagent.realtime.upgrade import Answer, Upgrade

MANY_BYTES = 64_000
"""After so many bytes at once, other calls have their turn: uvloop reads a full socket up to 32 times in one turn."""
LAST_WORK_S = 0.020
"""Longest time for the messages that wait when the peer closes the connection: other calls lose a frame at most."""


class Receiver(Protocol):
    """The user of a connection. Called from the event loop; must not block or raise."""

    def spend(self, frames: int, size: int) -> bool:
        """So many frames and bytes are about to be looked at. False: nothing more of this peer is wanted."""

    def received(self, message: str | bytes) -> None:
        """A message: text, or the content of binary frames."""

    def lost(self) -> None:
        """The connection is closed; no message follows."""


class PacedConnection(ClientConnection):
    """Hands messages to its receiver as they arrive, few at a time, and gives the event loop to other calls in between.

    A whole text message, as nearly all are, bypasses the library, which would spend more time on parsing it and waking
    a task than the service spends on the message. Everything else (control frames, fragments, binary, long and partly
    arrived frames) goes through the library. It enforces the protocol, except that ``_take`` checks UTF-8.
    """

    def __init__(self, *given: Any, receiver: Receiver, **named: Any) -> None:
        super().__init__(*given, **named)
        self._receiver = receiver
        self._cutter = FrameCutter()
        self._upgrade: Upgrade | None = Upgrade()  # until the HTTP answer is there
        self._unread = b""
        self._message = bytearray()  # the fragments of a message so far
        self._is_text = False
        self._until_closed: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unread = b""
        if self._until_closed is not None:
            self._until_closed.cancel()
        self._receiver.lost()

    def data_received(self, data: bytes) -> None:
        if self._upgrade is not None:
            if (answer := self._upgrade.take(data)) is not None:
                self._answered(answer)
        elif self._unread:
            self._unread += data  # delivered although reading is paused
        else:
            self._read(data)
            if len(data) >= MANY_BYTES and not self._unread and not self.transport.is_closing():
                self.transport.pause_reading()
                self.loop.call_soon(self._resume)

    def eof_received(self) -> None:
        if self._upgrade is not None and (answer := self._upgrade.take(b"", is_all=True)) is not None:
            self._answered(answer)
            return
        # Over TLS, the connection is closed at once, although reading is paused. The last message says why.
        began = perf_counter()
        while self._unread and not self.transport.is_closing() and perf_counter() - began < LAST_WORK_S:
            data, self._unread = self._unread, b""
            self._read(data)
        super().eof_received()

    def _answered(self, answer: Answer) -> None:
        self._upgrade = None
        super().data_received(answer.head)
        if answer.refused or self.protocol.state is CONNECTING:
            # Nothing more of it is wanted.
            super().eof_received()
            self.transport.abort()
        elif answer.rest:
            self._read(answer.rest)

    def _read(self, data: bytes) -> None:
        """Take some frames; the rest of ``data`` waits for a later turn of the event loop."""
        at, began = 0, perf_counter()
        for _ in range(MOST_AT_ONCE):
            end, frames, text = self._cutter.cut(data, at)
            if self.transport.is_closing() or not self._receiver.spend(frames, end - at):
                return
            if text and self.protocol.state is OPEN:
                self._take(data[text:end], is_text=True)
            else:
                super().data_received(data[at:end])
                self._close_in_time()
            if end == len(data):
                return
            at = end
            if perf_counter() - began >= MOST_WORK_S:
                break
        self._unread = data[at:]
        self.transport.pause_reading()
        self.loop.call_soon(self._continue)

    def _continue(self) -> None:
        data, self._unread = self._unread, b""
        if not data or self.transport.is_closing():
            return
        self._read(data)
        if not self._unread:
            self.loop.call_soon(self._resume)  # not in this turn, which would read on at once

    def _resume(self) -> None:
        if not (self._unread or self.transport.is_closing()):
            self.transport.resume_reading()

    def process_event(self, event: Frame | Response) -> None:  # type: ignore[override]  # the library's type is private
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        if event.opcode is not Opcode.CONT:
            self._is_text = event.opcode is Opcode.TEXT
        self._message += event.data
        if event.fin:
            message, self._message = bytes(self._message), bytearray()
            self._take(message, is_text=self._is_text)

    def _take(self, message: bytes, *, is_text: bool) -> None:
        try:
            whole = message.decode() if is_text else message
        except UnicodeDecodeError as error:
            self.protocol.fail(CloseCode.INVALID_DATA, f"{error.reason} at position {error.start}")
            self.send_data()
            self._close_in_time()
            return
        self._receiver.received(whole)

    def _close_in_time(self) -> None:
        """Do not wait long for a peer that has ended the session, or has broken the protocol, and stays connected."""
        if self.protocol.close_expected() and self._until_closed is None:
            self._until_closed = self.loop.call_later(self.close_timeout or 0.0, self.transport.abort)
