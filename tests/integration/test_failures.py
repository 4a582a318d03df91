"""Failures of the model, the media or the site: the caller is sent to the human queue, never into silence.

One of each kind, on a real Asterisk; more of what a model does wrong is in memory
(``tests/call/test_failing_models.py``, ``tests/realtime``).
"""

import asyncio
import dataclasses
import json
import struct
import time
from typing import Any

import pytest

from ariagent.audiosocket.frames import Kind
from ariagent.sandbox.faults import Faults
from lab.call_setup import CallState

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
LONG = "This is a long opening. " * 8


def value(service: Any, name: str, **labels: str) -> float:
    """The value of a metric now; 0 where it does not exist."""
    return service.metrics.registry.get_sample_value(name, labels) or 0.0


# -- no model ----------------------------------------------------------------------------------------------------------

NO_MODEL: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "key refused in-band": ({"api_keys": ("another",)}, {}, "invalid_api_key", "credentials"),
    "hangs": (
        {"faults": Faults.parse("hang")},
        {"realtime": {"connect_timeout_s": 0.5}},
        "no answer within 0.5 s",
        "network",
    ),
}


@pytest.mark.parametrize("case", NO_MODEL)
async def test_without_a_model_a_direct_call_goes_to_people_unanswered_by_us(
    case: str, sandbox: Any, service: Any, phone: Any, asterisk: Any, log: Any, ends_with_people: Any
) -> None:
    options, settings, cause, fault = NO_MODEL[case]
    running = await service(await sandbox(**options), usable=False, **settings)
    human = await phone("1001", register=True)
    call = await (await phone()).dial("7001")
    ended = await log.wait("call.ended", result="no_model", reason="model_unreachable")
    assert cause in ended["cause"]
    assert log.named("call.answered") == []
    channels = await asterisk.cli("core show channels concise")
    caller = next(line.split("!")[0] for line in channels.splitlines() if line.startswith("PJSIP/anonymous"))
    assert "ARIAGENT_RESULT=no_model" in await asterisk.cli(f"core show channel {caller}")
    await ends_with_people(call, human)
    assert value(running, "ariagent_calls_total", agent="default", result="no_model", reason="model_unreachable") == 1
    assert value(running, "ariagent_realtime_failures_total", fault=fault) == 1
    unusable = await log.wait("model.unusable")
    assert cause in unusable["cause"]


async def test_without_a_model_a_queue_call_goes_to_people_at_once(
    asterisk: Any, sandbox: Any, service: Any, phone: Any, log: Any, ends_with_people: Any
) -> None:
    running = await service(await sandbox(api_keys=("another",)), usable=False)
    human = await phone("1001", register=True)
    async with asyncio.timeout(30):
        while {str(seat.state) for seat in running.pool.seats.view()} != {"unavailable"}:
            await asyncio.sleep(0.02)
    before = asterisk.queue_log.read_text()
    call = await (await phone()).dial("7000")
    await ends_with_people(call, human)
    assert "|frontline|NONE|ENTERQUEUE|" not in asterisk.queue_log.read_text().removeprefix(before)
    assert log.named("call.started") == []


async def test_a_model_that_begins_to_refuse_makes_no_storm_and_the_caller_goes_to_people(
    sandbox: Any, service: Any, phone: Any, log: Any, ends_with_people: Any
) -> None:
    """Until the seats are gone, a seat takes its time; a caller who gives up meanwhile ends cleanly."""
    model = await sandbox()
    running = await service(model)
    model.options = dataclasses.replace(model.options, api_keys=("another",))
    human = await phone("1001", register=True)
    callers = await phone()
    call, other = await callers.dial("7000"), await callers.dial("7000")
    await other.ringing()
    await log.wait("call.ended", result="no_model", count=1)
    await other.hangup()
    assert other.end is not None
    assert (other.end.by, other.end.status) == ("local", 487)
    await ends_with_people(call, human)
    assert len(log.named("call.started")) <= 6
    assert [seat for seat in running.pool.seats.view() if seat.paused] == []


async def test_without_a_service_callers_go_to_people_and_one_seat_is_tried(
    asterisk: Any, phone: Any, ends_with_people: Any
) -> None:
    human = await phone("1001", register=True)
    before = asterisk.queue_log.read_text()
    for number in ("7001", "7000", "7000"):
        await ends_with_people(await (await phone()).dial(number), human)
    rows = asterisk.queue_log.read_text().removeprefix(before)
    assert rows.count("|RINGNOANSWER|") <= 1


