"""An agent's memory of a caller who may come back from human agents within the same call. No I/O, no clock."""

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum

from ariagent.dialogue.history import Entry

KEPT_S = 3600.0
KEPT = 500
"""Calls."""


class Unfinished(StrEnum):
    """The unfinished part of a conversation that one process leaves to the next one."""

    NOTHING = "nothing"
    """Nobody spoke, and nobody was about to."""
    WORDS = "words"
    """The agent was cut off."""
    TURN = "turn"
    """The caller was speaking, and was not heard to the end."""
    ANSWER = "answer"
    """The caller waits for an answer to what they said or pressed."""
    WARM_TRANSFER = "warm_transfer"
    """A warm transfer was under way."""


@dataclass(frozen=True, slots=True)
class Memory:
    """One call's conversation."""

    entries: tuple[Entry, ...]
    destination: str
    """The destination that the caller was transferred to."""
    caller_number: str = ""
    caller_name: str = ""
    """The caller's number and name: a Local channel shows another number after a transfer, or none."""
    agent: str = ""
    """The AI agent that had the conversation; empty: not known."""
    interrupted: bool = False
    """The call broke off and was taken over; the caller was not transferred."""
    consulting: bool = False
    """A human agent was being called for a warm transfer when the call broke off; nobody is called any more."""
    unfinished: Unfinished | None = None
    """The unfinished part of the conversation after a planned restart, which needs no apology; None: no planned
    restart."""


class Memories:
    """Memories of calls that were transferred to human agents, by call id; the oldest are forgotten."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[float, Memory]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, call_id: str, memory: Memory, now: float) -> None:
        """``now``: monotonic seconds."""
        self._kept.pop(call_id, None)
        self._kept[call_id] = (now, memory)
        while len(self._kept) > KEPT or next(iter(self._kept.values()))[0] < now - KEPT_S:
            self._kept.popitem(last=False)

    def knows(self, call_id: str, now: float) -> bool:
        """Whether this caller was transferred to human agents and may come back."""
        at, _ = self._kept.get(call_id, (0.0, None))
        return call_id in self._kept and at >= now - KEPT_S

    def of(self, call_id: str, now: float) -> Memory | None:
        """The memory of a caller who is back; it stays."""
        return self._kept[call_id][1] if self.knows(call_id, now) else None

    def take(self, call_id: str, now: float) -> Memory | None:
        """The memory of a caller who is back."""
        at, memory = self._kept.pop(call_id, (0.0, None))
        return memory if memory is not None and at >= now - KEPT_S else None
