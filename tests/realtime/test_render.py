"""Exact words from a model that may say others: against the sandbox, and servers that speak as a test wants."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr
from websockets.asyncio.server import ServerConnection, serve

from ariagent.audio.format import SLIN24
from ariagent.config import AgentSettings, RealtimeSettings
from ariagent.config.agents import OPENINGS
from ariagent.realtime import render as render_module
from ariagent.realtime.events import Usage
from ariagent.realtime.render import LONGEST_CHARACTERS, RenderError, render
from ariagent.sandbox.faults import Faults
from ariagent.sandbox.options import SandboxOptions
from ariagent.sandbox.server import SandboxServer

PATIENCE_S = 30.0
TEXT = "Hello, you talk with a machine. How can I help?"

MakeSandbox = Callable[..., Awaitable[SandboxServer]]
Speaks = Callable[..., Awaitable[RealtimeSettings]]


def realtime(url: str, **changes: Any) -> RealtimeSettings:
    return RealtimeSettings(url=url, api_key=SecretStr("sk-1"), connect_timeout_s=PATIENCE_S, **changes)


def hum(ms: float) -> bytes:
    wave = 8000 * np.sin(2 * np.pi * 300 * np.arange(int(24 * ms)) / 24_000)
    return wave.astype("<i2").tobytes()


@pytest.fixture
async def make_sandbox() -> AsyncIterator[MakeSandbox]:
    """``await make_sandbox(faults=..., **options)``: a running sandbox that hums."""
    async with AsyncExitStack() as stack:

        async def make(*, faults: str = "", **options: Any) -> SandboxServer:
            usual: dict[str, Any] = {"voice": "tone", "recogniser": False, "detector": "none", "think_ms": 0}
            chosen = {**usual, "generation_speed": 0, "faults": Faults.parse(faults), **options}
            return await stack.enter_async_context(SandboxServer(SandboxOptions(**chosen)))

        yield make


DELTA_BYTES = 48_000


@pytest.fixture
async def speaks() -> AsyncIterator[Speaks]:
    """``await speaks((transcript, pcm), ..., status=...)``: a server that answers with these items."""
    async with AsyncExitStack() as stack:

        async def start(*items: tuple[str, bytes], **response: Any) -> RealtimeSettings:
            async def talk(connection: ServerConnection) -> None:
                async def tell(kind: str, **fields: Any) -> None:
                    await connection.send(json.dumps({"type": kind, **fields}))

                await tell("session.created", session={"id": "s1"})
                async for message in connection:
                    event = json.loads(message)
                    if event["type"] == "session.update":
                        await tell("session.updated", session={"id": "s1", **event["session"]})
                    elif event["type"] == "response.create":
                        await tell("response.created", response={"id": "r1", "conversation_id": "c1"})
                        for number, (transcript, pcm) in enumerate(items):
                            place = {"response_id": "r1", "item_id": f"item_{number}"}
                            for at in range(0, len(pcm), DELTA_BYTES):
                                delta = base64.b64encode(pcm[at : at + DELTA_BYTES]).decode()
                                await tell("response.output_audio.delta", **place, delta=delta)
                            await tell("response.output_audio_transcript.done", **place, transcript=transcript)
                        await tell("response.done", response={"id": "r1", "status": "completed", **response})

            server = await stack.enter_async_context(serve(talk, "127.0.0.1", 0))
            return realtime(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}")

        yield start


async def test_words_that_are_exact_at_once(make_sandbox: MakeSandbox) -> None:
    sandbox = await make_sandbox()
    agent = AgentSettings(voice="cedar", speed=1.5, instructions="Never mind these.")
    rendering = await render(realtime(sandbox.url), agent, TEXT, "en")
    assert (rendering.transcript, rendering.tries) == (TEXT, 1)
    assert SLIN24.ms(len(rendering.pcm)) == pytest.approx(len(TEXT) * 65 / 1.5, abs=15)
    assert rendering.usage.output_audio > 0
    [session] = sandbox.sessions
    await session.wait_closed(PATIENCE_S)
    update = session.received_events("session.update")[0]["session"]
    assert update["audio"]["output"]["voice"] == "cedar"
    assert update["audio"]["output"]["speed"] == 1.5
    assert update["audio"]["input"]["transcription"] is None
    assert update["tools"] == []
    assert session.appended_ms == 0


async def test_a_paraphrase_is_asked_for_anew_in_a_session_of_its_own(make_sandbox: MakeSandbox) -> None:
    sandbox = await make_sandbox(paraphrase=2)
    rendering = await render(realtime(sandbox.url), AgentSettings(), TEXT, "en")
    assert (rendering.transcript, rendering.tries, len(sandbox.sessions)) == (TEXT, 3, 3)
    alone = (await render(realtime(sandbox.url), AgentSettings(), TEXT, "en")).usage
    assert rendering.usage.output_audio > 3 * alone.output_audio


async def test_a_model_that_never_says_the_words_is_given_up(make_sandbox: MakeSandbox) -> None:
    sandbox = await make_sandbox(paraphrase=1000)
    with pytest.raises(RenderError, match="other words 3 times") as caught:
        await render(realtime(sandbox.url), AgentSettings(), TEXT, "en")
    assert len(sandbox.sessions) == 3
    assert caught.value.usage.output_audio > 0
    assert caught.value.remedy
    assert not caught.value.hopeless


@pytest.mark.parametrize("encoding", ["pcmu", "pcma"])
@pytest.mark.parametrize("faults", ["", "g711_lies", "format_mismatch"])
@pytest.mark.parametrize("text", [TEXT, "Good day."])
async def test_pcm_is_rendered_whatever_the_calls_have(
    make_sandbox: MakeSandbox, encoding: str, faults: str, text: str
) -> None:
    """Noise in place of so short a text as the second one could not be told by its duration."""
    sandbox = await make_sandbox(faults=faults)
    rendering = await render(realtime(sandbox.url, encoding=encoding), AgentSettings(), text, "en")
    assert SLIN24.ms(len(rendering.pcm)) == pytest.approx(len(text) * 65, abs=25)
    loudest = np.abs(np.fft.rfft(np.frombuffer(rendering.pcm, "<i2").astype(float)))
    assert np.argmax(loudest) * 24_000 / (len(rendering.pcm) // 2) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("language", OPENINGS)
async def test_every_shipped_opening_is_spoken(make_sandbox: MakeSandbox, language: str) -> None:
    sandbox = await make_sandbox(voice="rms", fetch=True)
    rendering = await render(realtime(sandbox.url), AgentSettings(), OPENINGS[language], language)
    assert rendering.tries == 1
    assert 2500 < SLIN24.ms(len(rendering.pcm)) < 9000


@pytest.mark.parametrize(
    ("faults", "cause"),
    [
        ("refuse:insufficient_quota", "insufficient_quota"),
        ("http:503", "HTTP 503"),
        ("close:1011", "lost|closed|ended"),
        ("rate_limit", "rate_limit_exceeded"),
        ("content_filter", "incomplete .content_filter"),
    ],
)
async def test_a_failure_is_told_with_its_cause(make_sandbox: MakeSandbox, faults: str, cause: str) -> None:
    sandbox = await make_sandbox(faults=faults)
    with pytest.raises(RenderError, match=cause) as caught:
        await render(realtime(sandbox.url), AgentSettings(), TEXT, "en")
    assert not caught.value.hopeless


async def test_a_server_that_is_not_there(unused_tcp_port: int) -> None:
    with pytest.raises(RenderError, match="cannot reach the model"):
        await render(realtime(f"ws://127.0.0.1:{unused_tcp_port}"), AgentSettings(), TEXT, "en")


@pytest.mark.parametrize("faults", ["stall:0", "no_updated", "hang"])
async def test_a_server_that_falls_silent_is_not_waited_for(make_sandbox: MakeSandbox, faults: str) -> None:
    sandbox = await make_sandbox(faults=faults)
    with pytest.raises(RenderError, match="did not speak the text within"):
        await render(realtime(sandbox.url), AgentSettings(), TEXT, "en", timeout_s=0.5)
    for session in sandbox.sessions:
        await session.wait_closed(PATIENCE_S)


async def test_cancelling_ends_the_session(make_sandbox: MakeSandbox) -> None:
    sandbox = await make_sandbox(faults="stall:0")
    rendering = asyncio.ensure_future(render(realtime(sandbox.url), AgentSettings(), TEXT, "en"))
    session = await sandbox.wait_session(timeout=PATIENCE_S)
    rendering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rendering
    await session.wait_closed(PATIENCE_S)


@pytest.mark.parametrize("text", ["", " ... ?", "word " * LONGEST_CHARACTERS])
async def test_a_text_that_cannot_be_said_costs_no_session(make_sandbox: MakeSandbox, text: str) -> None:
    sandbox = await make_sandbox()
    with pytest.raises(RenderError) as caught:
        await render(realtime(sandbox.url), AgentSettings(), text, "en")
    assert caught.value.hopeless
    assert caught.value.remedy
    assert sandbox.sessions == []


async def test_a_text_that_takes_too_long_to_say(make_sandbox: MakeSandbox) -> None:
    sandbox = await make_sandbox(generation_speed=100)
    with pytest.raises(RenderError, match="longer than 60 s") as caught:
        await render(realtime(sandbox.url), AgentSettings(), "a" * 1100, "en")
    assert caught.value.hopeless


async def test_one_item_of_several_may_be_the_text(speaks: Speaks) -> None:
    settings = await speaks(("Sure, I will say that.", hum(1000)), (TEXT, hum(2000)))
    rendering = await render(settings, AgentSettings(), TEXT, "en")
    assert rendering.transcript == TEXT
    assert SLIN24.ms(len(rendering.pcm)) == 2000


async def test_several_items_together_may_be_the_text(speaks: Speaks) -> None:
    settings = await speaks(("Hello, you talk with a machine.", hum(1000)), ("How can I help?", hum(500)))
    assert SLIN24.ms(len((await render(settings, AgentSettings(), TEXT, "en")).pcm)) == 1500


@pytest.mark.parametrize("pcm", [hum(200), bytes(48_000 * 3), b""])
async def test_a_transcript_without_its_sound_is_not_believed(speaks: Speaks, pcm: bytes) -> None:
    settings = await speaks((TEXT, pcm))
    with pytest.raises(RenderError, match="ms of sound"):
        await render(settings, AgentSettings(), TEXT, "en")


async def test_speech_that_does_not_end_is_not_kept(speaks: Speaks) -> None:
    with pytest.raises(RenderError, match="in 20000 ms of sound"):
        await render(await speaks((TEXT, hum(20_000))), AgentSettings(), TEXT, "en")


async def test_silence_around_the_words_is_cut(speaks: Speaks) -> None:
    settings = await speaks((TEXT, SLIN24.silence(800) + hum(2000) + SLIN24.silence(1500)))
    rendering = await render(settings, AgentSettings(), TEXT, "en")
    assert SLIN24.ms(len(rendering.pcm)) == 40 + 2000 + 200


async def test_a_response_without_anything_is_no_rendering(speaks: Speaks) -> None:
    with pytest.raises(RenderError, match="other words") as caught:
        await render(await speaks(), AgentSettings(), TEXT, "en")
    assert caught.value.usage == Usage()


async def test_a_fault_of_ours_is_not_taken_for_the_models(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    sandbox = await make_sandbox()
    monkeypatch.setattr(render_module._Attempt, "_on_event", broken)
    with pytest.raises(ZeroDivisionError):
        await render(realtime(sandbox.url), AgentSettings(), TEXT, "en")
