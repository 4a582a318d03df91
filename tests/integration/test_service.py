"""The service as a whole: signals, health, a lost or restarted Asterisk, a rival, a crash; callers never pay for it."""

import asyncio
import json
import os
import re
import shlex
import signal
import socket
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from ariagent import ownsocket
from ariagent.control import localfile
from lab import environment as lab
from lab.asterisk import AsteriskInstance
from lab.call_setup import CallState
from lab.proxy import Proxy

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
AGENT = {"opening": None, "machines": "ignore", "transcription": None, "turn_detection": {"silence_duration_ms": 200}}


def settings(model: Any, **sections: Any) -> dict[str, Any]:
    """For a service that is a process of its own."""
    return {"realtime": {"url": model.url, "api_key": "test"}, "agents": {"default": AGENT}, **sections}


def told(process: lab.Process, event: str) -> list[dict[str, str]]:
    """The log lines of this event: their fields."""
    found = []
    for line in process.log.splitlines():
        match = re.match(rf"\S+ [A-Z]+ {re.escape(event)}(?: |$)", line)
        if match:
            found.append(dict(word.partition("=")[::2] for word in shlex.split(line[match.end() :])))
    return found


async def until_told(process: lab.Process, event: str, count: int = 1) -> dict[str, str]:
    """The fields of the ``count``-th line of this event."""
    async with asyncio.timeout(LIMIT_S):
        while len(found := told(process, event)) < count:
            await asyncio.sleep(0.02)
    return found[count - 1]


async def exit_code(process: lab.Process) -> int:
    """The exit code of a process that ends by itself."""
    return await asyncio.wait_for(process._process.wait(), LIMIT_S)


def tell(process: lab.Process, number: signal.Signals) -> None:
    os.kill(process.pid, number)


async def all_ended(process: lab.Process) -> None:
    """Until each of the process' calls has ended: a caller whom it found may end after one who came later."""
    async with asyncio.timeout(LIMIT_S):
        while len(told(process, "call.ended")) < sum(
            len(told(process, begun)) for begun in ("call.started", "call.resumed")
        ):
            await asyncio.sleep(0.02)


def check_log(process: lab.Process) -> None:
    """One end for each call, and no traceback."""
    assert "Traceback" not in process.log
    started = sorted(fields["call"] for event in ("call.started", "call.resumed") for fields in told(process, event))
    ended = [fields["call"] for fields in told(process, "call.ended") if fields["result"] != "busy"]
    assert sorted(ended) == started


async def get_at(port: int, path: str, state: Path | None = None) -> tuple[int, str]:
    """Status and body of the HTTP of a service whose ``http.port`` this is; ``state``: its directory, with the token of
    this machine's commands."""

    def ask() -> tuple[int, str]:
        access = None if state is None else localfile.read(state)
        headers = {} if access is None else {"Authorization": f"Bearer {access.token}"}
        try:
            asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await asyncio.to_thread(ask)


async def health_at(port: int, state: Path | None = None) -> tuple[int, dict[str, Any]]:
    status, body = await get_at(port, "/healthz", state)
    return status, json.loads(body)


async def nothing_in(asterisk: AsteriskInstance) -> None:
    """Until no channel and no bridge is left."""
    async with asyncio.timeout(LIMIT_S):
        while (await asterisk.cli("core show channels concise")).strip():
            await asyncio.sleep(0.05)
        while len((await asterisk.cli("bridge show all")).strip().splitlines()) > 1:
            await asyncio.sleep(0.05)


