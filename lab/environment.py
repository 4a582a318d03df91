"""A private lab for measuring and testing: its own Asterisk, and services and sandboxes as separate processes.

Separate processes, because what is measured (CPU, memory, delays) must not be shared with who measures.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import yaml

from ariagent.errors import AriagentError
from ariagent.synthesis.programs import LAB
from lab.asterisk import AsteriskInstance
from lab.labsettings import NO_CAPS
from lab.packages import default_lab_dir
from lab.processes import group_members, private_log, serving

START_LIMIT_S = 30.0
STOP_LIMIT_S = 10.0
RESTART_S = 0.1
"""``RestartSec`` of ``packaging/ariagent.service``."""
READY = ("service.ready", "phrases.ready", " state=Custom:")
"""A service has logged these before its first call. Without the fixed phrases (``prompts``) the model would open the
call. A former service left the device state (``Custom:``) at UNAVAILABLE; without a model it stays so."""
READY_WITH_QUEUES = (*READY, "pool.ready")
"""The state of a service with AMI that is ready: a former service may have left seats paused."""
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Process:
    """A child process whose output goes to a file. ``skipped``: bytes of the file that are of an earlier service."""

    def __init__(self, process: asyncio.subprocess.Process, log_path: Path, skipped: int = 0) -> None:
        self._process = process
        self.log_path = log_path
        self._skipped = skipped

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def service_pid(self) -> int:
        """The process that serves, if this one is its keeper. Raises AriagentError while it has none."""
        if (pid := serving(self.pid)) is None:
            raise AriagentError(f"the keeper of {self.log_path.stem} has no service")
        return pid

    @property
    def log(self) -> str:
        return self.log_path.read_bytes()[self._skipped :].decode(errors="replace")

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    def cpu_s(self) -> float:
        """CPU time used so far, user and system, all threads; of a service without its keeper."""
        return cpu_seconds(self.service_pid)

    def rss_mb(self) -> float:
        """Resident memory now; of a service without its keeper."""
        pages = int(Path(f"/proc/{self.service_pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    async def wait_for(self, text: str, limit_s: float = START_LIMIT_S) -> str:
        """The first line of the output that holds ``text``. Raises AriagentError when the process ends without it."""
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    ended = not self.running
                    for line in self.log.splitlines():
                        if text in line:
                            return line
                    if ended:
                        raise AriagentError(f"{self.log_path.stem} ended without {text!r}:\n{self.log[-2000:]}")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AriagentError(f"no {text!r} of {self.log_path.stem} in {limit_s:g} s:\n{self.log[-2000:]}") from None

    async def ended(self) -> int:
        """Wait for its end, and for the end of a service whose keeper it is; returns the exit status."""
        status = await self._process.wait()
        async with asyncio.timeout(STOP_LIMIT_S):
            while group_members(self.pid):
                await asyncio.sleep(0.005)
        return status

    def followed(self) -> "Process":
        """SIGKILL the service, as running out of memory would; returns the service that the same keeper starts."""
        logged = self.log_path.stat().st_size
        if (pid := serving(self.pid)) is not None:
            os.kill(pid, signal.SIGKILL)
        return Process(self._process, self.log_path, logged)

    async def kill(self) -> float:
        """SIGKILL it, with its keeper; returns when, in seconds of ``time.monotonic()``."""
        killed = time.monotonic()
        if self.running:
            os.kill(self.pid, signal.SIGKILL)
        await self.ended()
        return killed

    def logged_at(self, event: str) -> float:
        """When the service's log has its first line of this event; see ``logged_at``. Raises AriagentError without."""
        for line in self.log.splitlines():
            if line.split()[2:3] == [event]:
                return logged_at(line)
        raise AriagentError(f"{self.log_path.stem} has logged no {event}")

    async def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """End it; returns the exit status."""
        if self.running:
            self._process.send_signal(number)
        try:
            return await asyncio.wait_for(self._process.wait(), STOP_LIMIT_S)
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()


def logged_at(line: str) -> float:
    """When a line of a service's log was written, in seconds of ``time.monotonic()``, rounded down to milliseconds."""
    written = datetime.fromisoformat(line.partition(" ")[0]).timestamp()
    return time.monotonic() - (time.time() - written)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, user and system, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


