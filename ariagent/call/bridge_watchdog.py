"""Watches whether a caller is still heard, for as long as the call goes on."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from ariagent.call.rejoin import Rejoining

ON_THE_WAY_S = 8.0
"""While the call is not in conversation, somebody else looks after it, for about so long."""


async def keep_joined(heard_at: Callable[[], float], rejoin: Callable[[], Awaitable[None]]) -> None:
    """Have a seat's silent leg put into the bridge anew, time and again; see ``rejoin``. Never returns.

    ``heard_at``: when the last frame of the caller's came, in monotonic seconds.
    """
    plan = Rejoining()
    while True:
        now = time.monotonic()
        if now < (due := plan.due(heard_at())):
            await asyncio.sleep(due - now)
            continue
        plan.tried(now)
        await rejoin()


async def nothing_heard(heard_at: Callable[[], float], limit_s: float, talking: Callable[[], bool]) -> None:
    """Returns when nothing came for ``limit_s`` of a caller who is ``talking``: on hold for good, or on a dead line."""
    while True:
        left_s = heard_at() + limit_s - time.monotonic()
        if left_s > 0:
            await asyncio.sleep(left_s)
        elif talking():
            return
        else:
            await asyncio.sleep(ON_THE_WAY_S)
