"""What an agent remembers of a caller who may come back from people within the same call. No I/O, no clock."""

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum

from ariagent.dialogue.history import Entry

KEPT_S = 3600.0
KEPT = 500
"""Calls."""


class Unfinished(StrEnum):
    """What a caller waits for whose process left them to the next one."""

    NOTHING = "nothing"
    """Nobody spoke, and nobody was about to."""
    WORDS = "words"
    """The agent was cut off."""
    TURN = "turn"
    """The caller was speaking, and was not heard to the end."""
    ANSWER = "answer"
    """To what the caller said or pressed."""
    WARM_TRANSFER = "warm_transfer"
    """Somebody was being looked for who would take the caller over."""


@dataclass(frozen=True, slots=True)
class Memory:
    """One call's conversation."""

    entries: tuple[Entry, ...]
    destination: str
    """Whom the caller was handed to."""
    caller_number: str = ""
    caller_name: str = ""
    """The caller's number and name: a Local channel shows another number after a transfer, or none."""
    agent: str = ""
    """The AI agent that had the conversation; empty: not known."""
    interrupted: bool = False
    """The caller was lost and found again, handed to nobody."""
    unfinished: Unfinished | None = None
    """The same, as planned and so quickly that there is nothing to be sorry for: what the caller waits for."""


class Memories:
    """Of calls that were handed to people, by call id; the oldest are forgotten."""

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
        """Whether this caller was handed to people and may come back."""
        at, _ = self._kept.get(call_id, (0.0, None))
        return call_id in self._kept and at >= now - KEPT_S

    def of(self, call_id: str, now: float) -> Memory | None:
        """The memory of a caller who is back; it stays."""
        return self._kept[call_id][1] if self.knows(call_id, now) else None

    def take(self, call_id: str, now: float) -> Memory | None:
        """The memory of a caller who is back."""
        at, memory = self._kept.pop(call_id, (0.0, None))
        return memory if memory is not None and at >= now - KEPT_S else None
