"""The service is killed and does not come back: its callers reach the human queue, by the manager interface alone."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ariagent import configfile
from ariagent.records.store import Store
from ariagent.rescue import rescuer as rescuer_module
from ariagent.rescue.rescuer import Rescuer, Sign
from ariagent.webserver import WebServer
from lab import environment as lab
from lab.call_setup import CallState
from lab.ports import free_tcp_port

LIMIT_S = 60.0
AGENT = {"opening": "Good day.", "machines": "ignore", "transcription": None, "silence": None}


def serving(model: Any, **sections: Any) -> dict[str, Any]:
    """Settings of a service whose health a rescue can ask for."""
    realtime = {"url": model.url, "api_key": "test"}
    return {"realtime": realtime, "agents": {"default": AGENT}, "http": {"port": free_tcp_port()}, **sections}


async def rescue(settings: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """``ariagent rescue``: exit code and what it printed."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ariagent", "rescue", "-c", str(settings), "--json", *options),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await asyncio.wait_for(child.communicate(), LIMIT_S)
    assert child.returncode is not None
    return child.returncode, json.loads(said)


async def until_written(store: Store) -> None:
    """Wait until the opening is in the records."""
    async with asyncio.timeout(LIMIT_S):
        while not any(row.words for row in store.live()):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("number", ["7000", pytest.param("7001", marks=pytest.mark.chaos)])
async def test_a_caller_of_a_service_that_stays_away_reaches_people(
    number: str, bed: Any, sandbox: Any, phone: Any, dial: Any, queue_log: Any, tmp_path: Path, ends_with_people: Any
) -> None:
    model = await sandbox()
    human = await phone("1001", register=True)
    settings = serving(model)
    async with lab.service(bed.asterisk, tmp_path, settings, "killed") as killed:
        call, hearing = await dial(number)
        await hearing.utterance()
        code, said = await rescue(tmp_path / "killed.yaml", "--after", "1")
        assert (code, said) == (0, {"service_answers": True, "channels": []})
        assert call.state is CallState.ANSWERED
        await until_written(Store(tmp_path / "killed-state"))
        os.kill(killed.pid, signal.SIGKILL)
        await asyncio.wait_for(killed.ended(), LIMIT_S)
    code, said = await rescue(tmp_path / "killed.yaml", "--after", "1")
    assert code == 0
    [channel] = said["channels"]
    assert (channel["way"], channel["queue"]) == ({"7000": "transfer", "7001": "redirect"}[number], "support")
    assert "State: 'UNAVAILABLE'" in await bed.asterisk.cli("devstate list"), "no more callers go to seats"
    answered = await ends_with_people(call, human)
    assert answered.invite.headers.get("x-ariagent-call") == channel["call"]
    assert answered.invite.headers.get("x-ariagent-summary") == "agent: Good day."
    rows = {(row[1], row[2], row[3]) for row in queue_log.rows()}
    print(f"\n{number}: {sorted(row for row in rows if row[2] not in ('PAUSE', 'UNPAUSE'))}")
    assert {("support", "NONE", "ENTERQUEUE"), ("support", "Agent 1001", "CONNECT")} <= rows
    assert (("frontline", "AI Agent", "BLINDTRANSFER") in rows) == (number == "7000")
    assert {row[0] for row in queue_log.rows(queue="support")} == {channel["call"]}
    # The empty bridge stays until there is a service again.
    async with lab.service(bed.asterisk, tmp_path, settings, "next") as following:
        assert "call.resumed" not in following.log


