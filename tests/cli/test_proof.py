"""Processes of the test call of ``ariagent init`` end with it, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.processes import ProcessRef

LIMIT_S = 30.0
HOLD = """
import signal, sys, time
from pathlib import Path
from ariagent.cli import proof

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background job
with proof._unwound(), proof._folder() as folder:
    words = ("sandbox", "--no-recogniser", "--voice", "tone", "--detector", "energy")
    with proof._process(words, folder / "log", dict(__import__("os").environ)) as process:
        print(process.pid, folder, flush=True)
        time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_behind(number: signal.Signals) -> None:
    """A service with a stand-in for the model would take real calls."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True, env=environment) as holder:
        assert holder.stdout is not None
        pid, folder = holder.stdout.readline().split()
        started = ProcessRef.of(int(pid))
        assert started is not None
        holder.send_signal(number)
        try:
            holder.wait(LIMIT_S)
        finally:
            holder.kill()
        until = time.monotonic() + LIMIT_S
        while started.alive and time.monotonic() < until:
            time.sleep(0.02)
        assert not started.alive
        # Nobody is left who could remove it after SIGKILL.
        assert Path(folder).exists() is (number is signal.SIGKILL)
        if number is signal.SIGKILL:
            (Path(folder) / "log").unlink()
            Path(folder).rmdir()
