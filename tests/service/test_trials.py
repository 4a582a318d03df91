"""The service's trials of the model, against servers that refuse as a test wants."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from ariagent.config import AgentSettings, RealtimeSettings, Settings
from ariagent.config.peers import FallbackSettings
from ariagent.realtime.client import RealtimeClient
from ariagent.realtime.events import Event, Fault, SessionFailed
from ariagent.realtime.health import ModelHealth
from ariagent.realtime.profile import SessionProfile
from ariagent.service.trials import ModelTrial
from tests.foreignserver import foreign

Start = Callable[..., Awaitable["Server"]]
GOOD, BAD, WORSE = AgentSettings(voice="good"), AgentSettings(voice="bad"), AgentSettings(voice="worse")
FULL = "Only one concurrent session is supported"


class Server:
    """Refuses the settings of agents whose voice is not among ``accepted``; with ``full`` every session."""

    def __init__(self, *, full: bool) -> None:
        self.full = full
        self.accepted = {"good"}
        self.asked: list[str] = []
        """The voices that were asked for."""
        self.url = ""

    async def talk(self, connection: ServerConnection) -> None:
        if self.full:
            error = {"type": "session_limit_reached", "code": None, "message": FULL}
            await connection.send(json.dumps({"type": "error", "error": error}))
            await connection.close(1008, FULL)
            return
        await connection.send(json.dumps({"type": "session.created", "session": {"id": "s1"}}))
        session = json.loads(await connection.recv())["session"]
        voice = session["audio"]["output"]["voice"]
        self.asked.append(voice)
        if voice in self.accepted:
            await connection.send(json.dumps({"type": "session.updated", "session": session}))
        else:
            error = {"type": "invalid_request_error", "code": "invalid_value", "message": f"no voice {voice}"}
            await connection.send(json.dumps({"type": "error", "error": error}))
        await connection.wait_closed()

    def settings(self, **agents: AgentSettings) -> Settings:
        return Settings(realtime=RealtimeSettings(url=self.url), agents=agents)


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """``await start(full=...)``: a running server."""
    async with AsyncExitStack() as stack:

        async def make(*, full: bool = False) -> Server:
            server = Server(full=full)
            listening = await stack.enter_async_context(serve(server.talk, "127.0.0.1", 0))
            server.url = f"ws://127.0.0.1:{next(iter(listening.sockets)).getsockname()[1]}"
            return server

        yield make


def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    return [record.fields for record in caplog.records if record.getMessage() == event]  # type: ignore[attr-defined]


async def test_one_agents_bad_setting_is_not_the_others(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    server = await start()
    settings = server.settings(one=BAD, two=GOOD, three=GOOD, four=WORSE)
    trial = ModelTrial(lambda: settings, lambda model, usage: None, ModelHealth(settings.realtime))
    assert await trial() == ""
    assert list(trial.refused) == ["one", "four"]
    assert "no voice bad" in trial.refused["one"]
    assert [fields["agents"] for fields in logged(caplog, "agent.refused")] == ["one", "four"]
    assert server.asked == ["bad", "good", "worse"]
    assert await trial() == ""
    assert len(logged(caplog, "agent.refused")) == 2


async def test_settings_that_are_corrected_are_tried_for_every_agent(start: Start) -> None:
    server = await start()
    now = [server.settings(one=BAD, two=GOOD)]
    trial = ModelTrial(lambda: now[0], lambda model, usage: None, ModelHealth(now[0].realtime))
    await trial()
    now[0] = server.settings(one=GOOD, two=BAD)
    assert await trial() == ""
    assert list(trial.refused) == ["two"]


async def test_an_agent_that_works_again_is_not_listed_any_more(start: Start) -> None:
    server = await start()
    server.accepted.add("calm")
    settings = server.settings(one=GOOD, two=BAD, three=AgentSettings(voice="calm"), four=WORSE)
    trial = ModelTrial(lambda: settings, lambda model, usage: None, ModelHealth(settings.realtime))
    assert await trial() == ""
    assert list(trial.refused) == ["two", "four"]
    server.accepted.add("bad")
    server.asked.clear()
    assert await trial() == ""
    assert list(trial.refused) == ["four"]
    assert server.asked == ["good", "bad", "worse"], "one that works is enough, beside those that were refused"


async def test_a_trial_of_a_fallback_is_none_of_the_first_endpoint(start: Start) -> None:
    first, second = await start(full=True), await start()
    realtime = RealtimeSettings(url=first.url, fallback=FallbackSettings(url=second.url))
    settings = Settings(realtime=realtime, agents={"one": GOOD, "two": BAD})
    trial = ModelTrial(lambda: settings, lambda model, usage: None, ModelHealth(settings.realtime))
    assert await trial() == ""
    assert (second.asked, trial.refused) == (["good"], {})
    first.full = False
    assert await trial() == ""
    assert (first.asked, list(trial.refused)) == (["good", "bad"], ["two"])


async def test_if_every_agent_is_refused_the_model_cannot_be_used(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    server = await start()
    settings = server.settings(one=BAD, two=WORSE)
    trial = ModelTrial(lambda: settings, lambda model, usage: None, ModelHealth(settings.realtime))
    assert "no voice bad" in await trial()
    assert len(logged(caplog, "model.unusable")) == 1


async def test_g711_that_is_not_spoken_is_noise_to_every_caller() -> None:
    async with foreign(g711="lies") as server:
        settings = Settings(realtime=RealtimeSettings(url=server.url, encoding="pcmu"))
        health = ModelHealth(settings.realtime)
        fault = await ModelTrial(lambda: settings, lambda model, usage: None, health)()
        assert "acknowledged audio/pcmu and does not speak it" in fault
        assert "Set realtime.encoding to pcm" in fault

        # Nor does any call get that far from now on, whichever way it came.
        heard: list[Event] = []
        profile = SessionProfile.of(GOOD, settings.realtime)
        client = RealtimeClient(settings.realtime, profile, heard.append, health.dialects[0])
        await asyncio.wait_for(client.run(), 20)
    [failed] = heard
    assert isinstance(failed, SessionFailed)
    assert (failed.fault, "would be noise" in failed.cause) == (Fault.REQUEST, True)


@pytest.mark.parametrize("encoding", ["pcm", "pcmu"])
async def test_what_is_spoken_passes(encoding: Any) -> None:
    async with foreign() as server:
        settings = Settings(realtime=RealtimeSettings(url=server.url, encoding=encoding))
        assert await ModelTrial(lambda: settings, lambda model, usage: None, ModelHealth(settings.realtime))() == ""
        asked = [event["type"] for event in server.heard]
    assert asked.count("response.create") == (encoding != "pcm")


async def test_after_silence_a_session_is_no_proof_and_speech_is() -> None:
    async with foreign() as server:
        settings = Settings(realtime=RealtimeSettings(url=server.url))
        health = ModelHealth(settings.realtime)
        trial = ModelTrial(lambda: settings, lambda model, usage: None, health)
        health.fell_silent()
        health.session_made(0)
        assert await trial() == ""
        assert not health.must_speak
        assert await trial() == ""
        asked = [event["type"] for event in server.heard]
    assert asked.count("response.create") == 1


@pytest.mark.parametrize("serves", [True, False])
async def test_a_full_server_works_as_its_calls_prove(
    start: Start, caplog: pytest.LogCaptureFixture, serves: bool
) -> None:
    server = await start(full=True)
    settings = server.settings(one=GOOD)
    health = ModelHealth(settings.realtime)
    if serves:
        health.session_made(0)
    trial = ModelTrial(lambda: settings, lambda model, usage: None, health)
    fault = await trial()
    assert bool(fault) is not serves
    assert len(logged(caplog, "model.full")) == serves
    assert len(logged(caplog, "model.unusable")) == (not serves)
    assert trial.refused == {}
    said = fault or logged(caplog, "model.full")[0]["cause"]
    assert "session_limit_reached" in said
    assert "max_calls" in said