async def test_a_service_that_waits_for_asterisk_since_its_start_has_no_callers(
    bed: Any, sandbox: Any, phone: Any, dial: Any, tmp_path: Path, ends_with_people: Any
) -> None:
    """It answers, and says that it serves nobody: the callers of the one before it are moved all the same."""
    model = await sandbox()
    human = await phone("1001", register=True)
    settings = serving(model)
    async with lab.service(bed.asterisk, tmp_path, settings, "killed") as killed:
        call, hearing = await dial("7001")
        await hearing.utterance()
        await until_written(Store(tmp_path / "killed-state"))
        os.kill(killed.pid, signal.SIGKILL)
        await asyncio.wait_for(killed.ended(), LIMIT_S)
    wrong = {"url": bed.asterisk.ari_url, "user": bed.asterisk.ari_user, "password": "changed"}
    path = lab.write_settings(bed.asterisk, tmp_path, {**settings, "asterisk": wrong}, "waiting")
    async with lab.process(lab.service_argv(path), tmp_path / "waiting.log") as waiting:
        await waiting.wait_for("asterisk.waiting")
        code, said = await rescue(tmp_path / "waiting.yaml", "--after", "1")
        assert (code, len(said["channels"])) == (0, 1)
        await ends_with_people(call, human)
    async with lab.service(bed.asterisk, tmp_path, settings, "next"):
        pass


async def test_without_a_service_and_without_callers_there_is_nothing_to_do(bed: Any, tmp_path: Path) -> None:
    settings = tmp_path / "nobody.yaml"
    ami = {**bed.asterisk.ami}
    settings.write_text(json.dumps({"ami": ami, "http": {"port": free_tcp_port()}}))
    code, said = await rescue(settings, "--after", "0")
    assert (code, said) == (0, {"service_answers": False, "channels": []})


def well(port: int) -> web.Application:
    """Somebody who says that the service is well."""

    async def answer(request: web.Request) -> web.Response:
        told = {"status": "ok", "application": "ariagent", "started": True, "control_port": port}
        return web.json_response(told)

    app = web.Application()
    app.router.add_get("/healthz", answer)
    return app


@asynccontextmanager
async def silent(*ports: int) -> AsyncIterator[None]:
    """More connections to each of these ports than it takes, which say nothing."""
    made = []
    try:
        for port in ports * 140:
            made.append((await asyncio.open_connection("127.0.0.1", port))[1])
        yield
    finally:
        for writer in made:
            writer.transport.abort()


@pytest.mark.chaos
async def test_a_crowd_at_the_ports_is_no_death(bed: Any, sandbox: Any, dial: Any, tmp_path: Path) -> None:
    """Neither to a rescue beside the service, nor to one that cannot see its socket; and commands get through."""
    model = await sandbox()
    settings = serving(model, control={"port": free_tcp_port()})
    async with lab.service(bed.asterisk, tmp_path, settings, "jammed") as running:
        calls = [await dial(number) for number in ("7000", "7001")]
        for _, hearing in calls:
            await hearing.utterance()
        lab.write_settings(bed.asterisk, tmp_path, {**settings, "state_directory": str(tmp_path / "other")}, "afar")
        async with silent(settings["http"]["port"], settings["control"]["port"]):
            for name in ("jammed", "afar"):
                code, said = await rescue(tmp_path / f"{name}.yaml", "--after", "2")
                assert (code, said) == (0, {"service_answers": True, "channels": []})
            for action in ("pause", "resume"):
                child = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "ariagent", action, "-c", str(tmp_path / "jammed.yaml")
                )
                assert await asyncio.wait_for(child.wait(), LIMIT_S) == 0
        for call, _ in calls:
            assert call.state is CallState.ANSWERED
            await call.hangup()
        assert "Traceback" not in running.log
        assert "State: 'UNAVAILABLE'" not in await bed.asterisk.cli("devstate list")


