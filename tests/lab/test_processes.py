"""Processes known by pid and start time, ended with everything they started."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ariagent.service import keeper
from lab.processes import ProcessRef, end_process, private_log, serving

TERM = ((signal.SIGTERM, 30.0),)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own that ends at SIGTERM."""
    with _spawn("echo ready; exec sleep 600")[0] as process:
        yield process
        process.kill()


def test_a_process_is_known_by_its_start_time_too(child: subprocess.Popen[bytes]) -> None:
    process = ProcessRef.of(child.pid)
    assert process is not None
    assert process.alive
    assert not ProcessRef(process.pid, process.started_ticks + 1).alive


def test_an_ended_process_is_none_even_as_a_zombie(child: subprocess.Popen[bytes]) -> None:
    process = ProcessRef.of(child.pid)
    assert process is not None
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not process.alive
    assert ProcessRef.of(child.pid) is None
    child.wait()
    assert ProcessRef.of(child.pid) is None


def test_a_zombie_whose_threads_are_not_over_still_has_its_ports() -> None:
    script = """
import ctypes, sys, threading
threading.Thread(target=sys.stdin.read).start()
print(flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            pass
        assert ProcessRef.of(process.pid) is not None
        process.kill()


def test_the_service_is_the_living_child_of_its_keeper(child: subprocess.Popen[bytes]) -> None:
    assert serving(child.pid) == child.pid, "not a keeper"
    script = f"""
import ctypes, subprocess, sys
ctypes.CDLL(None).prctl(15, {keeper.NAME.encode()!r}, 0, 0, 0)
with subprocess.Popen(["sleep", "600"]) as service:
    print(service.pid, flush=True)
    sys.stdin.read()
    service.kill()
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        service = int(process.stdout.readline())
        assert serving(process.pid) == service
        os.kill(service, signal.SIGKILL)
        while ProcessRef.of(service) is not None:
            pass
        assert serving(process.pid) is None
        process.communicate()
    with pytest.raises(OSError):  # no such file, or no such process
        serving(process.pid)


def test_a_name_with_spaces_and_brackets_does_not_confuse() -> None:
    # prctl(PR_SET_NAME): field 2 of the stat file becomes "(a ) Z 1)".
    script = "import ctypes, sys; ctypes.CDLL(None).prctl(15, b'a ) Z 1', 0, 0, 0); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = ProcessRef.of(process.pid)
        assert found is not None
        assert found.started_ticks > 1
        process.kill()


def test_end_process_ends_the_whole_group() -> None:
    child, said = _spawn("trap '' HUP; sleep 600 & echo $!; exec sleep 600")
    with child:
        process, of_its_own = ProcessRef.of(child.pid), ProcessRef.of(int(said))
        assert process is not None
        assert of_its_own is not None
        assert end_process(process, TERM) is True
        assert not process.alive
        assert not of_its_own.alive


def test_end_process_kills_what_ignores_its_signals() -> None:
    with _spawn("trap '' TERM; echo ready; while :; do sleep 600; done")[0] as child:
        process = ProcessRef.of(child.pid)
        assert process is not None
        assert end_process(process, ((signal.SIGTERM, 0.2),)) is False
        assert not process.alive
        assert child.wait() == -signal.SIGKILL


def test_end_process_leaves_a_stranger_with_the_same_pid_alone(child: subprocess.Popen[bytes]) -> None:
    process = ProcessRef.of(child.pid)
    assert process is not None
    assert end_process(ProcessRef(process.pid, process.started_ticks + 1), TERM) is True
    assert process.alive


def _spawn(script: str) -> tuple[subprocess.Popen[bytes], bytes]:
    """A shell in a group of its own, and the first line it said."""
    child = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    return child, child.stdout.readline()


def test_a_log_is_its_users_alone_whatever_the_umask_and_an_earlier_run_were(tmp_path: Path) -> None:
    path = tmp_path / "service.log"
    path.write_text("before\n")
    path.chmod(0o666)
    before = os.umask(0)
    try:
        with private_log(path, again=True) as log:
            log.write(b"again\n")
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.read_text() == "before\nagain\n"
        with private_log(path) as log:
            log.write(b"new\n")
        assert path.read_text() == "new\n"
        with private_log(tmp_path / "other.log"):
            assert (tmp_path / "other.log").stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)
