"""Repairs the conversation of a server that cannot truncate: the agent's items become the words that were heard. CORE.

The item is deleted and created again as text. That waits until the item's response is over: until then the server may
still add to it, and the words may still come.
"""

from dataclasses import dataclass

from ariagent.text import encodable, heard_words

KEPT = 16
"""Items of replies; a reply has a few. Older ones are heard to their end, or were cut."""
LONGEST = 20_000
"""Characters of one item: half an hour of speech."""
LETTER_MS = 70.0
"""Duration of a letter in fast speech: words without all their sound are longer than what came of it."""


@dataclass(slots=True)
class _Item:
    response_id: str
    text: str = ""
    told: bool = False
    """All words of it are known."""
    sound_ms: float = 0.0
    heard_ms: float | None = None
    """Milliseconds of the item that the caller heard, if it was cut."""


@dataclass(frozen=True, slots=True)
class Repair:
    """One item, and the words that are to take its place; "": nothing was heard."""

    item_id: str
    words: str


class Repairs:
    """The agent's last items in one session."""

    def __init__(self) -> None:
        self._items: dict[str, _Item] = {}
        self._ended: dict[str, bool] = {}
        """Responses that are over, and whether they were completed."""

    def sounds(self, item_id: str, response_id: str, ms: float) -> None:
        """Count this much more sound of an item."""
        self._item(item_id, response_id).sound_ms += ms

    def words(self, item_id: str, response_id: str, text: str, *, all_of_them: bool) -> None:
        """Words of an item came: ``all_of_them``, or some more."""
        item = self._item(item_id, response_id)
        if not item.told:
            item.text = (text if all_of_them else item.text + text)[:LONGEST]
            item.told = all_of_them

    def ended(self, response_id: str, *, completed: bool) -> None:
        """The response has ended."""
        self._ended[response_id] = completed
        while len(self._ended) > KEPT:
            del self._ended[next(iter(self._ended))]

    def cut(self, item_id: str, heard_ms: float) -> None:
        """The caller heard this much of an item, and is to hear no more of it."""
        if (item := self._items.get(item_id)) is not None:
            item.heard_ms = heard_ms

    def due(self) -> list[Repair]:
        """The repairs that can be made now; each is told once."""
        found = []
        for item_id, item in list(self._items.items()):
            if item.heard_ms is not None and item.response_id in self._ended:
                found.append(Repair(item_id, _heard(item, completed=self._ended[item.response_id])))
                del self._items[item_id]
        return found

    def _item(self, item_id: str, response_id: str) -> _Item:
        item = self._items.setdefault(item_id, _Item(response_id))
        item.response_id = item.response_id or response_id  # some servers leave it out of some events
        while len(self._items) > KEPT:
            del self._items[next(iter(self._items))]
        return item


def _heard(item: _Item, *, completed: bool) -> str:
    whole_ms = item.sound_ms
    if item.told and not completed:
        whole_ms = max(whole_ms, LETTER_MS * sum(letter.isalnum() for letter in item.text))
    return heard_words(encodable(item.text), (item.heard_ms or 0.0) / whole_ms) if whole_ms else ""
