"""Who takes a call hears first what it is about, and sees it."""

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BOTH_WAYS = pytest.mark.parametrize("number", ["7000", "7001"])
SCENARIO = Path(__file__).parent / "scenarios" / "handoff.yaml"
BRIEFED = {
    "queue": "support",
    "description": "the service desk",
    "timeout_s": 20,
    "name_prefix": "AI: ",
    "fields": {"order": "number of the order"},
}
SPOKEN = {"scenario": SCENARIO, "voice": "rms"}


async def file_in(directory: Path) -> bytes:
    """The audio of the summary, once it is in place."""
    async with asyncio.timeout(20):
        while not (found := list(directory.glob("*.sln24"))):
            await asyncio.sleep(0.02)
    return found[0].read_bytes()


def at_8_khz(pcm: bytes) -> Any:
    import soxr

    return soxr.resample(np.frombuffer(pcm, "<i2"), 24_000, 8_000).astype(np.int16)


async def hears_brief(running: Any, answering: Any, sound: Any) -> None:
    """The phone that answered hears the whole summary."""
    wanted = sound.loud_part(at_8_khz(await file_in(running.settings.state_directory / "briefs")), 8000)
    fit = 0.0
    async with asyncio.timeout(30):
        while fit < 0.9:
            await asyncio.sleep(0.2)
            _, fit = sound.best_match(wanted, answering.heard())


@BOTH_WAYS
async def test_who_takes_the_call_is_told_what_it_is_about(
    number: str, asterisk: Any, sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, ear: Any, sound: Any
) -> None:
    model = await sandbox(**SPOKEN)
    running = await service(
        model, agent={"handoff": ["briefed"], "transcription": None}, destinations={"briefed": BRIEFED}
    )
    human = await phone("1001", register=True)
    call, hearing = await dial(number)
    await hearing.utterance()
    await call.send_dtmf("5")
    incoming = await human.incoming(30)
    headers = incoming.invite.headers
    assert headers.get("x-ariagent-reason") == "a test"
    assert headers.get("x-ariagent-summary").startswith("Mrs Miller wants to know")
    assert headers.get("x-ariagent-fields") == "order=A 17"
    handed = await log.wait("call.handed_over", kind="briefed")
    assert headers.get("x-ariagent-call") == handed["call"]
    assert "AI:" in headers.get("from"), headers.get("from")
    await file_in(running.settings.state_directory / "briefs")  # made while it rings
    await incoming.answer()
    human_ear, answered = ear(incoming), time.monotonic()
    await hears_brief(running, incoming, sound)
    # Meanwhile the caller hears music; then both are connected.
    assert hearing.loud_ms(answered) > 1000
    await hearing.wait_quiet(0.3)
    await asyncio.gather(call.play(sound.tone(0.5, hz=700.0)), incoming.play(sound.tone(0.5, hz=1300.0)))
    await asyncio.gather(hearing.utterance(time.monotonic() - 1, 0.3), human_ear.utterance(time.monotonic() - 1, 0.3))
    await log.wait("call.ended", result="transferred")
    await call.hangup()
    await incoming.ended(20)


@BOTH_WAYS
async def test_a_summary_that_does_not_come_stops_nothing(
    number: str, sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, tmp_path: Path, ends_with_people: Any
) -> None:
    nowhere = tmp_path / "file"
    nowhere.write_text("not a directory")
    await service(
        await sandbox(scenario=SCENARIO),
        agent={"handoff": ["briefed"], "transcription": None},
        destinations={"briefed": BRIEFED},
        briefs={"directory": nowhere / "briefs"},
    )
    human = await phone("1001", register=True)
    call, hearing = await dial(number)
    await hearing.utterance()
    await call.send_dtmf("5")
    await ends_with_people(call, human)
    assert log.named("brief.not_kept")


@BOTH_WAYS
async def test_an_extension_is_told_too_while_the_caller_hears_music(
    number: str, sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, ear: Any, sound: Any
) -> None:
    model = await sandbox(**SPOKEN)
    boss = {**BRIEFED, "queue": None, "extension": "1002"}
    running = await service(
        model, agent={"handoff": ["briefed"], "transcription": None}, destinations={"briefed": boss}
    )
    human = await phone("1002", register=True)
    call, hearing = await dial(number)
    await hearing.utterance()
    await call.send_dtmf("5")
    incoming = await human.incoming(30)
    assert incoming.invite.headers.get("x-ariagent-reason") == "a test"
    await file_in(running.settings.state_directory / "briefs")
    await incoming.answer()
    answered = time.monotonic()
    await hears_brief(running, incoming, sound)
    assert hearing.loud_ms(answered) > 1000, "the caller heard nothing meanwhile"
    await log.wait("call.ended", result="transferred")
    # Then the two talk, and nobody takes the caller away again.
    own = ear(incoming)
    for speaker, listener in ((call, own), (incoming, hearing), (call, own)):
        await listener.wait_quiet(0.3)
        spoke = time.monotonic()
        await speaker.play(sound.tone(0.5))
        await listener.wait_loud(spoke)
    assert len(log.named("call.started")) == 1
    await call.hangup()
    await incoming.ended(20)


async def test_a_key_for_a_person_hands_over_with_a_summary_of_the_conversation(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, ear: Any, sound: Any
) -> None:
    model = await sandbox(**SPOKEN)
    agent = {"handoff": ["briefed"], "transcription": None, "keypad": {"actions": {"0": "person"}}}
    running = await service(model, agent=agent, destinations={"briefed": BRIEFED})
    human = await phone("1001", register=True)
    call, hearing = await dial("7000")
    await hearing.utterance()
    await call.send_dtmf("0")
    incoming = await human.incoming(30)
    handed = await log.wait("call.handed_over", kind="briefed", by="caller")
    assert handed["destination"] == "briefed"
    await file_in(running.settings.state_directory / "briefs")
    await incoming.answer()
    await hears_brief(running, incoming, sound)
    await call.hangup()
    await incoming.ended(20)


@BOTH_WAYS
async def test_somebody_who_hangs_up_during_the_summary_has_not_taken_the_call(
    number: str, sandbox: Any, service: Any, phone: Any, dial: Any, log: Any
) -> None:
    boss = {**BRIEFED, "queue": None, "extension": "1002"}
    model = await sandbox(**SPOKEN)
    running = await service(
        model, agent={"handoff": ["briefed"], "transcription": None}, destinations={"briefed": boss}
    )
    human = await phone("1002", register=True)
    call, hearing = await dial(number)
    await hearing.utterance()
    await call.send_dtmf("5")
    incoming = await human.incoming(30)
    await file_in(running.settings.state_directory / "briefs")
    await incoming.answer()
    await hearing.wait_loud(time.monotonic())  # music
    await incoming.hangup()
    session = await model.wait_session(2, timeout=20)
    async with asyncio.timeout(20):
        while not any("hung up again" in p.get("text", "") for i in session.items for p in i.get("content", [])):
            await asyncio.sleep(0.02)
    await call.hangup()
    await log.wait("call.ended", count=2)
