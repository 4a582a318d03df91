"""A running service's own checks: what is logged, how often, and what stays in ``/healthz``."""

import asyncio
import contextlib
import logging
from typing import Any

import pytest

from ariagent.check.checks import Check, Need
from ariagent.check.report import Result, Say, Status, failed, ok, skipped, warning
from ariagent.check.site import Site
from ariagent.service import selfcheck as module
from ariagent.service.selfcheck import SelfCheck

LIMIT_S = 20.0
FAILED = failed("dialplan", "no call can come in", "Run `ariagent install`")
WARNING = warning("clock", "differs by 9 s", "Synchronise both")


class Plant:
    """The finding of one check, changed by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.results: list[Result] = []
        self.looks = 0
        check = Check("plant", Need.ASTERISK, self._look, Status.FAILED, quick=True)
        monkeypatch.setattr(module, "quick", lambda *needs: [check] if Need.ASTERISK in needs else [])
        self.checks = SelfCheck()

    async def _look(self, site: Site, say: Say) -> None:
        self.looks += 1
        for result in self.results:
            say(result)

    async def finds(self, *results: Result) -> None:
        self.results = list(results)
        site: Any = type("NoSite", (), {"settings": None})()
        await self.checks.check(site, Need.ASTERISK)


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Plant:
    caplog.set_level(logging.INFO)
    return Plant(monkeypatch)


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str, dict[str, str]]]:
    found = [(r.levelno, r.getMessage(), r.fields) for r in caplog.records]  # type: ignore[attr-defined]
    caplog.clear()
    return found


async def test_failures_are_errors_with_the_remedy_and_warnings_are_warnings(
    plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    await plant.finds(ok("plant", "fine"), FAILED, WARNING, skipped("x", "y"))
    assert logged(caplog) == [
        (
            logging.ERROR,
            "check.failed",
            {"name": "dialplan", "cause": "no call can come in", "remedy": "Run `ariagent install`"},
        ),
        (
            logging.WARNING,
            "check.warned",
            {"name": "clock", "cause": "differs by 9 s", "remedy": "Synchronise both"},
        ),
    ]


async def test_after_a_reconnection_only_what_is_news_is_logged(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    await plant.finds(FAILED)
    assert plant.checks.failed == ["dialplan: no call can come in"]
    assert len(logged(caplog)) == 1
    await plant.finds(FAILED)
    assert logged(caplog) == []
    await plant.finds(FAILED, WARNING)
    assert [event for _, event, _ in logged(caplog)] == ["check.warned"]
    await plant.finds(ok("plant", "fine"))
    assert [(event, fields) for _, event, fields in logged(caplog)] == [("check.passed", {"name": "plant"})]
    assert plant.checks.failed == []
    await plant.finds(FAILED)
    assert [event for _, event, _ in logged(caplog)] == ["check.failed"], "it is news again"


async def test_what_could_not_be_looked_at_is_neither_mended_nor_news(
    plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    await plant.finds(FAILED)
    logged(caplog)
    await plant.finds(skipped("plant", "Asterisk"))
    assert logged(caplog) == []
    assert plant.checks.failed == ["dialplan: no call can come in"]


async def test_another_group_changes_nothing(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    await plant.finds(FAILED)
    logged(caplog)
    site: Any = type("NoSite", (), {"settings": None})()
    await plant.checks.check(site, Need.MANAGER)
    assert logged(caplog) == []
    assert plant.checks.failed


async def test_what_has_failed_is_looked_at_again_until_it_is_mended(
    plant: Plant, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    site: Any = type("NoSite", (), {"settings": None})()
    plant.results = [FAILED]
    running = asyncio.create_task(plant.checks.run(site))
    plant.checks.wanted(Need.ASTERISK)
    await asyncio.wait_for(plant.checks.settled.wait(), LIMIT_S)
    async with asyncio.timeout(LIMIT_S):
        looks = plant.looks
        while plant.looks < looks + 3:
            await asyncio.sleep(0.005)
        plant.results = [ok("plant", "fine")]
        while plant.checks.failed:
            await asyncio.sleep(0.005)
    # A part without a fault is left alone.
    looks = plant.looks
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(running), 0.2)
    assert plant.looks == looks
    running.cancel()
    await asyncio.wait([running])
    assert [event for _, event, _ in logged(caplog)] == ["check.failed", "check.passed"]
