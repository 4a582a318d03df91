"""A call's line to the model, against real WebSocket servers on loopback that go away."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from ariagent.config import AgentSettings, RealtimeSettings
from ariagent.config.peers import FallbackSettings
from ariagent.realtime import events as ev
from ariagent.realtime import line as line_module
from ariagent.realtime.health import ModelHealth
from ariagent.realtime.line import LOOK_EVERY_S, ModelLine
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.recovery import MOST_LOSSES

LIMIT_S = 20.0


class Model:
    """A server of sessions; ``told`` is what each was told after it was configured."""

    def __init__(self) -> None:
        self.url = ""
        self.connections: list[ServerConnection] = []
        self.told: list[list[dict[str, Any]]] = []
        self.refuses = 0
        """So many of the next sessions are refused."""
        self.code = ""
        """The error code that comes before the refusal."""
        self.hangs = False
        """The next sessions are never acknowledged."""
        self.lasts_s = 0.0
        """The length of a session that the server announces; 0: none."""

    async def serve(self, connection: ServerConnection) -> None:
        if self.refuses > 0:
            self.refuses -= 1
            if self.code:
                await connection.send(json.dumps({"type": "error", "error": {"type": self.code, "message": "no"}}))
            await connection.close(1013, "try again later")
            return
        if self.hangs:
            await connection.wait_closed()
            return
        self.connections.append(connection)
        told: list[dict[str, Any]] = []
        self.told.append(told)
        try:
            await connection.send(json.dumps({"type": "session.created", "session": {"id": "s"}}))
            update = json.loads(await connection.recv())
            ends = {"expires_at": time.time() + self.lasts_s} if self.lasts_s else {}
            session = {"id": "s", **update["session"], **ends}
            await connection.send(json.dumps({"type": "session.updated", "session": session}))
            async for message in connection:
                told.append(json.loads(message))
        except ConnectionClosed:
            pass

    async def says(self, kind: str, number: int = -1, **fields: Any) -> None:
        """Send a message on a connection."""
        await self.connections[number].send(json.dumps({"type": kind, **fields}))

    async def answers(self, number: int = -1) -> None:
        """Complete a response on a connection."""
        response = {"id": f"resp_{len(self.connections)}", "status": "in_progress"}
        await self.says("response.created", number, response=response)
        delta = {"response_id": response["id"], "item_id": "item", "delta": "AAAA"}
        await self.says("response.output_audio.delta", number, **delta)
        await self.says("response.done", number, response={**response, "status": "completed"})

    async def reset(self, number: int = -1) -> None:
        """Cut a connection off."""
        self.connections[number].transport.abort()


class Caller:
    """One line, with what it reported."""

    def __init__(self, model: Model, other: Model | None = None, *, in_call: bool = False, **settings: Any) -> None:
        fallback = None if other is None else FallbackSettings(url=other.url, model="another")
        realtime = RealtimeSettings(url=model.url, api_key=SecretStr("k"), fallback=fallback, **settings)
        profile = SessionProfile.of(AgentSettings(), realtime)
        self.events: list[ev.Event] = []
        self.changed = asyncio.Event()
        self.quiet = True
        self.health = ModelHealth(realtime)
        self.line = ModelLine(self.health, profile, self.on_event, self.on_event, lambda: self.quiet, in_call=in_call)
        self.running = asyncio.ensure_future(self.line.run())

    def on_event(self, event: ev.Event) -> None:
        self.events.append(event)
        if isinstance(event, ev.SessionRenewed):
            self.line.session.add_text("user", "the conversation so far")
            self.line.client.flush()
        self.changed.set()

    async def saw(self, kind: type[ev.Event], count: int = 1) -> ev.Event:
        async with asyncio.timeout(LIMIT_S):
            while True:
                found = [event for event in self.events if isinstance(event, kind)]
                if len(found) >= count:
                    return found[count - 1]
                self.changed.clear()
                await self.changed.wait()


Make = Callable[..., Awaitable[Caller]]


@asynccontextmanager
async def serving() -> AsyncIterator[Model]:
    model = Model()
    async with serve(model.serve, "127.0.0.1", 0) as server:
        model.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield model


@pytest.fixture
async def model() -> AsyncIterator[Model]:
    async with serving() as model:
        yield model


@pytest.fixture
async def other() -> AsyncIterator[Model]:
    """Another endpoint."""
    async with serving() as model:
        yield model


@pytest.fixture
async def call(model: Model) -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:

        async def make(other: Model | None = None, **settings: Any) -> Caller:
            caller = Caller(model, other, **settings)

            async def end() -> None:
                caller.running.cancel()
                await asyncio.wait([caller.running])
                await caller.line.close()

            stack.push_async_callback(end)
            return caller

        yield make


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.01)


def kinds(caller: Caller) -> list[str]:
    return [type(event).__name__ for event in caller.events]


async def test_a_lost_session_is_made_anew_and_told_what_was_said(model: Model, call: Make) -> None:
    caller = await call()
    await caller.saw(ev.SessionReady)
    await model.reset()
    renewed = await caller.saw(ev.SessionRenewed)
    assert isinstance(renewed, ev.SessionRenewed)
    assert 0 <= renewed.lost_s < LIMIT_S
    assert kinds(caller) == ["SessionReady", "SessionLost", "SessionRenewed"]
    await until(lambda: model.told[1])
    assert model.told[1][0]["item"]["content"][0]["text"] == "the conversation so far"


async def test_again_and_again(model: Model, call: Make) -> None:
    caller = await call()
    await caller.saw(ev.SessionReady)
    for count in range(1, 4):
        await model.reset()
        await caller.saw(ev.SessionRenewed, count)
        # It works: what comes is another loss, not the same one.
        response = {"type": "response.done", "response": {"id": "r", "status": "completed"}}
        await model.connections[-1].send(json.dumps(response))
        await caller.saw(ev.ResponseEnded, count)


async def test_a_server_that_refuses_for_a_while_is_asked_again(model: Model, call: Make) -> None:
    caller = await call()
    await caller.saw(ev.SessionReady)
    model.refuses = 2
    await model.reset()
    await caller.saw(ev.SessionRenewed)


@pytest.mark.parametrize("code", ["session_limit_reached", "what_nobody_heard_of"])
async def test_a_server_that_still_holds_the_lost_session_is_asked_until_it_lets_go(
    model: Model, call: Make, code: str
) -> None:
    caller = await call(recover_s=LIMIT_S)
    await caller.saw(ev.SessionReady)
    model.refuses, model.code = 3, code
    await model.reset()
    await caller.saw(ev.SessionRenewed)
    assert model.refuses == 0


async def test_the_endpoints_know_of_sessions_that_can_be_used(model: Model, call: Make) -> None:
    caller = await call()
    assert not caller.health.serves(0)
    await caller.saw(ev.SessionReady)
    assert caller.health.serves(0)
    model.refuses = 1000
    await model.reset()
    await caller.saw(ev.SessionLost)
    assert not caller.health.serves(0)
    model.refuses = 0
    await caller.saw(ev.SessionRenewed)
    assert caller.health.serves(0)
    caller.running.cancel()
    await asyncio.wait([caller.running])
    assert not caller.health.serves(0)


async def test_a_renewed_session_counts_once(model: Model, call: Make) -> None:
    model.lasts_s = 2.0  # renewed after half of it
    caller = await call()
    await caller.saw(ev.SessionRenewed)
    assert caller.health.serves(0)
    caller.running.cancel()
    await asyncio.wait([caller.running])
    assert not caller.health.serves(0)


async def test_no_audio_goes_to_a_session_that_is_not_ready(model: Model, call: Make) -> None:
    caller = await call()
    assert not caller.line.append_audio(bytes(960))
    await caller.saw(ev.SessionReady)
    assert caller.line.append_audio(bytes(960))
    model.refuses = 1
    await model.reset()
    await caller.saw(ev.SessionLost)
    assert not caller.line.append_audio(bytes(960))
    await caller.saw(ev.SessionRenewed)
    assert caller.line.append_audio(bytes(960))
    await until(lambda: len(model.told[1]) == 2)
    # The conversation so far comes first.
    assert [message["type"] for message in model.told[1]] == ["conversation.item.create", "input_audio_buffer.append"]


async def test_it_is_given_up_when_nothing_helps(model: Model, call: Make) -> None:
    caller = await call(recover_s=0.6)
    await caller.saw(ev.SessionReady)
    model.refuses = 1000
    await model.reset()
    await caller.saw(ev.SessionFailed)
    await asyncio.wait_for(caller.running, LIMIT_S)
    assert kinds(caller) == ["SessionReady", "SessionLost", "SessionFailed"]


async def test_sessions_that_are_lost_again_and_again_get_no_more_time(model: Model, call: Make) -> None:
    caller = await call(recover_s=1.0)
    await caller.saw(ev.SessionReady)
    async with asyncio.timeout(LIMIT_S):
        while not any(isinstance(event, ev.SessionFailed) for event in caller.events):
            await model.reset()
            await asyncio.sleep(0.05)
    assert "SessionRenewed" in kinds(caller)


async def test_a_session_that_stood_for_long_is_recovered_though_nobody_asked_it_anything(
    model: Model, call: Make
) -> None:
    caller = await call(recover_s=1.0, stall_timeout_s=0.1)
    await caller.saw(ev.SessionReady)
    await model.reset()
    await caller.saw(ev.SessionRenewed)
    renewed_at = time.monotonic()
    await until(lambda: time.monotonic() > renewed_at + 1.2)
    await model.reset()
    await caller.saw(ev.SessionRenewed, 2)


async def test_sessions_that_answer_may_be_lost_again_and_again(model: Model, call: Make) -> None:
    caller = await call()
    await caller.saw(ev.SessionReady)
    for losses in range(1, MOST_LOSSES + 3):
        await model.answers()
        await caller.saw(ev.ResponseEnded, losses)
        await model.reset()
        await caller.saw(ev.SessionRenewed, losses)


async def test_also_when_another_one_took_their_place_in_between(
    model: Model, call: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_module, "SHORTEST_SESSION_S", 0.05)
    model.lasts_s = 0.4
    caller = await call()
    await caller.saw(ev.SessionReady)
    for losses in range(1, MOST_LOSSES + 3):
        model.lasts_s = 0.0  # of the next one, which takes the place of this one
        caller.quiet = False
        await model.answers(max((number for number, told in enumerate(model.told) if told), default=0))
        await caller.saw(ev.ResponseEnded, losses)
        caller.quiet = True
        await caller.saw(ev.SessionRenewed, 2 * losses - 1)
        model.lasts_s = 0.4
        await model.reset()
        await caller.saw(ev.SessionRenewed, 2 * losses)
        await until(lambda: model.told[-1])


async def test_one_that_never_was_is_not_recovered(model: Model, call: Make) -> None:
    model.refuses = 1
    caller = await call()
    await caller.saw(ev.SessionFailed)
    assert kinds(caller) == ["SessionFailed"]


async def test_unless_the_caller_is_in_a_conversation_already(model: Model, call: Make) -> None:
    model.refuses = 2
    caller = await call(in_call=True)
    await caller.saw(ev.SessionReady)
    assert kinds(caller) == ["SessionReady"]
    await model.reset()
    await caller.saw(ev.SessionRenewed)


async def test_whose_patience_ends_too(model: Model, call: Make) -> None:
    model.refuses = 1000
    caller = await call(in_call=True, recover_s=0.3)
    await caller.saw(ev.SessionFailed)
    assert kinds(caller) == ["SessionFailed"]
    assert model.refuses < 999


async def test_a_session_that_is_about_to_expire_is_changed_in_a_quiet_moment(model: Model, call: Make) -> None:
    model.lasts_s = 2.0  # renewed after half of it
    caller = await call()
    caller.quiet = False
    await caller.saw(ev.SessionReady)
    await until(lambda: time.monotonic() and len(model.connections) >= 1)
    caller.quiet = True
    renewed = await caller.saw(ev.SessionRenewed)
    assert renewed == ev.SessionRenewed(0.0)
    assert "SessionLost" not in kinds(caller)
    await until(lambda: model.told[1])
    assert caller.line.append_audio(bytes(960))


async def test_a_session_that_waits_for_its_turn_tells_nothing(model: Model, call: Make) -> None:
    model.lasts_s = 2.0
    caller = await call()
    caller.quiet = False
    await caller.saw(ev.SessionReady)
    await until(lambda: len(model.told) == 2)
    await model.says("input_audio_buffer.speech_started", 1, item_id="waits", audio_start_ms=0)
    await model.says("response.output_audio.delta", 1, response_id="r", item_id="i", delta="AAAA")
    await model.says("input_audio_buffer.speech_started", 0, item_id="talks", audio_start_ms=0)
    await caller.saw(ev.SpeechStarted)
    caller.quiet = True
    await caller.saw(ev.SessionRenewed)
    await model.says("input_audio_buffer.speech_started", 1, item_id="later", audio_start_ms=0)
    await caller.saw(ev.SpeechStarted, 2)
    assert [event.item_id for event in caller.events if isinstance(event, ev.SpeechStarted)] == ["talks", "later"]
    assert "AudioArrived" not in kinds(caller)


async def test_one_that_expires_before_there_was_a_quiet_moment_is_taken_over_at_once(model: Model, call: Make) -> None:
    model.lasts_s = 2.0
    caller = await call()
    caller.quiet = False
    await caller.saw(ev.SessionReady)
    await until(lambda: len(model.told) == 2)
    await asyncio.sleep(2 * LOOK_EVERY_S)  # the new one is ready, and waits
    assert kinds(caller) == ["SessionReady"]
    await model.connections[0].close(1001, "Your session hit the maximum duration of 60 minutes.")
    await caller.saw(ev.SessionRenewed)
    [_, lost, _] = caller.events
    assert isinstance(lost, ev.SessionLost)
    assert lost.fault is ev.Fault.EXPIRED
    # No third one was made.
    assert len(model.connections) == 2
    assert caller.line.append_audio(bytes(960))
    await until(lambda: model.told[1])


@pytest.mark.parametrize(("lasts_s", "least_s"), [(-5.0, float("inf")), (0.01, 0.5)])
async def test_a_server_that_says_it_ends_at_once_is_not_connected_to_again_and_again(
    model: Model, call: Make, lasts_s: float, least_s: float
) -> None:
    model.lasts_s = lasts_s
    caller = await call()
    caller.quiet = False
    await caller.saw(ev.SessionReady)
    assert caller.line._until_renewal_s() >= least_s


async def says_nothing(model: Model, caller: Caller) -> None:
    """The newest session is asked for two responses, and both have nothing in them."""
    caller.line.session.request_response(time.monotonic())
    caller.line.client.flush()
    for number in (1, 2):
        await until(lambda n=number: sum(m["type"] == "response.create" for m in model.told[-1]) == n)
        response = {"id": f"r{number}", "conversation_id": "c"}
        await model.connections[-1].send(json.dumps({"type": "response.created", "response": response}))
        await model.connections[-1].send(
            json.dumps({"type": "response.done", "response": {**response, "status": "completed"}})
        )


async def test_a_model_that_says_nothing_gets_another_session_and_not_a_third(model: Model, call: Make) -> None:
    caller = await call(recover_s=60)
    await caller.saw(ev.SessionReady)
    await says_nothing(model, caller)
    await caller.saw(ev.SessionRenewed)
    await says_nothing(model, caller)
    failed = await caller.saw(ev.SessionFailed)
    assert isinstance(failed, ev.SessionFailed)
    assert failed.fault is ev.Fault.SILENT
    await asyncio.wait_for(caller.running, LIMIT_S)
    assert len(model.connections) == 2


async def test_a_model_that_says_nothing_is_left_for_another_endpoint(model: Model, other: Model, call: Make) -> None:
    caller = await call(other)
    await caller.saw(ev.SessionReady)
    await says_nothing(model, caller)
    await caller.saw(ev.SessionRenewed)
    assert (len(model.connections), len(other.connections)) == (1, 1)


async def test_a_renewal_that_fails_leaves_the_old_session(model: Model, call: Make) -> None:
    model.lasts_s = 1.0
    caller = await call()
    await caller.saw(ev.SessionReady)
    model.refuses = 1
    await until(lambda: model.refuses == 0)
    assert caller.line.append_audio(bytes(960))
    await until(lambda: model.told[0])


async def test_a_renewal_that_fails_elsewhere_says_nothing_of_the_endpoint_in_use(
    model: Model, other: Model, call: Make
) -> None:
    """The session that is lost afterwards was the first endpoint's: the next one is made at the other."""
    model.lasts_s, other.refuses = 1.0, 1
    caller = await call(other)
    await caller.saw(ev.SessionReady)
    caller.health.session_failed(0, time.monotonic())  # in another call
    await until(lambda: other.refuses == 0)
    model.refuses = 1000
    caller.line.give_up("the server floods")
    await caller.saw(ev.SessionRenewed)
    assert (len(model.connections), len(other.connections)) == (1, 1)
    assert model.refuses == 1000, "the endpoint that was just lost is not asked first"


