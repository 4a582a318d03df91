"""The event loop of the service."""

import asyncio
import threading

from ariagent.loop import run_async


def test_many_can_wait_in_threads_at_once() -> None:
    """Python tools of a site do this; names of other calls' tools are looked up there, too."""
    together = threading.Barrier(40)

    async def wait() -> None:
        await asyncio.gather(*(asyncio.to_thread(together.wait, 30) for _ in range(40)))

    run_async(wait())