# -- the model is lost, or fails in part, in mid-call ------------------------------------------------------------------

LOST = {
    "reset in mid-frame": ("abort:300", "cut off", "model_lost"),
    "stopped in mid-sentence": ("stall:300", "fell silent", "model_silent"),
}


@pytest.mark.parametrize(
    ("number", "case"),
    [("7000", "reset in mid-frame"), ("7001", "stopped in mid-sentence")],
)
async def test_a_model_lost_in_mid_call_hands_the_caller_to_people(
    number: str, case: str, sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, ends_with_people: Any
) -> None:
    fault, cause, reason = LOST[case]
    model = await sandbox(faults=Faults.parse(fault))
    running = await service(model, agent={"opening": LONG}, realtime={"stall_timeout_s": 1.5})
    human = await phone("1001", register=True)
    call, hearing = await dial(number)
    await hearing.wait_loud()
    ended = await log.wait("call.ended", result="error", reason=reason)
    assert cause in ended["cause"]
    assert ended["talk_s"] > 0
    await ends_with_people(call, human)
    assert value(running, "ariagent_calls_total", agent="default", result="error", reason=reason) == 1


async def test_a_model_that_vanishes_while_nobody_speaks_is_replaced(
    sandbox: Any, service: Any, dial: Any, log: Any, proxy: Any, sound: Any
) -> None:
    model, between = await sandbox(), await proxy()
    between.target = ("127.0.0.1", model.port)
    running = await service(
        f"ws://{between.address}/v1/realtime", agent={"opening": None}, realtime={"ping_interval_s": 0.5}
    )
    call, hearing = await dial("7000")
    await log.wait("call.answered")
    # Nothing arrives any more, and nobody says so.
    between.freeze()
    await log.wait("model.reconnected")
    await call.play(sound.tone(0.4))
    await hearing.utterance(after=hearing.spoke_until())
    assert value(running, "ariagent_realtime_reconnects_total") == 1
    await call.hangup()
    await log.wait("call.ended", result="done")
    between.cut()


async def test_a_model_that_is_gone_hands_the_caller_to_people(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, proxy: Any, ends_with_people: Any
) -> None:
    model, between = await sandbox(), await proxy()
    between.target = ("127.0.0.1", model.port)
    await service(f"ws://{between.address}/v1/realtime", agent={"opening": None})
    human = await phone("1001", register=True)
    call, _ = await dial("7001")
    await log.wait("call.answered")
    between.target = ("127.0.0.1", 1)  # where nobody listens
    between.cut()
    lost = await log.wait("model.lost")
    ended = await log.wait("call.ended", result="error", reason="model_lost")
    assert ended.at - lost.at < 8
    await ends_with_people(call, human)


async def test_another_endpoint_takes_over(
    sandbox: Any, service: Any, dial: Any, log: Any, proxy: Any, sound: Any
) -> None:
    first, second, between = await sandbox(), await sandbox(), await proxy()
    between.target = ("127.0.0.1", first.port)
    running = await service(
        f"ws://{between.address}/v1/realtime",
        agent={"opening": None},
        realtime={"fallback": {"url": second.url, "api_key": "test"}},
    )
    call, hearing = await dial("7000")
    await log.wait("call.answered")
    between.target = ("127.0.0.1", 1)  # where nobody listens
    between.cut()
    await log.wait("model.reconnected")
    await call.play(sound.tone(0.4))
    await hearing.utterance(after=hearing.spoke_until())
    assert len(second.sessions) == 1
    # The next call does not wait for the first one.
    other, _ = await dial("7000")
    await log.wait("call.answered", count=2)
    assert len(second.sessions) == 2
    assert running.pool.seats.reasons == set()
    await call.hangup()
    await other.hangup()
    await log.wait("call.ended", result="done", count=2)


async def test_an_agent_that_is_gone_hands_its_caller_to_its_own_destination(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, proxy: Any, sound: Any
) -> None:
    model, between = await sandbox(), await proxy()
    between.target = ("127.0.0.1", model.port)
    desk = {"queue": "support", "description": "the service desk", "kind": "warm"}
    await service(f"ws://{between.address}/v1/realtime", agent={"handoff": ["desk"]}, destinations={"desk": desk})
    human = await phone("1001", register=True)
    call, hearing = await dial("7000")
    await hearing.utterance()
    between.target = ("127.0.0.1", 1)  # where nobody listens
    between.cut()
    incoming = await human.incoming(30)
    # The conversation so far.
    assert incoming.invite.headers.get("x-ariagent-summary").startswith("agent: ")
    await incoming.answer()
    await log.wait("call.transferred", by="ariagent", kind="blind")
    await log.wait("call.ended", result="transferred")
    await call.hangup()
    await incoming.ended(20)