@asynccontextmanager
async def process(
    argv: Sequence[str], log_path: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """Run ``argv`` for the length of the context."""
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with private_log(log_path) as out:
        child = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            start_new_session=True,
        )
    running = Process(child, log_path)
    try:
        yield running
    finally:
        await running.stop()


class Kept:
    """A process that is started again whenever it ends, as systemd would. Made by ``kept``."""

    def __init__(self, argv: Sequence[str], directory: Path, name: str, ready: str) -> None:
        self.starts: list[Process] = []
        """Every process so far; the last one runs, or is about to be followed."""
        self._argv = argv
        self._log_path = directory / name
        self._ready = ready

    async def run(self) -> None:
        """Keep it running until cancelled."""
        while True:
            path = self._log_path.with_name(f"{self._log_path.name}{len(self.starts) + 1}.log")
            async with process(self._argv, path) as running:
                self.starts.append(running)
                await running.ended()
            await asyncio.sleep(RESTART_S)

    async def serving(self, after: int = 0) -> Process:
        """Wait until a process that was started after the first ``after`` says that it is ready; returns it."""
        async with asyncio.timeout(START_LIMIT_S):
            while True:
                for running in self.starts[after:][-1:]:
                    if running.running and self._ready in running.log:
                        return running
                await asyncio.sleep(0.05)

    async def kill(self) -> Process:
        """SIGKILL the service, as running out of memory would; returns the process that serves instead."""
        count = len(self.starts)
        last = self.starts[-1]
        if last.running and serving(last.pid) != last.pid:
            self.starts.append(last.followed())
        else:
            await last.kill()
        return await self.serving(after=count)


@asynccontextmanager
async def kept(argv: Sequence[str], directory: Path, name: str, ready: str = "service.ready") -> AsyncIterator[Kept]:
    """Run ``argv`` and start it again 0.1 s after each end. It is ready when its output holds ``ready``."""
    process = Kept(argv, directory, name, ready)
    task = asyncio.create_task(process.run(), name=f"process of {name}")
    try:
        await process.serving()
        yield process
    finally:
        task.cancel()
        await asyncio.wait([task])


def write_settings(
    asterisk: AsteriskInstance, directory: Path, settings: Mapping[str, object], name: str = "service"
) -> Path:
    """A file of settings of a service on ``asterisk``. ``settings`` are merged over what the lab needs."""
    tree: dict[str, object] = {
        "asterisk": {"url": asterisk.ari_url, "user": asterisk.ari_user, "password": asterisk.ari_password},
        "ami": asterisk.ami,
        "audiosocket": {"port": 0},
        "http": {"port": 0},
        "control": {"port": 0},
        "log": {"transcripts": True},
        "state_directory": str(directory / f"{name}-state"),
        "max_calls": asterisk.seats,
        "caps": NO_CAPS,
        **settings,
    }
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.yaml"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(tree))
    return path


def service_argv(path: Path) -> list[str]:
    """The command that serves with these settings."""
    return [sys.executable, "-m", "ariagent", "run", "-c", str(path)]


@asynccontextmanager
async def service(
    asterisk: AsteriskInstance,
    directory: Path,
    settings: Mapping[str, object],
    name: str = "service",
    variables: Mapping[str, str] | None = None,
) -> AsyncIterator[Process]:
    """``ariagent run`` on ``asterisk``, ready for calls. ``settings`` are merged over what the lab needs.

    ``variables``: of its environment, beside those of this process.
    """
    path = write_settings(asterisk, directory, settings, name)
    async with process(service_argv(path), directory / f"{name}.log", variables) as running:
        for text in READY if settings.get("ami", asterisk.ami) is None else READY_WITH_QUEUES:
            await running.wait_for(text)
        yield running


@asynccontextmanager
async def sandbox(directory: Path, *options: str, name: str = "sandbox") -> AsyncIterator[tuple[Process, str]]:
    """``ariagent sandbox`` with these options, and its URL."""
    argv = [sys.executable, "-m", "ariagent.sandbox", "--port", "0", "--fetch", *options]
    async with process(argv, directory / f"{name}.log", {LAB: str(default_lab_dir())}) as running:
        line = await running.wait_for("sandbox listening on ")
        yield running, line.rpartition(" ")[2]
