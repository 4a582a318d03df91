"""A WebSocket connection whose peer cannot keep the event loop from other calls."""

import asyncio
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.protocol import CONNECTING

from ariagent.realtime.budget import MOST_AT_ONCE
from ariagent.realtime.frames import FrameCutter
from ariagent.realtime.upgrade import Answer, Upgrade


class PacedConnection(ClientConnection):
    """Hands the library few frames at a time, and gives the event loop to other calls in between.

    The library parses all that one read brought, and answers each ping. ``spend`` is told of the frames and bytes of
    each step, before they are parsed; it returns False when nothing more of this peer is wanted.
    """

    def __init__(self, *given: Any, spend: Callable[[int, int], bool], **named: Any) -> None:
        super().__init__(*given, **named)
        self._spend = spend
        self._cutter = FrameCutter()
        self._upgrade: Upgrade | None = Upgrade()  # until the HTTP answer is there
        self._unread = b""
        self._full = False  # the library has enough for now

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.recv_messages.pause, self.recv_messages.resume = self._hold, self._go_on

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unread = b""

    def data_received(self, data: bytes) -> None:
        if self._upgrade is not None:
            if (answer := self._upgrade.take(data)) is not None:
                self._answered(answer)
            return
        self._unread += data
        self._read()

    def eof_received(self) -> None:
        if self._upgrade is not None and (answer := self._upgrade.take(b"", is_all=True)) is not None:
            self._answered(answer)
            return
        super().eof_received()

    def _answered(self, answer: Answer) -> None:
        self._upgrade = None
        super().data_received(answer.head)
        if answer.refused or self.protocol.state is CONNECTING:
            # Nothing more of it is wanted.
            super().eof_received()
            self.transport.abort()
        elif answer.rest:
            self._unread = answer.rest
            self._read()

    def _read(self) -> None:
        data = self._unread
        end, frames = self._cutter.cut(data, 0, MOST_AT_ONCE)
        self._unread = data[end:]
        if self.transport.is_closing() or not self._spend(frames, end):
            self._unread = b""
            return
        super().data_received(data if end == len(data) else data[:end])
        if self._unread:
            self.transport.pause_reading()
            if not self._full:
                self.loop.call_soon(self._continue)

    def _continue(self) -> None:
        if self._unread and not self._full:
            self._read()
        if not (self._unread or self._full or self.transport.is_closing()):
            self.transport.resume_reading()

    def _hold(self) -> None:
        self._full = True
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def _go_on(self) -> None:
        self._full = False
        self.loop.call_soon(self._continue)
