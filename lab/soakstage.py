"""The stage of a soak: a service and a sandbox as processes of their own on a private Asterisk, and their resources."""

import asyncio
import re
import shlex
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lab import environment
from lab.asterisk import AsteriskInstance
from lab.packages import default_lab_dir, ensure_asterisk

SESSION_MS = 150
"""How long the model takes to open a session."""
SETTLE_LIMIT_S = 60.0
AGENT: dict[str, Any] = {
    "opening": "Good day, this is an opening of some length, so that many hang up in the middle of it.",
    "transcription": None,
    "turn_detection": {"silence_duration_ms": 200},
}
NOISE = np.random.default_rng(1).normal(0, 4000, 8000).clip(-16000, 16000).astype(np.int16)
"""A second of what the callers say, at 8 kHz. No tone: that would be a machine's."""
BAD_EVENTS = ("call.fault", "call.release_failed", "call.return_failed", "call.hangup_failed", "media.endpoint_fault")
SANDBOX = ("--voice", "tone", "--no-recogniser", "--detector", "energy", "--think-ms", "50")


@dataclass(frozen=True, slots=True)
class Reading:
    """The resources that the service reports."""

    rss_mb: float
    open_fds: int
    tasks: int
    active: int


@dataclass(slots=True)
class Report:
    """The findings; ``wrong`` names what is off."""

    lines: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def note(self, name: str, found: object, *, ok: bool, wanted: object = "") -> None:
        mark, wish = ("ok  ", "") if ok else ("OFF ", f" (wanted {wanted})")
        self.lines.append(f"{mark} {name:<52} {found}{wish}")
        if not ok:
            self.wrong.append(name)


class Soak:
    """One service under test."""

    def __init__(self, asterisk: AsteriskInstance, service: environment.Process, state: Path) -> None:
        self.asterisk = asterisk
        self.service = service
        self.state = state
        """The service's state directory."""
        port = re.search(r"service\.starting .*\bhttp_port=(\d+)", service.log)
        assert port is not None
        self._metrics_url = f"http://127.0.0.1:{port[1]}/metrics"

    async def at_rest(self, idle_s: float, like: Reading | None = None) -> Reading:
        """The service's resources ``idle_s`` after the last call; it waits for them to return to ``like``."""
        loop = asyncio.get_running_loop()
        limit = loop.time() + SETTLE_LIMIT_S
        while loop.time() < limit and ((await self.read()).active or await self.left_in_asterisk()):
            await asyncio.sleep(0.1)
        await asyncio.sleep(idle_s)
        reading = await self.read()
        while like is not None and loop.time() < limit and _more(reading, like):
            await asyncio.sleep(1)
            reading = await self.read()
        return reading

    async def read(self) -> Reading:
        """The service's present resources."""
        return await asyncio.to_thread(self._reading)

    async def left_in_asterisk(self) -> list[str]:
        """Channels and bridges, as the console shows them."""
        channels = await self.asterisk.cli("core show channels concise")
        bridges = await self.asterisk.cli("bridge show all")
        return [line for line in (*channels.splitlines(), *bridges.splitlines()) if line and "Bridge-ID" not in line]

    def _reading(self) -> Reading:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(self._metrics_url, timeout=10) as answer:
            text = answer.read().decode()

        def value(name: str) -> float:
            found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
            assert found is not None, name
            return float(found[1])

        return Reading(
            value("process_resident_memory_bytes") / 1e6,
            int(value("process_open_fds")),
            int(value("ariagent_asyncio_tasks")),
            int(value("ariagent_calls_active")),
        )

    def journal_kb(self) -> float:
        """The size of the call records on disk."""
        return sum(path.stat().st_size for path in self.state.rglob("*") if path.is_file()) / 1e3

    def logged(self, event: str) -> list[dict[str, str]]:
        """The fields of the service's log lines of this event."""
        found = []
        for line in self.service.log.splitlines():
            if match := re.match(rf"\S+ [A-Z]+ {re.escape(event)}(?: |$)", line):
                found.append(dict(word.partition("=")[::2] for word in shlex.split(line[match.end() :])))
        return found


def _more(now: Reading, before: Reading) -> bool:
    return now.active > before.active or now.open_fds > before.open_fds or now.tasks > before.tasks


def judge_rest(soak: Soak, before: Reading, after: Reading, left: list[str], ordinary: tuple[str, ...]) -> Report:
    """Each call ended once, with one of the ``ordinary`` results, and nothing is left of any since ``before``."""
    report = Report()
    started = Counter(fields["call"] for fields in soak.logged("call.started"))
    ended = soak.logged("call.ended")
    by_call = Counter(fields["call"] for fields in ended)
    results = Counter(f"{fields['result']}/{fields['reason']}" for fields in ended)
    # One who is gone before we could ask who it is ends without having been told as started.
    odd = sorted(call for call in started | by_call if by_call[call] != (started[call] or 1))
    report.note("calls served (those given up at once may not arrive)", sum(started.values()), ok=bool(started))
    report.note("ends: one for each call", f"{len(ended)}, {dict(results)}", ok=not odd, wanted=f"not {odd[:5]}")
    unwell = [f"{f['reason']}: {f.get('cause', '')}" for f in ended if f["result"] not in ordinary]
    report.note("ends that are no ordinary ones", unwell or "none", ok=not unwell, wanted="none")
    over = {event: len(soak.logged(f"turn.{event}")) for event in ("interrupted", "dismissed")}
    report.note("sounds in the middle of a reply", over, ok=True)
    faults = soak.service.log.count("Traceback") + sum(len(soak.logged(event)) for event in BAD_EVENTS)
    report.note("tracebacks and things not given back in the log", faults, ok=not faults, wanted=0)
    report.note("channels and bridges left in Asterisk", len(left), ok=not left, wanted=0)
    report.note("calls active", after.active, ok=after.active == 0, wanted=0)
    fewest = f"at most {before.tasks}", f"at most {before.open_fds}"
    report.note("asyncio tasks", after.tasks, ok=after.tasks <= before.tasks, wanted=fewest[0])
    report.note("open file descriptors", after.open_fds, ok=after.open_fds <= before.open_fds, wanted=fewest[1])
    return report


@asynccontextmanager
async def stage(directory: Path, agent: dict[str, Any] = AGENT) -> AsyncIterator[Soak]:
    """A fresh service with this agent; its files go to ``directory``."""
    program = ensure_asterisk(default_lab_dir())
    async with AsteriskInstance(program, directory / "asterisk") as asterisk:
        options = (*SANDBOX, "--fault", f"late_created:{SESSION_MS}")
        async with environment.sandbox(directory, *options) as (_, url):
            settings = {
                "realtime": {"url": url, "api_key": "soak"},
                "agents": {"default": agent},
                "max_calls": 100,
                "watchdog": {"lag_ms": 2000},  # a call that a busy machine turns away leaves nothing to judge
            }
            async with environment.service(asterisk, directory, settings) as service:
                await service.wait_for("model.usable")
                yield Soak(asterisk, service, directory / "service-state")


def show(reading: Reading) -> str:
    """The state in one line."""
    return f"{reading.rss_mb:.1f} MB, {reading.open_fds} file descriptors, {reading.tasks} tasks"
