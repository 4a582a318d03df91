"""One thread judges for many callers, and the event loop never waits for it."""

import asyncio
import logging
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from ariagent.turns.worker import JudgeWorker

PATIENCE_S = 20.0
LONG_S = 60.0


@dataclass
class HeldJudge:
    """A judge that begins, and then waits until the test gives it the probability, or an error."""

    begun: queue.Queue[bytes] = field(default_factory=queue.Queue)
    verdicts: queue.Queue[float | Exception] = field(default_factory=queue.Queue)
    threads: set[int] = field(default_factory=set)

    def judge(self, pcm: bytes, rate_hz: int) -> float:
        self.threads.add(threading.get_ident())
        self.begun.put(pcm)
        verdict = self.verdicts.get(timeout=PATIENCE_S)
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    async def next(self) -> bytes:
        """The speech that the judge begins with next."""
        return await asyncio.to_thread(self.begun.get, timeout=PATIENCE_S)


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def held() -> HeldJudge:
    return HeldJudge()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def worker(held: HeldJudge, clock: Clock) -> Iterator[JudgeWorker]:
    worker = JudgeWorker(held, most_waiting=2, clock=clock, cpu_clock=lambda: 0.0)
    yield worker
    held.verdicts.put(RuntimeError("the test is over"))
    worker.close()


async def asked(worker: JudgeWorker, pcm: bytes, within_s: float = LONG_S) -> asyncio.Task[float | None]:
    """A request that waits by now."""
    task = asyncio.create_task(worker.judge(pcm, 8000, within_s))
    await asyncio.sleep(0)
    return task


async def result(task: asyncio.Task[float | None]) -> float | None:
    async with asyncio.timeout(PATIENCE_S):
        return await task


async def test_the_answer_comes_from_another_thread(worker: JudgeWorker, held: HeldJudge) -> None:
    task = await asked(worker, b"a")
    assert await held.next() == b"a"
    assert not task.done()  # the event loop runs while the judge is busy
    held.verdicts.put(0.75)
    assert await result(task) == 0.75
    assert threading.get_ident() not in held.threads
    assert worker.counts == {"judged": 1}


async def test_the_newest_is_judged_first_and_all_by_one_thread(worker: JudgeWorker, held: HeldJudge) -> None:
    tasks = [await asked(worker, b"a")]
    order = [await held.next()]
    tasks += [await asked(worker, b"b"), await asked(worker, b"c")]
    for verdict in (0.1, 0.2):
        held.verdicts.put(verdict)
        order.append(await held.next())
    held.verdicts.put(0.3)
    assert order == [b"a", b"c", b"b"]
    assert [await result(task) for task in tasks] == [0.1, 0.3, 0.2]
    assert len(held.threads) == 1


async def test_of_too_many_the_oldest_gets_no_answer(worker: JudgeWorker, held: HeldJudge) -> None:
    await asked(worker, b"a")
    await held.next()
    oldest, *others = [await asked(worker, pcm) for pcm in (b"b", b"c", b"d")]
    assert await result(oldest) is None
    assert not any(task.done() for task in others)
    assert worker.counts == {"late": 1}


async def test_who_waits_for_a_busy_judge_is_told_in_time(worker: JudgeWorker, held: HeldJudge) -> None:
    """The judgement that runs is late itself; its answer is for nobody, and the next one is judged."""
    late = await asked(worker, b"a", within_s=0.5)
    await held.next()
    assert await result(await asked(worker, b"b", within_s=0.01)) is None
    assert await result(late) is None
    after = await asked(worker, b"c")
    held.verdicts.put(0.1)
    assert await held.next() == b"c"  # b was not judged
    held.verdicts.put(0.9)
    assert await result(after) == 0.9
    assert worker.counts == {"late": 2, "judged": 1}


