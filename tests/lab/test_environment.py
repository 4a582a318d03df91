"""Processes of a private lab, and what their logs say."""

import signal
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ariagent.errors import AriagentError
from lab import environment
from lab.processes import ProcessRef

LINES = """\
2026-11-30T02:00:00.000+00:00 INFO service.ready port=1
2026-11-30T02:00:01.500+00:00 INFO service.accepting_calls calls=0
2026-11-30T02:00:09.000+00:00 INFO service.accepting_calls calls=5
"""


@pytest.fixture
async def logging(tmp_path: Path) -> AsyncIterator[environment.Process]:
    """A process that has logged LINES and continues."""
    script = f"import sys; print({LINES!r}, end='', flush=True); sys.stdin.read(); import time; time.sleep(600)"
    async with environment.process([sys.executable, "-c", script], tmp_path / "log.log") as running:
        await running.wait_for("calls=5")
        yield running


async def test_an_event_is_found_by_its_whole_name_the_first_time(logging: environment.Process) -> None:
    ready, accepting = logging.logged_at("service.ready"), logging.logged_at("service.accepting_calls")
    assert accepting - ready == pytest.approx(1.5, abs=0.2)
    with pytest.raises(AriagentError, match=r"no service\.accepting$"):
        logging.logged_at("service.accepting")


def test_a_lines_time_is_one_of_the_monotonic_clock() -> None:
    before = time.monotonic()
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
    assert before - 0.01 <= environment.logged_at(f"{stamp} INFO x") <= time.monotonic()


async def test_a_process_that_is_killed_has_ended(logging: environment.Process) -> None:
    before = time.monotonic()
    killed = await logging.kill()
    assert before <= killed <= time.monotonic()
    assert not logging.running
    assert await logging.ended() == -signal.SIGKILL
    await logging.kill()  # once more does no harm


KEEPER = """
import os, signal, time
from ariagent.service import keeper
if isinstance(cause := keeper.keep(), str):
    print("ready", cause, flush=True)
    time.sleep(600)
"""


async def test_a_killed_service_is_followed_by_the_next_one_of_its_keeper(tmp_path: Path) -> None:
    async with environment.kept([sys.executable, "-c", KEEPER], tmp_path, "kept", ready="ready") as kept:
        [first] = kept.starts
        assert first.service_pid != first.pid
        before = first.service_pid
        following = await kept.kill()
        assert following.pid == first.pid
        assert following.service_pid == first.service_pid != before
        assert following.log == "ready killed by SIGKILL\n"
        # Killed with its keeper, both have ended, and another process takes their place.
        service = ProcessRef.of(following.service_pid)
        assert service is not None
        await following.kill()
        assert not service.alive
        assert (await kept.serving(after=2)).pid != first.pid
