"""How a call ended. CORE."""

from dataclasses import dataclass
from enum import Enum


class Result(Enum):
    """How a call ended, as the dialplan (``ARIAGENT_RESULT``), logs and metrics see it."""

    DONE = "done"
    NO_MODEL = "no_model"
    BUSY = "busy"
    ERROR = "error"
    TRANSFERRED = "transferred"
    """The caller was transferred to human agents."""
    PERSON = "person"
    """The caller asked for a human agent."""
    LEFT = "left"
    """Only this process's part has ended: the caller is still in Stasis, and the next process continues the call."""


@dataclass(frozen=True, slots=True)
class Termination:
    """The one end that every call has."""

    result: Result
    reason: str
    """``caller_hung_up``, ``agent_ended``, ``model_unreachable``, ``model_lost``, ``media_failed``, ``stopped`` ..."""
    cause: str = ""
    """Details for a reader, where something failed."""
