"""The service's state, and the reports of it to the pool and the device state."""

from typing import Any

import pytest

from ariagent.ami.client import AmiClient
from ariagent.ami.events import MemberChanged, QueuesListed
from ariagent.config import AmiSettings
from ariagent.pool.availability import Availability
from ariagent.pool.device_state import CLOSED, OPEN, SeatDeviceState
from ariagent.pool.pool import Pool
from ariagent.pool.seats import BY_STATE, Reason


class Nowhere:
    """Device states that nobody may ask for: what is wanted is looked at, not what Asterisk does."""

    async def device_state(self, name: str) -> str:
        raise AssertionError(name)

    async def set_device_state(self, name: str, state: str) -> None:
        raise AssertionError(name)


class Told(SeatDeviceState):
    """A device state that remembers the last wanted state, and the number of looks."""

    wanted: bool | None = None
    looks = 0

    def want(self, is_open: bool) -> None:
        self.wanted = is_open

    def look(self) -> None:
        self.looks += 1


class Truth:
    """A service's state, and what is held against taking calls."""

    def __init__(self, most: int, *, manager: bool = True) -> None:
        self.listening, self.calls, self.over_cap, self.off_hours = True, 0, False, False
        self.overloaded = False
        self.ami = AmiClient(AmiSettings.model_validate({"password": "x"}))
        self.pool = Pool(self.ami, "ariagent") if manager else None
        self.device_state = Told(Nowhere(), "ariagent")
        self.availability = Availability(
            self.pool,
            self.device_state,
            listening=lambda: self.listening,
            calls=lambda: self.calls,
            over_cap=lambda: self.over_cap,
            most=most,
            off_hours=lambda: self.off_hours,
            overloaded=lambda: self.overloaded,
        )

    def connect(self) -> None:
        """The manager interface is connected."""
        assert self.pool is not None
        self.ami._logged_in.set()

    def reasons(self) -> set[Reason]:
        self.availability.look()
        if self.pool is not None:
            assert self.pool.seats.reasons == self.availability.reasons
        return self.availability.reasons


def test_down_while_asterisk_is_not_connected() -> None:
    truth = Truth(10)
    assert truth.availability.reasons == {Reason.DOWN}
    assert (truth.availability.first, truth.device_state.wanted) == (Reason.DOWN, None)
    assert truth.reasons() == set()
    assert (truth.availability.first, truth.device_state.wanted) == (None, True)
    truth.listening = False
    assert truth.reasons() == {Reason.DOWN}
    assert truth.device_state.wanted is False


def test_capped_while_enough_is_spent() -> None:
    truth = Truth(10)
    truth.over_cap = True
    assert truth.reasons() == {Reason.CAPPED}
    truth.over_cap = False
    assert truth.reasons() == set()


@pytest.mark.parametrize(("most", "again"), [(1, 0), (2, 1), (10, 9), (60, 54), (100, 90)])
def test_full_when_all_places_are_taken_until_there_is_some_room(most: int, again: int) -> None:
    truth = Truth(most)
    truth.calls = most - 1
    assert truth.reasons() == set()
    for truth.calls in range(most, again, -1):
        assert truth.reasons() == {Reason.FULL}
    truth.calls = again
    assert truth.reasons() == set()
    truth.calls = max(again, most - 1)
    assert truth.reasons() == set()


def test_not_full_where_every_seat_is_in_a_call_for_the_queue_knows_that(member: Any) -> None:
    truth = Truth(2)
    assert truth.pool is not None
    truth.pool.seats.place("ariagent-seat", ours=True, now=0)
    seats = ["Local/01@ariagent-seat/nm", "Local/02@ariagent-seat/nm"]
    for seat in seats:
        truth.pool.seats.handle(member("frontline", seat, "talking"), 0)
    truth.pool.seats.handle(QueuesListed(), 0)
    truth.calls = 2
    assert truth.reasons() == set()
    # One of the calls came straight: there is a seat that cannot take one.
    truth.pool.seats.handle(MemberChanged(member("frontline", seats[1])), 1)
    assert truth.reasons() == {Reason.FULL}


def test_seats_that_are_unavailable_behind_an_open_door_have_it_looked_at(member: Any) -> None:
    truth = Truth(2)
    assert truth.pool is not None
    truth.pool.seats.place("ariagent-seat", ours=True, now=0)
    truth.pool.seats.handle(member("frontline", "Local/01@ariagent-seat/nm", "gone"), 0)
    truth.device_state._state = CLOSED
    truth.reasons()
    assert truth.device_state.looks == 0
    truth.device_state._state = OPEN
    truth.reasons()
    assert truth.device_state.looks == 1


def test_off_hours_have_a_reason_of_their_own() -> None:
    truth = Truth(10)
    truth.off_hours = True
    assert truth.reasons() == {Reason.HOURS}
    assert Reason.HOURS.text == "ariagent: hours"
    truth.off_hours = False
    assert truth.reasons() == set()


def test_overloaded_while_the_machine_is_too_busy() -> None:
    truth = Truth(10)
    truth.overloaded = True
    assert truth.reasons() == {Reason.OVERLOADED}
    truth.overloaded = False
    assert truth.reasons() == set()


@pytest.mark.parametrize("manager", [True, False])
def test_a_service_that_ends_takes_no_calls_although_all_is_well(manager: bool) -> None:
    truth = Truth(10, manager=manager)
    assert truth.reasons() == set()
    truth.availability.hold(Reason.DOWN)
    assert truth.reasons() == {Reason.DOWN}
    truth.availability.set_reason(Reason.MODEL, True)
    truth.availability.set_reason(Reason.MODEL, False)
    assert truth.reasons() == {Reason.DOWN}
    assert truth.device_state.wanted is False


@pytest.mark.parametrize("reason", sorted(set(Reason) - {Reason.MANUAL}))
def test_the_door_is_closed_for_what_it_tells_and_for_all_where_no_pause_can(reason: Reason) -> None:
    truth = Truth(10)
    truth.connect()
    assert truth.reasons() == set()
    truth.availability.set_reason(reason, True)
    assert truth.device_state.wanted is (reason not in BY_STATE)
    for truth in (Truth(10), Truth(10, manager=False)):  # not connected, not configured
        assert truth.reasons() == set()
        truth.availability.set_reason(reason, True)
        assert truth.device_state.wanted is False
