"""The commands as an administrator types them, beside a service without calls."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ariagent.cli import application
from ariagent.control import localfile
from ariagent.service.draining import Plan

Run = Callable[..., Awaitable[Any]]
USAGE = 2


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """``await run("pause", "07", NAME=value)``; not in the event loop, where the server is."""
    settings = tmp_path / "ariagent.yaml"
    settings.write_text(f"state_directory: {tmp_path / 'state'}\n")

    async def invoke(*words: str, configuration: bool = True, **environment: str) -> Any:
        argv = [*words, "-c", str(settings)] if configuration else [*words]
        runner = CliRunner(env={"COLUMNS": "200", **environment})
        return await asyncio.to_thread(runner.invoke, application(), argv)

    return invoke


@pytest.mark.parametrize(
    "words", [("pause",), ("resume", "07"), ("whisper", "1.1", "x"), ("transfer", "1.1", "--queue", "q")]
)
async def test_when_no_service_runs(run: Run, words: tuple[str, ...], tmp_path: Path) -> None:
    result = await run(*words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(
        "ariagent: the service does not run. Start it (ariagent run), or set ARIAGENT_API_URL"
    )
    # One that was killed left this.
    localfile.write(tmp_path / "state", localfile.Access("http://127.0.0.1:1", "x"))
    result = await run(*words)
    assert result.exit_code == 1
    assert result.stderr.startswith("ariagent: the service does not answer at http://127.0.0.1:1: Connection refused.")


async def test_where_to_must_be_said(run: Run, site: Any) -> None:
    for words in (("transfer", "1.1"), ("transfer", "1.1", "--queue", "a", "--to", "b")):
        result = await run(*words)
        assert result.exit_code == USAGE
        assert result.stderr == "ariagent: give either --queue QUEUE or --to DESTINATION\n"


async def test_calls_and_seats_that_there_are_not(run: Run, site: Any) -> None:
    for words in (("transfer", "1.1", "--queue", "support"), ("whisper", "1.1", "x")):
        result = await run(*words)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "ariagent: no active call '1.1'. `ariagent calls` lists the active calls\n"
    result = await run("pause")
    assert result.exit_code == 1
    assert result.stderr.startswith("ariagent: seats are paused through the manager interface. Give the service access")


async def test_seats_are_paused_and_resumed(run: Run, make_site: Any, listed: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("ariagent.control.supervision.SETTLE_LIMIT_S", 0.1)
    site = await make_site(manager=True)
    listed(site.desk.pool, "frontline", seats=("06", "07"))
    result = await run("pause", "7")
    assert (result.exit_code, result.stdout) == (0, "seat 07 paused; Asterisk gets the change as soon as it answers\n")
    result = await run("resume")
    assert result.exit_code == 0
    assert result.stdout.startswith("2 seats resumed")
    assert result.stderr == "They take no calls yet: down\n"
    result = await run("pause", "--json")
    assert json.loads(result.stdout) == {"seats": ["06", "07"], "paused": True, "settled": False}
    result = await run("pause", "99")
    assert (result.exit_code, result.stderr) == (1, "ariagent: there is no seat 99. There are: 06 to 07\n")
    result = await run("pause", "seven")
    assert result.exit_code == USAGE
    assert result.stderr.startswith("ariagent: seat: must be the number of a seat")


async def test_a_service_is_told_to_end_by_an_admin_only(run: Run, site: Any, token: dict[str, str]) -> None:
    result = await run("drain")
    told = "no new calls; 0 calls may continue for 9 s, then the callers go to the human queue\n"
    assert (result.exit_code, result.stdout, site.drained) == (0, told, [Plan("human_queue", 9.0)])
    result = await run("drain", "--to", "next", "--after", "0", "--json")
    assert json.loads(result.stdout) == {"calls": 0, "timeout_s": 0.0, "to": "next"}
    told = "no new calls; 0 calls may continue for 60 s, then the callers wait for the next process\n"
    assert (await run("drain", "--after", "60")).stdout == told
    remote = {"ARIAGENT_API_URL": site.url, "ARIAGENT_API_TOKEN": token["supervisor"]}
    result = await run("drain", configuration=False, **remote)
    assert result.exit_code == 1
    assert "the-supervisor is a supervisor; this is for a admin" in result.stderr
    assert len(site.drained) == 3


@pytest.mark.parametrize("wrong", [("--to", "nobody"), ("--after", "-1"), ("--after", "nan")])
async def test_a_service_is_not_told_nonsense_about_its_end(run: Run, site: Any, wrong: tuple[str, str]) -> None:
    result = await run("drain", *wrong)
    assert (result.exit_code, result.stdout, site.drained) == (2, "", [])


async def test_another_machines_service(run: Run, site: Any, token: dict[str, str]) -> None:
    remote = {"ARIAGENT_API_URL": f"{site.url}/v1/", "ARIAGENT_API_TOKEN": token["viewer"]}
    result = await run("pause", configuration=False, **remote)
    assert result.exit_code == 1
    assert result.stderr.startswith("ariagent: the-viewer is a viewer; this is for a supervisor and above")
    result = await run("pause", configuration=False, **{**remote, "ARIAGENT_API_TOKEN": "wrong"})
    assert (result.exit_code, result.stderr) == (
        1,
        "ariagent: unknown token. See control.tokens in the settings\n",
    )
    result = await run("pause", configuration=False, ARIAGENT_API_URL=site.url)
    assert result.exit_code == USAGE
    assert "there is no token for it. Set ARIAGENT_API_TOKEN" in result.stderr
    result = await run("calls", "--json", **remote)
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"live": [], "past": []})


async def test_an_address_of_something_else(run: Run, site: Any) -> None:
    for url in ("nonsense", "ftp://127.0.0.1:1", f"{site.url}/elsewhere"):
        result = await run("pause", configuration=False, ARIAGENT_API_URL=url, ARIAGENT_API_TOKEN="x" * 20)
        assert result.exit_code in (1, USAGE)
        assert result.stderr.startswith("ariagent: ")
        assert "Traceback" not in result.stderr + result.stdout


async def test_calls_are_those_of_the_service_where_it_runs(run: Run, site: Any) -> None:
    result = await run("calls")
    assert (result.exit_code, result.stdout) == (0, "No call is running.\n")
