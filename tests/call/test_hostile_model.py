"""Calls whose model's server is hostile, or slow with a tool of its own: a real WebSocket, in real time."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from ariagent.call.call import Call
from ariagent.call.machine import State
from ariagent.dialogue.effects import MODEL_LOST
from ariagent.dialogue.tool_rounds import MOST_CALLS
from ariagent.loop import run_async
from ariagent.realtime.client import RealtimeClient
from ariagent.realtime.events import Usage
from ariagent.records.events import CallEvent
from ariagent.termination import Result
from lab.hostilemodel import HostileModel
from tests.call.incall import Office

PATIENCE_S = 60.0


class Record:
    """Stands for the call's record."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def tell(self, event: CallEvent, at: float) -> None:
        self.names.append(event.NAME)

    def wave(self, side: Any, start_s: float, peaks: bytes) -> None:
        pass


class HostileCall:
    """A call in conversation with the model at ``url``; its caller says nothing."""

    def __init__(self, office: Office, call: Call) -> None:
        self.office = office
        self.call = call
        self.record = Record()
        self.used: list[Usage] = []
        call.log.record = self.record
        office.context.spending._on_use = lambda agent, model, usage, money: self.used.append(usage)
        self._watching = asyncio.ensure_future(self._watch())

    def malformed(self) -> float:
        """How often something was counted as malformed."""
        return float(self.office.metrics.malformed.labels("model")._value.get())

    def lines(self) -> str:
        """The log's events."""
        return "\n".join(f"{name} {fields}" for name, fields in self.office.logged.lines)

    async def _watch(self) -> None:
        """The audio that waits to be heard stays within its bounds."""
        while self.call in self.office.registry.calls:
            if self.call._serving:
                assert self.call._dialogue._playout.pending_ms <= 122_000.0
                assert len(self.call._dialogue._playout._queue) <= 260
            await asyncio.sleep(0.02)

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        """The caller hangs up, if they are still there."""
        self.office.ari.leaves("c1")
        await self.until(lambda: self.call not in self.office.registry.calls)
        await self._watching
        assert self.office.left_of(self.call) == []
        assert self.office.events("call.fault") == []


@asynccontextmanager
async def calling(url: str, folder: Path, silent_s: float = 8.0, **agent: Any) -> AsyncIterator[HostileCall]:
    """A call; a model that says nothing for ``silent_s`` in its turn is given up."""
    office = Office(
        folder,
        agent={"handoff": [], "mcp": ["crm"], **agent},
        connect=RealtimeClient,
        realtime={"url": url, "api_key": "none", "connect_timeout_s": PATIENCE_S, "stall_timeout_s": silent_s},
        mcp_servers={"crm": {"url": "https://crm.example.com/mcp"}},
    )
    async with office:
        call = office.enter("c1", "default")
        assert call is not None
        one = HostileCall(office, call)
        # The record is begun when the call is known.
        await one.until(lambda: call.log.record is not one.record)
        call.log.record = one.record
        try:
            yield one
        finally:
            await one.close()


@asynccontextmanager
async def attacked(kind: str, folder: Path, silent_s: float = 8.0) -> AsyncIterator[tuple[HostileCall, HostileModel]]:
    """A call, with its hostile model, while it is in progress."""
    async with HostileModel(kind) as model, calling(model.url, folder, silent_s) as call:
        yield call, model


