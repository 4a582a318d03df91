"""The caller's keys: digits for the model, keys that do something, numbers that a tool collects. No I/O, no clock.

Keys pressed one after another make one *input*. It ends with the terminator, or when no other key follows within the
pause. The outcomes of an input:

* an action, when the whole input is one of ``actions``. ``0`` within ``4710#`` is a digit, and ``0`` may begin a
  telephone number, so an action waits for its input to end; only one that begins with ``*`` or ``#``, as no number
  does, and that no longer action begins with, is done at once;
* else text for the model, as it was pressed, the terminator included (``4711#``).

While a collection runs, all keys belong to it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ariagent.config import KeypadSettings

KEYS = frozenset("0123456789*#ABCD")
"""Everything that DTMF has; other characters are no keys and change nothing."""
LONGEST_INPUT = 64
"""Keys; an input ends here at the latest."""
LONGEST_NUMBER = 32
"""Digits; a collection ends here at the latest."""
LONGEST_QUESTION_S = 60.0
"""The agent's own speech holds up the wait for a first key, at most this long."""


@dataclass(frozen=True, slots=True)
class Digits:
    """An input for the model."""

    text: str
    """The keys as they were pressed, the terminator included."""


@dataclass(frozen=True, slots=True)
class Action:
    """An input that does something instead."""

    name: Literal["person", "end_call"]


@dataclass(frozen=True, slots=True)
class Collected:
    """The collection is over: enough digits."""

    digits: str
    """The typed digits without the terminator."""
    complete: bool
    """False: the caller stopped, but did not press the terminator."""


@dataclass(frozen=True, slots=True)
class AskAgain:
    """The collection continues from nothing; the caller must be told why."""

    reason: Literal["too_short", "timeout"]
    tries_left: int
    """Tries that are left, at least 1."""


@dataclass(frozen=True, slots=True)
class CollectFailed:
    """The collection is over without digits."""

    reason: Literal["too_short", "timeout", "replaced"]
    """``replaced``: another one was begun."""


@dataclass(frozen=True, slots=True)
class Collect:
    """An input that the caller is asked to type."""

    min_length: int = 1
    max_length: int = LONGEST_NUMBER
    """Digits; the collection ends at this many."""
    terminator: str = "#"
    """The key that ends it, not one of the digits; empty: none."""
    first_timeout_s: float = 10.0
    """Seconds until the first key."""
    digit_timeout_s: float = 5.0
    """Seconds until each other one; callers look the next digits up on a card."""
    tries: int = 3
    """Tries in all."""
    read_back: bool = False
    """The agent asks the caller whether the digits are right."""
    mask: bool = False
    """The digits are for the model only, not for logs and records."""

    def __post_init__(self) -> None:
        if not 1 <= self.min_length <= self.max_length:
            raise ValueError(f"no number has {self.min_length} to {self.max_length} digits")
        if self.first_timeout_s <= 0 or self.digit_timeout_s <= 0 or self.tries < 1:
            raise ValueError("timeouts and tries must be positive")


KeypadEvent = Digits | Action | Collected | AskAgain | CollectFailed


