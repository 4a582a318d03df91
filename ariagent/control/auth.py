"""CORE: who may do what with the control API, and how guessing is slowed down.

A right token always passes. Else anybody who shares an address with a supervisor could lock that supervisor out: other
users of the machine, and everybody behind one proxy.

``now``: seconds of a monotonic clock.
"""

import hashlib
import hmac
import ipaddress
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

FREE_FAILURES = 5
"""Wrong tokens of one address that have no consequence."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
"""Seconds to wait after the next wrong token, and at most; each wrong token doubles the wait."""
FORGOTTEN_S = 600.0
"""Seconds without a wrong token after which an address is forgotten."""
MOST_ADDRESSES = 1024
"""Remembered; the one that failed longest ago is forgotten for a new one."""
MOST_HOPS = 32
"""Proxies one behind another that are believed."""
LONGEST_ADDRESS = 64
"""Characters of an address that is none."""


class Role(IntEnum):
    """Each may do what the ones before it may."""

    VIEWER = 1
    SUPERVISOR = 2
    ADMIN = 3

    @classmethod
    def named(cls, name: str) -> "Role":
        return cls[name.upper()]


@dataclass(frozen=True, slots=True)
class Grant:
    """One token's rights. The token itself is not kept."""

    name: str
    role: Role
    digest: bytes
    """SHA-256 of the token."""


def digest_of(token: str) -> bytes:
    """SHA-256. Header values may hold bytes that are no UTF-8, which Python keeps as surrogates."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def bearer(header: str | None) -> str | None:
    """The token of an ``Authorization`` header (RFC 6750 section 2.1); None: there is none."""
    scheme, _, token = (header or "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


class Keyring:
    """All tokens there are."""

    def __init__(self, grants: Iterable[Grant]) -> None:
        self._grants = tuple(grants)

    def find(self, token: str) -> Grant | None:
        """Return the owner of a token. A wrong token takes as long as a right one."""
        digest, found = digest_of(token), None
        for grant in self._grants:
            if hmac.compare_digest(grant.digest, digest):
                found = grant
        return found


@dataclass(slots=True)
class _Failures:
    count: int
    last: float
    until: float
    """The time until which a wrong token of the address is answered as too early."""


class Throttle:
    """Wrong tokens by address."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        """The address that failed last is the last one."""

    def __len__(self) -> int:
        return len(self._failures)

    def wait_s(self, address: str, now: float) -> float:
        """How long this address has to wait yet; 0: not at all."""
        known = self._failures.get(network_of(address))
        return 0.0 if known is None else max(0.0, known.until - now)

    def failed(self, address: str, now: float) -> None:
        """A wrong token came from there."""
        self._forget(now)
        key = network_of(address)
        known = self._failures.pop(key, None) or _Failures(0, now, now)
        known.count += 1
        known.last = now
        if (over := known.count - FREE_FAILURES) >= 0:
            known.until = now + min(FIRST_WAIT_S * 2.0 ** min(over, 30), LONGEST_WAIT_S)
        self._failures[key] = known
        if len(self._failures) > MOST_ADDRESSES:
            self._failures.popitem(last=False)

    def _forget(self, now: float) -> None:
        while self._failures:
            key, oldest = next(iter(self._failures.items()))
            if now - oldest.last < FORGOTTEN_S:
                return
            del self._failures[key]


@dataclass(frozen=True, slots=True)
class Denied:
    """The reason of a refusal."""

    address: str
    """Where the request came from."""
    wrong: bool
    """There was a token, and nobody has it."""
    wait_s: float = 0.0
    """How long this address has to wait until a wrong token is looked at again."""


class Gate:
    """Decides on requests. ``trusted_proxies``: networks of proxies that say truly whom they ask for."""

    def __init__(self, grants: Iterable[Grant], trusted_proxies: Iterable[str] = ()) -> None:
        self._keyring = Keyring(grants)
        self._throttle = Throttle()
        self._trusted = [ipaddress.ip_network(network) for network in trusted_proxies]

    def judge(self, peer: str, forwarded: Sequence[str], authorization: str | None, now: float) -> Grant | Denied:
        """``peer``: the address of the connection. The others are headers: every ``X-Forwarded-For`` in their order,
        and ``Authorization``."""
        address = client_of(peer, forwarded, self._trusted)
        token = bearer(authorization)
        if token is None:
            return Denied(address, wrong=False)
        if (found := self._keyring.find(token)) is not None:
            return found
        wait_s = self._throttle.wait_s(address, now)
        if wait_s <= 0:
            self._throttle.failed(address, now)
        return Denied(address, wrong=True, wait_s=wait_s)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_of(peer: str, forwarded: Sequence[str], trusted: Iterable[Network]) -> str:
    """The client's address: ``peer``, or what trusted proxies say.

    Each proxy adds the address of the one who asked it at the right end of ``X-Forwarded-For``. The first address that
    is not trusted may have invented everything to its left.
    """
    networks = tuple(trusted)
    hops = [hop for header in forwarded for hop in header.split(",")][-MOST_HOPS:]
    client = peer
    while hops and any(_is_in(client, network) for network in networks):
        said = _without_port(hops.pop().strip())
        if _ip(said) is None:
            break
        client = said
    return client


def _without_port(hop: str) -> str:
    """Remove the port that some proxies add: ``192.0.2.1:4711``, ``[2001:db8::1]:4711``."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return (ip.ipv4_mapped or ip) if isinstance(ip, ipaddress.IPv6Address) else ip


def _is_in(address: str, network: Network) -> bool:
    ip = _ip(address)
    return ip is not None and ip in network


def network_of(address: str) -> str:
    """The network that counts as one address: for IPv6 its /64, all of which one machine may have; this machine's own
    addresses together, for every program here may use each of them."""
    ip = _ip(address)
    if ip is None:
        return address[:LONGEST_ADDRESS]
    if ip.is_loopback:
        return "loopback"
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
