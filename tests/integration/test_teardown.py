"""Ends of calls in every order of events. After each: one termination, and no channel, bridge, socket or task left.

A proxy between the service and ARI keeps one request, or its answer, back, so that a moment lasts as long as a test
needs. That nothing is left, and that every call ended once, is checked by the fixtures after each test. These are some
of each kind: every moment, both ways, request and answer, are in ``tests/call/test_teardown.py``, in memory.
"""

import asyncio
import time
from typing import Any

import pytest
from pydantic import SecretStr

from ariagent.ari.client import AriClient
from ariagent.call.machine import State
from ariagent.config import AsteriskSettings
from ariagent.sandbox.faults import Faults
from ariagent.sandbox.server import SandboxServer
from lab.call import Call
from lab.call_setup import CallState
from lab.proxy import Proxy

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
LONG = "This is a long opening. " * 8
BOTH_WAYS = pytest.mark.parametrize("number", ["7000", pytest.param("7001", marks=pytest.mark.long)])

# Moments of a call, as requests that are on their way: not done yet, or done and only the answer is missing.
MOMENTS = {
    "being identified": "linkedid",
    "its bridge is made": "POST /ari/bridges/ariagent-bridge",
    "its media leg is made": "POST /ari/channels/externalMedia",
    "it is bridged": "addChannel",
    "it is answered": "/answer",
}


