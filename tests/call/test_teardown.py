"""Ends of calls in every order of events: one termination each, and nothing is left, whatever was under way.

A request, or its answer, is kept back, so that a moment lasts as long as a test needs. Some of each kind are in
``tests/integration/test_teardown.py``, on a real Asterisk.
"""

import time
from pathlib import Path

import pytest

from ariagent.call.call import Call
from ariagent.call.machine import RELEASE_TIMEOUT_S, State
from ariagent.realtime import events as rt
from ariagent.termination import Result, Termination
from tests.call.incall import Office, assert_nothing_left
from tests.call.virtualtime import passes, virtual_time

HUNG_UP = Termination(Result.DONE, "caller_hung_up")
MOMENTS = {
    "being identified": "get LEG",
    "its bridge is made": "bridge",
    "its media leg is made": "media",
    "it is bridged": "join LEG",
    "it is answered": "answer LEG",
}
"""Requests of a call that arrives."""
EACH_MOMENT = pytest.mark.parametrize("moment", MOMENTS)
BOTH_WAYS = pytest.mark.parametrize("leg", ["c1", "s1"], ids=["direct", "seat"])
DONE_OR_NOT = pytest.mark.parametrize("answer", [False, True], ids=["request", "answer"])
HELD_S, TOO_LATE_S, LATEST_S = 2.0, 6.0, 30.0
"""For so long a request, or its answer, is on its way; longer than anybody waits; after which all has arrived."""


def hold(office: Office, request: str, leg: str, *, answer: bool, seconds: float = HELD_S) -> str:
    """Keep a request back, or its answer; returns the request."""
    request = request.replace("LEG", leg)
    (office.ari.peer.answers_s if answer else office.ari.peer.takes_s)[request] = seconds
    return request


async def sent(office: Office, request: str) -> None:
    """Until it is on its way, and where only its answer is kept back, done."""
    await office.until(lambda: any(each.startswith(request) for each in office.ari.peer.requests))
    await passes(0.1)


async def held(office: Office, moment: str, leg: str, *, answer: bool) -> Call:
    """A call that arrives, at this moment."""
    request = hold(office, MOMENTS[moment], leg, answer=answer)
    call = office.arrives(leg)
    await sent(office, request)
    return call


async def ends(office: Office, call: Call, result: Result, reason: str) -> Termination:
    """The call ends once, so, and what was under way leaves nothing behind."""
    ended = await office.over(call)
    assert (ended.result, ended.reason) == (result, reason)
    await passes(LATEST_S)
    assert_nothing_left(office, call)
    assert office.ended() == {f"{result.value}/{reason}": 1}
    return ended


# -- while a call arrives ----------------------------------------------------------------------------------------------


