"""The caller's turn as the server reports it, and its end by our own ears where the server misses it. CORE.

Positions are milliseconds of the caller's audio, times monotonic seconds.
"""

from ariagent.audio.uplink import Uplink
from ariagent.dialogue.interruption import anybody_speaks, loudest_db

LISTEN_EVERY_S = 0.25


class CallerTurn:
    """Follows one turn after another."""

    def __init__(self, uplink: Uplink) -> None:
        self.open = False
        """The caller speaks, as the server says."""
        self.start_ms: float | None = None
        """Where the newest turn began."""
        self._uplink = uplink
        self._since: float | None = None
        """When the open turn began, as long as its end can be missed."""
        self._listen_at = 0.0
        self._voice_db = float("-inf")
        """The level of the loudest 60 ms of the turn."""

    def began(self, start_ms: float, now: float, overdue_s: float) -> None:
        """The server notices a turn, which it should have ended within ``overdue_s`` of silence."""
        self.open, self.start_ms, self._since = True, start_ms, now
        self._voice_db, self._listen_at = float("-inf"), now + overdue_s

    def ended(self) -> None:
        """The server ends the turn, or nobody waits for its end any more."""
        self.open, self._since = False, None

    def dismissed(self) -> None:
        """The turn was none: it is not waited for its end, which the server still has to tell."""
        self._since = None

    def next_deadline(self) -> float | None:
        """The time to check whether the end was missed."""
        return None if self._since is None else self._listen_at

    def missed_end(self, now: float, overdue_s: float) -> bool:
        """Whether the caller has been silent for ``overdue_s`` and the server does not notice it; the turn is over
        then."""
        since, uplink = self._since, self._uplink
        if since is None or now < self._listen_at:
            return False
        # The first look is at the whole turn, the others at what has come since.
        looked_s = LISTEN_EVERY_S if self._voice_db > float("-inf") else now - since
        self._listen_at = now + LISTEN_EVERY_S
        newest_ms = uplink.appended_ms
        self._voice_db = max(self._voice_db, loudest_db(uplink.levels(newest_ms - 1000 * looked_s)))
        if now - since < overdue_s or anybody_speaks(uplink.levels(newest_ms - 1000 * overdue_s), self._voice_db):
            return False
        self.ended()
        return True