class McpModel:
    """A server whose model calls a tool of an MCP server: the response is over before the tool, as with OpenAI."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        """When a response was asked for, in monotonic seconds."""
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with serve(self._serve, "127.0.0.1", 0) as server:
            self.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"
            yield

    async def _serve(self, connection: ServerConnection) -> None:
        async def say(kind: str, **fields: Any) -> None:
            await connection.send(json.dumps({"type": kind, **fields}))

        await say("session.created", session={"id": "s"})
        update = json.loads(await connection.recv())
        await say("session.updated", session={"id": "s", **update["session"]})
        item = {"id": "m", "type": "mcp_call", "name": "find_customer", "server_label": "crm"}
        await asyncio.sleep(0.3)  # the call is answered meanwhile
        await say("response.created", response={"id": "r"})
        await say("response.output_item.added", response_id="r", item=item)
        await say("response.done", response={"id": "r", "status": "completed"})
        await asyncio.sleep(1.5)
        await say("response.mcp_call.completed", item_id="m")
        with suppress(ConnectionClosed):
            async for message in connection:
                if json.loads(message)["type"] == "response.create":
                    self.asked.append(time.monotonic())


def test_a_tool_of_an_mcp_server_is_waited_for_with_a_tone_and_answered(tmp_path: Path) -> None:
    async def work() -> None:
        model = McpModel()
        async with model.running(), calling(model.url, tmp_path, opening=None) as call:
            await call.until(lambda: model.asked)
            assert {"tool.called", "tool.waiting_prompt", "tool.done"} <= set(call.record.names)
            tools = call.office.metrics.tools.labels("crm", "ok")
            assert tools._sum.get() >= 1.0
            assert not call.call._dialogue.at_rest

    run_async(work())


class TestHostileModel:
    """Kinds whose harm is in what a call makes of them; all kinds are in tests/realtime/test_hostile.py."""

    @pytest.mark.parametrize(
        "kind", ["garbage", "responses", "endless_audio", "fast_audio", "tiny_items", "tiny_items_slowly", "turns"]
    )
    def test_that_floods_is_tried_once_more_then_the_call_goes_the_usual_way(self, kind: str, tmp_path: Path) -> None:
        async def work() -> None:
            async with attacked(kind, tmp_path) as (call, model):
                await call.until(lambda: call.call not in call.office.registry.calls)
                assert model.sessions == 2
                ended = call.call.termination
                assert ended is not None
                assert (ended.result, ended.reason) == (Result.ERROR, MODEL_LOST)
                assert call.office.ari.results == {"c1": "error"}
            assert {lost["fault"] for lost in call.office.events("model.lost")} == {"flood"}
            assert len(call.lines()) < 20_000
            assert len(call.record.names) < 2_000
            failures = call.office.metrics.model_failures.labels("flood")
            assert failures._value.get() == 1

        run_async(work())

    @pytest.mark.parametrize("kind", ["errors", "transcript_pairs", "usage_lies", "numbers", "bad_arguments", "calls"])
    def test_that_says_nonsense_is_borne_in_few_lines(self, kind: str, tmp_path: Path) -> None:
        async def work() -> None:
            # It does not answer what its tools returned: two sessions later it has called as often as it may.
            silent_s = 0.5 if kind in ("bad_arguments", "calls") else 8.0
            async with attacked(kind, tmp_path, silent_s) as (call, model):
                await asyncio.wait_for(model.attacked(), PATIENCE_S)
                names = call.record.names
                done = {
                    "errors": lambda: names.count("model.refused") == 60,
                    "transcript_pairs": lambda: names.count("turn.caller") == 12,
                    "usage_lies": lambda: call.malformed() >= 8,
                    "numbers": lambda: names.count("turn.ended") >= 1,
                    "bad_arguments": lambda: names.count("tool.called") == MOST_CALLS,
                    "calls": lambda: names.count("tool.called") == MOST_CALLS,
                }
                await call.until(done[kind])
                await call.until(lambda: call.call.state is State.TALKING)
            assert len(call.lines()) < 100_000
            assert [usage for usage in call.used if usage.tokens] == []

        run_async(work())

    def test_whose_mcp_tools_fail_is_logged_and_counted_within_bounds(self, tmp_path: Path) -> None:
        async def work() -> None:
            async with attacked("mcp_failures", tmp_path) as (call, _):
                await call.until(lambda: call.call not in call.office.registry.calls)
            missing = call.office.events("mcp.not_listed")
            assert 0 < len(missing) <= 40
            assert missing[0]["server"] == "other"

        run_async(work())