@pytest.mark.parametrize(
    "where", [pytest.param("afar", marks=pytest.mark.long), pytest.param("beside", marks=pytest.mark.chaos)]
)
async def test_a_stranger_at_the_port_of_a_dead_service_stops_no_rescue(
    where: str,
    bed: Any,
    sandbox: Any,
    phone: Any,
    dial: Any,
    tmp_path: Path,
    ends_with_people: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Asterisk tells: its callers hear nothing. A healthy service has no such callers."""
    monkeypatch.setattr(rescuer_module, "DOUBT_S", 2.0)
    monkeypatch.setattr(rescuer_module, "BELIEVED_S", dict.fromkeys(Sign, 0.0))
    model = await sandbox()
    human = await phone("1001", register=True)
    settings = serving(model)
    path = lab.write_settings(bed.asterisk, tmp_path, settings, "killed")
    if where == "afar":
        afar = {**settings, "state_directory": str(tmp_path / "other")}
        path = lab.write_settings(bed.asterisk, tmp_path, afar, "afar")
    rescuer = Rescuer(configfile.load(path))
    async with lab.service(bed.asterisk, tmp_path, settings, "killed") as killed:
        call, hearing = await dial("7001")
        second, ear = await dial("7000", await phone("5559999"))
        await hearing.utterance()
        await ear.utterance()
        assert await rescuer.look() is {"beside": Sign.SERVES, "afar": Sign.SAYS_SO}[where]
        assert await rescuer._without_audio() == frozenset()
        assert await rescuer.verdict(0.0) is None
        await second.hangup()
        os.kill(killed.pid, signal.SIGKILL)
        await asyncio.wait_for(killed.ended(), LIMIT_S)
    stranger = WebServer(well(1))
    await stranger.start("127.0.0.1", settings["http"]["port"], what="lies", key="http.port")
    try:
        async with asyncio.timeout(LIMIT_S):
            while (verdict := await rescuer.verdict(0.5)) is None:
                await asyncio.sleep(0.1)
        [moved] = await rescuer.rescue(verdict)
        assert (moved.cause, moved.queue) == ("", "support")
        await ends_with_people(call, human)
    finally:
        await stranger.close()
    async with lab.service(bed.asterisk, tmp_path, settings, "next"):
        pass


@pytest.mark.chaos
async def test_a_watch_rescues_when_the_service_goes_and_not_before(
    bed: Any, sandbox: Any, phone: Any, dial: Any, tmp_path: Path, ends_with_people: Any
) -> None:
    model = await sandbox()
    human = await phone("1001", register=True)
    settings = serving(model, rescue={"after_s": 1.5})
    async with lab.service(bed.asterisk, tmp_path, settings, "killed") as killed:
        watching = [sys.executable, "-m", "ariagent", "rescue", "--watch", "-c", str(tmp_path / "killed.yaml")]
        async with lab.process(watching, tmp_path / "rescue.log") as watch:
            await watch.wait_for("rescue.watching")
            call, hearing = await dial("7000")
            await hearing.utterance()
            assert "rescue.service_silent" not in watch.log
            os.kill(killed.pid, signal.SIGKILL)
            await watch.wait_for("rescue.moved")
            await ends_with_people(call, human)
            async with lab.service(bed.asterisk, tmp_path, settings, "next"):
                await watch.wait_for("rescue.service_back")


@pytest.mark.chaos
async def test_ten_callers_of_a_service_that_stays_away_wait_for_people(
    bed: Any, sandbox: Any, phone: Any, dial: Any, queue_log: Any, tmp_path: Path
) -> None:
    model = await sandbox()
    settings = serving(model)
    phones = [await phone(f"55533{n:02}") for n in range(10)]
    async with lab.service(bed.asterisk, tmp_path, settings, "killed") as killed:
        lines = await asyncio.gather(*(dial(("7000", "7001")[n % 2], one) for n, one in enumerate(phones)))
        await asyncio.gather(*(hearing.utterance() for _, hearing in lines))
        os.kill(killed.pid, signal.SIGKILL)
        began = time.monotonic()
        await asyncio.wait_for(killed.ended(), LIMIT_S)
    code, said = await rescue(tmp_path / "killed.yaml", "--after", "1")
    assert (code, len(said["channels"])) == (0, 10)
    heard = await asyncio.gather(*(hearing.wait_loud(began + 0.3, LIMIT_S) for _, hearing in lines))
    print(
        f"\n10 of 10 callers wait in the human queue; longest silence {max(heard) - began:.2f} s, 1 s of it on purpose"
    )
    assert len(queue_log.rows("ENTERQUEUE", "support")) == 10
    assert len(queue_log.rows("BLINDTRANSFER", "frontline")) == 5
    assert {call.state for call, _ in lines} == {CallState.ANSWERED}
    await asyncio.gather(*(call.hangup() for call, _ in lines))
    async with lab.service(bed.asterisk, tmp_path, settings, "next"):
        pass
