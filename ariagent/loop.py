"""Runs a coroutine on the event loop that the service uses."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")

THREADS = 128
"""Threads for files, names that are looked up, and what a site's Python tools give to ``asyncio.to_thread``. asyncio's
default has six on two processors: two calls with slow tools would keep all others waiting. A thread is made when it is
needed."""


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` to its end on a new loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.get_loop().set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="work"))
        return runner.run(work)
