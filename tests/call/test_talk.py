"""A call's talking side: it gives everything back at its end, and bears a hostile model."""

import asyncio
import gc
import io
import json
import logging
import time
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from ariagent.call.talk import Talk
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from ariagent.ari.client import AriClient
from ariagent.ari.listener import Router
from ariagent.audio.format import AudioFormat
from ariagent.audiosocket.server import AudioSocketServer
from ariagent.call import events as ev
from ariagent.call.admission import Admission
from ariagent.call.announcement import Briefs
from ariagent.call.context import Context
from ariagent.config import Settings
from ariagent.dialogue.role import Role
from ariagent.dialogue.tool_rounds import MOST_CALLS
from ariagent.lab.hostilemodel import HostileModel
from ariagent.logs import CallLog, TextFormatter
from ariagent.loop import run_async
from ariagent.metrics import Metrics
from ariagent.phrases.store import Prompts
from ariagent.realtime.events import Usage
from ariagent.realtime.health import ModelHealth
from ariagent.records.journal import Journal
from ariagent.records.spending import Spending
from ariagent.tools.plugins import CallFacts
from ariagent.tools.toolbox import Toolbox

FORMAT = AudioFormat(24_000)


PATIENCE_S = 60.0


def context_of(settings: Settings, folder: Path, on_use: Callable[..., None] | None = None) -> Context:
    """Everything that a call needs, without an Asterisk."""
    metrics = Metrics()
    return Context(
        settings=settings,
        ari=AriClient(settings.asterisk),
        router=Router(lambda _: None),
        media=AudioSocketServer(),
        media_address="127.0.0.1:9",
        format=FORMAT,
        metrics=metrics,
        prompts=Prompts(folder, settings.realtime, FORMAT),
        briefs=Briefs(folder / "briefs", FORMAT),
        model_health=ModelHealth(settings.realtime),
        toolbox=Toolbox(settings),
        journal=Journal(folder, settings.records, None, None),
        spending=Spending(settings.cost, 0.0, on_use or metrics.used),
        admission=Admission(settings),
    )


def role_of(settings: Settings) -> Role:
    return Role(settings.agents["default"], "Be brief.", CallFacts("1.1", "default", "", "", "en"))


async def test_an_ended_call_does_not_wait_for_the_collector_of_cycles(tmp_path: Path) -> None:
    """Each holds seconds of audio, so many would be left in a service that has little else to collect."""
    settings = Settings.model_validate({"realtime": {"url": "ws://127.0.0.1:9/", "api_key": "none"}})
    context, role = context_of(settings, tmp_path), role_of(settings)
    gc.collect()
    gc.disable()
    try:
        log = CallLog(logging.getLogger(__name__), "1.1")
        talk = Talk(context, role, feed=lambda _: None, log=log, began=time.monotonic())
        running = asyncio.create_task(talk.run())
        talk.hear()
        talk.begin()
        for n in range(60):
            talk.audio_received(bytes(FORMAT.frame_bytes), n / 50)
            talk.frame_due(n / 50)
        await talk.close()
        talk.account()
        running.cancel()
        await asyncio.wait([running])
        kept = weakref.ref(talk)
        del talk, running
        assert kept() is None
    finally:
        gc.enable()
        await context.toolbox.close()


