"""The events of a call as its record keeps them: one type per event, with its stored name. CORE.

``CallLog.tell`` writes an event to the log and to the call's record. ``read`` makes the event again from a stored name
and its fields; the timeline, the lists and the takeover of a call match on these types.

A field that has its default is not written, and reads as its default. A field that holds what was said (``words``) is
erased where the site keeps no transcripts, and is not for the log. A ``private`` field is for the record only.
Times and lengths have their unit in the name: ``_ms`` milliseconds, ``_s`` seconds.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from logging import DEBUG, ERROR, INFO, WARNING
from typing import Any, ClassVar, Self, TypeVar

NOT_TRANSCRIBED = "(not transcribed)"
"""How the caller's words are shown if their transcription failed."""

_PRIVACY = "privacy"
T = TypeVar("T")


def _private(default: T) -> T:
    """A field that is for the record only."""
    made: T = field(default=default, metadata={_PRIVACY: "private"})
    return made


def _words(default: T) -> T:
    """A field with words of the caller, of the agent, of a tool or of a human agent. It is private, too."""
    made: T = field(default=default, metadata={_PRIVACY: "words"})
    return made


class CallEvent:
    """Something that happened in a call. Its subclasses are frozen dataclasses; their fields are texts and numbers."""

    __slots__ = ()

    NAME: ClassVar[str]
    """The name in the log and in the record."""
    LEVEL: ClassVar[int | None] = INFO
    """The level of the log line; None: the event is for the record only."""

    def to_fields(self) -> dict[str, object]:
        """The fields that the record keeps: those that do not have their default."""
        return self._given(_layout(type(self)).fields)

    def _given(self, wanted: tuple[Field[Any], ...]) -> dict[str, object]:
        given: dict[str, object] = {}
        for each in wanted:
            value = getattr(self, each.name)
            if each.default is MISSING or value != each.default:
                given[each.name] = value
        return given

    def for_log(self, *, words: bool = False) -> dict[str, object]:
        """The fields that the log shows. ``words``: the site wants the spoken words in its log
        (``log.transcripts``)."""
        return self._given(_layout(type(self)).public)

    @classmethod
    def from_fields(cls, found: Mapping[str, object]) -> Self | None:
        """The event with these stored fields. Unknown fields are ignored; an optional field that is missing or of
        another type has its default. None: a required field is missing or of another type."""
        given: dict[str, Any] = {}
        for each in _layout(cls).fields:
            value = found.get(each.name, MISSING)
            if value is not MISSING and _fits(value, each.type):
                given[each.name] = value
            elif each.default is MISSING:
                return None
        return cls(**given)

    def with_texts(self, change: Callable[[str], str], *, only_words: bool = False) -> Self:
        """The event with each text changed; ``only_words``: each text that was said."""
        names = word_fields(type(self)) if only_words else [each.name for each in _layout(type(self)).fields]
        texts = {name: text for name in names if isinstance(text := getattr(self, name), str)}
        changed = {name: new for name, text in texts.items() if (new := change(text)) != text}
        return replace(self, **changed) if changed else self  # type: ignore[type-var]  # every subclass is a dataclass


@dataclass(frozen=True, slots=True)
class _Layout:
    """The fields of one type of event: looked up once for each type, for events are written all the time."""

    fields: tuple[Field[Any], ...]
    public: tuple[Field[Any], ...]
    """The fields that the log may show."""
    private: frozenset[str]
    words: frozenset[str]


_LAYOUTS: dict[type, _Layout] = {}


def _layout(kind: type[CallEvent]) -> _Layout:
    if (known := _LAYOUTS.get(kind)) is not None:
        return known
    found = fields(kind)  # type: ignore[arg-type]  # every subclass is a dataclass
    private = frozenset(each.name for each in found if _PRIVACY in each.metadata)
    words = frozenset(each.name for each in found if each.metadata.get(_PRIVACY) == "words")
    public = tuple(each for each in found if each.name not in private)
    layout = _LAYOUTS[kind] = _Layout(found, public, private, words)
    return layout


