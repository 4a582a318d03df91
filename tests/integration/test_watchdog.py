"""Calls that cannot be heard any more, and a machine that is too busy: callers are sent to the human queue."""

import asyncio
import time
from typing import Any

import pytest

LIMIT_S = 60.0


@pytest.mark.parametrize("number", ["7001", pytest.param("7000", marks=pytest.mark.long)])
async def test_a_caller_of_whom_nothing_comes_any_more_goes_to_people(
    number: str, sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, ends_with_people: Any
) -> None:
    await service(await sandbox(), watchdog={"no_audio_s": 1.5})
    human = await phone("1001", register=True)
    call, hearing = await dial(number)
    await hearing.utterance()
    # A call lasts as long as there is audio, were it only silence.
    await asyncio.sleep(2.0)
    assert log.named("call.ended") == []
    call.mute_rtp = True
    muted = time.monotonic()
    ended = await log.wait("call.ended", result="person", reason="no_audio")
    assert ended.at - muted >= 1.4
    call.mute_rtp = False
    await ends_with_people(call, human)


async def test_a_machine_that_is_too_busy_takes_no_more_calls(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, ends_with_people: Any
) -> None:
    running = await service(await sandbox(), watchdog={"lag_ms": 100})
    human = await phone("1001", register=True)
    here, hearing = await dial("7000")
    await hearing.utterance()

    async def hog() -> None:
        while True:
            time.sleep(0.15)  # noqa: ASYNC251  # which is what is wrong with this machine
            await asyncio.sleep(0.01)

    hogging = asyncio.create_task(hog())
    try:
        told = await log.wait("service.overloaded", timeout=LIMIT_S)
        assert told["p95_ms"] > 100
        late = await (await phone("5551001")).dial("7001")
        await log.wait("call.ended", result="busy", reason="overloaded", timeout=LIMIT_S)
        await log.wait("seats.pause_reason_began", reason="overloaded", timeout=LIMIT_S)
    finally:
        hogging.cancel()
    await log.wait("service.overload_ended", timeout=LIMIT_S)
    await log.wait("seats.pause_reason_ended", reason="overloaded", timeout=LIMIT_S)
    await ends_with_people(late, human)
    # The caller is still there.
    assert len(running.calls) == 1
    assert b"ariagent_loop_lag_seconds_count" in running.metrics.render()
    await here.hangup()
