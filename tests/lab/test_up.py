"""The lab in the background: up, status, down, and what is left of it afterwards."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ariagent.configfile import load
from ariagent.errors import ConfigurationError
from lab import up
from lab.packages import AsteriskProgram, default_lab_dir
from lab.ports import free_tcp_port
from lab.processes import ProcessRef, lab_command


def test_status_of_a_lab_that_never_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert up.status(tmp_path) == 1
    assert capsys.readouterr().out.count("not running") == len(up.PARTS)


def test_down_without_a_lab_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert up.down(tmp_path) == 0
    assert "nothing was running" in capsys.readouterr().err


def test_down_ends_what_is_noted_and_nothing_else(tmp_path: Path) -> None:
    noted, stranger = (
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        for _ in range(2)
    )
    try:
        ours, theirs = ProcessRef.of(noted.pid), ProcessRef.of(stranger.pid)
        assert ours is not None
        assert theirs is not None
        # The stranger has the pid that the lab's service once had, but not its start time.
        state = {"sandbox": [ours.pid, ours.started_ticks], "service": [theirs.pid, theirs.started_ticks - 1]}
        (tmp_path / "lab.json").write_text(json.dumps(state))
        (tmp_path / "lab.env").write_text("SIP_PORT=1\n")
        assert up.down(tmp_path) == 0
        assert not ours.alive
        assert theirs.alive
        assert sorted(os.listdir(tmp_path)) == []
    finally:
        for process in (noted, stranger):
            process.kill()
            process.wait()


def test_a_damaged_state_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "lab.json").write_text('{"asterisk": 7}')
    with pytest.raises(ConfigurationError, match="damaged"):
        up.status(tmp_path)


def test_read_env_of_a_lab_that_is_down(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not up") as caught:
        up.read_env(tmp_path)
    assert "make lab-up" in caught.value.remedy


def _lab(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        lab_command("__main__", *command),
        env={**os.environ, "ARIAGENT_LAB": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def lab(tmp_path: Path, program: AsteriskProgram) -> Iterator[Path]:
    """A lab folder of its own that shares what was fetched; whatever a test leaves running is ended."""
    shared = default_lab_dir() / "packages"
    if shared.exists():
        (tmp_path / "packages").symlink_to(shared)
    yield tmp_path
    _lab(tmp_path, "down")


def get(url: str, token: str = "") -> bytes:
    asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(asked, timeout=30) as answer:
        return bytes(answer.read())


def test_up_status_down(lab: Path) -> None:
    """With a setting in the environment; and a proxy there, through which no connection on this machine goes."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        kinds = ("https", "http", "all", "ws", "wss")
        environment = {name: url for kind in kinds for name in (f"{kind}_proxy", f"{kind}_proxy".upper())}
        environment |= {"no_proxy": "", "NO_PROXY": "", "ARIAGENT_HTTP__PORT": str(free_tcp_port())}
        up_status_down(lab, environment)
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):
            proxy.accept()


