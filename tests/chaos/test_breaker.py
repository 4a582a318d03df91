"""A model that begins to refuse, under a burst of callers: the circuit breaker opens, tries, and closes again."""

import asyncio
import dataclasses
from typing import Any

import pytest

LIMIT_S = 60.0
CALLERS = 5


async def test_the_first_callers_reach_people_and_the_others_do_not_have_to_try(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, queue_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ariagent.service.FIRST_TRIAL_S", 0.3)
    model = await sandbox()
    running = await service(model)
    healthy = model.options
    model.options = dataclasses.replace(healthy, api_keys=("another",))

    async def waiting(calls: int) -> None:
        async with asyncio.timeout(LIMIT_S):
            while len(queue_log.rows("ENTERQUEUE", queue="support")) < calls:
                await asyncio.sleep(0.02)

    phones = [await phone(f"55533{number:02}") for number in range(CALLERS + 1)]
    calls = list(await asyncio.gather(*(one.dial("7000") for one in phones[:CALLERS])))
    refused = await log.wait("call.ended", result="no_model")
    opened = await log.wait("seats.reason", reason="model", holds=True, timeout=LIMIT_S)
    await waiting(CALLERS)
    tried = len(log.named("call.started"))
    # While it is open nobody has to try.
    calls.append(await phones[CALLERS].dial("7000"))
    await waiting(CALLERS + 1)
    assert len(log.named("call.started")) == tried
    # Half-open: the service's own trials, of which one more fails.
    trials = len(log.named("model.unusable"))
    await log.wait("model.unusable", count=trials + 1, timeout=LIMIT_S)
    model.options = healthy
    closed = await log.wait("seats.reason", reason="model", holds=False, timeout=LIMIT_S)
    async with asyncio.timeout(LIMIT_S):
        while any(seat.paused or seat.state == "unavailable" for seat in running.pool.seats.view()):
            await asyncio.sleep(0.02)
    assert [row for row in queue_log.rows(queue="frontline") if row[3] in ("PAUSE", "UNPAUSE")] == []
    call, hearing = await dial("7000")
    await hearing.utterance()
    print(
        f"\n{CALLERS} callers, {tried} tries of seats; opened {opened.at - refused.at:.2f} s after the first refusal, "
        f"closed {closed.at - opened.at:.2f} s later"
    )
    assert tried <= 3 * CALLERS
    await call.hangup()
    await asyncio.gather(*(one.hangup() for one in calls))
    await log.wait("call.ended", result="done")
