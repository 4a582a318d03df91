"""The commands as an administrator types them, beside a service without calls."""

import asyncio
import io
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from typer.testing import CliRunner

from ariagent.cli import application
from ariagent.control import command, localfile
from ariagent.control.client import ServiceError
from ariagent.service.draining import Plan
from tests.call.incall import Office

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
    told = json.loads(result.stdout)
    assert told == {"calls": 0, "timeout_s": 0.0, "to": "next", "process": site.desk.calls().process}
    told = "no new calls; 0 calls may continue for 60 s, then the callers wait for the next process\n"
    assert (await run("drain", "--after", "60")).stdout == told
    remote = {"ARIAGENT_API_URL": site.url, "ARIAGENT_API_TOKEN": token["supervisor"]}
    result = await run("drain", configuration=False, **remote)
    assert result.exit_code == 1
    assert "the-supervisor has the role supervisor; this needs the role admin" in result.stderr
    assert len(site.drained) == 3


@pytest.mark.parametrize("wrong", [("--to", "nobody"), ("--after", "-1"), ("--after", "nan")])
async def test_a_service_is_not_told_nonsense_about_its_end(run: Run, site: Any, wrong: tuple[str, str]) -> None:
    result = await run("drain", *wrong)
    assert (result.exit_code, result.stdout, site.drained) == (2, "", [])


async def test_another_machines_service(run: Run, site: Any, token: dict[str, str]) -> None:
    remote = {"ARIAGENT_API_URL": f"{site.url}/v1/", "ARIAGENT_API_TOKEN": token["viewer"]}
    result = await run("pause", configuration=False, **remote)
    assert result.exit_code == 1
    assert result.stderr.startswith(
        "ariagent: the-viewer has the role viewer; this needs the role supervisor or higher"
    )
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


async def test_a_token_alone_is_for_the_service_of_the_settings(
    run: Run, site: Any, token: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "state" / "control.json").unlink()
    (tmp_path / "ariagent.yaml").write_text(f"control: {{port: {site.server.port}}}\n")
    result = await run("drain", ARIAGENT_API_TOKEN=token["admin"])
    assert (result.exit_code, len(site.drained)) == (0, 1)


async def test_a_file_of_the_service_that_cannot_be_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "state" / "control.json").mkdir(parents=True)
    result = await run("pause")
    assert result.exit_code == 1
    assert result.stderr.endswith("control.json cannot be read: Is a directory\n")


@pytest.mark.parametrize(
    ("status", "text", "told"),
    [
        (200, "[]", " does not belong to an ariagent service"),
        (200, "<html>", " is not the address of a service: "),
        (502, "<html>", "the service answers with HTTP status 502"),
        (500, '{"error": 7}', "the service answers with HTTP status 500"),
    ],
)
async def test_a_server_that_is_no_ariagent_is_told_as_one(run: Run, status: int, text: str, told: str) -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(status=status, text=text)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    result = await run("pause", configuration=False, ARIAGENT_API_URL=url, ARIAGENT_API_TOKEN="x" * 20)
    assert result.exit_code in (1, USAGE)
    assert told in result.stderr
    await runner.cleanup()


async def test_calls_are_those_of_the_service_where_it_runs(run: Run, site: Any) -> None:
    result = await run("calls")
    assert (result.exit_code, result.stdout) == (0, "No call is running.\n")


async def test_a_caller_is_transferred_and_the_outcome_is_told(run: Run, busy_site: Any, office: Office) -> None:
    result = await run("transfer", "c1", "--to", "nowhere")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "ariagent: there is no destination nowhere. There are: blind, briefed, warm\n"
    result = await run("transfer", "c1", "--to", "blind", "--reason", "a refund")
    assert (result.exit_code, result.stdout) == (0, "c1 is with blind now\n")
    [told] = office.events("call.transferred")
    assert (told["destination"], told["by"]) == ("blind", "local")


async def test_a_transfer_need_not_be_waited_for(run: Run, busy_site: Any, office: Office) -> None:
    result = await run("transfer", "c1", "--to", "warm", "--no-wait")
    assert (result.exit_code, result.stdout) == (0, "c1 is being transferred to warm\n")
    result = await run("transfer", "c1", "--queue", "support", "--json")
    assert json.loads(result.stdout) == {"id": "c1", "to": "blind", "state": "transferred"}


