"""Failures drawn at random, some of them at the same time, under callers who ask again and again.

CHAOS_SEED=n plays the failures of that seed (and of those that follow), CHAOS_RUNS=n so many runs.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ariagent.records.store import Store
from ariagent.sandbox.faults import Faults
from ariagent.sandbox.line import Close
from lab import environment as lab
from lab.call_setup import CallState
from lab.faultinjection import KINDS, Failure, Outage, Span, allowed_s, draw, table
from lab.proxy import Proxy

LIMIT_S = 60.0
RUNS = int(os.environ.get("CHAOS_RUNS", "3"))
FAILURES, WITHIN_S = 8, 24.0
SLACK_S = 3.0
"""Limit of a silence, beside the failures' own time: the answer's time, a connection that is tried again after a pause,
a key that nobody heard and the question behind it."""
PATIENCE_S = 1.2
"""After so long without an answer a caller asks again, aloud."""
SETTLED_S = 3.0
LONG_STORY = "8"
AGENT = {
    "opening": "Good day.",
    "transcription": None,
    "turn_detection": {"silence_duration_ms": 200, "prefix_padding_ms": 100},
    "keypad": {"pause_ms": 100},
    "machines": "ignore",
    "silence": None,
}


@dataclass(eq=False)
class Caller:
    """Somebody who asks as long as an agent answers."""

    number: str
    call: Any
    hearing: Any
    dice: random.Random
    words: Any
    """Samples."""
    waits: list[Span] = field(default_factory=list)
    """From the end of each question to the next sound."""
    with_people: float | None = None
    """Since when."""

    @property
    def here(self) -> bool:
        """With the agent."""
        return self.call.state is CallState.ANSWERED and self.with_people is None

    @property
    def lost(self) -> bool:
        return self.call.state is CallState.ENDED

    async def talk(self, over: asyncio.Event) -> None:
        while not over.is_set() and self.here:
            if await self._silent(0.3):
                await asyncio.sleep(self.dice.uniform(0.1, 0.8))
                key = self.dice.choice(("1", "2", "47", LONG_STORY)) if self.dice.random() < 0.5 else ""
                await self.ask(key)

    async def ask(self, key: str = "") -> bool:
        """Press a key, or say something, until a sound comes or a human agent takes over. Returns whether one came."""
        since = None
        while self.here:
            if key:
                await self.call.send_dtmf(key)
            else:
                await self.call.play(self.words)
            since = since or time.monotonic()
            with suppress(TimeoutError):
                heard = await self.hearing.wait_loud(since, PATIENCE_S)
                self.waits.append(Span(since, heard))
                return True
            key = ""
            assert time.monotonic() < since + LIMIT_S, f"{self.number} hears nothing"
        if since is not None and not self.lost:
            self.waits.append(Span(since, time.monotonic()))
        return False

    async def _silent(self, quiet_s: float) -> bool:
        """Wait for the agent to have spoken; returns whether the caller still is with it."""
        while self.here:
            last = self.hearing.loud[-1] if self.hearing.loud else 0.0
            if time.monotonic() - last >= quiet_s:
                return True
            await asyncio.sleep(0.05)
        return False


class Troubles:
    """Makes failures happen."""

    def __init__(self, model: Any, to_model: Proxy, to_ari: Proxy, to_ami: Proxy, settings: Path) -> None:
        self._model = model
        self._to_model, self._to_ari, self._to_ami = to_model, to_ari, to_ami
        self._settings = settings
        self._refusals: list[str] = []
        self.kept: lab.Kept
        self.outages: list[Outage] = []
        self._ways: dict[str, Callable[[float], Any]] = {
            "model reset": self._reset,
            "model connection stalls": self._stall,
            "model falls silent": lambda s: self._misbehave("stall:200", s),
            "model closes (1001)": self._close,
            "model answers 429": lambda s: self._refuse("http:429", s),
            "model out of quota": lambda s: self._refuse("refuse:insufficient_quota", s),
            "model unreachable": self._unreachable,
            "responses fail": lambda s: self._misbehave("rate_limit", s),
            "slow network": self._slow,
            "events cut": lambda s: self._cut(to_ari, s),
            "HTTP hangs": self._hang,
            "manager cut": lambda s: self._cut(to_ami, s),
            "service killed": self._kill,
            "settings reloaded": self._reload,
        }
        assert set(self._ways) == set(KINDS)

    async def happen(self, failure: Failure, start: float) -> None:
        await asyncio.sleep(max(0.0, start + failure.at_s - time.monotonic()))
        began = time.monotonic()
        await self._ways[failure.kind](failure.lasts_s)
        felt_until = time.monotonic() + KINDS[failure.kind].noticed_s
        self.outages.append(Outage(failure, Span(began, felt_until)))

    def _living(self) -> list[Any]:
        return [session for session in self._model.sessions if session.alive]

    async def _reset(self, lasts_s: float) -> None:
        self._to_model.cut()

    async def _stall(self, lasts_s: float) -> None:
        self._to_model.freeze()

    async def _close(self, lasts_s: float) -> None:
        for session in self._living():
            session.core.line.commands.append(Close(1001, "going away"))

    async def _refuse(self, fault: str, lasts_s: float) -> None:
        """New sessions are refused, and those that stand are reset."""
        self._refusals.append(fault)
        self._model.options = replace(self._model.options, faults=Faults.parse(",".join(self._refusals)))
        self._to_model.cut()
        await asyncio.sleep(lasts_s)
        self._refusals.remove(fault)
        self._model.options = replace(self._model.options, faults=Faults.parse(",".join(self._refusals)))

    async def _misbehave(self, fault: str, lasts_s: float) -> None:
        """Responses of sessions that stand."""
        sessions = self._living()
        for session in sessions:
            session.core.state.options = replace(session.core.state.options, faults=Faults.parse(fault))
        await asyncio.sleep(lasts_s)
        for session in sessions:
            session.core.state.options = replace(session.core.state.options, faults=Faults())

    async def _unreachable(self, lasts_s: float) -> None:
        was, self._to_model.target = self._to_model.target, ("127.0.0.1", 1)  # where nobody listens
        self._to_model.cut()
        await asyncio.sleep(lasts_s)
        self._to_model.target = was

    async def _slow(self, lasts_s: float) -> None:
        self._to_model.delay_s = 0.3
        await asyncio.sleep(lasts_s)
        self._to_model.delay_s = 0.0

    @staticmethod
    async def _cut(proxy: Proxy, lasts_s: float) -> None:
        proxy.cut(refuse=True)
        await asyncio.sleep(lasts_s)
        proxy.refusing = False

    async def _hang(self, lasts_s: float) -> None:
        self._to_ari.hang()
        await asyncio.sleep(lasts_s)
        self._to_ari.go_on()

    async def _kill(self, lasts_s: float) -> None:
        await self.kept.kill()

    async def _reload(self, lasts_s: float) -> None:
        running = await self.kept.serving()
        text = self._settings.read_text()
        self._settings.write_text(text.replace("drain_timeout_s: 5", "drain_timeout_s: 6"))
        os.kill(running.pid, signal.SIGHUP)


@dataclass
class Stage:
    """The things that a run needs."""

    asterisk: Any
    sandbox: Any
    phone: Any
    dial: Any
    proxy: Any
    queue_log: Any
    log: Any
    words: Any
    directory: Path

    async def play(self, seed: int, count: int, failures: list[Failure], slack_s: float) -> None:
        """Have these failures happen under so many callers, and judge what came of them."""
        model = await self.sandbox(keep_audio=False)
        to_model, to_ari, to_ami = [await self.proxy() for _ in range(3)]
        to_model.target = ("127.0.0.1", model.port)
        to_ari.target = ("127.0.0.1", self.asterisk.http_port)
        to_ami.target = ("127.0.0.1", self.asterisk.ami_port)
        user = {"user": self.asterisk.ari_user, "password": self.asterisk.ari_password}
        settings = {
            "asterisk": {"url": f"http://{to_ari.address}", **user},
            "ami": {**self.asterisk.ami, "host": "127.0.0.1", "port": to_ami.port},
            "realtime": {
                "url": f"ws://{to_model.address}/v1/realtime",
                "api_key": "test",
                "stall_timeout_s": 3,
            },
            "agents": {"default": AGENT},
            # Phones, model and proxies share one process beside it.
            "watchdog": {"lag_ms": 2000},
            "drain_timeout_s": 5,
            "state_directory": str(self.directory / "state"),
        }
        path = lab.write_settings(self.asterisk, self.directory, settings)
        troubles = Troubles(model, to_model, to_ari, to_ami, path)
        async with lab.kept(lab.service_argv(path), self.directory, "service") as troubles.kept:
            first = await troubles.kept.serving()
            await first.wait_for("phrases.ready")
            await first.wait_for("pool.ready")
            callers = await self.call(seed, count)
            went_on = await self.suffer(callers, failures, troubles)
            humans, lost = self.waiting(), [caller for caller in callers if caller.lost]
            self.tell(callers, troubles.outages, went_on)
            await asyncio.gather(*(caller.call.hangup() for caller in callers))
            await self.nothing_goes_on()
        # The sandbox's library logs these for connections that were reset before they were any.
        self.log.entries[:] = [entry for entry in self.log.entries if entry.logger != "websockets.server"]
        self.tell_why()
        assert [(caller.number, caller.call.end) for caller in lost] == []
        assert {caller.number for caller in callers if caller not in went_on} <= humans
        silences = [(wait.s, allowed_s(wait, troubles.outages)) for caller in callers for wait in caller.waits]
        assert [(s, allowed) for s, allowed in silences if s > allowed + slack_s] == []
        self.records_are_right()
        for process in troubles.kept.starts:
            assert "Traceback" not in process.log
            assert " call.fault" not in process.log

    async def call(self, seed: int, count: int) -> list[Caller]:
        """Callers on both ways in, after the opening."""
        numbers = [f"55566{n:02}" for n in range(count)]
        phones = [await self.phone(number) for number in numbers]
        lines = await asyncio.gather(*(self.dial(("7000", "7001")[n % 2], one) for n, one in enumerate(phones)))
        await asyncio.gather(*(hearing.utterance() for _, hearing in lines))
        return [
            Caller(number, *line, random.Random(f"{seed} {number}"), self.words)
            for number, line in zip(numbers, lines, strict=True)
        ]

    async def suffer(self, callers: list[Caller], failures: list[Failure], troubles: Troubles) -> list[Caller]:
        """All failures happen, while the callers ask; returns who is answered when they are over."""
        over, start = asyncio.Event(), time.monotonic()
        watching = asyncio.create_task(self.watch_queue(callers))
        talks = [asyncio.create_task(caller.talk(over)) for caller in callers]
        try:
            await asyncio.gather(*(troubles.happen(failure, start) for failure in failures))
            await troubles.kept.serving()
            await asyncio.sleep(SETTLED_S)
            over.set()
            await asyncio.gather(*talks)
            answered = await asyncio.gather(*(caller.ask() for caller in callers))
        finally:
            for task in (watching, *talks):
                task.cancel()
        self.notice(callers)
        return [caller for caller, heard in zip(callers, answered, strict=True) if heard and caller.here]

    async def watch_queue(self, callers: list[Caller]) -> None:
        while True:
            self.notice(callers)
            await asyncio.sleep(0.2)

    def notice(self, callers: list[Caller]) -> None:
        """Let the callers know whether human agents have them."""
        waiting = self.waiting()
        for caller in callers:
            if caller.number not in waiting:
                caller.with_people = None
            elif caller.with_people is None:
                caller.with_people = time.monotonic()

    def waiting(self) -> set[str]:
        """The numbers of those who are in the human queue."""
        numbers: dict[str, str] = {}
        for row in self.queue_log.rows(queue="support"):
            if row[3] == "ENTERQUEUE":
                numbers[row[0]] = row[5]
            elif row[3] != "RINGNOANSWER":
                numbers.pop(row[0], None)
        return set(numbers.values())

    def tell(self, callers: list[Caller], outages: list[Outage], went_on: list[Caller]) -> None:
        """Print what came of it."""
        waits = [wait for caller in callers for wait in caller.waits]
        moved = [caller.with_people for caller in callers if caller.with_people is not None]
        start = min(o.span.since - o.failure.at_s for o in outages)
        print(*table(outages, waits, moved, start), sep="\n")
        worst = max(waits, key=lambda wait: wait.s - allowed_s(wait, outages))
        lost, beyond_s = sum(caller.lost for caller in callers), worst.s - allowed_s(worst, outages)
        print(
            f"  of {len(callers)} calls {len(went_on)} continued, {len(moved)} are with human agents, {lost} lost; "
            f"{len(waits)} questions, longest silence {max(wait.s for wait in waits):.2f} s, beyond what failures took "
            f"{beyond_s:.2f} s (at {worst.since - start:.1f} s)"
        )

    def tell_why(self) -> None:
        """Print why callers are sent to the human queue."""
        store = Store(self.directory / "state")
        for row in store.past(None):
            for event in store.events(row):
                if event.name == "call.ended" and row.result != "done":
                    print(f"  {row.caller} to human agents: {row.reason} {event.fields.get('cause', '')}")

    async def nothing_goes_on(self) -> None:
        """Wait until the records say that every call is over."""
        store = Store(self.directory / "state")
        try:
            async with asyncio.timeout(LIMIT_S):
                while store.unfinished_calls():
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(store.unfinished_calls()) from None

    def records_are_right(self) -> None:
        """Every call began and ended once."""
        store = Store(self.directory / "state")
        rows = store.past(None)
        assert rows
        for row in rows:
            names = [event.name for event in store.events(row)]
            assert names.count("call.ended") == 1, (row, names)
            assert names.count("call.started") <= 1, (row, names)


@pytest.fixture
def stage(
    asterisk: Any,
    sandbox: Any,
    phone: Any,
    dial: Any,
    proxy: Any,
    queue_log: Any,
    log: Any,
    sound: Any,
    tmp_path: Path,
) -> Stage:
    return Stage(asterisk, sandbox, phone, dial, proxy, queue_log, log, sound.tone(0.4), tmp_path)


@pytest.mark.chaos
@pytest.mark.parametrize("run", range(RUNS))
async def test_random_failures_lose_nobody(run: int, stage: Stage) -> None:
    seed = int(os.environ.get("CHAOS_SEED", random.randrange(10**6))) + run
    print(f"\nCHAOS_SEED={seed}: {FAILURES} failures within {WITHIN_S:g} s under 10 calls")
    await stage.play(seed, 10, draw(seed, FAILURES, WITHIN_S), SLACK_S)


async def test_a_reset_and_a_cut_at_the_same_time_lose_nobody(stage: Stage) -> None:
    failures = [Failure("events cut", 0.2, 1.0), Failure("model reset", 0.8, 0.0)]
    await stage.play(1, 2, failures, 3 * SLACK_S)
