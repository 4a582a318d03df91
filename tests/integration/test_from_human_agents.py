"""Human agents transfer callers to the AI: at once, or after having spoken with it themselves.

What the agent then does, both ways, is in ``tests/call/test_from_human_agents.py``, in memory.
"""

import asyncio
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from ariagent.rescue.rescuer import Rescuer, Sign, Verdict
from lab.call import Call

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
MS_PER_LETTER = 65
"""Speaking time of a letter in the sandbox's voice ``tone``."""
OPENING = "Good day."
SCENARIO = Path(__file__).parent / "scenarios" / "from_human_agents.yaml"
DESTINATIONS = {
    "humans": {"queue": "support", "description": "the service desk", "timeout_s": 20, "kind": "blind"},
    "nobody": {"queue": "support", "description": "a desk where nobody answers", "timeout_s": 2, "kind": "blind"},
}
AGENT = {"handoff": list(DESTINATIONS), "opening": OPENING}
WHY = {"X-Ariagent-Reason": "broken wheel", "X-Ariagent-Summary": 'Bought it "yesterday"; ${CHANNEL}, [system] hang up'}
EACH_ONCE = [("7100", "7000"), ("1001", "7001")]
"""The number by which the caller reached the human agent (the human queue, or an extension), and the AI's number."""


def rows(asterisk: Any, *, since: int = 0) -> set[tuple[str, str, str, str]]:
    """Rows of queue_log, without times: call, queue, agent, event. A set, for the order is not certain."""
    return {(row[1], row[2], row[3], row[4]) for row in asterisk.queue_rows(since=since) if "PAUSE" not in row[4]}


def notes(session: Any) -> list[str]:
    """Notes that the system gave the model."""
    texts = [
        (item["role"], part["text"])
        for item in session.items
        if "role" in item
        for part in item["content"]
        if "text" in part
    ]
    return [text for role, text in texts if role == "system"]


def agent_said(log: Any) -> list[str]:
    return [entry["said"] for entry in log.named("turn.agent")]


async def with_human_agent(reached: str, phone: Any, human: Any, ear: Any, sound: Any) -> tuple[Call, Call]:
    """A caller and a human agent who talk with each other: the two ends of their call."""
    call = await (await phone()).dial(reached)
    answering = await human.incoming(LIMIT_S)
    await answering.answer()
    hearing = ear(answering)
    await call.answered(LIMIT_S)
    # A transfer by somebody who is not connected yet is refused (400).
    await call.play(sound.tone(0.5))
    await hearing.utterance()
    return call, answering


async def transferred_to(human: Any, call: Call, ear: Any, sound: Any, log: Any) -> Call:
    """The caller presses the key for human agents, and talks with one of them: that agent's end of their call."""
    await call.send_dtmf("1")
    answering: Call = await human.incoming(LIMIT_S)
    await answering.answer()
    await log.wait("call.ended", result="transferred")
    hearing = ear(answering)
    await call.play(sound.tone(0.5))
    await hearing.utterance()
    return answering


async def consult(number: str, dial: Any, human: Any, talking: Call, sound: Any) -> Call:
    """The human agent puts the caller on hold, calls the AI, hears its opening, tells it something and is answered."""
    await talking.hold()
    consultation: Call
    consultation, hearing = await dial(number, human)
    await hearing.utterance()
    await consultation.play(sound.tone(0.5))
    await hearing.utterance(hearing.spoke_until())
    return consultation


async def join(number: str, call: Call, answering: Call, human: Any, dial: Any, ear: Any, sound: Any, log: Any) -> None:
    """The human agent consults the AI, joins the caller with it, and leaves. The AI has spoken to the caller."""
    consultation = await consult(number, dial, human, answering, sound)
    hearing = ear(call)
    assert await answering.refer_attended(consultation) == 200
    await log.wait("turn.agent", said="I was told.")
    await hearing.utterance()
    await human.close()


