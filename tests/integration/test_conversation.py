"""The order of speakers, through real SIP and RTP: turns and their times, first words, interruptions, digits.

What is on the wire, and when; the rules are in memory (``tests/call/test_interrupted_replies.py``, ``test_keys.py``).
"""

import asyncio
import time
from typing import Any

import numpy as np
import pytest

from lab.benchcalls import missing_ms

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
MS_PER_LETTER = 65
"""Speaking time of a letter in the sandbox's voice ``tone``."""
ANSWER_MS = MS_PER_LETTER * len("The answer.")
LONG = "This is a long opening that leaves time to interrupt it, and then some more of it."


def texts(session: Any) -> list[str]:
    """Texts that the model got, without speech."""
    parts = [part for item in session.items if item.get("role") == "user" for part in item["content"]]
    return [part["text"] for part in parts if part["type"] == "input_text"]


async def test_every_turn_is_answered_and_its_delay_counted_once(
    sandbox: Any, service: Any, dial: Any, sound: Any, log: Any
) -> None:
    model = await sandbox(think_ms=150)
    running = await service(model)
    call, hearing = await dial("7000")
    await hearing.utterance()
    turns = 2
    waited: list[float] = []
    for number_of_turn in range(1, turns + 1):
        await call.play(sound.tone(0.4 + 0.05 * number_of_turn))
        spoke_until = hearing.spoke_until()
        first, last = await hearing.utterance(spoke_until)
        assert hearing.loud_ms(first, last) == pytest.approx(ANSWER_MS, abs=60)
        waited.append(1000 * (first - spoke_until))
        await log.wait("turn.answered", count=number_of_turn)
    await call.hangup()

    answered = log.named("turn.answered")
    assert len(answered) == turns
    for entry, phone_ms in zip(answered, waited, strict=True):
        assert entry["response_ms"] == pytest.approx(phone_ms, abs=100)
        # 200 ms of silence end a turn; the model then thinks for 150.
        # A busy machine adds to each; make bench has the budgets.
        assert 170 <= entry["detection_ms"] < 2000
        assert 130 <= entry["model_ms"] < 2000
        assert 0 <= entry["service_ms"] < 1000
        whole = entry["detection_ms"] + entry["model_ms"] + entry["service_ms"]
        assert entry["response_ms"] == pytest.approx(whole, abs=1)
    value, default = running.metrics.registry.get_sample_value, {"agent": "default"}
    assert value("ariagent_response_seconds_count", default) == turns
    parts = [value("ariagent_response_part_seconds_sum", {"part": part}) for part in ("detection", "model", "service")]
    assert sum(parts) == pytest.approx(value("ariagent_response_seconds_sum", default))
    assert value("ariagent_playout_underruns_total") == 0
    assert value("ariagent_uplink_dropped_seconds_total") == 0


async def test_first_words_over_the_opening_reach_the_model(sandbox: Any, service: Any, phone: Any, log: Any) -> None:
    """The caller talks from the very first packet on."""
    noise = np.convolve(np.random.default_rng(1).normal(0, 1, 12_000), np.hanning(9), "same")
    words = (noise / np.max(np.abs(noise)) * 12_000).astype(np.int16)
    model = await sandbox(detector="none")
    await service(model)
    call = await (await phone()).dial("7001")
    played = call.play(words)
    await call.answered(LIMIT_S)
    assert await played
    session = await model.wait_session(1)
    await session.wait_appended(session.appended_ms + 400, LIMIT_S)
    assert missing_ms(words, bytes(session.audio)) == 0
    await call.hangup()
    await log.wait("call.ended")


@pytest.mark.parametrize(("number", "speed"), [("7001", 1.5), pytest.param("7000", 0, marks=pytest.mark.long)])
async def test_agent_that_is_interrupted_falls_silent_and_knows_what_was_heard(
    number: str, speed: float, sandbox: Any, service: Any, dial: Any, sound: Any, log: Any
) -> None:
    """Interrupted while it is still being generated (1.5 times real time), or long after (all at once)."""
    model = await sandbox(generation_speed=speed, late_deltas=3)
    running = await service(model)
    call, hearing = await dial(number)
    session = await model.wait_session(1)
    await hearing.utterance()
    asked_at = time.monotonic()
    await call.send_dtmf("8")  # a long story
    began = await hearing.wait_loud(asked_at)
    await asyncio.sleep(1.3)  # it has to be in the middle of what it says
    await call.play(sound.tone(0.9))  # longer than a cough
    noticed = await session.wait_sent_at("input_audio_buffer.speech_started")
    interrupted = await log.wait("turn.interrupted")
    spoke_until = hearing.spoke_until()
    truncated = await session.wait_sent("conversation.item.truncated")

    # The next turn continues as if nothing had been.
    answer, answer_end = await hearing.utterance(spoke_until)
    assert hearing.loud_ms(answer, answer_end) == pytest.approx(ANSWER_MS, abs=60)
    cut = [arrival for arrival in hearing.loud if arrival < answer]
    assert 1000 * (cut[-1] - noticed) < 150
    heard_ms = hearing.loud_ms(began, cut[-1])
    story = session.sent_events("response.output_audio.delta")[0]["item_id"]
    [asked] = session.received_events("conversation.item.truncate")
    assert asked["item_id"] == truncated["item_id"] == story == interrupted["item"]
    assert asked["audio_end_ms"] == pytest.approx(heard_ms, abs=40)
    assert interrupted["heard_ms"] == asked["audio_end_ms"]
    cancelled = [done["response"]["status"] for done in session.sent_events("response.done")]
    assert cancelled == ["cancelled" if speed else "completed", "completed"]
    assert session.sent_events("error") == []

    await call.play(sound.tone(0.5))
    first, last = await hearing.utterance(hearing.spoke_until())
    assert hearing.loud_ms(first, last) == pytest.approx(ANSWER_MS, abs=60)
    await call.hangup()
    await log.wait("call.ended")
    assert running.metrics.registry.get_sample_value("ariagent_interruptions_total") == 1
    assert len(log.named("turn.answered")) == 2


