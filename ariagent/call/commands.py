"""The commands of a call's state machine, in the imperative. The call carries them out, in order."""

from dataclasses import dataclass

from ariagent.dialogue.handoff import Handoff
from ariagent.dialogue.introduction import Party
from ariagent.termination import Result, Termination


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer the caller's channel."""


@dataclass(frozen=True, slots=True)
class StartTalking:
    """Open the conversation: the agent's first words, the caller's audio to the model."""


@dataclass(frozen=True, slots=True)
class FollowLeg:
    """Treat this channel as the caller's from now on."""

    channel_id: str


@dataclass(frozen=True, slots=True)
class GreetCaller:
    """Greet a caller who was transferred to the AI in the middle of the call."""

    before: Party
    caller: Party


@dataclass(frozen=True, slots=True)
class PressKey:
    """The caller pressed this key."""

    digit: str


@dataclass(frozen=True, slots=True)
class ReturnToDialplan:
    """Give the caller's channel back to the dialplan with ``ARIAGENT_RESULT`` set: the dialplan sends the caller to the
    human queue."""

    result: Result


@dataclass(frozen=True, slots=True)
class LeaveQueue:
    """Take the caller, whom no other seat could serve either, out of their queue: ReturnToDialplan follows."""


@dataclass(frozen=True, slots=True)
class PrepareAnnouncement:
    """Have the summary spoken for who takes the call, if the transfer wants one.

    The summary of another transfer and the human agent who is called for it are wanted no longer.
    """

    handoff: Handoff


@dataclass(frozen=True, slots=True)
class StartWarmTransfer:
    """Find somebody who takes the caller over, and tell them what it is about; TransferRequested follows then."""

    handoff: Handoff


@dataclass(frozen=True, slots=True)
class CancelWarmTransfer:
    """Look for nobody any more."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Have Asterisk transfer the caller; reported as Transferred or TransferFailed."""

    handoff: Handoff


@dataclass(frozen=True, slots=True)
class TellTransferFailed:
    """Tell the model that the transfer failed."""

    handoff: Handoff


@dataclass(frozen=True, slots=True)
class TellNotDone:
    """Tell the model that what it announced was not done, because the caller spoke."""

    handoff: Handoff | None
    """The transfer; None: the end of the call."""


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


AsteriskCommand = Answer | GreetCaller | LeaveQueue | ReturnToDialplan | Transfer | HangUp | Release | Leave
"""Commands that take requests to Asterisk: done one after another, beside everything else."""
Command = (
    AsteriskCommand
    | StartTalking
    | FollowLeg
    | PressKey
    | PrepareAnnouncement
    | StartWarmTransfer
    | CancelWarmTransfer
    | TellTransferFailed
    | TellNotDone
    | Finish
)
