"""The connection to the model is cut during calls: they continue, or their callers reach the human queue."""

import asyncio
import itertools
import time
from typing import Any

import pytest

from tests.chaos.allowance import allowed_s

LIMIT_S = 60.0
MOST_SILENCE_S = 1.5
MOST_UNTIL_PEOPLE_S = 8.0
COUNTS = pytest.mark.parametrize("calls", [2, pytest.param(10, marks=pytest.mark.chaos)])


def longest_silence_s(hearing: Any, since: float) -> float:
    """Between two loud packets, from ``since`` on."""
    loud = [since, *(arrival for arrival in hearing.loud if arrival >= since)]
    return max((b - a for a, b in itertools.pairwise(loud)), default=float("inf"))


@COUNTS
@pytest.mark.parametrize("moment", ["speaking", pytest.param("thinking", marks=pytest.mark.chaos)])
async def test_sessions_that_are_reset_are_made_anew(
    moment: str, calls: int, sandbox: Any, service: Any, log: Any, proxy: Any, talking: Any
) -> None:
    model, between = await sandbox(think_ms=400), await proxy()
    between.target = ("127.0.0.1", model.port)
    running = await service(f"ws://{between.address}/v1/realtime", agent={"keypad": {"pause_ms": 100}})
    lines = await talking(calls)
    # Every one of them has asked something; the model has not said anything yet, or the answer is heard already.
    await asyncio.gather(*(hearing.wait_quiet(0.3) for _, hearing in lines))
    pressed = time.monotonic()
    await asyncio.gather(*(call.send_dtmf("1") for call, _ in lines))
    await log.wait("call.digits", count=calls)
    if moment == "speaking":
        await asyncio.gather(*(hearing.wait_loud(pressed) for _, hearing in lines))
    cut = time.monotonic()
    between.cut()
    for count in range(1, calls + 1):
        await log.wait("model.reconnected", count=count, timeout=LIMIT_S)
    await asyncio.gather(*(hearing.wait_loud(log.named("model.reconnected")[-1].at) for _, hearing in lines))
    silences = [longest_silence_s(hearing, cut) for _, hearing in lines]
    print(f"\n{moment}: {calls} of {calls} calls continued; longest silence {max(silences):.2f} s")
    assert max(silences) <= allowed_s(MOST_SILENCE_S, calls)
    assert len(running.calls) == calls
    # They answer as before.
    await asyncio.gather(*(hearing.wait_quiet(0.5) for _, hearing in lines))
    pressed = time.monotonic()
    await asyncio.gather(*(call.send_dtmf("2") for call, _ in lines))
    await asyncio.gather(*(hearing.wait_loud(pressed) for _, hearing in lines))
    await asyncio.gather(*(call.hangup() for call, _ in lines))
    await log.wait("call.ended", count=calls, result="done", timeout=LIMIT_S)


@COUNTS
async def test_callers_of_a_model_that_is_gone_reach_people(
    calls: int, asterisk: Any, sandbox: Any, service: Any, log: Any, proxy: Any, talking: Any
) -> None:
    model, between = await sandbox(), await proxy()
    between.target = ("127.0.0.1", model.port)
    await service(f"ws://{between.address}/v1/realtime")
    lines = await talking(calls)
    await asyncio.gather(*(hearing.wait_quiet(0.5) for _, hearing in lines))
    rows = len(asterisk.queue_rows())
    between.target = ("127.0.0.1", 1)  # where nobody listens
    cut = time.monotonic()
    between.cut()
    ended = [await log.wait("call.ended", count=n, reason="model_lost", timeout=LIMIT_S) for n in range(1, calls + 1)]
    # The human queue plays music.
    await asyncio.gather(*(hearing.wait_loud(ended[-1].at) for _, hearing in lines))
    new = asterisk.queue_rows(since=rows)
    waiting = sum(row[2] == "support" and row[4] == "ENTERQUEUE" for row in new)
    print(f"\n{waiting} of {calls} in the human queue; the last {ended[-1].at - cut:.2f} s after the cut")
    assert waiting == calls
    assert ended[-1].at - cut <= MOST_UNTIL_PEOPLE_S
    await asyncio.gather(*(call.hangup() for call, _ in lines))
