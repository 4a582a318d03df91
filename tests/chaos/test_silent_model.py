"""A model that says nothing in a live session: its callers get another session, then the human queue."""

import asyncio
import dataclasses
from typing import Any

import pytest

from ariagent.sandbox.faults import Faults

LIMIT_S = 60.0
STALL_S = 1.5
FAULTS = {
    "never begins": ("silent", "fell silent"),
    "has nothing in it": ("empty", "responses are empty"),
    "stops in the middle": ("stall:300", "fell silent"),
}


def spoilt(options: Any, fault: str) -> Any:
    """The sandbox's options for sessions from now on."""
    return dataclasses.replace(options, faults=Faults.parse(fault))


async def test_a_response_that_does_not_come_is_asked_for_in_another_session(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, sound: Any
) -> None:
    model = await sandbox()
    await service(model, realtime={"stall_timeout_s": STALL_S})
    healthy, lines = model.options, []
    for number, (fault, _) in enumerate(FAULTS.values(), 1):
        model.options = spoilt(healthy, fault)
        call, hearing = await dial("7001", await phone(f"55511{number:02}"))
        started = await log.wait("call.started", count=number)
        lines.append((call, hearing, started["call"], model.session))
    model.options = healthy

    async def converse(name: str, call: Any, hearing: Any, call_id: str, session: Any) -> None:
        await hearing.utterance()
        await call.play(sound.tone(0.4))
        asked = hearing.spoke_until()
        lost = await log.wait("model.lost", call=call_id, timeout=LIMIT_S)
        assert lost["fault"] == "silent"
        assert FAULTS[name][1] in lost["cause"]
        renewed = await log.wait("model.reconnected", call=call_id)
        heard = await hearing.wait_loud(renewed.at)
        silence_s = hearing.longest_silence_s(asked, heard)
        print(f"\na response {name}: {silence_s:.2f} s of silence with a limit of {STALL_S:g} s")
        assert silence_s <= 3 * STALL_S
        # The lost answer was requested, and the conversation continues.
        await hearing.wait_quiet(0.5)
        await call.play(sound.tone(0.4))
        await hearing.wait_loud(hearing.spoke_until())
        assert len(log.named("model.lost", call=call_id)) == 1
        await call.hangup()

    await asyncio.gather(*(converse(name, *line) for name, line in zip(FAULTS, lines, strict=True)))
    await log.wait("call.ended", count=len(FAULTS), result="done")
    # Nobody had to do without the model, so it was tried at the start only.
    assert len(log.named("model.usable")) == 1


async def test_who_meets_silence_again_goes_to_people_and_the_seats_wait_until_the_model_speaks(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, sound: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ariagent.breaker.FIRST_TRIAL_S", 0.5)
    model = await sandbox()
    desk = {"queue": "support", "description": "the service desk"}
    await service(
        model, agent={"handoff": ["desk"]}, destinations={"desk": desk}, realtime={"stall_timeout_s": STALL_S}
    )
    human = await phone("1001", register=True)
    healthy = model.options
    model.options = spoilt(healthy, "silent")
    call, hearing = await dial("7000")
    await hearing.utterance()
    await call.play(sound.tone(0.4))
    asked = hearing.spoke_until()
    incoming = await human.incoming(LIMIT_S)
    handed = await log.wait("call.transferred", by="ariagent")
    print(f"\nto human agents {handed.at - asked:.2f} s after the question, with a limit of {STALL_S:g} s")
    assert handed.at - asked <= 3 * 2 * STALL_S
    assert len(log.named("model.reconnected")) == 1
    headers = incoming.invite.headers
    assert headers.get("x-ariagent-summary").startswith("agent: ")
    assert "fell silent" in headers.get("x-ariagent-reason")
    await incoming.answer()
    # A session can be had; only one that says something is good enough.
    await log.wait("model.unusable", fault="silent", timeout=LIMIT_S)
    await log.wait("seats.pause_reason_began", reason="model", timeout=LIMIT_S)
    model.options = healthy
    await log.wait("seats.pause_reason_ended", reason="model", timeout=LIMIT_S)
    await call.hangup()
    await incoming.ended(LIMIT_S)
    await log.wait("call.ended", result="transferred")
