"""CORE: connections that have not said yet which call they are for.

Asterisk says so within a millisecond or two of connecting. Whoever stays silent longer is none, or is in trouble: where
places are scarce, the one that has been silent for longest gives way to the newcomer, so that a crowd of strangers
costs no call its audio.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Waiting(Generic[T]):
    """The connections that have not said which call they belong to, by address, the longest wait first; at most
    ``most`` of one address."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._by_address: dict[str, dict[T, None]] = {}
        self._all: dict[T, str] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[T]:
        return iter(self._all)

    def add(self, stranger: T, address: str) -> T | None:
        """One more waits; returns who has to give way to it, if there are too many of that address."""
        here = self._by_address.setdefault(address, {})
        here[stranger] = None
        self._all[stranger] = address
        return next(iter(here)) if len(here) > self.most else None

    def remove(self, stranger: T) -> None:
        """Remove a connection that waits no longer, if it is there."""
        address = self._all.pop(stranger, None)
        if address is None:
            return
        here = self._by_address[address]
        del here[stranger]
        if not here:
            del self._by_address[address]

    def longest(self) -> T | None:
        """The connection that has waited for longest, of any address."""
        return next(iter(self._all), None)
