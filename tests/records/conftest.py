"""A journal in a folder of its own, and what it takes to read and to break it."""

import math
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ariagent.config import RecordsSettings
from ariagent.records.journal import Journal
from ariagent.records.store import Store

Until = Callable[[Callable[[], bool]], None]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def store(directory: Path) -> Store:
    return Store(directory)


@pytest.fixture
def journal(directory: Path) -> Iterator[Journal]:
    made = Journal.open(directory, RecordsSettings())
    yield made
    made.close()


@pytest.fixture
def until() -> Until:
    """Waits, with a generous limit, for something another thread or process does."""

    def wait(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
        end = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < end, "did not happen in time"
            time.sleep(0.01)

    return wait


def _speech(seconds: float, seed: int) -> bytes:
    """Peaks that look like speech: syllables, some louder."""
    rng = random.Random(seed)
    return bytes(
        int(min(255, max(90, 170 + 60 * math.sin(n * 0.9 + seed) + rng.uniform(-30, 30))))
        for n in range(round(seconds * 20))
    )


@pytest.fixture
def sample(directory: Path) -> Callable[..., str]:
    """Writes one rich call, as the service does, and gives its id."""

    def write(call_id: str = "1795357064.12", *, began: float | None = None, said: str = "") -> str:
        at = time.time() - 3600 if began is None else began
        journal = Journal.open(directory, RecordsSettings())
        record = journal.begin(call_id, at)

        def event(after_s: float, name: str, **fields: object) -> None:
            record.event(name, at + after_s, fields)

        def wait(after_s: float, detection: float, model: float, ours: float) -> None:
            whole = detection + model + ours
            event(
                after_s, "turn.answered", response_ms=whole, detection_ms=detection, model_ms=model, ours_ms=ours
            )  # fmt: skip

        started = {"leg": call_id, "agent": "frontdesk", "seat": "03", "caller": "+34600123456", "media": "6f0c"}
        event(0.02, "call.started", **started)
        event(0.31, "call.answered", after_ms=290.4)
        event(0.5, "turn.agent", item="i0", said="Hello, this is the virtual assistant of Northwind. How can I help?")
        event(7.6, "turn.caller", item="i1", said=said or "Where is my order? The number is 4711.")
        wait(8.0, 210, 396.2, 6.1)
        event(8.4, "turn.agent", item="i2", said="One moment, I look that up for you.")
        event(9.0, "tool.called", tool="order_status", call_id="c1", arguments='{"order": "4711"}')
        output = '{"status": "shipped", "day": "Tuesday"}'
        event(10.9, "tool.done", tool="order_status", call_id="c1", ms=1874.0, ok=True, kind="", output=output)
        event(12.0, "turn.agent", item="i3", said="Your order has been shipped. It arrives on Tuesday.")
        event(20.5, "turn.caller", item="i4", said="Can I change the address?")
        event(20.6, "tool.called", tool="change_address", call_id="c2", arguments='{"order": "4711"}')
        event(22.9, "tool.done", tool="change_address", call_id="c2", ms=2250.0, ok=False, kind="timeout", output="")
        wait(23.2, 205, 2520, 7.5)
        long = "I am sorry, I cannot change it from here. I can put you through to a colleague, or you write to us."
        event(23.6, "turn.agent", item="i5", said=long)
        event(26.4, "turn.interrupted", item="i5", heard_ms=3200, dropped_ms=3900)
        event(28.4, "turn.caller", item="i6", said="A colleague, please.")
        wait(30.1, 900, 1210, 5.2)
        event(30.5, "turn.agent", item="i7", said="I connect you now. Goodbye.")
        event(27.0, "uplink.gap", ms=420)
        event(29.0, "model.refused", code="invalid_value", message="item i5 is shorter than 3200 ms")
        event(29.2, "something.new", colour="blue")
        use = {"input_text": 4200, "input_audio": 900, "cached_text": 3100, "cached_audio": 400, "output_text": 180}
        event(33.0, "usage", model="gpt-realtime-2.1", **use, output_audio=520, transcribed_s=9.1, cost=0.062)
        caller = {5.4: 1.9, 18.0: 2.4, 26.2: 1.8}
        agent = {0.5: 4.4, 8.0: 1.2, 12.0: 4.0, 23.2: 3.2, 30.1: 2.2}
        for side, spoken in (("caller", caller), ("agent", agent)):
            for start_s, seconds in spoken.items():
                record.wave("caller" if side == "caller" else "agent", start_s, _speech(seconds, int(start_s)))
        record.wave("caller", 34.0, bytes(20))
        record.end(at + 35.2, {"result": "done", "reason": "agent_ended", "talk_s": 34.9, "underruns": 0})
        assert journal.close()
        assert journal.dropped == 0
        return call_id

    return write
