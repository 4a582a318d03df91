"""The course of a synthetic caller's call: as values, as JSON, and as lines that are printed during the call."""

from __future__ import annotations

import textwrap
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ariagent.caller.answerer import Who

WIDTH = 120
_TEXT_COLUMN = 29

Speaker = Literal["caller", "agent"]
After = Literal["answer", "speech", "digits"]
Outcome = Literal["ok", "failed", "not_answered", "not_taken"]
"""``not_taken``: something other than the AI answered."""
WordsFrom = Literal["records", "api", "recogniser"]
"""The source of the agent's words: the service's records, its API, or a recogniser's guess."""


@dataclass(slots=True)
class Turn:
    """One turn. Times are seconds since the call was placed."""

    who: Speaker
    start_s: float
    end_s: float
    text: str | None = None
    """The words; None if they are not known."""
    latency_ms: float | None = None
    """Only the agent's: from ``after`` to the first loud frame that was received. None if it spoke before that."""
    after: After | None = None
    """The start of the latency: the call's answer, the caller's last loud frame, or the last key."""
    interrupted: bool = False
    words_from: WordsFrom | None = None
    """Only the agent's: the source of its words."""
    heard: str | None = None
    """Only the agent's: a recogniser's guess, if one was requested."""


@dataclass(slots=True)
class Interruption:
    """The caller spoke over the agent."""

    start_s: float
    stopped_after_ms: float
    """Milliseconds from the caller's first loud frame, sent to Asterisk, to the agent's last loud frame, received."""


@dataclass(slots=True)
class TalkedOver:
    """The agent began to speak while the caller was inside a sentence."""

    start_s: float
    heard_ms: float
    """Milliseconds of the agent's sound until the end of the sentence, pauses of its own included."""
    text: str
    """The caller's sentence."""


@dataclass(slots=True)
class Wait:
    """The caller waited for the agent in silence."""

    start_s: float
    end_s: float


@dataclass(slots=True)
class Digits:
    """Keys that the caller pressed."""

    at_s: float
    digits: str


@dataclass(slots=True)
class Failure:
    """A step that did not go as expected."""

    step: str
    cause: str


@dataclass(slots=True)
class CallReport:
    """One call."""

    extension: str
    channel: str
    """The unique id of the originated channel; the dialplan runs on ``<channel>;2``."""
    audio: str
    outcome: Outcome = "ok"
    failures: list[Failure] = field(default_factory=list)
    answered_after_ms: float | None = None
    turns: list[Turn] = field(default_factory=list)
    interruptions: list[Interruption] = field(default_factory=list)
    talked_over: list[TalkedOver] = field(default_factory=list)
    digits: list[Digits] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    """Waits of more than a second."""
    steps_began_s: list[float] = field(default_factory=list)
    """Start of each step that was reached."""
    placed_at: float = 0.0
    """When the call was placed, in seconds since the epoch."""
    ended_by: Literal["caller", "other side"] | None = None
    duration_s: float = 0.0
    recording: str | None = None
    answered_by: Who = "unknown"
    """The side that took the call."""
    answered: str = ""
    """A sentence about who took the call; empty if nobody took it or it is not known."""

    @property
    def latencies_ms(self) -> list[float]:
        """Latencies of the answers to the caller's speech."""
        return [turn.latency_ms for turn in self.turns if turn.latency_ms is not None and turn.after == "speech"]

    def summary(self) -> str:
        """One line about the whole call."""
        parts = [f"{len(self.turns)} turns in {self.duration_s:.1f} s"]
        if found := sorted(self.latencies_ms):
            parts.append(f"answered after {found[len(found) // 2]:.0f} ms (median), {found[-1]:.0f} ms (longest)")
        if self.guessed:
            parts.append("words after (sounds like) are a recogniser's guess")
        return f"{_HOW[self.outcome]}: " + "; ".join(parts)

    @property
    def reached_ai(self) -> bool:
        """Whether the call was answered, and by the AI as far as is known."""
        return self.outcome not in ("not_answered", "not_taken")

    @property
    def guessed(self) -> bool:
        """Whether some of the agent's words are a recogniser's guess."""
        return any(turn.words_from == "recogniser" for turn in self.turns)

    @property
    def wordless(self) -> bool:
        """Whether the words of some of the agent's turns are not known."""
        return any(turn.who == "agent" and turn.text is None for turn in self.turns)

    def document(self) -> dict[str, Any]:
        """The report as JSON: every field by its name, numbers rounded to tenths of a millisecond."""
        rounded = _rounded(asdict(self))
        assert isinstance(rounded, dict)
        return rounded


_HOW: dict[Outcome, str] = {
    "ok": "as expected",
    "failed": "not as expected",
    "not_answered": "not answered",
    "not_taken": "not taken by the AI",
}


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


@dataclass(slots=True)
class Entry:
    """One entry of the printed conversation. It is shown once it is ``ready`` and all before it were shown."""

    at_s: float
    who: str
    text: str
    latency_ms: float | None = None
    ready: bool = True


class Narrator:
    """Prints lines in the order of the conversation: an answer that is still being recognised delays the next lines."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._entries: deque[Entry] = deque()

    def begin(self) -> None:
        """Print the column heads."""
        self._show(f"{'time, s':>7}  {'latency':>9}  {'who':<7}  what")

    def add(self, entry: Entry) -> None:
        """Add an entry."""
        self._entries.append(entry)
        self.update()

    def update(self) -> None:
        """Print the entries that are ready."""
        while self._entries and self._entries[0].ready:
            for line in lines_of(self._entries.popleft()):
                self._show(line)

    def end(self) -> None:
        """Print all entries, ready or not."""
        for entry in self._entries:
            entry.ready = True
        self.update()


def lines_of(entry: Entry) -> list[str]:
    """The lines of an entry: time in seconds, latency, who, what; at most ``WIDTH`` columns."""
    latency = "" if entry.latency_ms is None else f"{entry.latency_ms:.0f} ms"
    head = f"{entry.at_s:7.2f}  {latency:>9}  {entry.who:<7}  "
    wrapped = textwrap.wrap(entry.text, WIDTH - _TEXT_COLUMN) or [""]
    return [(head + wrapped[0]).rstrip(), *(" " * _TEXT_COLUMN + line for line in wrapped[1:])]