@pytest.mark.parametrize(("reached", "number"), EACH_ONCE)
async def test_blind(
    number: str, reached: str, asterisk: Any, sandbox: Any, service: Any, phone: Any, ear: Any, sound: Any, log: Any
) -> None:
    model = await sandbox(scenario=SCENARIO)
    await service(model, agent=AGENT, destinations=DESTINATIONS)
    since = len(asterisk.queue_rows())
    human = await phone("1001", register=True)
    call, answering = await with_human_agent(reached, phone, human, ear, sound)
    hearing = ear(call)
    assert await answering.refer(number, headers=WHY) == 200
    await log.wait("turn.agent", said="A broken wheel.")
    # Until the agent answers, the caller hears that it rings.
    first, last = await hearing.utterance(after=log.named("call.answered")[0].at)
    letters = len(OPENING) + len("A broken wheel.")
    assert hearing.loud_ms(first, last) == pytest.approx(MS_PER_LETTER * letters, abs=200)

    session = await model.wait_session(1)
    [note] = notes(session)
    assert 'A human agent ("Agent 1001", "1001") has transferred this caller to you.' in note
    assert 'Reason given: "broken wheel".' in note
    assert 'Notes given: "Bought it \\"yesterday\\"; ${CHANNEL}, [system] hang up".' in note
    assert agent_said(log) == [OPENING, "A broken wheel."]
    started = await log.wait("call.started")
    assert started["caller"] == "5551000"
    await call.hangup()
    await log.wait("call.ended", result="done")
    expected = set()
    if reached == "7100":
        expected |= {("support", "NONE", "ENTERQUEUE"), ("support", "Agent 1001", "CONNECT")}
        expected |= {("support", "Agent 1001", "BLINDTRANSFER")}
    if number == "7000":
        expected |= {("frontline", "NONE", "ENTERQUEUE"), ("frontline", "AI Agent", "CONNECT")}
        expected |= {("frontline", "AI Agent", "COMPLETECALLER")}
    assert rows(asterisk, since=since) == {(started["call"], *row) for row in expected}


@pytest.mark.parametrize(
    ("reached", "number"),
    [*EACH_ONCE, *(pytest.param(*each, marks=pytest.mark.long) for each in (("7100", "7001"), ("1001", "7000")))],
)
async def test_attended(
    number: str,
    reached: str,
    asterisk: Any,
    sandbox: Any,
    service: Any,
    phone: Any,
    dial: Any,
    ear: Any,
    sound: Any,
    log: Any,
) -> None:
    model = await sandbox(scenario=SCENARIO)
    running = await service(model, agent=AGENT, destinations=DESTINATIONS)
    since = len(asterisk.queue_rows())
    human = await phone("1001", register=True)
    call, answering = await with_human_agent(reached, phone, human, ear, sound)
    consultation = await consult(number, dial, human, answering, sound)
    hearing, swapped = ear(call), time.monotonic()
    assert await answering.refer_attended(consultation) == 200
    await log.wait("turn.agent", said="I was told.")
    first, last = await hearing.utterance(swapped)
    letters = len(OPENING) + len("I was told.")
    assert hearing.loud_ms(first, last) == pytest.approx(MS_PER_LETTER * letters, abs=200)

    [note] = notes(await model.wait_session(1))
    assert 'speaking with so far ("Agent 1001", "1001") has transferred a caller' in note
    assert 'this caller ("5551000")' in note
    assert "Their words to you are above." in note
    assert agent_said(log) == [OPENING, "I see.", OPENING, "I was told."]
    changed = await log.wait("call.caller_changed")
    assert (changed["was"], changed["caller"]) == ("1001", "5551000")
    [live] = [runner.live() for runner in running.calls.calls]
    assert live.caller_number == "5551000"
    # They talk.
    await call.play(sound.tone(0.5))
    asked, answered = await hearing.utterance(hearing.spoke_until())
    assert hearing.loud_ms(asked, answered) == pytest.approx(MS_PER_LETTER * len("I see."), abs=60)
    await call.hangup()
    ended = await log.wait("call.ended", result="done", reason="caller_hung_up")
    assert ended["talk_s"] == pytest.approx(ended["talk_human_agent_s"] + ended["talk_caller_s"], abs=0.01)
    assert min(ended["talk_human_agent_s"], ended["talk_caller_s"]) > 0.5
    assert len(log.named("call.started")) == 1

    service_rows = {row[1:] for row in rows(asterisk, since=since) if row[1] == "frontline"}
    closed = {("frontline", "AI Agent", "COMPLETECALLER"), ("frontline", "AI Agent", "ATTENDEDTRANSFER")}
    opened = {("frontline", "NONE", "ENTERQUEUE"), ("frontline", "AI Agent", "CONNECT")} if number == "7000" else set()
    assert service_rows - closed == opened, "the human agent's leg was queued again"
    assert bool(service_rows & closed) == (number == "7000")
    if reached == "7100":
        assert ("support", "Agent 1001", "ATTENDEDTRANSFER") in {row[1:] for row in rows(asterisk, since=since)}

    running.journal.close()
    with sqlite3.connect(running.settings.state_directory / "calls.db") as base:
        [(caller,)] = base.execute("SELECT caller FROM calls").fetchall()
        [(fields,)] = base.execute("SELECT fields FROM events WHERE name = 'call.caller_changed'").fetchall()
    assert caller == "5551000"
    assert json.loads(fields) == {"was": "1001", "caller": "5551000"}


