"""The lab in the background: Asterisk, the sandbox (a local Realtime server), the service, and what starts that again.

Each runs in a session of its own and is known again by pid and start time, kept in ``.lab/lab.json``; ``.lab/lab.env``
has the names for shells and tests.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from ariagent.config import Settings
from ariagent.configfile import PATH_NAME, load
from ariagent.control import localfile
from ariagent.errors import AriagentError
from ariagent.sandbox.settings import MODELS
from ariagent.synthesis.programs import LAB
from lab import ports, statefile
from lab.asterisk import STOP_SIGNALS, AsteriskInstance, write_env
from lab.labsettings import Addresses, check, check_scenario, existing, merged
from lab.packages import ensure_asterisk, ensure_tool, stderr_progress
from lab.processes import ProcessRef, end_process, lab_command, private_log, serving
from lab.statefile import forget, known, read_env
from lab.supervisor import service_command

READY_LIMIT_S = 60.0

PARTS = ("asterisk", "sandbox", "service", "supervisor")
"""The parts in the order of starting; they are ended the other way round."""

_SIGNALS: dict[str, tuple[tuple[signal.Signals, float], ...]] = {
    "asterisk": STOP_SIGNALS,
    "sandbox": ((signal.SIGTERM, 5.0),),
    # At SIGTERM the service waits for its calls to end; at SIGINT it does not.
    "service": ((signal.SIGTERM, 3.0), (signal.SIGINT, 5.0)),
    "supervisor": ((signal.SIGTERM, 8.0),),
}


NOT_TRIED = "not tried yet"
"""The state of the model in ``/healthz`` until the service has tried it."""
MODEL_EXTRA_S = 10.0
"""For the service to say so, beyond ``realtime.connect_timeout_s``."""


def up(lab_dir: Path, settings: Path | None = None, scenario: Path | None = None) -> int:
    """Start what the lab consists of and wait until it takes calls; returns the exit code: 1 if all of it runs, and the
    model cannot be used.

    ``settings``: a site's own, used with the lab's addresses; ``scenario``: the sandbox's. If Asterisk runs, it
    continues. Parts that are started again keep their ports and, unless others are given, their settings. Raises
    AriagentError; nothing is left running then.
    """
    running = _running(lab_dir)
    if all(running.values()) and settings is None and scenario is None:
        _await_service(lab_dir)
        _say("already up")
        now = load(lab_dir / "ariagent.yaml")
        return _tell(lab_dir, _model_fault(now, f"http://{now.http.host}:{now.http.port}"))
    before = read_env(lab_dir) if running["asterisk"] and (lab_dir / "lab.env").exists() else {}
    settings, scenario = (
        existing(given) if given is not None else Path(before[name]) if before.get(name) else None
        for name, given in (("SETTINGS", settings), ("SCENARIO", scenario))
    )
    # Wrong settings are reported before anything is ended.
    if settings is not None:
        check(settings, os.environ, lab_dir)
    if scenario is not None:
        check_scenario(scenario)
    started: dict[str, ProcessRef] = {}
    if before:
        _say("Asterisk continues; starting the sandbox and the service again")
        _end_all(lab_dir, keep="asterisk")
        started["asterisk"] = known(lab_dir)["asterisk"]
    elif any(running.values()):
        _say("partly up: starting again")
        down(lab_dir)
    try:
        fault = _start_all(lab_dir, started, before, settings, scenario)
    except BaseException:
        _end_all(lab_dir)
        forget(lab_dir)
        raise
    return _tell(lab_dir, fault)


def _tell(lab_dir: Path, model_fault: str) -> int:
    """Say where everything is, and what is wrong with the model; returns the exit code."""
    _hints(lab_dir)
    if not model_fault:
        return 0
    _say(
        f"{model_fault}\n"
        "  Asterisk and the service run all the same: callers go to the human queue, and the service tries the model "
        f"again by itself.\n  The service's log: {lab_dir}/log/service.log"
    )
    return 1


def down(lab_dir: Path) -> int:
    """End everything ``up`` started; returns the exit code."""
    alive = [part for part, process in known(lab_dir).items() if process.alive]
    _end_all(lab_dir)
    forget(lab_dir)
    _say(f"stopped {', '.join(alive)}" if alive else "nothing was running")
    return 0


def status(lab_dir: Path) -> int:
    """Say what runs; 0 when all of it does, else 1."""
    there = known(lab_dir)
    for part, alive in _running(lab_dir).items():
        sys.stdout.write(f"{part:9} {f'running, pid {there[part].pid}' if alive else 'not running'}\n")
    return 0 if all(_running(lab_dir).values()) else 1


def _note(lab_dir: Path, started: dict[str, ProcessRef], part: str, pid: int) -> None:
    """Write down what was started before anything else can go wrong."""
    if pid and (process := ProcessRef.of(pid)) is not None:
        started[part] = process
    statefile.note(lab_dir, started)


def _start_all(
    lab_dir: Path,
    started: dict[str, ProcessRef],
    before: Mapping[str, str],
    settings_file: Path | None,
    scenario: Path | None,
) -> str:
    """Returns why the model cannot be used, or ""."""
    ensure_tool("flite", lab_dir)
    (lab_dir / "log").mkdir(parents=True, exist_ok=True)
    env = dict(before) if before else _start_asterisk(lab_dir, started)
    addresses = _addresses(env)
    config = lab_dir / "ariagent.yaml"
    config.touch(mode=0o600)
    tree = merged(settings_file, addresses, os.environ, lab_dir)
    config.write_text(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))
    # The service will see ARIAGENT_SECTION__KEY of this environment before the file.
    settings = load(config, serving=True)
    http_url = f"http://{settings.http.host}:{settings.http.port}"
    sandbox = [sys.executable, "-m", "ariagent.sandbox", "--host", "127.0.0.1", "--port", str(addresses.realtime_port)]
    sandbox += ["--fetch", "--cache-dir", str(lab_dir / "speech")]
    if scenario is not None:
        sandbox += ["--scenario", str(scenario)]
    if settings.realtime.url == addresses.realtime_url:
        # Whatever the file calls its model, an Azure deployment's name for instance: the sandbox plays it.
        own = {settings.realtime.model, *(agent.model or "" for agent in settings.agents.values())} - {"", *MODELS}
        sandbox += [word for model in (*MODELS, *sorted(own)) for word in ("--model", model)] if own else []
    _start(lab_dir, started, "sandbox", sandbox, lambda: _accepts(addresses.realtime_port))
    _start(
        lab_dir, started, "service", service_command(lab_dir), lambda: (_health(http_url) or {}).get("status") == "ok"
    )
    fault = _model_fault(settings, http_url)
    env |= {
        # Commands find the programs that speak there.
        LAB: str(lab_dir),
        "API_URL": f"http://{settings.control.host}:{settings.control.port}",
        "API_TOKEN": addresses.api_token,
        "AUDIOSOCKET_HOST": settings.audiosocket.host,
        "AUDIOSOCKET_PORT": str(settings.audiosocket.port),
        "REALTIME_URL": settings.realtime.url,
        "SANDBOX_PORT": str(addresses.realtime_port),
        "METRICS_URL": f"{http_url}/metrics",
        "SANDBOX_PID": str(started["sandbox"].pid),
        "SERVICE_PID": str(serving(started["service"].pid) or started["service"].pid),
        PATH_NAME: str(config),
        "SETTINGS": str(settings_file or ""),
        "SCENARIO": str(scenario or ""),
    }
    write_env(lab_dir / "lab.env", env)
    # From now on the service is started again when it ends, and the two files are the supervisor's to change.
    supervisor = lab_command("supervisor", str(lab_dir))
    _start(lab_dir, started, "supervisor", supervisor, lambda: True)
    return fault


def _start_asterisk(lab_dir: Path, started: dict[str, ProcessRef]) -> dict[str, str]:
    """Returns its names for ``lab.env``."""
    program = ensure_asterisk(lab_dir)
    began = time.monotonic()
    asterisk = AsteriskInstance(program, lab_dir / "asterisk")
    try:
        asyncio.run(asterisk.start(daemon=True))
    finally:
        _note(lab_dir, started, "asterisk", asterisk.pid)
    _say(f"Asterisk {program.version} is up ({time.monotonic() - began:.1f} s)")
    return asterisk.environment


def _addresses(env: Mapping[str, str]) -> Addresses:
    """Asterisk's, and for the others the ports they had, or free ones."""
    http_port = urlsplit(env.get("METRICS_URL", "")).port
    return Addresses(
        ari={"url": env["ARI_URL"], "user": env["ARI_USER"], "password": env["ARI_PASSWORD"]},
        ami={
            "host": env["AMI_HOST"],
            "port": int(env["AMI_PORT"]),
            "user": env["AMI_USER"],
            "password": env["AMI_PASSWORD"],
        },
        realtime_port=int(env.get("SANDBOX_PORT") or ports.free_tcp_port()),
        audiosocket_port=int(env.get("AUDIOSOCKET_PORT") or ports.free_tcp_port()),
        http_port=http_port or ports.free_tcp_port(),
        control_port=urlsplit(env.get("API_URL", "")).port or ports.free_tcp_port(),
        api_token=env.get("API_TOKEN") or secrets.token_urlsafe(24),
    )


