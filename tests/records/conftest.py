"""A journal in a folder of its own, and what it takes to read and to break it."""

import math
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ariagent.config import RecordsSettings
from ariagent.records import events as rec
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

        def tell(after_s: float, event: rec.CallEvent) -> None:
            record.tell(event, at + after_s)

        def wait(after_s: float, detection: float, model: float, service: float) -> None:
            tell(after_s, rec.AnswerBegan("", detection + model + service, detection, model, service))

        tell(0.02, rec.CallStarted(call_id, "frontdesk", "03", "+34600123456", "6f0c"))
        tell(0.31, rec.CallAnswered(290.4))
        tell(0.5, rec.AgentTurn("i0", "Hello, this is the virtual assistant of Northwind. How can I help?"))
        tell(7.6, rec.CallerTurn("i1", said or "Where is my order? The number is 4711."))
        wait(8.0, 210, 396.2, 6.1)
        tell(8.4, rec.AgentTurn("i2", "One moment, I look that up for you."))
        tell(9.0, rec.ToolCalled("order_status", "c1", arguments='{"order": "4711"}'))
        output = '{"status": "shipped", "day": "Tuesday"}'
        tell(10.9, rec.ToolEnded("order_status", "c1", 1874.0, output=output))
        tell(12.0, rec.AgentTurn("i3", "Your order has been shipped. It arrives on Tuesday."))
        tell(20.5, rec.CallerTurn("i4", "Can I change the address?"))
        tell(20.6, rec.ToolCalled("change_address", "c2", arguments='{"order": "4711"}'))
        tell(22.9, rec.ToolEnded("change_address", "c2", 2250.0, ok=False, kind="timeout"))
        wait(23.2, 205, 2520, 7.5)
        long = "I am sorry, I cannot change it from here. I can put you through to a human agent, or you write to us."
        tell(23.6, rec.AgentTurn("i5", long))
        tell(26.4, rec.AgentInterrupted("i5", 3200, 3900))
        tell(28.4, rec.CallerTurn("i6", "A human agent, please."))
        wait(30.1, 900, 1210, 5.2)
        tell(30.5, rec.AgentTurn("i7", "I connect you now. Goodbye."))
        tell(27.0, rec.AudioGap(420))
        tell(29.0, rec.ModelRefused("invalid_value", "item i5 is shorter than 3200 ms"))
        tell(29.2, rec.SoundDismissed("i5", "noise", 380))
        use = {"input_text": 4200, "input_audio": 900, "cached_text": 3100, "cached_audio": 400, "output_text": 180}
        tell(33.0, rec.ModelUsed("gpt-realtime-2.1", 0.062, 9.1, **use, output_audio=520))
        caller = {5.4: 1.9, 18.0: 2.4, 26.2: 1.8}
        agent = {0.5: 4.4, 8.0: 1.2, 12.0: 4.0, 23.2: 3.2, 30.1: 2.2}
        for side, spoken in (("caller", caller), ("agent", agent)):
            for start_s, seconds in spoken.items():
                record.wave("caller" if side == "caller" else "agent", start_s, _speech(seconds, int(start_s)))
        record.wave("caller", 34.0, bytes(20))
        tell(35.2, rec.CallEnded(result="done", reason="agent_ended", talk_s=34.9, underruns=0))
        assert journal.close()
        assert journal.dropped == 0
        return call_id

    return write