async def test_another_endpoint_takes_over_when_the_first_refuses(model: Model, other: Model, call: Make) -> None:
    model.refuses = 1000
    caller = await call(other)
    await caller.saw(ev.SessionReady)
    assert kinds(caller) == ["SessionReady"]
    assert caller.line.session.profile.model == "another"
    assert (len(model.connections), len(other.connections)) == (0, 1)


async def test_and_in_the_middle_of_a_call(model: Model, other: Model, call: Make) -> None:
    caller = await call(other)
    await caller.saw(ev.SessionReady)
    model.refuses = 1000
    await model.reset()
    await caller.saw(ev.SessionRenewed)
    assert len(other.connections) == 1


async def test_a_server_that_says_nothing_leaves_time_for_the_other(model: Model, other: Model, call: Make) -> None:
    caller = await call(other, recover_s=6.0)
    await caller.saw(ev.SessionReady)
    model.hangs = True
    await model.reset()
    await caller.saw(ev.SessionRenewed)
    assert (len(model.connections), len(other.connections)) == (1, 1)


async def test_other_calls_go_on_asking_a_server_that_refused_the_settings_of_this_one(
    model: Model, other: Model, call: Make
) -> None:
    model.refuses, model.code = 1, "invalid_value"
    caller = await call(other)
    await caller.saw(ev.SessionReady)
    assert (len(model.connections), len(other.connections)) == (0, 1)
    assert caller.health.choose(time.monotonic()) == 0


