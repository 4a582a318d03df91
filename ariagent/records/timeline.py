"""One call as it went: who said what when, how long each answer took and why, what else happened. CORE."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from logging import WARNING

from ariagent.records import events as rec
from ariagent.records import open_turn, reconstruction
from ariagent.records.cost import PriceTable
from ariagent.records.entries import Entry, Latency, Note, ToolRun, Turn
from ariagent.records.model import CallRow, E, EventRow, UseRow, WaveRow, of_kind

_ELSEWHERE = (
    *(rec.CallStarted, rec.CallAnswered, rec.CallEnded, rec.StateChanged, rec.ModelUsed),
    *(rec.CallerTurn, rec.AgentTurn, rec.CallerTurnEnded, rec.AgentTurnBegan, rec.AnswerBegan, rec.AgentInterrupted),
    *(rec.ToolCalled, rec.BuiltinToolUsed, rec.ToolEnded),
)
"""Events that the head, the bill, a turn or a tool shows."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """One call, ready to be shown."""

    call: CallRow
    head: rec.CallStarted | None
    end: rec.CallEnded | None
    duration_s: float
    entries: tuple[Entry, ...]
    use: tuple[UseRow, ...] = ()
    currency: str = ""
    waves: Mapping[str, bytes] = field(default_factory=dict)
    """The waves by side: one byte per 50 ms from the call's beginning (see ``audio.peaks``)."""

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
        """The cost of the whole call; None if it is not known (no use, or a model without a price)."""
        costs = [row.cost for row in self.use]
        return sum(cost or 0.0 for cost in costs) if costs and None not in costs else None


def build(
    call: CallRow,
    events: Sequence[EventRow],
    waves: Iterable[WaveRow] = (),
    use: Iterable[UseRow] = (),
    prices: PriceTable | None = None,
) -> Timeline:
    """The timeline of ``call``. An event that this version cannot read becomes a note."""
    events = open_turn.closed(events)
    drawn = reconstruction.waves(waves)
    last = max([event.at for event in events], default=call.began)
    over = call.ended if call.ended is not None else last
    tools = reconstruction.tools(call.began, events)
    turns = reconstruction.turns(call.began, events, tools, drawn)
    entries: list[Entry] = [*turns, *tools, *_notes(call.began, events)]
    return Timeline(
        call,
        _first(rec.CallStarted, events),
        _first(rec.CallEnded, events),
        max(over - call.began, *(len(peaks) * reconstruction.BLOCK_S for peaks in drawn.values()), 0.0),
        tuple(sorted(entries, key=lambda entry: entry.at_s)),
        tuple(row if prices is None else row.priced(prices) for row in use),
        prices.currency if prices is not None else "",
        drawn,
    )


def _first(kind: type[E], events: Sequence[EventRow]) -> E | None:
    return next((event for _, event in of_kind(kind, events)), None)


def _notes(began: float, events: Sequence[EventRow]) -> list[Note]:
    return [
        Note(row.at - began, row.name, row.fields, _note_kind(row.event))
        for row in events
        if not isinstance(row.event, _ELSEWHERE)
    ]


def _note_kind(event: rec.CallEvent | None) -> str:
    match event:
        case rec.WaitingPromptPlayed():
            return "waiting_prompt"
        case rec.AudioGap():
            return "gap"
        case rec.CallEvent(LEVEL=int(level)) if level >= WARNING:
            return "error"
    return "event"
