"""CORE: how much audio one connection may bring. ``now``: seconds of a monotonic clock.

Asterisk sends audio in real time. After a pause (of this process, or of the network) it arrives faster, until it has
caught up. A connection that brings more than that is no telephone call.
"""

RATE = 2.0
"""Seconds of audio that a connection may bring in a second, for as long as it likes."""
AHEAD_S = 60.0
"""Seconds of audio that it may bring at once."""
LEAST_S = 0.0025
"""Every frame counts for at least this much, however short it is: the shortest frames of telephone codecs."""


class Intake:
    """One connection's allowance."""

    def __init__(self, now: float) -> None:
        self._left_s = AHEAD_S
        self._at = now

    def take(self, audio_s: float, now: float) -> bool:
        """Whether a frame of this length is still within the allowance."""
        self._left_s = min(AHEAD_S, self._left_s + RATE * (now - self._at)) - max(audio_s, LEAST_S)
        self._at = now
        return self._left_s >= 0
