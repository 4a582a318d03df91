"""The service is killed while calls continue: the next process continues them, with their memory."""

import asyncio
import os
import random
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ariagent.records.store import Store
from lab import benchtakeover, waiting
from lab import environment as lab
from lab.call_setup import CallState
from tests.chaos.allowance import allowed_s

LIMIT_S = 60.0
SCENARIOS = Path(__file__).parents[1] / "integration" / "scenarios"
MOST_SILENCE_S = 3.0
"""From the new process being back to the last caller's hearing of it."""


until = partial(waiting.until, limit_s=LIMIT_S)


@pytest.mark.parametrize("calls", [2, pytest.param(10, marks=pytest.mark.chaos)])
async def test_callers_of_a_killed_service_go_on_with_the_next(calls: int, bed: Any, tmp_path: Path) -> None:
    # Records that are not kept for long exist while the call continues.
    records = {"transcripts": calls > 2}
    async with benchtakeover.killed(bed.asterisk, tmp_path, calls, records=records) as seen:
        assert seen.lost == 0
        assert len(seen.sessions) == calls
        after_s = max(seen.heard_at) - seen.accepting_at
        print(f"\n{calls} of {calls} calls continued; longest silence {seen.longest_s:.2f} s after the kill, "
              f"{after_s:.2f} s after the next process took calls")  # fmt: skip
        assert after_s <= allowed_s(MOST_SILENCE_S, calls)
        # They end as their callers wish.
        await asyncio.gather(*(one.bell.wait_quiet(0.5) for one in seen.lines))
        await asyncio.gather(*(one.call.send_dtmf("9") for one in seen.lines[::2]))
        await asyncio.gather(*(one.call.hangup() for one in seen.lines[1::2]))
        await asyncio.gather(*(one.call.ended(LIMIT_S) for one in seen.lines))
        await until(lambda: not seen.store.live(), "the calls to end")
        assert "orphan_call.found" not in seen.following.log.replace("name=AudioSocket", "")
        rows = seen.store.past(None)
        assert sorted(row.visit for row in rows) == [1] * calls
        assert {(row.result, row.reason) for row in rows} == {("done", "caller_hung_up"), ("done", "agent_ended")}
        assert all(row.words.endswith(" characters)") != (calls > 2) for row in rows)
        names = [[event.name for event in seen.store.events(row)] for row in rows]
        assert all(n.count("call.started") == n.count("call.resumed") == n.count("call.ended") == 1 for n in names)


@pytest.mark.chaos
async def test_callers_who_are_asking_as_the_service_dies_go_on_too(bed: Any, tmp_path: Path) -> None:
    async with benchtakeover.killed(bed.asterisk, tmp_path, 2, asking=True) as seen:
        assert seen.lost == 0


async def test_calls_that_ended_meanwhile_are_told_as_ended(sandbox: Any, dial: Any, run: Any, tmp_path: Path) -> None:
    model = await sandbox()
    store = Store(tmp_path / "state")
    async with run(model, "killed") as first:
        call, hearing = await dial("7000")
        await hearing.utterance()
        await until(lambda: any(row.answered for row in store.live()), "the record")
        await first.kill()
    await call.hangup()
    await call.ended(LIMIT_S)
    async with run(model, "next"):
        await until(lambda: all(row.ended for row in store.past(None)), "the end of the call")
    [row] = store.past(None)
    assert (row.result, row.reason) == ("error", "service_died")
    assert row.answered is not None
    assert row.ended is not None
    assert 0 <= row.ended - row.answered < 30


@pytest.mark.chaos
async def test_who_comes_back_from_human_agents_is_remembered_by_the_next(
    sandbox: Any, phone: Any, dial: Any, run: Any, tmp_path: Path
) -> None:
    model = await sandbox(scenario=SCENARIOS / "handoff.yaml")
    destinations = {
        "nobody": {"queue": "support", "description": "a desk where nobody answers", "timeout_s": 12, "kind": "blind"}
    }
    settings = {"agent": {"handoff": ["nobody"]}, "destinations": destinations}
    store = Store(tmp_path / "state")
    await phone("1001", register=True)  # somebody is there, and lets it ring
    async with run(model, "killed", **settings) as first:
        call, hearing = await dial("7001")
        await hearing.utterance()
        await call.send_dtmf("2")
        await first.wait_for("call.transferred")
        await until(lambda: any(row.result == "transferred" for row in store.past(None)), "the record")
        await first.kill()
    before = len(model.sessions)
    async with run(model, "next", **settings) as following:
        await following.wait_for("call.started")

        def told() -> bool:
            said = [session.texts for session in model.sessions[before:]]
            return any("Good day." in t and any("nobody took the call" in x for x in t) for t in said)

        await until(told, "the caller to be remembered")
        await call.hangup()
        await following.wait_for("call.ended")


