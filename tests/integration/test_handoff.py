"""The AI transfers callers to human agents, and gets back the callers whom nobody took."""

import time
from pathlib import Path
from typing import Any

import pytest

QUEUE_FIRST = pytest.mark.parametrize("number", ["7000", pytest.param("7001", marks=pytest.mark.long)])
DIRECT_FIRST = pytest.mark.parametrize("number", ["7001", pytest.param("7000", marks=pytest.mark.long)])
"""Both ways; ``make test`` has the first."""
SCENARIO = Path(__file__).parent / "scenarios" / "handoff.yaml"
DESTINATIONS: dict[str, dict[str, Any]] = {
    "humans": {"queue": "support", "description": "the service desk", "timeout_s": 20},
    "nobody": {"queue": "support", "description": "a desk where nobody answers", "timeout_s": 2},
    "boss": {"extension": "1002", "description": "the boss", "timeout_s": 10},
}
for _destination in DESTINATIONS.values():
    _destination["kind"] = "blind"
AGENT = {"handoff": list(DESTINATIONS), "transcription": None}


def rows(asterisk: Any, call_id: str) -> set[tuple[str, ...]]:
    """Rows of queue_log for a call, without times: a set, for the order is not certain."""
    return {tuple(row[2:5]) for row in asterisk.queue_rows(call_id)}


@DIRECT_FIRST
async def test_a_caller_is_put_through_to_a_queue(
    number: str, asterisk: Any, sandbox: Any, service: Any, phone: Any, dial: Any, log: Any
) -> None:
    await service(await sandbox(scenario=SCENARIO), agent=AGENT, destinations=DESTINATIONS)
    human = await phone("1001", register=True)
    call, hearing = await dial(number)
    await hearing.utterance()
    await call.send_dtmf("1")  # says one sentence and transfers to the queue "humans"
    first, last = await hearing.utterance(time.monotonic())
    incoming = await human.incoming(20)
    handed = await log.wait("call.transferred", destination="humans")
    assert handed.at - last < 5  # make bench has the budget
    assert hearing.loud_ms(first, last) > 500, "the sentence was not heard to its end"
    await incoming.answer()
    await log.wait("call.ended", result="transferred")
    call_id = handed["call"]
    await incoming.hangup()
    await call.ended(20)
    found = rows(asterisk, call_id)
    assert ("support", "Agent 1001", "CONNECT") in found
    if number == "7000":
        assert ("frontline", "AI Agent", "BLINDTRANSFER") in found


@QUEUE_FIRST
async def test_a_caller_whom_nobody_takes_comes_back_to_the_same_conversation(
    number: str, asterisk: Any, sandbox: Any, service: Any, phone: Any, dial: Any, log: Any
) -> None:
    model = await sandbox(scenario=SCENARIO)
    await service(model, agent=AGENT, destinations=DESTINATIONS)
    await phone("1001", register=True)  # somebody is there, and lets it ring
    call, hearing = await dial(number)
    await hearing.utterance()
    await call.send_dtmf("2")  # transfers to a queue where nobody answers
    await log.wait("call.transferred", destination="nobody")
    session = await model.wait_session(2, timeout=20)
    back = await log.wait("call.answered", count=2) if number == "7000" else await log.wait("call.started", count=2)
    await hearing.wait_loud(back.at)
    texts = [part.get("text", "") for item in session.items for part in item.get("content", [])]
    assert any("nobody took the call" in text for text in texts), texts
    assert any("[The caller pressed" in text or "moment" in text for text in texts), texts
    first, second = log.named("call.started")
    assert first["call"] == second["call"]
    assert first["caller"] == second["caller"] != "-"
    await call.hangup()
    await log.wait("call.ended", count=2)


async def test_a_caller_is_put_through_to_an_extension(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any
) -> None:
    await service(await sandbox(scenario=SCENARIO), agent=AGENT, destinations=DESTINATIONS)
    boss = await phone("1002", register=True)
    call, hearing = await dial("7001")
    await hearing.utterance()
    await call.send_dtmf("3")
    incoming = await boss.incoming(20)
    await log.wait("call.ended", result="transferred")
    await incoming.answer()
    await call.hangup()
    await incoming.ended(20)