def private_fields(kind: type[CallEvent]) -> frozenset[str]:
    """The fields of an event that are not for the log, ``word_fields`` among them."""
    return _layout(kind).private


def word_fields(kind: type[CallEvent]) -> frozenset[str]:
    """The fields of an event that hold what was said."""
    return _layout(kind).words


def _fits(value: object, kind: object) -> bool:
    """Whether a value from JSON is of a field's type; an integer is a float, too."""
    if kind is float or kind == float | None:
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return number or (value is None and kind is not float)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)  # type: ignore[arg-type]  # str, bool or a union with None


# -- the call ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallStarted(CallEvent):
    """A call arrived, and it is known who calls and which agent it is for."""

    NAME = "call.started"

    leg: str
    """Id of the caller's channel."""
    agent: str
    """Name of the agent; ``-``: not known."""
    seat: str
    """Number of the queue's seat; ``-``: a direct call."""
    caller: str
    """The caller's number; ``-``: not shown."""
    media: str = ""
    """UUID of the audio connection; empty: the call is turned away."""


@dataclass(frozen=True, slots=True)
class CallTakenOver(CallEvent):
    """Another process continues with a call that the record has begun already."""

    NAME = "call.resumed"

    leg: str
    """Id of the caller's channel."""
    agent: str
    """Name of the agent."""
    seat: str
    """Number of the queue's seat; ``-``: a direct call."""
    media: str
    """UUID of the audio connection."""
    since_record_s: float
    """Time since the record's last event. The caller's silence was shorter if nobody spoke before it."""
    lines: int
    """How many entries of the conversation are known."""


@dataclass(frozen=True, slots=True)
class NumberWithheld(CallEvent):
    """The number of a caller who withholds it, where the site records such numbers. For the record only."""

    NAME = "call.number_withheld"
    LEVEL = None

    number: str


@dataclass(frozen=True, slots=True)
class OwnCallRefused(CallEvent):
    """A channel of one of ariagent's own calls was transferred to an agent and refused."""

    NAME = "call.own_call_refused"
    LEVEL = WARNING

    channel: str
    """Name of the channel."""


@dataclass(frozen=True, slots=True)
class VariableNotRead(CallEvent):
    """Asterisk did not tell a channel variable that an agent asks for."""

    NAME = "call.variable_unreadable"
    LEVEL = WARNING

    variable: str
    cause: str


@dataclass(frozen=True, slots=True)
class InstructionValuesMissing(CallEvent):
    """The agent's instructions have placeholders that have no value in this call."""

    NAME = "agent.values_missing"

    names: str
    """The placeholders' names, separated by commas."""


@dataclass(frozen=True, slots=True)
class LegReplaced(CallEvent):
    """Another channel took the place of the caller's, by a transfer."""

    NAME = "call.leg_replaced"

    was: str
    """Id of the channel before."""
    now: str
    """Id of the channel from now on."""
    place: str = ""
    """Place in the dialplan where the channel continues when the call is over; empty: where it came from."""


@dataclass(frozen=True, slots=True)
class CallerChanged(CallEvent):
    """Another party is on the line, by a transfer."""

    NAME = "call.caller_changed"

    was: str
    """Number before; ``-``: not shown."""
    caller: str
    """Number from now on; ``-``: not shown."""


@dataclass(frozen=True, slots=True)
class CallAnswered(CallEvent):
    """The caller hears the agent from now on."""

    NAME = "call.answered"

    after_ms: float
    """Time since the call arrived."""


@dataclass(frozen=True, slots=True)
class CallContinued(CallEvent):
    """The caller hears the agent again, after another process has taken the call over."""

    NAME = "call.conversation_resumed"

    after_ms: float
    """Time since this process took the call over."""


@dataclass(frozen=True, slots=True)
class StateChanged(CallEvent):
    """The call's state machine is in another state. For the record only."""

    NAME = "call.state"
    LEVEL = None

    state: str
    """See ``call.machine.State``."""


