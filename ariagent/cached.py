"""CORE: something that takes long to make and is asked for often. ``now``: seconds of a monotonic clock."""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Cached(Generic[T]):
    """Keeps what ``make`` returned for ``for_s`` seconds. The next reader after that has it made again."""

    def __init__(self, make: Callable[[], T], for_s: float) -> None:
        self._make = make
        self._for_s = for_s
        self._kept: tuple[float, T] | None = None

    def get(self, now: float) -> T:
        """Return a value that is not older than ``for_s``. Raises what ``make`` raises."""
        if self._kept is None or now - self._kept[0] >= self._for_s:
            self._kept = now, self._make()
        return self._kept[1]