class Stage:
    """A service behind a proxy, its sandbox, and a phone."""

    def __init__(self, service: Any, ari: Proxy, model: SandboxServer, phone: Any) -> None:
        self.service = service
        self.ari = ari
        self.model = model
        self.phone = phone

    @property
    def state(self) -> State:
        """The id of the one call."""
        [runner] = self.service.calls.calls
        return State(runner.state)

    async def dial(self, number: str) -> Call:
        """On its way, not answered."""
        call: Call = await self.phone.dial(number)
        return call

    async def reaches(self, *states: State) -> None:
        """Until the one call is in one of these states; ENDED alone: until no call is left."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                if not len(self.service.calls):
                    if State.ENDED in states:
                        return
                elif states != (State.ENDED,) and self.state in states:
                    return
                await asyncio.sleep(0.005)


@pytest.fixture
def stage(asterisk: Any, sandbox: Any, service: Any, phone: Any, proxy: Any) -> Any:
    """``await stage(faults="late_created", agent={...})``: a ``Stage``."""

    async def make(faults: str = "", ari: dict[str, Any] | None = None, **settings: Any) -> Stage:
        model = await sandbox(faults=Faults.parse(faults))
        between = await proxy()
        between.target = ("127.0.0.1", asterisk.http_port)
        settings = {"agent": {"opening": LONG}, **settings}
        running = await service(model, asterisk={"url": f"http://{between.address}", **(ari or {})}, **settings)
        return Stage(running, between, model, await phone())

    return make


async def hung_up(log: Any, count: int = 1) -> Any:
    return await log.wait("call.ended", result="done", reason="caller_hung_up", count=count)


# -- the caller hangs up -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "moment", "answer"),
    [
        ("7000", "its media leg is made", True),
        pytest.param("7001", "it is bridged", False, marks=pytest.mark.long),
        ("7001", "it is answered", True),
    ],
)
async def test_the_caller_hangs_up_while(number: str, moment: str, answer: bool, stage: Any, log: Any) -> None:
    on = await stage()
    with on.ari.hold(MOMENTS[moment], answer=answer) as held:
        call = await on.dial(number)
        await held.seen()
        if moment == "it is answered" and answer:
            await call.answered(LIMIT_S)
        await call.hangup()
        await on.reaches(State.ENDING, State.ENDED)
    await hung_up(log)


@pytest.mark.parametrize(
    ("number", "fault"), [("7000", "hang"), pytest.param("7001", "late_updated:60000", marks=pytest.mark.long)]
)
async def test_the_caller_hangs_up_while_the_model_connects(number: str, fault: str, stage: Any, log: Any) -> None:
    on = await stage(fault, usable=False)
    call = await on.dial(number)
    await on.reaches(State.MEDIA_READY)
    await call.hangup()
    await hung_up(log)


async def test_the_caller_hangs_up_right_after_the_answer_and_while_the_agent_speaks(
    stage: Any, log: Any, ear: Any
) -> None:
    on = await stage()
    for count, wait_for_speech in enumerate((False, True), 1):
        call = await on.dial("7000")
        hearing = ear(call)
        await call.answered(LIMIT_S)
        if wait_for_speech:
            await hearing.wait_loud()
        await call.hangup()
        await hung_up(log, count)
        await on.reaches(State.ENDED)


async def test_what_asterisk_does_not_let_go_does_not_keep_the_end_back(
    stage: Any, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ariagent.call.machine.RELEASE_TIMEOUT_S", 0.5)
    on = await stage(ari={"request_timeout_s": 60.0}, agent={"opening": "Hi."})
    call = await on.dial("7001")
    await call.answered(LIMIT_S)
    with on.ari.hold("DELETE /ari/bridges") as held:
        await call.hangup()
        await held.seen()
        await hung_up(log)
        await on.reaches(State.ENDED)
    # The service looks for the remains again, until they are gone. This test wanted to see the report.
    await log.wait("call.release_failed")
    log.entries[:] = [entry for entry in log.entries if entry.event != "call.release_failed"]


@pytest.mark.parametrize(
    ("number", "request_text", "answer"),
    [pytest.param("7000", "/continue", False, marks=pytest.mark.long), ("7001", "/continue", True)],
)
async def test_the_caller_hangs_up_while_we_give_the_call_back(
    number: str, request_text: str, answer: bool, stage: Any, log: Any
) -> None:
    on = await stage("close:1011")
    call = await on.dial(number)
    with on.ari.hold(request_text, answer=answer) as held:
        await held.seen()
        await call.hangup()
        assert on.state is State.ENDING
    await log.wait("call.ended", result="error", reason="model_lost")


@BOTH_WAYS
async def test_the_caller_hangs_up_while_we_do(number: str, stage: Any, log: Any, ear: Any) -> None:
    """The agent has said goodbye; for a seat we hang up, a direct caller is given back."""
    on = await stage(agent={"opening": "Hi."})
    call = await on.dial(number)
    hearing = ear(call)
    await call.answered(LIMIT_S)
    await hearing.utterance()
    with on.ari.hold("/continue" if number == "7001" else "DELETE /ari/channels") as held:
        await call.send_dtmf("9")
        await held.seen()
        await call.hangup()
    await log.wait("call.ended", result="done", reason="agent_ended")


async def test_the_caller_hangs_up_as_the_model_is_lost(stage: Any, log: Any) -> None:
    on = await stage()
    call = await on.dial("7000")
    await log.wait("call.answered")
    await asyncio.gather(on.model.close(), call.hangup())
    await log.wait("call.ended")


# -- Asterisk's side ---------------------------------------------------------------------------------------------------


async def channels(asterisk: Any) -> list[str]:
    """The names of all channels."""
    return [line.split("!")[0] for line in (await asterisk.cli("core show channels concise")).splitlines() if line]


async def test_the_media_channel_is_hung_up(
    stage: Any, log: Any, asterisk: Any, phone: Any, ends_with_people: Any
) -> None:
    on = await stage()
    human = await phone("1001", register=True)
    call = await on.dial("7000")
    await log.wait("call.answered")
    [media] = [name for name in await channels(asterisk) if name.startswith("AudioSocket/")]
    await asterisk.cli(f"channel request hangup {media}")
    await log.wait("call.ended", result="error", reason="media_failed")
    await ends_with_people(call, human)


async def test_the_bridge_is_destroyed(stage: Any, log: Any, asterisk: Any, phone: Any, ends_with_people: Any) -> None:
    on = await stage()
    human = await phone("1001", register=True)
    call = await on.dial("7001")
    await log.wait("call.answered")
    [runner] = on.service.calls.calls
    # By another program: Asterisk's console has no command for it.
    ari = AsteriskSettings(url=asterisk.ari_url, user=asterisk.ari_user, password=SecretStr(asterisk.ari_password))
    async with AriClient(ari) as other:
        await other.connect()
        await other.destroy_bridge(runner.media.bridge)
    ended = await log.wait("call.ended", result="error", reason="media_failed")
    assert "bridge" in ended["cause"]
    await ends_with_people(call, human)


@pytest.mark.parametrize(
    ("number", "channel"),
    [
        ("7001", "PJSIP/"),
        ("7000", ";2"),
        pytest.param("7000", "PJSIP/", marks=pytest.mark.long),
        pytest.param("7000", ";1", marks=pytest.mark.long),
    ],
)
async def test_a_channel_of_the_caller_is_hung_up(
    number: str, channel: str, stage: Any, log: Any, asterisk: Any
) -> None:
    on = await stage()
    call = await on.dial(number)
    await log.wait("call.answered")
    [name] = [name for name in await channels(asterisk) if channel in name]
    await asterisk.cli(f"channel request hangup {name}")
    await hung_up(log)
    assert (await call.ended(LIMIT_S)).by == "remote"


async def test_everything_is_hung_up_at_once(stage: Any, log: Any, asterisk: Any) -> None:
    on = await stage()
    calls = [await on.dial(number) for number in ("7000", "7001", "7000", "7001")]
    await log.wait("call.answered", count=4)
    await asterisk.cli("channel request hangup all")
    for call in calls:
        await call.ended(LIMIT_S)
    await log.wait("call.ended", count=4)


# -- requests that fail or come too late -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "moment", "answer"),
    [
        ("7000", "its bridge is made", True),
        pytest.param("7001", "its media leg is made", False, marks=pytest.mark.long),
    ],
)
async def test_asterisk_answers_too_late_while(
    number: str, moment: str, answer: bool, stage: Any, log: Any, asterisk: Any
) -> None:
    """The request is given up, and done all the same: what it made must not stay."""
    on = await stage(ari={"request_timeout_s": 0.4})
    with on.ari.hold(MOMENTS[moment], answer=answer) as held:
        call = await on.dial(number)
        await held.seen()
        await on.reaches(State.ENDING, State.ENDED)
    ended = await log.wait("call.ended")
    assert ended["result"] == "error"
    if number == "7001":
        # The dialplan has given the caller to the human queue.
        await call.answered(LIMIT_S)
    await call.hangup()
    assert "within 0.4 s" in ended["cause"]


# -- the service stops -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "answer"),
    [("its media leg is made", False), pytest.param("it is answered", True, marks=pytest.mark.long)],
    ids=["request", "answer"],
)
async def test_the_service_stops_while_a_call(moment: str, answer: bool, stage: Any, log: Any) -> None:
    on = await stage()
    with on.ari.hold(MOMENTS[moment], answer=answer) as held:
        call = await on.dial("7001")
        await held.seen()
        on.service.stop()
        await on.reaches(State.ENDING, State.ENDED)
    ended = await log.wait("call.ended")
    assert (ended["result"], ended["reason"]) == ("error", "stopped")
    # The human queue has answered.
    await call.answered(LIMIT_S)
    await call.hangup()


async def test_the_service_stops_while_a_model_connects_and_while_calls_talk(stage: Any, log: Any) -> None:
    on = await stage("late_created:1000")
    talking = [await on.dial(number) for number in ("7000", "7001")]
    await log.wait("call.answered", count=2)
    waiting = await on.dial("7001")
    await log.wait("call.started", count=3)
    on.service.stop()
    await log.wait("call.ended", result="error", reason="stopped", count=3)
    for call in (*talking, waiting):
        await call.answered(LIMIT_S)
        assert call.state is CallState.ANSWERED
        await call.hangup()


async def test_the_service_stops_while_the_agent_says_goodbye(stage: Any, log: Any, ear: Any) -> None:
    on = await stage(agent={"opening": "Hi."})
    call = await on.dial("7001")
    hearing = ear(call)
    await call.answered(LIMIT_S)
    await hearing.utterance()
    await call.send_dtmf("9")
    await on.reaches(State.SAYING_GOODBYE)
    on.service.stop()
    await log.wait("call.ended", result="done", reason="agent_ended")
    assert (await call.ended(LIMIT_S)).by == "remote"


async def test_the_service_stops_while_we_give_a_call_back(stage: Any, log: Any) -> None:
    on = await stage("close:1011")
    call = await on.dial("7001")
    with on.ari.hold("/continue") as held:
        await held.seen()
        on.service.stop()
        await asyncio.sleep(0)
        assert on.state is State.ENDING
    await log.wait("call.ended", result="error", reason="model_lost")
    await call.answered(LIMIT_S)
    await call.hangup()


async def test_twenty_callers_hang_up_at_twenty_moments(stage: Any, log: Any) -> None:
    on = await stage("late_updated:200")

    async def one(index: int) -> None:
        call = await on.dial("7000" if index % 2 else "7001")
        await asyncio.sleep(index * 0.03)
        await call.hangup()

    began = time.monotonic()
    await asyncio.gather(*(one(index) for index in range(20)))
    assert time.monotonic() - began < 60
    await on.reaches(State.ENDED)
