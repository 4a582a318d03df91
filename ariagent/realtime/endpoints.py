"""Which of the model's endpoints is asked: the first that did not fail a moment ago. CORE; shared by all calls."""

from collections.abc import Collection

from ariagent.config import RealtimeSettings
from ariagent.realtime.dialect import Understanding

AVOIDED_S = 30.0
"""So long an endpoint that failed is asked only when no other is left: one failure spares the other calls the wait."""


class Endpoints:
    """Those of the settings, by their place in them. ``now``: monotonic seconds."""

    def __init__(self, settings: RealtimeSettings) -> None:
        self.all = settings.endpoints
        self._avoided_until = [float("-inf")] * len(self.all)
        self.dialects = tuple(Understanding.of(each) for each in self.all)
        """The knowledge of each endpoint's dialect."""
        self._sessions = [0] * len(self.all)

    def choose(self, now: float, tried: Collection[int] = ()) -> int:
        """The one to ask now; of those that were ``tried`` none, while there is another."""
        places = range(len(self.all))
        return min(places, key=lambda place: (place in tried, self._avoided_until[place] > now, place))

    def untried(self, tried: Collection[int]) -> bool:
        """Whether there is one that was not tried."""
        return any(place not in tried for place in range(len(self.all)))

    def failed(self, place: int, now: float) -> None:
        """It could not be used."""
        self._avoided_until[place] = now + AVOIDED_S

    def worked(self, place: int) -> None:
        """It could."""
        self._avoided_until[place] = float("-inf")

    def opened(self, place: int) -> None:
        """A call has a session there that can be used."""
        self._sessions[place] += 1

    def closed(self, place: int) -> None:
        """A call has that session no more."""
        self._sessions[place] -= 1

    def serves(self, place: int) -> bool:
        """Whether calls have sessions there now: the proof that it works."""
        return self._sessions[place] > 0
