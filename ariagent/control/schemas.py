"""CORE: what goes into the API and comes out of it. The OpenAPI document is made from these."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ariagent.config.base import Form
from ariagent.config.handoff import Place
from ariagent.config.tree import DrainTo
from ariagent.dialogue.handoff import LONGEST_TEXT
from ariagent.pool.seats import SeatState

LONGEST_WAIT_S = 30.0
LONGEST_DRAIN_S = 86_400.0


class _Body(BaseModel):
    """A body without unknown fields and without values of another type."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)


class _Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True, frozen=True)


def _not_too_long(text: str) -> str:
    # Counted as what it is cut to where it is used; lone surrogates are no characters.
    if len(text.encode(errors="replace")) > LONGEST_TEXT:
        raise ValueError(f"must have at most {LONGEST_TEXT} bytes (UTF-8)")
    return text


Note = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(_not_too_long)]


class TransferBody(_Body):
    """The place for the caller: ``destination`` or ``queue``."""

    destination: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """One of the site's ``destinations``, by its name."""
    queue: Place | None = None
    """A queue of Asterisk's, by its name."""
    reason: Note = ""
    """The reason, for the human agent who takes the call (``ARIAGENT_REASON``)."""
    summary: Note = ""
    """The summary, for the human agent who takes the call (``ARIAGENT_SUMMARY``)."""
    wait_s: Annotated[float, Field(ge=0, le=LONGEST_WAIT_S)] = 0.0
    """Answer when the caller has been transferred, or after this many seconds; 0: at once, with status 202."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.destination is None) == (self.queue is None):
            raise ValueError("give destination or queue, and not both")
        return self


class WhisperBody(_Body):
    """A note to the model that the caller does not hear."""

    text: Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT), AfterValidator(_not_too_long)]
    """The text; at most 500 bytes (UTF-8). Control characters and line breaks count as spaces."""
    now: bool = False
    """Have the agent act on it at once; else it does when it speaks next."""


class SeatsBody(_Body):
    """The seats to pause or resume."""

    seat: Annotated[str, Form(r"^[0-9]{1,3}$", 'must be the number of a seat, as "07"')] | None = None
    """The number of one (as in ``Local/07@ariagent-seat``), in all of its queues; null or nothing: all."""


class DrainBody(_Body):
    """How the service ends. Keys that are left out are as in the settings; if the service is draining already, they
    stay as they are."""

    to: DrainTo | None = None
    """Where remaining calls go: the ``human_queue``, or the ``next`` process, which must start at once."""
    after_s: Annotated[float, Field(ge=0, le=LONGEST_DRAIN_S)] | None = None
    """How long calls may continue."""


class ErrorAnswer(_Answer):
    """Why something was not done."""

    error: str
    """A word for programs."""
    reason: str
    """A sentence for a reader."""
    remedy: str = ""
    """The remedy; left out if it is not known."""


class Words(_Answer):
    """The words of one side."""

    side: Literal["caller", "agent"]
    text: str


class CallAnswer(_Answer):
    """A call in progress."""

    id: str
    """The call's id: queue_log's and CHANNEL(linkedid)."""
    state: str
    """The state of the call, as in ``docs/call-states.md``, or ``warm_transfer``: the caller talks with the AI while a
    human agent is called."""
    began: float
    """Unix time, seconds."""
    answered_s: float | None
    """Seconds since caller and agent were connected; null: not yet."""
    agent: str
    seat: str
    """Number of the queue's seat; empty for a direct call."""
    queue: str
    """The queue that the caller came through; empty for a direct call."""
    language: str
    caller: str
    """Number; empty when it is withheld."""
    caller_name: str
    channel: str
    """The name of the caller's channel, or of the seat's, in Asterisk."""
    last_words: Words | None


class CallsAnswer(_Answer):
    calls: list[CallAnswer]
    """The longest first."""
    process: str
    """The service's process: the next process has another value."""


class TransferAnswer(_Answer):
    """How far a transfer is."""

    id: str
    to: str
    """The queue's name, or the destination's."""
    state: Literal["under_way", "transferred"]


class WhisperAnswer(_Answer):
    id: str
    told: str
    """The text that the model was told, cleaned."""


class QueueAnswer(_Answer):
    """A queue at this moment. ``logged_in = free + ringing + busy + paused``."""

    name: str
    logged_in: int
    free: int
    ringing: int
    busy: int
    paused: int
    waiting: int
    longest_wait_s: float
    """The longest wait of the callers who wait now, in seconds."""
    handling_s: float | None
    """How long a conversation takes here; null: not known."""
    next_wait_s: float | None
    """How long one more caller would wait; 0: somebody is free; null: cannot be known."""


class DestinationAnswer(_Answer):
    """Destinations that callers can be transferred to by name."""

    name: str
    description: str
    queue: str | None
    extension: str | None


class QueuesAnswer(_Answer):
    known: bool
    """False: Asterisk's manager interface is not configured, or not connected."""
    queues: list[QueueAnswer]
    destinations: list[DestinationAnswer]


class DrainAnswer(_Answer):
    """The service takes no new calls, and ends when the calls in progress have ended."""

    calls: int
    """Calls that still run."""
    timeout_s: float
    """Seconds after which the remaining calls go ``to``."""
    to: DrainTo
    """The ``human_queue`` or the ``next`` process."""
    process: str
    """The process that ends, as ``GET /v1/calls`` has it."""


class SeatAnswer(_Answer):
    """One seat in one queue."""

    number: str
    queue: str
    interface: str
    name: str
    """The seat's name in queue_log and reports."""
    state: SeatState
    """The seat's state in its queue; ``unavailable``: the AI takes no calls; ``invalid``: Asterisk finds no hint for
    it."""
    busy: bool
    paused: bool
    reason: str
    """Why it is paused, or empty."""


class SeatsAnswer(_Answer):
    known: bool
    """False: Asterisk's manager interface is not configured, or not connected."""
    held_by: list[str]
    """Why no seat takes calls now: draining, down, model, hours, capped, overloaded, full. Empty: seats that are not
    paused do."""
    seats: list[SeatAnswer]


class PausedAnswer(_Answer):
    seats: list[str]
    """The numbers of those that were meant."""
    paused: bool
    """The state that was asked for."""
    settled: bool
    """Asterisk has been told; false: it will be as soon as it can."""