@dataclass(frozen=True, slots=True)
class NotAnswered(CallEvent):
    """Asterisk could not answer a seat's channel before it was given back to the queue."""

    NAME = "call.answer_failed"
    LEVEL = DEBUG

    cause: str


@dataclass(frozen=True, slots=True)
class NotRejoined(CallEvent):
    """Asterisk could not put a channel back into the call's bridge."""

    NAME = "call.rejoin_failed"
    LEVEL = DEBUG

    cause: str


@dataclass(frozen=True, slots=True)
class NotReleased(CallEvent):
    """Asterisk did not release something of the call."""

    NAME = "call.release_failed"
    LEVEL = ERROR

    cause: str


@dataclass(frozen=True, slots=True)
class NotReturned(CallEvent):
    """Asterisk did not let the caller go back to the dialplan."""

    NAME = "call.return_failed"
    LEVEL = ERROR

    cause: str


@dataclass(frozen=True, slots=True)
class NotHungUp(CallEvent):
    """Asterisk did not hang up a seat's channel."""

    NAME = "call.hangup_failed"
    LEVEL = ERROR

    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending(CallEvent):
    """How this process stopped serving the call. The figures are None for a call that was not served."""

    result: str
    """See ``termination.Result``."""
    reason: str
    cause: str = ""
    """The failure in words; empty: none."""
    underruns: float | None = None
    """How often the agent's audio came too late."""
    caller_audio_gaps: float | None = None
    """How often the caller's audio was missing."""
    caller_audio_gap_s: float | None = None
    """How much of the caller's audio was missing."""
    caller_audio_dropped_s: float | None = None
    """How much of the caller's audio a slow network did not take to the model."""
    talk_s: float | None = None
    """How long the agent was in conversation."""
    talk_human_agent_s: float | None = None
    """The part of it with the human agent who then transferred a caller to the agent."""
    talk_caller_s: float | None = None
    """The part of it with that caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded(_Ending):
    """The call is over, for ariagent. Logged as a warning if it failed."""

    NAME = "call.ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLeft(_Ending):
    """The service stopped and left the call in Asterisk, for the next process."""

    NAME = "call.left"

    unfinished: str
    """The unfinished part of the conversation. See ``dialogue.memory.Unfinished``."""


# -- turns ------------------------------------------------------------------------------------------------------------


class _Spoken(CallEvent):
    """A turn with its words, for the record. The log has the number of characters, unless the site wants
    transcripts."""

    __slots__ = ()

    item: str
    said: str | None

    def for_log(self, *, words: bool = False) -> dict[str, object]:
        """The fields that the log shows: see the class."""
        if self.said is None:
            return {"item": self.item, "said": NOT_TRANSCRIBED}
        return {"item": self.item, **({"said": self.said} if words else {"characters": len(self.said)})}


@dataclass(frozen=True, slots=True)
class CallerTurn(_Spoken):
    """The caller's words, transcribed."""

    NAME = "turn.caller"

    item: str
    """The model's id of the turn."""
    said: str | None = _words(None)
    """None: the transcription failed."""


@dataclass(frozen=True, slots=True)
class CallerTurnSoFar(CallEvent):
    """The caller's words in a turn that is not known to be over (``turns: fast``). ``CallerTurn`` has them again,
    unless the process dies before it. For the record only."""

    NAME = "turn.so_far"
    LEVEL = None

    item: str
    """The model's id of the turn's last part."""
    said: str = _words("")


@dataclass(frozen=True, slots=True)
class AgentTurn(_Spoken):
    """The words that the agent generated. ``AgentInterrupted`` tells how much of them was heard."""

    NAME = "turn.agent"

    item: str
    """The model's id of the turn."""
    said: str = _words("")


@dataclass(frozen=True, slots=True)
class AgentTurnBegan(CallEvent):
    """The agent's item can be heard from now on. For the record only."""

    NAME = "turn.began"
    LEVEL = None

    item: str


