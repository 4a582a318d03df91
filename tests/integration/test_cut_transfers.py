"""Many hand-offs at once, cut at random moments by callers and by human agents: nothing is left, each call ends once.

``make transfers`` runs 100; ``TRANSFERS`` and ``TRANSFERS_SEED`` in the environment choose others.
"""

import asyncio
import contextlib
import os
import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.call import Call
from lab.phone import CallRefused

pytestmark = pytest.mark.asterisk

COUNT = int(os.environ.get("TRANSFERS", "12"))
SEED = int(os.environ.get("TRANSFERS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
AT_ONCE = 12
MANY = 50
"""So many transfers cannot all be cut before they arrive."""
LIMIT_S = 60.0
SCENARIO = Path(__file__).parent / "scenarios" / "handoff.yaml"
SUPPORT = {"queue": "support", "timeout_s": 30}
DESTINATIONS = {
    "humans": {**SUPPORT, "description": "the service desk", "kind": "blind"},
    "nobody": {**SUPPORT, "description": "a desk where nobody answers", "kind": "blind", "timeout_s": 2},
    "boss": {"extension": "1002", "description": "the boss", "timeout_s": 10, "kind": "briefed"},
    "briefed": {**SUPPORT, "description": "human agents who are told first", "kind": "briefed"},
    "warm": {**SUPPORT, "description": "human agents who are found first", "kind": "warm"},
    "warm_nobody": {**SUPPORT, "description": "human agents who are not found", "kind": "warm", "timeout_s": 2},
}
AGENT = {"handoff": list(DESTINATIONS), "transcription": None}
KINDS = {
    "blind": ("1", 7.0),
    "blind, back after 2 s": ("2", 8.0),
    "briefed, to an extension": ("3", 7.0),
    "briefed": ("5", 8.0),
    "warm": ("6", 8.0),
    "warm, nobody for 2 s": ("8", 8.0),
}
"""Ways to be handed over: what the caller presses (scenarios/handoff.yaml), and how long after that calls last at most.
It takes about 1 s until the human agent's phone rings."""
HUMAN_AGENTS = ("1001", "1002", "1003", "1004")


@dataclass(frozen=True, slots=True)
class Plan:
    """One caller."""

    number: str
    kind: str
    cut_s: float
    """After the key was pressed."""


def plans(count: int, dice: random.Random) -> list[Plan]:
    """Every number and kind in turn; half of the moments are early, where most happens."""
    kinds = list(KINDS)
    made = []
    for index in range(count):
        kind = kinds[index // 2 % len(kinds)]
        longest_s = 4.0 if dice.random() < 0.5 else KINDS[kind][1]
        made.append(Plan(("7000", "7001")[index % 2], kind, dice.uniform(0, longest_s)))
    return made


async def caller(phone: Any, plan: Plan, seen: Counter[str]) -> None:
    """Talk, press the key, hang up at the moment; or be hung up before."""
    call = await phone.dial(plan.number)
    try:
        await call.answered(LIMIT_S)
        await asyncio.sleep(0.5)  # some of the opening
        await call.send_dtmf(KINDS[plan.kind][0])
        await call.ended(plan.cut_s)
        seen["hung up by the others"] += 1
    except TimeoutError:
        seen["cut"] += 1
    except CallRefused as refusal:
        seen[f"refused with {refusal.status}"] += 1
    finally:
        await call.hangup()


async def person(call: Call, dice: random.Random, seen: Counter[str]) -> None:
    """One call to one of the human agents: refused, missed, or answered and ended by whoever is the first."""
    with contextlib.suppress(CallRefused, TimeoutError):
        does = dice.choice(("answers", "answers", "answers", "refuses", "misses"))
        await call.ring()
        if does == "misses":
            seen["missed"] += 1
            await call.ended(LIMIT_S)
            return
        await call.ended(dice.uniform(0, 1))
        return
    with contextlib.suppress(CallRefused, TimeoutError):
        if does == "refuses":
            seen["refused"] += 1
            await call.reject(dice.choice((486, 603)))
            return
        await call.answer()
        seen["answered"] += 1
        await call.ended(dice.uniform(0, 6))
    await call.hangup()


async def desk(phone: Any, dice: random.Random, seen: Counter[str], busy: asyncio.TaskGroup) -> None:
    """One of the human agents, for as long as there are callers."""
    while True:
        with contextlib.suppress(TimeoutError):
            call = await phone.incoming(3600)
            busy.create_task(person(call, dice, seen))


async def test_nothing_is_left_of_transfers_cut_at_random_moments(
    bed: Any, sandbox: Any, service: Any, phone: Any, log: Any
) -> None:
    print(f"\n{COUNT} transfers, TRANSFERS_SEED={SEED}")
    dice = random.Random(SEED)
    await service(await sandbox(scenario=SCENARIO, keep_audio=False), agent=AGENT, destinations=DESTINATIONS)
    humans = [await phone(user, register=True) for user in HUMAN_AGENTS]
    callers = await phone("5551000")
    gate = asyncio.Semaphore(AT_ONCE)
    seen: Counter[str] = Counter()
    began = time.monotonic()

    async def one(plan: Plan) -> None:
        async with gate:
            await caller(callers, plan, seen)

    async with asyncio.TaskGroup() as busy:
        desks = [busy.create_task(desk(one_phone, dice, seen, busy)) for one_phone in humans]
        await asyncio.gather(*(one(plan) for plan in plans(COUNT, dice)))
        for task in desks:
            task.cancel()
    print(f"after {time.monotonic() - began:.0f} s: {dict(seen)}")
    await bed.nothing_left()
    ends = Counter(entry["result"] for entry in log.named("call.ended"))
    calls = {entry["call"] for entry in log.named("call.started")}
    handed = len(log.named("call.transferred"))
    # The caller, or the human agent who was found, hung up at the very moment.
    refused = Counter(entry["cause"].partition("/variable")[0] for entry in log.named("call.transfer_failed"))
    print(f"{len(calls)} calls, {handed} handed over, refused: {dict(refused)}, ends: {dict(ends)}")
    # That each ended once is checked of every test; see LogBook.check.
    assert len(calls) == COUNT
    assert set(ends) <= {"done", "transferred"}
    assert refused.total() < max(3, COUNT // 5)
    # On a busy machine a few transfers may all be cut before they arrive.
    assert 2 * handed > COUNT // 5 or COUNT < MANY
    assert sum(seen[how] for how in ("cut", "hung up by the others")) == COUNT