async def test_a_model_that_only_refuses_hands_the_caller_to_people(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, sound: Any, ends_with_people: Any
) -> None:
    running = await service(await sandbox(faults=Faults.parse("rate_limit")), agent={"opening": None})
    human = await phone("1001", register=True)
    call, _ = await dial("7001")
    await call.play(sound.tone(0.4))
    await log.wait("turn.failed", count=2)
    ended = await log.wait("call.ended", result="error", reason="model_lost")
    assert "does not respond: rate_limit_exceeded" in ended["cause"]
    assert value(running, "ariagent_realtime_failed_responses_total", reason="rate_limit_exceeded") >= 2
    await ends_with_people(call, human)


# -- no room, no such agent --------------------------------------------------------------------------------------------


async def test_a_call_too_many_goes_to_people_and_the_first_is_not_disturbed(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, sound: Any, ends_with_people: Any
) -> None:
    running = await service(await sandbox(), max_calls=1)
    human = await phone("1001", register=True)
    first, hearing = await dial("7001")
    await hearing.utterance()
    second = await (await phone()).dial("7001")
    await log.wait("call.ended", result="busy", reason="full")
    assert value(running, "ariagent_calls_total", agent="-", result="busy", reason="full") == 1
    await ends_with_people(second, human)

    await first.play(sound.tone(0.4))
    await hearing.utterance(after=hearing.spoke_until())
    await first.hangup()
    await log.wait("call.ended", result="done")
    # There is room again.
    third, hearing = await dial("7001")
    await hearing.wait_loud()
    await third.hangup()
    await log.wait("call.ended", result="done", count=2)


async def test_an_agent_that_does_not_exist_sends_the_caller_to_people(
    sandbox: Any, service: Any, phone: Any, asterisk: Any, log: Any, ends_with_people: Any
) -> None:
    lines = ("Stasis(ariagent,nobody)", "Answer()", "Queue(support,tc,,,60)")
    for priority, line in enumerate(lines, 1):
        await asterisk.cli(f"dialplan add extension 7801,{priority},{line} into ariagent-internal replace")
    running = await service(await sandbox())
    human = await phone("1001", register=True)
    call = await (await phone()).dial("7801")
    ended = await log.wait("call.ended", result="error", reason="unknown_agent")
    assert ended["cause"].startswith("there is no agent nobody")
    await ends_with_people(call, human)
    assert value(running, "ariagent_calls_total", agent="-", result="error", reason="unknown_agent") == 1


# -- malformed audio connections ---------------------------------------------------------------------------------------


def audio(kind: int, payload: bytes) -> bytes:
    return struct.pack(">BH", kind, len(payload)) + payload


MALFORMED_MEDIA = {
    "unknown kind": (b"\xaa\x00\x04abcd", {"kind": "0xaa", "length": 4}),
    "half a sample": (audio(Kind.SLIN24, b"abc"), {"kind": "0x13", "length": 3}),
    "over-long frame": (b"\x13\xff\xfe" + bytes(100), {"kind": "0x13", "length": 65534}),
    "no digit": (b"\x03\x00\x01\xff", {"kind": "0x03", "length": 1}),
    "audio of another rate": (audio(Kind.SLIN8, bytes(320)), {"kind": "SLIN8", "length": 320}),
    "a second uuid": (audio(Kind.UUID, bytes(16)), {"kind": "UUID", "length": 16}),
}


async def test_a_malformed_audio_connection_ends_its_call_only(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, proxy: Any, ends_with_people: Any
) -> None:
    between = await proxy()
    running = await service(await sandbox(), agent={"opening": None}, audiosocket={"advertise": between.address})
    between.target = ("127.0.0.1", running.media.port)
    human = await phone("1001", register=True)
    other, hearing = await dial("7001")
    began = time.monotonic()
    for count, (case, (data, fields)) in enumerate(MALFORMED_MEDIA.items(), 1):
        call, _ = await dial("7001")
        await log.wait("call.answered", count=1 + count)
        between.to_server(data)
        ended = await log.wait("call.ended", count=count)
        assert (ended["call"], ended["result"], ended["reason"]) == (
            log.named("call.started")[count]["call"],
            "error",
            "media_failed",
        ), case
        told = [e for e in log.entries if e.event in ("media.malformed", "media.unexpected_kind")]
        assert len(told) == count, case
        assert {name: told[-1][name] for name in fields} == fields, case
        assert value(running, "ariagent_malformed_total", peer="asterisk") == count
        if count < len(MALFORMED_MEDIA):
            ringing = await human.incoming(LIMIT_S)
            await call.hangup()
            await ringing.ended(LIMIT_S)
    await ends_with_people(call, human)
    assert other.state is CallState.ANSWERED
    assert hearing.longest_gap_ms(began) < 1000
    await other.hangup()
    await log.wait("call.ended", result="done")


