"""Channel variables that the site asks for: one that cannot be read costs nothing but its value."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ariagent.ari.client import AriClient
from ariagent.call.variables import SiteVariables
from ariagent.logs import CallLog

ASKED = "GET /channels/c1/variable"
UNREADABLE = {"message": "Unable to read provided function"}


@pytest.fixture
async def ari(ari_server: Any) -> AsyncIterator[AriClient]:
    async with AriClient(ari_server.settings()) as client:
        await client.connect()
        ari_server.channels |= {"c1": "Local/03@ariagent-seat-1;2", "caller": "PJSIP/x-1"}
        yield client


def log() -> CallLog:
    """Another call's each time: one call's lines are limited."""
    return CallLog(logging.getLogger("ariagent.test"), "c1")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The names that were logged as not read."""
    return [r.fields["variable"] for r in caplog.records if r.getMessage() == "call.variable_unreadable"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", [400, 404, 409, 412, 422, 500, 501, 503])
async def test_what_asterisk_refuses_has_no_value(ari: AriClient, ari_server: Any, status: int) -> None:
    ari_server.answers[ASKED] = (status, UNREADABLE)
    assert await SiteVariables().read(ari, ("c1",), ["F(x)", "TIER"], log()) == {}


async def test_a_refusal_of_one_spares_the_others(ari: AriClient, ari_server: Any) -> None:
    ari_server.variables |= {("c1", "TIER"): "gold", ("c1", "EMPTY"): ""}
    assert await SiteVariables().read(ari, ("c1",), ["TIER", "EMPTY", "NONE"], log()) == {"TIER": "gold"}


async def test_a_refusal_is_logged_once(ari: AriClient, ari_server: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ariagent")
    variables = SiteVariables()
    ari_server.answers[ASKED] = (500, UNREADABLE)
    for _ in range(3):
        await variables.read(ari, ("c1",), ["F(x)", "G(x)"], log())
    assert sorted(told(caplog)) == ["F(x)", "G(x)"]


async def test_one_that_is_not_set_is_not_logged(
    ari: AriClient, ari_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ariagent")
    assert await SiteVariables().read(ari, ("c1", "gone"), ["TIER"], log()) == {}
    assert told(caplog) == []


async def test_the_first_channel_that_has_a_value_counts(ari: AriClient, ari_server: Any) -> None:
    ari_server.variables |= {("caller", "A"): "caller's", ("c1", "A"): "seat's", ("c1", "B"): "seat's"}
    found = await SiteVariables().read(ari, ("caller", "c1"), ["A", "B"], log())
    assert found == {"A": "caller's", "B": "seat's"}
    assert await SiteVariables().read(ari, ("gone", "c1"), ["A"], log()) == {"A": "seat's"}


async def test_a_refusal_by_the_first_channel_leaves_the_second(
    ari: AriClient, ari_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ariagent")
    ari_server.answers["GET /channels/caller/variable"] = (500, UNREADABLE)
    ari_server.variables["c1", "A"] = "seat's"
    assert await SiteVariables().read(ari, ("caller", "c1"), ["A"], log()) == {"A": "seat's"}
    assert told(caplog) == []


async def test_the_time_limit_is_for_all_together(
    ari: AriClient, ari_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ariagent")
    over = asyncio.Event()

    async def never() -> dict[str, str]:
        await over.wait()
        return {"value": "late"}

    ari_server.answers["GET /channels/caller/variable"] = (200, never)
    ari_server.variables["c1", "B"] = "1"
    began = time.monotonic()
    names = [f"F({n})" for n in range(8)]
    assert await SiteVariables(0.2).read(ari, ("caller", "c1"), names, log()) == {}
    assert time.monotonic() - began < 10
    assert sorted(told(caplog)) == sorted(names)
    over.set()


async def test_without_names_nothing_is_asked(ari: AriClient, ari_server: Any) -> None:
    ari_server.requests.clear()
    assert await SiteVariables().read(ari, ("c1",), [], log()) == {}
    assert ari_server.requests == []
