"""Audio between a real phone and the model: codecs, rates, a phone that sends nothing, strangers at the media port."""

import asyncio
import itertools
import struct
import time
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ariagent.audio.resample import Resampler
from ariagent.audiosocket.frames import Kind
from ariagent.call.machine import State
from lab import waiting
from lab.call import Call

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
LONG = "This is a long opening that continues while strangers call at the media port."


def words(seconds: float, rate_hz: int = 8000) -> Any:
    """Band-limited noise: every 20 ms of it is unlike every other."""
    noise = np.convolve(np.random.default_rng(7).normal(0, 1, int(seconds * rate_hz)), np.hanning(9), "same")
    return (noise / np.max(np.abs(noise)) * 12_000).astype(np.int16)


def at_8k(pcm: Any, rate_hz: int) -> Any:
    return pcm if rate_hz == 8000 else np.frombuffer(Resampler(rate_hz, 8000).process(pcm.tobytes()), "<i2")


# -- codecs and rates --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "hz", "rate_hz"),
    [("ulaw", 1000, 8000), ("g722", 5500, 16000), pytest.param("alaw", 1000, 8000, marks=pytest.mark.long)],
)
async def test_caller_of_every_codec_hears_and_is_heard(
    codec: str, hz: float, rate_hz: int, sandbox: Any, service: Any, phone: Any, dial: Any, sound: Any, log: Any
) -> None:
    """The model answers the caller's tone with the same tone. G.722 keeps what lies above 4 kHz, both ways."""
    model = await sandbox(detector="reflex", reflex_hz=hz)
    await service(model, agent={"opening": None})
    call, hearing = await dial("7001", await phone(codecs=(codec,)))
    assert call.codec == codec
    session = await model.wait_session(1)
    await call.play(sound.tone(0.6, hz=hz, rate_hz=rate_hz, peak=8000), rate_hz)
    await hearing.utterance()
    await session.wait_until(lambda: np.abs(sound.appended(session)[-4800:].astype(int)).max() < 100, LIMIT_S, "quiet")
    await call.hangup()

    at_model = sound.loud_part(sound.appended(session), 24_000)
    assert len(at_model) == pytest.approx(0.6 * 24_000, rel=0.05)
    assert sound.strongest_hz(at_model, 24_000) == pytest.approx(hz, abs=10)
    assert sound.level(at_model) == pytest.approx(8000 / np.sqrt(2), rel=0.1)
    at_phone = sound.loud_part(call.heard(rate_hz), rate_hz)
    [(said, said_hz)] = sound.said(session)
    assert len(at_phone) / rate_hz == pytest.approx(len(said) / said_hz, abs=0.03)
    assert sound.strongest_hz(at_phone, rate_hz) == pytest.approx(hz, abs=10)
    assert sound.level(at_phone) == pytest.approx(sound.level(said), rel=0.1)
    assert call.stats.lost == 0


@pytest.mark.parametrize(
    ("settings", "rate_hz"),
    [
        ({}, 24_000),
        ({"audiosocket": {"format": "slin"}}, 8_000),
        ({"realtime": {"encoding": "pcmu"}}, 8_000),
        pytest.param({"audiosocket": {"format": "slin16"}}, 16_000, marks=pytest.mark.long),
        pytest.param({"realtime": {"encoding": "pcma"}}, 8_000, marks=pytest.mark.long),
        pytest.param(
            {"realtime": {"encoding": "pcma"}, "audiosocket": {"format": "slin24"}}, 24_000, marks=pytest.mark.long
        ),
    ],
    ids=["slin24", "slin", "pcmu", "slin16", "pcma", "pcma-slin24"],
)
async def test_audio_is_the_same_at_both_ends(
    settings: dict[str, Any], rate_hz: int, sandbox: Any, service: Any, dial: Any, sound: Any, log: Any
) -> None:
    """Whatever converts it on the way: ours, Asterisk's, or G.711 on the model's side."""
    model = await sandbox(voice="rms")
    await service(model, **settings)
    assert log.named("asterisk.found")[0]["audio"] == f"slin/{rate_hz}"
    call, hearing = await dial("7001")
    session = await model.wait_session(1)
    await hearing.utterance(quiet_s=0.6)
    model_hz = 8000 if "realtime" in settings else 24_000
    assert session.settings["audio"]["input"]["format"].get("rate", 8000) == model_hz
    sent = words(1.0)
    await call.play(sent)
    await session.wait_sent("input_audio_buffer.speech_stopped", LIMIT_S)
    await hearing.utterance(hearing.spoke_until(), quiet_s=0.6)
    assert sound.share_heard(sent, at_8k(sound.appended(session), model_hz)) > sound.MOST
    said, said_hz = sound.said(session)[0]
    assert sound.share_heard(at_8k(said, said_hz), call.heard()) > sound.MOST
    await call.hangup()


