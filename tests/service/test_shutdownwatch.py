"""A running service knows when its models end: metric and log, and again after a reload."""

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ariagent.config import RealtimeSettings, Settings
from ariagent.metrics import Metrics
from ariagent.sandbox.options import SandboxOptions
from ariagent.sandbox.server import SandboxServer
from ariagent.service import shutdownwatch
from ariagent.service.shutdownwatch import ShutdownWatch
from lab import waiting

NAME = "ariagent_model_shutdown_timestamp_seconds"


@asynccontextmanager
async def sandbox(dates: dict[str, str]) -> Any:
    options = SandboxOptions(voice="tone", recogniser=False, detector="energy", shutdown_dates=dates)
    async with SandboxServer(options) as server:
        yield server


@asynccontextmanager
async def watching(watch: ShutdownWatch) -> Any:
    task = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def settings(server: SandboxServer, **realtime: Any) -> Settings:
    return Settings.model_validate({"realtime": {"url": server.url, "api_key": "k", **realtime}})


def shown(metrics: Metrics) -> dict[str, float]:
    family = [family for family in metrics.registry.collect() if family.name == NAME]
    return {sample.labels["model"]: sample.value for each in family for sample in each.samples}


async def test_an_end_is_logged_and_exported(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    dates = {"gpt-realtime-2.1": "2001-01-01", "gpt-transcribe": "2999-01-01"}
    async with sandbox(dates) as server, watching(ShutdownWatch(lambda: settings(server), metrics)):
        await waiting.until(lambda: shown(metrics), limit_s=20)
    assert shown(metrics) == {"gpt-realtime-2.1": 978_307_200.0, "gpt-transcribe": 32_472_144_000.0}
    (record,) = [record for record in caplog.records if record.getMessage() == "model.shutdown_announced"]
    assert record.levelno == logging.ERROR
    fields = vars(record)["fields"]
    assert (fields["model"], fields["date"], fields["agents"]) == ("gpt-realtime-2.1", "2001-01-01", "default")
    assert fields["days_left"] < 0


async def test_a_reload_counts_at_once_and_what_is_not_used_any_more_is_gone() -> None:
    metrics = Metrics()
    async with sandbox({"gpt-realtime": "2999-01-01", "gpt-realtime-mini": "2998-01-01"}) as server:
        now = [settings(server, model="gpt-realtime")]
        watch = ShutdownWatch(lambda: now[0], metrics)
        async with watching(watch):
            await waiting.until(lambda: "gpt-realtime" in shown(metrics), limit_s=20)
            now[0] = settings(server, model="gpt-realtime-mini")
            watch.look_again()
            await waiting.until(lambda: "gpt-realtime-mini" in shown(metrics), limit_s=20)
    assert set(shown(metrics)) == {"gpt-realtime-mini"}


async def test_a_reload_while_the_server_is_asked_counts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, asked, answers = Metrics(), asyncio.Event(), asyncio.Event()

    async def slow(realtime: RealtimeSettings) -> dict[str, str | None]:
        asked.set()
        await answers.wait()
        return {"gpt-realtime": "2999-01-01", "gpt-realtime-mini": "2998-01-01"}

    monkeypatch.setattr(shutdownwatch, "announced", slow)
    now = [Settings(realtime=RealtimeSettings(model="gpt-realtime"))]
    watch = ShutdownWatch(lambda: now[0], metrics)
    async with watching(watch):
        await asked.wait()
        now[0] = Settings(realtime=RealtimeSettings(model="gpt-realtime-mini"))
        watch.look_again()
        answers.set()
        await waiting.until(lambda: set(shown(metrics)) == {"gpt-realtime-mini"}, limit_s=5)
