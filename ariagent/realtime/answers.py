"""Matches responses with the caller's turns, and finds the turns that were none. I/O-free.

A turn of the caller's that proves to have been a cough or noise is dismissed, often before the server has begun to
answer it: then the turn's item and everything of its answer are to be forgotten, whenever they come.
"""

from typing import Any

from ariagent.realtime.fields import forget_oldest

KEPT = 16
MOST_ITEMS = 64
"""The most items of one response that are known."""


class Answers:
    """Matches of turns, responses and items by their ids; the session sends the messages that follow."""

    def __init__(self) -> None:
        self._waiting: str | None = None  # the turn that the server has not begun to answer
        self._committed: dict[str, str | None] = {}  # turns that are items, with their response
        self._dismissed: dict[str, None] = {}
        self._items: dict[str, dict[str, None]] = {}  # the items of each response
        self._discarded: dict[str, None] = {}  # responses

    def turn_ended(self, item_id: str) -> bool:
        """The turn became an item; True when it was dismissed before."""
        self._waiting = item_id
        _keep(self._committed, item_id, None)
        return item_id in self._dismissed

    def response_started(self, response_id: str, *, asked_otherwise: bool) -> str | None:
        """The turn that this response answers, if any."""
        self._items_of(response_id).clear()
        if asked_otherwise or self._waiting is None:
            return None
        turn, self._waiting = self._waiting, None
        self._committed[turn] = response_id
        if turn in self._dismissed:
            _keep(self._discarded, response_id, None)
        return turn

    def item_added(self, response_id: str, item_id: str) -> None:
        items = self._items_of(response_id)
        if len(items) < MOST_ITEMS:
            items[item_id] = None

    def _items_of(self, response_id: str) -> dict[str, None]:
        items = self._items.setdefault(response_id, {})
        while len(self._items) > KEPT:
            del self._items[next(iter(self._items))]
        return items

    def dismiss(self, item_id: str) -> tuple[bool, str | None]:
        """Whether the turn is an item already, and the response that answers it, if one has begun."""
        _keep(self._dismissed, item_id, None)
        response_id = self._committed.get(item_id)
        if response_id is not None:
            _keep(self._discarded, response_id, None)
        return item_id in self._committed, response_id

    def awaits(self, item_id: str) -> bool:
        """The turn ended, and nothing answers it yet."""
        return self._waiting == item_id

    def discarded(self, response_id: str) -> bool:
        return response_id in self._discarded

    def items(self, response_id: str) -> list[str]:
        """The items of a response, as far as they were told."""
        return list(self._items.get(response_id, ()))


def _keep(known: dict[str, Any], key: str, value: None) -> None:
    known[key] = value
    forget_oldest(known, KEPT)
