"""The official ``openai-agents`` package's RealtimeSession, unchanged, against the sandbox.

It checks every server event with pydantic and reports what does not fit as an error event. The package is imported in
the test: that takes two seconds, which whoever runs other tests need not wait.
"""

import asyncio
import logging
from typing import Any

import pytest


async def read(session: Any, done: Any) -> list[Any]:
    """Events up to the first for which ``done`` holds."""
    events = []
    async with asyncio.timeout(20):
        async for event in session:
            events.append(event)
            if done(event):
                return events
    raise AssertionError("the session ended")


def raw(kind: str) -> Any:
    """Whether an event is the raw server event of this type."""

    def check(event: Any) -> bool:
        data = getattr(event, "data", None)
        raw_event = getattr(data, "data", None)
        return event.type == "raw_model_event" and isinstance(raw_event, dict) and raw_event.get("type") == kind

    return check


async def test_agents_session_speech_interruption_and_a_function_tool(
    make_place: Any, speech_like: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from agents import function_tool, set_tracing_disabled
    from agents.realtime import RealtimeAgent, RealtimeRunner

    looked_up: list[str] = []

    @function_tool
    def lookup_order(number: str) -> str:
        """State of an order."""
        looked_up.append(number)
        return "it is ready"

    set_tracing_disabled(True)
    caplog.set_level(logging.WARNING)
    place = await make_place()
    agent = RealtimeAgent(name="desk", instructions="You answer the telephone.", tools=[lookup_order])
    runner = RealtimeRunner(agent)
    detection = {"type": "server_vad", "silence_duration_ms": 300, "interrupt_response": True, "create_response": True}
    config: Any = {
        "url": f"{place.server.url}?model=gpt-realtime-2.1",
        "api_key": "sk-test",
        "initial_model_settings": {"model_name": "gpt-realtime-2.1", "turn_detection": detection},
    }
    seen: list[Any] = []
    async with await runner.run(model_config=config) as session:
        await session.send_message("My order number is 427")
        seen += await read(session, lambda event: event.type == "tool_end")
        assert looked_up == ["427"]
        seen += await read(session, lambda event: event.type == "audio_end")
        seen += await read(session, raw("response.done"))

        await session.send_message("Tell me about your prices")
        seen += await read(session, lambda event: event.type == "audio")
        audio = speech_like(300) + bytes(48 * 500)
        for at in range(0, len(audio), 960):
            await session.send_audio(audio[at : at + 960])
        seen += await read(session, lambda event: event.type == "audio_interrupted")
        seen += await read(session, raw("conversation.item.retrieved"))
        seen += await read(session, raw("response.done"))
        record = place.server.session
        assert record.received_events("conversation.item.truncate")

    errors = [event for event in seen if event.type == "error" and "already shorter" not in str(event.error)]
    assert errors == []
    kinds = {event.type for event in seen}
    assert {"agent_start", "agent_end", "history_added", "tool_start", "tool_end", "audio"} <= kinds
    complaints = [r.getMessage() for r in caplog.records if r.name.startswith("openai.agents")]
    assert complaints == []
    wrong = [event["error"]["message"] for event in place.server.session.sent_events("error")]
    assert all("already shorter" in message for message in wrong)
