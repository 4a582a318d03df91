"""Health of the model, which all calls share: which endpoint to ask, and whether the model can be used.

Calls report what they see: a session was made, failed or ended; the model fell silent; there was no session to be had.
"""

from collections.abc import Callable, Collection

from ariagent.breaker import Breaker
from ariagent.config import RealtimeSettings
from ariagent.realtime.dialect import Understanding

AVOIDED_S = 30.0
"""How long an endpoint that failed is asked only if no other is left: one failure spares the other calls the wait."""


class ModelHealth(Breaker):
    """The endpoints of the settings, by their place in them, and the circuit breaker of all together. ``now``:
    monotonic seconds."""

    def __init__(self, settings: RealtimeSettings, changed: Callable[[str], None] | None = None) -> None:
        super().__init__(changed)
        self.endpoints = settings.endpoints
        self.dialects = tuple(Understanding.of(each) for each in self.endpoints)
        """The knowledge of each endpoint's dialect."""
        self._avoided_until = [float("-inf")] * len(self.endpoints)
        self._sessions = [0] * len(self.endpoints)
        self.must_speak = False
        """Whether the model was silent in a call: a trial passes only if it speaks."""
        self.refused: dict[str, str] = {}
        """Agents that the first endpoint refuses, and why, as far as it is known."""

    # -- which endpoint -----------------------------------------------------------------------------

    def choose(self, now: float, tried: Collection[int] = ()) -> int:
        """The endpoint to ask now: the first that did not fail a moment ago. One of ``tried`` only if all were."""
        places = range(len(self.endpoints))
        return min(places, key=lambda place: (place in tried, self._avoided_until[place] > now, place))

    def untried(self, tried: Collection[int]) -> int:
        """The number of endpoints that were not tried."""
        return sum(place not in tried for place in range(len(self.endpoints)))

    def serves(self, place: int) -> bool:
        """Whether calls have sessions at this endpoint now: the proof that it works."""
        return self._sessions[place] > 0

    # -- reports of calls ---------------------------------------------------------------------------

    def session_made(self, place: int) -> None:
        """A call has a session at this endpoint that can be used."""
        self._avoided_until[place] = float("-inf")
        self._sessions[place] += 1

    def accepts(self, agent: str) -> None:
        """A call of this agent has a session at the first endpoint. If that refused the agent before, it was mended."""
        if self.refused.pop(agent, None) is not None:
            self.doubt()  # it may accept others, too

    def session_ended(self, place: int) -> None:
        """A call no longer has the session that it reported by ``session_made``."""
        self._sessions[place] -= 1

    def session_failed(self, place: int, now: float) -> None:
        """A call could get no session at this endpoint, or lost one there."""
        self._avoided_until[place] = now + AVOIDED_S

    def fell_silent(self) -> None:
        """A call lost its session for good because the model said nothing. A session alone is no proof any more."""
        self.must_speak = True
        self.doubt()
