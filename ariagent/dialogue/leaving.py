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
    """Follows the caller's turns while something is announced that ends the conversation.

    The caller leaves when the words of every turn that they have spoken over it are polite. Words of any other turn,
    which may come late, are at most a reason to stay.
    """

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
        self._awaited: list[str] = []
        """The turns over the announcement whose words are not known yet, in order."""
        self._speaks = False
        """The last of them is not over."""
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
        self._decided(Decision.STAYS)

    def turn_began(self, item_id: str) -> None:
        """The server notices a turn of the caller's, or another part of a turn that is not over: the words of a turn
        are told with its last part."""
        self.item_id, self._words = item_id, {}
        if self._speaks:
            self._awaited[-1] = item_id

    def caller_speaks(self, now: float) -> Decision:
        """The turn is the caller's speech, no noise."""
        if not (self.announced and self._transcribes):
            return self._decided(Decision.STAYS)
        if self.item_id not in self._awaited:
            self._awaited.append(self.item_id)
        self._speaks = True
        self._due = now + LONGEST_POLITE_S
        return self._by_words(self.item_id, self._words[self.item_id]) if self._words else Decision.OPEN

    def caller_fell_silent(self, now: float) -> None:
        """The caller's turn is over."""
        self._speaks = False
        if self._due is not None:
            self._due = now + WORDS_WAIT_S

    def caller_said(self, item_id: str, words: str | None) -> Decision:
        """The words of a turn; None: nobody can tell them."""
        if item_id == self.item_id:
            self._words = {item_id: words or ""}
        return self._by_words(item_id, words or "") if self.undecided else Decision.OPEN

    def next_deadline(self) -> float | None:
        """The time of the next ``tick``; None: nothing is due."""
        return self._due

    def tick(self, now: float) -> Decision:
        """Decide when the time is up: words that do not come count as a wish."""
        return self._decided(Decision.STAYS) if self._due is not None and now >= self._due else Decision.OPEN

    def _by_words(self, item_id: str, words: str) -> Decision:
        """Decide by the words of a turn, if they are enough for that; empty: nobody can tell them."""
        awaited = item_id in self._awaited
        if not is_only_polite(words, self._language, self._agreement):
            return self._decided(Decision.STAYS) if words or awaited else Decision.OPEN
        if awaited:
            self._awaited.remove(item_id)
        return Decision.OPEN if self._awaited else self._decided(Decision.LEAVES)

    def _decided(self, decision: Decision) -> Decision:
        self._awaited.clear()
        self._speaks, self._due = False, None
        if decision is Decision.STAYS:
            self.announced = False
        return decision
