"""How many seconds of the caller's speech the model transcribed, as far as that can be. CORE.

Transcription is billed by the minute. The model's server says where each turn began and ended; what it says beyond the
audio that it was sent, or twice, is not counted.
"""

ROOM_MS = 1_000.0
"""Servers count in blocks, and round."""


class SpokenTime:
    """The counter of one call. Positions are in milliseconds of the caller's audio."""

    def __init__(self) -> None:
        self._start_ms = 0.0
        self._counted_ms = 0.0
        """Everything before this position is counted."""
        self.believed = True
        """False: the last turn cannot have been as it was reported, and was not counted."""

    def turn_began(self, start_ms: float) -> None:
        """The server notices a turn."""
        self._start_ms = start_ms

    def turn_s(self, end_ms: float, sent_ms: float) -> float:
        """The turn is over: its seconds that were not counted yet. ``sent_ms``: the audio that the model was sent."""
        start_ms = self._start_ms
        self.believed = 0.0 <= start_ms <= end_ms <= sent_ms + ROOM_MS
        if not self.believed:
            return 0.0
        first, last = max(start_ms, self._counted_ms), min(end_ms, sent_ms)
        self._counted_ms = max(self._counted_ms, last)
        return max(0.0, last - first) / 1000
