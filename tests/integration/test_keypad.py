"""The caller's keys, as SIP and RTP bring them: as text for the model, bound to actions, collected as a number.

The rules are in ``tests/call/test_keys.py``, in memory.
"""

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
SCENARIO = Path(__file__).parent / "scenarios" / "features.yaml"
KEYPAD = {"pause_ms": 1000, "actions": {"0": "person", "*9": "end_call", "*1": "ignore"}}
"""A busy machine sends a key late."""


AGENT = {"opening": "Hi.", "keypad": KEYPAD, "instructions": "You talk to [{caller.number}]."}


def outputs(session: Any) -> list[dict[str, Any]]:
    """The results of the model's function calls."""
    return [json.loads(item["output"]) for item in session.items if item["type"] == "function_call_output"]


def pressed(session: Any) -> list[str]:
    """Notes about keys that the model got."""
    parts = [part for item in session.items if item.get("role") == "user" for part in item["content"]]
    return [part["text"] for part in parts if part["type"] == "input_text"]


async def uses_pauses_and_the_terminator(guest: Any) -> None:
    await guest.call.send_dtmf("47")
    await guest.wait("turn.agent", count=2)
    await guest.call.send_dtmf("4711#")
    await guest.wait("turn.agent", count=3)
    await guest.call.send_dtmf("*1")  # ignored
    await guest.call.send_dtmf("22")
    await guest.wait("turn.agent", count=4)
    await guest.hearing.wait_quiet()
    assert pressed(guest.session) == [f"[The caller pressed {keys} on the keypad.]" for keys in ("47", "4711#", "22")]
    await guest.hang_up()
    # Digits may be a card's.
    assert "4711" not in repr([entry.fields for entry in guest.log.named("call.digits", call=guest.id)])


async def types_a_number_with_a_zero_in_it(guest: Any) -> None:
    """Alone it would bring a person."""
    await guest.call.send_dtmf("4010#")
    await guest.wait("turn.agent", count=2)
    assert pressed(guest.session) == ["[The caller pressed 4010# on the keypad.]"]
    await guest.hang_up()


async def presses_the_key_that_ends_the_call(guest: Any) -> None:
    await guest.call.send_dtmf("*9")
    end = await guest.call.ended(LIMIT_S)
    assert (end.by, end.status) == ("remote", 200)
    await guest.wait("call.ended", result="done", reason="caller_pressed_end")


# -- collect_digits ----------------------------------------------------------------------------------------------------


async def types_what_was_asked_for(guest: Any) -> None:
    """Four digits, one of which would otherwise bring a person; to be read back."""
    await guest.call.send_dtmf("5")
    await guest.wait("tool.used", tool="collect_digits")
    await guest.hearing.wait_quiet(0.2)
    await guest.call.send_dtmf("0471")
    await guest.wait("turn.agent", count=3)
    assert guest.said() == ["Type.", "You typed 0471."]
    [output] = outputs(guest.session)
    assert output["digits"] == "0471"
    assert "Read the digits back" in output["next"]
    assert pressed(guest.session) == ["[The caller pressed 5 on the keypad.]"]
    await guest.hang_up()


def after_the_opening(scenario: Any) -> Any:
    async def act(guest: Any) -> None:
        await guest.hearing.utterance(quiet_s=0.2)
        await scenario(guest)

    return act


async def test_keys(sandbox: Any, service: Any, guests: Any) -> None:
    model = await sandbox(scenario=SCENARIO)
    await service(model, agent=AGENT)
    scenarios = {
        "7000 text": uses_pauses_and_the_terminator,
        "7001 zero": types_a_number_with_a_zero_in_it,
        "7000 end": presses_the_key_that_ends_the_call,
        "7001 collected": types_what_was_asked_for,
    }
    await guests(model, {name: after_the_opening(scenario) for name, scenario in scenarios.items()})


async def test_zero_brings_a_person(
    sandbox: Any, service: Any, phone: Any, dial: Any, ends_with_people: Any, log: Any
) -> None:
    human = await phone("1001", register=True)
    model = await sandbox(scenario=SCENARIO)
    running = await service(model, agent=AGENT)
    call, _ = await dial("7000")
    await call.send_dtmf("0")
    await ends_with_people(call, human)
    await log.wait("call.ended", result="person", reason="caller_pressed_person")
    assert pressed(await model.wait_session(1)) == []
    labels = {"agent": "default", "result": "person", "reason": "caller_pressed_person"}
    assert running.metrics.registry.get_sample_value("ariagent_calls_total", labels) == 1
