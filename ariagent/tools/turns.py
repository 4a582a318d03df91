"""Chooses the tool that runs now, with a limit for a call, for a server and in all, fair between calls. No I/O, no
clock."""

from collections import Counter
from dataclasses import dataclass, field

PER_CALL = 4
"""Running tools of one call: more than a conversation needs, too few for one call to keep others waiting."""
OVERALL = 256
"""Running tools of all calls. Each has a connection and, at most, an answer of ``max_bytes`` in memory."""
MOST_WAITING = 16
"""Waiting tools of one call. More than a response may hold (``call.rounds``)."""


@dataclass(slots=True, eq=False)
class Turn:
    """One tool of a call that runs or waits."""

    call: str
    place: str
    """The server that is asked, or the Python tool."""
    runs: bool = False


@dataclass(slots=True)
class Turns:
    """All tools that run or wait. The next one belongs to the call that runs the fewest; then the oldest is next."""

    per_place: int
    waiting: list[Turn] = field(default_factory=list)
    _calls: Counter[str] = field(default_factory=Counter)
    _places: Counter[str] = field(default_factory=Counter)

    def ask(self, call: str, place: str) -> Turn | None:
        """Wait for a turn; None: too many of this call wait already."""
        if sum(turn.call == call for turn in self.waiting) >= MOST_WAITING:
            return None
        turn = Turn(call, place)
        self.waiting.append(turn)
        return turn

    def next(self) -> Turn | None:
        """Start the next tool and return it; None: all that wait still have to."""
        if self._calls.total() >= OVERALL:
            return None
        free = [
            turn
            for turn in self.waiting
            if self._calls[turn.call] < PER_CALL and self._places[turn.place] < self.per_place
        ]
        if not free:
            return None
        turn = min(free, key=lambda each: self._calls[each.call])
        self.waiting.remove(turn)
        turn.runs = True
        self._calls[turn.call] += 1
        self._places[turn.place] += 1
        return turn

    def leave(self, turn: Turn) -> None:
        """The tool is done, or given up."""
        if not turn.runs:
            self.waiting.remove(turn)
            return
        turn.runs = False
        for counter, key in ((self._calls, turn.call), (self._places, turn.place)):
            counter[key] -= 1
            if not counter[key]:
                del counter[key]