@dataclass(frozen=True, slots=True)
class CallerTurnEnded(CallEvent):
    """The caller's turn ended, as the model's server reports it. For the record only."""

    NAME = "turn.ended"
    LEVEL = None

    item: str
    seconds: float = 0.0
    """Length of the speech that is billed as transcribed."""
    ago_ms: float = 0.0
    """Time since the report: the turn was not known to be over until now."""


@dataclass(frozen=True, slots=True)
class AnswerBegan(CallEvent):
    """The first frame of the agent's answer was sent. ``response_ms`` is the sum of its parts."""

    NAME = "turn.answered"

    item: str
    response_ms: float
    """Time since the true end of the caller's speech."""
    detection_ms: float
    """Time until the model's server reported the end of the turn."""
    model_ms: float
    """Time until the answer's first audio arrived; tools included."""
    service_ms: float
    """Time until its first frame was sent to Asterisk, without the time that it was held."""
    held_ms: float = 0.0
    """Time for which that audio was held, before the turn was known to be over or a sound to be speech."""


@dataclass(frozen=True, slots=True)
class AnswerDiscarded(CallEvent):
    """A held answer was discarded, unheard: the caller continued, pressed a key or left, or the session was lost."""

    NAME = "turn.answer_discarded"

    response: str
    """The model's id of the response."""
    cost: float | None = None
    """The cost in the currency of the price table, which ``usage`` counts, too; None: the model has no price."""
    input_text: int = 0
    """Tokens, as the five that follow. The cached ones are part of the input."""
    cached_text: int = 0
    output_text: int = 0
    input_audio: int = 0
    cached_audio: int = 0
    output_audio: int = 0


@dataclass(frozen=True, slots=True)
class CutIn(CallEvent):
    """The caller spoke on so soon after the answer began that they had probably not finished their turn."""

    NAME = "turn.cut_in"

    after_ms: float
    """Time since the first frame of the answer."""


@dataclass(frozen=True, slots=True)
class AgentInterrupted(CallEvent):
    """The caller's voice, or a key, cut the agent's item off."""

    NAME = "turn.interrupted"

    item: str
    heard_ms: float
    """How much of the item the caller heard."""
    dropped_ms: float
    """How much of the item was generated and not heard."""

    @property
    def part(self) -> float | None:
        """The part of the item that was heard, from 0 to 1; None: nothing was generated."""
        whole = self.heard_ms + self.dropped_ms
        return min(1.0, max(0.0, self.heard_ms / whole)) if whole > 0 else None


@dataclass(frozen=True, slots=True)
class SoundDismissed(CallEvent):
    """A sound of the caller's was not taken for an interruption."""

    NAME = "turn.dismissed"

    item: str
    what: str
    """``noise`` or ``agreement``."""
    silent_ms: float
    """How long the agent was silent because of it."""


@dataclass(frozen=True, slots=True)
class ResponseFailed(CallEvent):
    """The model did not finish a response, because of a limit, a filter or a failure."""

    NAME = "turn.failed"
    LEVEL = WARNING

    status: str
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class DigitsGiven(CallEvent):
    """The model was told which keys the caller pressed."""

    NAME = "call.digits"

    count: int
    text: str = _words("")
    """The digits; they may be a card's."""


@dataclass(frozen=True, slots=True)
class AudioGap(CallEvent):
    """The caller's audio continues after a gap (hold, mute, loss). For the record only."""

    NAME = "caller_audio.gap"
    LEVEL = None

    ms: float


# -- the model --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModelLost(CallEvent):
    """The model's session was lost."""

    NAME = "model.lost"
    LEVEL = WARNING

    fault: str
    """The kind of fault. See ``realtime.events``."""
    cause: str


@dataclass(frozen=True, slots=True)
class ModelReconnected(CallEvent):
    """A new session has taken the place of a lost one."""

    NAME = "model.reconnected"

    lost_ms: float
    """How long there was no session."""


@dataclass(frozen=True, slots=True)
class ModelRefused(CallEvent):
    """The model's server refused a request."""

    NAME = "model.refused"
    LEVEL = WARNING

    code: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class ModelMalformed(CallEvent):
    """The model's server sent something that cannot be right."""

    NAME = "model.malformed"
    LEVEL = WARNING

    what: str
    length: int
    """Size of the message in bytes; 0: it was well-formed."""


