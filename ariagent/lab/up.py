"""The lab in the background: Asterisk, the sandbox (a local Realtime server) and the service.

Each runs in a session of its own and is known again by pid and start time, kept in ``.lab/lab.json``; ``.lab/lab.env``
has the names for shells and tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from ariagent.config import load
from ariagent.errors import AriagentError, ConfigurationError
from ariagent.lab import ports
from ariagent.lab.asterisk import STOP_SIGNALS, AsteriskInstance
from ariagent.lab.packages import ensure_asterisk, ensure_tool, stderr_progress
from ariagent.lab.processes import ProcessRef, end_process

READY_LIMIT_S = 60.0

PARTS = ("asterisk", "sandbox", "service")
"""In the order of starting; they are ended the other way round."""

_SIGNALS: dict[str, tuple[tuple[signal.Signals, float], ...]] = {
    "asterisk": STOP_SIGNALS,
    "sandbox": ((signal.SIGTERM, 5.0),),
    # At SIGTERM the service waits for its calls to end; at SIGINT it does not.
    "service": ((signal.SIGTERM, 3.0), (signal.SIGINT, 5.0)),
}


@dataclass(frozen=True, slots=True)
class _Addresses:
    realtime_port: int
    audiosocket_port: int
    http_port: int

    @property
    def realtime_url(self) -> str:
        return f"ws://127.0.0.1:{self.realtime_port}/v1/realtime"


def up(lab_dir: Path) -> int:
    """Start what the lab consists of and wait until it takes calls; returns the exit code."""
    running = _running(lab_dir)
    if all(running.values()):
        _say("already up")
        _hints(lab_dir)
        return 0
    if any(running.values()):
        _say("partly up: starting anew")
        down(lab_dir)
    started: dict[str, ProcessRef] = {}
    try:
        _start_all(lab_dir, started)
    except BaseException:
        _end_all(started)
        _forget(lab_dir)
        raise
    _hints(lab_dir)
    return 0


def down(lab_dir: Path) -> int:
    """End everything ``up`` started; returns the exit code."""
    known = _known(lab_dir)
    alive = [part for part, process in known.items() if process.alive]
    _end_all(known)
    _forget(lab_dir)
    _say(f"stopped {', '.join(alive)}" if alive else "nothing was running")
    return 0


def status(lab_dir: Path) -> int:
    """Say what runs; 0 when all of it does, else 1."""
    known = _known(lab_dir)
    for part, alive in _running(lab_dir).items():
        sys.stdout.write(f"{part:9} {f'running, pid {known[part].pid}' if alive else 'not running'}\n")
    return 0 if all(_running(lab_dir).values()) else 1


def read_env(lab_dir: Path) -> dict[str, str]:
    """``lab.env`` as a dictionary. Raises ConfigurationError when the lab was never started."""
    try:
        lines = (lab_dir / "lab.env").read_text().splitlines()
    except FileNotFoundError:
        raise ConfigurationError("the lab is not up", remedy="Start it with make lab-up") from None
    return dict(line.partition("=")[::2] for line in lines)


def _start_all(lab_dir: Path, started: dict[str, ProcessRef]) -> None:
    program = ensure_asterisk(lab_dir)
    ensure_tool("flite", lab_dir)
    (lab_dir / "log").mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    asterisk = AsteriskInstance(program, lab_dir / "asterisk")
    try:
        asyncio.run(asterisk.start(daemon=True))
    finally:
        _note(lab_dir, started, "asterisk", asterisk.pid)
    _say(f"Asterisk {program.version} is up ({time.monotonic() - began:.1f} s)")
    addresses = _Addresses(ports.free_tcp_port(), ports.free_tcp_port(), ports.free_tcp_port())
    config = lab_dir / "ariagent.yaml"
    config.touch(mode=0o600)
    config.write_text(service_configuration(asterisk, addresses, lab_dir))
    # As the service will see it: ARIAGENT_SECTION__KEY of this environment goes before the file.
    settings = load(config)
    http_url = f"http://{settings.http.host}:{settings.http.port}"
    sandbox = [sys.executable, "-m", "ariagent.sandbox", "--host", "127.0.0.1", "--port", str(addresses.realtime_port)]
    sandbox += ["--lab-dir", str(lab_dir), "--cache-dir", str(lab_dir / "speech")]
    _start(lab_dir, started, "sandbox", sandbox, lambda: _accepts(addresses.realtime_port))
    service = [sys.executable, "-m", "ariagent", "run", "-c", str(config)]
    _start(lab_dir, started, "service", service, lambda: _healthy(f"{http_url}/healthz"))
    asterisk.write_env(
        lab_dir / "lab.env",
        {
            "AUDIOSOCKET_HOST": settings.audiosocket.host,
            "AUDIOSOCKET_PORT": str(settings.audiosocket.port),
            "REALTIME_URL": settings.realtime.url,
            "METRICS_URL": f"{http_url}/metrics",
            "SANDBOX_PID": str(started["sandbox"].pid),
            "SERVICE_PID": str(started["service"].pid),
        },
    )


def service_configuration(asterisk: AsteriskInstance, addresses: _Addresses, lab_dir: Path) -> str:
    """The service's settings for the lab, as YAML."""
    tree: Mapping[str, object] = {
        "asterisk": {"url": asterisk.ari_url, "user": asterisk.ari_user, "password": asterisk.ari_password},
        "ami": asterisk.ami,
        "audiosocket": {"host": "127.0.0.1", "port": addresses.audiosocket_port},
        "realtime": {"url": addresses.realtime_url, "api_key": "sandbox", "model": "gpt-realtime-2.1"},
        "http": {"host": "127.0.0.1", "port": addresses.http_port},
        "log": {"transcripts": True},
        "state_directory": str(lab_dir / "state"),
        "agents": {
            "default": {
                "instructions": "You answer the telephone of a small company. Be friendly and brief.",
                "opening": "Hello, this is the automated assistant. How can I help you?",
            }
        },
    }
    return yaml.safe_dump(dict(tree), sort_keys=False)


