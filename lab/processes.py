"""Processes by pid, known again later: started in one command, looked for and ended in another."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ariagent.service import keeper

CHECKOUT = Path(__file__).resolve().parents[1]
_POLL_S = 0.02
LOG_MODE = 0o600
"""Logs of the lab hold what callers say."""


def lab_command(module: str, *arguments: str) -> list[str]:
    """The argv that runs ``lab.MODULE`` from any folder: the lab is not an installed package."""
    return ["env", f"PYTHONPATH={CHECKOUT}", sys.executable, "-m", f"lab.{module}", *arguments]


def step_back() -> None:
    """Give this process the lowest priority: what is measured beside it is not that it takes the processor.

    Linux shares the processor by sessions, and ``nice`` counts only within one of them (sched(7), "The autogroup
    feature"). So this process gets a session of its own, and that session the lowest priority.
    """
    with contextlib.suppress(PermissionError):  # it has one already
        os.setsid()
    os.nice(19)
    with contextlib.suppress(OSError):  # a kernel without it
        Path("/proc/self/autogroup").write_text("19")


def private_log(path: Path, *, again: bool = False) -> IO[bytes]:
    """A log that only this user can read, also one of an earlier run; ``again`` keeps what is in it."""
    how = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_APPEND if again else os.O_TRUNC)
    handle = os.open(path, how, LOG_MODE)
    os.fchmod(handle, LOG_MODE)
    return os.fdopen(handle, "ab" if again else "wb")


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """A process: its pid alone could by now be somebody else's, with its start time it cannot."""

    pid: int
    started_ticks: int
    """Field 22 of ``/proc/PID/stat``, see proc(5)."""

    @classmethod
    def of(cls, pid: int) -> ProcessRef | None:
        """The running process with this pid; None when there is none. A zombie counts as none, unless threads of it are
        still ending: they have its ports."""
        try:
            # The name in field 2 may hold spaces and brackets; what follows its last bracket may not.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ended = fields[0] in {"Z", "X"} and len(os.listdir(f"/proc/{pid}/task")) < 2
        except OSError:
            return None
        return None if ended else cls(pid, int(fields[19]))

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return ProcessRef.of(self.pid) == self


def serving(pid: int) -> int | None:
    """The process that serves, if ``pid`` is ``ariagent run``: the child of a keeper, else ``pid`` itself. None while a
    keeper has no child."""
    if Path(f"/proc/{pid}/comm").read_text().strip() != keeper.NAME:
        return pid
    children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return next((child for child in children if ProcessRef.of(child) is not None), None)


def end_process(process: ProcessRef, signals: Sequence[tuple[signal.Signals, float]]) -> bool:
    """End a process that leads its own group: each signal with the seconds to wait, then SIGKILL for the whole group.

    Returns whether it ended before SIGKILL. Blocks; returns when nothing of the group is left. Does nothing when the
    process has ended already: its pid, and the group of that number, may be somebody else's by now.
    """
    if not process.alive:
        return True
    graceful = False
    for number, wait_s in signals:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
        if graceful := _gone(process, wait_s):
            break
    group = group_members(process.pid)
    for member in group:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member.pid, signal.SIGKILL)
    for member in group:
        _gone(member, 5.0)
    return graceful


def _gone(process: ProcessRef, wait_s: float) -> bool:
    deadline = time.monotonic() + wait_s
    while process.alive:
        if time.monotonic() >= deadline:
            return False
        # A child of ours stays a zombie until it is waited for, and counts as gone then.
        time.sleep(_POLL_S)
    return True


def group_members(group: int) -> list[ProcessRef]:
    """The processes of a group that have not ended."""
    members = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ProcessLookupError):
            if os.getpgid(int(entry.name)) == group and (found := ProcessRef.of(int(entry.name))):
                members.append(found)
    return members
