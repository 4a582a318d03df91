"""Events of the manager interface about queues and transfers, in ariagent's own words.

``parse`` knows these and returns None for all others. Times of day are seconds since 1970, as Asterisk counts them.
Sources: the events' own documentation (``manager show event NAME``) and app_queue.c.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum


class MemberStatus(IntEnum):
    """The state of a member's device (source: include/asterisk/devicestate.h)."""

    UNKNOWN = 0
    NOT_IN_USE = 1
    IN_USE = 2
    BUSY = 3
    INVALID = 4
    UNAVAILABLE = 5
    RINGING = 6
    RING_IN_USE = 7
    ON_HOLD = 8


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue's own line of QueueStatus; its members and callers follow it."""

    queue: str
    strategy: str
    holdtime_s: int
    """Average time that answered callers waited, as Asterisk smooths it; 0 before the first."""
    talktime_s: int
    """Average length of a conversation, as Asterisk smooths it; 0 before the first."""
    completed: int
    abandoned: int


@dataclass(frozen=True, slots=True)
class MemberState:
    """All that is known of one member of one queue."""

    queue: str
    interface: str
    name: str
    penalty: int
    status: MemberStatus
    in_call: bool
    """The member is in a conversation of this queue or, with ``shared_lastcall``, of another one."""
    paused: bool
    reason: str
    """Why it is paused, or empty."""
    state_interface: str
    """The device or hint (``hint:02@context``) whose state is the member's; the interface where none is configured."""
    last_call: int
    """When its last conversation ended, in seconds since 1970; 0: never."""
    wrapup_s: int
    calls_taken: int


@dataclass(frozen=True, slots=True)
class MemberChanged:
    """A member came in, was paused or un-paused, or its device changed."""

    member: MemberState


@dataclass(frozen=True, slots=True)
class MemberPaused:
    """A member was paused or un-paused, by whomever."""

    member: MemberState


@dataclass(frozen=True, slots=True)
class MemberRemoved:
    """A member left a queue."""

    queue: str
    interface: str


@dataclass(frozen=True, slots=True)
class CallerWaits:
    """A caller's line of QueueStatus."""

    queue: str
    unique_id: str
    position: int
    """The caller's place in the queue, from 1."""
    wait_s: int
    priority: int


@dataclass(frozen=True, slots=True)
class CallerJoined:
    """A caller began to wait."""

    queue: str
    unique_id: str
    linked_id: str
    position: int


@dataclass(frozen=True, slots=True)
class CallerLeft:
    """A caller waits no longer: answered, timed out or gone."""

    queue: str
    unique_id: str


@dataclass(frozen=True, slots=True)
class CallerAbandoned:
    """A caller gave up; also sent on a timeout and when one is withdrawn (source: app_queue.c record_abandoned)."""

    queue: str
    unique_id: str
    held_s: int


@dataclass(frozen=True, slots=True)
class AgentCalled:
    """A member's phone rings for a caller."""

    queue: str
    interface: str
    member: str
    unique_id: str
    linked_id: str
    member_channel: str


@dataclass(frozen=True, slots=True)
class AgentConnected:
    """A member answered a caller."""

    queue: str
    interface: str
    member: str
    unique_id: str
    """Id of the caller's channel."""
    linked_id: str
    channel: str
    """Name of the caller's channel."""
    member_channel: str
    held_s: int
    ring_ms: int


@dataclass(frozen=True, slots=True)
class AgentDidNotAnswer:
    """A member's phone rang without an answer, was busy or refused."""

    queue: str
    interface: str
    member: str
    unique_id: str
    ring_ms: int


@dataclass(frozen=True, slots=True)
class AgentCompleted:
    """A member's conversation ended; ``reason`` is caller, agent or transfer."""

    queue: str
    interface: str
    member: str
    unique_id: str
    linked_id: str
    held_s: int
    talked_s: int
    reason: str


@dataclass(frozen=True, slots=True)
class BlindTransferred:
    """A party was sent elsewhere."""

    result: str
    """``Success``, or why not."""
    transferer: str
    """Name of the channel of the one that transfers."""
    transferee: str
    """Name of the channel that is sent."""
    linked_id: str
    context: str
    extension: str


@dataclass(frozen=True, slots=True)
class AttendedTransferred:
    """A party joined two of its calls. For a seat no other event tells that the caller is another one now."""

    result: str
    first: str
    """Name of the transferer's channel in the first call."""
    second: str
    """Name of the transferer's channel in the second call, the one to the target."""
    transferee: str
    """Name of the channel that is transferred."""
    transferee_caller: str
    transferee_name: str
    target: str
    """Name of the channel that it is transferred to: with a seat, the ``;1`` leg."""
    target_caller: str
    target_name: str
    linked_id: str
    """Call id (``linkedid``) of the call to the target."""


@dataclass(frozen=True, slots=True)
class UserEvent:
    """Something that the dialplan or another program says."""

    name: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class QueuesListed:
    """The end of QueueStatus: everything that there is was told."""


