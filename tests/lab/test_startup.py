"""The CPU time of a start: this checkout against itself."""

import subprocess
from pathlib import Path

import pytest

from lab import startup
from lab.processes import CHECKOUT, lab_command


def test_the_moment_is_when_calls_can_come_in() -> None:
    assert startup._ready(CHECKOUT) == b" service.accepting_calls"


@pytest.mark.long
@pytest.mark.asterisk
async def test_it_starts_each_in_turn(tmp_path: Path) -> None:
    ways = {"keeper": startup.Way(CHECKOUT), "alone": startup.Way(CHECKOUT, ("--no-keeper",))}
    found = await startup.measure(ways, tmp_path, 1)
    assert {name: len(starts) for name, starts in found.items()} == {"keeper": 1, "alone": 1}
    costs = [cost for starts in found.values() for start in starts for cost in (start.first, start.again)]
    assert all(0.01 < cost.cpu_s < 60 and cost.wall_s > 0 for cost in costs)
    assert all(start.pss_mb > 10 for starts in found.values() for start in starts)


def test_it_is_a_command_of_the_lab() -> None:
    argv = lab_command("__main__", "startup", "--help")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "--against" in done.stdout) == (0, True), done.stderr
