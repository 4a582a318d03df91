"""The caller stays with the agent until somebody has taken the call and knows what it is about."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

BOTH_WAYS = pytest.mark.parametrize("number", ["7000", pytest.param("7001", marks=pytest.mark.long)])
SCENARIO = Path(__file__).parent / "scenarios" / "handoff.yaml"
DESTINATIONS = {
    "warm": {"queue": "support", "description": "the service desk", "timeout_s": 30, "kind": "warm"},
    "warm_nobody": {"queue": "support", "description": "nobody answers there", "timeout_s": 5, "kind": "warm"},
}
AGENT = {"handoff": list(DESTINATIONS), "transcription": None}


def rows(asterisk: Any, call_id: str) -> set[tuple[str, ...]]:
    """Rows of queue_log for a call, without times: a set, for the order is not certain."""
    return {tuple(row[2:5]) for row in asterisk.queue_rows(call_id)}


def texts(session: Any) -> list[str]:
    return [part.get("text", "") for item in session.items for part in item.get("content", [])]


async def told(session: Any, words: str) -> None:
    async with asyncio.timeout(30):
        while not any(words in text for text in texts(session)):
            await asyncio.sleep(0.02)


@BOTH_WAYS
async def test_a_caller_talks_on_until_somebody_knows_what_it_is_about(
    number: str, asterisk: Any, sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, ear: Any, sound: Any
) -> None:
    model = await sandbox(scenario=SCENARIO, voice="rms")
    running = await service(model, agent=AGENT, destinations=DESTINATIONS)
    human = await phone("1001", register=True)
    call, hearing = await dial(number)
    await hearing.utterance()
    await call.send_dtmf("6")
    incoming = await human.incoming(30)
    assert incoming.invite.headers.get("x-ariagent-summary") == "It is about an invoice."
    assert "5551000" in incoming.invite.headers.get("from")
    [serving] = running.calls.calls
    assert serving.live().state == "warm_transfer"
    # Still in conversation while it rings.
    asked = time.monotonic()
    await call.send_dtmf("9")
    await hearing.utterance(asked)
    await incoming.answer()
    await told(await model.wait_session(1), "A human agent has answered")
    handed = await log.wait("call.transferred", kind="warm")
    await log.wait("call.ended", result="transferred")
    # The human heard the summary before the caller was there.
    human_ear = ear(incoming)
    await asyncio.gather(hearing.wait_quiet(0.3), human_ear.wait_quiet(0.3))
    assert sound.loud_part(incoming.heard(), 8000).size > 8000
    began = time.monotonic()
    await asyncio.gather(call.play(sound.tone(0.5, hz=700.0)), incoming.play(sound.tone(0.5, hz=1300.0)))
    await asyncio.gather(hearing.utterance(began - 0.5, 0.3), human_ear.utterance(began - 0.5, 0.3))
    for listener, hz in ((call, 1300.0), (incoming, 700.0)):
        heard = sound.loud_part(listener.heard()[-8000:], 8000)
        assert sound.strongest_hz(heard, 8000) == pytest.approx(hz, abs=20)
    await call.hangup()
    await incoming.ended(20)
    if number == "7000":
        assert ("frontline", "AI Agent", "BLINDTRANSFER") in rows(asterisk, handed["call"])
    # The caller hung up; which half of the leg ends the conversation in the queue is chance.
    async with asyncio.timeout(10):
        while not any(kind.startswith("COMPLETE") for _, _, kind in rows(asterisk, handed["queue_call"])):
            await asyncio.sleep(0.05)
    waited = rows(asterisk, handed["queue_call"])
    assert {("support", "NONE", "ENTERQUEUE"), ("support", "Agent 1001", "CONNECT")} <= waited


async def test_the_human_hangs_up_at_the_end(sandbox: Any, service: Any, phone: Any, dial: Any, log: Any) -> None:
    await service(await sandbox(scenario=SCENARIO), agent=AGENT, destinations=DESTINATIONS)
    human = await phone("1001", register=True)
    call, hearing = await dial("7001")
    await hearing.utterance()
    await call.send_dtmf("6")
    incoming = await human.incoming(30)
    await incoming.answer()
    await log.wait("call.ended", result="transferred")
    await incoming.hangup()
    await call.ended(20)


async def test_nobody_answers_and_the_conversation_goes_on(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any
) -> None:
    model = await sandbox(scenario=SCENARIO)
    await service(model, agent=AGENT, destinations=DESTINATIONS)
    await phone("1001", register=True)  # somebody is there, but lets it ring
    call, hearing = await dial("7000")
    await hearing.utterance()
    await call.send_dtmf("8")
    dropped = await log.wait("consult.dropped", why="TIMEOUT")
    await told(await model.wait_session(1), "nobody took the call in time")
    await hearing.wait_loud(dropped.at)
    await call.hangup()
    await log.wait("call.ended", result="done")


async def test_nothing_rings_on_when_the_caller_hangs_up(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any
) -> None:
    await service(await sandbox(scenario=SCENARIO), agent=AGENT, destinations=DESTINATIONS)
    human = await phone("1001", register=True)
    call, hearing = await dial("7001")
    await hearing.utterance()
    await call.send_dtmf("6")
    incoming = await human.incoming(30)
    await call.hangup()
    await incoming.ended(10)
    await log.wait("call.ended", result="done")


async def test_a_caller_who_does_not_want_it_any_more(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any
) -> None:
    model = await sandbox(scenario=SCENARIO)
    await service(model, agent=AGENT, destinations=DESTINATIONS)
    human = await phone("1001", register=True)
    call, hearing = await dial("7000")
    await hearing.utterance()
    await call.send_dtmf("6")
    incoming = await human.incoming(30)
    await call.send_dtmf("7")
    await incoming.ended(10)
    await log.wait("consult.dropped", why="CANCELLED")
    asked = time.monotonic()
    await call.send_dtmf("9")
    await hearing.utterance(asked)
    await call.hangup()
    await log.wait("call.ended", result="done")


async def test_a_human_agent_who_hangs_up_during_the_summary(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any
) -> None:
    model = await sandbox(scenario=SCENARIO, voice="rms")
    await service(model, agent=AGENT, destinations=DESTINATIONS)
    human = await phone("1001", register=True)
    call, hearing = await dial("7000")
    await hearing.utterance()
    await call.send_dtmf("6")
    incoming = await human.incoming(30)
    await incoming.answer()
    await log.wait("consult.answered")
    await incoming.hangup()
    dropped = await log.wait("consult.dropped", why="GONE")
    await told(await model.wait_session(1), "the human agent hung up again")
    await hearing.wait_loud(dropped.at)
    await call.hangup()
    await log.wait("call.ended", result="done")


async def test_an_extension_is_asked_too(sandbox: Any, service: Any, phone: Any, dial: Any, log: Any) -> None:
    destinations = {**DESTINATIONS, "warm": {**DESTINATIONS["warm"], "queue": None, "extension": "1002"}}
    await service(await sandbox(scenario=SCENARIO), agent=AGENT, destinations=destinations)
    boss = await phone("1002", register=True)
    call, hearing = await dial("7000")
    await hearing.utterance()
    await call.send_dtmf("6")
    incoming = await boss.incoming(30)
    await incoming.answer()
    await log.wait("call.ended", result="transferred")
    await incoming.hangup()
    await call.ended(20)