@BOTH_WAYS
@EACH_MOMENT
@DONE_OR_NOT
@virtual_time
async def test_the_caller_hangs_up_while(leg: str, moment: str, answer: bool, tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        call = await held(office, moment, leg, answer=answer)
        office.ari.leaves(leg)
        await ends(office, call, Result.DONE, "caller_hung_up")
        assert office.ari.results == {}
        assert office.doubts == []


@BOTH_WAYS
@EACH_MOMENT
@DONE_OR_NOT
@virtual_time
async def test_asterisk_answers_too_late_while(leg: str, moment: str, answer: bool, tmp_path: Path) -> None:
    """The request is given up, and done all the same: what it made must not stay."""
    async with Office(tmp_path) as office:
        hold(office, MOMENTS[moment], leg, answer=answer, seconds=TOO_LATE_S)
        call = office.arrives(leg)
        reason = "asterisk_failed" if moment == "being identified" else "media_failed"
        ended = await ends(office, call, Result.ERROR, reason)
        assert ended.cause.startswith("Asterisk did not answer")
        assert office.ari.results == {leg: "error"}


@BOTH_WAYS
@EACH_MOMENT
@DONE_OR_NOT
@virtual_time
async def test_the_service_stops_while_a_call(leg: str, moment: str, answer: bool, tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        call = await held(office, moment, leg, answer=answer)
        await office.registry.stop()
        assert office.ari.results == {leg: "error"}
        await ends(office, call, Result.ERROR, "stopped")


@BOTH_WAYS
@virtual_time
async def test_the_caller_hangs_up_while_the_model_connects(leg: str, tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        office.model.connects_s = 1e3
        call = office.arrives(leg)
        await office.until(lambda: call.state is State.MEDIA_READY)
        office.ari.leaves(leg)
        await ends(office, call, Result.DONE, "caller_hung_up")


@virtual_time
async def test_callers_hang_up_at_a_hundred_moments(tmp_path: Path) -> None:
    """A call is in conversation after 80 ms."""
    async with Office(tmp_path) as office:
        calls = []
        for number in range(100):
            leg = f"{'cs'[number % 2]}{number}"
            calls.append(office.arrives(leg))
            await passes(0.001 * number)
            office.ari.leaves(leg)
        for call in calls:
            await office.over(call)
        await passes(LATEST_S)
        assert_nothing_left(office, *calls)
        assert office.ended() == {"done/caller_hung_up": 100}


# -- while a call ends -------------------------------------------------------------------------------------------------


async def loses_its_model(office: Office, leg: str) -> Call:
    """A call that cannot go on, and has no destination of its agent's."""
    call = await office.answered(leg)
    office.model.refusal = rt.SessionFailed(rt.Fault.NETWORK, "no route")
    office.model.session.lose()
    return call


@BOTH_WAYS
@pytest.mark.parametrize("request_", ["continue", "destroy", "hang_up"])
@DONE_OR_NOT
@virtual_time
async def test_the_caller_hangs_up_while_the_call_is_given_back(
    leg: str, request_: str, answer: bool, tmp_path: Path
) -> None:
    async with Office(tmp_path, agent={"handoff": []}) as office:
        hold(office, request_, leg, answer=answer)
        call = await loses_its_model(office, leg)
        await sent(office, request_)
        office.ari.leaves(leg)
        assert call.state is State.ENDING
        await ends(office, call, Result.ERROR, "model_lost")


@BOTH_WAYS
@DONE_OR_NOT
@virtual_time
async def test_the_caller_hangs_up_while_we_do(leg: str, answer: bool, tmp_path: Path) -> None:
    """The agent has said goodbye: a seat's channel is hung up, a direct caller is given back."""
    async with Office(tmp_path) as office:
        request = hold(office, "hang_up LEG" if leg == "s1" else "continue LEG", leg, answer=answer)
        call = await office.answered(leg)
        office.model.session.calls_tool("end_call")
        await sent(office, request)
        office.ari.leaves(leg)
        await ends(office, call, Result.DONE, "agent_ended")


@BOTH_WAYS
@virtual_time
async def test_the_caller_hangs_up_as_the_model_is_lost(leg: str, tmp_path: Path) -> None:
    async with Office(tmp_path, agent={"handoff": []}) as office:
        call = await loses_its_model(office, leg)
        office.ari.leaves(leg)
        await ends(office, call, Result.DONE, "caller_hung_up")


@BOTH_WAYS
@virtual_time
async def test_the_caller_hangs_up_while_the_agent_speaks(leg: str, tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        call = await office.answered(leg)
        office.model.session.speaks(5.0)
        await passes(1.0)
        office.ari.leaves(leg)
        ended = await ends(office, call, Result.DONE, "caller_hung_up")
        assert ended == HUNG_UP
        assert office.ari.results == {}


@BOTH_WAYS
@pytest.mark.parametrize("kind", ["blind", "briefed"])
@pytest.mark.parametrize("moment", ["in the sentence", "request", "answer"])
@virtual_time
async def test_the_caller_hangs_up_while_they_are_transferred(leg: str, kind: str, moment: str, tmp_path: Path) -> None:
    """Whether Asterisk takes them first decides, not whether it was asked."""
    async with Office(tmp_path) as office:
        call = await office.answered(leg)
        peer, request = (office.ami.peer, "BlindTransfer") if leg == "s1" else (office.ari.peer, "continue c1")
        held = peer.answers_s if moment == "answer" else peer.takes_s
        held[request] = HELD_S
        wanted = {"destination": kind, "reason": "r", "summary": "s"}
        office.model.session.speaks(2.0, tools=[("transfer_call", wanted)])
        if moment == "in the sentence":
            await passes(1.0)
            assert call.state is State.BEFORE_TRANSFER
        else:
            await office.until(lambda: any(each.startswith(request) for each in peer.requests))
            await passes(0.1)
            assert call.state is (State.ENDING if moment == "answer" else State.TRANSFERRING)
        office.ari.leaves(leg)
        if moment == "answer":
            await ends(office, call, Result.TRANSFERRED, "handed_over")
        else:
            await ends(office, call, Result.DONE, "caller_hung_up")
            assert any(each.startswith(request) for each in peer.requests) == (moment == "request")


@virtual_time
async def test_everybody_hangs_up_at_once(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        calls = [await office.answered(leg) for leg in ("c1", "s1", "c2", "s2")]
        for channel in list(office.ari.names):
            office.ari.leaves(channel)
        for call in calls:
            await office.over(call)
        assert sum(office.ended().values()) == 4
        assert_nothing_left(office, *calls)


@virtual_time
async def test_what_asterisk_does_not_let_go_does_not_keep_the_end_back_for_ever(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        call = await office.answered("c1")
        office.ari.peer.takes_s["destroy"] = office.ari.peer.limit_s = 1e3
        began = time.monotonic()
        office.ari.leaves("c1")
        assert await office.over(call) == HUNG_UP
        assert time.monotonic() - began == pytest.approx(RELEASE_TIMEOUT_S, abs=1.0)
        assert len(office.events("call.release_failed")) == 1


# -- the service stops while a call ends -------------------------------------------------------------------------------


@BOTH_WAYS
@virtual_time
async def test_the_service_stops_while_the_agent_says_goodbye(leg: str, tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        call = await office.answered(leg)
        office.model.session.calls_tool("end_call", speech_s=3.0)
        assert call.state is State.SAYING_GOODBYE
        await office.registry.stop()
        await ends(office, call, Result.DONE, "agent_ended")


@virtual_time
async def test_the_service_stops_while_a_call_is_given_back(tmp_path: Path) -> None:
    async with Office(tmp_path, agent={"handoff": []}) as office:
        hold(office, "continue", "c1", answer=False)
        call = await loses_its_model(office, "c1")
        await sent(office, "continue")
        await office.registry.stop()
        await ends(office, call, Result.ERROR, "model_lost")
        assert office.ari.peer.requests.count("continue c1") == 1


@virtual_time
async def test_the_service_stops_while_a_model_connects_and_while_calls_talk(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        calls = [await office.answered("c1"), await office.answered("s1")]
        office.model.connects_s = 1e3
        calls.append(office.arrives("c2"))
        await passes(1.0)
        await office.registry.stop()
        assert office.ended() == {"error/stopped": 3}
        assert office.ari.results == {"c1": "error", "s1": "error", "c2": "error"}
        assert_nothing_left(office, *calls)
