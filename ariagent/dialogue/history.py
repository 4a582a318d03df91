"""The history of one call, as far as it was heard. A new session of the model is told it. CORE."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from ariagent.text import heard_words

Who = Literal["caller", "agent"]
Source = Who | Literal["note"]
"""A note is what the model was told in between."""

PRESSED = "[The caller pressed {digits} on the keypad.]"
"""The form of digits in the conversation."""

KEPT = 200
"""Entries; the oldest are forgotten."""


@dataclass(frozen=True, slots=True)
class Said:
    """Something that was said; of the agent only what was heard."""

    who: Source
    text: str


@dataclass(frozen=True, slots=True)
class Used:
    """A function call of the model, and its result (JSON text) once there is one."""

    call_id: str
    name: str
    arguments: str
    output: str | None = None


Entry = Said | Used


@dataclass(slots=True)
class _Line:
    entry: Entry
    key: str = ""
    """The item of what was said, the call's id of what was used."""


@dataclass(slots=True)
class History:
    """The history of one call, in the order of what happened. Items and ids are the model's; those of a former session
    may come again."""

    _lines: list[_Line] = field(default_factory=list)
    _parts: dict[str, float] = field(default_factory=dict)
    """The heard part (0 to 1) of each item whose words are not known yet."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Without what nobody heard."""
        return tuple(line.entry for line in self._lines if not isinstance(line.entry, Said) or line.entry.text)

    @property
    def last_said(self) -> tuple[Who, str] | None:
        """The side that spoke last, and its words."""
        said = (entry for entry in reversed(self.entries) if isinstance(entry, Said))
        return next(((entry.who, entry.text) for entry in said if entry.who != "note"), None)

    def resume(self, entries: Iterable[Entry]) -> None:
        """This is what was said before."""
        self._lines = [_Line(entry) for entry in entries]

    def said(self, who: Source, text: str, item_id: str = "") -> None:
        if who == "agent" and (part := self._parts.pop(item_id, None)) is not None:
            text = heard_words(text, part)
        self._add(Said(who, text), item_id)

    def cut(self, item_id: str, part: float) -> None:
        """Note that only ``part`` (0 to 1) of this item of the agent was heard; its words may follow."""
        for line in reversed(self._lines):
            if line.key == item_id and isinstance(line.entry, Said):
                line.entry = replace(line.entry, text=heard_words(line.entry.text, part))
                return
        self._parts[item_id] = part
        if len(self._parts) > KEPT:
            del self._parts[next(iter(self._parts))]

    def used(self, call_id: str, name: str, arguments: str) -> None:
        self._add(Used(call_id, name, arguments), call_id)

    def answered(self, call_id: str, output: str) -> None:
        for line in reversed(self._lines):
            if line.key == call_id and isinstance(line.entry, Used):
                line.entry = replace(line.entry, output=output)
                return

    def digest(self, longest: int = 6) -> str:
        """The last things said, for the human agent."""
        spoken = [entry for entry in self.entries if isinstance(entry, Said) and entry.who != "note"]
        return " / ".join(f"{entry.who}: {entry.text}" for entry in spoken[-longest:])

    def _add(self, entry: Entry, key: str) -> None:
        self._lines.append(_Line(entry, key))
        del self._lines[:-KEPT]