# -- signals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how", ["ariagent drain", *(pytest.param(each, marks=pytest.mark.long) for each in ("SIGTERM", "SIGTERM to both"))]
)
async def test_draining_lets_calls_end_and_sends_new_ones_to_people(
    how: str, bed: Any, sandbox: Any, dial: Any, phone: Any, sound: Any, tmp_path: Path, ends_with_people: Any
) -> None:
    model = await sandbox()
    human = await phone("1001", register=True)
    async with lab.service(bed.asterisk, tmp_path, settings(model)) as process:
        call, hearing = await dial("7001")
        await until_told(process, "call.answered")
        if how == "SIGTERM":
            tell(process, signal.SIGTERM)
        elif how == "SIGTERM to both":
            # As systemd without KillMode=mixed: to the keeper, which forwards it, and to the service.
            for pid in (process.pid, process.service_pid):
                os.kill(pid, signal.SIGTERM)
        else:
            argv = [sys.executable, "-m", "ariagent", "drain", "-c", str(tmp_path / "service.yaml")]
            async with lab.process(argv, tmp_path / "drain.log") as command:
                assert await exit_code(command) == 0
                assert command.log.startswith("no new calls; 1 call may continue for ")
        assert (await until_told(process, "service.draining"))["calls"] == "1"
        late = await (await phone()).dial("7001")
        await ends_with_people(late, human)
        assert [(f["result"], f["reason"]) for f in told(process, "call.ended")] == [("busy", "stopping")]
        # The running conversation continues.
        await call.play(sound.tone(0.4))
        await hearing.utterance(after=hearing.spoke_until())
        await call.hangup()
        assert await exit_code(process) == 0
        assert (await until_told(process, "call.ended", 2))["reason"] == "caller_hung_up"
        check_log(process)


@pytest.mark.parametrize(
    ("how", "number"),
    [
        ("SIGINT", "7000"),
        ("SIGTERM twice", "7001"),
        ("drain timeout", "7000"),
        *(pytest.param(*each, marks=pytest.mark.long) for each in (("SIGINT", "7001"), ("SIGTERM twice", "7000"))),
        pytest.param("drain timeout", "7001", marks=pytest.mark.long),
    ],
)
async def test_a_service_that_stops_hands_its_callers_to_people(
    number: str,
    how: str,
    bed: Any,
    sandbox: Any,
    dial: Any,
    phone: Any,
    tmp_path: Path,
    ends_with_people: Any,
) -> None:
    model = await sandbox()
    human = await phone("1001", register=True)
    drain_s = 0.3 if how == "drain timeout" else 300
    async with lab.service(bed.asterisk, tmp_path, settings(model, drain_timeout_s=drain_s)) as process:
        call, _ = await dial(number)
        await until_told(process, "call.answered")
        tell(process, signal.SIGINT if how == "SIGINT" else signal.SIGTERM)
        if how == "SIGTERM twice":
            await until_told(process, "service.draining")
            assert process.running
            tell(process, signal.SIGTERM)
        await ends_with_people(call, human)
        assert await exit_code(process) == 0
        ended = await until_told(process, "call.ended")
        assert (ended["result"], ended["reason"]) == ("error", "stopped")
        check_log(process)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
async def test_a_service_without_calls_ends_at_once(
    number: signal.Signals, bed: Any, sandbox: Any, tmp_path: Path
) -> None:
    model = await sandbox()
    async with lab.service(bed.asterisk, tmp_path, settings(model)) as process:
        began = time.monotonic()
        tell(process, number)
        assert await exit_code(process) == 0
        assert time.monotonic() - began < 5
        assert told(process, "service.stopped")


async def test_a_service_is_stopped_while_it_still_waits_for_its_model(bed: Any, sandbox: Any, tmp_path: Path) -> None:
    """Its own trial and a call are both on their way to a model that hangs."""
    from ariagent.sandbox.faults import Faults

    model = await sandbox(faults=Faults.parse("hang"))
    async with lab.service(bed.asterisk, tmp_path, settings(model)) as process:
        call = await (await bed.phone()).dial("7001")
        await until_told(process, "call.started")
        began = time.monotonic()
        tell(process, signal.SIGINT)
        assert await exit_code(process) == 0
        assert time.monotonic() - began < 5
        # The dialplan has answered for the human queue.
        await call.answered(LIMIT_S)
        await call.hangup()
        check_log(process)


