"""Callers who say nothing, who ask to wait, and calls that last too long; several callers at once."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from ariagent.audio.format import AudioFormat
from ariagent.lab.packages import default_lab_dir
from ariagent.rehearsal.voice import Voice
from ariagent.synthesis.programs import fetched

pytestmark = pytest.mark.asterisk

LIMIT_S = 20.0
MS_PER_LETTER = 65
"""Of the sandbox's voice ``tone``."""
SCENARIO = Path(__file__).parent / "scenarios" / "features.yaml"
ASKS = ["There?", "Hear me?", "Then goodbye."]
TOO_LONG = "Time is over."
SILENCE = {"ask_after_s": 0.7, "ask_again_after_s": 0.7, "goodbye_after_s": 0.7, "hold_on_s": 2.2}
PATIENT = {"ask_after_s": 60}
AGENT = {"opening": "Hi.", "keypad": {"pause_ms": 150}, "instructions": "You talk to [{caller.number}]."}


def stretches(hearing: Any, quiet_s: float = 0.25) -> list[tuple[float, float]]:
    """Begin and end of each loud stretch."""
    found: list[tuple[float, float]] = []
    for at in hearing.loud:
        if found and at - found[-1][1] < quiet_s:
            found[-1] = found[-1][0], at
        else:
            found.append((at, at))
    return found


async def is_asked_twice_and_told_goodbye(guest: Any) -> None:
    end = await guest.call.ended(LIMIT_S)
    assert (end.by, end.status) == ("remote", 200)
    await guest.wait("call.ended", result="done", reason="caller_silent")
    assert guest.said() == ASKS
    heard = stretches(guest.hearing)
    assert len(heard) == 4
    for (_, before), (begun, _) in itertools.pairwise(heard):
        assert 0.6 < begun - before < 1.2
    # The goodbye was heard whole.
    assert guest.hearing.loud_ms(*heard[-1]) == pytest.approx(MS_PER_LETTER * len(ASKS[-1]), abs=60)


async def hears_a_long_reply(guest: Any) -> None:
    """Which is no silence of theirs."""
    await guest.hearing.wait_quiet(0.2)
    await guest.call.send_dtmf("8")
    begun, ended = await guest.hearing.utterance(guest.hearing.loud[-1] + 0.02)
    question = await guest.hearing.wait_loud(ended + 0.1)
    assert ended - begun > 2.5
    assert 0.6 < question - ended < 1.2
    await guest.wait("turn.agent", count=3)
    assert guest.said()[1:] == [ASKS[0]]
    await guest.hang_up()


async def asked_the_agent_to_wait(guest: Any) -> None:
    """The model noticed, and called its tool."""
    await guest.call.send_dtmf("7")
    await guest.wait("tool.used", tool="hold_on")
    acknowledged = await guest.hearing.wait_quiet(0.25)
    question = await guest.hearing.wait_loud(acknowledged + 0.1)
    assert 1.9 < question - acknowledged < 2.8
    await guest.wait("turn.agent", count=3)
    assert guest.said() == ["Of course.", ASKS[0]]
    # The function was answered, and the model not asked to go on.
    assert [item["type"] for item in guest.session.items].count("function_call_output") == 1
    assert len(guest.session.received_events("response.create")) == 2
    await guest.hang_up()