class Record:
    """Stands for the call's record."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def event(self, name: str, at: float, fields: Any) -> None:
        self.names.append(name)

    def wave(self, side: Any, start_s: float, peaks: bytes) -> None:
        pass


class HostileCall:
    """A call whose model is hostile: a caller who says nothing, and 50 frames a second both ways."""

    def __init__(self, url: str, folder: Path, agent: dict[str, Any] | None = None) -> None:
        realtime = {"url": url, "api_key": "none", "connect_timeout_s": PATIENCE_S}
        settings = Settings.model_validate(
            {
                "realtime": realtime,
                "log": {"transcripts": True},
                "agents": {"default": {"instructions": "Be brief.", "mcp": ["crm"], **(agent or {})}},
                "mcp_servers": {"crm": {"url": "https://crm.example.com/mcp"}},
            }
        )
        self.used: list[tuple[Usage, float | None]] = []
        self.context = context_of(settings, folder, lambda agent, model, usage, money: self.used.append((usage, money)))
        self.lines = io.StringIO()
        logger = logging.Logger("ariagent.test")
        handler = logging.StreamHandler(self.lines)
        handler.setFormatter(TextFormatter())
        logger.addHandler(handler)
        log = CallLog(logger, "1.1")
        log.record = self.record = Record()
        self.failed: ev.ModelFailed | None = None
        self.over = asyncio.Event()
        self.sent_ms = 0.0
        self.talk = Talk(self.context, role_of(settings), feed=self._fed, log=log, began=time.monotonic())

    def _fed(self, event: ev.Event) -> None:
        if isinstance(event, ev.ModelReady):
            self.talk.hear()
            self.talk.begin()
        elif isinstance(event, ev.ModelFailed):
            self.failed = event
            self.over.set()

    def malformed(self) -> float:
        """How often something was counted as malformed."""
        return float(self.context.metrics.malformed.labels("model")._value.get())

    async def _line(self) -> None:
        while True:
            await asyncio.sleep(0.02)
            now = time.monotonic()
            self.sent_ms += 20.0
            self.talk.audio_received(bytes(FORMAT.frame_bytes), now)
            self.talk.frame_due(now)
            assert self.talk._playout.pending_ms <= 122_000.0
            assert len(self.talk._playout._queue) <= 260

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def attacked(kind: str, folder: Path) -> AsyncIterator[tuple[HostileCall, HostileModel]]:
    """A call, with its hostile model, while it goes on; what it used is counted afterwards."""
    async with HostileModel(kind) as model:
        call = HostileCall(model.url, folder)
        running = asyncio.ensure_future(call.talk.run())
        line = asyncio.ensure_future(call._line())
        try:
            yield call, model
        finally:
            await call.talk.close()
            for task in (running, line):
                task.cancel()
            ended = await asyncio.gather(running, line, return_exceptions=True)
            assert [error for error in ended if isinstance(error, Exception)] == []
            call.talk.account()
            await call.context.toolbox.close()


class McpModel:
    """A server whose model calls a tool of an MCP server: the response is over before the tool, as with OpenAI."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        """When a response was asked for, in monotonic seconds."""
        self.done_at = 0.0
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
        await say("response.created", response={"id": "r"})
        await say("response.output_item.added", response_id="r", item=item)
        await say("response.done", response={"id": "r", "status": "completed"})
        await asyncio.sleep(1.5)
        self.done_at = time.monotonic()
        await say("response.mcp_call.completed", item_id="m")
        with suppress(ConnectionClosed):
            async for message in connection:
                if json.loads(message)["type"] == "response.create":
                    self.asked.append(time.monotonic())


def test_a_tool_of_an_mcp_server_is_waited_for_with_a_sign_and_answered(tmp_path: Path) -> None:
    async def work() -> None:
        model = McpModel()
        async with model.running():
            call = HostileCall(model.url, tmp_path, {"opening": None})
            running, line = asyncio.ensure_future(call.talk.run()), asyncio.ensure_future(call._line())
            await call.until(lambda: bool(model.asked))
            assert {"tool.called", "tool.sign", "tool.done"} <= set(call.record.names)
            tools = call.context.metrics.tools.labels("crm", "ok")
            assert tools._sum.get() >= 1.0
            assert call.talk._at_rest() is False
            await call.talk.close()
            for task in (running, line):
                task.cancel()
            await asyncio.gather(running, line, return_exceptions=True)
            await call.context.toolbox.close()

    run_async(work())


class TestHostileModel:
    """Kinds whose harm is in what a call makes of them; all kinds are in tests/realtime/test_hostile.py."""

    @pytest.mark.parametrize(
        "kind", ["garbage", "responses", "endless_audio", "fast_audio", "tiny_items", "tiny_items_slowly", "turns"]
    )
    def test_that_floods_is_tried_once_more_then_the_call_goes_the_usual_way(self, kind: str, tmp_path: Path) -> None:
        async def work() -> None:
            async with attacked(kind, tmp_path) as (call, model):
                await asyncio.wait_for(call.over.wait(), PATIENCE_S)
                assert model.sessions == 2
                assert call.failed is not None
                assert call.failed.reason == ev.MODEL_LOST
                assert call.talk._playout.pending_ms <= 5_000.0
            lines = call.lines.getvalue()
            assert "model.lost call=1.1 fault=flood" in lines
            assert len(lines) < 20_000
            assert len(call.record.names) < 2_000
            failures = call.context.metrics.model_failures.labels("flood")
            assert failures._value.get() == 1

        run_async(work())

    @pytest.mark.parametrize("kind", ["errors", "transcript_pairs", "usage_lies", "numbers", "bad_arguments", "calls"])
    def test_that_says_nonsense_is_borne_in_few_lines(self, kind: str, tmp_path: Path) -> None:
        async def work() -> None:
            async with attacked(kind, tmp_path) as (call, model):
                await asyncio.wait_for(model.attacked(), PATIENCE_S)
                done = {
                    "errors": lambda: call.record.names.count("model.refused") == 60,
                    "transcript_pairs": lambda: call.record.names.count("turn.caller") == 12,
                    "usage_lies": lambda: call.malformed() >= 8,
                    "numbers": lambda: call.record.names.count("turn.ended") >= 1,
                    "bad_arguments": lambda: call.record.names.count("tool.called") == MOST_CALLS,
                    "calls": lambda: call.record.names.count("tool.called") == MOST_CALLS,
                }
                await call.until(done[kind])
                assert call.failed is None
            assert len(call.lines.getvalue()) < 100_000
            assert [usage for usage, _ in call.used if usage.tokens] == []

        run_async(work())

    def test_whose_mcp_tools_fail_is_logged_and_counted_within_bounds(self, tmp_path: Path) -> None:
        async def work() -> None:
            async with attacked("mcp_failures", tmp_path) as (call, _):
                await asyncio.wait_for(call.over.wait(), PATIENCE_S)
            assert call.lines.getvalue().count("mcp.not_listed") <= 40
            assert "mcp.not_listed call=1.1 server=other" in call.lines.getvalue()

        run_async(work())