@pytest.mark.chaos
@pytest.mark.parametrize("number", ["7000", "7001"])
async def test_whatever_a_call_was_doing_it_goes_on_and_nothing_is_left(
    number: str, bed: Any, sandbox: Any, phone: Any, dial: Any, run: Any, tmp_path: Path
) -> None:
    """The service is killed while the agent speaks, while it announces a transfer, while a human agent is called, and
    while one more phone still rings."""
    model = await sandbox(scenario=SCENARIOS / "handoff.yaml")
    humans = {"queue": "support", "description": "human agents", "timeout_s": 60}
    destinations = {"humans": {**humans, "kind": "blind"}, "warm": {**humans, "kind": "warm"}}
    settings = {"agent": {"handoff": list(destinations)}, "destinations": destinations}
    human_agent = await phone("1001", register=True)
    async with run(model, "killed", **settings) as first:
        phones = [await phone(f"555220{n}") for n in range(4)]
        speaking, announced, warm = lines = [await dial(number, one) for one in phones[:3]]
        await asyncio.gather(*(hearing.utterance() for _, hearing in lines))
        await warm[0].send_dtmf("6")
        ringing = await human_agent.incoming(30)
        await asyncio.gather(speaking[0].send_dtmf("77"), announced[0].send_dtmf("1"))
        await announced[1].wait_loud(time.monotonic())
        assert "call.transferred" not in first.log
        late = await phones[3].dial(number)
        killed = await first.kill()
    before = len(model.sessions)
    async with run(model, "next", **settings) as following:
        await ringing.ended(LIMIT_S)  # nobody looks for them any more
        await asyncio.gather(*(hearing.wait_loud(killed + 0.3, LIMIT_S) for _, hearing in lines))
        assert {call.state for call, _ in lines} == {CallState.ANSWERED}
        resumed = [s for s in model.sessions[before:] if any("was interrupted" in text for text in s.texts)]
        assert len(resumed) == 3
        await late.answered(LIMIT_S)  # by the agent, or by human agents
        await asyncio.gather(*(call.hangup() for call, _ in lines), late.hangup())
        await until(lambda: following.log.count(" call.ended") >= 3, "the calls to end")


@pytest.mark.chaos
async def test_a_service_that_dies_again_and_again_loses_nobody(
    sandbox: Any, phone: Any, dial: Any, run: Any, tmp_path: Path
) -> None:
    seed = int(os.environ.get("CHAOS_SEED", random.randrange(10**6)))
    print(f"\nCHAOS_SEED={seed}")
    moments = [random.Random(seed).uniform(0.8, 2.0) for _ in range(5)]
    model = await sandbox()
    phones = [await phone(f"55544{n:02}") for n in range(4)]
    async with run(model, "killed") as first:
        lines = [await dial(("7000", "7001")[n % 2], one) for n, one in enumerate(phones)]
        await asyncio.gather(*(hearing.utterance() for _, hearing in lines))
        await until(lambda: all(row.words for row in Store(tmp_path / "state").live()), "the records")
        await first.kill()
    argv = [sys.executable, "-m", "ariagent", "run", "-c", str(tmp_path / "killed.yaml")]
    for number, moment in enumerate(moments):
        async with lab.process(argv, tmp_path / f"again{number}.log") as again:
            await asyncio.sleep(moment)
            killed = await again.kill()
    before = len(model.sessions)
    async with run(model, "last") as following:
        await asyncio.gather(*(hearing.wait_loud(killed + 0.3, LIMIT_S) for _, hearing in lines))
        assert {call.state for call, _ in lines} == {CallState.ANSWERED}
        assert following.log.count(" call.resumed") == len(lines)
        told = [session.texts for session in model.sessions[before:]]
        assert sum("Good day." in said and any("was interrupted" in x for x in said) for said in told) == len(lines)
        await asyncio.gather(*(call.hangup() for call, _ in lines))
        await until(lambda: following.log.count(" call.ended") == len(lines), "the calls to end")
    rows = Store(tmp_path / "state").past(None)
    assert [(row.visit, row.result, row.reason) for row in rows] == [(1, "done", "caller_hung_up")] * len(lines)