async def test_callers_who_say_nothing(sandbox: Any, service: Any, guests: Any, sound: Any) -> None:
    answers = {"voice": "The answer.", "key": "You pressed *."}

    async def act(guest: Any, by: str) -> None:
        if by == "voice":
            await guest.call.play(sound.tone(0.9))
        else:
            await guest.call.send_dtmf("*")

    def answers_the_second_question(by: str) -> Any:
        async def scenario(guest: Any) -> None:
            await guest.wait("turn.agent", count=3)
            await guest.hearing.wait_quiet(0.2)
            await act(guest, by)
            await guest.wait("turn.agent", count=5)
            assert guest.said() == [ASKS[0], ASKS[1], answers[by], ASKS[0]]
            await guest.hang_up()

        return scenario

    def answers_the_goodbye(by: str) -> Any:
        async def scenario(guest: Any) -> None:
            await guest.wait("turn.agent", count=4)
            await guest.hearing.wait_loud(guest.hearing.loud[-1] + 0.1)
            await act(guest, by)
            await guest.wait("turn.interrupted")
            await guest.wait("turn.agent", count=6)
            assert guest.said() == [*ASKS, answers[by], ASKS[0]]
            await guest.hang_up()

        return scenario

    model = await sandbox(scenario=SCENARIO)
    await service(model, agent={**AGENT, "silence": SILENCE})
    scenarios = {
        "7000 silent": is_asked_twice_and_told_goodbye,
        "7001 silent": is_asked_twice_and_told_goodbye,
        "7001 long reply": hears_a_long_reply,
        "7001 asked to wait": asked_the_agent_to_wait,
        "7000 answers the question by voice": answers_the_second_question("voice"),
        "7001 answers the question by key": answers_the_second_question("key"),
        "7001 answers the goodbye by voice": answers_the_goodbye("voice"),
        "7000 answers the goodbye by key": answers_the_goodbye("key"),
    }
    await guests(model, scenarios)


async def test_asked_to_wait_by_the_callers_words(sandbox: Any, service: Any, guests: Any) -> None:
    pytest.importorskip("pocketsphinx")
    lab_dir = default_lab_dir()
    flite = await asyncio.to_thread(fetched, "flite")
    words = await Voice(flite, "kal16", AudioFormat(8000), lab_dir / "speech").say("Hold on a moment please")
    model = await sandbox(scenario=SCENARIO, detector="silero", recogniser=True)
    silence = SILENCE | {"ask_after_s": 1.2, "hold_on_s": 2.4}
    await service(
        model,
        agent={**AGENT, "silence": silence, "transcription": {}, "turn_detection": {"silence_duration_ms": 400}},
    )

    async def asks_to_wait(guest: Any) -> None:
        await guest.hearing.wait_quiet(0.2)
        await guest.call.play(words, 8000)
        understood = await guest.wait("turn.caller")
        assert "hold on a moment" in understood["said"]
        await guest.wait("turn.agent", count=2)
        acknowledged = await guest.hearing.wait_quiet(0.3)
        question = await guest.hearing.wait_loud(acknowledged + 0.1)
        assert 2.1 < question - acknowledged < 3.0
        await guest.wait("turn.agent", count=3)
        assert guest.said() == ["Of course.", ASKS[0]]
        await guest.hang_up()

    await guests(model, {"7001": asks_to_wait})


# -- the longest call --------------------------------------------------------------------------------------------------


async def is_warned_and_ended(guest: Any) -> None:
    end = await guest.call.ended(LIMIT_S)
    assert (end.by, end.status) == ("remote", 200)
    ended = await guest.wait("call.ended", result="done", reason="too_long")
    assert guest.said() == ["Hurry.", TOO_LONG]
    _, warning, goodbye = stretches(guest.hearing)
    answered = (await guest.wait("call.answered")).at
    assert warning[0] - answered == pytest.approx(1.2, abs=0.4)
    assert goodbye[0] - answered == pytest.approx(2.4, abs=0.4)
    assert guest.hearing.loud_ms(*goodbye) == pytest.approx(MS_PER_LETTER * len(TOO_LONG), abs=60)
    assert ended["talk_s"] > 2.4


async def test_the_longest_call(sandbox: Any, service: Any, guests: Any, sound: Any) -> None:
    async def talks_into_the_goodbye(guest: Any) -> None:
        """Which does not make the call longer."""
        await guest.wait("turn.agent", count=3)
        await guest.hearing.wait_loud(guest.hearing.loud[-1] + 0.1)
        await guest.call.play(sound.tone(0.9))
        await guest.call.ended(LIMIT_S)
        await guest.wait("call.ended", result="done", reason="too_long")

    model = await sandbox(scenario=SCENARIO)
    length = {"longest_s": 2.4, "warn_before_s": 1.2}
    await service(model, agent={**AGENT, "silence": PATIENT, "length": length})
    scenarios = {"7000": is_warned_and_ended, "7001": is_warned_and_ended, "7001 talks": talks_into_the_goodbye}
    await guests(model, scenarios)
