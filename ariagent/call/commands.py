"""What a call's state machine wants done. Imperative; the runner does them, in order."""

from dataclasses import dataclass
from enum import Enum

from ariagent.dialogue.handoff import Handoff
from ariagent.dialogue.introduction import Party


class Result(Enum):
    """How a call ended, as the dialplan (``ARIAGENT_RESULT``), logs and metrics see it."""

    DONE = "done"
    NO_MODEL = "no_model"
    BUSY = "busy"
    ERROR = "error"
    TRANSFERRED = "transferred"
    """The agent handed the caller to people."""
    PERSON = "person"
    """The caller asked for people."""
    LEFT = "left"
    """Nothing ended but our part: the caller is still in Asterisk's Stasis, for the next process to go on with."""


@dataclass(frozen=True, slots=True)
class Termination:
    """The one end that every call has."""

    result: Result
    reason: str
    """caller_hung_up, agent_ended, model_unreachable, model_lost, model_silent, media_failed, stopped ..."""
    cause: str = ""
    """Details for a reader, where something failed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer the caller's channel."""


@dataclass(frozen=True, slots=True)
class StartTalking:
    """Open the conversation: the agent's first words, the caller's audio to the model."""


@dataclass(frozen=True, slots=True)
class FollowLeg:
    """From now on the caller's channel is this one."""

    channel_id: str


@dataclass(frozen=True, slots=True)
class MeetCaller:
    """Begin with somebody who was put through to us in the middle of the call."""

    before: Party
    caller: Party


@dataclass(frozen=True, slots=True)
class PressKey:
    """The caller pressed this key."""

    digit: str


@dataclass(frozen=True, slots=True)
class Drain:
    """Report PlayoutDrained once the agent has been heard to the end."""

    final: bool = False
    """The caller cannot prevent what follows by talking."""


@dataclass(frozen=True, slots=True)
class ReturnToDialplan:
    """Give the caller's channel back to the dialplan with ``ARIAGENT_RESULT`` set: people take over."""

    result: Result


@dataclass(frozen=True, slots=True)
class BreakOff:
    """Take the caller, whom no other seat could serve either, out of their queue: ReturnToDialplan follows."""


@dataclass(frozen=True, slots=True)
class PrepareBrief:
    """Have the summary spoken for who takes the call."""

    handoff: Handoff


@dataclass(frozen=True, slots=True)
class CallColleague:
    """Find somebody who takes the caller over, and tell them what it is about; HandoffRequested follows then."""

    handoff: Handoff


@dataclass(frozen=True, slots=True)
class DropColleague:
    """Look for nobody any more."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """Have Asterisk transfer the caller; reported as HandedOver or HandoffFailed."""

    handoff: Handoff


@dataclass(frozen=True, slots=True)
class ExplainFailure:
    """Tell the model that the caller could not be put through."""

    handoff: Handoff


@dataclass(frozen=True, slots=True)
class HangUp:
    """Hang the caller's channel up."""


@dataclass(frozen=True, slots=True)
class Release:
    """Give back everything of the call but the caller's channel; report Released when it is done."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Say no more and let go of model and audio, but leave everything in Asterisk as it is; report Released then."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The call is over."""

    termination: Termination


Command = (
    Answer
    | StartTalking
    | FollowLeg
    | MeetCaller
    | PressKey
    | Drain
    | ReturnToDialplan
    | BreakOff
    | PrepareBrief
    | CallColleague
    | DropColleague
    | HandOver
    | ExplainFailure
    | HangUp
    | Release
    | Leave
    | Finish
)
