"""CORE: which of the AI's seats are paused, and why.

A seat is a member ``Local/NN@ariagent-seat/...`` of any queue, or ``Local/NN@ariagent-NAME-seat/...``: several services
on one Asterisk have a context each, and leave each other's seats alone (``pool.owner``).

The hint of a seat's number is its state. While the AI takes no calls, this hint makes an idle seat "Unavailable",
without a row in queue_log (``pool.device_state``). A pause writes a row for each seat, so a seat is paused only if the
hint is not enough:

* for a reason that reports and wall boards should show (all but ``BY_STATE``);
* for a seat in a call, if the reason lasts (``LASTING``): the seat is "In use", and callers would wait for it;
* for a seat without the hint.

queue_log shows four kinds of pauses:

* ariagent's: ``ariagent: `` and one of ``Reason``. Set and lifted here, also those of an earlier process;
* by hand with ariagent's commands: they have such a reason too, but outlive a restart;
* Asterisk's own (``Auto-Pause``: a seat did not answer): lifted at once at the start, after every connection and after
  every outage of ariagent; otherwise after an increasing delay;
* other programs', with another reason or none: left alone, until ``ariagent resume``.

``now``: seconds of a monotonic clock.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ariagent.ami.events import (
    AgentConnected,
    Event,
    MemberChanged,
    MemberPaused,
    MemberRemoved,
    MemberState,
    MemberStatus,
    QueuesListed,
)

PREFIX = "ariagent: "
PAUSED = "paused"
AUTO_PAUSE = "Auto-Pause"
"""app_queue's reason for its own pause (source: app_queue.c rna)."""
FIRST_LIFT_S, LONGEST_LIFT_S = 10.0, 300.0
"""Delay before Asterisk's own pause is lifted. It grows, because a seat that fails repeatedly costs callers time."""
REFUSED_S = 30.0
"""Delay before a pause that Asterisk refused is tried again."""

_SEAT = re.compile(r"Local/(\d{2,3})@(ariagent(?:-\w+)*-seat)(?:/\w+)?", re.IGNORECASE)
_IDLE = (MemberStatus.UNKNOWN, MemberStatus.NOT_IN_USE)


class Reason(StrEnum):
    """Why the AI takes no calls. If several reasons apply, the first in this order is shown."""

    MANUAL = "manual"
    """Paused by hand."""
    DRAINING = "draining"
    """The service is draining."""
    DOWN = "down"
    """The service is not running, or not connected to Asterisk."""
    AUDIO = "audio"
    """Asterisk cannot connect a call's audio to the service."""
    MODEL = "model"
    """The model cannot be reached or refuses."""
    HOURS = "hours"
    """Human agents take the calls at this time."""
    CAPPED = "capped"
    """The daily cap of minutes or cost is reached."""
    OVERLOADED = "overloaded"
    """The machine is too busy for another call."""
    FULL = "full"
    """``max_calls`` is reached, although there are idle seats."""

    @property
    def text(self) -> str:
        """The reason as queue_log shows it."""
        return PREFIX + self.value


BY_STATE = frozenset((Reason.DRAINING, Reason.DOWN, Reason.AUDIO, Reason.MODEL, Reason.FULL))
"""Reasons that the seats' device state shows. They begin and end by themselves, some of them often."""
LASTING = frozenset((Reason.DRAINING, Reason.AUDIO, Reason.MODEL))
"""Reasons of BY_STATE that last a while: callers should not wait for a seat that is in a call."""


MEMBER = "member => Local/01@ariagent-seat/nm,0,AI Agent,hint:01@ariagent-seat"
HINT_REMEDY = f"Run `ariagent install --apply`. In your own queues, add each seat's hint, as in {MEMBER}"
INVALID_REMEDY = (
    "Run `ariagent install --apply`, which reloads Asterisk's dialplan and then its queues. "
    "If the seats are in a database, delete their rows and insert them again"
)


