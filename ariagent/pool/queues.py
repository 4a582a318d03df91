"""CORE: the present state of the queues, from AMI events, and how long a caller would wait.

The board gets the events in their order: the items of QueueStatus (a queue's own line, then its members and callers)
mixed with other events. A list may come at any time, in pieces. Until it is complete, the earlier state counts.
``now``: seconds of a monotonic clock.
"""

from collections import deque
from dataclasses import dataclass, field

from ariagent.ami.events import (
    AgentCompleted,
    CallerAbandoned,
    CallerJoined,
    CallerLeft,
    CallerWaits,
    Event,
    MemberChanged,
    MemberPaused,
    MemberRemoved,
    MemberState,
    MemberStatus,
    QueuesListed,
    QueueState,
)

RECENT_CALLS = 20
"""Estimates use the average of this many conversations."""
ENOUGH_CALLS = 3
"""With fewer observed conversations, Asterisk's own average is used, if it has one."""

_AWAY = (MemberStatus.INVALID, MemberStatus.UNAVAILABLE)
_IDLE = (MemberStatus.UNKNOWN, MemberStatus.NOT_IN_USE)


@dataclass(frozen=True, slots=True)
class QueueView:
    """One queue at one moment. ``logged_in = free + ringing + busy + paused``."""

    name: str
    logged_in: int
    """Members with a reachable phone, also those on a break (as QueueSummary counts)."""
    free: int
    ringing: int
    """Members whose phone rings: they are about to take a caller."""
    busy: int
    """Members in a conversation or in wrap-up."""
    paused: int
    waiting: int
    longest_wait_s: float
    """The longest present wait; 0 if nobody waits."""
    handling_s: float | None
    """Average duration of a conversation with wrap-up; None: not known yet."""
    next_wait_s: float | None
    """How long one more caller would wait; 0: a member is free; None: not known."""

    @property
    def working(self) -> int:
        """Members who take calls: logged in and not on a break."""
        return self.logged_in - self.paused


@dataclass(slots=True)
class _Caller:
    unique_id: str
    since: float


@dataclass(slots=True)
class _Queue:
    state: QueueState
    members: dict[str, MemberState] = field(default_factory=dict)
    """Members by interface."""
    free_from: dict[str, float] = field(default_factory=dict)
    """Interface -> end of the wrap-up time. Asterisk's lists do not have it."""
    waiting: list[_Caller] = field(default_factory=list)
    """Callers in the order of their positions."""
    talked_s: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT_CALLS))

    def handling_s(self) -> float | None:
        wrapup_s = max((member.wrapup_s for member in self.members.values()), default=0)
        if len(self.talked_s) < ENOUGH_CALLS and self.state.talktime_s > 0:
            return float(self.state.talktime_s + wrapup_s)
        if not self.talked_s:
            return None
        return max(1.0, sum(self.talked_s) / len(self.talked_s) + wrapup_s)


