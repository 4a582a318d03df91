"""The event loop of the service."""

import asyncio
import subprocess
import sys
import threading

import pytest

from ariagent.loop import run_async

LIMIT_S = 60.0
BLOCKED = """
import asyncio, threading
from ariagent.loop import end_process_if_blocked, run_async

async def call():
    work = asyncio.ensure_future(asyncio.to_thread({work}))
    await asyncio.sleep(0.1)
    work.cancel()

run_async(call())
end_process_if_blocked(3)
"""


def test_many_can_wait_in_threads_at_once() -> None:
    """Python tools of a site do this; names of other calls' tools are looked up there, too."""
    together = threading.Barrier(40)

    async def wait() -> None:
        await asyncio.gather(*(asyncio.to_thread(together.wait, 30) for _ in range(40)))

    run_async(wait())


SWALLOWS = """
import asyncio
from ariagent.loop import end_process_if_blocked, run_async

async def tool():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

async def call():
    global running
    running = asyncio.ensure_future(tool())
    await asyncio.sleep(0)

run_async(call())
end_process_if_blocked(3)
"""


def test_a_tool_that_swallows_its_cancellation_does_not_keep_the_process() -> None:
    ended = subprocess.run([sys.executable, "-c", SWALLOWS], timeout=LIMIT_S, check=False)
    assert ended.returncode == 3


@pytest.mark.parametrize(("work", "code"), [("threading.Event().wait", 3), ("threading.Lock", 0)])
def test_a_thread_that_a_tool_has_blocked_does_not_keep_the_process(work: str, code: int) -> None:
    ended = subprocess.run([sys.executable, "-c", BLOCKED.format(work=work)], timeout=LIMIT_S, check=False)
    assert ended.returncode == code