async def test_the_agent_gets_a_note(run: Run, busy_site: Any, office: Office) -> None:
    result = await run("whisper", "c1", "Offer the\x1b free inspection.")
    told = "The agent of c1 got this note: Offer the free inspection.\n"
    assert (result.exit_code, result.stdout) == (0, told)
    result = await run("whisper", "c1", "Be quick.", "--now", "--json")
    assert json.loads(result.stdout) == {"id": "c1", "told": "Be quick."}
    await office.until(lambda: office.model.session.told("Be quick."))


async def test_a_call_is_named_by_a_part_of_its_id_that_only_it_has(run: Run, busy_site: Any, office: Office) -> None:
    await office.answered("c12")
    await office.answered("d1")
    assert (await run("whisper", "c1", "x")).exit_code == 0, "it has this id, though another one begins with it"
    result = await run("whisper", "1", "x")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "ariagent: '1' matches several calls: c1, d1. Give more characters of the id\n"
    assert (await run("whisper", "d", "x")).stdout == "The agent of d1 got this note: x\n"


async def test_calls_in_progress_are_listed(run: Run, busy_site: Any, tmp_path: Path) -> None:
    result = await run("calls")
    assert result.exit_code == 0
    for words in ("1 running", "c1", "default", "5551000", "talking"):
        assert words in result.stdout
    assert "No call is running." in (await run("calls", "--agent", "other")).stdout
    [told] = json.loads((await run("calls", "--json")).stdout)["live"]
    assert (told["id"], told["state"], told["live"]) == ("c1", "talking", True)


async def test_draining_is_waited_for(run: Run, site: Any) -> None:
    waiting = asyncio.ensure_future(run("drain", "--wait"))
    async with asyncio.timeout(20):
        while not site.drained:
            await asyncio.sleep(0.01)
    assert not waiting.done()
    await site.server.close()
    result = await waiting
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("no new calls; 0 calls may continue for 9 s")


async def test_draining_is_over_when_another_process_answers(run: Run, site: Any, monkeypatch: Any) -> None:
    """A token of ``control.tokens`` is good for the next process, too."""
    waiting = asyncio.ensure_future(run("drain", "--wait"))
    async with asyncio.timeout(20):
        while not site.drained:
            await asyncio.sleep(0.01)
        monkeypatch.setattr(site.desk, "_process", "next")
        result = await waiting
    assert (result.exit_code, result.stderr) == (0, "")


async def test_a_service_that_answers_otherwise_has_not_ended(run: Run, site: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(site.desk, "calls", lambda: 1 / 0)
    result = await run("drain", "--wait")
    assert (result.exit_code, result.stderr[:24]) == (1, "ariagent: internal error")


class GoneError(Exception):
    """The terminal is gone."""


class Screen(io.StringIO):
    """A terminal; ``until`` waits, outside the event loop, for what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.gone = False
        self._changed = threading.Condition()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.gone:
            self.gone = False  # rich puts back what it changed
            raise GoneError
        with self._changed:
            written = super().write(text)
            self._changed.notify_all()
        return written

    def until(self, words: str, times: int = 1) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.getvalue().count(words) >= times, 20), self.getvalue()[-500:]


@asynccontextmanager
async def watching(settings: Path | None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Screen, Any]]:
    """Somebody watches the calls, until the terminal goes away at the end: the screen, and the command's future."""
    screen = Screen()
    monkeypatch.setattr("sys.stdout", screen)
    task = asyncio.ensure_future(asyncio.to_thread(command.watch, settings, None, 0.05))
    try:
        yield screen, task
    finally:
        screen.gone = True
        await asyncio.wait([task], timeout=20)
        assert isinstance(task.exception(), GoneError | ServiceError)


async def test_calls_are_watched_also_across_a_restart_of_the_service(
    busy_site: Any, office: Office, make_site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "ariagent.yaml"
    settings.write_text(f"state_directory: {tmp_path / 'state'}\n")
    async with watching(settings, monkeypatch) as (screen, _):
        await asyncio.to_thread(screen.until, "5551000")
        await busy_site.server.close()
        await asyncio.to_thread(screen.until, "the service does not answer")
        again = await make_site()
        again.desk.registry = office.registry
        seen = screen.getvalue().count("5551000")
        await asyncio.to_thread(screen.until, "5551000", seen + 1)


async def test_a_watcher_who_may_not_see_the_calls_is_told_so(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARIAGENT_API_URL", site.url)
    monkeypatch.setenv("ARIAGENT_API_TOKEN", "wrong")
    async with watching(None, monkeypatch) as (_, task):
        await asyncio.wait([task], timeout=20)
        with pytest.raises(ServiceError, match="unknown token"):
            task.result()