@dataclass(frozen=True, slots=True)
class ModelUsed(CallEvent):
    """The call's use of the model since the last such event. For the record only."""

    NAME = "usage"
    LEVEL = None

    model: str
    cost: float | None = None
    """The cost in the currency of the price table; None: the model has no price."""
    transcribed_s: float = 0.0
    input_text: int = 0
    """Tokens, as the five that follow. The cached ones are part of the input."""
    cached_text: int = 0
    output_text: int = 0
    input_audio: int = 0
    cached_audio: int = 0
    output_audio: int = 0


# -- tools ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolCalled(CallEvent):
    """The model called a tool. For the record only."""

    NAME = "tool.called"
    LEVEL = None

    tool: str
    id: str
    """The model's id of the tool call."""
    server: str = ""
    """The MCP server whose tool it is; empty: a tool of ariagent or of the site."""
    arguments: str = _words("")
    """JSON."""


@dataclass(frozen=True, slots=True)
class BuiltinToolUsed(CallEvent):
    """A tool of ariagent's own was called. It need not have a result."""

    NAME = "tool.used"

    tool: str


@dataclass(frozen=True, slots=True)
class ToolEnded(CallEvent):
    """A tool has its result. For the record only."""

    NAME = "tool.done"
    LEVEL = None

    tool: str
    id: str
    """The model's id of the tool call."""
    ms: float | None = None
    """How long the tool took; None: not measured."""
    ok: bool = True
    kind: str = ""
    """The outcome of a tool that was measured; see ``tools.outcome``."""
    output: str = _words("")
    """JSON; empty: the model's server has it."""


@dataclass(frozen=True, slots=True)
class WaitingPromptPlayed(CallEvent):
    """The caller heard a tone or a phrase because a tool takes long. For the record only."""

    NAME = "tool.waiting_prompt"
    LEVEL = None

    prompt: str
    """``tone``, or the phrase's text."""


@dataclass(frozen=True, slots=True)
class ToolsRefused(CallEvent):
    """Tool calls were answered without being run: too many at once, or too many rounds one after another."""

    NAME = "tool.refused"
    LEVEL = WARNING

    count: int
    """How many calls."""
    tool: str
    """One of the tools."""
    rounds: int
    """How many rounds of tool calls there were since the caller spoke."""


@dataclass(frozen=True, slots=True)
class McpCallFailed(CallEvent):
    """A tool of an MCP server failed."""

    NAME = "mcp.call_failed"
    LEVEL = WARNING

    tool: str
    server: str
    cause: str


@dataclass(frozen=True, slots=True)
class McpToolsNotListed(CallEvent):
    """The model's server could not list the tools of an MCP server."""

    NAME = "mcp.not_listed"
    LEVEL = WARNING

    server: str


@dataclass(frozen=True, slots=True)
class MessageTaken(CallEvent):
    """The caller left a message, or asks to be called back."""

    NAME = "message.taken"

    kind: str
    """``message`` or ``callback``."""
    number: str = _private("")
    """The number to call back."""
    when: str = _private("")
    """The time for calling back, as the caller said it."""
    text: str = _words("")


# -- supervisors ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TransferOrdered(CallEvent):
    """A supervisor transfers the caller."""

    NAME = "call.transfer_ordered"

    by: str
    """The supervisor."""
    destination: str


@dataclass(frozen=True, slots=True)
class Whispered(CallEvent):
    """A supervisor gave the model a note."""

    NAME = "call.whispered"

    by: str
    """The supervisor."""
    text: str = _words("")


@dataclass(frozen=True, slots=True)
class Supervised(CallEvent):
    """A supervisor's phone is with the call in another way than before."""

    NAME = "call.supervised"

    mode: str
    by: str
    """The supervisor."""