class Keypad:
    """The keypad of one caller. Times are monotonic seconds; ``tick`` is to be called at ``next_deadline``."""

    def __init__(self, settings: KeypadSettings) -> None:
        self._settings = settings
        self._pause_s = settings.pause_ms / 1000
        self._typed = ""
        """Keys of the input, or of the collection's present try."""
        self._due: float | None = None
        self._collect: Collect | None = None
        self._tries_left = 0
        self._agent_speaks = False
        self._late_terminator: tuple[str, float] | None = None
        """A key that is nothing until a time: "#" after the last of four digits, when four were asked for."""

    @property
    def collecting(self) -> bool:
        """Whether a collection runs."""
        return self._collect is not None

    def next_deadline(self) -> float | None:
        """The time of the next ``tick``; None: nothing is due."""
        return self._due

    def press(self, digit: str, now: float) -> list[KeypadEvent]:
        """One key, of ``KEYS``."""
        events = self.tick(now)
        if digit not in KEYS:
            return events
        late, self._late_terminator = self._late_terminator, None
        if late is not None and digit == late[0] and now < late[1]:
            return events
        return events + self._take(digit, now)

    def tick(self, now: float) -> list[KeypadEvent]:
        """End what has waited long enough."""
        if self._due is None or now < self._due:
            return []
        if self._collect is None:
            return self._end_input()
        if len(self._typed) >= self._collect.min_length:
            return [self._collected(complete=not self._collect.terminator)]
        return [self._try_again("too_short" if self._typed else "timeout", now)]

    def collect(self, wanted: Collect, now: float) -> list[KeypadEvent]:
        """Begin to collect digits. Those of an input that has not ended yet are the first of them.

        Ends with exactly one Collected or CollectFailed, unless it is cancelled.
        """
        events: list[KeypadEvent] = self.tick(now)
        ahead, self._typed = self._typed, ""
        if self._collect is not None:
            events.append(CollectFailed("replaced"))
            ahead = ""
        self._collect, self._tries_left = wanted, wanted.tries
        self._wait_for_first_key(now)
        return events + self._take_all(ahead, now)

    def cancel(self) -> None:
        """Forget the collection that runs, and what was typed for it; nothing if none does."""
        if self._collect is not None:
            self._collect, self._typed, self._due = None, "", None

    def agent_speaks(self, now: float) -> None:
        """The agent is heard: it may be asking for the digits, and the wait for the first has not begun."""
        self._agent_speaks = True
        self._wait_for_first_key(now)

    def agent_fell_silent(self, now: float) -> None:
        """The wait for the first digit begins."""
        self._agent_speaks = False
        self._wait_for_first_key(now)

    # -- keys -------------------------------------------------------------------------------------

    def _take_all(self, digits: Iterable[str], now: float) -> list[KeypadEvent]:
        return [event for digit in digits for event in self._take(digit, now)]

    def _take(self, digit: str, now: float) -> list[KeypadEvent]:
        if self._collect is not None:
            return self._take_wanted(self._collect, digit, now)
        self._typed += digit
        self._due = now + self._pause_s
        if any(len(keys) > len(self._typed) and keys.startswith(self._typed) for keys in self._settings.actions):
            return []
        at_once = self._typed in self._settings.actions and self._typed[0] in "*#"
        ended = at_once or digit == self._settings.terminator or len(self._typed) >= LONGEST_INPUT
        return self._end_input() if ended else []

    def _end_input(self) -> list[KeypadEvent]:
        typed, self._typed, self._due = self._typed, "", None
        actions, terminator = self._settings.actions, self._settings.terminator
        name = actions.get(typed) or actions.get(typed.removesuffix(terminator) if terminator else typed)
        if name is None:
            return [Digits(typed)]
        return [] if name == "ignore" else [Action(name)]

    # -- collections ------------------------------------------------------------------------------

    def _take_wanted(self, wanted: Collect, digit: str, now: float) -> list[KeypadEvent]:
        if wanted.terminator and digit == wanted.terminator:
            if len(self._typed) >= wanted.min_length:
                return [self._collected(complete=True)]
            return [self._try_again("too_short", now)]
        self._typed += digit
        self._due = now + wanted.digit_timeout_s
        if len(self._typed) < wanted.max_length:
            return []
        if wanted.terminator:
            self._late_terminator = (wanted.terminator, now + wanted.digit_timeout_s)
        return [self._collected(complete=True)]

    def _collected(self, *, complete: bool) -> Collected:
        digits = self._typed
        self.cancel()
        return Collected(digits, complete)

    def _try_again(self, reason: Literal["too_short", "timeout"], now: float) -> AskAgain | CollectFailed:
        self._tries_left -= 1
        if self._tries_left <= 0:
            self.cancel()
            return CollectFailed(reason)
        self._typed = ""
        self._wait_for_first_key(now)
        return AskAgain(reason, self._tries_left)

    def _wait_for_first_key(self, now: float) -> None:
        if self._collect is not None and not self._typed:
            question_s = LONGEST_QUESTION_S if self._agent_speaks else 0.0
            self._due = now + question_s + self._collect.first_timeout_s
