"""Watches whether a caller is still heard. CORE: times are monotonic seconds.

Asterisk 22.10.1 at times stops passing a caller's audio on from one half of a seat's Local channel to the other: after
an attended transfer into the queue, and after hold music was played on the first half. The remedy is to add the second
half to its bridge once more, though it is in it already. No event tells of either, so the sign is that nothing comes
any more. A phone that is muted looks the same; adding it again costs one frame in every twenty or so times.
"""

from enum import Enum

FIRST_S = 0.4
"""Seconds from the last frame to the first attempt; each pause after it is twice as long."""
LONGEST_S = 2.0
"""The longest pause: how long a caller whose hold has ended may stay unheard."""
ON_THE_WAY_S = 8.0
"""While the call is not in conversation, somebody else looks after it, for about so long."""


class Finding(Enum):
    """The step to take about a caller who is not heard."""

    NOTHING = "nothing"
    REJOIN = "rejoin"
    """Put the leg into its bridge again."""
    LOST = "lost"
    """Nothing was heard for so long that the caller is sent to the human queue."""


class BridgeWatchdog:
    """One call's. ``rejoins``: the leg is half of a Local channel. ``limit_s``: how long nothing may be heard."""

    def __init__(self, *, rejoins: bool, limit_s: float) -> None:
        self._rejoins = rejoins
        self._limit_s = limit_s
        self._tried_at: float | None = None
        self._pause_s = FIRST_S
        self._not_before = 0.0

    def next_deadline(self, heard_at: float) -> float:
        """When ``tick`` has something to do, should nothing come until then; ``heard_at``: when the last frame came."""
        lost_at = max(heard_at + self._limit_s, self._not_before)
        return min(lost_at, self._rejoin_at(heard_at)) if self._rejoins else lost_at

    def tick(self, now: float, heard_at: float, *, talking: bool) -> Finding:
        """Return the step to take now. ``talking``: caller and agent are in conversation."""
        if now >= max(heard_at + self._limit_s, self._not_before):
            if talking:
                return Finding.LOST
            self._not_before = now + ON_THE_WAY_S
        if not self._rejoins or now < self._rejoin_at(heard_at):
            return Finding.NOTHING
        if self._tried_at is not None:
            self._pause_s = min(2 * self._pause_s, LONGEST_S)
        self._tried_at = now
        return Finding.REJOIN if talking else Finding.NOTHING

    def _rejoin_at(self, heard_at: float) -> float:
        if self._tried_at is None or heard_at > self._tried_at:
            self._tried_at, self._pause_s = None, FIRST_S
            return heard_at + FIRST_S
        return self._tried_at + self._pause_s
