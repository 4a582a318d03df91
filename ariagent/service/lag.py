"""CORE: the event loop delay, and whether it is too long for more calls.

Every 20 ms each call's next frame is due. If it comes later than Asterisk's jitter buffers allow, the caller hears a
gap. Lags are in seconds; ``now`` is in seconds of a monotonic clock.
"""

import math
from collections import deque

LOOK_S = 0.05
WINDOW_S = 5.0
ENOUGH = 20
"""Fewest samples for a judgement: a process that has just started is late now and then."""


class Lag:
    """Samples of the last five seconds. Overload begins above ``bound_s`` and ends below half of it."""

    def __init__(self, bound_s: float) -> None:
        self._bound_s = bound_s
        self._looks: deque[tuple[float, float]] = deque()
        self.overloaded = False

    def late(self, lag_s: float, now: float) -> bool:
        """Add one sample; returns whether that changed ``overloaded``."""
        self._looks.append((now, lag_s))
        while self._looks[0][0] <= now - WINDOW_S:
            self._looks.popleft()
        before, p95_s = self.overloaded, self.p95_s
        if len(self._looks) >= ENOUGH:
            self.overloaded = p95_s > (self._bound_s / 2 if before else self._bound_s)
        return self.overloaded is not before

    @property
    def p95_s(self) -> float:
        """The 95th percentile of the samples; 0 before the first."""
        if not self._looks:
            return 0.0
        lags = sorted(lag_s for _, lag_s in self._looks)
        return lags[math.ceil(0.95 * len(lags)) - 1]