class SeatState(StrEnum):
    """A seat's state in its queue."""

    IDLE = "idle"
    BUSY = "busy"
    """The seat is in a call, or ringing."""
    UNAVAILABLE = "unavailable"
    """The device state says that the AI takes no calls."""
    INVALID = "invalid"
    """Its hint did not exist when the queue was loaded, or was removed later. Only a reload of the queue helps."""


def state_of(status: MemberStatus) -> SeatState:
    """The state of a member with this status."""
    if status in _IDLE:
        return SeatState.IDLE
    found = {MemberStatus.UNAVAILABLE: SeatState.UNAVAILABLE, MemberStatus.INVALID: SeatState.INVALID}
    return found.get(status, SeatState.BUSY)


@dataclass(frozen=True, slots=True)
class SetPause:
    """Pause or un-pause a seat in one queue: AMI's QueuePause. (Without a queue, queue_log would get one more row.)"""

    interface: str
    queue: str
    paused: bool
    reason: str
    """The reason of the pause that is set or lifted."""


@dataclass(frozen=True, slots=True)
class SeatView:
    """One seat in one queue."""

    number: str
    queue: str
    interface: str
    name: str
    state: SeatState
    paused: bool
    reason: str
    """The reason of its pause, or empty."""

    @property
    def busy(self) -> bool:
        return self.state is SeatState.BUSY


@dataclass(slots=True)
class _Seat:
    number: str
    state: MemberState
    paused: bool
    reason: str
    lift_at: float = 0.0
    """When Asterisk's own pause may be lifted."""
    auto_pauses: int = 0
    """Number of Asterisk's own pauses in a row, without a call taken in between."""
    not_before: float = 0.0
    """When a refused pause may be tried again."""
    talks: bool = False
    """The seat is in a conversation. (A ringing seat is busy, too, but not for long.)"""

    @property
    def activity(self) -> SeatState:
        return state_of(self.state.status)

    @property
    def has_hint(self) -> bool:
        return has_hint(self.state)


def seat_number(interface: str) -> str | None:
    """``NN`` of a seat's interface; None if it is not a seat."""
    match = _SEAT.fullmatch(interface)
    return match[1] if match is not None else None


def seat_context(interface: str) -> str | None:
    """The dialplan context of a seat's interface; None if it is not a seat."""
    match = _SEAT.fullmatch(interface)
    return match[2] if match is not None else None


def has_hint(seat: MemberState) -> bool:
    """Whether a seat's state is the hint of its number."""
    place = f"{seat_number(seat.interface)}@{seat_context(seat.interface)}"
    return seat.state_interface.lower() == f"hint:{place}".lower()


