"""Runs a coroutine on the event loop that the service uses."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")

THREADS = 128
"""Threads for files, names that are looked up, and what a site's Python tools give to ``asyncio.to_thread``. asyncio's
default has six on two processors: two calls with slow tools would keep all others waiting. A thread is made when it is
needed."""
LAST_WORK_S = 1.0
"""Time that tasks, and then threads, get to end their work after everything else has ended."""


class _Threads(ThreadPoolExecutor):
    """Threads that are not waited for without end: a call of a site's tool may block one for hours."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=cancel_futures)
        until = time.monotonic() + (LAST_WORK_S if wait else 0.0)
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    @property
    def at_work(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)


_threads: list[_Threads] = []
_unending: list[asyncio.AbstractEventLoop] = []
"""Loops with a task that swallows its cancellation, as a site's tool may."""


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` to its end on a new loop."""
    threads = _Threads(THREADS, thread_name_prefix="work")
    _threads.append(threads)
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    loop = runner.get_loop()
    loop.set_default_executor(threads)
    try:
        return runner.run(work)
    finally:
        if _all_end(loop):
            runner.close()
        else:  # which would wait for the tasks without end
            _unending.append(loop)
            threads.shutdown()


def _all_end(loop: asyncio.AbstractEventLoop) -> bool:
    """Cancel the tasks that are left; returns whether they ended."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    return not tasks or not loop.run_until_complete(asyncio.wait(tasks, timeout=LAST_WORK_S))[1]


def end_process_if_blocked(code: int) -> None:
    """End the process with this exit code if a task or thread of ``run_async`` is still at work: Python would wait for
    the thread."""
    if _unending or any(threads.at_work for threads in _threads):
        logging.getLogger(__name__).warning("service.thread_blocked")
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
