"""Whether a caller who speaks over a goodbye, or over the sentence before a transfer, wants to stay. CORE.

"Thank you" calls nothing off; anything else does. Until the words are known nothing is done: the call neither ends nor
continues. Times are monotonic seconds.
"""

from enum import Enum

from ariagent.dialogue.politeness import is_only_polite

WORDS_WAIT_S = 2.5
"""Seconds to wait for the words of the caller's turn after its end."""
LONGEST_POLITE_S = 4.0
"""A caller who speaks for longer says more than thanks."""


class Decision(Enum):
    OPEN = "open"
    STAYS = "stays"
    """The announced goodbye or transfer is called off."""
    LEAVES = "leaves"
    """The caller was only polite."""


class Leaving:
    """Follows the caller's turns while something is announced that ends the conversation."""

    def __init__(self, language: str, agreement: tuple[str, ...] | None, *, transcribes: bool) -> None:
        """``transcribes``: the words of the caller's turns will be known."""
        self._language = language
        self._agreement = agreement
        self._transcribes = transcribes
        self.announced = False
        """The agent has announced a transfer or the end of the call."""
        self.item_id = ""
        """The caller's newest turn."""
        self._words: dict[str, str] = {}  # the words of the newest turn
        self._due: float | None = None

    @property
    def undecided(self) -> bool:
        """The caller speaks, or has spoken, and whether they stay is not known yet."""
        return self._due is not None

    def announce(self) -> None:
        """The agent announces that it leaves the caller."""
        self.announced = True

    def over(self) -> None:
        """The goodbye or transfer is over or called off."""
        self.announced, self._due = False, None

    def turn_began(self, item_id: str) -> None:
        """The server notices a turn of the caller's."""
        self.item_id, self._words = item_id, {}

    def caller_speaks(self, now: float) -> Decision:
        """The turn is the caller's speech, no noise."""
        if not (self.announced and self._transcribes):
            return self._decided(Decision.STAYS)
        if self.item_id in self._words:
            return self._by_words(self._words[self.item_id])
        self._due = now + LONGEST_POLITE_S
        return Decision.OPEN

    def caller_fell_silent(self, now: float) -> None:
        """The caller's turn is over."""
        if self._due is not None:
            self._due = now + WORDS_WAIT_S

    def caller_said(self, item_id: str, words: str | None) -> Decision:
        """The words of a turn; None: nobody can tell them."""
        if item_id == self.item_id:
            self._words = {item_id: words or ""}
        return self._by_words(words or "") if self.undecided else Decision.OPEN

    def next_deadline(self) -> float | None:
        """The time of the next ``tick``; None: nothing is due."""
        return self._due

    def tick(self, now: float) -> Decision:
        """Decide when the time is up: words that do not come count as a wish."""
        return self._decided(Decision.STAYS) if self._due is not None and now >= self._due else Decision.OPEN

    def _by_words(self, words: str) -> Decision:
        polite = is_only_polite(words, self._language, self._agreement)
        return self._decided(Decision.LEAVES if polite else Decision.STAYS)

    def _decided(self, decision: Decision) -> Decision:
        self._due = None
        if decision is Decision.STAYS:
            self.announced = False
        return decision
