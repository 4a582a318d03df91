"""Models that end: what the check says of them, and of servers that do not tell."""

from typing import Any

import pytest

from ariagent.check.report import Result, Status
from ariagent.check.shutdowns import NAME, check_shutdowns, judge_shutdowns
from ariagent.config import Settings
from ariagent.realtime.lifetimes import DAY_S, Shutdown, UsedModel
from ariagent.sandbox.options import SandboxOptions
from ariagent.sandbox.server import SandboxServer

NOON = 1_795_953_600.0
"""2026-11-29T12:00:00Z."""
SPEAKER = UsedModel("gpt-realtime", ("default", "sales"))
WRITER = UsedModel("whisper-1", ("default",), transcribes=True)


def judged(*ends: Shutdown, now: float = NOON) -> list[Result]:
    return list(judge_shutdowns(list(ends), "api.example.com", now))


def test_one_that_ends_soon_is_a_warning() -> None:
    (result,) = judged(Shutdown(SPEAKER, "2027-01-20", NOON + 51.5 * DAY_S))
    assert (result.status, result.name) == (Status.WARNING, NAME)
    assert result.found == (
        "model gpt-realtime of agents default, sales: api.example.com shuts it down on 2027-01-20, in 51 days"
    )
    assert "realtime.model" in result.remedy
    assert result.figures == {"days": 51}


def test_a_transcription_model_names_its_own_setting() -> None:
    (result,) = judged(Shutdown(WRITER, "2026-11-30", NOON + 1.5 * DAY_S))
    assert result.found.startswith("transcription model whisper-1 of agent default: ")
    assert result.found.endswith("in 1 day")
    assert "transcription.model" in result.remedy


@pytest.mark.parametrize(("left_s", "status"), [(0.0, Status.FAILED), (-5 * DAY_S, Status.FAILED), (1, Status.WARNING)])
def test_one_that_has_ended_fails(left_s: float, status: Status) -> None:
    (result,) = judged(Shutdown(SPEAKER, "2026-11-29", NOON + left_s))
    assert result.status is status


@pytest.mark.parametrize(("days", "status"), [(90.9, Status.WARNING), (91, Status.OK)])
def test_ninety_days_are_soon(days: float, status: Status) -> None:
    (result,) = judged(Shutdown(SPEAKER, "2027-03-01", NOON + days * DAY_S))
    assert result.status is status


def test_none_that_ends() -> None:
    (result,) = judged()
    assert (result.status, result.found) == (
        Status.OK,
        "api.example.com shuts down none of the models in use within 90 days",
    )


def test_the_first_to_end_is_named_while_there_is_time() -> None:
    (result,) = judged(Shutdown(SPEAKER, "2027-11-29", NOON + 365 * DAY_S))
    assert result.found.endswith("; the first to end is gpt-realtime, on 2027-11-29")


async def told(server: SandboxServer, **realtime: Any) -> list[Result]:
    results: list[Result] = []
    settings = Settings.model_validate({"realtime": {"url": server.url, "api_key": "k", **realtime}})
    await check_shutdowns(settings, results.append)
    return results


def quiet(**options: Any) -> SandboxOptions:
    return SandboxOptions(voice="tone", recogniser=False, detector="energy", **options)


async def test_the_sandboxs_dates_reach_the_check() -> None:
    dates = {"gpt-realtime": "2999-01-01", "gpt-realtime-2.1": "2001-01-01", "gpt-transcribe": "2002-02-02"}
    async with SandboxServer(quiet(shutdown_dates=dates)) as server:
        ended = await told(server)
        living = await told(server, model="gpt-realtime")
    assert [(result.status, result.found) for result in ended] == [
        (Status.FAILED, "model gpt-realtime-2.1 of agent default: 127.0.0.1 shut it down on 2001-01-01"),
        (Status.FAILED, "transcription model gpt-transcribe of agent default: 127.0.0.1 shut it down on 2002-02-02"),
    ]
    assert [result.status for result in living] == [Status.FAILED]


async def test_both_endpoints_are_asked() -> None:
    async with (
        SandboxServer(quiet(shutdown_dates={})) as first,
        SandboxServer(quiet(shutdown_dates={"gpt-realtime": "2001-01-01"})) as second,
    ):
        fallback = {"url": second.url, "api_key": "k", "model": "gpt-realtime"}
        results = await told(first, fallback=fallback)
    assert [result.status for result in results] == [Status.OK, Status.FAILED]


async def test_a_server_without_a_list_is_not_spoken_of() -> None:
    async with SandboxServer(quiet(shutdown_dates=None)) as server:
        assert await told(server) == []


async def test_a_key_that_may_not_read_the_list_is_not_spoken_of() -> None:
    async with SandboxServer(quiet()) as server:
        assert await told(server, api_key="bad") == []
