"""Live state as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

Calls are told as they change; queues and seats, which change in bursts, are looked at a few times a second, and only
while somebody reads. A reader holds a bounded number of events: who reads too slowly is cut off, and nobody waits.
"""

import asyncio
import json
from collections import deque
from contextlib import suppress

from pydantic import BaseModel

from ariagent.call.call import Call
from ariagent.control.errors import RefusedError
from ariagent.control.schemas import CallAnswer, QueuesAnswer, SeatsAnswer
from ariagent.control.supervision import Supervision, call_answer

HEARTBEAT_S = 15.0
HEARTBEAT = ": still here\n\n"
LOOK_S = 0.25
"""Seconds between two looks, at least."""
LOOK_ANYWAY_S = 2.0
"""Seconds after which is looked without an event. Some values change without any: the end of the time after a call, a
list read again."""
MOST_READERS = 50
MOST_OF_ONE = 20
"""Readers with the same token: a page that reconnects without end does not keep the other supervisors out."""
MOST_WAITING = 256
"""Events that a reader may be behind."""


def encoded(event: str, data: object) -> str:
    """One event; JSON has no line breaks of its own."""
    return f"event: {event}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


class Reader:
    """One stream's events that were not read yet."""

    def __init__(self, by: str) -> None:
        """``by``: the token's owner."""
        self.by = by
        self.slow = False
        """The reader was too slow and was cut off."""
        self._waiting: deque[str] = deque()
        self._over = False
        self._wake = asyncio.Event()

    def put(self, text: str) -> None:
        if self._over:
            return
        if len(self._waiting) >= MOST_WAITING:
            self.slow = True
            self._waiting.clear()
            self.end()
            return
        self._waiting.append(text)
        self._wake.set()

    def end(self) -> None:
        """End the stream; events that wait are still read."""
        self._over = True
        self._wake.set()

    async def next(self, heartbeat_s: float = HEARTBEAT_S) -> str | None:
        """All that waits, or a heartbeat; None: it is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(heartbeat_s):
                while not self._waiting and not self._over:
                    self._wake.clear()
                    await self._wake.wait()
        if self._waiting:
            text = "".join(self._waiting)
            self._waiting.clear()
            return text
        return None if self._over else HEARTBEAT


class Feed:
    """Tells readers what changes."""

    def __init__(self, supervision: Supervision) -> None:
        self._supervision = supervision
        self._readers: set[Reader] = set()
        self._calls: dict[Call, CallAnswer] = {}
        """The calls as they were reported last; none while nobody reads."""
        self._queues: QueuesAnswer | None = None
        self._seats: SeatsAnswer | None = None
        self._wake = asyncio.Event()
        self._closed = False
        supervision.registry.watchers.append(self._call_changed)
        if supervision.pool is not None:
            supervision.pool.watchers.append(self._pool_changed)

    def join(self, by: str) -> Reader:
        """A new reader, who gets a snapshot first. Raises RefusedError."""
        own = sum(reader.by == by for reader in self._readers)
        if self._closed or len(self._readers) >= MOST_READERS or own >= MOST_OF_ONE:
            most, of_whom = (MOST_OF_ONE, f" of {by}") if own >= MOST_OF_ONE else (MOST_READERS, "")
            full = f"{most} event streams{of_whom} are open already"
            reason = "the service is ending" if self._closed else full
            raise RefusedError(503, "no_stream", reason, remedy="Try again later")
        for call in self._supervision.registry.calls:
            self._report(call)
        self._look()
        reader = Reader(by)
        parts: dict[str, BaseModel] = {"queues": self._supervision.queues(), "seats": self._supervision.seats()}
        snapshot = {name: part.model_dump(mode="json") for name, part in parts.items()}
        reader.put(
            encoded("snapshot", {"calls": self._supervision.calls().model_dump(mode="json")["calls"], **snapshot})
        )
        self._readers.add(reader)
        self._wake.set()
        return reader

    def leave(self, reader: Reader) -> None:
        self._readers.discard(reader)
        if not self._readers:
            self._calls.clear()

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        for reader in self._readers:
            reader.end()

    async def run(self) -> None:
        """Look at queues and seats, until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_ANYWAY_S if self._readers else None):
                    await self._wake.wait()
            self._wake.clear()
            if self._readers:
                self._look()
                await asyncio.sleep(LOOK_S)

    def _look(self) -> None:
        queues, seats = self._supervision.queues(), self._supervision.seats()
        if self._queues is None or _lasting(queues) != _lasting(self._queues):
            self._tell("queues", queues.model_dump(mode="json"))
        if seats != self._seats:
            self._tell("seats", seats.model_dump(mode="json"))
        self._queues, self._seats = queues, seats

    def _pool_changed(self) -> None:
        if self._readers:
            self._wake.set()

    def _call_changed(self, call: Call) -> None:
        if self._readers:
            self._report(call)

    def _report(self, call: Call) -> None:
        now = call_answer(call) if call in self._supervision.registry.calls else None
        if now is None:
            if (known := self._calls.pop(call, None)) is not None:
                ended = call.termination
                why = {} if ended is None else {"result": ended.result.value, "reason": ended.reason}
                self._tell("ended", {"id": known.id, **why})
            return
        before = self._calls.get(call)
        self._calls[call] = now
        if before is None or _still(before) != _still(now):
            self._tell("call", now.model_dump(mode="json"))

    def _tell(self, event: str, data: object) -> None:
        if self._readers:
            text = encoded(event, data)
            for reader in self._readers:
                reader.put(text)


def _still(call: CallAnswer) -> CallAnswer:
    """The answer without the fields that change all the time."""
    return call.model_copy(update={"answered_s": call.answered_s is not None})


def _lasting(queues: QueuesAnswer) -> QueuesAnswer:
    """The answer without the fields that change all the time."""
    still = [queue.model_copy(update={"longest_wait_s": 0.0, "next_wait_s": None}) for queue in queues.queues]
    return queues.model_copy(update={"queues": still})