async def sends_odd_packets(call: Call, hearing: Any, sound: Any) -> None:
    """Empty packets, some of a byte, some of ten times 20 ms; then it is heard and answered as before."""
    whole = call._media.codec.encode
    sizes = itertools.cycle((0, 1, 0, 0, 7, 160, 20, 0, 1600))
    odd = 0

    def encode(pcm: Any) -> bytes:
        nonlocal odd
        odd += 1
        return bytes((whole(pcm) * 10)[: next(sizes)])

    call._media.codec.encode = encode  # type: ignore[method-assign]
    await waiting.until(lambda: odd >= 100, what="odd packets", limit_s=LIMIT_S)
    call._media.codec.encode = whole  # type: ignore[method-assign]
    await call.play(sound.tone(0.6, hz=1000, rate_hz=8000, peak=8000), 8000)
    await hearing.utterance()


@pytest.mark.parametrize("fmt", ["slin", "auto"])
async def test_a_phones_empty_and_odd_packets_end_no_call(
    fmt: str, sandbox: Any, service: Any, phone: Any, dial: Any, sound: Any, log: Any
) -> None:
    """Asterisk makes no audio frame without samples of them, and none of half a sample: ours may refuse both."""
    model = await sandbox(detector="reflex", reflex_hz=1000)
    running = await service(model, agent={"opening": None}, audiosocket={"format": fmt, "port": 0})
    lines = [await dial("7001", await phone(codecs=(codec,))) for codec in ("ulaw", "g722")]
    await asyncio.gather(*(sends_odd_packets(call, hearing, sound) for call, hearing in lines))
    assert set(running.media.ended) <= {"peer_closed"}
    for call, _ in lines:
        await call.hangup()
    await log.wait("call.ended", count=2, result="done", reason="caller_hung_up")
    assert not log.named("media.malformed")


# -- a phone that sends nothing ----------------------------------------------------------------------------------------


async def fall_silent(how: str, call: Call) -> None:
    if how == "hold":
        await call.hold()
    elif how == "mute":
        call.mute_rtp = True


async def sends_nothing_for_a_while(how: str, call: Call, hearing: Any, session: Any, sound: Any) -> None:
    """The model's audio clock continues, a turn that was begun ends, and the conversation continues when the phone is
    back."""
    await hearing.utterance()
    await call.play(sound.tone(0.5))
    await fall_silent(how, call)
    sent = len(call.sent)
    await session.wait_sent("input_audio_buffer.speech_stopped", LIMIT_S)
    await session.wait_sent("response.done", LIMIT_S)
    assert len(session.sent_events("input_audio_buffer.speech_started")) == 1

    # In real time: two seconds of it take two seconds; what is counted twice would take one. Silence goes to the model
    # in pieces of 160 ms.
    began, before = time.monotonic(), session.appended_ms
    await session.wait_appended(before + 2000, LIMIT_S)
    assert time.monotonic() - began == pytest.approx(2.0, abs=0.6)
    assert len(call.sent) == sent
    assert np.abs(sound.appended(session)[-24_000:].astype(int)).max() < 500

    if how == "hold":
        await call.unhold()
    call.mute_rtp = False
    await hearing.wait_quiet()
    await call.play(sound.tone(0.5))
    await hearing.utterance(hearing.spoke_until())
    assert len(session.sent_events("input_audio_buffer.speech_started")) == 2
    # Nothing was counted twice when the phone came back.
    began, before = time.monotonic(), session.appended_ms
    await session.wait_appended(before + 1000, LIMIT_S)
    assert time.monotonic() - began == pytest.approx(1.0, abs=0.4)
    await call.hangup()


SILENT_PHONES = [("hold", "7000"), ("hold", "7001"), ("mute", "7000"), ("mute", "7001"), ("dtx", "7001")]


async def test_model_hears_silence_from_a_phone_that_sends_nothing(
    sandbox: Any, service: Any, phone: Any, dial: Any, sound: Any, log: Any
) -> None:
    """Five of them, side by side."""
    model = await sandbox()
    await service(model)
    lines = []
    for place, (how, number) in enumerate(SILENT_PHONES, 1):
        call, hearing = await dial(number, await phone(dtx=how == "dtx"))
        lines.append((f"{how} {number}", how, call, hearing, await model.wait_session(place)))
    async with asyncio.TaskGroup() as group:
        for name, *line in lines:
            group.create_task(sends_nothing_for_a_while(*line, sound), name=name)
    await log.wait("call.ended", count=len(lines))
    assert min(ended["caller_audio_gap_s"] for ended in log.named("call.ended")) >= 2.0