Event = (
    QueueState
    | MemberState
    | MemberChanged
    | MemberPaused
    | MemberRemoved
    | CallerWaits
    | CallerJoined
    | CallerLeft
    | CallerAbandoned
    | AgentCalled
    | AgentConnected
    | AgentDidNotAnswer
    | AgentCompleted
    | BlindTransferred
    | AttendedTransferred
    | UserEvent
    | QueuesListed
)


def parse(message: Mapping[str, str], *, listed: bool = False) -> Event | None:
    """The event that a message is, or None for what nobody here needs. Names are lower case, in the order of the wire.

    ``listed``: the message is part of a list that this connection asked for. Items of lists are believed only there.
    Raises KeyError or ValueError for a message that lacks what Asterisk's own always has: who has smuggled one into a
    caller's number had 79 characters for it.
    """
    maker = _MAKERS.get(message.get("event", "").lower())
    if maker is None:
        return None
    if maker in _LIST_ITEMS:
        if not listed:
            raise ValueError("an item of a list that ariagent did not request")
    elif maker is not _user_event:
        _prove(message, *_SHAPES[maker])
    elif not _is_of_a_channel(message):
        return None  # another program's, by the manager interface's own action
    return maker(message)


def _prove(message: Mapping[str, str], privilege: str, *names: str) -> None:
    """Raises ValueError unless ``Privilege`` is the second line and names the class, KeyError for a missing name."""
    if list(message)[:2] != ["event", "privilege"] or privilege not in message["privilege"].split(","):
        raise ValueError("the event does not have the class that Asterisk gives it")
    for name in names:
        message[name]


def _is_of_a_channel(message: Mapping[str, str]) -> bool:
    """Whether the dialplan of a channel sent this UserEvent: the channel comes before what the dialplan says."""
    names = list(message)
    if names[:3] != ["event", "privilege", "channel"] or "user" not in message["privilege"].split(","):
        return False
    # Asterisk does not escape a dialplan's own words, but writes them last.
    return {"uniqueid", "linkedid"} <= set(names[: names.index("userevent") if "userevent" in names else 0])


Fields = Mapping[str, str]


def _number(m: Fields, name: str) -> int:
    text = m.get(name, "")
    return int(float(text)) if text else 0


def _status(m: Fields) -> MemberStatus:
    try:
        return MemberStatus(_number(m, "status"))
    except ValueError:
        return MemberStatus.UNKNOWN


def _queue_state(m: Fields) -> QueueState:
    return QueueState(
        queue=m["queue"],
        strategy=m.get("strategy", ""),
        holdtime_s=_number(m, "holdtime"),
        talktime_s=_number(m, "talktime"),
        completed=_number(m, "completed"),
        abandoned=_number(m, "abandoned"),
    )


def _member(m: Fields) -> MemberState:
    # The list calls them Location and Name, the events Interface and MemberName.
    interface = m.get("interface") or m["location"]
    return MemberState(
        queue=m["queue"],
        interface=interface,
        name=m.get("membername") or m.get("name") or interface,
        penalty=_number(m, "penalty"),
        status=_status(m),
        in_call=m.get("incall") == "1",
        paused=m.get("paused") == "1",
        reason=m.get("pausedreason", ""),
        state_interface=m.get("stateinterface") or interface,
        last_call=_number(m, "lastcall"),
        wrapup_s=_number(m, "wrapuptime"),
        calls_taken=_number(m, "callstaken"),
    )


def _caller_waits(m: Fields) -> CallerWaits:
    return CallerWaits(m["queue"], m["uniqueid"], _number(m, "position"), _number(m, "wait"), _number(m, "priority"))


def _agent_called(m: Fields) -> AgentCalled:
    return AgentCalled(
        m["queue"],
        m["interface"],
        m.get("membername", ""),
        m.get("uniqueid", ""),
        m.get("linkedid", ""),
        m.get("destchannel", ""),
    )


def _agent_connected(m: Fields) -> AgentConnected:
    return AgentConnected(
        queue=m["queue"],
        interface=m["interface"],
        member=m.get("membername", ""),
        unique_id=m["uniqueid"],
        linked_id=m.get("linkedid", ""),
        channel=m.get("channel", ""),
        member_channel=m.get("destchannel", ""),
        held_s=_number(m, "holdtime"),
        ring_ms=_number(m, "ringtime"),
    )


def _agent_did_not_answer(m: Fields) -> AgentDidNotAnswer:
    return AgentDidNotAnswer(
        m["queue"], m["interface"], m.get("membername", ""), m.get("uniqueid", ""), _number(m, "ringtime")
    )


def _agent_completed(m: Fields) -> AgentCompleted:
    return AgentCompleted(
        queue=m["queue"],
        interface=m["interface"],
        member=m.get("membername", ""),
        unique_id=m.get("uniqueid", ""),
        linked_id=m.get("linkedid", ""),
        held_s=_number(m, "holdtime"),
        talked_s=_number(m, "talktime"),
        reason=m.get("reason", ""),
    )


