"""How much the model's server may send in one session before the session is given up. CORE.

All calls share one event loop, so a server that floods one call would take the time of all. The limits are far above
what a conversation needs: 20 to 100 messages a second while the model speaks, each below 100 kB.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit: an amount at once, and then an amount per second."""

    what: str
    at_once: int
    per_s: int


FRAMES = Limit("messages", 4_000, 2_000)
"""WebSocket frames: messages, their fragments, pings."""
BYTES = Limit("bytes", 16_000_000, 4_000_000)
"""PCM in base64 takes 64 kB a second: this is 60 times as fast as it is played."""
EVENTS = Limit("events", 250, 25)
"""Events of the conversation besides audio: a turn and its answer are about eight."""
MALFORMED = Limit("malformed messages", 100, 5)

LEAST_UNHEARD_S, MOST_UNHEARD_S = 120.0, 300.0
TOKENS_PER_S = 20
"""The rate of the model's speech (source: OpenAI's Realtime guide on costs)."""

MOST_AT_ONCE = 20
"""Frames that are handled before other calls have their turn."""
MOST_WORK_S = 0.004
"""Seconds of work at once: a frame of audio is due every 20 ms and call."""


class Allowance:
    """The remainder of one of a session's limits. Times are seconds of one monotonic clock."""

    __slots__ = ("_at", "_left", "limit")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._left = float(limit.at_once)
        self._at = float("-inf")  # when so much was left

    def take(self, amount: float, now: float) -> bool:
        """Count ``amount``. Whether the session may continue."""
        limit = self.limit
        left = self._left
        if now > self._at:
            left = min(limit.at_once, left + (now - self._at) * limit.per_s)
            self._at = now
        self._left = left = left - amount
        return left >= 0

    @property
    def excess(self) -> str:
        """A description of too much."""
        return f"more than {self.limit.at_once:,} {self.limit.what} at once and {self.limit.per_s:,} a second"


class Budget:
    """The allowances of one session."""

    def __init__(self) -> None:
        self.frames, self.bytes = Allowance(FRAMES), Allowance(BYTES)
        self.events, self.malformed = Allowance(EVENTS), Allowance(MALFORMED)


def most_unheard_s(max_output_tokens: int | str) -> float:
    """How much speech may wait to be heard: the longest response that the agent's settings allow (``inf``: any)."""
    longest_s = max_output_tokens / TOKENS_PER_S if isinstance(max_output_tokens, int) else MOST_UNHEARD_S
    return min(max(longest_s, LEAST_UNHEARD_S), MOST_UNHEARD_S)
