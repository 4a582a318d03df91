"""Servers that speak the protocol otherwise than OpenAI's, imitated; all but the waiting is seen on the raw wire."""

import base64
import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

TOOL = {"type": "function", "name": "look", "description": "", "parameters": {"type": "object"}}
LOOK = "rules: [{when: {said: look}, then: [{call: {name: look}}]}]\notherwise: I see."


def text(words: str, role: str = "user") -> dict[str, Any]:
    content = [{"type": "input_text", "text": words}]
    return {"type": "conversation.item.create", "item": {"type": "message", "role": role, "content": content}}


def update(**session: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": {"type": "realtime", **session}}


def truncate(item_id: str) -> dict[str, Any]:
    return {"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0, "audio_end_ms": 100}


async def heard_bytes(client: Any, kind: str = "response.output_audio.delta") -> int:
    await client.send({"type": "response.create"})
    await client.until("response.done")
    return sum(len(base64.b64decode(event["delta"])) for event in client.of(kind))


async def test_no_truncated_does_nothing_and_says_nothing(make_place: Any) -> None:
    place = await make_place("otherwise: One two three four.", faults="no_truncated")
    client = await place.client()
    await client.send(text("x"))
    await client.send({"type": "response.create"})
    done = await client.until("response.done")
    await client.until("rate_limits.updated")
    client.events.clear()
    await client.send(truncate(done["response"]["output"][0]["id"]))
    await client.send(truncate("item_none"))
    await client.fence()
    assert client.kinds == ["error"]
    await client.send({"type": "response.create"})
    await client.until("response.done")
    assert "One two three four." in place.server.session.texts


@pytest.mark.parametrize("kind", ["audio/pcmu", "audio/pcma"])
async def test_g711_lies_acknowledges_what_it_does_not_speak(make_place: Any, kind: str) -> None:
    place = await make_place("opening: One two.\notherwise: x", faults="g711_lies")
    client = await place.client()
    shape = {"format": {"type": kind}}
    await client.send(update(audio={"input": shape, "output": shape}))
    session = (await client.until("session.updated"))["session"]
    assert [session["audio"][side]["format"] for side in ("input", "output")] == [{"type": kind}] * 2
    ms = 65 * len("One two.")
    assert await heard_bytes(client) == pytest.approx(ms * 32, abs=32)  # 16 kHz, 16 bit
    await client.send({"type": "input_audio_buffer.append", "audio": base64.b64encode(bytes(3200)).decode()})
    await client.fence()
    assert place.server.session.appended_ms == 100
    honest = await (await make_place("opening: One two.\notherwise: x")).client()
    await honest.send(update(audio={"output": shape}))
    assert await heard_bytes(honest) == pytest.approx(ms * 8, abs=8)


async def test_g711_lies_leaves_pcm_as_it_is(make_place: Any) -> None:
    client = await (await make_place("opening: One two.\notherwise: x", faults="g711_lies")).client()
    assert await heard_bytes(client) == pytest.approx(65 * len("One two.") * 48, abs=48)


@pytest.mark.parametrize("held", [True, False])
async def test_hold_stop_ends_no_turn_before_there_is_output(make_place: Any, speech_like: Any, held: bool) -> None:
    place = await make_place("otherwise: [{wait: 0.5}, {say: I see.}]", faults="hold_stop" if held else "")
    client = await place.client()
    transcription = {"input": {"transcription": {"model": "gpt-transcribe"}}}
    await client.send(update(audio=transcription))
    await client.append(speech_like(500) + bytes(48 * 500))
    await client.fence()
    assert "input_audio_buffer.speech_started" in client.kinds
    assert ("input_audio_buffer.speech_stopped" in client.kinds) is not held
    await client.until("response.done")
    kinds = [kind for kind in client.kinds if kind.startswith(("input_audio_buffer", "response.", "conversation"))]
    order = [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "response.created",
        "response.output_item.added",
        "response.output_audio_transcript.delta",
    ]
    assert [kinds.index(kind) for kind in order] == sorted(kinds.index(kind) for kind in order)
    if held:
        words = "conversation.item.input_audio_transcription.completed"
        assert kinds.index(words) > kinds.index("input_audio_buffer.speech_stopped")


async def test_hold_stop_waits_for_the_running_response(make_place: Any, speech_like: Any) -> None:
    place = await make_place(
        "opening: This is going to take a while.\notherwise: I see.", faults="hold_stop", generation_speed=2.0
    )
    client = await place.client()
    await client.send(update(audio={"input": {"turn_detection": {"type": "server_vad", "interrupt_response": False}}}))
    await client.send({"type": "response.create"})
    await client.until("response.output_audio.delta")
    await client.append(speech_like(500) + bytes(48 * 500))
    await client.until("response.done", count=2)
    kinds = client.kinds
    assert "error" not in kinds
    stopped = kinds.index("input_audio_buffer.speech_stopped")
    assert kinds.index("input_audio_buffer.speech_started") < kinds.index("response.done") < stopped
    assert stopped < len(kinds) - 1 - kinds[::-1].index("response.created")
    first, second = client.of("response.done")
    assert (first["response"]["status"], second["response"]["status"]) == ("completed", "completed")


@pytest.mark.parametrize("faults", ["hold_stop,stall", "hold_stop,stall:9000", "stall:0,hold_stop"])
def test_hold_stop_with_stall_never_ends_the_turn(make_desk: Any, faults: str) -> None:
    desk = make_desk(faults=faults)
    desk.speak()
    desk.run(1000)
    assert "input_audio_buffer.speech_started" in desk.kinds
    assert not desk.of("input_audio_buffer.speech_stopped", "input_audio_buffer.committed", "response.created")


async def test_pending_calls_refuses_until_the_call_has_its_output(make_place: Any, speech_like: Any) -> None:
    place = await make_place(LOOK, faults="pending_calls")
    client = await place.client()
    await client.send(update(tools=[TOOL]))
    await client.send(text("look"))
    await client.send({"type": "response.create"})
    call = (await client.until("response.done"))["response"]["output"][0]

    await client.send({"type": "response.create"})
    error = (await client.until("error"))["error"]
    assert (error["type"], error["code"]) == ("function_call_output_pending", None)

    client.events.clear()
    await client.append(speech_like(500) + bytes(48 * 500))
    done = (await client.until("response.done"))["response"]
    assert client.of("error")[0]["error"]["type"] == "response_failed"
    assert (done["status"], done["status_details"]["error"]["type"]) == ("failed", "response_failed")

    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "{}"}
    await client.send({"type": "conversation.item.create", "item": output})
    await client.send({"type": "response.create"})
    assert (await client.until("response.done"))["response"]["status"] == "completed"


async def test_pending_calls_lets_out_of_band_responses_through(make_place: Any) -> None:
    client = await (await make_place(LOOK, faults="pending_calls")).client()
    await client.send(update(tools=[TOOL]))
    await client.send(text("look"))
    await client.send({"type": "response.create"})
    await client.until("response.done")
    await client.send(
        {"type": "response.create", "response": {"conversation": "none", "instructions": "Say exactly: x"}}
    )
    assert (await client.until("response.done"))["response"]["status"] == "completed"


@pytest.mark.parametrize(("faults", "known"), [("one_system", ["Two.", "Hello"]), ("", ["One.", "Two.", "Hello"])])
async def test_one_system_knows_only_the_last_one(make_place: Any, faults: str, known: list[str]) -> None:
    place = await make_place("otherwise: x", faults=faults)
    client = await place.client()
    for words, role in (("One.", "system"), ("Two.", "system"), ("Hello", "user")):
        await client.send(text(words, role))
    await client.send({"type": "response.create"})
    done = await client.until("response.done")
    conversation = place.server.session.conversation_of(done["response"]["id"])
    assert [item["text"] for item in conversation["items"]] == known
    assert len(client.of("conversation.item.added")) == 4


async def test_no_parallel_refuses_a_response_beside_another(make_place: Any) -> None:
    place = await make_place("otherwise: [{wait: 30}, {say: x}]", faults="no_parallel")
    client = await place.client()
    out_of_band = {"conversation": "none", "instructions": "Say exactly: x"}
    await client.send(text("x"))
    await client.send({"type": "response.create"})
    await client.until("response.created")
    await client.send({"type": "response.create", "response": out_of_band})
    error = (await client.until("error"))["error"]
    assert (error["type"], error["code"]) == ("conversation_already_has_active_response", None)
    await client.send({"type": "response.cancel"})
    await client.until("response.done")
    await client.send({"type": "response.create", "response": out_of_band})
    assert (await client.until("response.done"))["response"]["status"] == "completed"


async def test_slots_are_few(make_place: Any) -> None:
    place = await make_place(faults="slots:2")
    clients = [await place.client() for _ in range(2)]
    for client in clients:
        await client.until("session.created")
    third = await place.client()
    error = (await third.until("error"))["error"]
    assert (error["type"], error["code"]) == ("session_limit_reached", None)
    assert error["message"] == "All 2 session slots are in use. Disconnect an existing client first."
    with pytest.raises(ConnectionClosed) as closed:
        await third.until("session.created")
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "All session slots are in use")
    await clients[0].connection.close()
    await place.server.sessions[0].wait_closed()
    await (await place.client()).until("session.created")


