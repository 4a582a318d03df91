"""CORE: how many of many alike log lines are written. ``now``: seconds of a monotonic clock."""

LINES_PER_S = 10
"""Lines that are written one by one; more of them are only counted, for writing them takes time from the calls."""


class LineBudget:
    """Says which of many alike log lines are written."""

    def __init__(self, per_s: int = LINES_PER_S) -> None:
        self._per_s = per_s
        self._second = float("-inf")
        self._written = 0
        self._left_out = 0

    def take(self, now: float) -> int | None:
        """How many were left out since the last line that was written; None: this one is left out too."""
        if now - self._second >= 1.0:
            self._second, self._written = now, 0
        if self._written >= self._per_s:
            self._left_out += 1
            return None
        self._written += 1
        left_out, self._left_out = self._left_out, 0
        return left_out