def up_status_down(lab: Path, environment: dict[str, str]) -> None:
    started = _lab(lab, "up", **environment)
    assert started.returncode == 0, started.stderr
    assert "can be used" in started.stderr + started.stdout
    env = up.read_env(lab)
    assert f"sip:7000@127.0.0.1:{env['SIP_PORT']}" in started.stdout
    processes = {name: ProcessRef.of(int(env[name])) for name in ("ASTERISK_PID", "SANDBOX_PID", "SERVICE_PID")}
    assert all(process is not None and process.alive for process in processes.values())
    assert env["METRICS_URL"] == f"http://127.0.0.1:{environment['ARIAGENT_HTTP__PORT']}/metrics"
    assert b"ariagent_calls_active" in get(env["METRICS_URL"])
    assert len(json.loads(get(f"{env['API_URL']}/v1/seats", env["API_TOKEN"]))["seats"]) == 60
    assert _lab(lab, "status", **environment).returncode == 0

    again = _lab(lab, "up", **environment)
    assert again.returncode == 0
    assert "already up" in again.stderr
    assert up.read_env(lab) == env

    # One that dies is started again, and has its name in the file.
    os.kill(int(env["SERVICE_PID"]), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while (now := up.read_env(lab))["SERVICE_PID"] == env["SERVICE_PID"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert now == {**env, "SERVICE_PID": now["SERVICE_PID"]}
    following = ProcessRef.of(int(now["SERVICE_PID"]))
    assert following is not None
    assert following.alive
    assert _lab(lab, "up", **environment).returncode == 0
    assert _lab(lab, "status").returncode == 0

    # Without its Asterisk everything is started again.
    os.kill(int(env["ASTERISK_PID"]), signal.SIGKILL)
    again = _lab(lab, "up", **environment)
    assert again.returncode == 0, again.stderr
    assert "partly up" in again.stderr
    assert not following.alive
    assert _lab(lab, "status").returncode == 0

    env = up.read_env(lab)
    processes = {name: ProcessRef.of(int(env[name])) for name in processes}
    assert all(process is not None and process.alive for process in processes.values())
    stopped = _lab(lab, "down")
    assert "stopped asterisk, sandbox, service, supervisor" in stopped.stderr
    assert not any(process is not None and process.alive for process in processes.values())
    assert not (lab / "lab.env").exists()
    assert _lab(lab, "status").returncode == 1


MINE = """
asterisk: {url: "http://192.0.2.1:8088", user: someone, password: theirs, app: theirs, request_timeout_s: 4}
audiosocket: {host: 0.0.0.0, advertise: "192.0.2.1:9092"}
realtime: {api_key: "${NOBODY_HAS_THIS_KEY}", model: our-deployment}
agents:
  desk: {opening: "Good morning, this is the desk."}
routes: [{agent: desk}]
"""


@pytest.mark.long
def test_up_with_a_model_that_cannot_be_used_then_with_settings_of_ones_own(
    lab: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("of one's own")
    mine, scenario = folder / "mine.yaml", folder / "scenario.yaml"
    mine.write_text(MINE)
    scenario.write_text("otherwise: Yes.\n")
    port = free_tcp_port()
    failed = _lab(lab, "up", ARIAGENT_REALTIME__URL=f"ws://127.0.0.1:{port}/v1/realtime")
    assert failed.returncode == 1
    assert f"at 127.0.0.1:{port} cannot be used: " in failed.stderr
    assert "callers go to the human queue" in failed.stderr
    # Everything else can be used: a phone, Asterisk, the service's log.
    assert "The lab is up" in failed.stdout
    assert _lab(lab, "status").returncode == 0
    before = up.read_env(lab)
    again = _lab(lab, "up")
    assert (again.returncode, "cannot be used" in again.stderr) == (1, True)

    changed = _lab(lab, "up", "--settings", str(mine), "--scenario", str(scenario))
    assert changed.returncode == 0, changed.stderr
    assert "Asterisk continues" in changed.stderr
    assert "the model our-deployment at " in changed.stderr
    assert f"made from {mine}" in changed.stdout
    env = up.read_env(lab)
    same = ("ASTERISK_PID", "SIP_PORT", "ARI_URL", "ARI_PASSWORD", "AUDIOSOCKET_PORT", "METRICS_URL", "SANDBOX_PORT")
    same += ("API_URL", "API_TOKEN")
    assert {name: env[name] for name in same} == {name: before[name] for name in same}
    assert env["SERVICE_PID"] != before["SERVICE_PID"]
    assert str(scenario) in Path(f"/proc/{env['SANDBOX_PID']}/cmdline").read_text().split("\0")
    settings = load(lab / "ariagent.yaml", {})
    assert list(settings.agents) == ["desk"]
    assert (settings.asterisk.url, settings.asterisk.app) == (env["ARI_URL"], "ariagent")

    os.kill(int(env["SERVICE_PID"]), signal.SIGKILL)
    again = _lab(lab, "up")
    assert again.returncode == 0, again.stderr
    assert up.read_env(lab)["SETTINGS"] == str(mine)
    assert list(load(lab / "ariagent.yaml", {}).agents) == ["desk"]
    assert up.read_env(lab)["ASTERISK_PID"] == env["ASTERISK_PID"]

    mine.write_text("agents:\n  desk: {openning: Hello}\n")
    wrong = _lab(lab, "up", "--settings", str(mine))
    assert wrong.returncode == 2
    assert f"{mine}:2: agents.desk.openning: unknown key" in wrong.stderr
    assert _lab(lab, "status").returncode == 0


def test_a_model_that_needs_a_key_is_not_told_the_sandboxs(lab: Path) -> None:
    failed = _lab(lab, "up", ARIAGENT_REALTIME__URL="wss://api.openai.com/v1/realtime")
    assert failed.returncode == 2
    assert "api.openai.com needs a key" in failed.stderr
    assert "The lab is up" not in failed.stdout
    assert _lab(lab, "status").returncode == 1


def test_a_wrong_setting_leaves_nothing_running(lab: Path) -> None:
    failed = _lab(lab, "up", ARIAGENT_HTTP__PROT="1")
    assert failed.returncode == 2
    assert "http.prot" in failed.stderr
    assert not (lab / "lab.json").exists()
    assert not list((lab / "asterisk" / "run").glob("*.ctl"))


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["status"], 1, "asterisk  not running"),
        (["down"], 0, "nothing was running"),
        (["down", "--force"], 2, "unknown: --force"),
        (["nonsense"], 2, "invalid choice"),
        ([], 2, "usage:"),
    ],
)
def test_commands(tmp_path: Path, arguments: list[str], code: int, text: str) -> None:
    done = subprocess.run(
        lab_command("__main__", *arguments),
        env={**os.environ, "ARIAGENT_LAB": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code
    assert text in done.stdout + done.stderr