async def test_beta_items_have_the_old_names_and_shapes(make_place: Any, speech_like: Any) -> None:
    client = await (await make_place(faults="beta_items")).client(judged=False)
    await client.append(speech_like(500) + bytes(48 * 500))
    done = await client.until("response.done")
    await client.send(update(output_modalities=["text"]))
    await client.send({"type": "response.create"})
    await client.until("response.done")
    kinds = set(client.kinds)
    assert {
        "conversation.item.created",
        "response.audio.delta",
        "response.audio.done",
        "response.audio_transcript.delta",
        "response.audio_transcript.done",
        "response.text.delta",
        "response.text.done",
    } <= kinds
    assert not any("output_audio" in kind or "output_text" in kind for kind in kinds)
    assert not kinds & {"conversation.item.added", "conversation.item.done"}
    assert "output_audio" not in json.dumps(client.events)
    assert done["response"]["output"][0]["content"][0]["type"] == "audio"


async def test_binary_frames_hold_the_events(make_place: Any) -> None:
    client = await (await make_place(faults="binary_frames")).client()
    first = await client.connection.recv()
    assert isinstance(first, bytes)
    assert json.loads(first)["type"] == "session.created"
    await client.send({"type": "response.create"})
    assert (await client.until("response.done"))["response"]["status"] == "completed"


