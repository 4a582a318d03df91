"""``make soak``: many calls hung up at random moments, and nothing may be left of them.

Real SIP and RTP on a private Asterisk; service and sandbox are processes of their own. The moments are drawn from a
seed: before the answer, at the answer, while the agent speaks, while the caller does, some seconds into the
conversation. The sandbox takes its time over a session, so that the moments before the answer are many.
"""

import argparse
import asyncio
import itertools
import logging
import random
import re
import shlex
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ariagent.lab import bed
from ariagent.lab.asterisk import AsteriskInstance
from ariagent.lab.call_setup import CallRefused
from ariagent.lab.packages import default_lab_dir, ensure_asterisk
from ariagent.lab.phone import Phone

EXTENSIONS = ("7000", "7001")
SESSION_MS = 150
"""How long the model takes to open a session."""
TALK_EVERY_S = 0.8
"""Silence between two sounds of the caller."""
SOUNDS_S = (0.3, 0.9)
"""Their lengths in turn: too short to end a reply that nobody could put into words, and long enough."""
IDLE_S = 12.0
"""After this long without a call most connections that are kept for the next request are closed, too."""
SETTLE_LIMIT_S = 60.0
MAX_GROWTH_MB = 5.0
AGENT = {
    "opening": "Good day, this is an opening of some length, so that many hang up in the middle of it.",
    "transcription": None,
    "turn_detection": {"silence_duration_ms": 200},
}
SANDBOX = ("--voice", "tone", "--no-recogniser", "--detector", "energy", "--think-ms", "50")
BAD_EVENTS = ("call.fault", "call.not_released", "call.not_returned", "call.not_hung_up", "media.endpoint_fault")


@dataclass(frozen=True, slots=True)
class Plan:
    """One caller's life: what is dialled, and how long after dialling it hangs up."""

    extension: str
    hang_up_s: float
    presses: str


def plans(count: int, longest_s: float, seed: int) -> list[Plan]:
    """``count`` callers, the same for the same seed: a third gives up before the answer or at it."""
    dice = random.Random(seed)
    made = []
    for number in range(count):
        early = dice.random() < 1 / 3
        hang_up_s = dice.uniform(0, 2 * SESSION_MS / 1000) if early else dice.uniform(0.3, longest_s)
        presses = dice.choice(("", "", "", "1", "4711#"))
        made.append(Plan(EXTENSIONS[number % len(EXTENSIONS)], hang_up_s, presses))
    return made


@dataclass(frozen=True, slots=True)
class Reading:
    """The service at rest."""

    rss_mb: float
    open_fds: int
    tasks: int
    active: int


@dataclass(slots=True)
class Report:
    """What was found; ``wrong`` names what is off."""

    lines: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def note(self, name: str, found: object, *, ok: bool, wanted: object = "") -> None:
        mark, wish = ("ok  ", "") if ok else ("OFF ", f" (wanted {wanted})")
        self.lines.append(f"{mark} {name:<52} {found}{wish}")
        if not ok:
            self.wrong.append(name)


class Soak:
    """One service under test."""

    def __init__(self, asterisk: AsteriskInstance, service: bed.Process) -> None:
        self.asterisk = asterisk
        self.service = service
        port = re.search(r"service\.starting .*\bhttp_port=(\d+)", service.log)
        assert port is not None
        self._metrics_url = f"http://127.0.0.1:{port[1]}/metrics"

    async def calls(self, planned: list[Plan], at_once: int) -> Counter[str]:
        """Make the calls; how they ended, as the phone saw it."""
        seen: Counter[str] = Counter()
        gate = asyncio.Semaphore(at_once)

        async def one(phone: Phone, plan: Plan) -> None:
            async with gate:
                seen[await _call(phone, plan)] += 1

        async with Phone((self.asterisk.sip_host, self.asterisk.sip_port), user="5551000") as phone:
            await asyncio.gather(*(one(phone, plan) for plan in planned))
        return seen

    async def at_rest(self, idle_s: float, like: Reading | None = None) -> Reading:
        """What the service uses ``idle_s`` after the last call was over, and back to ``like``, if it comes back."""
        loop = asyncio.get_running_loop()
        limit = loop.time() + SETTLE_LIMIT_S
        while loop.time() < limit and ((await self._read()).active or await self.left_in_asterisk()):
            await asyncio.sleep(0.1)
        await asyncio.sleep(idle_s)
        reading = await self._read()
        while like is not None and loop.time() < limit and _more(reading, like):
            await asyncio.sleep(1)
            reading = await self._read()
        return reading

    async def _read(self) -> Reading:
        return await asyncio.to_thread(self._reading)

    async def left_in_asterisk(self) -> list[str]:
        """Channels and bridges, as the console shows them."""
        channels = await self.asterisk.cli("core show channels concise")
        bridges = await self.asterisk.cli("bridge show all")
        return [line for line in (*channels.splitlines(), *bridges.splitlines()) if line and "Bridge-ID" not in line]

    def _reading(self) -> Reading:
        with urllib.request.urlopen(self._metrics_url, timeout=10) as answer:
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

    def logged(self, event: str) -> list[dict[str, str]]:
        """The fields of the service's log lines of this event."""
        found = []
        for line in self.service.log.splitlines():
            if match := re.match(rf"\S+ [A-Z]+ {re.escape(event)}(?: |$)", line):
                found.append(dict(word.partition("=")[::2] for word in shlex.split(line[match.end() :])))
        return found


