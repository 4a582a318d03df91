"""Truncations on their way: asked for, refused, asked again. I/O-free.

One past the end of the audio that the server has is refused, though it may be acknowledged, clamped, a moment
later. A refused one that is not would leave the model believing that the caller heard everything.
"""

import re
from dataclasses import dataclass

from ariagent.realtime.events import RequestRefused

UNANSWERED_WAIT_S = 1.0
"""A server answers at once. One that has not after this long does not know what a truncation is."""
STALLED_S = 0.3
"""Seconds. A message that comes sooner after a truncation may have been on its way before it."""
BURST_S = 0.25
"""Seconds. After a stall of the network the delayed messages come within less; the answer may be behind them."""
ACKNOWLEDGED_WAIT_S = 0.25
"""Seconds to wait for the clamped acknowledgement after a refusal."""
TRIES = 3
STEP_MS = 100

_SHORTER = re.compile(r"Audio content of (\d+)ms is already shorter")


@dataclass(slots=True)
class _Asked:
    event_id: str
    audio_end_ms: int
    tries: int
    retry_at: float | None = None
    asked_at: float = 0.0
    alive_at: float | None = None
    """When the server first sent something that it made after the truncation."""

    @property
    def unanswered_at(self) -> float | None:
        """When it is certain that there will be no answer; None: not yet known."""
        if self.retry_at is not None or self.alive_at is None:
            return None
        return max(self.asked_at + UNANSWERED_WAIT_S, self.alive_at + BURST_S)


class Truncations:
    """Truncations by item that were asked for and are not acknowledged yet."""

    def __init__(self) -> None:
        self._asked: dict[str, _Asked] = {}
        self._given_up: dict[str, int] = {}
        self._answered = False
        self.ignored = False
        """The server has answered none, and left one without an answer."""

    @property
    def open(self) -> bool:
        """A truncation is not acknowledged yet, or has just been given up."""
        return bool(self._asked or self._given_up)

    def asked(self, item_id: str, event_id: str, audio_end_ms: int, tries: int = 1, now: float = 0.0) -> None:
        """A truncation was sent in the event ``event_id``."""
        self._asked[item_id] = _Asked(event_id, audio_end_ms, tries, asked_at=now)

    def alive(self, now: float) -> None:
        """The server sent something."""
        for asked in self._asked.values():
            if asked.alive_at is None and now >= asked.asked_at + STALLED_S:
                asked.alive_at = now

    def unanswered(self, now: float) -> dict[str, int]:
        """Items and their audio_end_ms, of those that the server will not answer, or refused too often; each is told
        once."""
        lost = {
            item_id: asked.audio_end_ms
            for item_id, asked in self._asked.items()
            if asked.unanswered_at is not None and asked.unanswered_at <= now
        }
        for item_id in lost:
            del self._asked[item_id]
        self.ignored |= bool(lost) and not self._answered
        given_up, self._given_up = self._given_up, {}
        return {**given_up, **lost}

    def acknowledged(self, item_id: str) -> None:
        self._answered = True
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
        self._answered = True
        meant.audio_end_ms = int(shorter[1]) if shorter else max(0, meant.audio_end_ms - STEP_MS)
        meant.retry_at = now + ACKNOWLEDGED_WAIT_S
        return True

    def next_deadline(self) -> float | None:
        if not self._asked:
            return None
        times = (asked.retry_at or asked.unanswered_at for asked in self._asked.values())
        return min((time for time in times if time is not None), default=None)

    def due(self, now: float) -> list[tuple[str, int, int]]:
        """Item, audio_end_ms and number of the try, of those to ask for again now."""
        due = [(item, asked) for item, asked in self._asked.items() if asked.retry_at is not None]
        again = []
        for item_id, asked in due:
            if asked.retry_at is not None and asked.retry_at <= now:
                del self._asked[item_id]
                if asked.tries < TRIES:
                    again.append((item_id, asked.audio_end_ms, asked.tries + 1))
                else:
                    self._given_up[item_id] = asked.audio_end_ms
        return again