async def test_queue_caller_is_heard_again_after_hold(
    sandbox: Any, service: Any, dial: Any, sound: Any, log: Any
) -> None:
    """And the model hears nothing in between, least of all music. Several calls: the fault of Asterisk hits some."""
    model = await sandbox(detector="none")
    await service(model, agent={"opening": None})

    async def holds(call: Call, session: Any) -> None:
        await call.hold()
        await session.wait_appended(session.appended_ms + 200, LIMIT_S)
        began, before = time.monotonic(), session.appended_ms
        await session.wait_appended(before + 1000, LIMIT_S)
        assert time.monotonic() - began == pytest.approx(1.0, abs=0.4)
        assert np.abs(sound.appended(session)[int(24 * before) :].astype(int)).max() < 500
        await call.unhold()
        await session.wait_appended(session.appended_ms + 300, LIMIT_S)
        before = session.appended_ms
        await call.play(sound.tone(0.3))
        await session.wait_appended(before + 500, LIMIT_S)
        assert sound.level(sound.loud_part(sound.appended(session)[int(24 * before) :], 24_000)) > 4000
        await call.hangup()

    lines = [((await dial("7000"))[0], await model.wait_session(count)) for count in range(1, 6)]
    await asyncio.gather(*(holds(*line) for line in lines))
    await log.wait("call.ended", count=len(lines), result="done")


async def test_muted_queue_caller_hears_the_agent_without_gaps(sandbox: Any, service: Any, dial: Any, log: Any) -> None:
    """Their channel is put into its bridge again time and again, which may cost a frame, not the call."""
    model = await sandbox(detector="none")
    running = await service(model, agent={"opening": "So " * 25})
    call, hearing = await dial("7000")
    call.mute_rtp = True
    first = await hearing.wait_loud()
    last = await hearing.wait_quiet()
    assert last - first > 3.0
    assert hearing.longest_gap_ms(first, last) < 300  # of a machine that does other things, too
    assert 0.02 * sum(first <= packet.arrival <= last for packet in hearing.packets) > last - first - 0.2
    [runner] = running.calls.calls
    assert runner.state is State.TALKING
    await call.hangup()
    await log.wait("call.ended", result="done", reason="caller_hung_up")


# -- strangers at the media port ---------------------------------------------------------------------------------------


def frame(kind: int, payload: bytes) -> bytes:
    return struct.pack(">BH", kind, len(payload)) + payload


SILENT = b""
GARBAGE = bytes(np.random.default_rng(3).integers(0, 256, 5000, dtype=np.uint8))
UNKNOWN = frame(Kind.UUID, uuid.UUID(int=7).bytes)
AUDIO_FIRST = frame(Kind.SLIN8, bytes(320)) * 20
HALF_A_FRAME = UNKNOWN[:9]


async def lasting(condition: Callable[[], bool]) -> None:
    """Wait for something that has no event of its own."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.01)


async def until_refused(port: int, data: bytes) -> None:
    """Connect, write, and read until the service has had enough."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(LIMIT_S):
            assert await reader.read() == b""
    except ConnectionError:
        pass
    finally:
        writer.close()


async def test_strangers_at_the_media_port_disturb_nobody(sandbox: Any, service: Any, dial: Any, log: Any) -> None:
    model = await sandbox()
    running = await service(model, agent={"opening": LONG}, audiosocket={"handshake_timeout_s": 1.5})
    call, hearing = await dial("7001")
    began = await hearing.wait_loud()
    port = running.media.port
    strangers = (SILENT, GARBAGE, UNKNOWN, AUDIO_FIRST, HALF_A_FRAME)
    await asyncio.gather(*(until_refused(port, data) for data in strangers * 3))
    # A crowd that says nothing, and leaves before anybody asks it to.
    crowd = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(200)))
    await lasting(lambda: running.media.open_connections == 65 and running.media.refused["crowded"] == 136)
    for _, writer in crowd:
        writer.close()
    await lasting(lambda: running.media.open_connections == 1)
    # Everything runs in this process; what a busy machine adds is allowed for.
    assert hearing.longest_gap_ms(began) < 300  # of a machine that does other things, too
    assert call.stats.lost == 0
    refused = running.media.refused
    assert refused["handshake_timeout"] == 6
    assert refused["unknown_uuid"] == 3
    assert refused["closed_early"] == 64
    assert refused.total() == 215
    await call.hangup()
    ended = await log.wait("call.ended", result="done")
    assert ended["underruns"] == 0


async def test_connections_beyond_the_limit_are_refused_and_a_call_still_gets_through(
    sandbox: Any, service: Any, dial: Any, log: Any
) -> None:
    """Strangers who say nothing keep nobody out: the oldest of them gives way."""
    model = await sandbox()
    running = await service(model, audiosocket={"max_connections": 5, "handshake_timeout_s": 30})
    port = running.media.port
    strangers = [asyncio.create_task(until_refused(port, SILENT)) for _ in range(8)]
    await lasting(lambda: running.media.refused == {"crowded": 3})
    call, hearing = await dial("7001")
    await hearing.utterance()
    assert running.media.refused == {"crowded": 4}
    for stranger in strangers:
        stranger.cancel()
    await call.hangup()
    await log.wait("call.ended", result="done")
