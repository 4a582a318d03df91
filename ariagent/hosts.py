"""Addresses of servers on this machine. CORE."""

import ipaddress
from collections.abc import Iterable, Sequence

_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def local(host: str) -> str:
    """Where this machine reaches a server that listens on ``host``, which may stand for all addresses."""
    return _EVERYWHERE.get(host, host)


def joined(host: str, port: int) -> str:
    """``host:port``, as URLs and Asterisk write it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether ``host`` (a name or an address, as URLs hold it) is this machine. No name is looked up."""
    name = host.strip("[]").partition("%")[0]
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        # RFC 6761, section 6.3: so do all names below localhost.
        return f".{host.rstrip('.').lower()}".endswith(".localhost")
    inside = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (inside or address).is_loopback


def named_in(header: str) -> str:
    """The name or address in a ``Host`` header, in lower case, without port and brackets; "" if it holds none."""
    host = header.strip().lower()
    if host.startswith("["):
        host, closed, port = host[1:].partition("]")
        port = port.removeprefix(":") if closed else "?"
    else:
        host, _, port = host.partition(":")
    return host.rstrip(".") if not port or (port.isascii() and port.isdecimal()) else ""


class HostNames:
    """The names under which a server answers that listens on loopback.

    A web page of a foreign name that was made to point to this machine (DNS rebinding) sends that name.
    """

    def __init__(self, bound: str, others: Iterable[str] = ()) -> None:
        self._any = not is_loopback(bound)
        self._names = {name.lower().rstrip(".") for name in (bound, *others)}

    def permit(self, headers: Sequence[str]) -> bool:
        """Whether a request with these ``Host`` headers is answered. Browsers send one; some programs send none."""
        if self._any or not headers:
            return True
        named = [named_in(header) for header in headers]
        return all(name and (is_loopback(name) or name in self._names) for name in named)
