"""``ariagent check`` on a real Asterisk and the sandbox: what works is ok, what does not is named, nothing is left."""

import asyncio
import json
import logging
import os
import re
import signal
import socket
import sys
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from ariagent.check.ari import probe
from ariagent.check.report import Result, Status
from ariagent.check.site import opened
from ariagent.check.transfers import check_transfers
from ariagent.configfile import load
from ariagent.turns import modelfile
from lab.asterisk import AsteriskInstance
from lab.conf import FEW_SEATS
from lab.packages import default_lab_dir, ensure_asterisk
from tests import forked

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The output of one run."""

    code: int
    out: str
    err: str

    def lines(self, name: str) -> list[tuple[str, str]]:
        """(status, what was found) of the results of this name."""
        split = [line.partition(" - ") for line in self.out.splitlines()]
        return [(head.split()[0], text) for head, _, text in split if " ".join(head.split()[1:]) == name]

    def one(self, name: str) -> tuple[str, str]:
        (line,) = self.lines(name)
        return line

    def failures(self) -> list[str]:
        return [line for line in self.out.splitlines() if line.startswith("failed ")]


Check = Callable[..., Awaitable[Outcome]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(autouse=True)
def quiet_model_server() -> Iterator[None]:
    """The check first connects without a word, which the sandbox's WebSocket library takes for an error."""
    logger = logging.getLogger("websockets.server")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


@pytest.fixture(scope="module")
def asterisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsteriskInstance]:
    """One for these tests alone: from which modules were unloaded (22.10.1) may crash a while later."""
    folder = tmp_path_factory.mktemp("asterisk")
    instance = AsteriskInstance(ensure_asterisk(default_lab_dir()), folder, seats=FEW_SEATS)
    asyncio.run(instance.start())
    yield instance
    asyncio.run(instance.stop())


@pytest.fixture
def write(asterisk: AsteriskInstance, tmp_path: Path) -> Callable[..., Path]:
    """``write(model, section={...})``: a settings file; ``model`` is a sandbox or a URL."""

    def write(model: Any, **sections: Any) -> Path:
        tree: dict[str, Any] = {
            "asterisk": {"url": asterisk.ari_url, "user": asterisk.ari_user, "password": asterisk.ari_password},
            "audiosocket": {"port": 0},
            "http": {"port": 0},
            "control": {"port": 0},
            "realtime": {"url": getattr(model, "url", model), "api_key": "test"},
            "state_directory": str(tmp_path),
            "max_calls": asterisk.seats,
        }
        for name, section in sections.items():
            tree[name] = {**tree[name], **section} if isinstance(tree.get(name), dict) else section
        path = tmp_path / "check.yaml"
        path.write_text(yaml.safe_dump(tree))
        return path

    return write