async def _call(phone: Phone, plan: Plan) -> str:
    """One caller's life; how it went, in a word."""
    call = await phone.dial(plan.extension)
    outcome = "given up before the answer"
    try:
        async with asyncio.timeout(plan.hang_up_s):
            await call.answered(60)
            outcome = "hung up after the answer"
            if plan.presses:
                await call.send_dtmf(plan.presses)
            for seconds in itertools.cycle(SOUNDS_S):
                await asyncio.sleep(TALK_EVERY_S / 2)
                await call.play(_NOISE[: int(8000 * seconds)])
                await asyncio.sleep(TALK_EVERY_S / 2)
    except TimeoutError:
        pass
    except CallRefused as refusal:
        outcome = f"refused with {refusal.status}"
    finally:
        await call.hangup()
    return outcome


_NOISE = np.random.default_rng(1).normal(0, 4000, 8000).clip(-16000, 16000).astype(np.int16)
"""No tone: that would be a machine's."""


def _more(now: Reading, before: Reading) -> bool:
    return now.active > before.active or now.open_fds > before.open_fds or now.tasks > before.tasks


def judge(soak: Soak, before: Reading, after: Reading, left: list[str], expected: int) -> Report:
    """Compare with the reading after the warm-up."""
    report = Report()
    started = Counter(fields["call"] for fields in soak.logged("call.started"))
    ended = soak.logged("call.ended")
    by_call = Counter(fields["call"] for fields in ended)
    results = Counter(f"{fields['result']}/{fields['reason']}" for fields in ended)
    # One who is gone before we could ask who it is ends without having been told as started.
    odd = sorted(call for call in started | by_call if by_call[call] != (started[call] or 1))
    report.note("calls served (those given up at once may not arrive)", sum(started.values()), ok=bool(started))
    report.note("ends: one for each call", f"{len(ended)}, {dict(results)}", ok=not odd, wanted=f"not {odd[:5]}")
    unwell = [f"{f['reason']}: {f.get('cause', '')}" for f in ended if f["result"] != "done"]
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
    growth = after.rss_mb - before.rss_mb
    memory = f"{after.rss_mb:.1f} MB, {growth:+.1f} MB since the warm-up"
    report.note(
        "resident memory",
        memory,
        ok=growth <= MAX_GROWTH_MB,
        wanted=f"at most +{MAX_GROWTH_MB:g} MB in {expected} calls",
    )
    return report


@asynccontextmanager
async def _stage(directory: Path) -> AsyncIterator[Soak]:
    program = ensure_asterisk(default_lab_dir())
    async with AsteriskInstance(program, directory / "asterisk") as asterisk:
        options = (*SANDBOX, "--fault", f"late_created:{SESSION_MS}")
        async with bed.sandbox(directory, *options) as (_, url):
            settings = {"realtime": {"url": url, "api_key": "soak"}, "agents": {"default": AGENT}, "max_calls": 100}
            async with bed.service(asterisk, directory, settings) as service:
                await service.wait_for("model.usable")
                yield Soak(asterisk, service)


async def run(count: int, *, at_once: int, warm_up: int, longest_s: float, seed: int, idle_s: float = IDLE_S) -> Report:
    """``warm_up`` calls, a reading, ``count`` calls, another reading, and what differs."""
    with tempfile.TemporaryDirectory(prefix="ariagent-soak-") as scratch:
        async with _stage(Path(scratch)) as soak:
            await soak.calls(plans(warm_up, longest_s, seed), at_once)
            before = await soak.at_rest(idle_s)
            _say(f"after {warm_up} calls of warm-up: {_show(before)}")
            loop = asyncio.get_running_loop()
            began = loop.time()
            seen = await soak.calls(plans(count, longest_s, seed + 1), at_once)
            _say(f"{count} calls in {loop.time() - began:.0f} s: {dict(seen)}")
            after = await soak.at_rest(idle_s, like=before)
            left = await soak.left_in_asterisk()
            return judge(soak, before, after, left, count)


def _show(reading: Reading) -> str:
    return f"{reading.rss_mb:.1f} MB, {reading.open_fds} file descriptors, {reading.tasks} tasks"


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def main(argv: list[str] | None = None) -> int:
    """Soak; exit code 0 when nothing was left, 1 when anything is off."""
    parser = argparse.ArgumentParser(prog="python -m ariagent.lab soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("count", nargs="?", type=int, default=200, help="calls after the warm-up (200)")
    parser.add_argument("--at-once", type=int, default=20, help="calls at the same time (20)")
    parser.add_argument("--warm-up", type=int, default=40, help="calls before the first reading (40)")
    parser.add_argument("--longest", type=float, default=6.0, metavar="S", help="a call's longest life (6)")
    parser.add_argument("--seed", type=int, default=1, help="another one draws other moments (1)")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING)
    report = asyncio.run(
        run(
            options.count,
            at_once=options.at_once,
            warm_up=options.warm_up,
            longest_s=options.longest,
            seed=options.seed,
        )
    )
    for line in report.lines:
        _say(line)
    _say(f"off: {'; '.join(report.wrong)}" if report.wrong else "nothing was left")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