async def test_no_rate_acknowledges_a_format_without_it(make_place: Any) -> None:
    place = await make_place(faults="no_rate")
    client = await place.client()
    created = await client.until("session.created")
    await client.send(update(audio={"input": {"format": {"type": "audio/pcm", "rate": 24000}}}))
    updated = await client.until("session.updated")
    for event in (created, updated):
        assert [side["format"] for side in event["session"]["audio"].values()] == [{"type": "audio/pcm"}] * 2
    assert place.server.session.settings["audio"]["input"]["format"]["rate"] == 24000


async def test_code_in_type_leaves_the_code_null(make_place: Any) -> None:
    client = await (await make_place(faults="code_in_type")).client()
    await client.send({"type": "response.cancel"})
    error = (await client.until("error"))["error"]
    assert (error["type"], error["code"]) == ("response_cancel_not_active", None)


async def test_a_scenario_may_have_faults_too(make_place: Any) -> None:
    place = await make_place("faults: [no_rate, 'slots:1']\notherwise: x", faults="code_in_type")
    client = await place.client()
    created = await client.until("session.created")
    assert "rate" not in created["session"]["audio"]["input"]["format"]
    assert (await (await place.client()).until("error"))["error"]["type"] == "session_limit_reached"
    other = await place.client("model=gpt-realtime-2.1&fault=null_event_id")
    assert "rate" in (await other.until("session.created"))["session"]["audio"]["input"]["format"]
