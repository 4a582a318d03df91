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
    found = await startup.measure({"one": CHECKOUT, "same": CHECKOUT}, tmp_path, 1)
    assert {name: len(times) for name, times in found.items()} == {"one": 1, "same": 1}
    assert all(0.05 < cpu < 60 and wall > 0 for times in found.values() for cpu, wall in times)


def test_it_is_a_command_of_the_lab() -> None:
    argv = lab_command("__main__", "startup", "--help")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "--against" in done.stdout) == (0, True), done.stderr