def _model_fault(settings: Settings, http_url: str) -> str:
    """Wait until the service has tried the model. Returns why it cannot be used, or ""."""
    deadline = time.monotonic() + settings.realtime.connect_timeout_s + MODEL_EXTRA_S
    said = NOT_TRIED
    while said == NOT_TRIED and time.monotonic() < deadline:
        said = str((_health(http_url, settings.state_directory) or {}).get("model", NOT_TRIED))
        time.sleep(0.05)
    where = urlsplit(settings.realtime.url).netloc
    if said != "ok":
        return f"the model {settings.realtime.model} at {where} cannot be used: {said}"
    _say(f"the model {settings.realtime.model} at {where} can be used")
    return ""


def _start(
    lab_dir: Path, started: dict[str, ProcessRef], part: str, command: list[str], ready: Callable[[], bool]
) -> None:
    log_path = lab_dir / "log" / f"{part}.log"
    began = time.monotonic()
    with private_log(log_path) as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
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


def _await_service(lab_dir: Path) -> None:
    """The service may just be starting again. Raises AriagentError when it takes too long."""
    url, deadline = read_env(lab_dir)["METRICS_URL"].removesuffix("/metrics"), time.monotonic() + READY_LIMIT_S
    while (_health(url) or {}).get("status") != "ok":
        if time.monotonic() > deadline:
            raise AriagentError(
                f"the service does not take calls\n{_tail(lab_dir / 'log' / 'service.log')}",
                remedy=f"Its log: {lab_dir}/log/service.log",
            )
        time.sleep(0.05)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _health(http_url: str, state_directory: Path | None = None) -> dict[str, object] | None:
    """The answer of ``/healthz``, in every detail if ``state_directory`` has a token; None while nobody answers."""
    access = localfile.read(state_directory) if state_directory is not None else None
    headers = {"Authorization": f"Bearer {access.token}"} if access is not None else {}
    asked = urllib.request.Request(f"{http_url}/healthz", headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(asked, timeout=2.0) as answer:
            found = json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _running(lab_dir: Path) -> dict[str, bool]:
    there = known(lab_dir)
    return {part: part in there and there[part].alive for part in PARTS}


def _end_all(lab_dir: Path, keep: str = "") -> None:
    """End every recorded part but ``keep``; the supervisor first, which may just be starting the service again."""
    for part in reversed(PARTS):
        if part != keep and (process := known(lab_dir).get(part)) is not None:
            end_process(process, _SIGNALS[part])


def _tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def _say(line: str) -> None:
    stderr_progress(line)


def _program() -> str:
    """The command ``ariagent`` of this installation. Not ``python -m``, which imports from the current directory."""
    beside = Path(sys.executable).with_name("ariagent")
    return str(beside) if beside.exists() else "ariagent"


def _hints(lab_dir: Path) -> None:
    env = read_env(lab_dir)
    sip = f"{env['SIP_HOST']}:{env['SIP_PORT']}"
    settings, program = shlex.quote(str(lab_dir / "ariagent.yaml")), shlex.quote(_program())
    made_from = f" (made from {env['SETTINGS']})" if env.get("SETTINGS") else ""
    sys.stdout.write(
        f"""The lab is up on loopback.
  Call the AI:   any SIP phone on this machine, no password: sip:7000@{sip} (queue) or sip:7001@{sip} (direct)
                 or: {program} call 7000 -c {settings}
  Others:        7100 human queue, 1001-1004 human agents' phones (passwords in lab.env), 600 echo
  Metrics:       {env["METRICS_URL"]}
  Supervising:   {program} calls -c {settings} (transfer, whisper, pause, resume)
                 or: {env["API_URL"]}/v1 with API_TOKEN of lab.env
  Logs:          {lab_dir}/log/*.log {lab_dir}/asterisk/log/messages.log
  Settings:      {settings}{made_from}
                 every command takes them by -c, or all of this shell's by: export {PATH_NAME}={settings}
  Addresses:     {lab_dir}/lab.env
  Stop it:       make lab-down
"""
    )