async def test_when_both_refuse_that_is_told(model: Model, other: Model, call: Make) -> None:
    model.refuses = other.refuses = 1000
    caller = await call(other)
    await caller.saw(ev.SessionFailed)
    assert kinds(caller) == ["SessionFailed"]


async def test_nothing_is_heard_of_after_the_end(model: Model, call: Make) -> None:
    caller = await call()
    await caller.saw(ev.SessionReady)
    await caller.line.close()
    await asyncio.wait_for(caller.running, LIMIT_S)
    assert kinds(caller) == ["SessionReady"]


async def test_nothing_follows_a_close_in_the_middle_of_a_recovery(model: Model, call: Make) -> None:
    caller = await call(recover_s=60)
    await caller.saw(ev.SessionReady)
    model.refuses = 1  # the first attempt: the next one is made after a pause
    await model.reset()
    await caller.saw(ev.SessionLost)
    await caller.line.close()
    seen = len(caller.events)
    async with asyncio.timeout(LIMIT_S):
        await caller.running
    assert len(caller.events) == seen
    assert len(model.connections) == 1


async def test_nothing_follows_a_close_that_comes_as_the_first_session_fails(
    model: Model, other: Model, call: Make
) -> None:
    model.refuses = 1
    caller = await call(other)
    async with asyncio.timeout(LIMIT_S):
        while caller.line._failure is None:
            await asyncio.sleep(0)
    await caller.line.close()
    await asyncio.wait_for(asyncio.wait((caller.running,)), LIMIT_S)
    assert other.connections == []
