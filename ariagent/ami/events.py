"""What the manager interface tells about queues and transfers, in our own words.

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
    """In a conversation of this or, with ``shared_lastcall``, another queue."""
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
    """From 1."""
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
    """Of the caller's channel."""
    linked_id: str
    channel: str
    """Name of the caller's channel."""
    member_channel: str
    held_s: int
    ring_ms: int


@dataclass(frozen=True, slots=True)
class AgentDidNotAnswer:
    """A member's phone rang in vain, was busy or refused."""

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
    """Somebody joined two of their calls. For a seat it is the only sign that the caller is another one now."""

    result: str
    first: str
    """Name of the transferer's channel in the first call."""
    second: str
    """Name of the transferer's channel in the second call, the one to the target."""
    transferee: str
    """Name of the channel that is handed on."""
    transferee_caller: str
    transferee_name: str
    target: str
    """Name of the channel that it is handed to: with a seat, the ``;1`` leg."""
    target_caller: str
    target_name: str
    linked_id: str
    """Of the call to the target."""


@dataclass(frozen=True, slots=True)
class UserEvent:
    """Something that the dialplan or another program says."""

    name: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class QueuesListed:
    """The end of QueueStatus: everything that there is was told."""


@dataclass(frozen=True, slots=True)
class FullyBooted:
    """Asterisk has loaded everything. Only users with the class system are told."""


@dataclass(frozen=True, slots=True)
class AsteriskShutdown:
    """Asterisk ends. Only users with the class system are told."""

    restart: bool


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
    | FullyBooted
    | AsteriskShutdown
)


def parse(message: Mapping[str, str]) -> Event | None:
    """The event that a message is, or None for what nobody here needs. Names are lower case.

    Raises KeyError or ValueError for a message that lacks what it must have.
    """
    maker = _MAKERS.get(message.get("event", "").lower())
    return maker(message) if maker is not None else None


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


_MAKERS: Mapping[str, Callable[[Fields], Event]] = {
    "queueparams": _queue_state,
    "queuemember": _member,
    "queuememberstatus": lambda m: MemberChanged(_member(m)),
    "queuememberadded": lambda m: MemberChanged(_member(m)),
    "queuememberpenalty": lambda m: MemberChanged(_member(m)),
    "queuememberringinuse": lambda m: MemberChanged(_member(m)),
    "queuememberpause": lambda m: MemberPaused(_member(m)),
    "queuememberremoved": lambda m: MemberRemoved(m["queue"], m["interface"]),
    "queueentry": _caller_waits,
    "queuecallerjoin": lambda m: CallerJoined(m["queue"], m["uniqueid"], m.get("linkedid", ""), _number(m, "position")),
    "queuecallerleave": lambda m: CallerLeft(m["queue"], m["uniqueid"]),
    "queuecallerabandon": lambda m: CallerAbandoned(m["queue"], m["uniqueid"], _number(m, "holdtime")),
    "queuestatuscomplete": lambda m: QueuesListed(),
    "agentcalled": _agent_called,
    "agentconnect": _agent_connected,
    "agentringnoanswer": _agent_did_not_answer,
    "agentcomplete": _agent_completed,
    "blindtransfer": _blind_transferred,
    "attendedtransfer": _attended_transferred,
    "userevent": _user_event,
    "fullybooted": lambda m: FullyBooted(),
    "shutdown": lambda m: AsteriskShutdown(m.get("restart", "").lower() == "true"),
}
