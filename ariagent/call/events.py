"""What can happen to a call, as its state machine sees it. Past tense; the runner makes them."""

from dataclasses import dataclass

from ariagent.dialogue.handoff import Handoff
from ariagent.dialogue.introduction import Party

MODEL_LOST, MODEL_SILENT = "model_lost", "model_silent"


@dataclass(frozen=True, slots=True)
class ModelReady:
    """The model's session is configured."""


@dataclass(frozen=True, slots=True)
class ModelFailed:
    """The model's session could not be made, or is over and could not be made anew."""

    cause: str
    reason: str = MODEL_LOST
    """Of the call's end, where it had begun."""
    no_seat_helps: bool = False
    """The other seats take calls, and none of them could serve this caller: the server refuses this agent's settings,
    or has no room for another session."""


@dataclass(frozen=True, slots=True)
class AgentGone:
    """As ModelFailed, in the middle of a conversation of an agent that may hand callers to people: to these."""

    cause: str
    way_out: Handoff
    reason: str = MODEL_LOST


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


@dataclass(frozen=True, slots=True)
class LegReplaced:
    """Another channel took the place of the caller's (a transfer): the same call goes on."""

    channel_id: str


@dataclass(frozen=True, slots=True)
class PartyChanged:
    """Somebody else is on the line from now on: who was there has put them through to us and is gone."""

    before: Party
    caller: Party


@dataclass(frozen=True, slots=True)
class DigitPressed:
    digit: str


@dataclass(frozen=True, slots=True)
class EndRequested:
    """Our side wants the call to end after what is being said has been heard."""

    reason: str


@dataclass(frozen=True, slots=True)
class NobodyThere:
    """No person is at the other end: the call is to end now."""

    what: str
    """fax, modem, voicemail or transferred_away."""


@dataclass(frozen=True, slots=True)
class PersonRequested:
    """The caller is to go to people now."""

    reason: str


@dataclass(frozen=True, slots=True)
class HandoffRequested:
    """The caller is to go to these people as soon as what is being said has been heard."""

    handoff: Handoff


@dataclass(frozen=True, slots=True)
class ColleagueRequested:
    """Somebody is to be found who takes the caller over, while the caller goes on talking with the agent."""

    handoff: Handoff


@dataclass(frozen=True, slots=True)
class ColleagueUnwanted:
    """Nobody is to be looked for any more."""


@dataclass(frozen=True, slots=True)
class HandedOver:
    """Asterisk has taken the caller to where they were to go."""


@dataclass(frozen=True, slots=True)
class HandoffFailed:
    """Asterisk would not; the caller is still with us."""

    cause: str


@dataclass(frozen=True, slots=True)
class Stranded:
    """The caller can neither be handed over nor stay; the machine's own event."""


@dataclass(frozen=True, slots=True)
class CallerSpoke:
    """The caller spoke into the goodbye: they are not done."""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The service stops now."""


@dataclass(frozen=True, slots=True)
class LeaveRequested:
    """The service ends now, and the next process goes on with the call."""


@dataclass(frozen=True, slots=True)
class PlayoutDrained:
    """The agent has been heard to the end."""


@dataclass(frozen=True, slots=True)
class Released:
    """Every channel, bridge and connection of the call is given back."""


Event = (
    ModelReady
    | ModelFailed
    | AgentGone
    | MediaReady
    | MediaFailed
    | Answered
    | CallerLeft
    | LegReplaced
    | PartyChanged
    | DigitPressed
    | EndRequested
    | NobodyThere
    | PersonRequested
    | HandoffRequested
    | ColleagueRequested
    | ColleagueUnwanted
    | HandedOver
    | HandoffFailed
    | Stranded
    | CallerSpoke
    | StopRequested
    | LeaveRequested
    | PlayoutDrained
    | Released
)
