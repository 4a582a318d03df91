"""Whether a server is reached through the proxy of the environment: never one on this machine."""

import asyncio
import socket
from urllib.request import getproxies

from ariagent.hosts import is_loopback, local

LOOKED_UP_S = 1.0
"""How long a name is looked up. Behind a proxy there may be no DNS for names outside, and calls wait for this."""

_own: dict[str, bool] = {}
"""Whether a name of the settings is this machine, by name. The answer is kept, because it does not change."""


async def uses_proxy(host: str) -> bool:
    """Whether the environment's proxy, if there is one, is for ``host``: not if the name stands for this machine."""
    if is_loopback(local(host)):
        return False
    if not getproxies():
        return True
    if host not in _own:
        _own[host] = await _stands_for_this_machine(host)
    return not _own[host]


async def _stands_for_this_machine(host: str) -> bool:
    try:
        async with asyncio.timeout(LOOKED_UP_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (TimeoutError, OSError, UnicodeError):
        return False
    return bool(found) and all(is_loopback(local(str(address[0]))) for *_, address in found)
