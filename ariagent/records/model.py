"""The rows of the records, as they are read. CORE."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from ariagent.realtime.events import Usage
from ariagent.records.cost import PriceTable
from ariagent.records.events import CallEvent, read

E = TypeVar("E", bound=CallEvent)


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call as a list shows it. Times are seconds since the epoch."""

    row: int
    call: str
    """The call id: queue_log's and CHANNEL(linkedid)."""
    visit: int
    """The number of this visit of the call to the AI, from 1."""
    began: float
    answered: float | None
    ended: float | None
    state: str
    """``ringing``, ``talking``, ...; ``ended``; ``lost``: the service was gone before the call had ended."""
    agent: str
    caller: str
    seat: str
    result: str
    reason: str
    side: str
    """The side that spoke last, "caller" or "agent" or ""; ``words``: its words."""
    words: str
    dropped: int
    """Events that could not be written."""
    cost: float | None = None

    @property
    def id(self) -> str:
        """The unique name of this call: its call id, with ``/2`` and so on for a later visit."""
        return self.call if self.visit == 1 else f"{self.call}/{self.visit}"

    @property
    def live(self) -> bool:
        return self.ended is None and self.state != "lost"


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A message that a caller left."""

    call: CallRow
    at: float
    kind: str
    """message or callback."""
    number: str
    """The number for calling back."""
    when: str
    """The time for calling back, as the caller said it."""
    text: str


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as it is stored, and what it means."""

    at: float
    """Seconds since the epoch."""
    name: str
    fields: Mapping[str, object]
    """The fields as they are stored. They are only shown; ``event`` has their meaning."""
    event: CallEvent | None = field(init=False)
    """None: another version of ariagent wrote it, and this one cannot read it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "event", read(self.name, self.fields))

    @classmethod
    def of(cls, at: float, event: CallEvent) -> "EventRow":
        """The row of an event."""
        return cls(at, event.NAME, event.to_fields())


def of_kind(kind: type[E], rows: Iterable[EventRow]) -> Iterator[tuple[float, E]]:
    """Each event of this type, with its time."""
    return ((row.at, row.event) for row in rows if isinstance(row.event, kind))


@dataclass(frozen=True, slots=True)
class WaveRow:
    side: str
    start_s: float
    """Seconds after the call began."""
    peaks: bytes


@dataclass(frozen=True, slots=True)
class UseRow:
    """Tokens and money of one model; of one call, or of several added up."""

    model: str
    usage: Usage
    transcribed_s: float = 0.0
    cost: float | None = None
    calls: int = 1

    def priced(self, prices: PriceTable) -> "UseRow":
        """The row with a cost at today's prices, if the journal has none."""
        if self.cost is not None:
            return self
        return replace(self, cost=prices.money(self.model, self.usage, self.transcribed_s))
