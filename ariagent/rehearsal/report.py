"""What happened in a synthetic caller's call: as values, as JSON, and as lines that appear while it happens."""

from __future__ import annotations

import textwrap
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ariagent.rehearsal.answerer import Who

WIDTH = 120
_TEXT_COLUMN = 29

Speaker = Literal["caller", "agent"]
After = Literal["answer", "speech", "digits"]
Outcome = Literal["ok", "failed", "not_answered", "not_taken"]
"""``not_taken``: something else than the AI answered."""
WordsFrom = Literal["records", "api", "recogniser"]
"""Where an agent's words come from: the service's records, its API, or a recogniser's guess."""


@dataclass(slots=True)
class Turn:
    """Somebody spoke. Times are seconds since the call was placed."""

    who: Speaker
    start_s: float
    end_s: float
    text: str | None = None
    """What was said; None where nobody knows the agent's words."""
    latency_ms: float | None = None
    """The agent's: from ``after`` to the first loud frame that was received. None when it spoke before that."""
    after: After | None = None
    """What the latency counts from: the call's answer, the caller's last loud frame, the last key."""
    interrupted: bool = False
    words_from: WordsFrom | None = None
    """The agent's: how its words are known."""
    heard: str | None = None
    """The agent's: a recogniser's guess from the sound, where one was asked for."""


@dataclass(slots=True)
class Interruption:
    """The caller spoke over the agent."""

    start_s: float
    stopped_after_ms: float
    """First loud frame of the caller handed to Asterisk to last loud frame of the agent received."""


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
    digits: list[Digits] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    """Longer than a second."""
    steps_began_s: list[float] = field(default_factory=list)
    """When each step of the script that was come to began."""
    placed_at: float = 0.0
    """When the call was placed, in seconds since the epoch."""
    ended_by: Literal["caller", "other side"] | None = None
    duration_s: float = 0.0
    recording: str | None = None
    answered_by: Who = "unknown"
    """Who took the call."""
    answered: str = ""
    """The same as a sentence; empty where nobody did, or where it cannot be told."""

    @property
    def latencies_ms(self) -> list[float]:
        """Of the answers to what the caller said."""
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
        """The call was answered, and not by anybody else than the AI as far as is known."""
        return self.outcome not in ("not_answered", "not_taken")

    @property
    def guessed(self) -> bool:
        """Some of the agent's words are a recogniser's guess."""
        return any(turn.words_from == "recogniser" for turn in self.turns)

    @property
    def wordless(self) -> bool:
        """Of something that the agent said nobody knows the words."""
        return any(turn.who == "agent" and turn.text is None for turn in self.turns)

    def document(self) -> dict[str, Any]:
        """As JSON: every field by its name, numbers rounded to tenths of a millisecond."""
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
    """One event of the narration. It is shown when it is ``ready`` and those before it were shown."""

    at_s: float
    who: str
    text: str
    latency_ms: float | None = None
    ready: bool = True


class Narrator:
    """Lines in the order of the conversation: an answer that is still being recognised holds back what follows."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._entries: deque[Entry] = deque()

    def begin(self) -> None:
        """The heading of the columns."""
        self._show(f"{'time, s':>7}  {'latency':>9}  {'who':<7}  what")

    def add(self, entry: Entry) -> None:
        """Something happened."""
        self._entries.append(entry)
        self.update()

    def update(self) -> None:
        """An entry has become ready."""
        while self._entries and self._entries[0].ready:
            for line in lines_of(self._entries.popleft()):
                self._show(line)

    def end(self) -> None:
        """Show everything, ready or not."""
        for entry in self._entries:
            entry.ready = True
        self.update()


def lines_of(entry: Entry) -> list[str]:
    """Time in seconds, latency, who, what; at most ``WIDTH`` columns."""
    latency = "" if entry.latency_ms is None else f"{entry.latency_ms:.0f} ms"
    head = f"{entry.at_s:7.2f}  {latency:>9}  {entry.who:<7}  "
    wrapped = textwrap.wrap(entry.text, WIDTH - _TEXT_COLUMN) or [""]
    return [(head + wrapped[0]).rstrip(), *(" " * _TEXT_COLUMN + line for line in wrapped[1:])]
