"""Callers who say nothing, who ask to wait, and calls that last too long."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from ariagent.audio.format import AudioFormat
from ariagent.lab.packages import default_lab_dir
from ariagent.lab.voice import Voice
from ariagent.sandbox.speech import find_flite

pytestmark = pytest.mark.asterisk

LIMIT_S = 20.0
MS_PER_LETTER = 65
"""Of the sandbox's voice ``tone``."""
SCENARIO = Path(__file__).parent / "scenarios" / "features.yaml"
BOTH_WAYS = pytest.mark.parametrize("number", ["7000", "7001"])
ASKS = ["Still there?", "Can you hear me?", "I hear nobody. Goodbye."]
TOO_LONG = "Our time is over. Goodbye."
SILENCE = {"ask_after_s": 0.6, "ask_again_after_s": 0.6, "goodbye_after_s": 0.6, "hold_on_s": 2.0}
PATIENT = {"ask_after_s": 60}


@pytest.fixture
def begin(sandbox: Any, service: Any, dial: Any) -> Any:
    """``session, call, hearing = await begin("7001", silence={...})``: a call whose opening has begun."""

    async def make(number: str = "7001", *, options: Any = None, **agent: Any) -> Any:
        model = await sandbox(scenario=SCENARIO, **(options or {}))
        await service(model, agent={"opening": "Hi.", "keypad": {"pause_ms": 150}, **agent})
        call, hearing = await dial(number)
        await hearing.wait_loud()
        return await model.wait_session(1), call, hearing

    return make


def said(log: Any) -> list[str]:
    """What the agent said after its opening."""
    return [entry["said"] for entry in log.named("turn.agent")][1:]


def stretches(hearing: Any, quiet_s: float = 0.25) -> list[tuple[float, float]]:
    """Begin and end of each loud stretch."""
    found: list[tuple[float, float]] = []
    for at in hearing.loud:
        if found and at - found[-1][1] < quiet_s:
            found[-1] = found[-1][0], at
        else:
            found.append((at, at))
    return found


@BOTH_WAYS
async def test_a_silent_caller_is_asked_twice_and_told_goodbye(number: str, begin: Any, log: Any) -> None:
    _, call, hearing = await begin(number, silence=SILENCE)
    end = await call.ended(LIMIT_S)
    assert (end.by, end.status) == ("remote", 200)
    await log.wait("call.ended", result="done", reason="caller_silent")
    assert said(log) == ASKS
    heard = stretches(hearing)
    assert len(heard) == 4
    for (_, before), (begun, _) in itertools.pairwise(heard):
        assert 0.5 < begun - before < 1.0
    # The goodbye was heard whole.
    assert hearing.loud_ms(*heard[-1]) == pytest.approx(MS_PER_LETTER * len(ASKS[-1]), abs=60)


@pytest.mark.parametrize("by", ["voice", "key"])
async def test_a_caller_who_answers_is_asked_from_the_start(by: str, begin: Any, sound: Any, log: Any) -> None:
    _, call, hearing = await begin(silence=SILENCE)
    await log.wait("turn.agent", count=3)  # asked twice
    await hearing.wait_quiet(0.2)
    if by == "voice":
        await call.play(sound.tone(0.4))
    else:
        await call.send_dtmf("*")
    await log.wait("turn.agent", count=5)
    answer = "The answer." if by == "voice" else "You pressed *."
    assert said(log) == [ASKS[0], ASKS[1], answer, ASKS[0]]
    await call.hangup()
    await log.wait("call.ended", reason="caller_hung_up")


@pytest.mark.parametrize("by", ["voice", "key"])
async def test_a_caller_who_answers_the_goodbye_stays(by: str, begin: Any, sound: Any, log: Any) -> None:
    _, call, hearing = await begin(silence=SILENCE | {"ask_after_s": 0.3, "ask_again_after_s": 0.3})
    await log.wait("turn.agent", count=4)
    await hearing.wait_loud(hearing.loud[-1] + 0.1)
    if by == "voice":
        await call.play(sound.tone(0.9))
    else:
        await call.send_dtmf("*")
    await log.wait("turn.interrupted")
    await log.wait("turn.agent", count=6)
    assert said(log) == [*ASKS, "The answer." if by == "voice" else "You pressed *.", ASKS[0]]
    await call.hangup()
    await log.wait("call.ended", reason="caller_hung_up")


