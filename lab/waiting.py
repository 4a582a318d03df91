"""Waiting for what has no event of its own."""

import asyncio
from collections.abc import Callable

LOOK_S = 0.02


async def until(condition: Callable[[], object], what: str = "", *, limit_s: float) -> None:
    """Look until ``condition()`` holds. Raises TimeoutError that says ``what`` was waited for."""
    try:
        async with asyncio.timeout(limit_s):
            while not condition():
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise TimeoutError(f"waited {limit_s:g} s for {what or 'a condition'}") from None
