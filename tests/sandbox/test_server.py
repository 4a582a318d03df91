"""The server over real sockets: who may in, faults of the connection, many sessions, life and death."""

import asyncio
import base64
import json
import logging
import time
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from ariagent.errors import ConfigurationError
from ariagent.sandbox.options import SandboxOptions
from ariagent.sandbox.scenario_file import load_scenario
from ariagent.sandbox.server import SandboxServer
from ariagent.sandbox.speech import Voice


async def test_s1_upgrade_comes_first_then_session_created(make_place: Any) -> None:
    place = await make_place()
    client = await place.client()
    created = await client.until("session.created")
    assert created["session"]["model"] == "gpt-realtime-2.1"
    by_call = await place.client("call_id=rtc_1")
    assert (await by_call.until("session.created"))["session"]["type"] == "realtime"
    transcription = await place.client("intent=transcription")
    assert (await transcription.until("session.created"))["session"]["type"] == "transcription"


async def test_s1_azure_path_key_header_and_browser_protocol(make_place: Any) -> None:
    place = await make_place()
    azure = place.server.url.replace("/v1/realtime", "/openai/v1/realtime?model=gpt-realtime-2.1")
    async with connect(azure, additional_headers={"api-key": "secret"}) as connection:
        assert json.loads(await connection.recv())["type"] == "session.created"
    browser = await place.client(key="", subprotocols=["realtime", "openai-insecure-api-key.ek_1"])
    assert browser.connection.subprotocol == "realtime"
    await browser.until("session.created")


@pytest.mark.parametrize(
    ("query", "key", "headers", "code", "close_code"),
    [
        ("model=gpt-realtime-2.1", "bad-key", {}, "invalid_api_key", 3000),
        ("model=gpt-realtime-2.1", "", {}, "invalid_api_key", 3000),
        ("", "sk", {}, "missing_model", 4000),
        ("model=gpt-nothing", "sk", {}, "invalid_model", 4000),
        ("model=gpt-realtime-2.1", "sk", {"OpenAI-Beta": "realtime=v1"}, "beta_api_shape_disabled", 4000),
        ("model=gpt-realtime-2.1&fault=refuse:insufficient_quota", "sk", {}, "insufficient_quota", 4000),
    ],
)
async def test_s2_refusals_are_in_band(
    make_place: Any, query: str, key: str, headers: Any, code: str, close_code: int
) -> None:
    place = await make_place()
    client = await place.client(query, key, headers=headers)
    error = await client.until("error")
    assert (error["error"]["type"], error["error"]["code"]) == ("invalid_request_error", code)
    with pytest.raises(ConnectionClosed) as closed:
        await client.until("session.created")
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (close_code, f"invalid_request_error.{code}")
    assert len(client.events) == 1
    assert place.server.sessions == []


async def test_s2_only_configured_keys(make_place: Any) -> None:
    place = await make_place(api_keys=("sk-right",))
    right = await place.client(key="sk-right")
    await right.until("session.created")
    wrong = await place.client(key="sk-wrong")
    assert (await wrong.until("error"))["error"]["code"] == "invalid_api_key"


async def test_s3_binary_frames_are_refused_in_band(make_place: Any) -> None:
    client = await (await make_place()).client()
    await client.send(b"\x00\x01")
    error = await client.until("error")
    assert (error["error"]["code"], error["error"]["message"][:32]) == (
        "invalid_event",
        "Expected a text WebSocket messag",
    )
    await client.send({"type": "response.create"})
    await client.until("response.done")


async def test_s18_expiry_closes_with_1001_and_the_text(make_place: Any) -> None:
    client = await (await make_place(session_seconds=0.6)).client()
    assert (await client.until("error"))["error"]["code"] == "session_expired"
    with pytest.raises(ConnectionClosed) as closed:
        await client.until("session.created")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    assert closed.value.rcvd.reason == "Your session hit the maximum duration of 0.01 minutes."


