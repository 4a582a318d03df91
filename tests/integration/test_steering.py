"""A running call is seen, told things, and moved from outside it."""

import time
from pathlib import Path
from typing import Any

import pytest

from ariagent.config.handoff import DestinationSettings
from ariagent.dialogue.handoff import Handoff
from ariagent.errors import CallStateError

SCENARIO = Path(__file__).parent / "scenarios" / "handoff.yaml"
SUPPORT = Handoff("support", DestinationSettings(queue="support", description="human agents"), by="anna")


async def test_a_call_is_seen_told_something_and_moved(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any
) -> None:
    model = await sandbox(scenario=SCENARIO)
    running = await service(model, agent={"transcription": None})
    human = await phone("1001", register=True)
    seen: list[str] = []
    running.calls.watchers.append(lambda call: seen.append(call.live().state))
    call, hearing = await dial("7000")
    await hearing.utterance()

    [serving] = running.calls.calls
    live = serving.live()
    assert (live.state, live.agent, live.caller_number) == ("talking", "default", "5551000")
    assert (live.seat != "", live.queue) == (True, "frontline")
    assert live.last_said is not None
    assert live.last_said[0] == "agent"
    assert running.calls.find(live.call_id) is serving

    serving.whisper("offer\x00 a discount", "anna")
    session = await model.wait_session(1)
    await call.send_dtmf("9")
    await hearing.utterance(time.monotonic())
    texts = [part.get("text", "") for item in session.items for part in item.get("content", [])]
    assert any('"offer a discount"' in text for text in texts), texts

    serving.transfer(SUPPORT)
    incoming = await human.incoming(20)
    await incoming.answer()
    await log.wait("call.transferred", destination="support", by="anna")
    await log.wait("call.ended", result="transferred")
    with pytest.raises(CallStateError):
        serving.transfer(SUPPORT)
    with pytest.raises(CallStateError):
        serving.whisper("too late", "anna")
    assert running.calls.find(live.call_id) is None
    assert {"talking", "before_transfer", "transferring", "ended"} <= set(seen)
    await incoming.hangup()
    await call.ended(20)
