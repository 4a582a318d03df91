"""CORE: which of the AI's seats are paused, and why.

A seat is a member ``Local/NN@ariagent-seat/...`` of any queue, with the hint of its number as its state. While the AI
takes no calls an idle seat is "Unavailable" by that hint, without a row in queue_log (``pool.door``). A pause writes a
row for each seat, so it is made only where it says more than that, or where the hint does not help:

* for a reason that reports and wall boards are to see (all but ``BY_STATE``);
* for a seat in a call, where that reason lasts (``LASTING``): it is "In use", and callers would wait for it;
* for a seat without the hint.

The pauses that queue_log shows are of four kinds:

* ours: ``ariagent: `` and one of ``Reason``; set and lifted here, also those of a former process;
* by hand with our commands: one of ours too, but it outlives a restart;
* Asterisk's own (``Auto-Pause``: a seat did not answer): lifted at the start, after every connection and after every
  outage of ours at once, else after a growing while;
* somebody else's, with any other reason or none: left as they are, unless ours are told to resume them.

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
"""The reason that app_queue gives (source: app_queue.c rna)."""
FIRST_LIFT_S, LONGEST_LIFT_S = 10.0, 300.0
"""How long Asterisk's own pause of a seat is left: a seat that fails again and again costs callers time."""
REFUSED_S = 30.0
"""A pause that Asterisk refused is tried again after this."""

_SEAT = re.compile(r"Local/(\d{2,3})@ariagent-seat(?:/\w+)?", re.IGNORECASE)
_IDLE = (MemberStatus.UNKNOWN, MemberStatus.NOT_IN_USE)


class Reason(StrEnum):
    """Why the AI takes no calls, the first of those that hold is the one that is shown."""

    MANUAL = "manual"
    """By hand."""
    DRAINING = "draining"
    """The service is about to end."""
    DOWN = "down"
    """The service is not running, or not connected to Asterisk."""
    AUDIO = "audio"
    """Asterisk cannot connect a call's audio to the service."""
    MODEL = "model"
    """The model cannot be reached or refuses."""
    HOURS = "hours"
    """The site wants people to take the calls at this time."""
    CAPPED = "capped"
    """As many minutes, or as much money, as the day may have."""
    OVERLOADED = "overloaded"
    """The machine is too busy for another call."""
    FULL = "full"
    """As many calls at once as there may be, while there are idle seats."""

    @property
    def text(self) -> str:
        """As it stands in queue_log."""
        return PREFIX + self.value


BY_STATE = frozenset((Reason.DRAINING, Reason.DOWN, Reason.AUDIO, Reason.MODEL, Reason.FULL))
"""Reasons that the seats' device state tells. They come and go without a person's doing, some of them often."""
LASTING = frozenset((Reason.DRAINING, Reason.AUDIO, Reason.MODEL))
"""Those of them for which nobody is to wait for a seat in a call: none will take a call for a while."""


MEMBER = "member => Local/01@ariagent-seat/nm,0,AI Agent,hint:01@ariagent-seat"
HINT_REMEDY = f"Run `ariagent install --apply`. In queues of your own name each seat's hint, as in {MEMBER}"
INVALID_REMEDY = (
    "Run `ariagent install --apply`, which has Asterisk read its dialplan and then its queues again. "
    "Seats in a database: take their rows out and put them in again"
)


class SeatState(StrEnum):
    """What a seat is to its queue."""

    IDLE = "idle"
    BUSY = "busy"
    """In a call, or ringing."""
    UNAVAILABLE = "unavailable"
    """The device state says that the AI takes no calls."""
    INVALID = "invalid"
    """Its hint was not there when the queue was loaded, or went away since. Only another reload of the queue helps."""


def state_of(status: MemberStatus) -> SeatState:
    """What a member with this status is to its queue."""
    if status in _IDLE:
        return SeatState.IDLE
    found = {MemberStatus.UNAVAILABLE: SeatState.UNAVAILABLE, MemberStatus.INVALID: SeatState.INVALID}
    return found.get(status, SeatState.BUSY)


@dataclass(frozen=True, slots=True)
class SetPause:
    """Pause or un-pause a seat in one queue: the manager's action QueuePause. Without a queue it writes a row more."""

    interface: str
    queue: str
    paused: bool
    reason: str
    """Why it is paused, or what is lifted."""


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
    """Why it is paused, or empty."""

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
    """In a row, without a call taken."""
    not_before: float = 0.0
    """After a refusal."""
    talks: bool = False
    """In a conversation. (One that rings is busy, but not for long.)"""

    @property
    def activity(self) -> SeatState:
        return state_of(self.state.status)

    @property
    def has_hint(self) -> bool:
        return has_hint(self.state)


