"""The keeper of ``ariagent run``: it has imported everything, forks the service, and forks it again after a crash.

A start is nearly all imports, and after a crash it is silence for the callers. The keeper has no thread and no event
loop, and reads no settings: it holds no secret but those in its environment.
"""

import ctypes
import gc
import os
import signal
import time
from contextlib import suppress

import ariagent
from ariagent.service.restarts import ASK_TO_END, End, Restarts

NAME = "ariagent-keeper"
"""The process, as ``systemctl status`` and ``top`` show it."""
FORWARDED_SIGTERM = signal.SIGRTMIN
"""The service gets this signal for a SIGTERM to the keeper; see ``ariagent.service.service``."""
_ENDING = frozenset(signal.Signals[name] for name in ASK_TO_END)
_FORWARDED = _ENDING | {signal.SIGHUP}
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15


def keep() -> str | End:
    """Fork the service, and again after each crash.

    Returns in the service: the cause of the crash before, or "". Returns in the keeper when the service has ended.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # a parent that ignores it hands that down
    outside = signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED | {signal.SIGCHLD})
    keeper, package, name = os.getpid(), _package(), _process_name()
    restarts, cause = Restarts(), ""
    gc.freeze()
    while True:
        if (service := os.fork()) == 0:
            _name_process(name)
            _die_with(keeper)
            # SIGHUP waits until the service can handle it.
            signal.pthread_sigmask(signal.SIG_SETMASK, outside | {signal.SIGHUP})
            return cause
        _name_process(NAME)
        how = _wait(service, restarts)
        restarts.replaced = _package() != package
        following = restarts.ended(how, time.monotonic())
        if isinstance(following, End):
            return following
        told = signal.sigtimedwait(_FORWARDED, following.pause_s)
        if told is not None and told.si_signo in _ENDING:
            return End(0)
        cause = following.cause


def _wait(service: int, restarts: Restarts) -> int | str:
    """Forward signals to the service until it has ended; returns its exit code, or the signal that killed it."""
    while True:
        if (number := signal.sigwait(_FORWARDED | {signal.SIGCHLD})) != signal.SIGCHLD:
            restarts.told_to_end |= number in _ENDING
            os.kill(service, FORWARDED_SIGTERM if number == signal.SIGTERM else number)
            continue
        pid, status = os.waitpid(service, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else _signal_name(-code)


def _signal_name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def _package() -> tuple[int, int]:
    """Changes when another version is installed."""
    try:
        found = os.stat(ariagent.__file__)
    except OSError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns


def _die_with(keeper: int) -> None:
    """Without its keeper the service would hold the ports and calls against the next one."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != keeper:
        os._exit(1)


def _process_name() -> str:
    with open("/proc/self/comm") as file:
        return file.read().strip()


def _name_process(name: str) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
