"""Addresses of servers on this machine. CORE."""

_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def local(host: str) -> str:
    """Where this machine reaches a server that listens on ``host``, which may stand for all addresses."""
    return _EVERYWHERE.get(host, host)


def joined(host: str, port: int) -> str:
    """``host:port``, as URLs and Asterisk write it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
