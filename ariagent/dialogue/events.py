"""Events of a conversation for log, metrics and records, in the past tense. CORE."""

from dataclasses import dataclass
from typing import Literal

from ariagent.dialogue.turns import TurnLatency
from ariagent.realtime.events import Usage


@dataclass(frozen=True, slots=True)
class AnswerBegan:
    """The agent's answer to the caller's turn can be heard from now on."""

    latency: TurnLatency
    item_id: str = ""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The caller's voice, or a key of theirs, cut the agent off."""

    item_id: str
    heard_ms: float
    dropped_ms: float


@dataclass(frozen=True, slots=True)
class CallerSaid:
    """The caller's words, transcribed."""

    item_id: str
    text: str | None
    """None: the transcription failed."""


@dataclass(frozen=True, slots=True)
class CallerSaidSoFar:
    """The words so far of a turn of the caller's that is not known to be over. ``CallerSaid`` tells them again."""

    item_id: str
    """The last part of the turn that has ended."""
    text: str


@dataclass(frozen=True, slots=True)
class AgentSaid:
    """The words that the agent generated; interruptions tell how many of them were heard."""

    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class ResponseFailed:
    """The model fell silent for a reason that is not visible otherwise (a limit, its filter)."""

    status: str
    reason: str
    message: str
    continues: bool = False
    """The reply broke off, and the caller did not interrupt it: the agent is to continue."""


@dataclass(frozen=True, slots=True)
class AgentBegan:
    """The agent can be heard, after silence or after another of its items."""

    item_id: str = ""


@dataclass(frozen=True, slots=True)
class AgentEnded:
    """The agent was heard to the end and says nothing more for now."""


@dataclass(frozen=True, slots=True)
class CallerBegan:
    """The caller speaks: the turn is theirs."""


@dataclass(frozen=True, slots=True)
class CallerEnded:
    """The caller's turn ended."""


@dataclass(frozen=True, slots=True)
class AnswerReleased:
    """The caller's turn is over: the answer that was held for it may be heard."""


@dataclass(frozen=True, slots=True)
class AnswerDiscarded:
    """A held answer was discarded, unheard: the caller continued, pressed a key or left, or the session was lost."""

    response_id: str
    usage: Usage
    """The tokens that it cost."""


@dataclass(frozen=True, slots=True)
class CutIn:
    """The caller spoke on so soon after the answer began that they had probably not finished their turn."""

    after_s: float
    """Seconds after the first frame of the answer."""


@dataclass(frozen=True, slots=True)
class SoundDismissed:
    """Something that the model took for the caller's speech did not interrupt the agent."""

    item_id: str
    what: str
    """``noise``, ``agreement`` or ``background``."""
    silent_ms: float
    """How long the agent was silent because of it."""


@dataclass(frozen=True, slots=True)
class DigitsGiven:
    """The model was told which keys the caller pressed."""

    digits: str


@dataclass(frozen=True, slots=True)
class TurnTranscribed:
    """The caller's turn ended, as the model's server reports it."""

    item_id: str
    seconds: float
    """Seconds of speech that are billed as transcribed."""
    billed: bool
    """The site has transcription."""
    believed: bool
    """False: the server's positions cannot be right."""
    ago_s: float = 0.0
    """Seconds since the server reported it."""


@dataclass(frozen=True, slots=True)
class GapEnded:
    """The caller's audio continues after a gap (hold, mute, loss)."""

    ms: float


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool runs: one of ariagent's, of the site's, or (``server``) of an MCP server's."""

    call_id: str
    name: str
    arguments: str = ""
    server: str = ""


@dataclass(frozen=True, slots=True)
class BuiltinToolUsed:
    """The model has called one of ariagent's own tools."""

    name: str


@dataclass(frozen=True, slots=True)
class ToolEnded:
    """A tool has its result."""

    call_id: str
    name: str
    output: str
    ok: bool = True
    kind: str = ""
    seconds: float | None = None
    """None: it is not measured."""


@dataclass(frozen=True, slots=True)
class ProviderToolEnded:
    """A tool that the model's provider ran for it (MCP) is over."""

    call_id: str
    name: str
    server: str
    seconds: float
    error: str
    """The provider's error text; empty: no error."""
    ok: bool


@dataclass(frozen=True, slots=True)
class ProviderToolsMissing:
    """The provider could not list the tools of an MCP server."""

    server: str


@dataclass(frozen=True, slots=True)
class ToolsRefused:
    """Tool calls were answered without being run: too many at once, or one round after another."""

    count: int
    name: str
    rounds: int


@dataclass(frozen=True, slots=True)
class MessageTaken:
    """The caller left a message, or asks to be called back."""

    kind: Literal["message", "callback"]
    text: str
    number: str
    when: str


@dataclass(frozen=True, slots=True)
class TransferDeclined:
    """The model's wish to transfer the caller was not carried out."""

    destination: str
    kind: str
    state: str
    wrong: bool
    """The settings or Asterisk are wrong: nobody will ever be there."""


@dataclass(frozen=True, slots=True)
class WaitingPromptPlayed:
    """The caller heard a tone or a phrase because something takes long."""

    prompt: str
    """``tone``, or the phrase's text."""


DialogueEvent = (
    AnswerBegan
    | Interrupted
    | CallerSaid
    | CallerSaidSoFar
    | AgentSaid
    | ResponseFailed
    | AgentBegan
    | AgentEnded
    | CallerBegan
    | CallerEnded
    | AnswerReleased
    | AnswerDiscarded
    | CutIn
    | SoundDismissed
    | DigitsGiven
    | TurnTranscribed
    | GapEnded
    | ToolStarted
    | BuiltinToolUsed
    | ToolEnded
    | ProviderToolEnded
    | ProviderToolsMissing
    | ToolsRefused
    | MessageTaken
    | TransferDeclined
    | WaitingPromptPlayed
)