class Seats:
    """One service's seats. The reason ``down`` applies until ``set_reason(Reason.DOWN, False)``: no
    seat is un-paused before."""

    def __init__(self) -> None:
        self._complete = False
        """Whether this connection has completed a list."""
        self.reasons: set[Reason] = {Reason.DOWN}
        """The present reasons, for all seats."""
        self._seats: dict[tuple[str, str], _Seat] = {}
        """Seats by interface and queue."""
        self._others: dict[tuple[str, str], MemberState] = {}
        """Seats of other services, and seats of contexts that are not placed yet."""
        self.contexts: dict[str, str] = {}
        """Each context that has seats, and the number of one of them."""
        self._ours: dict[str, bool] = {}
        """Context -> whether its seats lead to this service."""
        self._listed: set[tuple[str, str]] = set()
        self._manual: set[str] = set()
        """Numbers of the seats that are paused by hand."""
        self._resumed: set[tuple[str, str]] = set()
        """Seats whose pause will be lifted once, whoever made it."""
        self._adopted = False

    @property
    def known(self) -> bool:
        """Whether this connection has completed a list, and it is known whose each seat is."""
        return self._complete and not self.unplaced

    # -- whose they are ----------------------------------------------------------------------------

    @property
    def unplaced(self) -> list[str]:
        """Contexts for which ``place`` was not called yet."""
        return [context for context in self.contexts if context not in self._ours]

    @property
    def other_queues(self) -> list[str]:
        """Names of the queues that have seats of other services."""
        return sorted({queue for _, queue in self._others})

    def place(self, context: str, ours: bool, now: float) -> None:
        """Say whether a context's seats lead to this service. Those of others are neither shown nor paused."""
        if self._ours.get(context) is ours:
            return
        self._ours[context] = ours
        if ours:
            found = {key: member for key, member in self._others.items() if seat_context(key[0]) == context}
            for key, member in found.items():
                del self._others[key]
                self._keep(member, now)
        else:
            gone = [key for key in self._seats if seat_context(key[0]) == context]
            self._others |= {key: self._seats.pop(key).state for key in gone}
        self._adopt()

    # -- requests ----------------------------------------------------------------------------------

    def set_reason(self, reason: Reason, on: bool) -> None:
        """A reason begins (``on``) or ends for all seats. MANUAL is ``pause`` and ``resume`` of all seats."""
        if reason is Reason.MANUAL:
            self.pause() if on else self.resume()
            return
        if on:
            self.reasons.add(reason)
            return
        if reason in self.reasons:
            self.reasons.discard(reason)
            # Asterisk's own pauses of that time had the same cause, which is over.
            self._lift_all()

    def pause(self, number: str | None = None) -> list[str]:
        """Pause one seat or all by hand; returns the numbers. Empty if there is no such seat."""
        seats = self._numbered(number)
        self._manual.update(seat.number for seat in seats.values())
        self._resumed.difference_update(seats)
        return _numbers(seats.values())

    def resume(self, number: str | None = None) -> list[str]:
        """End the pauses of one seat or all, whoever made them. The service's own reasons still apply. Returns the
        numbers."""
        seats = self._numbered(number)
        self._manual.difference_update(seat.number for seat in seats.values())
        self._resumed.update(key for key, seat in seats.items() if seat.paused)
        return _numbers(seats.values())

    # -- events ------------------------------------------------------------------------------------

    def begin(self) -> None:
        """There is a new connection; a list follows."""
        self.lost()

    def lost(self) -> None:
        """The connection is lost."""
        self._complete = False
        self._listed.clear()

    def handle(self, event: Event, now: float) -> None:
        """Process one event. Events that are not about seats are ignored."""
        match event:
            case MemberState():
                self._listed.add((event.interface, event.queue))
                self._keep(event, now)
            case MemberChanged(member=member):
                self._keep(member, now)
            case MemberPaused(member=member):
                self._keep(member, now, told=True)
            case MemberRemoved(queue=queue, interface=interface):
                self._seats.pop((interface, queue), None)
                self._others.pop((interface, queue), None)
            case AgentConnected(queue=queue, interface=interface):
                if (seat := self._seats.get((interface, queue))) is not None:
                    seat.auto_pauses, seat.talks = 0, True
            case QueuesListed():
                self._listed_all()
            case _:
                pass

    def _keep(self, member: MemberState, now: float, *, told: bool = False) -> None:
        """``told``: the event is about a pause or its end."""
        number = seat_number(member.interface)
        if number is None:
            return
        key, context = (member.interface, member.queue), seat_context(member.interface) or ""
        self.contexts[context] = number
        if not self._ours.get(context):
            self._others[key] = member
            return
        seat = self._seats.get(key)
        if seat is None:
            seat = self._seats[key] = _Seat(number, member, member.paused, member.reason, lift_at=now)
            seat.talks = member.in_call and seat.activity is SeatState.BUSY
            return
        reason = member.reason
        if member.paused and not reason and seat.paused and not told:
            # A reload of the queue keeps the pause, but loses its reason.
            reason = seat.reason
        auto_paused = member.paused and reason == AUTO_PAUSE
        if auto_paused and not self.known:
            seat.lift_at = now
        elif auto_paused and not (seat.paused and seat.reason == AUTO_PAUSE):
            seat.lift_at = now + min(FIRST_LIFT_S * 2**seat.auto_pauses, LONGEST_LIFT_S)
            seat.auto_pauses = min(seat.auto_pauses + 1, 16)
        seat.state, seat.paused, seat.reason = member, member.paused, reason
        # Asterisk reports that a member is in a call only if something else about it changes.
        seat.talks = (seat.talks or member.in_call) and seat.activity is SeatState.BUSY
        if not seat.paused:
            self._resumed.discard(key)

    def _listed_all(self) -> None:
        self._seats = {key: seat for key, seat in self._seats.items() if key in self._listed}
        self._others = {key: member for key, member in self._others.items() if key in self._listed}
        self._listed.clear()
        left = {seat_context(interface) for interface, _ in (*self._seats, *self._others)}
        self.contexts = {context: number for context, number in self.contexts.items() if context in left}
        self._complete = True
        self._adopt()

    def _adopt(self) -> None:
        if self.known and not self._adopted:
            # A pause by hand during an earlier process of ariagent outlives the restart.
            self._adopted = True
            self._manual |= {seat.number for seat in self._seats.values() if _is(seat, Reason.MANUAL)}

    # -- commands ----------------------------------------------------------------------------------

    def commands(self, now: float) -> list[SetPause]:
        """The commands for Asterisk that are due now. Call ``applied`` or ``refused`` after each."""
        if not self.known:
            return []
        changes = ((key, self._change(key, seat, now)) for key, seat in self._seats.items())
        return [SetPause(*key, *change) for key, change in changes if change is not None]

    def applied(self, command: SetPause) -> None:
        """Asterisk has carried out the command. Its event follows a moment later."""
        key = command.interface, command.queue
        if (seat := self._seats.get(key)) is None:
            return
        seat.paused, seat.reason = command.paused, command.reason if command.paused else ""
        seat.not_before = 0.0
        if not command.paused:
            self._resumed.discard(key)

    def refused(self, command: SetPause, now: float) -> None:
        """Asterisk has refused the command; it is tried again later."""
        if (seat := self._seats.get((command.interface, command.queue))) is not None:
            seat.not_before = now + REFUSED_S

    def any_refused(self, now: float) -> bool:
        """Whether a seat still needs a change that Asterisk has refused, and that is not due yet."""
        return any(seat.not_before > now and self._change(key, seat, math.inf) for key, seat in self._seats.items())

    def next_deadline(self) -> float | None:
        """The time at which ``commands`` returns something without a further event; None: never."""
        if not self.known:
            return None
        changes = ((key, seat, self._change(key, seat, math.inf)) for key, seat in self._seats.items())
        return min((self._due(key, seat, *change) for key, seat, change in changes if change is not None), default=None)

    def view(self) -> list[SeatView]:
        """All seats, sorted by queue and number."""
        seats = sorted(self._seats.values(), key=lambda seat: (seat.state.queue, seat.number, seat.state.interface))
        return [
            SeatView(
                number=seat.number,
                queue=seat.state.queue,
                interface=seat.state.interface,
                name=seat.state.name,
                state=seat.activity,
                paused=seat.paused,
                reason=seat.reason,
            )
            for seat in seats
        ]

    def counts(self, reason: Reason | None) -> dict[tuple[str, str], int]:
        """(state, reason) -> number of seats. ``reason``: why the AI takes no calls, if it takes none.

        States are those of ``SeatState``, and ``paused`` for an idle paused seat. A seat in two queues counts twice.
        """
        found = {(state, ""): 0 for state in (*map(str, SeatState), PAUSED)}
        for seat in self._seats.values():
            state, why = str(seat.activity), _label(seat.reason) if seat.paused else ""
            if seat.paused and seat.activity is SeatState.IDLE:
                state = PAUSED
            elif not seat.paused and seat.activity is SeatState.UNAVAILABLE and reason is not None:
                why = reason.value
            found[state, why] = found.get((state, why), 0) + 1
        return found

    @property
    def any_idle(self) -> bool:
        """Whether there is a seat that only the device state can keep from taking a call."""
        usable = (SeatState.IDLE, SeatState.UNAVAILABLE)
        return any(seat.activity in usable and not seat.paused for seat in self._seats.values())

    @property
    def any_unavailable(self) -> bool:
        """Whether a seat is unavailable in Asterisk, because of the device state."""
        return any(seat.activity is SeatState.UNAVAILABLE for seat in self._seats.values())

    @property
    def invalid(self) -> list[str]:
        """Numbers of the seats that get no calls because their queue finds no hint for them."""
        return _numbers(seat for seat in self._seats.values() if seat.activity is SeatState.INVALID)

    @property
    def without_hint(self) -> list[str]:
        """Numbers of the seats without a hint in at least one of their queues."""
        return _numbers(seat for seat in self._seats.values() if not seat.has_hint)

    # -- decisions ---------------------------------------------------------------------------------

    def _change(self, key: tuple[str, str], seat: _Seat, now: float) -> tuple[bool, str] | None:
        """(whether to pause, the reason that is set or lifted); None if the seat needs no change."""
        if now < seat.not_before:
            return None
        reason = self._reason_for(seat)
        if reason is not None:
            if reason is Reason.MANUAL:
                # A pause by hand outlives this process, so queue_log must show its reason.
                misnamed = seat.reason.startswith((PREFIX, AUTO_PAUSE)) and not _is(seat, reason)
            else:
                # Any present reason will do: each change writes a row for each seat to queue_log.
                held = [each.text for each in self.reasons]
                misnamed = seat.reason.startswith(PREFIX) and seat.reason not in held
            return (True, reason.text) if not seat.paused or misnamed else None
        if not seat.paused:
            return None
        lift = (
            seat.reason.startswith(PREFIX)
            or key in self._resumed
            or (seat.reason == AUTO_PAUSE and now >= seat.lift_at and not self.reasons)
        )
        return (False, seat.reason) if lift else None

    def _reason_for(self, seat: _Seat) -> Reason | None:
        if seat.number in self._manual:
            return Reason.MANUAL
        if not self.reasons:  # each event asks this of each seat
            return None
        return next((reason for reason in Reason if reason in self.reasons and self._needs_pause(seat, reason)), None)

    @staticmethod
    def _needs_pause(seat: _Seat, reason: Reason) -> bool:
        if reason not in BY_STATE or not seat.has_hint:
            return True
        return seat.talks and reason in LASTING

    def _due(self, key: tuple[str, str], seat: _Seat, pause: bool, reason: str) -> float:
        """The time from which this change of a seat is due."""
        waits = not pause and reason == AUTO_PAUSE and key not in self._resumed
        return max(seat.not_before, seat.lift_at if waits else 0.0)

    def _numbered(self, number: str | None) -> dict[tuple[str, str], _Seat]:
        return {key: seat for key, seat in self._seats.items() if number in (None, seat.number)}

    def _lift_all(self) -> None:
        for seat in self._seats.values():
            seat.lift_at, seat.auto_pauses = -math.inf, 0


def _label(text: str) -> str:
    """A pause's reason as a metric's label. All texts of other programs share one label."""
    if text == AUTO_PAUSE:
        return "auto-pause"
    ours = text.removeprefix(PREFIX)
    return ours if text.startswith(PREFIX) and ours in set(Reason) else "other"


def _numbers(seats: Iterable[_Seat]) -> list[str]:
    return sorted({seat.number for seat in seats})


def _is(seat: _Seat, reason: Reason) -> bool:
    return seat.paused and seat.reason == reason.text
