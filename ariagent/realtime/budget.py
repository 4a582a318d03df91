"""How much the model's server may send in one session before the session is given up. CORE.

All calls share one event loop, so a server that floods one call would take the time of all. The limits are far above
what a conversation needs: 20 to 100 messages a second while the model speaks, each below 100 kB.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Limit:
    """A limit: an amount at once, and then an amount per second. Hashed by identity: each message of a server looks it
    up twice."""

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
"""Frames or messages that are handled before other calls have their turn."""
MOST_WORK_S = 0.004
"""Seconds of work at once: a frame of audio is due every 20 ms and call."""


class Budget:
    """Keeps what is left of each limit. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._left: dict[Limit, tuple[float, float]] = {}  # and when it was so much

    def spend(self, limit: Limit, amount: float, now: float) -> str:
        """Count ``amount``. Return a description of the excess; empty: the session may continue."""
        left, at = self._left.get(limit, (limit.at_once, now))
        left = min(limit.at_once, left + max(0.0, now - at) * limit.per_s) - amount
        self._left[limit] = (left, max(at, now))
        if left >= 0:
            return ""
        return f"more than {limit.at_once:,} {limit.what} at once and {limit.per_s:,} a second"


def most_unheard_s(max_output_tokens: int | str) -> float:
    """How much speech may wait to be heard: the longest response that the agent's settings allow (``inf``: any)."""
    longest_s = max_output_tokens / TOKENS_PER_S if isinstance(max_output_tokens, int) else MOST_UNHEARD_S
    return min(max(longest_s, LEAST_UNHEARD_S), MOST_UNHEARD_S)