async def test_s18_server_pings(make_place: Any) -> None:
    place = await make_place(ping_seconds=0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", place.server.port)
    key = base64.b64encode(bytes(16)).decode()
    writer.write(
        f"GET /v1/realtime?model=gpt-realtime-2.1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n"
        f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        "".encode()
    )
    async with asyncio.timeout(10):
        assert b"101" in await reader.readuntil(b"\r\n\r\n")
        while True:
            first, length = await reader.readexactly(2)
            size = int.from_bytes(await reader.readexactly(2)) if length == 126 else length
            await reader.readexactly(size)
            if first == 0x89:
                break
    writer.close()


async def test_s18_permessage_deflate_is_accepted(make_place: Any) -> None:
    client = await (await make_place()).client(compression="deflate")
    assert [extension.name for extension in client.connection.protocol.extensions] == ["permessage-deflate"]
    await client.send({"type": "response.create"})
    assert (await client.until("response.done"))["response"]["status"] == "completed"


async def test_s19_abort_in_mid_frame_is_an_abnormal_end(make_place: Any) -> None:
    place = await make_place()
    client = await place.client("model=gpt-realtime-2.1&fault=abort:300")
    await client.send({"type": "response.create"})
    with pytest.raises((ConnectionClosedError, ConnectionResetError)):
        await client.until("response.done")
    assert client.of("response.output_audio.delta")
    assert client.connection.close_code == 1006
    session = await place.server.wait_session()
    await session.wait_closed()
    other = await place.client()
    await other.send({"type": "response.create"})
    await other.until("response.done")


@pytest.mark.parametrize(("fault", "code"), [("close_1011", 1011), ("close:1013", 1013)])
async def test_s19_close_in_mid_response(make_place: Any, fault: str, code: int) -> None:
    place = await make_place()
    client = await place.client(headers={"X-Sandbox-Fault": f"{fault}@2"})
    await client.send({"type": "response.create"})
    await client.until("response.done")
    await client.send({"type": "response.create"})
    with pytest.raises(ConnectionClosed) as closed:
        await client.until("response.done")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code
    assert await (await place.server.wait_session()).wait_closed() == code


async def test_s19_http_refusal_bad_option_and_unknown_path(make_place: Any) -> None:
    place = await make_place()
    for query, status in (("fault=http:429", 429), ("fault=http", 403), ("fault=nope", 400), ("sandbox_host=x", 400)):
        with pytest.raises(InvalidStatus) as refused:
            await place.client(f"model=gpt-realtime-2.1&{query}")
        assert refused.value.response.status_code == status
    with pytest.raises(InvalidStatus) as refused:
        async with connect(place.server.url.replace("/v1/realtime", "/elsewhere")):
            pass
    assert refused.value.response.status_code == 404


async def test_s19_an_upgrade_that_is_never_answered_does_not_hold_up_the_end(make_place: Any) -> None:
    place = await make_place()
    with pytest.raises(TimeoutError):
        await place.client("model=gpt-realtime-2.1&fault=hang", open_timeout=0.3)
    pending = asyncio.create_task(place.client("model=gpt-realtime-2.1&fault=hang", open_timeout=60))
    await place.client()  # the other one was let in, and this one after it
    await asyncio.wait_for(place.server.close(), 10)
    with pytest.raises(InvalidStatus) as refused:
        await pending
    assert refused.value.response.status_code == 503


async def test_s19_a_slow_reader_reads_slowly(make_place: Any, speech_like: Any) -> None:
    place = await make_place()
    slow = await place.client("model=gpt-realtime-2.1&fault=slow_reader:100")
    quick = await place.client()
    for client in (slow, quick):
        await client.append(bytes(960 * 50))
    first, second = [await place.server.wait_session(number) for number in (1, 2)]
    await second.wait_appended(1000)
    assert first.appended_ms < 1000
    await first.wait_appended(1000, timeout=30)


async def test_per_connection_options_in_the_query(make_place: Any) -> None:
    place = await make_place()
    client = await place.client("model=gpt-realtime-2.1&sandbox_detector=none&sandbox_think_ms=10&sandbox_keep_audio=1")
    await client.until("session.created")
    await client.append(b"\x01\x02" * 480)
    session = await place.server.wait_session()
    await session.wait_appended(20)
    assert session.audio == b"\x01\x02" * 480
    assert session.core.state.options.detector == "none"


async def test_a_record_shows_what_happened_and_stays_small(make_place: Any, speech_like: Any) -> None:
    place = await make_place()
    client = await place.client()
    assert place.server.session is await place.server.wait_session()
    session = place.server.session
    for _ in range(3):
        await client.append(bytes(96_000))
    await client.send({"type": "response.create", "event_id": "e1"})
    assert (await session.wait_event("response.create"))["event_id"] == "e1"
    done = await client.until("response.done")
    sent = await session.wait_sent("response.done")
    assert sent["response"]["id"] == done["response"]["id"]
    assert await session.wait_sent_at("response.done") <= time.monotonic()
    assert session.received == [
        {"type": "input_audio_buffer.append", "events": 300, "audio_bytes": 288_000},
        {"type": "response.create", "event_id": "e1"},
    ]
    assert session.appended_ms == 6000
    deltas = session.sent_events("response.output_audio.delta")
    received = sum(len(base64.b64decode(event["delta"])) for event in client.of("response.output_audio.delta"))
    assert sum(event["audio_bytes"] for event in deltas) == received
    assert [item["role"] for item in session.items] == ["assistant"]
    with pytest.raises(TimeoutError, match=r"response\.cancel"):
        await session.wait_event("response.cancel", timeout=0.05)
    assert session.alive
    await client.connection.close()
    assert await session.wait_closed() == 1000
    assert not session.alive


async def test_many_sessions_at_once(make_place: Any) -> None:
    place = await make_place(detector="none")
    clients = await asyncio.gather(*(place.client() for _ in range(30)))
    for client in clients:
        await client.send({"type": "response.create"})
        await client.append(bytes(9600))
    done = await asyncio.gather(*(client.until("response.done", timeout=60) for client in clients))
    assert len({event["response"]["id"] for event in done}) == 30
    assert len(place.server.sessions) == 30


async def test_a_taken_port_and_a_bad_scenario_are_configuration_errors(make_place: Any, tmp_path: Any) -> None:
    place = await make_place()
    with pytest.raises(ConfigurationError, match="it is taken"):
        await SandboxServer(SandboxOptions(port=place.server.port, voice="tone", recogniser=False)).start()
    with pytest.raises(ConfigurationError, match="no such voice"):
        await SandboxServer(SandboxOptions(voice="nobody", recogniser=False)).start()
    with pytest.raises(ConfigurationError, match="cannot read scenario"):
        await SandboxServer(SandboxOptions(scenario=tmp_path / "none.yaml", voice="tone", recogniser=False)).start()


async def test_the_log_says_when_all_speech_is_made(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ariagent.sandbox")
    asked: list[str] = []
    make, over = asyncio.Event(), asyncio.Event()

    async def say(_: Voice, text: str, *__: Any) -> bytes:
        await make.wait()
        asked.append(text)
        if len(asked) == len(texts):
            asyncio.get_running_loop().call_soon(over.set)
        return b""

    monkeypatch.setattr(Voice, "say", say)
    options = SandboxOptions(voice="tone", recogniser=False, detector="none", prewarm=True)
    texts = list(load_scenario(options.scenario).texts())
    async with SandboxServer(options):
        assert not [record for record in caplog.records if record.message == "sandbox.warmed_up"]
        make.set()
        async with asyncio.timeout(10):
            await over.wait()
    assert asked == texts
    assert [record.message for record in caplog.records].count("sandbox.warmed_up") == 1


async def test_the_end_of_the_server_ends_everything(make_place: Any) -> None:
    before = asyncio.all_tasks()
    server = SandboxServer(SandboxOptions(voice="tone", recogniser=False, detector="none"))
    async with server:
        async with connect(f"{server.url}?model=gpt-realtime-2.1", additional_headers={"api-key": "x"}) as connection:
            await connection.recv()
            await connection.send('{"type":"response.create"}')
            await server.session.wait_sent("response.output_audio.delta")
            closing = asyncio.create_task(server.close())
            async for _ in connection:  # 1001 ends it quietly
                pass
            await closing
        assert await server.session.wait_closed() == 1001
    left = {task for task in asyncio.all_tasks() - before if not task.done()}
    assert left == set()


async def test_a_server_paraphrases_as_often_as_it_was_told_whatever_the_session(make_place: Any) -> None:
    place = await make_place(paraphrase=2)

    async def said() -> str:
        client = await place.client()
        response = {"output_modalities": ["text"], "instructions": "Say exactly: Welcome aboard."}
        await client.send({"type": "response.create", "response": response})
        done = await client.until("response.done")
        return str(done["response"]["output"][0]["content"][0]["text"])

    answers = [await said() for _ in range(4)]
    assert answers[2:] == ["Welcome aboard."] * 2
    assert all("Welcome aboard." in text and text != "Welcome aboard." for text in answers[:2])
