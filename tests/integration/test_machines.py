"""A fax, a modem or an answering machine is calling."""

import time
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.asterisk

LIMIT_S = 20.0


def bursts(sound: Any, hz: float, on_s: float, off_s: float, count: int = 1) -> Any:
    return np.tile(np.concatenate([sound.tone(on_s, hz, peak=4000), np.zeros(int(8000 * off_s), np.int16)]), count)


CALLERS = {
    "fax that calls": ("fax", "7000", (1100.0, 0.5, 1.5, 1)),
    "fax that answers": ("fax", "7001", (2100.0, 2.6, 0.5, 1)),
    "modem": ("modem", "7001", (1300.0, 0.6, 1.7, 2)),
    "voicemail": ("voicemail", "7000", (1000.0, 0.4, 1.0, 1)),
}


@pytest.mark.parametrize("caller", CALLERS)
async def test_a_machine_ends_the_call_with_that_reason(
    caller: str, sandbox: Any, service: Any, dial: Any, sound: Any, log: Any
) -> None:
    machine, number, (hz, on_s, off_s, count) = CALLERS[caller]
    running = await service(await sandbox(), agent={"machines": "end", "opening": "This is a very long opening. " * 8})
    call, hearing = await dial(number)
    await hearing.wait_loud()
    began = time.monotonic()
    call.play(bursts(sound, hz, on_s, off_s, count))
    end = await call.ended(LIMIT_S)
    assert (end.by, end.status) == ("remote", 200)
    # Nobody is told goodbye, and it does not wait for the opening's end.
    assert time.monotonic() - began < on_s * 2 + 5
    ended = await log.wait("call.ended", result="done", reason=machine)
    labels = {"result": "done", "reason": machine}
    assert running.metrics.registry.get_sample_value("ariagent_calls_total", labels) == 1
    assert "cause" not in ended.fields


async def test_where_machines_are_ignored_a_tone_is_a_turn(
    sandbox: Any, service: Any, dial: Any, sound: Any, log: Any
) -> None:
    await service(await sandbox(), agent={"machines": "ignore", "opening": "Hi."})
    call, hearing = await dial("7001")
    await hearing.utterance()
    await call.play(bursts(sound, 1000.0, 0.4, 1.2))
    await log.wait("turn.agent", count=2)
    await call.hangup()
    await log.wait("call.ended", result="done", reason="caller_hung_up")
