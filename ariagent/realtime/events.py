"""Events of a Realtime session, in ariagent's own words.

Nothing outside this package knows the names of the wire events. Positions in the caller's audio
(``audio_start_ms``, ``audio_end_ms``) count the audio appended to the session, not wall time.
"""

from dataclasses import dataclass, field
from enum import Enum


class Fault(Enum):
    """The kind of a failure on the model's side: its origin, and whether trying again can help."""

    CREDENTIALS = "credentials"
    """The key was refused."""
    REQUEST = "request"
    """The model's name, the session or a request was refused: configuration."""
    LIMIT = "limit"
    """Rate limit or quota."""
    EXPIRED = "expired"
    """The session reached its longest duration."""
    NETWORK = "network"
    """Unreachable, timed out, or cut off."""
    SERVER = "server"
    """The server failed or broke its protocol."""
    SILENT = "silent"
    """The session lives, and nothing is heard of the model."""
    FLOOD = "flood"
    """The server sent more than a conversation needs, or too much that is none, and was cut off."""


TOKENS = ("input_text", "input_audio", "cached_text", "cached_audio", "output_text", "output_audio")
"""The kinds of tokens: fields of ``Usage``."""
SANDBOX = "(sandbox)"
"""The sandbox's use stands under this name, which no model can have, and costs nothing."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one response, or of several added up. Cached tokens are part of the input's."""

    input_text: int = 0
    input_audio: int = 0
    cached_text: int = 0
    cached_audio: int = 0
    output_text: int = 0
    output_audio: int = 0
    free: bool = field(default=False, kw_only=True)
    """The server said that nobody is billed for them: it is the sandbox."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_text + other.input_text,
            self.input_audio + other.input_audio,
            self.cached_text + other.cached_text,
            self.cached_audio + other.cached_audio,
            self.output_text + other.output_text,
            self.output_audio + other.output_audio,
            free=all(each.free for each in (self, other) if each.tokens) and bool(self.tokens or other.tokens),
        )

    @property
    def tokens(self) -> dict[str, int]:
        """How many of each kind; kinds without any left out."""
        return {kind: count for kind in TOKENS if (count := getattr(self, kind))}

    def billed_as(self, model: str) -> str:
        """The name under which the use of ``model`` is counted, and priced."""
        return SANDBOX if self.free else model


@dataclass(frozen=True, slots=True)
class SessionReady:
    """The session's configuration was acknowledged; audio may flow."""

    session_id: str
    expires_at: float
    """Seconds since the epoch; 0 when the server does not say."""
    silence_wait_ms: float
    """How long the turn detection waits in silence, as acknowledged; 0 where it does not wait a fixed time."""


@dataclass(frozen=True, slots=True)
class SessionLost:
    """The session is over in the middle of the call; another one is being made."""

    fault: Fault
    cause: str


@dataclass(frozen=True, slots=True)
class SessionRenewed:
    """Another session is ready in the place of the former, and knows nothing of the conversation yet."""

    lost_s: float
    """How long there was none; 0: it was changed in a quiet moment."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    item_id: str
    audio_start_ms: float


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    item_id: str
    audio_end_ms: float


@dataclass(frozen=True, slots=True)
class CallerTurnEnded:
    """The caller's audio became an item of the conversation."""

    item_id: str
    previous_item_id: str | None


@dataclass(frozen=True, slots=True)
class CallerTranscribed:
    """The transcript of a caller's turn. It arrives at any time, and turns may be out of order. ``text`` is None where
    it failed."""

    item_id: str
    text: str | None


@dataclass(frozen=True, slots=True)
class ResponseStarted:
    response_id: str
    answers: str | None = None
    """The item of the caller's turn that the model answers; None: it was asked for otherwise."""


@dataclass(frozen=True, slots=True)
class AudioArrived:
    """A piece of an item's audio, in the session's output encoding."""

    item_id: str
    audio: bytes
    response_id: str = ""


@dataclass(frozen=True, slots=True)
class AudioEnded:
    """No more audio will come for the item."""

    item_id: str
    response_id: str = ""


@dataclass(frozen=True, slots=True)
class AgentTranscribed:
    """The words of an item of the agent, as generated; how much was heard is for playout to say."""

    item_id: str
    text: str
    response_id: str = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A completed function call of the model; answer each exactly once."""

    call_id: str
    name: str
    arguments: str
    """JSON text, not yet validated."""


SILENT = "silent"
"""The reason of a response that completed, and had nothing in it to be heard or done."""


@dataclass(frozen=True, slots=True)
class ResponseEnded:
    response_id: str
    status: str
    """completed, cancelled, incomplete or failed."""
    reason: str
    """The reason, if the response is not completed: turn_detected, client_cancelled, max_output_tokens, an error's code
    ...; or ``SILENT``."""
    message: str
    usage: Usage
    tool_calls: tuple[ToolCall, ...] = ()
    """The tool calls; only a completed response has some."""
    unwanted: bool = False
    """The caller interrupted it: nobody waits for the rest."""
    superseded: bool = False
    """Nobody heard it: it answered a part of the caller's turn."""


@dataclass(frozen=True, slots=True)
class OutOfBandEnded:
    """Speech beside the conversation is complete, or will not come."""

    key: str
    audio: bytes
    """Whole, in the session's output encoding; empty: it failed."""
    transcript: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class ItemTruncated:
    """The server now remembers this item up to ``audio_end_ms`` only."""

    item_id: str
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """An error that does not end the session."""

    code: str
    message: str
    param: str = ""


@dataclass(frozen=True, slots=True)
class InputMalformed:
    """The server sent something that is no event; it was skipped. Its content is not kept."""

    what: str
    length: int


@dataclass(frozen=True, slots=True)
class ProviderToolStarted:
    """The model's provider runs a tool of an MCP server."""

    item_id: str
    name: str
    server: str
    """The server's name in ``mcp_servers``."""


@dataclass(frozen=True, slots=True)
class ProviderToolEnded:
    """The provider's tool has a result, has failed, or is not waited for any more."""

    item_id: str
    ok: bool
    error: str = ""


@dataclass(frozen=True, slots=True)
class ToolsNotListed:
    """The model's provider could not learn the tools of an MCP server: the model does without them."""

    server: str


@dataclass(frozen=True, slots=True)
class SessionFailed:
    """The session is over, or never began. The last event of a session."""

    fault: Fault
    cause: str
    remedy: str = field(default="")
    full: bool = field(default=False, kw_only=True)
    """The server has no room for another session now. Sessions that it has are not affected."""


Event = (
    SessionReady
    | SessionLost
    | SessionRenewed
    | SpeechStarted
    | SpeechStopped
    | CallerTurnEnded
    | CallerTranscribed
    | ResponseStarted
    | AudioArrived
    | AudioEnded
    | AgentTranscribed
    | ResponseEnded
    | OutOfBandEnded
    | ItemTruncated
    | RequestRefused
    | InputMalformed
    | ProviderToolStarted
    | ProviderToolEnded
    | ToolsNotListed
    | SessionFailed
)
