"""Ports and folders of this machine, which a service must have before it can begin."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ariagent.errors import ResourceError

log = logging.getLogger(__name__)

PAUSES_S = (0.5, 1.0, 2.0, 3.0, 4.0)
"""Seconds before each further attempt to get a resource: a process before this one may still have it, or a disk may not
be there yet. After the last one it is given up. Ten seconds in all, so that a service that is started again and again
does not take a whole processor."""


async def having(start: Callable[[], Awaitable[None]]) -> None:
    """Do ``start``, again while something cannot be had. Raises ResourceError when that lasts."""
    for pause_s in (*PAUSES_S, None):
        try:
            await start()
        except ResourceError as error:
            if pause_s is None:
                raise
            log.error("service.not_started", extra={"fields": {"cause": error.line, "again_s": pause_s}})
            await asyncio.sleep(pause_s)
        else:
            return
