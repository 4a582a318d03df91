"""One Asterisk: starts completely, ends completely, on loopback only, and the lab's features are really there."""

import asyncio
import contextlib
import os
import re
import signal
import stat
import subprocess
import sys
import time
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from ariagent.errors import AsteriskError, ConfigurationError
from lab import conf, ports
from lab.asterisk import AsteriskInstance
from lab.packages import AsteriskProgram
from lab.processes import CHECKOUT, ProcessRef

SCENARIOS = Path(__file__).parent / "sipp"


@pytest.fixture
async def own(program: AsteriskProgram, tmp_path: Path) -> AsyncIterator[AsteriskInstance]:
    """An instance for one test, already running, that the test may end."""
    instance = AsteriskInstance(program, tmp_path / "asterisk")
    await instance.start()
    yield instance
    await instance.stop()


async def test_stop_leaves_no_process_and_no_port(own: AsteriskInstance) -> None:
    process = ProcessRef.of(own.pid)
    assert process is not None
    assert _listening("tcp", own.http_port) == ["127.0.0.1"]
    assert _listening("udp", own.sip_port) == ["127.0.0.1"]
    await own.stop()
    assert not process.alive
    assert _group(own.pid) == []
    assert _listening("tcp", own.http_port) == []
    assert _listening("udp", own.sip_port) == []


async def test_stop_twice_and_start_again(own: AsteriskInstance) -> None:
    await own.stop()
    await own.stop()
    await own.start()
    assert "System uptime" in await own.cli("core show uptime")


async def test_starting_twice_is_refused(own: AsteriskInstance) -> None:
    with pytest.raises(AsteriskError, match="already started"):
        await own.start()


async def test_two_instances_side_by_side(own: AsteriskInstance, asterisk: AsteriskInstance) -> None:
    assert {own.sip_port, own.http_port}.isdisjoint({asterisk.sip_port, asterisk.http_port})
    assert own.ari_password != asterisk.ari_password
    assert own.phone_passwords != asterisk.phone_passwords
    for instance in (own, asterisk):
        assert f"127.0.0.1:{instance.sip_port}" in await instance.cli("pjsip show transports")


async def test_everything_listens_on_loopback_only(asterisk: AsteriskInstance, sipp: list[str], tmp_path: Path) -> None:
    call = asyncio.create_task(_sipp(sipp, asterisk, "answered.xml", "600", tmp_path))
    first, last = asterisk.rtp_ports

    def rtp() -> list[str]:
        return [
            host for protocol, host, port in _sockets_of(asterisk.pid) if protocol == "udp" and first <= port <= last
        ]

    await _until(lambda: len(rtp()) >= 2)
    assert set(rtp()) == {"127.0.0.1"}
    sockets = _sockets_of(asterisk.pid)
    assert {host for protocol, host, _ in sockets if protocol == "tcp"} == {"127.0.0.1"}
    assert ("udp", "127.0.0.1", asterisk.sip_port) in sockets
    # The two client sockets (IPv4, IPv6) of PJSIP's DNS resolver remain: they cannot be turned off.
    assert len([host for _, host, _ in sockets if host != "127.0.0.1"]) <= 2
    await call