def _blind_transferred(m: Fields) -> BlindTransferred:
    return BlindTransferred(
        result=m.get("result", ""),
        transferer=m.get("transfererchannel", ""),
        transferee=m.get("transfereechannel", ""),
        linked_id=m.get("transfererlinkedid", ""),
        context=m.get("context", ""),
        extension=m.get("extension", ""),
    )


def _attended_transferred(m: Fields) -> AttendedTransferred:
    return AttendedTransferred(
        result=m.get("result", ""),
        first=m.get("origtransfererchannel", ""),
        second=m.get("secondtransfererchannel", ""),
        transferee=m.get("transfereechannel", ""),
        transferee_caller=m.get("transfereecalleridnum", ""),
        transferee_name=m.get("transfereecalleridname", ""),
        target=m.get("transfertargetchannel", ""),
        target_caller=m.get("transfertargetcalleridnum", ""),
        target_name=m.get("transfertargetcalleridname", ""),
        linked_id=m.get("transfertargetlinkedid", ""),
    )


def _user_event(m: Fields) -> UserEvent:
    return UserEvent(m.get("userevent", ""), {k: v for k, v in m.items() if k not in ("event", "privilege")})


def _member_changed(m: Fields) -> MemberChanged:
    return MemberChanged(_member(m))


def _member_paused(m: Fields) -> MemberPaused:
    return MemberPaused(_member(m))


def _member_removed(m: Fields) -> MemberRemoved:
    return MemberRemoved(m["queue"], m["interface"])


def _caller_joined(m: Fields) -> CallerJoined:
    return CallerJoined(m["queue"], m["uniqueid"], m.get("linkedid", ""), _number(m, "position"))


def _caller_left(m: Fields) -> CallerLeft:
    return CallerLeft(m["queue"], m["uniqueid"])


def _caller_abandoned(m: Fields) -> CallerAbandoned:
    return CallerAbandoned(m["queue"], m["uniqueid"], _number(m, "holdtime"))


def _queues_listed(m: Fields) -> QueuesListed:
    return QueuesListed()


_MAKERS: Mapping[str, Callable[[Fields], Event]] = {
    "queueparams": _queue_state,
    "queuemember": _member,
    "queuememberstatus": _member_changed,
    "queuememberadded": _member_changed,
    "queuememberpenalty": _member_changed,
    "queuememberringinuse": _member_changed,
    "queuememberpause": _member_paused,
    "queuememberremoved": _member_removed,
    "queueentry": _caller_waits,
    "queuecallerjoin": _caller_joined,
    "queuecallerleave": _caller_left,
    "queuecallerabandon": _caller_abandoned,
    "queuestatuscomplete": _queues_listed,
    "agentcalled": _agent_called,
    "agentconnect": _agent_connected,
    "agentringnoanswer": _agent_did_not_answer,
    "agentcomplete": _agent_completed,
    "blindtransfer": _blind_transferred,
    "attendedtransfer": _attended_transferred,
    "userevent": _user_event,
}
_LIST_ITEMS = (_queue_state, _member, _caller_waits, _queues_listed)
"""Events of a list. They have no ``Privilege``."""
_OF_MEMBER = (
    "agent",
    "queue",
    "membername",
    "interface",
    "stateinterface",
    "membership",
    "penalty",
    "callstaken",
    "lastcall",
    "incall",
    "status",
    "paused",
    "pausedreason",
    "ringinuse",
)
_OF_CALLER = ("agent", "channel", "calleridnum", "context", "exten", "priority", "uniqueid", "linkedid", "queue")
_OF_AGENT = (*_OF_CALLER, "interface", "membername")
"""Fields about an agent, without the agent's channel: Asterisk leaves it out where that has ended."""
_SHAPES: Mapping[Callable[[Fields], Event], tuple[str, ...]] = {
    _member_changed: _OF_MEMBER,
    _member_paused: _OF_MEMBER,
    _member_removed: _OF_MEMBER,
    _caller_joined: _OF_CALLER,
    _caller_left: _OF_CALLER,
    _caller_abandoned: _OF_CALLER,
    _agent_called: _OF_AGENT,
    _agent_connected: _OF_AGENT,
    _agent_did_not_answer: _OF_AGENT,
    # Where the caller's channel has ended before, Asterisk leaves it out (app_queue.c, handle_hangup).
    _agent_completed: ("agent", "queue", "interface", "membername", "holdtime", "talktime", "reason"),
    _blind_transferred: ("call", "result", "transfererchannel", "transfererlinkedid", "context", "extension"),
    _attended_transferred: ("call", "result", "origtransfererchannel", "origtransfererlinkedid"),
}
"""The class and the fields that Asterisk's own events have in every version (checked with 22.10.1, and in the
documentation of 20)."""
