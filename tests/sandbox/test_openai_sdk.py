"""The official ``openai`` package's realtime client, unchanged, against the sandbox.

The package is imported where it is used: that takes a second, which whoever runs other tests need not wait.
"""

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosedError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

TOOL: Any = {
    "type": "function",
    "name": "lookup_order",
    "description": "State of an order",
    "parameters": {"type": "object", "properties": {"number": {"type": "string"}}},
}


def client(place: Any, key: str = "sk-test") -> "AsyncOpenAI":
    from openai import AsyncOpenAI

    return AsyncOpenAI(api_key=key, base_url=place.server.base_url)


async def read(connection: Any, kind: str) -> list[Any]:
    """Events up to the first of this type."""
    events = []
    async with asyncio.timeout(20):
        async for event in connection:
            events.append(event)
            if event.type == kind:
                return events
    raise AssertionError(f"closed before {kind}")


async def test_openai_sdk_audio_turn_and_truncate(make_place: Any, speech_like: Any) -> None:
    place = await make_place()
    async with client(place).realtime.connect(model="gpt-realtime-2.1") as connection:
        await read(connection, "session.created")
        await connection.session.update(
            session={"type": "realtime", "audio": {"output": {"voice": "cedar"}}, "instructions": "Be brief."}
        )
        [updated] = await read(connection, "session.updated")
        assert updated.session.audio.output.voice == "cedar"
        audio = speech_like(500) + bytes(48 * 400)
        for at in range(0, len(audio), 4800):
            await connection.input_audio_buffer.append(audio=base64.b64encode(audio[at : at + 4800]).decode())
        events = await read(connection, "response.done")
        kinds = [event.type for event in events]
        assert kinds[:3] == [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
        ]
        spoken = b"".join(base64.b64decode(e.delta) for e in events if e.type == "response.output_audio.delta")
        assert len(spoken) > 48_000
        item_id = events[-1].response.output[0].id
        await connection.conversation.item.truncate(item_id=item_id, content_index=0, audio_end_ms=640)
        truncated = (await read(connection, "conversation.item.truncated"))[-1]
        assert truncated.audio_end_ms == 640


async def test_openai_sdk_text_turn_function_call_and_errors(make_place: Any) -> None:
    place = await make_place()
    async with client(place).realtime.connect(model="gpt-realtime-2.1") as connection:
        await connection.session.update(
            session={"type": "realtime", "output_modalities": ["text"], "tools": [TOOL], "tool_choice": "auto"}
        )
        await connection.conversation.item.create(
            item={
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "My order number is 427"}],
            }
        )
        await connection.response.create()
        done = (await read(connection, "response.done"))[-1].response
        call = done.output[-1]
        assert (call.type, call.name, json.loads(call.arguments)) == (
            "function_call",
            "lookup_order",
            {"number": "427"},
        )
        await connection.conversation.item.create(
            item={"type": "function_call_output", "call_id": call.call_id, "output": "it is ready"}
        )
        await connection.response.create()
        events = await read(connection, "response.done")
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        assert text == "I have it. The workshop says it is ready. Is there anything else?"
        assert events[-1].response.usage.input_token_details.cached_tokens_details is not None
        await connection.response.cancel(event_id="cancel-1")
        error = (await read(connection, "error"))[-1].error
        assert (error.code, error.event_id) == ("response_cancel_not_active", "cancel-1")
        await connection.conversation.item.retrieve(item_id="item_none")
        assert (await read(connection, "error"))[-1].error.code == "item_retrieve_invalid_item_id"


async def test_openai_sdk_sees_a_refused_key_and_an_expired_session(make_place: Any) -> None:
    place = await make_place(session_seconds=0.5)
    async with client(place, "bad-key").realtime.connect(model="gpt-realtime-2.1") as connection:
        assert (await read(connection, "error"))[-1].error.code == "invalid_api_key"
        with pytest.raises(ConnectionClosedError) as closed:
            await connection.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 3000
    async with client(place).realtime.connect(model="gpt-realtime-2.1") as connection:
        kinds = [event.type async for event in connection]  # 1001 ends it without an exception
        assert kinds == ["session.created", "error"]


async def test_openai_sdk_lists_the_models_with_their_ends(make_place: Any) -> None:
    from openai import AuthenticationError, NotFoundError

    place = await make_place()
    async with client(place) as sdk:
        listed = {model.id: model async for model in sdk.models.list()}
        one = await sdk.models.retrieve("gpt-realtime")
        with pytest.raises(NotFoundError):
            await sdk.models.retrieve("gpt-none")
    assert listed["gpt-realtime-2.1"].model_dump()["shutdown_date"] is None
    assert one.model_dump()["shutdown_date"] == "2027-01-20"
    assert one == listed["gpt-realtime"]
    async with client(place, key="bad") as stranger:
        with pytest.raises(AuthenticationError):
            await stranger.models.list()