# -- malformed model ---------------------------------------------------------------------------------------------------


def frame(opcode: int, payload: bytes, *, bits: int = 0x80) -> bytes:
    """A WebSocket frame of a server (RFC 6455 section 5.2)."""
    length = len(payload)
    if length < 126:
        return struct.pack("!BB", bits | opcode, length) + payload
    if length < 65536:
        return struct.pack("!BBH", bits | opcode, 126, length) + payload
    return struct.pack("!BBQ", bits | opcode, 127, length) + payload


def event(**fields: Any) -> bytes:
    return frame(1, json.dumps(fields).encode())


SURVIVED = {
    "not JSON": (frame(1, b"{"), "not JSON", 1),
    "JSON that is no object": (frame(1, b"[1, 2]"), "no type", 6),
    "nested too deeply": (frame(1, b"[" * 50_000), "too many values", 50_000),
    "no type": (event(x=1), "no type", None),
    "type that is no text": (event(type=7), "no type", None),
    "binary": (frame(2, bytes(1000)), "binary frame", 1000),
    "missing fields": (event(type="response.output_audio.delta"), "response.output_audio.delta", None),
    "fields of the wrong type": (
        event(type="input_audio_buffer.speech_stopped", item_id=3, audio_end_ms="soon"),
        "input_audio_buffer.speech_stopped",
        None,
    ),
    "audio that is none": (
        event(type="response.output_audio.delta", response_id="r", item_id="i", delta="%%%"),
        "response.output_audio.delta",
        None,
    ),
}


async def test_malformed_messages_of_the_model_are_counted_and_the_conversation_goes_on(
    sandbox: Any, service: Any, dial: Any, log: Any, sound: Any, proxy: Any
) -> None:
    model, between = await sandbox(), await proxy()
    between.target = ("127.0.0.1", model.port)
    running = await service(f"ws://{between.address}/v1/realtime", agent={"opening": None})
    call, hearing = await dial("7001")
    for count, (case, (data, what, length)) in enumerate(SURVIVED.items(), 1):
        between.to_client(data)
        told = await log.wait("model.malformed", count=count)
        assert told["what"] == what, case
        assert length is None or told["length"] == length, case
        assert value(running, "ariagent_malformed_total", peer="model") == count
    # An unknown event is not logged: the protocol grows.
    between.to_client(event(type="response.daydream.delta", x={"y": [1]}) * 3)
    await call.play(sound.tone(0.4))
    await hearing.utterance(after=hearing.spoke_until())
    assert value(running, "ariagent_malformed_total", peer="model") == len(SURVIVED)
    await call.hangup()
    await log.wait("call.ended", result="done", reason="caller_hung_up")


FATAL = {
    "2 MB message": (frame(1, b'{"type":"x","y":"' + bytes(2_000_000) + b'"}'), "too big"),
    "text that is no UTF-8": (frame(1, b"\xff\xfe"), "not UTF-8"),
    "reserved bits": (frame(1, b"{}", bits=0xF0), "broken WebSocket frame"),
}


async def test_a_model_that_breaks_the_protocol_is_given_up_for_another_session(
    sandbox: Any, service: Any, dial: Any, log: Any, sound: Any, proxy: Any
) -> None:
    model, between = await sandbox(), await proxy()
    between.target = ("127.0.0.1", model.port)
    running = await service(f"ws://{between.address}/v1/realtime", agent={"opening": None})
    call, hearing = await dial("7001")
    for count, (case, (data, cause)) in enumerate(FATAL.items(), 1):
        between.to_client(data)
        lost = await log.wait("model.lost", count=count)
        assert cause in lost["cause"], case
        assert value(running, "ariagent_malformed_total", peer="model") == count
        await log.wait("model.reconnected", count=count)
        await call.play(sound.tone(0.4))
        await hearing.utterance(after=hearing.spoke_until())
    await call.hangup()
    await log.wait("call.ended", result="done")