# -- transfers --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallTransferred(CallEvent):
    """The caller was transferred."""

    NAME = "call.transferred"

    destination: str
    by: str
    """The one who asked for it: the agent, or a supervisor."""
    kind: str
    """``blind``, ``briefed`` or ``warm``."""
    queue_call: str = ""
    """The id of a warm transfer's consult leg in queue_log."""
    announcement: str = ""
    """Whether there is an announcement: ``yes``, ``no``, ``late`` or ``failed``; empty: none is wanted."""
    text: str = _words("")
    """The summary for the human agent."""


@dataclass(frozen=True, slots=True)
class TransferFailed(CallEvent):
    """Asterisk refused a transfer."""

    NAME = "call.transfer_failed"
    LEVEL = WARNING

    destination: str
    cause: str


@dataclass(frozen=True, slots=True)
class TransferDeclined(CallEvent):
    """The model was told that nobody can take the caller now."""

    NAME = "call.transfer_declined"

    destination: str
    state: str
    """The state that the model was told."""


@dataclass(frozen=True, slots=True)
class DestinationUnusable(CallEvent):
    """The model was told that a destination cannot be reached: the settings or Asterisk are wrong."""

    NAME = "call.transfer_impossible"
    LEVEL = WARNING

    destination: str
    state: str
    """The state that the model was told."""


@dataclass(frozen=True, slots=True)
class AgentTransferredAway(CallEvent):
    """A human agent transferred the agent to where nobody is."""

    NAME = "call.transferred_away"
    LEVEL = WARNING

    channel: str
    """Name of the agent's channel."""


@dataclass(frozen=True, slots=True)
class ConsultStarted(CallEvent):
    """A warm transfer began to call human agents."""

    NAME = "consult.called"

    destination: str
    queue_call: str
    """The id of the consult leg in queue_log."""


@dataclass(frozen=True, slots=True)
class ConsultAnswered(CallEvent):
    """A human agent answered the consult leg."""

    NAME = "consult.answered"

    destination: str


@dataclass(frozen=True, slots=True)
class ConsultMachine(CallEvent):
    """A machine answered the consult leg."""

    NAME = "consult.machine_answered"

    destination: str
    machine: str
    """``fax``, ``modem`` or ``voicemail``."""


@dataclass(frozen=True, slots=True)
class ConsultAudioUnavailable(CallEvent):
    """Asterisk could not send the consult leg's audio, so that a machine there would not be noticed."""

    NAME = "consult.audio_unavailable"
    LEVEL = WARNING

    cause: str


@dataclass(frozen=True, slots=True)
class ConsultFailed(CallEvent):
    """Asterisk could not make a consult leg."""

    NAME = "consult.failed"
    LEVEL = WARNING

    cause: str


@dataclass(frozen=True, slots=True)
class ConsultEnded(CallEvent):
    """A consult leg was hung up without a transfer."""

    NAME = "consult.dropped"

    destination: str
    why: str
    """``CANCELLED``, ``FAILED``, ``GONE``, ``TIMEOUT``, ``MACHINE``, ``NOTACCEPTED``, ``UNHEARD``, ``NOTJOINED`` (the
    caller hung up on the way) or Asterisk's status."""


@dataclass(frozen=True, slots=True)
class AnnouncementNotSpoken(CallEvent):
    """The model did not speak an announcement in time."""

    NAME = "announcement.not_spoken"
    LEVEL = WARNING

    cause: str


@dataclass(frozen=True, slots=True)
class AnnouncementFailed(CallEvent):
    """Asterisk could not play an announcement."""

    NAME = "announcement.failed"
    LEVEL = WARNING

    directory: str
    """Where the announcements' files are."""


KINDS: Mapping[str, type[CallEvent]] = {
    kind.NAME: kind
    for kind in tuple(globals().values())
    if isinstance(kind, type) and issubclass(kind, CallEvent) and hasattr(kind, "NAME")
}
"""Every type by its stored name."""


def read(name: str, found: Mapping[str, object]) -> CallEvent | None:
    """The event that was stored as ``name`` with these fields; None for an unknown name, and see ``from_fields``."""
    kind = KINDS.get(name)
    return None if kind is None else kind.from_fields(found)