async def start(path: Path, *options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ariagent",
        "check",
        "-c",
        str(path),
        *options,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


@pytest.fixture
async def check(write: Callable[..., Path], asterisk: AsteriskInstance) -> Check:
    """``await check(model, *options, section={...})``: run the command; nothing may be left of it in Asterisk."""

    async def run(model: Any, *options: str, **sections: Any) -> Outcome:
        words = ("check", "-c", str(write(model, **sections)), *options)
        # Without the lab's end-of-turn model, whose measurement takes half a second (tests/check/test_turns.py).
        environment = {**os.environ, modelfile.LAB: str(asterisk.root)}
        code, out, err = await forked.ariagent(*words, environment=environment, limit_s=LIMIT_S)
        await nothing_left(asterisk)
        assert "Traceback" not in err
        return Outcome(code, out, err)

    return run


async def nothing_left(asterisk: AsteriskInstance) -> None:
    """No channel, bridge or application of the check's."""
    left = ""
    for _ in range(100):
        channels = await asterisk.cli("core show channels concise")
        bridges = [x for x in (await asterisk.cli("bridge show all")).splitlines() if x and "Bridge-ID" not in x]
        apps = [x for x in (await asterisk.cli("ari show apps")).splitlines() if "ariagent-check" in x]
        left = "\n".join((channels.strip(), *bridges, *apps)).strip()
        if not left:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(left)


@asynccontextmanager
async def without_module(asterisk: AsteriskInstance, name: str) -> AsyncIterator[None]:
    assert "Unloaded" in await asterisk.cli(f"module unload {name}.so")
    try:
        yield
    finally:
        assert "Loaded" in await asterisk.cli(f"module load {name}.so")


# -- everything works --------------------------------------------------------------------------------------------------


async def test_everything_works(check: Check, sandbox: Any, asterisk: AsteriskInstance) -> None:
    # A killed service leaves seats like this.
    await asterisk.cli("devstate change Custom:ariagent NOT_INUSE")
    outcome = await check(await sandbox())
    assert outcome.failures() == []
    assert outcome.code == 0
    assert outcome.err == ""
    for name in ("asterisk", "clock", "ARI user", "ARI description", "modules", "dialplan", "queues"):
        assert outcome.one(name)[0] == "ok", name
    status, found = outcome.one("audio connection")
    assert status == "ok"
    assert "sends audio (slin/24000)" in found
    assert outcome.one("queues")[1] == f"frontline has {FEW_SEATS} members, {FEW_SEATS} can take a call now"
    assert outcome.one("application")[0] == "warning"
    assert outcome.one("model connection")[0] == "ok"
    assert outcome.one("agent default")[0] == "ok"
    assert outcome.one("model round trip")[0] == "ok"
    assert "warning" in outcome.out.splitlines()[-1]


async def test_beside_a_running_service(check: Check, sandbox: Any, service: Any, log: Any) -> None:
    model = await sandbox()
    running = await service(model)
    outcome = await check(model, audiosocket={"port": running.media.port})
    assert outcome.failures() == []
    assert outcome.one("application")[1].startswith("the service is running as ariagent")
    status, found = outcome.one("service's audio port")
    assert status == "ok"
    assert f"reaches it at 127.0.0.1:{running.media.port}" in found
    assert outcome.one("audio connection")[0] == "ok"
    assert log.named("call.started") == []
    assert len(running.calls) == 0


async def test_an_application_that_a_dead_process_left(
    sandbox: Any, write: Callable[..., Path], asterisk: AsteriskInstance
) -> None:
    app, bridge = "ariagent-left", "ariagent-left-bridge"
    sections = {"asterisk": {"app": app}, "http": {"port": free_port()}, "audiosocket": {"port": free_port()}}
    path = write(await sandbox(), **sections)
    login = {"app": app, "api_key": f"{asterisk.ari_user}:{asterisk.ari_password}"}
    async with aiohttp.ClientSession() as session, probe(load(path).asterisk) as ari:
        stream = await session.ws_connect(f"{asterisk.ari_url}/ari/events", params=login)
        assert (await ari.ask("POST", "bridges", bridgeId=bridge)).status == 200
        subscribed = await ari.ask("POST", f"applications/{app}/subscription", eventSource=f"bridge:{bridge}")
        assert subscribed.status == 200
        # The process seems dead: its connection is gone, the bridge is not.
        await stream.close()
        process = await start(path)
        out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
        assert (await ari.ask("DELETE", f"bridges/{bridge}")).status == 204
        async with ari.application(app, lambda message: None):
            pass
    await nothing_left(asterisk)
    outcome = Outcome(process.returncode or 0, out.decode(), err.decode())
    status, found = outcome.one("application")
    assert status == "warning"
    assert "the service is down: no answer at" in found
    assert "Asterisk still holds 1 bridge and 0 channels of the old process" in found


async def test_a_spoken_turn(check: Check, sandbox: Any) -> None:
    outcome = await check(await sandbox(think_ms=100), "--talk")
    assert outcome.failures() == []
    assert "What are your opening hours?" in outcome.one("spoken question")[1]
    assert outcome.one("spoken answer")[0] == "ok"
    assert "ms after the last word" in outcome.one("latency")[1]


async def test_json(check: Check, sandbox: Any) -> None:
    outcome = await check(await sandbox(), "--json", realtime={"api_key": "bad"})
    told = json.loads(outcome.out)
    assert outcome.code == 1
    assert told["passed"] is False
    assert told["counts"]["failed"] == 1
    (failure,) = (result for result in told["results"] if result["status"] == "failed")
    assert failure["check"] == "agent default"
    assert failure["remedy"] == "Check realtime.api_key"
    (audio,) = (result for result in told["results"] if result["check"] == "audio connection")
    assert audio["figures"]["connect_ms"] > 0


# -- something does not ------------------------------------------------------------------------------------------------


async def test_a_wrong_password(check: Check, sandbox: Any) -> None:
    outcome = await check(await sandbox(), asterisk={"password": "wrong"})
    assert outcome.code == 1
    assert "(HTTP 401)" in outcome.one("asterisk")[1]
    for name in ("modules", "dialplan", "audio connection", "queues"):
        assert outcome.one(name)[0] == "skipped"
    assert outcome.one("agent default")[0] == "ok"


@pytest.mark.long
async def test_no_asterisk(check: Check, sandbox: Any) -> None:
    port = free_port()
    outcome = await check(await sandbox(), asterisk={"url": f"http://127.0.0.1:{port}"})
    assert outcome.code == 1
    assert outcome.one("asterisk")[1].startswith(
        f"cannot reach Asterisk at http://127.0.0.1:{port}: Connection refused; "
    )


@pytest.mark.long
async def test_a_url_that_is_no_ari(check: Check, sandbox: Any, asterisk: AsteriskInstance) -> None:
    outcome = await check(await sandbox(), asterisk={"url": f"{asterisk.ari_url}/ari"})
    assert outcome.code == 1
    found = f"{asterisk.ari_url}/ari is Asterisk's HTTP server, but there is no ARI at it (HTTP 404)"
    assert outcome.one("asterisk")[1].startswith(
        f"{found}; Set asterisk.url without /ari, with the prefix of http.conf"
    )


@pytest.mark.long
async def test_a_port_that_is_not_http(check: Check, sandbox: Any) -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        outcome = await check(await sandbox(), asterisk={"url": f"http://127.0.0.1:{port}"})
    assert "closed the connection without an answer" in outcome.one("asterisk")[1]


async def test_a_refused_key(check: Check, sandbox: Any) -> None:
    agents = {"default": {}, "second": {"voice": "cedar"}}
    outcome = await check(await sandbox(), realtime={"api_key": "bad"}, agents=agents)
    assert outcome.code == 1
    status, found = outcome.one("agent default")
    assert status == "failed"
    assert "invalid_api_key" in found
    assert found.endswith("; Check realtime.api_key")
    assert outcome.one("agent second") == ("skipped", "needs a model that accepts the key")
    assert outcome.one("audio connection")[0] == "ok"


@pytest.mark.long
async def test_an_unknown_model(check: Check, sandbox: Any) -> None:
    outcome = await check(await sandbox(), realtime={"model": "gpt-none"})
    assert "invalid_model" in outcome.one("agent default")[1]


@pytest.mark.long
async def test_no_model(check: Check) -> None:
    port = free_port()
    outcome = await check(f"ws://127.0.0.1:{port}/v1/realtime", "--talk")
    assert outcome.code == 1
    assert f"cannot connect to 127.0.0.1:{port}: Connection refused" in outcome.one("model connection")[1]
    assert outcome.one("model sessions")[0] == "skipped"
    assert outcome.one("talk")[0] == "skipped"


async def test_an_unknown_voice_fails_its_own_agent_only(check: Check, sandbox: Any) -> None:
    agents = {"default": {}, "twin": {}, "second": {"voice": "nobody"}, "third": {"voice": "cedar"}}
    outcome = await check(await sandbox(), agents=agents)
    assert outcome.code == 1
    assert outcome.one("agent default, twin")[0] == "ok"
    status, found = outcome.one("agent second")
    assert status == "failed"
    assert "voice" in found
    assert outcome.one("agent third")[0] == "ok"


@pytest.mark.long
async def test_audio_that_asterisk_cannot_connect_to(check: Check, sandbox: Any) -> None:
    port = free_port()
    outcome = await check(await sandbox(), audiosocket={"advertise": f"127.0.0.1:{port}"})
    assert outcome.code == 1
    status, found = outcome.one("audio connection")
    assert status == "failed"
    assert f"Asterisk cannot connect to 127.0.0.1:{port}" in found
    assert "audiosocket.advertise" in found
    assert outcome.one("queues")[0] == "skipped"


@pytest.mark.long
async def test_audio_that_another_program_takes(check: Check, sandbox: Any) -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        outcome = await check(await sandbox(), audiosocket={"advertise": f"127.0.0.1:{port}"})
    assert outcome.one("audio connection")[0] == "failed"
    assert f"Another program answers at 127.0.0.1:{port}" in outcome.one("audio connection")[1]


async def test_audio_from_an_address_that_is_not_allowed(check: Check, sandbox: Any) -> None:
    outcome = await check(await sandbox(), audiosocket={"allowed": ["192.0.2.0/24"]})
    status, found = outcome.one("audio connection")
    assert status == "failed"
    assert "audiosocket.allowed" in found


async def test_a_port_that_something_else_has(check: Check, sandbox: Any) -> None:
    async def mumble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(mumble, "127.0.0.1", 0)
    async with server:
        outcome = await check(await sandbox(), audiosocket={"port": server.sockets[0].getsockname()[1]})
    status, found = outcome.one("service's audio port")
    assert status == "failed"
    assert "is not an AudioSocket server" in found
    assert outcome.one("audio connection")[0] == "ok"


async def test_a_context_that_is_missing(check: Check, sandbox: Any, asterisk: AsteriskInstance) -> None:
    model = await sandbox()
    assert "removed" in (await asterisk.cli("dialplan remove context ariagent-seat-call")).lower()
    try:
        outcome = await check(model)
    finally:
        await asterisk.cli("dialplan reload")
    assert [status for status, _ in outcome.lines("dialplan")] == ["ok", "warning"]
    assert outcome.lines("dialplan")[1][1].startswith("missing: seats (01@ariagent-seat); Run `ariagent install`")
    assert (await check(model)).one("dialplan")[0] == "ok"


async def test_a_queue_that_is_missing(check: Check, sandbox: Any) -> None:
    outcome = await check(await sandbox(), routes=[{"agent": "default", "queue": "nobodys"}])
    assert (
        "warning",
        "a route names the queue nobodys, which does not exist; Correct routes, or create the queue",
    ) in (outcome.lines("queues"))


async def test_a_user_who_may_only_read(check: Check, sandbox: Any, asterisk: AsteriskInstance) -> None:
    path = asterisk.root / "etc" / "ari.conf"
    before = path.read_text()
    path.write_text(f"{before}\n[reader]\ntype = user\nread_only = yes\npassword = {asterisk.ari_password}\n")
    try:
        await asterisk.cli("module reload res_ari.so")
        outcome = await check(await sandbox(), asterisk={"user": "reader"})
    finally:
        path.write_text(before)
        await asterisk.cli("module reload res_ari.so")
    assert outcome.code == 1
    assert "the ARI user reader is read-only" in outcome.one("ARI user")[1]
    assert "Set read_only = no under [reader] in ari.conf" in outcome.one("ARI user")[1]
    assert outcome.one("audio connection")[0] == "skipped"


async def test_settings_that_do_not_load(check: Check) -> None:
    outcome = await check("ws://127.0.0.1:1", max_calls=0, log={"levle": "info"})
    assert outcome.code == 2
    assert outcome.out == ""
    assert "check.yaml:" in outcome.err
    assert "max_calls" in outcome.err
    assert "did you mean level?" in outcome.err


@pytest.mark.parametrize(
    ("number", "codes"),
    [(signal.SIGINT, {130}), pytest.param(signal.SIGTERM, {143}, marks=pytest.mark.long)],
    ids=["INT", "TERM"],
)
async def test_ended_in_the_middle_it_leaves_nothing(
    number: signal.Signals, codes: set[int], sandbox: Any, write: Callable[..., Path], asterisk: AsteriskInstance
) -> None:
    arrived = asyncio.Event()

    def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()  # and never answer: Asterisk's channel stays as long as nobody hangs it up

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        process = await start(write(await sandbox(), audiosocket={"advertise": f"127.0.0.1:{port}"}))
        await asyncio.wait_for(arrived.wait(), LIMIT_S)
        process.send_signal(number)
        _, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
        assert process.returncode in codes, err.decode()
        await nothing_left(asterisk)
    assert "Traceback" not in err.decode()


# -- human agents --------------------------------------------------------------------------------------------------

PLACES = {
    "desk": {"queue": "suport", "description": "the desk"},
    "night": {"queue": "SUPPORT", "description": "the night desk, in whatever letters"},
    "boss": {"extension": "1002", "description": "the boss"},
    "ghost": {"extension": "1009", "description": "nobody"},
    "far": {"extension": "+4930555", "context": "outside", "description": "a number outside"},
}


async def test_human_agents_whom_callers_cannot_reach(check: Check, sandbox: Any, asterisk: AsteriskInstance) -> None:
    agents = {"default": {"handoff": list(PLACES)}}
    outcome = await check(await sandbox(), ami=asterisk.ami, destinations=PLACES, agents=agents)
    assert outcome.code == 1
    status, found = outcome.one("manager")
    assert status == "ok"
    assert "is logged in" in found
    assert set(outcome.lines("destinations")) == {
        ("ok", "boss: 1002@ariagent-internal exists"),
        (
            "failed",
            "ghost: there is no extension 1009 in the context ariagent-internal; Set "
            "destinations.ghost.context to the context that has it, or correct extension",
        ),
        (
            "failed",
            "far: there is no extension +4930555 in the context outside; Set "
            "destinations.far.context to the context that has it, or correct extension",
        ),
        (
            "failed",
            "desk: there is no queue suport (did you mean support?); Asterisk has frontline, support; "
            "Correct destinations.desk.queue, or create the queue",
        ),
        ("ok", "these queues exist: SUPPORT"),
    }
    assert outcome.one("agent default")[0] == "ok", "the model takes the functions"


async def test_paused_members_are_counted_and_asterisks_log_stays_clean(
    check: Check, sandbox: Any, service: Any, asterisk: AsteriskInstance
) -> None:
    model = await sandbox()
    pool = (await service(model)).pool
    before = len(asterisk.log_path.read_text())
    pool.pause("07")
    await pool.settled.wait()
    assert (await check(model, ami=asterisk.ami)).one("queues") == (
        "ok",
        f"frontline has {FEW_SEATS} members: 0 in calls, 0 unavailable, 1 paused (1 for ariagent: manual)",
    )
    pool.pause()
    await pool.settled.wait()
    status, found = (await check(model, ami=asterisk.ami)).one("queues")
    assert (status, found.partition(";")[0]) == (
        "warning",
        f"all {FEW_SEATS} members of frontline are paused ({FEW_SEATS} for ariagent: manual)",
    )
    pool.resume()
    await pool.settled.wait()
    said = asterisk.log_path.read_text()[before:]
    assert [line for line in said.splitlines() if " ERROR[" in line and "app_queue" in line] == []


async def test_seats_without_a_manager(check: Check, sandbox: Any) -> None:
    outcome = await check(await sandbox(), destinations={"desk": {"queue": "support", "description": "d"}})
    assert outcome.failures() == []
    status, found = outcome.one("manager")
    assert status == "warning"
    assert found.startswith("queue members found, but ami is not configured: ")
    assert any("destinations (desk) need ami" in found for _, found in outcome.lines("settings"))


async def test_a_managers_wrong_password(check: Check, sandbox: Any, asterisk: AsteriskInstance) -> None:
    places = {"desk": {"queue": "support", "description": "d"}}
    outcome = await check(await sandbox(), ami={**asterisk.ami, "password": "wrong"}, destinations=places)
    assert outcome.code == 1
    status, found = outcome.one("manager")
    assert status == "failed"
    assert "refused the manager's login" in found
    assert "ami.password" in found
    assert outcome.one("destinations") == ("skipped", "needs the manager interface")


@pytest.mark.long
async def test_no_manager_at_that_port(check: Check, sandbox: Any, asterisk: AsteriskInstance) -> None:
    outcome = await check(await sandbox(), ami={**asterisk.ami, "port": free_port()})
    assert outcome.one("manager")[0] == "failed"
    assert "cannot reach Asterisk's manager interface" in outcome.one("manager")[1]


@pytest.mark.parametrize(
    ("module", "status"),
    [pytest.param("app_queue", "warning", marks=pytest.mark.long), ("chan_audiosocket", "failed")],
    ids=["queue", "audiosocket"],
)
async def test_a_module_that_is_missing(
    check: Check, sandbox: Any, asterisk: AsteriskInstance, module: str, status: str
) -> None:
    model = await sandbox()
    async with without_module(asterisk, module):
        outcome = await check(model)
    assert outcome.lines("modules")[0][0] == status
    assert outcome.lines("modules")[0][1].startswith(f"{module} is not loaded")
    assert outcome.one("queues")[0] == "skipped"
    assert outcome.code == (status == "failed")


# -- the bundle --------------------------------------------------------------------------------------------------------


async def test_a_bundle_beside_a_running_service(
    check: Check, sandbox: Any, service: Any, dial: Any, log: Any, tmp_path: Path, asterisk: AsteriskInstance
) -> None:
    model = await sandbox()
    running = await service(model)
    call, _ = await dial("7001")
    await log.wait("call.answered")
    await call.hangup()
    ended = await log.wait("call.ended")
    bundle = tmp_path / "support.tar.gz"
    sections = {"http": {"port": running.http_port}, "state_directory": str(running.settings.state_directory)}
    sections |= {"ami": asterisk.ami}
    outcome = await check(model, "--bundle", str(bundle), **sections)
    assert outcome.failures() == []
    assert "Look at the file before you send it" in outcome.err
    with tarfile.open(bundle) as tar:
        found = {
            member.name.partition("/")[2]: held.read().decode()
            for member in tar.getmembers()
            if (held := tar.extractfile(member)) is not None
        }
    told = json.loads(found["asterisk.json"])
    assert told["ari"]["info"]["system"]["version"].startswith("2")
    assert told["ari"]["modules"]["chan_audiosocket.so"] == "Running"
    assert told["ari"]["channels"] == 0
    assert "frontline" in {queue["queue"] for queue in told["ami"]["queues"]}
    assert json.loads(found["healthz.json"])["status"] == "ok"
    assert "ariagent_calls_total" in found["metrics.txt"]
    kept = json.loads(found[f"calls/{ended['call']}.json"])
    assert "call.answered" in [event["event"] for event in kept["events"]]
    whole = "".join(found.values())
    for secret in (asterisk.ari_password, asterisk.ami_password):
        assert secret not in whole


# -- what `check` says, a service that starts says ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One mistake: what makes it, under which name it is told, how bad it is, and what both say."""

    name: str
    status: str
    found: str
    sections: dict[str, Any]
    without_module: str = ""
    without_contexts: tuple[str, ...] = ()
    without_queues: bool = False


DESK = {"description": "the desk"}
SHIPPED_CONTEXTS = ("ariagent-seat-call", "ariagent-internal")
ROWS = {
    "a destination's queue": Row(
        "destinations",
        "failed",
        "desk: there is no queue servicedesk",
        {"destinations": {"desk": {**DESK, "queue": "servicedesk"}}},
    ),
    "a destination's context": Row(
        "destinations",
        "failed",
        "desk: there is no extension 4711 in the context nowhere",
        {"destinations": {"desk": {**DESK, "extension": "4711", "context": "nowhere"}}},
    ),
    "no chan_audiosocket": Row(
        "modules", "failed", "chan_audiosocket is not loaded (the audio of every call)", {}, "chan_audiosocket"
    ),
    "nothing can come in": Row("dialplan", "failed", "no call can come in: ", {}, without_contexts=SHIPPED_CONTEXTS),
    "a part of the dialplan": Row(
        "dialplan", "warning", "missing: seats (01@ariagent-seat)", {}, without_contexts=SHIPPED_CONTEXTS[:1]
    ),
    "no queue": Row("queues", "warning", "there is no queue frontline", {}, without_queues=True),
    "no human queue": Row("human queue", "failed", "there is no queue support: ", {}, without_queues=True),
    "a manager user's password": Row(
        "manager", "failed", "Asterisk refused the manager's login", {"ami": {"password": "another"}}
    ),
    "no opening": Row(
        "settings", "warning", "agents.default has no opening", {"agents": {"default": {"opening": None}}}
    ),
}


SOME_ROWS = ("a destination's context", "no chan_audiosocket", "a part of the dialplan", "no human queue", "no opening")


@pytest.mark.parametrize(
    "what", [*SOME_ROWS, *(pytest.param(row, marks=pytest.mark.long) for row in ROWS if row not in SOME_ROWS)]
)
async def test_check_and_a_service_that_starts_say_the_same(
    what: str, check: Check, sandbox: Any, service: Any, log: Any, asterisk: AsteriskInstance
) -> None:
    row = ROWS[what]
    model = await sandbox()
    sections = {"ami": asterisk.ami, **row.sections}
    if "ami" in row.sections:
        sections["ami"] = {**asterisk.ami, **row.sections["ami"]}
    async with broken(asterisk, row):
        outcome = await check(model, **sections)
        told = [text for status, text in outcome.lines(row.name) if status == row.status]
        assert any(text.startswith(row.found) for text in told), outcome.out
        failed = outcome.failures()
        assert outcome.code == bool(failed)
        assert failed == [] or row.status == "failed" or row.without_queues
        await service(model, **sections, settle=False)
        event, level = ("check.failed", 40) if row.status == "failed" else ("check.warned", 30)
        entry = await log.wait(event, name=row.name)
        found = [e for e in log.named(event, name=row.name) if e["cause"].startswith(row.found)]
        assert [e.level for e in found] == [level], log.named(event)
        # Word for word.
        line = f"{found[0]['cause'].rstrip(' .')}; {found[0]['remedy']}"
        assert " ".join(line.split()) in told, (line, told)
        assert entry["remedy"]


@asynccontextmanager
async def broken(asterisk: AsteriskInstance, row: Row) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        if row.without_module:
            await stack.enter_async_context(without_module(asterisk, row.without_module))
        if row.without_queues:
            await stack.enter_async_context(without_queues(asterisk))
        for context in row.without_contexts:
            assert "removed" in (await asterisk.cli(f"dialplan remove context {context}")).lower()
        try:
            yield
        finally:
            if row.without_contexts:
                await asterisk.cli("dialplan reload")
                # Seats that have lost their hint find it again only when Asterisk reads them again.
                os.utime(asterisk.root / "etc" / "queues.conf")
                await asterisk.cli("queue reload all")


@asynccontextmanager
async def without_queues(asterisk: AsteriskInstance) -> AsyncIterator[None]:
    path = asterisk.root / "etc" / "queues.conf"
    before = path.read_text()
    path.write_text("[general]\n")
    try:
        await asterisk.cli("queue reload all")
        assert "frontline" not in await asterisk.cli("queue show")
        yield
    finally:
        path.write_text(before)
        await asterisk.cli("queue reload all")


@pytest.mark.parametrize(
    "what",
    [
        "allowed",
        "chan_audiosocket",
        *(pytest.param(what, marks=pytest.mark.long) for what in ("advertise", "another program")),
    ],
)
async def test_an_audio_path_that_does_not_work_is_found_at_the_start_in_the_same_words(
    what: str, check: Check, sandbox: Any, service: Any, log: Any, asterisk: AsteriskInstance
) -> None:
    model = await sandbox()
    other = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with other, AsyncExitStack() as stack:
        sections = {
            "advertise": {"advertise": f"127.0.0.1:{free_port()}"},
            "allowed": {"allowed": ["192.0.2.0/24"]},
            "another program": {"advertise": f"127.0.0.1:{other.sockets[0].getsockname()[1]}"},
            "chan_audiosocket": {},
        }[what]
        if what == "chan_audiosocket":
            await stack.enter_async_context(without_module(asterisk, what))
        outcome = await check(model, audiosocket=sections)
        assert outcome.code == 1
        running = await service(model, ami=asterisk.ami, audiosocket=sections, settle=False)
        unusable = await log.wait("audio.unusable")
        assert unusable.level == 40
        assert running.health.status == 503
        assert running.health.json()["audio"] == f"failed: {unusable['cause']}"
        if what != "chan_audiosocket":  # where check has told it as a missing module before
            status, found = outcome.one("audio connection")
            assert status == "failed"
            said, _, remedy = found.partition("; ")
            for words in (without_ports(said.rstrip(".")), remedy):
                assert words in without_ports(unusable["cause"]) or words in unusable["cause"]
        # No seat takes a call.
        await log.wait("pool.ready")
        assert await running.ari.device_state("Custom:ariagent") == "UNAVAILABLE"
        seats = running.health.json()["seats"]
        assert (seats["open"], seats["reason"]) == (False, "audio")


def without_ports(text: str) -> str:
    """Where the service takes any free port, the check has another one."""
    return re.sub(r"127\.0\.0\.1:\d+", "HOST:PORT", text)


async def test_variables_that_asterisk_cannot_read(check: Check, sandbox: Any) -> None:
    names = ["TIER", "CHANNEL(language)", "NOSUCH(a)", "SHELL(id)", "CHANNEL(x)", "PJSIP_HEADER(read,X-Customer)"]
    outcome = await check(await sandbox(), agents={"default": {"variables": names}})
    assert outcome.failures() == []
    told = outcome.lines("variables")
    assert [status for status, _ in told] == ["warning", "warning", "warning", "ok", "ok"]
    for name, (_, found) in zip(names[2:], told, strict=False):
        assert name in found
    assert told[-1][1] == "Asterisk reads CHANNEL(language)"


async def test_the_labs_outside_callers_may_not_transfer(sandbox: Any, service: Any) -> None:
    running = await service(await sandbox())
    told: list[Result] = []
    async with opened(running.settings, "a.yaml", serving=False) as site:
        await check_transfers(site, told.append)
    [result] = told
    assert (result.status, result.name) == (Status.OK, "transfers")
