"""The site's tools in a call: slow ones, ones that fail, and callers who speak meanwhile; whole calls, in memory.

The tools themselves are tested in ``tests/tools``.
"""

import base64
from pathlib import Path
from typing import Any

import pytest

from ariagent.call.machine import State
from ariagent.dialogue.tool_rounds import MOST_CALLS, MOST_ROUNDS
from ariagent.termination import Result, Termination
from ariagent.values.outcome import Kind, Outcome
from tests.call.incall import Office, Session
from tests.call.virtualtime import passes, virtual_time

TOOL = {"description": "d", "url": "https://shop.example/"}


def requests(session: Session) -> list[Any]:
    """The requests for a response."""
    return [message["response"] for message in session.heard if message["type"] == "response.create"]


def circling(session: Session) -> None:
    """Calls a function whatever it is told, unless it may not."""
    asked = requests(session)[-1]
    session.speaks(0.4 if asked.get("tool_choice") == "none" else 0.0, tools=() if asked else [("order", {})])


@virtual_time
async def test_one_that_fails_is_told_to_the_model_and_the_call_goes_on(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        call = await office.answered("c1")
        office.tools.go_on.set()
        office.tools.outcome = Outcome('{"error": "not now"}', ok=False, kind=Kind.TIMEOUT)
        function_call = office.model.session.calls_tool("order")
        await passes(0.1)
        assert office.model.session.result(function_call) == {"error": "not now"}
        await office.silent(call)
        assert len(requests(office.model.session)) == 2  # it explains
        assert call.state is State.TALKING


@virtual_time
async def test_while_one_is_slow_the_caller_hears_its_prompt_again_and_again(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        call = await office.answered("c1")
        line, session = office.line(call), office.model.session
        session.calls_tool("order")
        await passes(0.5)
        before, asked = len(line.stretches), len(requests(session))
        said = session.heard[:]
        await passes(9.0)
        prompts = line.stretches[before:]
        assert len(prompts) > 1
        assert all(ended - begun == pytest.approx(0.15, abs=0.05) for begun, ended in prompts)
        office.tools.go_on.set()
        await passes(0.1)
        # The model knows nothing of the prompts, and continues.
        assert len(session.heard) - len(said) == 2
        assert len(requests(session)) == asked + 1


@pytest.mark.parametrize("by", ["voice", "key"])
@virtual_time
async def test_those_of_a_reply_that_was_interrupted_are_never_run(by: str, tmp_path: Path) -> None:
    async with Office(tmp_path, agent={"keypad": {"pause_ms": 200}}) as office:
        call = await office.answered("c1")
        session = office.model.session
        session.says("response.created", response={"id": "r", "conversation_id": "conv"})
        delta = base64.b64encode(bytes(48_000 * 3)).decode()
        session.says("response.output_audio.delta", response_id="r", item_id="look", delta=delta)
        await passes(1.0)
        if by == "voice":
            session.caller_begins()
            office.line(call).speaks(1.0)
        else:
            office.ari.tell("ChannelDtmfReceived", "c1", digit="*")
        await office.until(lambda: office.events("turn.interrupted"), 2.0)
        item = {"type": "function_call", "call_id": "late", "name": "order", "arguments": "{}", "status": "completed"}
        session.says("response.output_item.done", response_id="r", item=item)
        session.says("response.done", response={"id": "r", "status": "completed"})
        await passes(3.0)
        assert office.tools.running == 0


@virtual_time
async def test_a_turn_while_one_runs_is_answered_and_the_result_is_told_after(tmp_path: Path) -> None:
    """Nor does a prompt talk into the caller's words."""
    async with Office(tmp_path) as office:
        call = await office.answered("c1")
        line, session = office.line(call), office.model.session
        function_call = session.calls_tool("order", speech_s=0.0)
        before = len(line.stretches)
        session.caller_begins()
        line.speaks(5.0)
        await passes(5.0)
        assert len(line.stretches) == before
        session.caller_ends("And where are you?")
        session.speaks(1.0)
        await passes(0.5)
        office.tools.go_on.set()
        await passes(0.1)
        assert session.result(function_call) == {"status": "ready"}
        await office.silent(call)
        assert office.events("turn.interrupted") == []
        assert len(requests(session)) == 2


@virtual_time
async def test_a_model_that_calls_functions_in_circles_has_to_speak(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        call = await office.answered("c1")
        office.tools.go_on.set()
        session = office.model.session
        for turn in (1, 2):
            office.model.script.extend([circling] * MOST_ROUNDS)
            session.caller_begins()
            session.caller_ends("Where is my order?")
            session.speaks(0.0, tools=[("order", {})])
            await passes(5.0)
            await office.silent(call)
            assert office.tools.running == MOST_ROUNDS * turn
            assert [asked.get("tool_choice") for asked in requests(session)].count("none") == turn
            office.model.script.clear()
        assert call.state is State.TALKING


@virtual_time
async def test_one_that_does_so_whatever_it_is_told_is_given_up(tmp_path: Path) -> None:
    async with Office(tmp_path, agent={"handoff": []}) as office:
        call = await office.answered("c1")
        office.tools.go_on.set()
        office.model.script.extend([lambda session: session.speaks(0.0, tools=[("order", {})])] * 50)
        office.model.session.speaks(0.0, tools=[("order", {})])
        ended = await office.over(call, 60.0)
        assert (ended.result, ended.reason) == (Result.ERROR, "model_silent")
        assert office.tools.running == MOST_ROUNDS
        assert len(office.events("tool.refused")) == 3


@virtual_time
async def test_too_many_at_once_are_refused_and_the_others_run(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        call = await office.answered("c1")
        office.model.session.speaks(0.0, tools=[("order", {})] * 32)
        await passes(0.1)
        assert office.tools.running == MOST_CALLS
        assert [fields["count"] for fields in office.events("tool.refused")] == [32 - MOST_CALLS]
        refused = [m for m in office.model.session.heard if "no more than 8" in repr(m)]
        assert len(refused) == 32 - MOST_CALLS
        # Another caller's are not kept waiting.
        other = await office.answered("c2")
        office.model.session.calls_tool("order")
        await passes(0.1)
        assert office.tools.running == MOST_CALLS + 1
        for each in (call, other):
            office.ari.leaves(each.leg)
            assert await office.over(each) == Termination(Result.DONE, "caller_hung_up")