async def test_a_long_reply_is_no_silence(begin: Any, log: Any) -> None:
    silence = SILENCE | {"ask_after_s": 1.0}
    _, call, hearing = await begin(silence=silence)
    await hearing.wait_quiet(0.2)
    await call.send_dtmf("8")
    begun, ended = await hearing.utterance(hearing.loud[-1] + 0.02)
    question = await hearing.wait_loud(ended + 0.1)
    assert ended - begun > 3
    assert 0.9 < question - ended < 1.4
    await log.wait("turn.agent", count=3)
    assert said(log)[1:] == [ASKS[0]]
    await call.hangup()
    await log.wait("call.ended", reason="caller_hung_up")


async def test_asked_to_wait_by_the_models_tool(begin: Any, log: Any) -> None:
    session, call, hearing = await begin(silence=SILENCE)
    await call.send_dtmf("7")
    await log.wait("tool.used", tool="hold_on")
    acknowledged = await hearing.wait_quiet(0.25)
    question = await hearing.wait_loud(acknowledged + 0.1)
    assert 1.7 < question - acknowledged < 2.6
    await log.wait("turn.agent", count=3)
    # The function was answered, and the model not asked to go on.
    assert said(log) == ["Of course.", ASKS[0]]
    assert [item["type"] for item in session.items].count("function_call_output") == 1
    assert len(session.received_events("response.create")) == 2
    await call.hangup()
    await log.wait("call.ended", reason="caller_hung_up")


async def test_asked_to_wait_by_the_callers_words(begin: Any, log: Any) -> None:
    pytest.importorskip("pocketsphinx")
    lab_dir = default_lab_dir()
    flite = await asyncio.to_thread(find_flite, lab_dir)
    words = await Voice(flite, "kal16", AudioFormat(8000), lab_dir / "speech").say("Hold on a moment please")
    options = {"detector": "silero", "recogniser": True}
    _, call, hearing = await begin(
        silence=SILENCE | {"ask_after_s": 1.2, "hold_on_s": 3},
        transcription={},
        turn_detection={"silence_duration_ms": 400},
        options=options,
    )
    await hearing.wait_quiet(0.2)
    await call.play(words, 8000)
    understood = await log.wait("turn.caller")
    assert "hold on a moment" in understood["said"]
    await log.wait("turn.agent", count=2)
    acknowledged = await hearing.wait_quiet(0.3)
    question = await hearing.wait_loud(acknowledged + 0.1)
    assert 2.7 < question - acknowledged < 3.6
    await log.wait("turn.agent", count=3)
    assert said(log) == ["Of course.", ASKS[0]]
    await call.hangup()
    await log.wait("call.ended", reason="caller_hung_up")


# -- the longest call --------------------------------------------------------------------------------------------------


@BOTH_WAYS
async def test_the_longest_call_is_warned_and_ended(number: str, begin: Any, log: Any) -> None:
    _, call, hearing = await begin(number, silence=PATIENT, length={"longest_s": 3.0, "warn_before_s": 1.6})
    end = await call.ended(LIMIT_S)
    assert (end.by, end.status) == ("remote", 200)
    ended = await log.wait("call.ended", result="done", reason="too_long")
    assert said(log) == ["A moment left.", TOO_LONG]
    _, warning, goodbye = stretches(hearing)
    answered = log.named("call.answered")[0].at
    assert warning[0] - answered == pytest.approx(1.4, abs=0.4)
    assert goodbye[0] - answered == pytest.approx(3.0, abs=0.4)
    assert hearing.loud_ms(*goodbye) == pytest.approx(MS_PER_LETTER * len(TOO_LONG), abs=60)
    assert ended["talk_s"] > 3


async def test_talking_into_the_last_goodbye_does_not_make_the_call_longer(begin: Any, sound: Any, log: Any) -> None:
    _, call, hearing = await begin(silence=PATIENT, length={"longest_s": 1.5, "warn_before_s": 60})
    await log.wait("turn.agent", count=2)
    await hearing.wait_loud(hearing.loud[-1] + 0.1)
    await call.play(sound.tone(0.9))
    await call.ended(LIMIT_S)
    await log.wait("call.ended", result="done", reason="too_long")
