"""Whether and when to try again after a session with the model was lost in the middle of a call. CORE."""

from ariagent.realtime.events import Fault

PAUSES_S = (0.0, 0.25, 0.5, 1.0)
"""Before each attempt; the last one goes on. The first is made at once: most losses are of one connection only."""
HOPELESS = (Fault.CREDENTIALS, Fault.REQUEST)
"""What is refused for its content is refused again."""
ONCE = Fault.SILENT
"""A caller waits in silence for this to be noticed, and does so once again at most, wherever the new session is."""


class Recovery:
    """One outage, from ``began`` on (monotonic seconds)."""

    def __init__(self, within_s: float, began: float) -> None:
        """``within_s``: how long a caller is kept waiting for a new session."""
        self._until = began + within_s
        self._attempts = 0

    def left_s(self, now: float) -> float:
        """What is left of the caller's patience."""
        return max(0.0, self._until - now)

    def next_attempt(self, fault: Fault, now: float, *, elsewhere: bool = False) -> float | None:
        """When to try again after a failure of this kind; ``elsewhere``: where nothing was tried yet. None: give up."""
        at = now + (0.0 if elsewhere else PAUSES_S[min(self._attempts, len(PAUSES_S) - 1)])
        self._attempts += 1
        if fault is ONCE and self._attempts > 1:
            return None
        # A second attempt is no use where the first was refused; but a session that ran was not refused.
        if (fault in HOPELESS and self._attempts > 1 and not elsewhere) or at >= self._until:
            return None
        return at
