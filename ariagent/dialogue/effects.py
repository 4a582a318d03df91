"""Effects: what a conversation asks its call to do. CORE.

The dialogue decides and does nothing: these effects, and the events of ``dialogue.events``, are all that leaves it.
"""

from dataclasses import dataclass

from ariagent.dialogue.events import DialogueEvent
from ariagent.dialogue.handoff import Handoff
from ariagent.realtime.events import ToolCall

MODEL_LOST, MODEL_SILENT = "model_lost", "model_silent"
"""Reasons of calls that ended because of their model."""


@dataclass(frozen=True, slots=True)
class CallerSpoke:
    """The caller has begun to speak: a goodbye, or a transfer that the model asked for, is off."""


@dataclass(frozen=True, slots=True)
class EndRequested:
    """The call is to end as soon as what is being said has been heard."""

    reason: str
    final: bool = False
    """Speaking into the goodbye does not keep the call."""


@dataclass(frozen=True, slots=True)
class NobodyThere:
    """No person is at the other end: the call is to end now."""

    what: str
    """``fax``, ``modem``, ``voicemail`` or ``transferred_away``."""


@dataclass(frozen=True, slots=True)
class FallbackRequested:
    """The caller is to go to the dialplan's human queue now."""

    reason: str


@dataclass(frozen=True, slots=True)
class TransferRequested:
    """The caller is to be transferred as soon as what is being said has been heard."""

    handoff: Handoff


@dataclass(frozen=True, slots=True)
class WarmTransferRequested:
    """A human agent is to be found while the caller continues talking with the model."""

    handoff: Handoff


@dataclass(frozen=True, slots=True)
class WarmTransferCancelled:
    """No human agent is to be looked for any more."""


@dataclass(frozen=True, slots=True)
class ModelFailed:
    """The model's session could not be made, or is over and could not be reconnected."""

    cause: str
    reason: str = MODEL_LOST
    """The reason of the call's end, if the conversation had begun."""
    no_seat_helps: bool = False
    """No other seat could serve this caller either: the server refuses this agent's settings, or has no room for
    another session."""


@dataclass(frozen=True, slots=True)
class AgentFailed:
    """The model is gone in the middle of a conversation, and the agent has a destination for its callers."""

    cause: str
    fallback: Handoff
    reason: str = MODEL_LOST


@dataclass(frozen=True, slots=True)
class RunTool:
    """A tool of the site's is to run; its result comes back through ``Dialogue.tool_ended``."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class JudgeTurn:
    """The judge is to hear the caller's newest audio, and to say whether the turn is over; its answer comes back
    through ``Dialogue.turn_judged``. Another request is of no use any more."""

    pause: int
    """The number of the pause, for the answer."""
    speech_ms: float
    """How much of the newest audio is the turn's."""
    within_s: float
    """Seconds in which the answer is of use."""


@dataclass(frozen=True, slots=True)
class StopJudging:
    """No judgement is waited for any more."""


@dataclass(frozen=True, slots=True)
class SpeechReady:
    """There is something to play: the next frame need not wait for the 20 ms raster."""


@dataclass(frozen=True, slots=True)
class GiveUpSession:
    """Nothing more of this session's server is wanted."""

    cause: str


Effect = (
    CallerSpoke
    | EndRequested
    | NobodyThere
    | FallbackRequested
    | TransferRequested
    | WarmTransferRequested
    | WarmTransferCancelled
    | ModelFailed
    | AgentFailed
    | RunTool
    | JudgeTurn
    | StopJudging
    | SpeechReady
    | GiveUpSession
)
Happened = DialogueEvent | JudgeTurn | StopJudging
"""Events of the conversation, and its wishes to the judge."""
