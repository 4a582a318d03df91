"""Truncations on their way: asked for, refused, asked again. I/O-free.

One past the end of the audio that the server has is refused, though it may be acknowledged, clamped, a moment
later. A refused one that is not would leave the model believing that the caller heard everything.
"""

import re
from dataclasses import dataclass

from ariagent.realtime.events import RequestRefused

ACKNOWLEDGED_WAIT_S = 0.25
"""After a refusal, how long the clamped acknowledgement is waited for."""
TRIES = 3
STEP_MS = 100

_SHORTER = re.compile(r"Audio content of (\d+)ms is already shorter")


@dataclass(slots=True)
class _Asked:
    event_id: str
    audio_end_ms: int
    tries: int
    retry_at: float | None = None


class Truncations:
    """By item, what was asked for and not acknowledged yet."""

    def __init__(self) -> None:
        self._asked: dict[str, _Asked] = {}

    def asked(self, item_id: str, event_id: str, audio_end_ms: int, tries: int = 1) -> None:
        """A truncation was sent in the event ``event_id``."""
        self._asked[item_id] = _Asked(event_id, audio_end_ms, tries)

    def acknowledged(self, item_id: str) -> None:
        self._asked.pop(item_id, None)

    def refused(self, refused: RequestRefused, event_id: str | None, now: float) -> bool:
        """Whether this error is about a truncation; servers often leave out which request they mean."""
        waiting = [asked for asked in self._asked.values() if asked.retry_at is None]
        shorter = _SHORTER.search(refused.message)
        if event_id is not None:
            meant = next((asked for asked in waiting if asked.event_id == event_id), None)
        else:
            about = shorter is not None or refused.code == "item_truncate_invalid_item_id"
            meant = waiting[0] if about and waiting else None
        if meant is None:
            return False
        meant.audio_end_ms = int(shorter[1]) if shorter else max(0, meant.audio_end_ms - STEP_MS)
        meant.retry_at = now + ACKNOWLEDGED_WAIT_S
        return True

    def next_deadline(self) -> float | None:
        return min((asked.retry_at for asked in self._asked.values() if asked.retry_at is not None), default=None)

    def due(self, now: float) -> list[tuple[str, int, int]]:
        """Item, audio_end_ms and number of the try, of those to ask for again now."""
        due = [(item, asked) for item, asked in self._asked.items() if asked.retry_at is not None]
        again = []
        for item_id, asked in due:
            if asked.retry_at is not None and asked.retry_at <= now:
                del self._asked[item_id]
                if asked.tries < TRIES:
                    again.append((item_id, asked.audio_end_ms, asked.tries + 1))
        return again
