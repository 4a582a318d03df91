"""Several queues of AI seats, apart and shared, and calls that overlap: who talks, who waits, and what is counted."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.asterisk import AsteriskInstance
from lab.conf import FEW_SEATS
from lab.packages import default_lab_dir, ensure_asterisk
from tests.dialplansteps import replaced

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
EXAMPLES = Path(__file__).parents[2] / "lab" / "site" / "queues_examples.conf"
SHARED = ("71", "72", "73")
"""Seats that two queues of these tests have in common."""
QUEUES = f'#include "{EXAMPLES}"\n' + "".join(
    f"[{queue}](ariagent-seats)\n"
    + "".join(f"member => Local/{seat}@ariagent-seat/nm,0,{name},hint:{seat}@ariagent-seat\n" for seat in SHARED)
    for queue, name in (("harbour", "AI Harbour"), ("airport", "AI Airport"))
)
NUMBERS = {"7010": "nightdesk", "7020": "sales-ai", "7030": "harbour", "7031": "airport"}
DIALPLAN = "[ariagent-internal]\n" + "".join(
    f"exten => {number},1,Gosub(ariagent-queue,${{EXTEN}},1({queue},support))\n" for number, queue in NUMBERS.items()
)
NAMES = {"nightdesk": "night", "sales-ai": "sales", "harbour": "harbour", "airport": "airport"}
SITE: dict[str, Any] = {
    "agents": {name: {"opening": "Good day.", "transcription": None} for name in NAMES.values()},
    "routes": [{"queue": queue, "agent": agent} for queue, agent in NAMES.items()],
}


WAITS_S = 7
"""How long a caller waits for a seat in ``test_three_seats_and_five_callers``; on a site 30 s."""


@pytest.fixture(scope="module")
def asterisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsteriskInstance]:
    """An Asterisk with the example queues, and two more that share three seats."""
    additions = {"queues.conf": QUEUES, "extensions.conf": DIALPLAN}
    root = tmp_path_factory.mktemp("queues")
    instance = AsteriskInstance(ensure_asterisk(default_lab_dir()), root, seats=FEW_SEATS, additions=additions)
    asyncio.run(instance.start())
    yield instance
    asyncio.run(instance.stop())


async def until(condition: Callable[[], Awaitable[object]], what: str, limit_s: float = LIMIT_S) -> None:
    try:
        async with asyncio.timeout(limit_s):
            while not await condition():
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise TimeoutError(f"waited {limit_s:g} s for {what}") from None


class Counters:
    """The counts of QueueStatus for a queue since this was made."""

    def __init__(self, client: Any, queue: str) -> None:
        self._client, self._queue = client, queue
        self._before: Counter[str] = Counter()

    async def read(self) -> Counter[str]:
        """``Completed`` and ``Abandoned`` of the queue, ``CallsTaken`` of its members together, ``Waiting`` now."""
        total: Counter[str] = Counter()
        for item in await self._client.action_list("QueueStatus", Queue=self._queue):
            for name in ("Completed", "Abandoned", "CallsTaken"):
                total[name] += int(item.get(name.lower()) or 0)
            total["Waiting"] += item["event"] == "QueueEntry"
        return total - self._before

    async def begin(self) -> "Counters":
        self._before = await self.read()
        return self

    async def reach(self, **wanted: int) -> None:
        """Wait until they are these."""
        try:
            await until(lambda: self._are(wanted), f"{self._queue}: {wanted}")
        except TimeoutError as error:
            raise AssertionError(f"{error}; it has {await self.read()}") from None

    async def _are(self, wanted: dict[str, int]) -> bool:
        found = await self.read()
        return all(found[name] == count for name, count in wanted.items())


async def test_calls_that_overlap_are_counted_each(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, queue_log: Any
) -> None:
    count = 3
    running = await service(await sandbox())
    counters = await Counters(running.ami, "frontline").begin()
    calls = []
    for number in range(count):
        call, hearing = await dial("7000", await phone(f"555{number:04}"))
        await hearing.utterance()
        calls.append(call)
    # The first to come is not the first to go.
    for done, call in enumerate(reversed(calls), start=1):
        await call.hangup()
        await log.wait("call.ended", count=done)
    await counters.reach(Completed=count, CallsTaken=count, Abandoned=0)
    ids = [entry["call"] for entry in log.named("call.started")]
    assert len(set(ids)) == count
    for call_id in ids:
        assert queue_log.verbs(call_id) == {
            ("frontline", "NONE", "ENTERQUEUE"),
            ("frontline", "AI Agent", "CONNECT"),
            ("frontline", "AI Agent", "COMPLETECALLER"),
        }


async def test_two_queues_share_seats_and_each_call_has_its_queues_agent(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, queue_log: Any
) -> None:
    running = await service(await sandbox(), **SITE)
    harbour = await Counters(running.ami, "harbour").begin()
    airport = await Counters(running.ami, "airport").begin()
    first, _ = await dial("7030", await phone("5550001"))
    second, _ = await dial("7031", await phone("5550002"))
    third, _ = await dial("7030", await phone("5550003"))
    await log.wait("call.answered", count=3)
    # Every seat is taken, by whichever queue: the fourth waits until one is free.
    fourth = await (await phone("5550004")).dial("7031")
    await airport.reach(Waiting=1)
    assert len(log.named("call.started")) == 3
    await first.hangup()
    await fourth.answered(LIMIT_S)
    started = [(entry["caller"], entry["agent"]) for entry in log.named("call.started")]
    assert started == [("5550001", "harbour"), ("5550002", "airport"), ("5550003", "harbour"), ("5550004", "airport")]
    assert {entry["seat"] for entry in log.named("call.started")} == set(SHARED)
    for call in (second, third, fourth):
        await call.hangup()
    await harbour.reach(Completed=2, CallsTaken=2)
    await airport.reach(Completed=2, CallsTaken=2)
    for queue, name in (("harbour", "AI Harbour"), ("airport", "AI Airport")):
        assert {row[2] for row in queue_log.rows("CONNECT", queue)} == {name}
        assert len(queue_log.rows("CONNECT", queue)) == len(queue_log.rows("COMPLETECALLER", queue)) == 2
    assert queue_log.rows("RINGNOANSWER") == []


async def test_the_example_queues_have_their_agents_and_a_shared_seat_counts_for_its_queue(
    sandbox: Any, service: Any, dial: Any, log: Any, queue_log: Any
) -> None:
    await service(await sandbox(), **SITE)
    for number in ("7010", "7020"):
        call, hearing = await dial(number)
        await hearing.utterance()
        await call.hangup()
    await log.wait("call.ended", count=2)
    assert [entry["agent"] for entry in log.named("call.started")] == ["night", "sales"]
    assert {(row[1], row[2]) for row in queue_log.rows("CONNECT")} == {
        ("nightdesk", "AI Night"),
        ("sales-ai", "AI Sales"),
    }


@pytest.fixture
async def short_wait(asterisk: AsteriskInstance) -> AsyncIterator[None]:
    """The shipped dialplan lets callers wait ``WAITS_S`` for a seat."""
    queue = "Queue(${ARIAGENT_QUEUE},tcr,,,%d)"
    async with replaced(asterisk, "_[a-zA-Z0-9+*#]!@ariagent-queue", queue % 30, queue % WAITS_S):
        yield


async def test_three_seats_and_five_callers(
    short_wait: None, sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, queue_log: Any, ends_with_people: Any
) -> None:
    running = await service(await sandbox(), **SITE)
    human = await phone("1001", register=True)
    counters = await Counters(running.ami, "nightdesk").begin()
    calls = [(await dial("7010", await phone(f"555{number:04}")))[0] for number in range(3)]
    fourth = await (await phone("5550003")).dial("7010")
    await counters.reach(Waiting=1)
    fifth_at = time.monotonic()
    fifth = await (await phone("5550004")).dial("7010")
    await counters.reach(Waiting=2)
    await calls[0].hangup()
    await fourth.answered(LIMIT_S)
    await counters.reach(Waiting=1)
    # The last one is not served in time, and goes to human agents.
    await ends_with_people(fifth, human)
    assert time.monotonic() - fifth_at > WAITS_S - 1
    for call in (*calls[1:], fourth):
        await call.hangup()
    await log.wait("call.ended", count=4)
    await counters.reach(Completed=4, CallsTaken=4, Abandoned=1)
    assert len(queue_log.rows("CONNECT", "nightdesk")) == 4
    [timeout] = queue_log.rows("EXITWITHTIMEOUT", "nightdesk")
    assert ("support", "Agent 1001", "CONNECT") in queue_log.verbs(timeout[0])


async def test_pauses_by_hand_are_rows_of_each_queue_the_seat_is_in(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, queue_log: Any, ends_with_people: Any
) -> None:
    human = await phone("1001", register=True)
    pool = (await service(await sandbox(), **SITE)).pool
    both = [["NONE", "harbour", "AI Harbour"], ["NONE", "airport", "AI Airport"]]

    async def rows(verb: str, count: int) -> list[list[str]]:
        async def there() -> bool:
            return len(queue_log.rows(verb)) >= count

        await until(there, f"{count} rows {verb}")
        return [row for row in queue_log.rows(verb) if row[4] == "ariagent: manual"]

    before = len(queue_log.rows("UNPAUSE"))
    assert pool.pause("71") == ["71"]
    await pool.settled.wait()
    assert sorted(row[:3] for row in await rows("PAUSE", 2)) == sorted(both)
    call, _ = await dial("7030")
    started = await log.wait("call.started")
    assert started["seat"] in ("72", "73")
    await call.hangup()
    pool.resume("71")
    await pool.settled.wait()
    assert sorted(row[:3] for row in await rows("UNPAUSE", before + 2)) == sorted(both)
    seats = len(pool.seats.view())
    pool.pause()
    await pool.settled.wait()
    assert len(await rows("PAUSE", 2 + seats)) == 2 + seats
    # Nobody is kept waiting by a queue whose seats are all paused.
    late = await (await phone("5550009")).dial("7031")
    await ends_with_people(late, human)
    assert queue_log.rows("ENTERQUEUE", "airport") == []
    pool.resume()
    await pool.settled.wait()
    call, _ = await dial("7031")
    await call.hangup()
    await log.wait("call.ended", count=2)
