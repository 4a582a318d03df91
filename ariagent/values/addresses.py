"""Where requests may go: hosts by name, and the addresses behind them. No I/O."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_PATTERN = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*\.?")
_NAT64 = IPv6Network("64:ff9b::/96")
_NOT_PUBLIC = tuple(
    map(
        ip_network,
        (
            "168.63.129.16/32",  # public by its number, and yet a service to every Azure machine from its host
            # Not for the Internet, or not any more; Python's versions differ in which of them they know.
            "192.0.0.0/24",
            "192.88.99.0/24",
            "64:ff9b:1::/48",
            "3fff::/20",
            "5f00::/16",
            "fec0::/10",
        ),
    )
)


def host_pattern_problem(pattern: str) -> str | None:
    """The mistake in an entry of ``allowed_hosts``; None: there is none."""
    if is_address(pattern) or _PATTERN.fullmatch(pattern):
        return None
    return "must be a host name, as api.example.com or *.example.com, without scheme, port and path"


def is_address(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def host_allowed(host: str, patterns: Iterable[str]) -> bool:
    """Whether a host is among the allowed ones; ``*.example.com`` stands for everything below it, not for itself."""
    name = _plain(host)
    for pattern in map(_plain, patterns):
        if name == pattern or (pattern.startswith("*.") and name.endswith(pattern[1:]) and name != pattern[1:]):
            return bool(name)
    return False


def address_allowed(address: str, private: Iterable[str]) -> bool:
    """Whether a resolved address may be connected to: a public one, or one of a network in ``private``.

    IPv4 addresses inside IPv6 ones (mapped, 6to4, NAT64) are judged by themselves. Whatever is no address is refused.
    """
    try:
        found = _inner(ip_address(address.partition("%")[0].strip("[]")))
        networks = [ip_network(text) for text in private]
    except ValueError:
        return False
    if any(found in network for network in networks):
        return True
    if found.is_multicast or found.is_reserved or any(found in network for network in _NOT_PUBLIC):
        return False
    return found.is_global


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inside = IPv4Address(int(address) & 0xFFFFFFFF)
        if inside is not None:
            return inside
    return address


def _plain(host: str) -> str:
    return host.lower().strip("[]").rstrip(".")
