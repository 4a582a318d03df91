"""The parts of a turn of the caller's, joined: the server ends a turn at each pause, the call knows one turn. CORE.

The words of an open turn are told, too, for the record: the process may die before the turn is over.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from ariagent.dialogue.effects import Happened
from ariagent.dialogue.events import CallerEnded, CallerSaid, CallerSaidSoFar, SoundDismissed, TurnTranscribed


@dataclass(slots=True)
class _Parts:
    """The ended parts of a turn."""

    ended: list[TurnTranscribed] = field(default_factory=list)
    words: dict[str, str | None] = field(default_factory=dict)
    """By part, as far as they are known. None: the transcription failed."""
    ended_at: float = 0.0

    def add(self, part: TurnTranscribed, now: float) -> None:
        if self.has(part.item_id):  # it is told again
            return
        self.ended.append(part)
        self.ended_at = now

    def has(self, item_id: str) -> bool:
        return any(part.item_id == item_id for part in self.ended)

    @property
    def complete(self) -> bool:
        """All words are known."""
        return all(part.item_id in self.words for part in self.ended)

    def length(self, now: float) -> TurnTranscribed:
        """The length of the turn. Its id is that of its last part."""
        seconds = sum(part.seconds for part in self.ended)
        believed = all(part.believed for part in self.ended)
        return replace(self.ended[-1], seconds=seconds, believed=believed, ago_s=now - self.ended_at)

    def said(self) -> CallerSaid:
        """The words of the turn, as far as they are known."""
        known = any(self.words.get(part.item_id) is not None for part in self.ended)
        return CallerSaid(self.ended[-1].item_id, self._text if known else None)

    def so_far(self) -> CallerSaidSoFar:
        """The words of the open turn, as far as they are known."""
        return CallerSaidSoFar(self.ended[-1].item_id, self._text)

    @property
    def _text(self) -> str:
        return " ".join(text for part in self.ended if (text := self.words.get(part.item_id)))


class TurnParts:
    """Changes the stream of events: the length and the words of a turn are told once, when the turn is over."""

    def __init__(self) -> None:
        self._open = _Parts()
        self._over: _Parts | None = None
        """The last turn that is over, as long as some of its words are not known."""

    def joined(self, happened: Iterable[Happened], now: float) -> Iterator[Happened]:
        """Returns the events that are to be told now."""
        for event in happened:
            match event:
                case TurnTranscribed():
                    self._open.add(event, now)
                case CallerSaid(item_id=item_id, text=text) if self._open.has(item_id):
                    self._open.words[item_id] = text
                    if text:
                        yield self._open.so_far()
                case CallerSaid(item_id=item_id, text=text) if self._over is not None and self._over.has(item_id):
                    self._over.words[item_id] = text
                    yield from self._words(finally_=False)
                case CallerEnded():
                    yield from self._end(now)
                    yield event
                    yield from self._words(finally_=False)
                case SoundDismissed():
                    sounds, self._open = self._open, _Parts()
                    yield from sounds.ended
                    yield event
                    yield from (CallerSaid(item_id, text) for item_id, text in sounds.words.items())
                case _:
                    yield event

    def over(self, now: float) -> Iterator[Happened]:
        """Nothing more of any turn will come: tell what is known."""
        yield from self._end(now)
        yield from self._words(finally_=True)

    def _end(self, now: float) -> Iterator[Happened]:
        """The open turn is over: its length is told, and what was missing of the one before is not waited for."""
        if self._open.ended:
            yield from self._words(finally_=True)
            self._over, self._open = self._open, _Parts()
            yield self._over.length(now)

    def _words(self, *, finally_: bool) -> Iterator[Happened]:
        """The words of the turn that is over, once all are known; ``finally_``: as far as they are known."""
        turn = self._over
        if turn is not None and (turn.complete or finally_):
            self._over = None
            if turn.words:
                yield turn.said()
