"""A fax, a modem or an answering machine is calling."""

import time
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0


def bursts(sound: Any, hz: float, on_s: float, off_s: float, count: int = 1) -> Any:
    return np.tile(np.concatenate([sound.tone(on_s, hz, peak=4000), np.zeros(int(8000 * off_s), np.int16)]), count)


CALLERS = {
    "7000 fax that calls": ("fax", (1100.0, 0.5, 1.5, 1)),
    "7001 fax that answers": ("fax", (2100.0, 2.6, 0.5, 1)),
    "7001 modem": ("modem", (1300.0, 0.6, 1.7, 2)),
    "7000 voicemail": ("voicemail", (1000.0, 0.4, 1.0, 1)),
}
"""Frequency (Hz), seconds on, seconds off, times."""
AGENT = {"instructions": "You talk to [{caller.number}]."}


async def test_a_machine_ends_the_call_with_that_reason(sandbox: Any, service: Any, guests: Any, sound: Any) -> None:
    def calls(machine: str, pattern: tuple[float, float, float, int]) -> Any:
        async def scenario(guest: Any) -> None:
            await guest.hearing.wait_loud()
            began = time.monotonic()
            guest.call.play(bursts(sound, *pattern))
            end = await guest.call.ended(LIMIT_S)
            assert (end.by, end.status) == ("remote", 200)
            # Nobody is told goodbye, and it does not wait for the opening's end.
            assert time.monotonic() - began < 10
            ended = await guest.wait("call.ended", result="done", reason=machine)
            assert "cause" not in ended.fields

        return scenario

    model = await sandbox()
    long = "This is a very long opening. " * 8
    running = await service(model, agent={**AGENT, "machines": "end", "opening": long})
    await guests(model, {name: calls(machine, pattern) for name, (machine, pattern) in CALLERS.items()})
    for machine, count in (("fax", 2), ("modem", 1), ("voicemail", 1)):
        labels = {"agent": "default", "result": "done", "reason": machine}
        assert running.metrics.registry.get_sample_value("ariagent_calls_total", labels) == count


async def test_where_machines_are_ignored_a_tone_is_a_turn(
    sandbox: Any, service: Any, dial: Any, sound: Any, log: Any
) -> None:
    await service(await sandbox(), agent={"machines": "ignore", "opening": "Hi."})
    call, hearing = await dial("7001")
    await hearing.utterance(quiet_s=0.2)
    await call.play(bursts(sound, 1000.0, 0.4, 0.8))
    await log.wait("turn.agent", count=2)
    await call.hangup()
    await log.wait("call.ended", result="done", reason="caller_hung_up")