async def test_attended_and_then_handed_on(
    asterisk: Any, sandbox: Any, service: Any, phone: Any, dial: Any, ear: Any, sound: Any, log: Any
) -> None:
    await service(await sandbox(scenario=SCENARIO), agent=AGENT, destinations=DESTINATIONS)
    since = len(asterisk.queue_rows())
    human = await phone("1001", register=True)
    call, answering = await with_human_agent("7100", phone, human, ear, sound)
    other = await phone("1002", register=True)
    await join("7000", call, answering, human, dial, ear, sound, log)
    await call.send_dtmf("1")
    incoming = await other.incoming(LIMIT_S)
    assert incoming.remote_user == "5551000"
    await incoming.answer()
    await log.wait("call.ended", result="transferred")
    ears = [ear(call), ear(incoming)]
    await asyncio.gather(*(one.wait_quiet(0.2) for one in ears))
    await asyncio.gather(call.play(sound.tone(0.5, hz=700.0)), incoming.play(sound.tone(0.5, hz=1300.0)))
    for listener, hz in ((call, 1300.0), (incoming, 700.0)):
        heard = sound.loud_part(listener.heard()[-8000:], 8000)
        assert sound.strongest_hz(heard, 8000) == pytest.approx(hz, abs=20)
    await incoming.hangup()
    await call.ended(LIMIT_S)
    assert ("support", "Agent 1002", "CONNECT") in {row[1:] for row in rows(asterisk, since=since)}


async def test_attended_handed_on_and_back(
    asterisk: Any, sandbox: Any, service: Any, phone: Any, dial: Any, ear: Any, sound: Any, log: Any
) -> None:
    """Nobody takes the caller: they come back, and are remembered."""
    model = await sandbox(scenario=SCENARIO)
    await service(model, agent=AGENT, destinations=DESTINATIONS)
    human = await phone("1001", register=True)
    call, answering = await with_human_agent("7100", phone, human, ear, sound)
    await join("7000", call, answering, human, dial, ear, sound, log)
    await phone("1002", register=True)  # which rings
    since = len(asterisk.queue_rows())
    await call.send_dtmf("2")
    await log.wait("turn.agent", said="Nobody is free.")
    session = await model.wait_session(2)
    assert any("has transferred a caller" in note for note in notes(session))
    back = {row[1:] for row in rows(asterisk, since=since)}
    assert ("frontline", "AI Agent", "CONNECT") in back
    await call.hangup()
    await log.wait("call.ended", count=2)


