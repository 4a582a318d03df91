"""``python -m lab startup``: what ``ariagent run`` costs until calls can come in, beside an earlier commit.

A start is nearly all imports. After a crash it is silence for the callers.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from lab import environment
from lab.asterisk import AsteriskInstance
from lab.packages import default_lab_dir, ensure_asterisk
from lab.processes import CHECKOUT

SANDBOX = ("--detector", "none", "--no-recogniser", "--voice", "tone", "--no-prewarm")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if the start costs more than the wanted share of the earlier commit's."""
    parser = argparse.ArgumentParser(prog="python -m lab startup", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--against", metavar="COMMIT", default="ed66ee3", help="the commit to compare with")
    parser.add_argument("--share", type=float, default=0.5, help="the most that may be needed of its CPU time")
    parser.add_argument("--starts", type=int, default=7, help="starts of each, one after the other")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="ariagent-startup-") as folder:
        earlier = Path(folder) / "earlier"
        archive = subprocess.run(["git", "archive", options.against], cwd=CHECKOUT, capture_output=True, check=True)
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(earlier, filter="data")
        found = asyncio.run(measure({options.against: earlier, "now": CHECKOUT}, Path(folder), options.starts))
    for name, times in found.items():
        cpu, wall = (statistics.median(each) for each in zip(*times, strict=True))
        sys.stdout.write(f"{name:10} {cpu:.2f} s of CPU, ready after {wall:.2f} s (medians of {len(times)})\n")
    before, now = (statistics.median(cpu for cpu, _ in found[name]) for name in (options.against, "now"))
    sys.stdout.write(f"now is {now / before:.0%} of {options.against}; {options.share:.0%} are wanted\n")
    return int(now > options.share * before)


async def measure(checkouts: dict[str, Path], folder: Path, starts: int) -> dict[str, list[tuple[float, float]]]:
    """CPU seconds and seconds of each start, by checkout. They take turns, with one Asterisk and one sandbox."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in checkouts}
    program = ensure_asterisk(default_lab_dir())
    async with (
        AsteriskInstance(program, folder / "asterisk") as asterisk,
        environment.sandbox(folder, *SANDBOX) as (_, url),
    ):
        for number in range(-1, starts):  # the first of each only compiles
            for name, checkout in checkouts.items():
                settings = _settings(asterisk, folder, url, f"{name}-{number}")
                one = await _start(checkout, settings)
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


async def _start(checkout: Path, settings: Path) -> tuple[float, float]:
    argv = [sys.executable, "-m", "ariagent", "run", "-c", str(settings)]
    environ = {**os.environ, "PYTHONPATH": str(checkout)}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled once, as an installation is
    loop, ready = asyncio.get_running_loop(), _ready(checkout)
    began = loop.time()
    with tempfile.NamedTemporaryFile() as log:
        child = await asyncio.create_subprocess_exec(*argv, cwd="/", env=environ, stdout=log, stderr=log)
        try:
            async with asyncio.timeout(environment.START_LIMIT_S):
                while ready not in Path(log.name).read_bytes():
                    if child.returncode is not None:
                        raise RuntimeError(f"the service ended: {Path(log.name).read_text()[-2000:]}")
                    await asyncio.sleep(0.005)
            return environment.cpu_seconds(child.pid), loop.time() - began
        finally:
            if child.returncode is None:
                child.terminate()
            await child.wait()


if __name__ == "__main__":
    sys.exit(main())