@pytest.mark.parametrize("user", ["reader", pytest.param("ariagent", marks=pytest.mark.long)])
async def test_an_ari_user_that_is_not_let_in_or_may_only_read_can_be_mended_while_the_service_waits(
    user: str,
    asterisk: AsteriskInstance,
    bed: Any,
    sandbox: Any,
    dial: Any,
    phone: Any,
    tmp_path: Path,
    ends_with_people: Any,
) -> None:
    """No phone rings without an end: without an event stream Stasis() fails, and callers go to the human queue."""
    conf = asterisk.root / "etc" / "ari.conf"
    before = conf.read_text()
    human = await phone("1001", register=True)
    reader = f"[reader]\ntype = user\npassword = {asterisk.ari_password}\nread_only = {{}}\n"
    wrong = {"ariagent": "[ariagent](+)\npassword = another\n", "reader": reader.format("yes")}[user]
    right = {"ariagent": "", "reader": reader.format("no")}[user]
    cause = {"ariagent": "refused user ariagent or its password", "reader": "the ARI user reader is read-only"}[user]
    tree = settings(
        await sandbox(), asterisk={"url": asterisk.ari_url, "user": user, "password": asterisk.ari_password}
    )
    path = lab.write_settings(asterisk, tmp_path, tree)
    try:
        conf.write_text(f"{before}\n{wrong}")
        await asterisk.cli("module reload res_ari.so")
        async with lab.process(lab.service_argv(path), tmp_path / "service.log") as process:
            [waiting] = [await until_told(process, "asterisk.waiting")]
            assert cause in waiting["cause"]
            assert re.search(rf" ERROR asterisk.waiting .*{cause}", process.log)
            port = int((await until_told(process, "service.starting"))["http_port"])
            status, told_now = await health_at(port)
            assert (status, told_now["status"], told_now["started"]) == (503, "unavailable", False)
            assert told_now["asterisk"] == "not connected"
            assert cause in (await health_at(port, tmp_path / "service-state"))[1]["asterisk"]
            for number in ("7001", "7000"):
                began = time.monotonic()
                await ends_with_people(await (await phone()).dial(number), human)
                assert time.monotonic() - began < LIMIT_S / 2
            assert len(told(process, "asterisk.waiting")) == 1
            conf.write_text(f"{before}\n{right}")
            await asterisk.cli("module reload res_ari.so")
            await until_told(process, "service.ready")
            assert (await health_at(port))[0] == 200
            call, _ = await dial("7001")
            await call.hangup()
            await until_told(process, "call.ended")
            check_log(process)
    finally:
        conf.write_text(before)
        await asterisk.cli("module reload res_ari.so")


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
async def test_a_service_that_waits_for_asterisk_costs_almost_nothing_and_ends_at_once(
    number: signal.Signals, asterisk: AsteriskInstance, sandbox: Any, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = listener.getsockname()[1]
    tree = settings(await sandbox(), asterisk={"url": f"http://127.0.0.1:{nobody}", "password": "p"})
    path = lab.write_settings(asterisk, tmp_path, tree)
    async with lab.process(lab.service_argv(path), tmp_path / "service.log") as process:
        waiting = await until_told(process, "asterisk.waiting")
        assert waiting["cause"].startswith(f"cannot reach Asterisk at http://127.0.0.1:{nobody}: Connection refused")
        port = int((await until_told(process, "service.starting"))["http_port"])
        status, told_now = await health_at(port)
        assert status == 503
        assert told_now["asterisk"] == "not connected"
        _, told_now = await health_at(port, tmp_path / "service-state")
        assert told_now["asterisk"].startswith("not connected: cannot reach Asterisk at ")
        assert (await get_at(port, "/metrics"))[0] == 200
        used, began = process.cpu_s(), time.monotonic()
        while time.monotonic() - began < 2.5:
            assert (await health_at(port))[0] == 503
            await asyncio.sleep(0.25)
        share = (process.cpu_s() - used) / (time.monotonic() - began)
        assert share < 0.1, "a process that was started again and again took 0.8 of a core"
        assert len(told(process, "asterisk.waiting")) == 1
        # Settings can be changed meanwhile.
        tree = yaml.safe_load(path.read_text())
        tree["agents"]["default"]["instructions"] = "You are new here."
        path.write_text(yaml.safe_dump(tree))
        tell(process, signal.SIGHUP)
        assert (await until_told(process, "settings.reloaded"))["changed"] == "agents"
        ended = time.monotonic()
        tell(process, number)
        assert await exit_code(process) == 0
        assert time.monotonic() - ended < 5
        assert told(process, "service.stopped")
        assert "Traceback" not in process.log
    print(f"\n{100 * share:.1f} % of a core while it waits, with ten questions about its health")


async def test_an_asterisk_that_comes_later_is_served(
    asterisk: AsteriskInstance, sandbox: Any, bed: Any, tmp_path: Path
) -> None:
    own = AsteriskInstance(asterisk.program, tmp_path / "asterisk")
    await own.start()
    await own.stop()
    # Its ports are new ones at each start; here it comes back where the settings look for it.
    async with Proxy() as between:
        ari = {"url": f"http://{between.address}", "user": own.ari_user, "password": own.ari_password}
        tree = settings(await sandbox(), asterisk=ari, ami=None)
        path = lab.write_settings(own, tmp_path, tree)
        between.cut(refuse=True)
        async with lab.process(lab.service_argv(path), tmp_path / "service.log") as process:
            await until_told(process, "asterisk.waiting")
            assert told(process, "service.accepting_calls") == []
            await own.start()
            try:
                between.target, between.refusing = ("127.0.0.1", own.http_port), False
                await until_told(process, "service.ready")
                bed.asterisk = own
                call, _ = await bed.dial("7001")
                await call.hangup()
                await until_told(process, "call.ended")
                check_log(process)
            finally:
                bed.asterisk = asterisk
                await process.stop()
                await own.stop()


# -- health ------------------------------------------------------------------------------------------------------------


async def get(service: Any, path: str) -> tuple[int, str]:
    """Status and body of the service's own HTTP."""
    return await get_at(service.http_port, path)


async def health(service: Any) -> tuple[int, dict[str, Any]]:
    return await health_at(service.http_port)


async def test_health_and_metrics_say_how_it_is(sandbox: Any, service: Any, dial: Any) -> None:
    running = await service(await sandbox())
    call, _ = await dial("7001")
    status, told_now = await health(running)
    assert status == 200
    assert (told_now["status"], told_now["asterisk"], told_now["model"]) == ("ok", "connected", "ok")
    assert (told_now["calls"], told_now["draining"]) == (1, False)
    status, metrics = await get(running, "/metrics")
    assert status == 200
    assert "ariagent_calls_active 1.0" in metrics
    for name in ("ariagent_accepting_calls", "ariagent_ari_connected", "ariagent_model_usable"):
        assert f"\n{name} 1.0\n" in metrics
    assert 'ariagent_response_seconds_count{agent="default"} 0.0' in metrics, "there before the first answer"
    tasks = float(re.search(r"^ariagent_asyncio_tasks (\S+)$", metrics, re.M)[1])  # type: ignore[index]
    assert tasks >= 3
    await call.hangup()


async def test_health_tells_what_is_wrong_with_the_model(sandbox: Any, service: Any, log: Any) -> None:
    running = await service(await sandbox(api_keys=("another",)), usable=False)
    await log.wait("model.unusable")
    status, told_now = await health(running)
    assert status == 200, "callers are sent to the human queue: the service does its part"
    assert told_now["model"] == "failed"
    told_now = await ownsocket.health(running.settings.state_directory)
    assert "invalid_api_key" in told_now["model"]
    assert "Check realtime.api_key" in told_now["model"]
    _, metrics = await get(running, "/metrics")
    assert "\nariagent_model_usable 0.0\n" in metrics
    assert "\nariagent_accepting_calls 1.0\n" in metrics


# -- Asterisk is lost --------------------------------------------------------------------------------------------------


async def behind(proxy: Any, service: Any, model: Any, asterisk: AsteriskInstance, **sections: Any) -> tuple[Any, Any]:
    """A service that reaches ARI through a proxy."""
    between = await proxy()
    between.target = ("127.0.0.1", asterisk.http_port)
    ari = {"url": f"http://{between.address}", "request_timeout_s": 2.0}
    return await service(model, agent={"opening": None}, asterisk=ari, **sections), between


async def test_calls_go_on_while_the_event_stream_is_lost_and_a_hang_up_missed_meanwhile_is_found(
    asterisk: Any, sandbox: Any, service: Any, dial: Any, log: Any, sound: Any, proxy: Any
) -> None:
    running, between = await behind(proxy, service, await sandbox(), asterisk)
    stays, hearing = await dial("7001")
    leaves, _ = await dial("7000")
    await log.wait("call.answered", count=2)
    between.cut(refuse=True)
    await log.wait("ari.lost")
    status, told_now = await health(running)
    assert (status, told_now["status"]) == (503, "unavailable")
    await stays.play(sound.tone(0.4))
    await hearing.utterance(after=hearing.spoke_until())
    await leaves.hangup()
    assert log.named("call.ended") == []
    between.refusing = False
    ended = await log.wait("call.ended", result="done", reason="caller_hung_up")
    [of_seat] = [entry for entry in log.named("call.started") if entry["seat"] != "-"]
    assert ended["call"] == of_seat["call"]
    assert len(running.calls) == 1
    assert (await health(running))[0] == 200
    # It serves both the old call and new ones.
    new, new_hearing = await dial("7001")
    for call, its in ((stays, hearing), (new, new_hearing)):
        await call.play(sound.tone(0.4))
        await its.utterance(after=its.spoke_until())
        await call.hangup()
    await log.wait("call.ended", count=3)


async def test_an_event_stream_lost_while_idle_comes_back_and_callers_go_to_people_meanwhile(
    asterisk: Any, sandbox: Any, service: Any, dial: Any, phone: Any, log: Any, proxy: Any, ends_with_people: Any
) -> None:
    _, between = await behind(proxy, service, await sandbox(), asterisk)
    human = await phone("1001", register=True)
    between.cut(refuse=True)
    await log.wait("ari.lost")
    meanwhile = await (await phone()).dial("7001")
    await ends_with_people(meanwhile, human)
    assert log.named("call.started") == []
    between.refusing = False
    await log.wait("ari.connected", count=2)
    call, _ = await dial("7001")
    await call.hangup()
    await log.wait("call.ended", result="done")


async def test_an_asterisk_that_restarts_is_served_again(
    asterisk: AsteriskInstance, sandbox: Any, service: Any, log: Any, proxy: Any, bed: Any, ear: Any, tmp_path: Path
) -> None:
    # One of its own: the others' continues.
    own = AsteriskInstance(asterisk.program, tmp_path / "asterisk")
    await own.start()
    try:
        between = await proxy()
        between.target = ("127.0.0.1", own.http_port)
        ari = {"url": f"http://{between.address}", "user": own.ari_user, "password": own.ari_password}
        running = await service(await sandbox(), asterisk={**ari, "request_timeout_s": 2.0}, ami=None)
        bed.asterisk = own  # where the phones go
        call, _ = await bed.dial("7001")
        await log.wait("call.answered")
        await own.stop()
        await log.wait("call.ended")
        assert len(running.calls) == 0
        await call.hangup()
        await own.start()
        between.target = ("127.0.0.1", own.http_port)
        await log.wait("ari.connected", count=2)
        again, hearing = await bed.dial("7001")
        await hearing.utterance()
        await again.hangup()
        await log.wait("call.ended", count=2, timeout=LIMIT_S)
        await nothing_in(own)
    finally:
        bed.asterisk = asterisk
        await own.stop()


# -- a rival, and a crash ----------------------------------------------------------------------------------------------


async def test_a_second_service_with_the_same_name_ends_the_first_and_its_callers_go_to_people(
    bed: Any, sandbox: Any, dial: Any, phone: Any, tmp_path: Path, ends_with_people: Any
) -> None:
    model = await sandbox()
    human = await phone("1001", register=True)
    async with lab.service(bed.asterisk, tmp_path, settings(model), "first") as first:
        call, _ = await dial("7001")
        await until_told(first, "call.answered")
        async with lab.service(bed.asterisk, tmp_path, settings(model), "second") as second:
            assert told(first, "service.took_over") == []
            assert (await until_told(second, "service.took_over"))["app"] == "ariagent"
            assert await exit_code(first) == 2  # systemd does not start it again
            assert first.log.splitlines()[-1] == (
                "ariagent: another program took over the Stasis application ariagent. "
                "Run one service for each application name, or give this one another asterisk.app"
            )
            check_log(first)
            await ends_with_people(call, human)
            new, _ = await dial("7001")
            await until_told(second, "call.answered")
            await new.hangup()
            # It may have found the first one's caller before that was given back.
            await all_ended(second)
            check_log(second)


@pytest.mark.parametrize("number", ["7000", pytest.param("7001", marks=pytest.mark.long)])
async def test_callers_of_a_killed_service_whose_records_are_lost_are_asked_again_by_the_next(
    number: str, bed: Any, sandbox: Any, dial: Any, tmp_path: Path
) -> None:
    model = await sandbox()
    async with lab.service(bed.asterisk, tmp_path, settings(model), "killed") as killed:
        call, hearing = await dial(number)
        await until_told(killed, "call.answered")
        tell(killed, signal.SIGKILL)
        await exit_code(killed)
    assert call.state is CallState.ANSWERED
    since = time.monotonic()
    async with lab.service(bed.asterisk, tmp_path, settings(model), "next") as following:
        assert (await until_told(following, "call.resumed"))["lines"] == "0"
        await hearing.wait_loud(since)
        texts = [part.get("text", "") for s in model.sessions for item in s.items for part in item.get("content", [])]
        assert any("no longer know what was said before" in text for text in texts)
        await call.hangup()
        await until_told(following, "call.ended")
        await nothing_in(bed.asterisk)
        check_log(following)


# -- other settings ----------------------------------------------------------------------------------------------------


async def test_changed_settings_are_for_new_calls_and_refused_whole_when_wrong(
    bed: Any, sandbox: Any, dial: Any, tmp_path: Path
) -> None:
    model = await sandbox()
    async with lab.service(bed.asterisk, tmp_path, settings(model)) as process:
        call, hearing = await dial("7001")
        await until_told(process, "call.answered")
        path = tmp_path / "service.yaml"
        tree = yaml.safe_load(path.read_text())
        # One key that can be changed, and another that is wrong, or needs a restart: neither is taken.
        newer = {**tree["agents"]["default"], "instructions": "You are new here."}
        for wrong in ({"agents": {"default": {**newer, "voise": "x"}}}, {"http": {"port": 1}}):
            path.write_text(yaml.safe_dump({**tree, "agents": {"default": newer}, **wrong}))
            tell(process, signal.SIGHUP)
            await until_told(process, "settings.refused", 1 if "agents" in wrong else 2)
        causes = [line for line in process.log.splitlines() if " settings.refused" in line]
        assert f"{path}:" in causes[0]
        assert "agents.default.voise" in causes[0]
        assert "a change of http needs a restart" in causes[1]
        path.write_text(yaml.safe_dump({**tree, "agents": {"default": newer}}))
        tell(process, signal.SIGHUP)
        assert (await until_told(process, "settings.reloaded"))["changed"] == "agents"
        new, _ = await dial("7001")
        await until_told(process, "call.answered", 2)
        calls = [s for s in model.sessions if s.settings["tools"]]  # the trials have none
        given = ["You are new here." in s.settings["instructions"] for s in calls]
        assert given.count(True) == 1
        assert given[-1]
        # The call that was there continues.
        before = time.monotonic()
        await call.send_dtmf("1")
        await hearing.wait_loud(before)
        for each in (call, new):
            await each.hangup()
        await until_told(process, "call.ended", 2)
        check_log(process)


async def test_the_log_can_be_changed_during_a_call(bed: Any, sandbox: Any, dial: Any, tmp_path: Path) -> None:
    async with lab.service(bed.asterisk, tmp_path, settings(await sandbox())) as process:
        path = tmp_path / "service.yaml"
        tree = yaml.safe_load(path.read_text())
        call, _ = await dial("7001")
        await until_told(process, "call.answered")
        log = {"level": "debug", "format": "json"}
        path.write_text(yaml.safe_dump({**tree, "log": log, "records": {"transcripts": False}}))
        tell(process, signal.SIGHUP)
        async with asyncio.timeout(LIMIT_S):
            while '"settings.reloaded"' not in process.log:
                await asyncio.sleep(0.02)
        await call.hangup()
        async with asyncio.timeout(LIMIT_S):
            while '"call.ended"' not in process.log:
                await asyncio.sleep(0.02)
        entries = [json.loads(line) for line in process.log.splitlines() if line.startswith("{")]
        (reloaded,) = [entry for entry in entries if entry["event"] == "settings.reloaded"]
        assert reloaded["changed"] == "records,log"
