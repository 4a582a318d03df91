"""What every part of a session shares: events out, commands to the driver, timers (CORE)."""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ariagent.sandbox.audio import Samples, WireFormat
from ariagent.sandbox.ids import Ids
from ariagent.sandbox.schema import ApiError

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SendEvent:
    """Send this server event."""

    event: Json


@dataclass(frozen=True, slots=True)
class Synthesize:
    """Make speech; answer with ``Session.speech_ready(key, audio)``, audio in ``format``."""

    key: str
    text: str
    voice: str
    speed: float
    format: WireFormat


@dataclass(frozen=True, slots=True)
class Recognise:
    """Say what was spoken; answer with ``Session.recognised(key, text)``."""

    key: str
    samples: Samples
    rate_hz: int


@dataclass(frozen=True, slots=True)
class Close:
    """Close the WebSocket."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Abort:
    """Reset the TCP connection after half of this event's frame."""

    event: Json


Command = SendEvent | Synthesize | Recognise | Close | Abort


class Timer:
    """A callback that is due at a time; ``cancel`` disarms it."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[float], None]) -> None:
        self.callback: Callable[[float], None] | None = callback

    def cancel(self) -> None:
        """Never call."""
        self.callback = None


class Line:
    """Events to the client, commands to the driver, and timers, all in order."""

    def __init__(self, ids: Ids, *, echo_event_id: bool = True) -> None:
        self.ids = ids
        self.commands: deque[Command] = deque()
        self._echo_event_id = echo_event_id
        self._timers: list[tuple[float, int, Timer]] = []
        self._armed = 0

    def emit(self, kind: str, **fields: Any) -> Json:
        """Send a server event of this type; returns it."""
        event = {"type": kind, "event_id": self.ids.next("event"), **fields}
        self.commands.append(SendEvent(event))
        return event

    def refuse(self, error: ApiError, event_id: str | None) -> None:
        """Send the ``error`` event for a refused client event."""
        self.emit(
            "error",
            error={
                "type": error.kind,
                "code": error.code,
                "message": error.message,
                "param": error.param,
                "event_id": event_id if self._echo_event_id else None,
            },
        )

    def at(self, when: float, callback: Callable[[float], None]) -> Timer:
        """Call ``callback(now)`` at ``when``, or at the next chance if that is past."""
        timer = Timer(callback)
        self._armed += 1
        heapq.heappush(self._timers, (when, self._armed, timer))
        return timer

    def next_deadline(self) -> float | None:
        """When :meth:`tick` has something to do."""
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def tick(self, now: float) -> None:
        """Run the timers that are due, in their order, each at its own time."""
        while (when := self.next_deadline()) is not None and when <= now:
            timer = heapq.heappop(self._timers)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback(now)