@pytest.mark.parametrize(("number", "speed"), [("7000", 6), pytest.param("7001", 1, marks=pytest.mark.long)])
async def test_the_model_knows_what_was_heard_before_the_caller_has_ended_their_turn(
    number: str, speed: float, sandbox: Any, service: Any, dial: Any, sound: Any, log: Any
) -> None:
    """Otherwise it answers from a conversation in which it said everything. Order on the wire, not time, is judged."""
    model = await sandbox(generation_speed=speed)
    await service(model)
    call, hearing = await dial(number)
    session = await model.wait_session(1)
    await hearing.utterance()
    asked_at = time.monotonic()
    await call.send_dtmf("8")  # a long story
    await hearing.wait_loud(asked_at)
    await asyncio.sleep(2.0)  # it has to be in the middle of what it says, and at 6x all of it has been generated
    await call.play(sound.tone(2.0))
    await session.wait_sent("input_audio_buffer.speech_stopped", LIMIT_S)
    await session.wait_sent("response.created", LIMIT_S, count=2)
    interrupted = await log.wait("turn.interrupted")
    [stopped_at] = session.sent_times("input_audio_buffer.speech_stopped")
    _, answer_at = session.sent_times("response.created")
    [truncated_at] = session.received_times("conversation.item.truncate")
    cancelled_at = session.received_times("response.cancel")
    # Only at real time it is still being generated.
    assert len(cancelled_at) == (1 if speed == 1 else 0)
    for at in (truncated_at, *cancelled_at):
        assert interrupted.at <= at + 0.001
        assert at < stopped_at < answer_at
    # No event of the server's was needed to send it: of those that came in between none can have.
    if speed != 1:
        assert [at for at in session.sent_at if interrupted.at < at < truncated_at] == []
    await call.hangup()
    await log.wait("call.ended")


async def test_the_model_forgets_a_noise_as_soon_as_it_is_judged_to_be_one(
    sandbox: Any, service: Any, dial: Any, sound: Any, log: Any
) -> None:
    """Here by time alone: its words never come."""
    model = await sandbox(generation_speed=0, transcription_ms=60_000)
    await service(model, agent={"transcription": {}})
    call, hearing = await dial("7001")
    session = await model.wait_session(1)
    await hearing.utterance()
    asked_at = time.monotonic()
    await call.send_dtmf("8")
    await hearing.wait_loud(asked_at)
    await asyncio.sleep(1.0)
    await call.play(sound.tone(0.2))
    dismissed = await log.wait("turn.dismissed")
    # The agent speaks for another 8 s, and nothing else is sent until then.
    deleted = await session.wait_event("conversation.item.delete", 5.0)
    assert deleted["item_id"] == dismissed["item"]
    [deleted_at] = session.received_times("conversation.item.delete")[:1]
    assert [at for at in session.sent_at if dismissed.at < at < deleted_at] == []
    await call.hangup()
    await log.wait("call.ended")


# -- digits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "pressed"), [("7000", "4711#"), pytest.param("7001", "1", marks=pytest.mark.long)])
async def test_digits_reach_the_model_once_and_together(
    number: str, pressed: str, sandbox: Any, service: Any, dial: Any, log: Any
) -> None:
    model = await sandbox()
    await service(model)
    call, hearing = await dial(number)
    await hearing.utterance()
    session = await model.wait_session(1)
    began = time.monotonic()
    await call.send_dtmf(pressed)
    first, last = await hearing.utterance(began)
    assert hearing.loud_ms(first, last) == pytest.approx(MS_PER_LETTER * len(f"You pressed {pressed}."), abs=60)
    await call.hangup()
    await log.wait("call.ended")
    assert texts(session) == [f"[The caller pressed {pressed} on the keypad.]"]
    assert len(session.received_events("response.create")) == 1
    assert [entry["count"] for entry in log.named("call.digits")] == [len(pressed)]
    # The tones themselves are no speech.
    assert session.sent_events("input_audio_buffer.speech_started") == []


async def test_digit_cuts_the_agent_off(sandbox: Any, service: Any, dial: Any, log: Any) -> None:
    model = await sandbox(generation_speed=1.5, think_ms=400)
    await service(model, agent={"keypad": {"pause_ms": 200}})
    call, hearing = await dial("7001")
    session = await model.wait_session(1)
    await hearing.utterance()
    asked_at = time.monotonic()
    await call.send_dtmf("8")  # a long story
    began = await hearing.wait_loud(asked_at)
    await asyncio.sleep(0.6)
    await call.send_dtmf("5")
    given = await log.wait("call.digits", count=2)
    answer, _ = await hearing.utterance(given.at + 0.3)
    cut = [arrival for arrival in hearing.loud if arrival < answer]
    assert 1000 * (cut[-1] - given.at) < 150
    [asked] = session.received_events("conversation.item.truncate")
    assert asked["audio_end_ms"] == pytest.approx(hearing.loud_ms(began, cut[-1]), abs=40)
    assert len(session.received_events("response.cancel")) == 1
    assert texts(session) == [f"[The caller pressed {digit} on the keypad.]" for digit in "85"]
    assert session.sent_events("error") == []
    await call.hangup()
    await log.wait("call.ended")
