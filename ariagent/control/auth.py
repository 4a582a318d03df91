"""CORE: who may do what with the control API, and how guessing is slowed down.

``now``: seconds of a monotonic clock.
"""

import hashlib
import hmac
import ipaddress
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

FREE_FAILURES = 5
"""So many wrong tokens of one address cost nothing."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
"""After these each wrong one doubles the wait."""
FORGOTTEN_S = 600.0
"""After this long without a wrong token."""
MOST_ADDRESSES = 1024
"""Remembered; the one that failed longest ago is forgotten for a new one."""


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
    local: bool = False
    """Made by the service for its own machine: too long to be guessed, so others' wrong tokens do not slow it down."""


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
        """Whose token this is. Takes as long for a wrong one as for a right one."""
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
    """Before this nothing of the address is looked at."""


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


def network_of(address: str) -> str:
    """What counts as one address: for IPv6 its /64, all of which one machine may have."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
