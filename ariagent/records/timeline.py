"""One call as it went: who said what when, how long each answer took and why, what else happened. CORE."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ariagent.records import retell
from ariagent.records.cost import PriceTable
from ariagent.records.entries import Entry, Latency, Note, ToolRun, Turn
from ariagent.records.model import CallRow, EventRow, UseRow, WaveRow

_FAULTS = (".failed", ".refused", ".malformed", ".broken", ".lost", ".unreachable")
_ELSEWHERE = {
    *("call.started", "call.answered", "call.ended", "call.state", "call.digit", "usage"),
    *("turn.caller", "turn.agent", "turn.ended", "turn.began", "turn.answered", "turn.interrupted"),
    *("tool.called", "tool.used", "tool.done"),
}
"""Events that are told in the head, the bill, a turn or a tool, or (a single digit) together with others."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """One call, ready to be shown."""

    call: CallRow
    head: Mapping[str, object]
    """What ``call.started`` told."""
    end: Mapping[str, object]
    """What ``call.ended`` told."""
    duration_s: float
    entries: tuple[Entry, ...]
    use: tuple[UseRow, ...] = ()
    currency: str = ""
    waves: Mapping[str, bytes] = field(default_factory=dict)
    """By side: one byte per 50 ms from the call's beginning (see ``audio.peaks``)."""

    @property
    def turns(self) -> tuple[Turn, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, Turn))

    @property
    def tools(self) -> tuple[ToolRun, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, ToolRun))

    @property
    def notes(self) -> tuple[Note, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, Note))

    @property
    def latencies(self) -> tuple[Latency, ...]:
        return tuple(turn.latency for turn in self.turns if turn.latency is not None)

    @property
    def cost(self) -> float | None:
        """Of the whole call; None where it is not known (no use, or a model without a price)."""
        costs = [row.cost for row in self.use]
        return sum(cost or 0.0 for cost in costs) if costs and None not in costs else None


def build(
    call: CallRow,
    events: Sequence[EventRow],
    waves: Iterable[WaveRow] = (),
    use: Iterable[UseRow] = (),
    prices: PriceTable | None = None,
) -> Timeline:
    """The timeline of ``call``. Events of unknown names become notes; fields that are missing are done without."""
    heads = {name: _first(events, name) for name in ("call.started", "call.ended")}
    drawn = retell.waves(waves)
    last = max([event.at for event in events], default=call.began)
    over = call.ended if call.ended is not None else last
    tools = retell.tools(call.began, events)
    turns = retell.turns(call.began, events, tools, drawn)
    entries: list[Entry] = [*turns, *tools, *_notes(call.began, events)]
    return Timeline(
        call,
        heads["call.started"],
        heads["call.ended"],
        max(over - call.began, *(len(peaks) * retell.BLOCK_S for peaks in drawn.values()), 0.0),
        tuple(sorted(entries, key=lambda entry: entry.at_s)),
        tuple(row if prices is None else row.priced(prices) for row in use),
        prices.currency if prices is not None else "",
        drawn,
    )


def _first(events: Sequence[EventRow], name: str) -> Mapping[str, object]:
    return next((event.fields for event in events if event.name == name), {})


def _notes(began: float, events: Sequence[EventRow]) -> list[Note]:
    notes: list[Note] = []
    for event in events:
        name = event.name
        if name in _ELSEWHERE:
            continue
        kind = "sign" if name == "tool.sign" else "event"
        if name.endswith(_FAULTS) or ".not_" in name or event.fields.get("ok") is False:
            kind = "error"
        elif ".gap" in name or "underrun" in name:
            kind = "gap"
        notes.append(Note(event.at - began, name, event.fields, kind))
    return notes