def _start(
    lab_dir: Path, started: dict[str, ProcessRef], part: str, command: list[str], ready: Callable[[], bool]
) -> None:
    log_path = lab_dir / "log" / f"{part}.log"
    began = time.monotonic()
    with log_path.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=lab_dir, start_new_session=True
        )
    _note(lab_dir, started, part, process.pid)
    while not ready():
        if (code := process.poll()) is not None:
            raise AriagentError(
                f"the {part} ended with status {code}\n{_tail(log_path)}", remedy=f"Its log: {log_path}"
            )
        if time.monotonic() - began > READY_LIMIT_S:
            raise AriagentError(
                f"the {part} was not ready after {READY_LIMIT_S:.0f} s\n{_tail(log_path)}",
                remedy=f"Its log: {log_path}",
            )
        time.sleep(0.05)
    _say(f"the {part} is up ({time.monotonic() - began:.1f} s)")


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _healthy(url: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2.0) as answer:
            return int(answer.status) == 200
    except (urllib.error.URLError, OSError):
        return False


def _note(lab_dir: Path, started: dict[str, ProcessRef], part: str, pid: int) -> None:
    """Write down what was started before anything else can go wrong."""
    if pid and (process := ProcessRef.of(pid)) is not None:
        started[part] = process
    scratch = lab_dir / "lab.json.new"
    scratch.write_text(json.dumps({name: [ref.pid, ref.started_ticks] for name, ref in started.items()}))
    scratch.replace(lab_dir / "lab.json")


def _known(lab_dir: Path) -> dict[str, ProcessRef]:
    try:
        content = json.loads((lab_dir / "lab.json").read_text())
        return {part: ProcessRef(int(pid), int(ticks)) for part, (pid, ticks) in content.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{lab_dir}/lab.json is damaged: {error}", remedy="Delete the file") from None


def _running(lab_dir: Path) -> dict[str, bool]:
    known = _known(lab_dir)
    return {part: part in known and known[part].alive for part in PARTS}


def _end_all(processes: Mapping[str, ProcessRef]) -> None:
    for part in reversed(PARTS):
        if part in processes:
            end_process(processes[part], _SIGNALS[part])


def _forget(lab_dir: Path) -> None:
    for name in ("lab.json", "lab.env"):
        with contextlib.suppress(FileNotFoundError):
            (lab_dir / name).unlink()


def _tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def _say(line: str) -> None:
    stderr_progress(line)


def _hints(lab_dir: Path) -> None:
    env = read_env(lab_dir)
    sip = f"{env['SIP_HOST']}:{env['SIP_PORT']}"
    sys.stdout.write(
        f"""The lab is up on loopback.
  Call the AI:   any SIP phone on this machine, no password: sip:7000@{sip} (queue) or sip:7001@{sip} (direct)
                 or: {sys.executable} -m ariagent call 7000 -c {lab_dir}/ariagent.yaml
  Others:        7100 people, 1001-1004 their phones (passwords in lab.env), 600 echo
  Metrics:       {env["METRICS_URL"]}
  Logs:          {lab_dir}/log/*.log {lab_dir}/asterisk/log/messages.log
  Addresses:     {lab_dir}/lab.env
  Stop it:       make lab-down
"""
    )