async def test_an_end_during_the_start_is_told_with_its_log(tmp_path: Path, program: AsteriskProgram) -> None:
    script = tmp_path / "asterisk"
    script.write_text("#!/bin/sh\necho the disk is on fire >&2\nexit 3\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    broken = AsteriskProgram((str(script),), "22.10.1", program.modules_dir, program.data_dir)
    instance = AsteriskInstance(broken, tmp_path / "instance")
    with pytest.raises(AsteriskError, match=r"status 3\nthe disk is on fire") as caught:
        await instance.start()
    assert str(tmp_path / "instance" / "log") in caught.value.remedy


async def test_missing_modules_are_named_before_the_start(tmp_path: Path, program: AsteriskProgram) -> None:
    (tmp_path / "modules").mkdir()
    bare = AsteriskProgram(program.command, program.version, tmp_path / "modules", program.data_dir)
    with pytest.raises(ConfigurationError, match="chan_audiosocket"):
        await AsteriskInstance(bare, tmp_path / "instance").start()


async def test_a_port_taken_in_between_is_replaced(
    tmp_path: Path, program: AsteriskProgram, asterisk: AsteriskInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_tcp_port = ports.free_tcp_port
    answers = iter([asterisk.http_port])
    monkeypatch.setattr(ports, "free_tcp_port", lambda: next(answers, None) or free_tcp_port())
    async with AsteriskInstance(program, tmp_path / "instance") as instance:
        assert instance.http_port != asterisk.http_port
        assert "System uptime" in await instance.cli("core show uptime")


async def test_it_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys, time; from pathlib import Path\n"
        "from lab.asterisk import AsteriskInstance\n"
        "from lab.packages import default_lab_dir, ensure_asterisk\n"
        "instance = AsteriskInstance(ensure_asterisk(default_lab_dir()), Path(sys.argv[1]))\n"
        "asyncio.run(instance.start())\n"
        "print(instance.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, str(tmp_path / "instance")), cwd=CHECKOUT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    process = ProcessRef.of(int(await parent.stdout.readline()))
    assert process is not None
    parent.kill()
    await parent.wait()
    await _until(lambda: not process.alive)


async def test_a_daemon_outlives_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        "from lab.asterisk import AsteriskInstance\n"
        "from lab.packages import default_lab_dir, ensure_asterisk\n"
        "instance = AsteriskInstance(ensure_asterisk(default_lab_dir()), Path(sys.argv[1]))\n"
        "asyncio.run(instance.start(daemon=True))\n"
        "print(instance.pid)\n"
    )
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", script, str(tmp_path / "instance")],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        check=True,
    )
    process = ProcessRef.of(int(done.stdout))
    assert process is not None
    assert process.alive
    os.kill(process.pid, signal.SIGTERM)
    await _until(lambda: not process.alive)


async def test_a_long_folder_name_does_not_break_the_control_socket(tmp_path: Path, program: AsteriskProgram) -> None:
    async with AsteriskInstance(program, tmp_path / ("long" * 30)) as instance:
        run_dir = instance._run_dir
        assert "System uptime" in await instance.cli("core show uptime")
    assert not run_dir.exists()


async def test_more_seats_than_shipped(tmp_path: Path, program: AsteriskProgram) -> None:
    async with AsteriskInstance(program, tmp_path / "asterisk", seats=80) as instance:
        assert _seats(await instance.cli("queue show frontline")) == {f"{seat:02d}" for seat in range(1, 81)}


