"""The caller's keys: as text for the model, bound to actions, collected as a number."""

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.asterisk

LIMIT_S = 20.0
SCENARIO = Path(__file__).parent / "scenarios" / "features.yaml"
BOTH_WAYS = pytest.mark.parametrize("number", ["7000", "7001"])
KEYPAD = {"pause_ms": 300, "actions": {"0": "person", "*9": "end_call", "*1": "ignore"}}


@pytest.fixture
def begin(sandbox: Any, service: Any, dial: Any) -> Any:
    """``session, running, call, hearing = await begin("7001")``: a call whose opening is over."""

    async def make(number: str = "7001", **agent: Any) -> Any:
        model = await sandbox(scenario=SCENARIO)
        running = await service(model, agent={"opening": "Hi.", "keypad": KEYPAD, **agent})
        call, hearing = await dial(number)
        await hearing.utterance(quiet_s=0.2)
        return await model.wait_session(1), running, call, hearing

    return make


def said(log: Any) -> list[str]:
    """What the agent said after its opening."""
    return [entry["said"] for entry in log.named("turn.agent")][1:]


def outputs(session: Any) -> list[dict[str, Any]]:
    """The results of the model's function calls."""
    return [json.loads(item["output"]) for item in session.items if item["type"] == "function_call_output"]


def pressed(session: Any) -> list[str]:
    """What the model was told of keys."""
    parts = [part for item in session.items if item.get("role") == "user" for part in item["content"]]
    return [part["text"] for part in parts if part["type"] == "input_text"]


async def test_a_pause_or_the_terminator_ends_an_input(begin: Any, log: Any) -> None:
    session, _, call, hearing = await begin()
    await call.send_dtmf("47")
    await log.wait("turn.agent", count=2)
    await call.send_dtmf("4711#")
    await log.wait("turn.agent", count=3)
    await call.send_dtmf("*1")  # ignored
    await call.send_dtmf("22")
    await log.wait("turn.agent", count=4)
    await hearing.wait_quiet()
    assert pressed(session) == [f"[The caller pressed {keys} on the keypad.]" for keys in ("47", "4711#", "22")]
    await call.hangup()
    await log.wait("call.ended", reason="caller_hung_up")
    # Digits may be a card's.
    shown = [entry.fields for entry in log.entries if entry.event in ("call.digit", "call.digits", "call.ended")]
    assert "4711" not in repr(shown)


# -- actions -----------------------------------------------------------------------------------------------------------


@BOTH_WAYS
async def test_zero_brings_a_person(number: str, begin: Any, phone: Any, ends_with_people: Any, log: Any) -> None:
    human = await phone("1001", register=True)
    session, running, call, _ = await begin(number)
    await call.send_dtmf("0")
    await ends_with_people(call, human)
    await log.wait("call.ended", result="person", reason="caller_pressed_person")
    assert pressed(session) == []
    labels = {"result": "person", "reason": "caller_pressed_person"}
    assert running.metrics.registry.get_sample_value("ariagent_calls_total", labels) == 1


async def test_zero_within_a_number_is_a_digit(begin: Any, log: Any) -> None:
    session, _, call, _ = await begin()
    await call.send_dtmf("4010#")
    await log.wait("turn.agent", count=2)
    assert pressed(session) == ["[The caller pressed 4010# on the keypad.]"]
    await call.hangup()
    await log.wait("call.ended", reason="caller_hung_up")


@BOTH_WAYS
async def test_a_key_that_ends_the_call(number: str, begin: Any, log: Any) -> None:
    _, _, call, _ = await begin(number)
    await call.send_dtmf("*9")
    end = await call.ended(LIMIT_S)
    assert (end.by, end.status) == ("remote", 200)
    await log.wait("call.ended", result="done", reason="caller_pressed_end")


# -- collect_digits ----------------------------------------------------------------------------------------------------


@BOTH_WAYS
async def test_the_model_gets_the_digits_exactly(number: str, begin: Any, log: Any) -> None:
    """Four of them, one of which would otherwise bring a person; to be read back."""
    session, _, call, hearing = await begin(number)
    await call.send_dtmf("5")
    await hearing.utterance(hearing.loud[-1] + 0.02, quiet_s=0.2)
    await call.send_dtmf("0471")
    await log.wait("turn.agent", count=3)
    assert said(log) == ["Type four digits.", "You typed 0471."]
    [output] = outputs(session)
    assert output["digits"] == "0471"
    assert "Read the digits back" in output["next"]
    assert pressed(session) == ["[The caller pressed 5 on the keypad.]"]
    await call.hangup()
    await log.wait("call.ended", reason="caller_hung_up")


async def test_too_few_digits_are_asked_for_again(begin: Any, log: Any) -> None:
    session, _, call, _ = await begin()
    await call.send_dtmf("6")
    await log.wait("tool.used", tool="collect_digits")
    await call.send_dtmf("12#")
    await log.wait("turn.agent", count=3)
    await call.send_dtmf("1234*56#")
    await log.wait("turn.agent", count=4)
    assert said(log) == ["Type it.", "Again, please.", "You typed 1234*56."]
    assert outputs(session) == [{"digits": "1234*56"}]
    await call.hangup()
    await log.wait("call.ended", reason="caller_hung_up")


async def test_a_caller_who_types_nothing(begin: Any, log: Any) -> None:
    """Asked again once, and nobody asks whether they are there meanwhile."""
    silence = {"ask_after_s": 0.6, "ask_again_after_s": 60}
    session, _, call, hearing = await begin(silence=silence)
    await call.send_dtmf("5")
    asked = (await hearing.utterance(hearing.loud[-1] + 0.02, quiet_s=0.2))[1]
    again, again_end = await hearing.utterance(asked + 0.1, quiet_s=0.2)
    failed, _ = await hearing.utterance(again_end + 0.1, quiet_s=0.2)
    assert 0.8 < again - asked < 1.6
    assert 0.8 < failed - again_end < 1.6
    await log.wait("turn.agent", count=5)
    assert said(log) == ["Type four digits.", "Again, please.", "Sorry, no.", "Still there?"]
    [output] = outputs(session)
    assert "typed nothing" in output["error"]
    await call.hangup()
    await log.wait("call.ended", reason="caller_hung_up")
