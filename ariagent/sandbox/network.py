"""The network between client and sandbox: everything arrives late by the same time, and in its order (CORE)."""

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Way(Generic[T]):
    """One direction. What is sent arrives ``delay_s`` later; times in seconds are arguments."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._under_way: deque[tuple[float, T]] = deque()

    def send(self, message: T, now: float) -> None:
        """A message leaves."""
        self._under_way.append((now + self._delay_s, message))

    def arrived(self, now: float) -> Iterator[T]:
        """Take the messages that have arrived, in their order."""
        while self._under_way and self._under_way[0][0] <= now:
            yield self._under_way.popleft()[1]

    def next_arrival(self) -> float | None:
        """When the next message arrives; ``None`` if none is under way."""
        return self._under_way[0][0] if self._under_way else None
