"""Host name, port and TLS of a peer, tested one after another, to show which step fails."""

import asyncio
import ipaddress
import os
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from ariagent.hosts import joined
from ariagent.tls import Peer, failure

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class UnreachableError(Exception):
    """Text: the step that failed, with the reason. ``remedy``: what to do, if that is known."""

    def __init__(self, text: str, remedy: str = "") -> None:
        super().__init__(text)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Secured:
    """TLS: the name that the certificate must have, the CAs, and the peer."""

    name: str
    context: ssl.SSLContext
    peer: Peer


@dataclass(frozen=True, slots=True)
class Connected:
    """Duration of each step; ``tls_ms`` is None without TLS."""

    address: str
    connect_ms: float
    tls_ms: float | None

    def __str__(self) -> str:
        tls = "" if self.tls_ms is None else f", TLS in {self.tls_ms:.0f} ms"
        return f"TCP in {self.connect_ms:.0f} ms{tls}"


def reason(error: Exception) -> str:
    """The reason in the system's words, without the calls and addresses that event loops add."""
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror) and error.errno:
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


async def resolve(host: str, limit_s: float) -> list[IpAddress]:
    """The addresses of a host, best first. Raises UnreachableError."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(limit_s):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise UnreachableError(f"the name {host} was not resolved within {limit_s:g} s") from None
    except (OSError, UnicodeError) as error:
        raise UnreachableError(f"the name {host} cannot be resolved: {reason(error)}") from None
    return list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


async def connect(address: str, port: int, tls: Secured | None, limit_s: float) -> Connected:
    """Connect, start TLS unless ``tls`` is None, and close. Raises UnreachableError."""
    where = joined(address, port)
    began = time.monotonic()
    writer: asyncio.StreamWriter | None = None
    step = "connect"
    try:
        async with asyncio.timeout(limit_s):
            _, writer = await asyncio.open_connection(address, port)
            connected = time.monotonic()
            step = "make a TLS connection"
            if tls is not None:
                await writer.start_tls(tls.context, server_hostname=tls.name)
            ready = time.monotonic()
    except TimeoutError:
        raise UnreachableError(f"cannot {step} to {where}: no answer within {limit_s:g} s") from None
    except OSError as error:
        found = failure(error, tls.peer, joined(tls.name, port)) if tls is not None and step != "connect" else None
        if found is not None:
            raise UnreachableError(found.cause, found.remedy) from None
        raise UnreachableError(f"cannot {step} to {where}: {reason(error)}") from None
    finally:
        if writer is not None:
            # Do not wait: a stream that was aborted during the TLS handshake never reports that it is closed.
            writer.transport.abort()
    tls_ms = 1000 * (ready - connected) if tls is not None else None
    return Connected(where, 1000 * (connected - began), tls_ms)


async def connect_any(addresses: list[IpAddress], port: int, tls: Secured | None, limit_s: float) -> Connected:
    """Connect, like ``connect``, to the first address that accepts. If none does, raises the last one's error."""
    for address in addresses[:-1]:
        with suppress(UnreachableError):
            return await connect(str(address), port, tls, limit_s)
    return await connect(str(addresses[-1]), port, tls, limit_s)


async def answers(places: Sequence[tuple[str, int]], limit_s: float = 2.0) -> bool | None:
    """Whether one of the (host, port) accepts a connection; None if ``places`` is empty."""
    for host, port in places:
        with suppress(UnreachableError):
            await connect(host, port, None, limit_s)
            return True
    return False if places else None
