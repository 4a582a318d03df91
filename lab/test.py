"""``python -m lab test``: the short tests, in two groups at the same time, and each group's time beside its budget.

The group "calls" holds tests that call through a real Asterisk. They mostly wait, so many run at once. The group
"units" needs only the processor. It runs with a lower priority, in the time that the calls leave.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lab.processes import CHECKOUT

SHORT = "not rehearsal and not chaos and not noise and not sites and not deb and not long"
"""The marker expression of the short tests."""
CALLS = ("tests/integration", "tests/chaos", "tests/soak", "tests/sites", "tests/lab")
MOST_OF_A_MESSAGE = 600
"""Characters of a failure's message in the summary."""
NICE = 10
"""Steps by which the units' priority is lower: the calls get the processor when they need it."""


@dataclass(frozen=True, slots=True)
class Group:
    """Tests that run together."""

    name: str
    workers: int
    budget_s: float
    """Wall time on 2 cores, with nothing else running."""
    paths: tuple[str, ...]
    without: tuple[str, ...] = ()
    nice: int = 0

    def argv(self, rest: Sequence[str]) -> list[str]:
        """The command that runs the group."""
        ignored = [f"--ignore={path}" for path in self.without]
        argv = [sys.executable, "-m", "pytest", "-n", str(self.workers), "--dist", "worksteal", "-m", SHORT]
        return [*argv, "--hypothesis-profile=short", *ignored, f"--junitxml={self.results}", *rest, *self.paths]

    @property
    def results(self) -> Path:
        """The file of the tests' results, in JUnit's format."""
        return CHECKOUT / ".lab" / f"test-{self.name}.xml"


GROUPS = (
    Group("calls", workers=10, budget_s=270, paths=CALLS),
    Group("units", workers=3, budget_s=270, paths=("tests",), without=CALLS, nice=NICE),
)


@dataclass(slots=True)
class Running:
    """A group that was started."""

    group: Group
    process: subprocess.Popen[bytes]
    log: Path | None
    """Its output, if it does not go to the terminal."""
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the groups; 1 if a test failed in one of them."""
    parser = argparse.ArgumentParser(prog="python -m lab test", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=[group.name for group in GROUPS], help="run this group alone")
    parser.add_argument(
        "--calm", action="store_true", help="one group after the other, a test for each processor at a time"
    )
    parser.epilog = "All other options and arguments are pytest's."
    options, rest = parser.parse_known_args(argv)
    chosen = [group for group in GROUPS if options.only in (None, group.name)]
    began = time.monotonic()
    running: list[Running] = []
    try:
        for group in chosen:
            if options.calm:
                _wait(running)
                group = replace(group, workers=max(2, os.cpu_count() or 2))
            running.append(_start(group, rest, shown=options.calm or not running))
        _wait(running)
    except KeyboardInterrupt:
        # The terminal has told the groups too. They end what they started.
        _wait(running)
        return 130
    return _report(running, time.monotonic() - began)


def _start(group: Group, rest: Sequence[str], *, shown: bool) -> Running:
    """Start a group. ``shown``: its output is seen while it runs, not afterwards."""
    group.results.unlink(missing_ok=True)
    if shown:
        return Running(group, subprocess.Popen(group.argv(rest), cwd=CHECKOUT), None)
    log = CHECKOUT / ".lab" / f"test-{group.name}.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as output:
        argv = ["nice", "-n", str(group.nice), *group.argv(rest)]
        process = subprocess.Popen(argv, cwd=CHECKOUT, stdout=output, stderr=subprocess.STDOUT)
    return Running(group, process, log)


def _wait(running: Sequence[Running]) -> None:
    """Wait for all of them."""
    left = {each.process.pid: each for each in running if each.process.returncode is None}
    while left:
        pid, status = os.wait()
        if (each := left.pop(pid, None)) is not None:
            each.process.returncode = os.waitstatus_to_exitcode(status)
            each.seconds = time.monotonic() - each.began


def failures(results: str) -> Iterator[str]:
    """For each test that failed: its name, the line of the test that failed, and why. ``results``: JUnit's XML."""
    for case in ET.fromstring(results).iter("testcase"):
        for fault in (*case.iter("failure"), *case.iter("error")):
            name = f"{case.get('classname')}::{case.get('name')}"
            places = re.findall(r"^(tests/\S+\.py:\d+): ", fault.text or "", re.MULTILINE)
            why = " ".join(fault.get("message", "").split())[:MOST_OF_A_MESSAGE]
            yield f"failed  {name}\n        {', '.join(places[:3])}\n        {why}\n"


def _report(running: Sequence[Running], seconds: float) -> int:
    """Show the output that was kept, and a line for each group; returns the exit code of all."""
    for each in running:
        if each.log is not None:
            sys.stdout.write(f"\n{each.group.name}:\n{each.log.read_text(errors='replace')}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    sys.stdout.write("\n")
    for each in running:
        if each.process.returncode and each.group.results.exists():
            sys.stdout.writelines(failures(each.group.results.read_text()))
    for each in running:
        state = "passed" if each.process.returncode == 0 else "FAILED"
        sys.stdout.write(f"{each.group.name:8} {state:8} {each.seconds:5.0f} s of {each.group.budget_s:.0f} s\n")
    sys.stdout.write(f"together          {seconds:5.0f} s, {used.ru_utime + used.ru_stime:.0f} s of CPU\n")
    sys.stdout.flush()
    return int(any(each.process.returncode for each in running))
