"""Detects that the caller's turns are hold music, a television, or people in the room. CORE.

A person lets the agent finish now and then, says words, and means the agent. A line on which nobody does for a while
has no person who talks with the agent: it is not answered any more, until somebody speaks after a pause or presses a
key. Times are monotonic seconds.
"""

MOST_SENSELESS = 5
"""Consecutive turns without sense after which the line counts as background ..."""
SENSELESS_S = 45.0
"""... if the first of them was at least so many seconds ago. A caller who dictates a number is done sooner."""
CUT_WITHIN_S = 2.0
"""A reply that was cut off sooner was not listened to."""
PAUSE_S = 2.0
"""Seconds of pause after which a voice may be the caller's again."""


class Background:
    """Follows one call's turns."""

    def __init__(self) -> None:
        self.noticed = False
        """Nobody talks with the agent at the moment."""
        self._senseless = 0
        self._sense_at = 0.0
        self._agent_since: float | None = None
        self._listened = True
        """A reply was heard for a while since the last turn began."""
        self._proves = True
        """A reply that is heard to its end shows that somebody is there."""
        self._wordless = False
        """The last turn had no words, or was meant for somebody else."""
        self._sound_at = float("-inf")
        """When the server noticed that something began or ended."""

    def begin(self, now: float) -> None:
        """The conversation begins."""
        self._sense_at = now

    def hides(self, now: float) -> bool:
        """A sound begins. Whether it is background, too: nobody speaks, and there was no pause before it."""
        pause_s, self._sound_at = now - self._sound_at, now
        return self.noticed and pause_s < PAUSE_S

    def sound_ended(self, now: float) -> None:
        """The server says that the sound is over."""
        self._sound_at = now

    def agent_speaks(self, now: float) -> None:
        """The agent is heard."""
        if self._agent_since is None:
            self._agent_since = now

    def agent_fell_silent(self, now: float, *, cut: bool) -> None:
        """The agent was heard to the end, or was ``cut`` off."""
        since, self._agent_since = self._agent_since, None
        if since is None or (cut and now - since < CUT_WITHIN_S):
            return
        self._listened = True
        if not cut and not self._wordless and self._proves:
            self.makes_sense(now)

    def caller_speaks(self, now: float) -> None:
        """The server takes a sound for the caller's turn."""
        if not self._listened or self._wordless:
            self._senseless += 1
        self._listened = self._wordless = False
        # The answer to the turn that was one too many may still be heard: nothing interrupts it any longer.
        self._proves = self.noticed or not self._too_many(now)
        self.noticed = self.noticed or not self._proves

    def _too_many(self, now: float) -> bool:
        return self._senseless >= MOST_SENSELESS and now - self._sense_at >= SENSELESS_S

    def caller_said(self, words: str) -> None:
        """The words of a turn."""
        self._wordless = not any(c.isalnum() for c in words)

    def not_meant(self) -> None:
        """The last turn was not meant for the agent, as the model says."""
        self._wordless = True

    def makes_sense(self, now: float) -> None:
        """There is a person: a key was pressed, or a reply to words was heard to its end."""
        self.noticed, self._senseless, self._sense_at = False, 0, now
