"""Whether and when to try again after a session with the model was lost in the middle of a call. CORE."""

from ariagent.realtime.events import Fault

PAUSES_S = (0.0, 0.25, 0.5, 1.0)
"""Seconds before each attempt; the last value repeats. The first is made at once: most losses are of one connection
only."""
HOPELESS = (Fault.CREDENTIALS, Fault.REQUEST)
"""Faults after which another try is refused, too."""
ONCE = (Fault.SILENT, Fault.FLOOD)
"""A caller waits in silence for the first to be noticed, and the second takes time from other calls: that may happen
once again at most, wherever the new session is."""
FLOOD_AGAIN_S = 60.0
"""A session that floods so soon after another did is the last one, even if it completed responses."""
MOST_LOSSES = 3
"""Give up after more than this many consecutive sessions were lost without completing a response."""


class Recovery:
    """The attempts to recover one call's session, and their time limit. Times are monotonic seconds.

    It is ``within_s`` without a session, and starts over when one has proved that it works: a response of it was
    completed, or nobody asked it anything, and it stood for longer than a stall takes to be noticed
    (``proven_after_s``).
    """

    def __init__(self, within_s: float, proven_after_s: float) -> None:
        self._within_s = within_s
        self._proven_after_s = proven_after_s
        self._proven = True
        self._failed_once = False  # an attempt failed in one of those ways since the last proven session
        self._flooded_at = float("-inf")
        self._until = self._stands_since = 0.0
        self._losses = self._attempts = 0

    def proved(self) -> None:
        """The session in use does what it is for."""
        self._proven = True

    def stands(self, now: float) -> None:
        """There is a session that can be used."""
        self._stands_since = now

    def lost(self, fault: Fault, now: float) -> None:
        """The session in use is lost."""
        stood_s = now - self._stands_since
        if self._proven or stood_s > self._proven_after_s:
            self._until, self._losses, self._failed_once = now + self._within_s, 0, False
        else:
            self._until += stood_s
        if fault in ONCE:
            self._losses = MOST_LOSSES if self._failed_once else self._losses
            self._failed_once = True
        if fault is Fault.FLOOD:
            self._losses = MOST_LOSSES if now - self._flooded_at < FLOOD_AGAIN_S else self._losses
            self._flooded_at = now
        self._proven = False
        self._losses += 1
        self._attempts = 0

    def left_s(self, now: float) -> float:
        """Seconds that are left until recovery is given up."""
        return max(0.0, self._until - now)

    def next_attempt(self, fault: Fault, now: float, *, elsewhere: bool = False) -> float | None:
        """When to try again after a failure of this kind; ``elsewhere``: where nothing was tried yet. None: give up."""
        at = now + (0.0 if elsewhere else PAUSES_S[min(self._attempts, len(PAUSES_S) - 1)])
        self._attempts += 1
        if fault in ONCE and self._attempts > 1:
            return None
        # A second attempt is no use where the first was refused; but a session that ran was not refused.
        hopeless = fault in HOPELESS and self._attempts > 1 and not elsewhere
        if hopeless or self._losses > MOST_LOSSES or at >= self._until:
            return None
        return at
