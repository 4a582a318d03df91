"""Events of a call for its state machine, in the past tense. The call makes them."""

from dataclasses import dataclass

from ariagent.dialogue.effects import (
    MODEL_LOST,
    MODEL_SILENT,
    AgentFailed,
    CallerSpoke,
    EndRequested,
    FallbackRequested,
    ModelFailed,
    NobodyThere,
    TransferRequested,
    WarmTransferCancelled,
    WarmTransferRequested,
)
from ariagent.dialogue.introduction import Party

__all__ = (
    "MODEL_LOST",
    "MODEL_SILENT",
    "AgentFailed",
    "CallerSpoke",
    "EndRequested",
    "Event",
    "FallbackRequested",
    "ModelFailed",
    "NobodyThere",
    "TransferRequested",
    "WarmTransferCancelled",
    "WarmTransferRequested",
)


@dataclass(frozen=True, slots=True)
class ModelReady:
    """The model's session is configured."""


@dataclass(frozen=True, slots=True)
class MediaReady:
    """Asterisk's audio connection is up and bridged with the caller."""


@dataclass(frozen=True, slots=True)
class MediaFailed:
    """The audio connection or the bridge could not be made, or was lost."""

    cause: str
    for_all: bool = False
    """No other call would get any audio now either."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Asterisk answered the caller's channel for us."""


@dataclass(frozen=True, slots=True)
class CallerLeft:
    """The caller's channel hung up or left our application."""

    hung_up: bool = False
    """The caller is known to have hung up."""


@dataclass(frozen=True, slots=True)
class LegReplaced:
    """Another channel took the place of the caller's (a transfer): the same call continues."""

    channel_id: str


@dataclass(frozen=True, slots=True)
class PartyChanged:
    """Another party is on the line from now on: a human agent transferred a caller to the AI and has left."""

    before: Party
    caller: Party


@dataclass(frozen=True, slots=True)
class DigitPressed:
    digit: str


@dataclass(frozen=True, slots=True)
class Transferred:
    """Asterisk has taken the caller to where they were to go."""


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """Asterisk has not taken the caller, as far as is known. They are still with us, or have hung up meanwhile."""

    cause: str


@dataclass(frozen=True, slots=True)
class Stranded:
    """The caller can neither be handed over nor stay; the machine's own event."""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The service stops now."""


@dataclass(frozen=True, slots=True)
class LeaveRequested:
    """The service ends now, and the next process continues the call."""


@dataclass(frozen=True, slots=True)
class SpeechFinished:
    """The agent has been heard to the end."""


@dataclass(frozen=True, slots=True)
class Released:
    """Every channel, bridge and connection of the call is given back."""


Event = (
    ModelReady
    | ModelFailed
    | AgentFailed
    | MediaReady
    | MediaFailed
    | Answered
    | CallerLeft
    | LegReplaced
    | PartyChanged
    | DigitPressed
    | EndRequested
    | NobodyThere
    | FallbackRequested
    | TransferRequested
    | WarmTransferRequested
    | WarmTransferCancelled
    | Transferred
    | TransferFailed
    | Stranded
    | CallerSpoke
    | StopRequested
    | LeaveRequested
    | SpeechFinished
    | Released
)