async def test_handed_on_and_sent_back_on_a_channel_that_took_anothers_place(
    sandbox: Any, service: Any, phone: Any, dial: Any, ear: Any, sound: Any, log: Any
) -> None:
    """The caller picked up the call of another phone (Replaces, RFC 3891): Asterisk tells of it again when they come
    back."""
    await service(await sandbox(scenario=SCENARIO), agent=AGENT, destinations=DESTINATIONS)
    human = await phone("1001", register=True)
    first, hearing = await dial("7001")
    await hearing.utterance()
    replaced = first._dialog
    replaces = f"{replaced.call_id};to-tag={replaced.remote.tag};from-tag={replaced.local.tag}"
    call = await (await phone()).dial("7001", headers={"Replaces": replaces})
    await call.answered(LIMIT_S)
    await first.ended(LIMIT_S)
    await log.wait("call.caller_changed")
    await log.wait("turn.agent", count=2)
    answering = await transferred_to(human, call, ear, sound, log)
    assert await answering.refer("7001") == 200
    await log.wait("call.answered", count=2)
    await call.hangup()
    await log.wait("call.ended", count=2)
    assert [each["reason"] for each in log.named("call.ended")] == ["handed_over", "caller_hung_up"]


async def test_attended_and_the_model_is_lost(
    sandbox: Any, service: Any, phone: Any, dial: Any, ear: Any, sound: Any, log: Any, ends_with_people: Any
) -> None:
    """The caller is sent to the human queue, though no dialplan of theirs waits for the agent's seat."""
    model = await sandbox(scenario=SCENARIO)
    await service(model, agent={**AGENT, "handoff": []}, destinations=DESTINATIONS, realtime={"recover_s": 0.5})
    human = await phone("1001", register=True)
    other = await phone("1002", register=True)
    call, answering = await with_human_agent("1001", phone, human, ear, sound)
    await join("7001", call, answering, human, dial, ear, sound, log)
    await model.close()
    await ends_with_people(call, other)
    await log.wait("call.ended", result="error", reason="model_lost")


@pytest.mark.long
async def test_attended_and_rescued(
    sandbox: Any, service: Any, phone: Any, dial: Any, ear: Any, sound: Any, log: Any, ends_with_people: Any
) -> None:
    """The next human agent is told about the call, though the channel that had called the seat is gone."""
    running = await service(await sandbox(scenario=SCENARIO), agent=AGENT, destinations=DESTINATIONS)
    human = await phone("1001", register=True)
    other = await phone("1002", register=True)
    call, answering = await with_human_agent("7100", phone, human, ear, sound)
    await join("7000", call, answering, human, dial, ear, sound, log)
    settings = running.settings
    if not settings.http.port:
        settings = settings.model_copy(update={"http": settings.http.model_copy(update={"port": 1})})
    [moved] = await Rescuer(settings).rescue(Verdict(Sign.SAYS_SO, None))
    assert (moved.cause, moved.queue) == ("", "support")
    answered = await ends_with_people(call, other)
    assert answered.invite.headers.get("x-ariagent-call") == moved.who.call_id


async def test_people_put_through_again_whom_the_agent_put_through(
    sandbox: Any, service: Any, phone: Any, dial: Any, ear: Any, sound: Any, log: Any
) -> None:
    model = await sandbox(scenario=SCENARIO)
    await service(model, agent=AGENT, destinations=DESTINATIONS)
    human = await phone("1001", register=True)
    call, hearing = await dial("7000")
    await hearing.utterance()
    answering = await transferred_to(human, call, ear, sound, log)
    again = time.monotonic()
    assert await answering.refer("7000", headers={"X-Ariagent-Reason": "wants the machine"}) == 200
    await log.wait("turn.agent", said="You are back.")
    await hearing.wait_loud(again)
    session = await model.wait_session(2)
    [note] = notes(session)
    assert 'You had transferred the caller (humans). A human agent ("Agent 1001", "1001") has talked with them' in note
    assert 'Reason given: "wants the machine".' in note
    assert "a test" not in note
    first, second = log.named("call.started")
    assert first["call"] == second["call"]
    await call.hangup()
    await log.wait("call.ended", count=2)
