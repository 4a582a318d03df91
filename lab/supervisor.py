"""Starts the lab's service again when it ends, as systemd would; keeps the pids true: the keeper's in ``lab.json``, the
service's in ``lab.env``.

    python -m lab.supervisor LAB_DIR

Ends at SIGTERM, and with the lab; the service continues then. One that dies again and again is started less often.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from ariagent.errors import ConfigurationError
from lab import statefile
from lab.asterisk import write_env
from lab.processes import ProcessRef, private_log, serving

LOOK_S = 0.1
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
GOOD_S = 10.0
"""One that ran for so long may fail again at once."""


def service_command(lab_dir: Path) -> list[str]:
    """The argv of the lab's service."""
    return [sys.executable, "-m", "ariagent", "run", "-c", str(lab_dir / "ariagent.yaml")]


class Supervisor:
    """The supervisor process of one lab's service."""

    def __init__(self, lab_dir: Path) -> None:
        self._lab_dir = lab_dir
        self._ended = False
        self._child: subprocess.Popen[bytes] | None = None
        self._published = 0

    def stop(self, number: int, frame: FrameType | None) -> None:
        """A signal: end after what is being done."""
        self._ended = True

    def run(self) -> None:
        """Keep the service until told to end, or until the lab is gone."""
        pause_s, began = FIRST_PAUSE_S, time.monotonic()
        while not self._ended:
            time.sleep(LOOK_S)
            if self._child is not None:
                self._child.poll()  # takes its exit status, or it would stay a zombie
            service = statefile.known(self._lab_dir).get("service")
            if service is None:
                return
            if service.alive:
                self._publish(service.pid)
                continue
            if time.monotonic() - began > GOOD_S:
                pause_s = FIRST_PAUSE_S
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            if not self._ended:
                self._start()
                began = time.monotonic()

    def _start(self) -> None:
        with private_log(self._lab_dir / "log" / "service.log", again=True) as out:
            self._child = subprocess.Popen(
                service_command(self._lab_dir), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        if (service := ProcessRef.of(self._child.pid)) is None:
            return
        statefile.note(self._lab_dir, {**statefile.known(self._lab_dir), "service": service})
        self._publish(service.pid)

    def _publish(self, keeper: int) -> None:
        """Write the pid of the service that this process keeps, or is, if it is a new one."""
        pid = None
        with suppress(OSError):  # it may end meanwhile
            pid = serving(keeper)
        if pid is None or pid == self._published:
            return
        names = statefile.read_env(self._lab_dir)
        write_env(self._lab_dir / "lab.env", {**names, "SERVICE_PID": str(pid)})
        self._published = pid


def main() -> int:
    """The command; returns the exit code."""
    supervisor = Supervisor(Path(sys.argv[1]))
    signal.signal(signal.SIGTERM, supervisor.stop)
    try:
        supervisor.run()
    except ConfigurationError as error:
        sys.stderr.write(f"supervisor: {error.line}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
