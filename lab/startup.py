"""``python -m lab startup``: what ``ariagent run`` costs until calls can come in, beside an earlier commit.

A start is nearly all imports. After a crash it is silence for the callers. So each service is then killed (SIGKILL).
Its keeper starts it again; a service without a keeper is started again as systemd does.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from lab import environment
from lab.asterisk import AsteriskInstance
from lab.packages import default_lab_dir, ensure_asterisk
from lab.processes import CHECKOUT, serving

SANDBOX = ("--detector", "none", "--no-recogniser", "--voice", "tone", "--no-prewarm")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if the start costs more than the wanted share of the earlier commit's."""
    parser = argparse.ArgumentParser(prog="python -m lab startup", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--against", metavar="COMMIT", default="ed66ee3", help="the commit to compare with")
    parser.add_argument(
        "--share", type=float, default=0.5, help="the most that a start after a crash may need of its CPU time"
    )
    parser.add_argument("--starts", type=int, default=7, help="starts of each, one after the other")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="ariagent-startup-") as folder:
        earlier = Path(folder) / "earlier"
        archive = subprocess.run(["git", "archive", options.against], cwd=CHECKOUT, capture_output=True, check=True)
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(earlier, filter="data")
        ways = {
            options.against: Way(earlier),
            "now, --no-keeper": Way(CHECKOUT, ("--no-keeper",)),
            "now": Way(CHECKOUT),
        }
        found = asyncio.run(measure(ways, Path(folder), options.starts))
    before = found[options.against]
    for name, starts in found.items():
        for what in ("first", "again"):
            cpu, wall = (_median(starts, what, each) for each in ("cpu_s", "wall_s"))
            share = cpu / _median(before, what, "cpu_s")
            sys.stdout.write(
                f"{name:18}{what:6} {cpu:.2f} s of CPU ({share:.0%}), calls after {wall:.2f} s (of {len(starts)})\n"
            )
        sys.stdout.write(f"{name:18}memory {statistics.median(each.pss_mb for each in starts):.0f} MB (PSS)\n")
    share = _median(found["now"], "again", "cpu_s") / _median(before, "again", "cpu_s")
    sys.stdout.write(f"a start after a crash is {share:.0%} of {options.against}'s; {options.share:.0%} are wanted\n")
    return int(share > options.share)


@dataclass(frozen=True, slots=True)
class Way:
    """A way to run the service."""

    checkout: Path
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cost:
    """Until calls can come in, of all processes."""

    cpu_s: float
    wall_s: float


@dataclass(frozen=True, slots=True)
class Starts:
    """The first start, and the one after SIGKILL."""

    first: Cost
    again: Cost
    pss_mb: float
    """Memory of all processes after it; what they share counts once."""


def _median(starts: Sequence[Starts], what: str, figure: str) -> float:
    """The median of a ``figure`` (``cpu_s`` or ``wall_s``) of ``what`` (``first`` or ``again``)."""
    return float(statistics.median(getattr(getattr(each, what), figure) for each in starts))


async def measure(ways: dict[str, Way], folder: Path, starts: int) -> dict[str, list[Starts]]:
    """The starts of each. They take turns, with one Asterisk and one sandbox."""
    found: dict[str, list[Starts]] = {name: [] for name in ways}
    program = ensure_asterisk(default_lab_dir())
    async with (
        AsteriskInstance(program, folder / "asterisk") as asterisk,
        environment.sandbox(folder, *SANDBOX) as (_, url),
    ):
        for number in range(-1, starts):  # the first of each only compiles
            for name, way in ways.items():
                settings = _settings(asterisk, folder, url, f"{name}-{number}")
                one = await _start(way, settings)
                if number >= 0:
                    found[name].append(one)
    return found


def _settings(asterisk: AsteriskInstance, folder: Path, url: str, name: str) -> Path:
    """Only what every version knows."""
    tree = {
        "asterisk": {"url": asterisk.ari_url, "user": asterisk.ari_user, "password": asterisk.ari_password},
        "ami": asterisk.ami,
        "audiosocket": {"port": 0},
        "http": {"port": 0},
        "realtime": {"url": url, "api_key": "test"},
        "state_directory": str(folder / f"{name}-state"),
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(tree))
    path.chmod(0o600)
    return path


def _ready(checkout: Path) -> bytes:
    """The event of a service once calls can come in; ``service.ready`` is later today."""
    told = any("service.accepting_calls" in path.read_text() for path in (checkout / "ariagent").rglob("service.py"))
    return b" service.accepting_calls" if told else b" service.ready"


async def _start(way: Way, settings: Path) -> Starts:
    argv = [sys.executable, "-m", "ariagent", "run", *way.words, "-c", str(settings)]
    environ = {**os.environ, "PYTHONPATH": str(way.checkout)}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled once, as an installation is
    ready = _ready(way.checkout)
    with tempfile.NamedTemporaryFile() as log:

        async def started() -> asyncio.subprocess.Process:
            return await asyncio.create_subprocess_exec(*argv, cwd="/", env=environ, stdout=log, stderr=log)

        async def cost(child: asyncio.subprocess.Process, began: float, count: int) -> Cost:
            async with asyncio.timeout(environment.START_LIMIT_S):
                while Path(log.name).read_bytes().count(ready) < count:
                    if child.returncode is not None:
                        raise RuntimeError(f"the service ended: {Path(log.name).read_text()[-2000:]}")
                    await asyncio.sleep(0.002)
            wall_s = time.monotonic() - began
            return Cost(sum(environment.cpu_seconds(pid) for pid in _pids(child.pid)), wall_s)

        began = time.monotonic()
        child = await started()
        try:
            first = await cost(child, began, 1)
            killed, (service, *keeper) = time.monotonic(), _pids(child.pid)
            used = sum(map(environment.cpu_seconds, keeper))
            os.kill(service, signal.SIGKILL)
            if not keeper:
                await child.wait()
                await asyncio.sleep(environment.RESTART_S)
                child = await started()
            again = await cost(child, killed, 2)
            return Starts(first, replace(again, cpu_s=again.cpu_s - used), sum(map(_pss_mb, _pids(child.pid))))
        finally:
            if child.returncode is None:
                child.terminate()
            await child.wait()


def _pids(pid: int) -> list[int]:
    """The service, then its keeper if it has one."""
    service = serving(pid)
    return [service, pid] if service not in (None, pid) else [pid]


def _pss_mb(pid: int) -> float:
    [line] = [line for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:")]
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    sys.exit(main())