class QueueBoard:
    """Every queue of one Asterisk. ``known`` is False until the first complete list, and after ``lost``."""

    def __init__(self) -> None:
        self.known = False
        self._queues: dict[str, _Queue] = {}
        """Queues by name in lower case: for Asterisk, ``Support`` and ``support`` are the same."""
        self._listed: dict[str, _Queue] = {}
        """Queues of a list that is not complete yet."""

    @property
    def names(self) -> list[str]:
        """The names of all queues, sorted; empty while nothing is known."""
        return sorted(queue.state.queue for queue in self._queues.values()) if self.known else []

    def name_of(self, name: str) -> str | None:
        """The queue's name as Asterisk writes it; None if there is no such queue or nothing is known."""
        queue = self._get(name) if self.known else None
        return queue.state.queue if queue is not None else None

    def _get(self, name: str) -> _Queue | None:
        return self._queues.get(name.lower())

    def _both(self, name: str) -> list[_Queue]:
        """The queue as it counts now, and as an incomplete list shows it so far. Events are for both."""
        return [queues[name.lower()] for queues in (self._queues, self._listed) if name.lower() in queues]

    def lost(self) -> None:
        """The connection is lost: nothing is known until the next list."""
        self.known = False
        self._listed.clear()

    def handle(self, event: Event, now: float) -> None:
        """Process one event. Events that are not about queues are ignored."""
        match event:
            case QueueState():
                self._begin(event)
            case QueuesListed():
                self._queues, self._listed = self._listed, {}
                self.known = True
            case MemberState() | MemberChanged() | MemberPaused():
                state = event if isinstance(event, MemberState) else event.member
                for queue in self._both(state.queue):
                    queue.members[state.interface] = state
            case MemberRemoved(queue=name, interface=interface):
                for queue in self._both(name):
                    queue.members.pop(interface, None)
            case CallerWaits() | CallerJoined():
                waited_s = event.wait_s if isinstance(event, CallerWaits) else 0
                for queue in self._both(event.queue):
                    _place(queue, event.unique_id, event.position, now - waited_s)
            case CallerLeft() | CallerAbandoned():
                for queue in self._both(event.queue):
                    queue.waiting = [caller for caller in queue.waiting if caller.unique_id != event.unique_id]
            case AgentCompleted():
                # Both share what was learned. The earlier state has all members already.
                for queue in self._both(event.queue)[:1]:
                    queue.talked_s.append(event.talked_s)
                    if (member := queue.members.get(event.interface)) is not None:
                        queue.free_from[event.interface] = now + member.wrapup_s
            case _:
                pass

    def view(self, name: str, now: float) -> QueueView | None:
        """The state of a queue; None if there is no such queue or nothing is known."""
        queue = self._get(name) if self.known else None
        if queue is None:
            return None
        members = [member for member in queue.members.values() if member.status not in _AWAY]
        working = [member for member in members if not member.paused]
        free = sum(_is_free(member) and now >= queue.free_from.get(member.interface, now) for member in working)
        ringing = sum(member.status is MemberStatus.RINGING for member in working)
        return QueueView(
            name=queue.state.queue,
            logged_in=len(members),
            free=free,
            ringing=ringing,
            busy=len(working) - free - ringing,
            paused=len(members) - len(working),
            waiting=len(queue.waiting),
            longest_wait_s=max((now - caller.since for caller in queue.waiting), default=0.0),
            handling_s=queue.handling_s(),
            next_wait_s=_wait_s(queue, len(queue.waiting) + 1, free + ringing, len(working)),
        )

    def members(self, name: str) -> list[MemberState]:
        """A queue's members, sorted by interface; empty if the queue is not known."""
        queue = self._get(name) if self.known else None
        return [queue.members[key] for key in sorted(queue.members)] if queue is not None else []

    def position(self, name: str, unique_id: str) -> int | None:
        """A waiting caller's position, from 1; None if the caller does not wait there."""
        queue = self._get(name) if self.known else None
        callers = [caller.unique_id for caller in queue.waiting] if queue is not None else []
        return callers.index(unique_id) + 1 if unique_id in callers else None

    def estimate_s(self, name: str, position: int | None, now: float) -> float | None:
        """How long the caller at ``position`` (from 1; None: a new caller at the end) will still wait, in seconds.

        0 if a member is free for the caller. None if it is not known: no such queue, no member takes calls, or there
        was no conversation yet.
        """
        view = self.view(name, now)
        if view is None:
            return None
        if position is None:
            return view.next_wait_s
        return _wait_s(self._queues[name.lower()], position, view.free + view.ringing, view.working)

    def _begin(self, state: QueueState) -> None:
        queue = _Queue(state)
        if (before := self._get(state.queue)) is not None:
            queue.talked_s, queue.free_from = before.talked_s, before.free_from
        self._listed[state.queue.lower()] = queue


def describe(view: QueueView | None, *, closed: bool = False) -> str:
    """A queue in a few plain English words. The model tells the caller in the caller's language.

    ``closed``: according to the site's opening hours.
    """
    if closed:
        return "closed"
    if view is None:
        return "nobody knows how long the wait is"
    if not view.logged_in:
        return "nobody is logged in"
    if not view.working:
        return "everybody is on a break"
    if view.next_wait_s == 0:
        return "somebody is free"
    wait = "how long it takes is not known" if view.next_wait_s is None else f"the wait is {in_words(view.next_wait_s)}"
    callers = {0: "nobody is waiting", 1: "1 caller is waiting"}.get(
        view.waiting, f"{view.waiting} callers are waiting"
    )
    return f"everybody is busy, {callers}, {wait}"


def in_words(wait_s: float) -> str:
    """A waiting time in words, rounded because it is an estimate."""
    minutes = round(wait_s / 60)
    if minutes < 1:
        return "less than a minute"
    if minutes == 1:
        return "about a minute"
    if minutes <= 10:
        return f"about {minutes} minutes"
    if minutes <= 60:
        return f"about {5 * round(minutes / 5)} minutes"
    return "more than an hour"


def _is_free(member: MemberState) -> bool:
    # in_call counts only if the device state is unknown: Asterisk clears it a moment after the device is idle.
    talks = member.in_call and member.status is MemberStatus.UNKNOWN
    return member.status in _IDLE and not talks


def _place(queue: _Queue, unique_id: str, position: int, since: float) -> None:
    """Put a caller at their position. A caller who is known already keeps their waiting time."""
    for caller in queue.waiting:
        if caller.unique_id == unique_id:
            since = min(since, caller.since)
    queue.waiting = [caller for caller in queue.waiting if caller.unique_id != unique_id]
    queue.waiting.insert(max(position, 1) - 1, _Caller(unique_id, since))


def _wait_s(queue: _Queue, position: int, taking: int, working: int) -> float | None:
    """``taking``: members that are free or about to take a caller. Conversations end at random: if N members talk for H
    seconds on average, a member becomes free every H/N seconds."""
    if not working:
        return None
    to_end = position - taking
    if to_end <= 0:
        return 0.0
    handling_s = queue.handling_s()
    return None if handling_s is None else to_end * handling_s / working
