"""When a queue seat's channel is to be put into its bridge anew. CORE.

Asterisk 22.10.1 at times stops passing a caller's audio on from one half of a seat's Local channel to the other: after
an attended transfer into the queue, and after hold music was played on the first half. What heals it is to add the
second half to its bridge once more, though it is in it already. No event tells of either, so the sign is that nothing
comes any more. A phone that is muted looks the same; adding it anew costs one frame in every twenty or so times.
"""

FIRST_S = 0.4
"""From the last frame that came to the first attempt; the pauses after it grow twofold."""
LONGEST_S = 2.0
"""The longest pause: how long a caller whose hold has ended may stay unheard."""


class Rejoining:
    """The times of attempts for one call, in monotonic seconds."""

    def __init__(self) -> None:
        self._tried_at: float | None = None
        self._pause_s = FIRST_S

    def due(self, heard_at: float) -> float:
        """When to try, should nothing come until then; ``heard_at`` is when the last frame came."""
        if self._tried_at is None or heard_at > self._tried_at:
            self._tried_at, self._pause_s = None, FIRST_S
            return heard_at + FIRST_S
        return self._tried_at + self._pause_s

    def tried(self, now: float) -> None:
        """An attempt begins now."""
        if self._tried_at is not None:
            self._pause_s = min(2 * self._pause_s, LONGEST_S)
        self._tried_at = now
