"""Callers who say nothing, who ask to wait, and calls that last too long, on a real Asterisk.

The rules are in ``tests/call/test_silent_callers.py``, in memory.
"""

import asyncio
import itertools
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ariagent.audio.format import AudioFormat
from ariagent.caller.voice import Voice
from ariagent.synthesis.programs import fetched
from lab.packages import default_lab_dir

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
MS_PER_LETTER = 65
"""Speaking time of a letter in the sandbox's voice ``tone``."""
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
        assert 0.5 < begun - before < 3.0
    # The goodbye was heard whole.
    assert guest.hearing.loud_ms(*heard[-1]) == pytest.approx(MS_PER_LETTER * len(ASKS[-1]), abs=60)


async def answers_the_goodbye(guest: Any, sound: Any) -> None:
    await guest.wait("turn.agent", count=4)
    await guest.hearing.wait_loud(guest.hearing.loud[-1] + 0.1)
    await guest.call.play(sound.tone(0.9))
    await guest.wait("turn.interrupted")
    await guest.wait("turn.agent", count=6)
    assert guest.said() == [*ASKS, "The answer.", ASKS[0]]
    await guest.hang_up()


async def is_not_asked_while_on_hold(guest: Any) -> None:
    await guest.hearing.wait_quiet(0.2)
    heard = len(stretches(guest.hearing))
    await guest.call.hold()
    await asyncio.sleep(4 * SILENCE["ask_after_s"])  # in this time the silence of others has ended their calls
    assert len(stretches(guest.hearing)) == heard
    assert guest.said() == []
    await guest.call.unhold()
    await guest.wait("turn.agent", count=2)
    assert guest.said() == ASKS[:1]
    await guest.hang_up()


async def test_callers_who_say_nothing(sandbox: Any, service: Any, guests: Any, sound: Any) -> None:
    model = await sandbox(scenario=SCENARIO)
    await service(model, agent={**AGENT, "silence": SILENCE})
    scenarios = {
        "7000 silent": is_asked_twice_and_told_goodbye,
        "7001 answers the goodbye": partial(answers_the_goodbye, sound=sound),
        "7001 on hold": is_not_asked_while_on_hold,
    }
    await guests(model, scenarios)


async def test_a_process_that_takes_a_call_over_can_ask_for_its_hold(sandbox: Any, service: Any, dial: Any) -> None:
    running = await service(await sandbox(scenario=SCENARIO), agent={**AGENT, "silence": PATIENT})
    call, hearing = await dial("7001")
    await hearing.utterance()
    [leg] = [each._leg for each in running.calls.calls]
    assert not await leg.on_hold()
    await call.hold()
    assert await leg.on_hold()
    await call.unhold()
    assert not await leg.on_hold()
    await call.hangup()


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


async def test_the_longest_call(sandbox: Any, service: Any, guests: Any) -> None:
    model = await sandbox(scenario=SCENARIO)
    length = {"longest_s": 2.4, "warn_before_s": 1.2}
    await service(model, agent={**AGENT, "silence": PATIENT, "length": length})
    await guests(model, {"7001": is_warned_and_ended})