async def test_no_work_is_done_for_a_request_that_is_late(worker: JudgeWorker, held: HeldJudge, clock: Clock) -> None:
    first = await asked(worker, b"a")
    await held.next()
    late = await asked(worker, b"b", within_s=LONG_S)
    clock.now += LONG_S
    held.verdicts.put(0.5)
    assert await result(first) == 0.5
    assert await result(late) is None
    assert held.begun.empty()
    assert worker.counts == {"judged": 1, "late": 1}


async def test_a_caller_who_continues_to_speak_is_not_judged(worker: JudgeWorker, held: HeldJudge) -> None:
    running = await asked(worker, b"a")
    await held.next()
    waits = await asked(worker, b"b")
    assert worker.waiting == 1
    for task in (running, waits):
        task.cancel()
    await asyncio.wait((running, waits), timeout=PATIENCE_S)
    assert running.cancelled()
    assert waits.cancelled()
    assert worker.waiting == 0
    after = await asked(worker, b"c")
    held.verdicts.put(0.1)
    assert await held.next() == b"c"
    held.verdicts.put(0.9)
    assert await result(after) == 0.9
    assert worker.counts == {"cancelled": 2, "judged": 1}


async def test_a_judge_that_fails_is_logged_and_asked_again(
    worker: JudgeWorker, held: HeldJudge, caplog: pytest.LogCaptureFixture
) -> None:
    task = await asked(worker, b"a")
    with caplog.at_level(logging.ERROR):
        held.verdicts.put(ZeroDivisionError("a bug"))
        assert await result(task) is None
    assert [record.message for record in caplog.records] == ["turn.judge_failed"]
    held.verdicts.put(0.9)
    assert await result(await asked(worker, b"b")) == 0.9
    assert worker.counts == {"failed": 1, "judged": 1}


async def test_judgements_that_use_more_than_their_share_wait(held: HeldJudge, clock: Clock) -> None:
    """A judgement took 11 s of the core, so for 20 s there is no other."""
    used = iter([0.0, 11.0, 11.0, 11.1])
    worker = JudgeWorker(held, share=0.5, clock=clock, cpu_clock=lambda: next(used))
    try:
        held.verdicts.put(0.1)
        assert await result(await asked(worker, b"a")) == 0.1
        assert await result(await asked(worker, b"b", within_s=15.0)) is None
        clock.now += 20.1
        held.verdicts.put(0.2)
        assert await result(await asked(worker, b"c")) == 0.2
        assert [held.begun.get_nowait() for _ in range(held.begun.qsize())] == [b"a", b"c"]
    finally:
        worker.close()


async def test_after_its_end_nobody_waits_and_nothing_runs(held: HeldJudge) -> None:
    worker = JudgeWorker(held)
    running = await asked(worker, b"a")
    await held.next()
    waits = await asked(worker, b"b")
    closing = asyncio.create_task(asyncio.to_thread(worker.close))
    assert await result(waits) is None
    ended, _ = await asyncio.wait({closing}, timeout=0.2)
    assert not ended  # the judgement runs
    held.verdicts.put(0.5)
    await asyncio.wait_for(closing, PATIENCE_S)
    assert not [thread for thread in threading.enumerate() if thread.ident in held.threads]
    assert await result(running) is None
    assert await worker.judge(b"c", 8000, LONG_S) is None
    assert held.begun.empty()


def test_an_event_loop_that_ends_first_does_not_end_the_thread(worker: JudgeWorker, held: HeldJudge) -> None:
    """As where a program is stopped in a hurry: nobody cancelled the request, and the judge still works."""
    loop = asyncio.new_event_loop()
    task = loop.run_until_complete(asked(worker, b"a"))
    assert held.begun.get(timeout=PATIENCE_S) == b"a"
    loop.close()
    held.verdicts.put(0.5)

    async def ask() -> float | None:
        held.verdicts.put(0.9)
        return await worker.judge(b"b", 8000, LONG_S)

    assert asyncio.run(ask()) == 0.9
    assert not task.done()
