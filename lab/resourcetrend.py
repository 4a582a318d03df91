"""Conversations that come and go for a long time, and what the service is like at the start of it and at the end.

Callers ask and are answered, interrupt, press keys, are transferred, or hang up; each one who leaves is replaced. How
long an answer takes is measured at the caller's phone. The use of memory and processor comes from the service's
metrics. Both are compared over the first and the last fifth of the time, without the first tenth.
"""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from lab.benchcalls import Bell
from lab.call import Call
from lab.call_setup import CallState
from lab.phone import Phone
from lab.soakstage import AGENT as CUT_AGENT
from lab.soakstage import NOISE, Reading, Report, Soak, show

LIVES_S = (15.0, 90.0)
"""How long callers stay: between these."""
ASK_S = 0.9
"""Long enough to be an interruption whatever its words are."""
PAUSES_S = (0.4, 1.6)
"""Between an answer and the next question."""
READINGS = 90
PATIENCE_S = 10.0
WITH_HUMAN_S = 3.0
MOST_MORE_MEMORY = 1.05
MOST_SLOWER = 1.1
"""Ratios of the end to the start; the second is what two fifths of one run differ by on a machine without change."""
AGENT = {**CUT_AGENT, "keypad": {"actions": {"0": "person"}, "pause_ms": 300}, "silence": None, "machines": "ignore"}


@dataclass(frozen=True, slots=True)
class Sample:
    """The service under load."""

    at: float
    reading: Reading
    journal_kb: float
    ended: int


@dataclass(slots=True)
class Crowd:
    """The callers, and what was found out."""

    soak: Soak
    dice: random.Random
    lives_s: tuple[float, float] = LIVES_S
    answers: list[tuple[float, float]] = field(default_factory=list)
    """When a question ended, in seconds since the start, and after how many seconds its answer was heard."""
    unanswered: int = 0
    samples: list[Sample] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    began: float = 0.0

    async def talk(self, seconds: float, at_once: int, tell: Callable[[str], None]) -> None:
        """Keep ``at_once`` callers talking for so long; 30 lines of progress."""
        loop = asyncio.get_running_loop()
        self.began = loop.time()
        address = (self.soak.asterisk.sip_host, self.soak.asterisk.sip_port)
        async with Phone(address, user="5551000") as phone, asyncio.TaskGroup() as group:
            for number in range(at_once):
                group.create_task(self._places(phone, ("7000", "7001")[number % 2], self.began + seconds))
            while (left := self.began + seconds - loop.time()) > 0:
                await asyncio.sleep(min(seconds / READINGS, left))
                ended = sum(self.ends.values())
                reading = await self.soak.read()
                self.samples.append(Sample(loop.time() - self.began, reading, self.soak.journal_kb(), ended))
                if len(self.samples) % (READINGS // 30) == 0:
                    tell(self._progress(seconds))

    def _progress(self, seconds: float) -> str:
        sample = self.samples[-1]
        recent = [taken for at, taken in self.answers if at > sample.at - seconds / 30]
        p95 = f"{1000 * float(np.percentile(recent, 95)):.0f}" if recent else "?"
        return (
            f"{sample.at / 60:5.1f} of {seconds / 60:g} min: {sample.ended} calls over, {show(sample.reading)}, "
            f"{sample.reading.active} active; {len(recent)} answers, p95 {p95} ms; records {sample.journal_kb:.0f} kB"
        )

    async def _places(self, phone: Phone, extension: str, until: float) -> None:
        """One caller after the other."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.dice.uniform(0, 5))
        while (left := until - loop.time()) > 0:
            self.ends[await self._caller(phone, extension, min(left, self.dice.uniform(*self.lives_s)))] += 1
            await asyncio.sleep(self.dice.uniform(0.1, 1.0))

    async def _caller(self, phone: Phone, extension: str, life_s: float) -> str:
        """One caller's life; how it ended, in a word."""
        call = await phone.dial(extension)
        try:
            bell = Bell(call)
            await call.answered(60)
            try:
                await bell.wait_loud(0.0, PATIENCE_S)
            except TimeoutError:
                return "heard nothing"
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(life_s):
                    while True:
                        await self._turn(call, bell)
            if call.state is not CallState.ANSWERED:
                return "cut off"
            if self.dice.random() >= 0.1:
                return "hung up"
            await call.send_dtmf("0")
            await asyncio.sleep(WITH_HUMAN_S)
            return "with a human agent"
        finally:
            await call.hangup()

    async def _turn(self, call: Call, bell: Bell) -> None:
        """Ask, or press keys; sometimes interrupt the answer with another question."""
        await bell.wait_quiet()
        await asyncio.sleep(self.dice.uniform(*PAUSES_S))
        if self.dice.random() < 0.1:
            pressed = asyncio.get_running_loop().time()
            await call.send_dtmf(self.dice.choice(("1", "4711#")))
            await self._answer(bell, pressed)
        else:
            for _ in range(self.dice.choice((1, 1, 1, 1, 2))):
                await call.play(NOISE[: int(8000 * ASK_S)])
                asked = asyncio.get_running_loop().time()
                if heard := await self._answer(bell, asked):
                    self.answers.append((asked - self.began, heard - asked))

    async def _answer(self, bell: Bell, after: float) -> float | None:
        """When it was heard."""
        try:
            return await bell.wait_loud(after, PATIENCE_S)
        except TimeoutError:
            self.unanswered += 1
            return None

    def judge(self, report: Report) -> None:
        """Add what the start and the end differ by."""
        whole = self.samples[-1].at
        first, last = (0.1 * whole, 0.3 * whole), (0.8 * whole, whole)
        times = [self._p95_ms(*span) for span in (first, last)]
        rss = [float(np.mean([s.reading.rss_mb for s in self.samples if a <= s.at <= b])) for a, b in (first, last)]
        well = set(self.ends) <= {"hung up", "with a human agent"}
        report.note("conversations", dict(self.ends), ok=bool(self.ends) and well, wanted="hung up, with a human agent")
        asked = len(self.answers) + self.unanswered
        report.note(
            "questions, and those that were not answered",
            (asked, self.unanswered),
            ok=not self.unanswered,
            wanted="none",
        )
        report.note(
            "memory under load, first and last fifth (MB)",
            f"{rss[0]:.1f} -> {rss[1]:.1f} ({100 * (rss[1] / rss[0] - 1):+.1f} %)",
            ok=rss[1] <= MOST_MORE_MEMORY * rss[0],
            wanted=f"at most {MOST_MORE_MEMORY:g} x",
        )
        report.note(
            "question's end -> answer heard, p95, first and last fifth (ms)",
            f"{times[0]:.0f} -> {times[1]:.0f}",
            ok=times[1] <= MOST_SLOWER * times[0],
            wanted=f"at most {MOST_SLOWER:g} x",
        )
        start, end = self.samples[0], self.samples[-1]
        grown = (end.journal_kb - start.journal_kb) / max(1, end.ended - start.ended)
        report.note("records on disk (kB), and kB for each call", f"{end.journal_kb:.0f}, {grown:.1f}", ok=True)

    def _p95_ms(self, since: float, until: float) -> float:
        """Infinite where nothing was answered."""
        taken = [taken for at, taken in self.answers if since <= at <= until]
        return 1000 * float(np.percentile(taken, 95)) if taken else float("inf")
