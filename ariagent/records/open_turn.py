"""The caller's turn that was open when a process died: the record has its words, but not the turn. CORE."""

from collections.abc import Iterable, Iterator

from ariagent.records.events import CallerTurn, CallerTurnEnded, CallerTurnSoFar, CallTakenOver
from ariagent.records.model import EventRow


def closed(events: Iterable[EventRow]) -> list[EventRow]:
    """The events of a call without ``turn.so_far``. Where a process died before it told a turn, the words of the turn
    are a ``turn.caller``."""
    found: list[EventRow] = []
    open_: EventRow | None = None
    over: EventRow | None = None  # the turn is over; some of its words are still to come
    for row in events:
        match row.event:
            case CallerTurnSoFar():
                open_ = row
                continue
            case CallerTurnEnded():
                open_, over = None, open_ or over
            case CallerTurn():
                over = None
            case CallTakenOver():
                found += _turns(over, open_)
                open_ = over = None
        found.append(row)
    return [*found, *_turns(over, open_)]


def _turns(*rows: EventRow | None) -> Iterator[EventRow]:
    for row in rows:
        match row:
            case EventRow(event=CallerTurnSoFar(item=item, said=said)) if said:
                yield EventRow.of(row.at, CallerTurn(item, said))