def seat_number(interface: str) -> str | None:
    """``NN`` of a seat's interface; None when it is no seat."""
    match = _SEAT.fullmatch(interface)
    return match[1] if match is not None else None


def has_hint(seat: MemberState) -> bool:
    """Whether a seat's state is the hint of its number."""
    return seat.state_interface.lower() == f"hint:{seat_number(seat.interface)}@ariagent-seat"


class Seats:
    """The seats of one Asterisk. Begins as ``down``: nothing is un-paused before ``set_reason(Reason.DOWN, False)``."""

    def __init__(self) -> None:
        self.known = False
        """Whether a list was complete since the connection was made."""
        self.reasons: set[Reason] = {Reason.DOWN}
        """What holds for all seats now."""
        self._seats: dict[tuple[str, str], _Seat] = {}
        """By interface and queue."""
        self._listed: set[tuple[str, str]] = set()
        self._manual: set[str] = set()
        """Numbers of seats that are paused by hand."""
        self._resumed: set[tuple[str, str]] = set()
        """Seats whose pause is to be lifted once, whosever it is."""
        self._adopted = False

    # -- what is asked for -------------------------------------------------------------------------

    def set_reason(self, reason: Reason, on: bool) -> None:
        """A reason holds, or no longer does, for all seats. MANUAL is ``pause`` and ``resume`` for all."""
        if reason is Reason.MANUAL:
            self.pause() if on else self.resume()
            return
        if on:
            self.reasons.add(reason)
            return
        if reason in self.reasons:
            self.reasons.discard(reason)
            # What Asterisk paused meanwhile it paused for a cause that is over.
            self._lift_all()

    def pause(self, number: str | None = None) -> list[str]:
        """Pause a seat, or all, by hand; returns the numbers. Empty when there is no such seat."""
        seats = self._numbered(number)
        self._manual.update(seat.number for seat in seats.values())
        self._resumed.difference_update(seats)
        return _numbers(seats.values())

    def resume(self, number: str | None = None) -> list[str]:
        """End pauses by hand, somebody else's and Asterisk's too; the service's own reasons go on to hold."""
        seats = self._numbered(number)
        self._manual.difference_update(seat.number for seat in seats.values())
        self._resumed.update(key for key, seat in seats.items() if seat.paused)
        return _numbers(seats.values())

    # -- what is heard -----------------------------------------------------------------------------

    def begin(self) -> None:
        """A new connection; a list follows."""
        self.lost()

    def lost(self) -> None:
        """The connection is gone."""
        self.known = False
        self._listed.clear()

    def handle(self, event: Event, now: float) -> None:
        """Take one event in; those that are none of seats' are ignored."""
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
            case AgentConnected(queue=queue, interface=interface):
                if (seat := self._seats.get((interface, queue))) is not None:
                    seat.auto_pauses, seat.talks = 0, True
            case QueuesListed():
                self._listed_all()
            case _:
                pass

    def _keep(self, member: MemberState, now: float, *, told: bool = False) -> None:
        """``told``: that it was paused or un-paused is what the event is about."""
        number = seat_number(member.interface)
        if number is None:
            return
        key = (member.interface, member.queue)
        seat = self._seats.get(key)
        if seat is None:
            seat = self._seats[key] = _Seat(number, member, member.paused, member.reason, lift_at=now)
            seat.talks = member.in_call and seat.activity is SeatState.BUSY
            return
        reason = member.reason
        if member.paused and not reason and seat.paused and not told:
            # Asterisk forgets the reason of a pause when it reloads the queue, not the pause.
            reason = seat.reason
        auto_paused = member.paused and reason == AUTO_PAUSE
        if auto_paused and not self.known:
            seat.lift_at = now
        elif auto_paused and not (seat.paused and seat.reason == AUTO_PAUSE):
            seat.lift_at = now + min(FIRST_LIFT_S * 2**seat.auto_pauses, LONGEST_LIFT_S)
            seat.auto_pauses = min(seat.auto_pauses + 1, 16)
        seat.state, seat.paused, seat.reason = member, member.paused, reason
        # Asterisk tells that a member is in a call only when something else about it changes.
        seat.talks = (seat.talks or member.in_call) and seat.activity is SeatState.BUSY
        if not seat.paused:
            self._resumed.discard(key)

    def _listed_all(self) -> None:
        self._seats = {key: seat for key, seat in self._seats.items() if key in self._listed}
        self._listed.clear()
        self.known = True
        if not self._adopted:
            # A former process of ours was told to by a person; that it was started anew changes nothing.
            self._adopted = True
            self._manual |= {seat.number for seat in self._seats.values() if _is(seat, Reason.MANUAL)}

    # -- what is to be done ------------------------------------------------------------------------

    def commands(self, now: float) -> list[SetPause]:
        """What Asterisk must be told now. After each: ``applied`` or ``refused``."""
        if not self.known:
            return []
        changes = ((key, self._change(key, seat, now)) for key, seat in self._seats.items())
        return [SetPause(*key, *change) for key, change in changes if change is not None]

    def due(self, now: float) -> bool:
        """Whether ``commands`` has something to say now."""
        return self.known and any(self._change(key, seat, now) is not None for key, seat in self._seats.items())

    def applied(self, command: SetPause) -> None:
        """Asterisk did it. Its event says so as well, a moment later."""
        key = command.interface, command.queue
        if (seat := self._seats.get(key)) is None:
            return
        seat.paused, seat.reason = command.paused, command.reason if command.paused else ""
        seat.not_before = 0.0
        if not command.paused:
            self._resumed.discard(key)

    def refused(self, command: SetPause, now: float) -> None:
        """Asterisk would not; asked again later."""
        if (seat := self._seats.get((command.interface, command.queue))) is not None:
            seat.not_before = now + REFUSED_S

    def next_deadline(self) -> float | None:
        """When ``commands`` has something to say although nothing happens; None: never."""
        if not self.known:
            return None
        ahead = (seat for key, seat in self._seats.items() if self._change(key, seat, math.inf) is not None)
        return min((self._due(seat) for seat in ahead), default=None)

    def view(self) -> list[SeatView]:
        """All seats, in order of queue and number."""
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
        """How many seats there are by (state, reason). ``reason``: why the AI takes no calls, if it takes none.

        States are those of ``SeatState``, and ``paused`` for an idle seat that is. A seat of two queues counts twice.
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
        """Whether a caller could be sent to a seat that nothing but a device state keeps from taking calls."""
        usable = (SeatState.IDLE, SeatState.UNAVAILABLE)
        return any(seat.activity in usable and not seat.paused for seat in self._seats.values())

    @property
    def any_unavailable(self) -> bool:
        """Whether the device state keeps calls from a seat, as Asterisk has it."""
        return any(seat.activity is SeatState.UNAVAILABLE for seat in self._seats.values())

    @property
    def invalid(self) -> list[str]:
        """Numbers of seats that get no calls because their queue finds no hint of theirs."""
        return _numbers(seat for seat in self._seats.values() if seat.activity is SeatState.INVALID)

    @property
    def without_hint(self) -> list[str]:
        """Numbers of seats that have none as their state in one of their queues."""
        return _numbers(seat for seat in self._seats.values() if not seat.has_hint)

    # -- how that is decided -----------------------------------------------------------------------

    def _change(self, key: tuple[str, str], seat: _Seat, now: float) -> tuple[bool, str] | None:
        """(whether to pause, the reason that is set or lifted), or None for a seat that is as it should be."""
        if now < seat.not_before:
            return None
        reason = self._reason_for(seat)
        if reason is not None:
            if reason is Reason.MANUAL:
                # It outlives this process, so it must show.
                misnamed = seat.reason.startswith((PREFIX, AUTO_PAUSE)) and not _is(seat, reason)
            else:
                # Any that holds will do: each change is a row in queue_log for each seat.
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
        return next((reason for reason in Reason if reason in self.reasons and self._needs_pause(seat, reason)), None)

    @staticmethod
    def _needs_pause(seat: _Seat, reason: Reason) -> bool:
        if reason not in BY_STATE or not seat.has_hint:
            return True
        return seat.talks and reason in LASTING

    @staticmethod
    def _due(seat: _Seat) -> float:
        auto_paused = seat.paused and seat.reason == AUTO_PAUSE
        return max(seat.not_before, seat.lift_at if auto_paused else 0.0)

    def _numbered(self, number: str | None) -> dict[tuple[str, str], _Seat]:
        return {key: seat for key, seat in self._seats.items() if number in (None, seat.number)}

    def _lift_all(self) -> None:
        for seat in self._seats.values():
            seat.lift_at, seat.auto_pauses = -math.inf, 0


def _label(text: str) -> str:
    """A pause's reason for a metric: other people's texts are one."""
    if text == AUTO_PAUSE:
        return "auto-pause"
    ours = text.removeprefix(PREFIX)
    return ours if text.startswith(PREFIX) and ours in set(Reason) else "other"


def _numbers(seats: Iterable[_Seat]) -> list[str]:
    return sorted({seat.number for seat in seats})


def _is(seat: _Seat, reason: Reason) -> bool:
    return seat.paused and seat.reason == reason.text
