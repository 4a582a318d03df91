"""The base that every part of a session shares: events out, commands to the driver, timers (CORE)."""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ariagent.sandbox.audio import Samples, WireFormat
from ariagent.sandbox.beta import beta_event
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


def _ids_of(event: Json) -> set[str]:
    """The item and the response that an event is about."""
    found = {event.get("item_id"), event.get("response_id")}
    for name in ("item", "response"):
        found.add((event.get(name) or {}).get("id"))
    return {an_id for an_id in found if an_id}


class Timer:
    """A callback that is due at a time; ``cancel`` disarms it."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[float], None]) -> None:
        self.callback: Callable[[float], None] | None = callback

    def cancel(self) -> None:
        """Never call."""
        self.callback = None


class Line:
    """Events to the client, commands to the driver, and timers, all in order.

    ``echo_event_id`` false, ``beta_names`` and ``code_in_type`` are faults: errors without the client's event_id, the
    beta's names of events, errors with their code in ``type``.
    """

    def __init__(
        self, ids: Ids, *, echo_event_id: bool = True, beta_names: bool = False, code_in_type: bool = False
    ) -> None:
        self.ids = ids
        self.commands: deque[Command] = deque()
        self._echo_event_id = echo_event_id
        self._beta_names = beta_names
        self._code_in_type = code_in_type
        self._held: list[Json] = []
        self._held_ids: set[str] = set()
        self._timers: list[tuple[float, int, Timer]] = []
        self._armed = 0

    def emit(self, kind: str, **fields: Any) -> Json:
        """Send a server event of this type; returns it."""
        event = {"type": kind, "event_id": self.ids.next("event"), **fields}
        if self._held_ids and self._held_ids & _ids_of(event):
            self._held_ids |= _ids_of(event)
            self._held.append(event)
        else:
            self._send(event)
        return event

    def _send(self, event: Json) -> None:
        shown = beta_event(event) if self._beta_names else event
        if shown is not None:
            self.commands.append(SendEvent(shown))

    def hold(self, an_id: str) -> None:
        """Keep back every event about this item or response, and what they lead to, until :meth:`release`."""
        self._held_ids.add(an_id)

    @property
    def holding(self) -> bool:
        """Whether events are kept back."""
        return bool(self._held_ids)

    def release(self, an_id: str | None = None) -> None:
        """Send what was kept back, if ``an_id`` is among what it is about; ``None``: in any case."""
        if an_id is None or an_id in self._held_ids:
            held, self._held = self._held, []
            self._held_ids = set()
            for event in held:
                self._send(event)

    def refuse(self, error: ApiError, event_id: str | None) -> None:
        """Send the ``error`` event for a refused client event."""
        in_type = self._code_in_type or error.code is None
        self.emit(
            "error",
            error={
                "type": (error.code or error.kind) if in_type else error.kind,
                "code": None if in_type else error.code,
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
