"""A call as its supervisors see it while it is in progress."""

from dataclasses import dataclass

from ariagent.dialogue.history import Who


@dataclass(frozen=True, slots=True)
class LiveCall:
    """One call at one moment."""

    call_id: str
    state: str
    """The state of the call, as in ``docs/call-states.md``, or ``warm_transfer``."""
    arrived: float
    """Unix time, seconds."""
    answered_s: float | None
    """Seconds since caller and agent were connected; None: not yet."""
    agent: str
    """The agent's name; "" until it is known."""
    seat: str
    """Number of the queue's seat; "" for a direct call."""
    queue: str
    """The queue that the caller came through; "" for a direct call."""
    language: str
    caller_number: str
    caller_name: str
    channel: str
    """The name of the caller's channel, or of the seat's, in Asterisk."""
    last_said: tuple[Who, str] | None
    """The side that spoke last, and its words."""