def test_write_env_can_be_sourced_and_is_private(asterisk: AsteriskInstance, tmp_path: Path) -> None:
    path = tmp_path / "lab.env"
    asterisk.write_env(path, {"SERVICE_PID": "1"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    shown = subprocess.run(
        ["sh", "-c", f". {path}; echo $SIP_PORT $ARI_URL $PHONE_1004_PASSWORD $SERVICE_PID"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.split() == [
        str(asterisk.sip_port),
        asterisk.ari_url,
        asterisk.phone_passwords["1004"],
        "1",
    ]


async def test_every_required_module_runs(asterisk: AsteriskInstance) -> None:
    shown = await asterisk.cli("module show")
    running = {line.split()[0] for line in shown.splitlines() if " Running " in line}
    assert {f"{name}.so" for name in conf.REQUIRED_MODULES} - running == set()


async def test_the_start_log_has_no_error_and_no_warning(asterisk: AsteriskInstance) -> None:
    trouble = re.compile(r"\] (WARNING|ERROR)\[\d+\] (loader|res_|config|pbx|chan_|app_queue)")
    assert [line for line in asterisk.log_path.read_text().splitlines() if trouble.search(line)] == []


async def test_frontline_has_sixty_seats_of_one_agent(asterisk: AsteriskInstance) -> None:
    shown = await asterisk.cli("queue show frontline")
    assert "'rrmemory' strategy" in shown
    assert _seats(shown) == {f"{seat:02d}" for seat in range(1, 61)}
    assert shown.count("AI Agent (Local/") == shown.count("(ringinuse disabled)") == 60


async def test_dialplan_has_the_extensions(asterisk: AsteriskInstance) -> None:
    internal = await asterisk.cli("dialplan show ariagent-internal")
    for extension in ("7000", "7001", "7100", "600", "_100[1-4]"):
        assert f"'{extension}' =>" in internal
    assert ". Stasis(${ARIAGENT_APP},seat,${ARIAGENT_SEAT})" in await asterisk.cli("dialplan show ariagent-seat-call")


@pytest.mark.parametrize("codec", ["g722", "opus", "ulaw", "alaw"])
async def test_codec_translates_to_and_from_linear(asterisk: AsteriskInstance, codec: str) -> None:
    shown = await asterisk.cli(f"core show translation paths {codec}")
    rate_hz = {"g722": 16000, "opus": 48000}.get(codec, 8000)
    assert f"sample rate {rate_hz}" in shown
    assert "No Translation Path" not in next(line for line in shown.splitlines() if "slin:8000" in line)


async def test_hold_music_is_soft_and_in_both_rates(asterisk: AsteriskInstance) -> None:
    assert "chords" in await asterisk.cli("moh show files")
    for suffix, rate_hz in (("wav", 8000), ("wav16", 16000)):
        with wave.open(str(asterisk.root / "data" / "moh" / f"chords.{suffix}")) as music:
            assert music.getframerate() == rate_hz
            assert music.getnframes() == 32 * rate_hz
            samples = memoryview(music.readframes(music.getnframes())).cast("h")
            assert 2000 < max(samples) < 5000


async def test_the_anonymous_caller_and_the_phones_are_told_apart(asterisk: AsteriskInstance) -> None:
    shown = await asterisk.cli("pjsip show settings")
    order = [line for line in shown.splitlines() if "endpoint_identifier_order" in line]
    assert order[0].split(":")[-1].strip() == "username,ip,anonymous"


async def test_sipp_calls_the_echo(asterisk: AsteriskInstance, sipp: list[str], tmp_path: Path) -> None:
    await _sipp(sipp, asterisk, "answered.xml", "600", tmp_path)
    await _until_async(lambda: asterisk.cli("core show channels count"), lambda shown: "0 active channels" in shown)


async def test_sipp_gets_404_for_an_unknown_number(asterisk: AsteriskInstance, sipp: list[str], tmp_path: Path) -> None:
    await _sipp(sipp, asterisk, "unknown.xml", "4711", tmp_path)


async def _sipp(sipp: list[str], asterisk: AsteriskInstance, scenario: str, number: str, folder: Path) -> None:
    options = ["-sf", str(SCENARIOS / scenario), "-s", number, "-m", "1", "-i", "127.0.0.1", "-mi", "127.0.0.1"]
    options += ["-p", str(ports.free_udp_port()), "-nostdin", "-timeout", "60", "-trace_err"]
    process = await asyncio.create_subprocess_exec(
        *sipp,
        f"127.0.0.1:{asterisk.sip_port}",
        *options,
        cwd=folder,
        env={**os.environ, "TERM": "dumb"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, _errors(folder) + output.decode(errors="replace")[-2000:]


def _errors(folder: Path) -> str:
    return "".join(path.read_text(errors="replace") for path in folder.glob("*_errors.log"))


def _seats(shown: str) -> set[str]:
    return set(re.findall(r"Local/(\d\d)@ariagent-seat/n", shown))


def _group(group: int) -> list[int]:
    members = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getpgid(int(entry.name)) == group:
                members.append(int(entry.name))
    return members


def _table(protocol: str) -> list[list[str]]:
    rows = []
    for name in (protocol, f"{protocol}6"):
        with contextlib.suppress(FileNotFoundError):
            rows += [line.split() for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return rows


def _address(text: str) -> tuple[str, int]:
    host, port = text.split(":")
    if len(host) > 8:
        return f"IPv6 {host}", int(port, 16)
    return ".".join(str(byte) for byte in reversed(bytes.fromhex(host))), int(port, 16)


def _listening(protocol: str, port: int) -> list[str]:
    state = "0A" if protocol == "tcp" else "07"
    found = [(_address(row[1]), row[3]) for row in _table(protocol)]
    return [host for (host, number), status in found if number == port and status == state]


def _sockets_of(pid: int) -> list[tuple[str, str, int]]:
    """Protocol and address of every TCP listener and UDP socket of a process."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.update(re.findall(r"socket:\[(\d+)\]", str(entry.readlink())))
    return [
        (protocol, *_address(row[1]))
        for protocol, state in (("tcp", "0A"), ("udp", "07"))
        for row in _table(protocol)
        if row[9] in inodes and row[3] == state
    ]


async def _until(condition: Callable[[], bool], limit_s: float = 30.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def _until_async(
    ask: Callable[[], Awaitable[str]], condition: Callable[[str], bool], limit_s: float = 30.0
) -> None:
    deadline = time.monotonic() + limit_s
    while not condition(shown := await ask()):
        assert time.monotonic() < deadline, shown
        await asyncio.sleep(0.05)
