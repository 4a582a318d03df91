"""Judgements beside the event loop: one thread, driven by ``waiting``."""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from ariagent.turns.judge import Judging
from ariagent.turns.waiting import Request, Waiting

log = logging.getLogger(__name__)

Outcome = Literal["judged", "late", "failed"]
Answer = tuple[float | None, Outcome]

MOST_WAITING = 4
SHARE = 0.5
COST_S = 0.1
"""The cost of a judgement that is assumed until some are measured."""
_CLOSE_S = 5.0


class JudgeWorker:
    """One judge for many callers. Use it from one event loop.

    The thread begins with the first request, and ends with ``close``. ``counts`` has the number of requests by outcome.
    """

    def __init__(
        self,
        judge: Judging,
        *,
        most_waiting: int = MOST_WAITING,
        share: float = SHARE,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self._judge = judge
        self._waiting = Waiting(most=most_waiting, share=share, cost_s=COST_S)
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._changed = threading.Condition()  # guards everything below, and _waiting
        self._answers: dict[Request, Callable[[Answer], None]] = {}
        self._closed = False
        self._thread: threading.Thread | None = None
        self.counts: Counter[Outcome | Literal["cancelled"]] = Counter()

    @property
    def waiting(self) -> int:
        """How many requests wait for the judge."""
        with self._changed:
            return len(self._waiting)

    async def judge(self, pcm: bytes, rate_hz: int, within_s: float) -> float | None:
        """The probability that the caller's turn is over, or None if it is not known within ``within_s``.

        None also means that the judge failed, or is closed. If the caller continues to speak, cancel this: a
        request that waits costs nothing then.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()

        def answer(found: Answer) -> None:
            with suppress(RuntimeError):  # the event loop is closed
                loop.call_soon_threadsafe(_settle, future, found)

        request = Request(pcm, rate_hz, self._clock() + within_s)
        if not self._add(request, answer):
            return None
        try:
            async with asyncio.timeout(within_s):
                probability, outcome = await future
        except TimeoutError:
            probability, outcome = None, "late"
        except asyncio.CancelledError:
            self.counts["cancelled"] += 1
            raise
        finally:
            self._forget(request)
        self.counts[outcome] += 1
        return probability

    def close(self) -> None:
        """End the thread, after the judgement that runs. Requests that wait are late."""
        with self._changed:
            self._closed = True
            for request in list(self._answers):
                self._answer(request, (None, "late"))
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(_CLOSE_S)

    def _add(self, request: Request, answer: Callable[[Answer], None]) -> bool:
        with self._changed:
            if self._closed:
                return False
            self._answers[request] = answer
            if (displaced := self._waiting.add(request)) is not None:
                self._answer(displaced, (None, "late"))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="end-of-turn judge", daemon=True)
                self._thread.start()
            self._changed.notify()
        return True

    def _forget(self, request: Request) -> None:
        with self._changed:
            self._answers.pop(request, None)
            self._waiting.cancel(request)

    def _answer(self, request: Request, answer: Answer) -> None:
        # Nobody waits for an answer to a request that was cancelled.
        if tell := self._answers.pop(request, None):
            tell(answer)

    def _work(self) -> None:
        while (request := self._next()) is not None:
            began, cpu_began = self._clock(), self._cpu_clock()
            answer: Answer
            try:
                answer = (self._judge.judge(request.pcm, request.rate_hz), "judged")
            except Exception:
                log.exception("turn.judge_failed")
                answer = (None, "failed")
            with self._changed:
                now = self._clock()
                self._waiting.done(now - began, self._cpu_clock() - cpu_began, now)
                self._answer(request, answer)

    def _next(self) -> Request | None:
        """Wait for the next request. None: the worker is closed."""
        with self._changed:
            while not self._closed:
                now = self._clock()
                for late in self._waiting.late(now):
                    self._answer(late, (None, "late"))
                if (request := self._waiting.take(now)) is not None:
                    return request
                at = self._waiting.next_at(now)
                self._changed.wait(None if at is None else at - now)
            return None


def _settle(future: "asyncio.Future[Answer]", answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)
