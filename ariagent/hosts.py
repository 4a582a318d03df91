"""Addresses of servers on this machine. CORE."""

import ipaddress

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
