"""What is true of the service, and what the pool is told."""

import pytest

from ariagent.config import AmiSettings
from ariagent.pool.availability import Availability
from ariagent.pool.pool import Pool
from ariagent.pool.seats import Reason


class Truth:
    """A service's state, and what the pool holds against taking calls."""

    def __init__(self, most: int) -> None:
        self.listening, self.calls, self.over_cap, self.off_hours = True, 0, False, False
        self.overloaded = False
        self.pool = Pool(AmiSettings.model_validate({"password": "x"}))
        self._availability = Availability(
            self.pool,
            listening=lambda: self.listening,
            calls=lambda: self.calls,
            over_cap=lambda: self.over_cap,
            most=most,
            off_hours=lambda: self.off_hours,
            overloaded=lambda: self.overloaded,
        )

    def reasons(self) -> set[Reason]:
        self._availability.look()
        return self.pool.seats.reasons


def test_down_while_asterisk_is_not_connected() -> None:
    truth = Truth(10)
    assert truth.pool.seats.reasons == {Reason.DOWN}
    assert truth.reasons() == set()
    truth.listening = False
    assert truth.reasons() == {Reason.DOWN}


def test_capped_while_enough_is_spent() -> None:
    truth = Truth(10)
    truth.over_cap = True
    assert truth.reasons() == {Reason.CAPPED}
    truth.over_cap = False
    assert truth.reasons() == set()


@pytest.mark.parametrize(("most", "again"), [(1, 0), (2, 1), (10, 9), (60, 54), (100, 90)])
def test_capped_when_full_until_there_is_some_room(most: int, again: int) -> None:
    truth = Truth(most)
    truth.calls = most - 1
    assert truth.reasons() == set()
    for truth.calls in range(most, again, -1):
        assert truth.reasons() == {Reason.CAPPED}
    truth.calls = again
    assert truth.reasons() == set()
    truth.calls = max(again, most - 1)
    assert truth.reasons() == set()


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


def test_a_service_that_ends_takes_no_calls_although_all_is_well() -> None:
    truth = Truth(10)
    assert truth.reasons() == set()
    truth.pool.hold(Reason.DOWN)
    assert truth.reasons() == {Reason.DOWN}
    truth.pool.set_reason(Reason.MODEL, True)
    truth.pool.set_reason(Reason.MODEL, False)
    assert truth.reasons() == {Reason.DOWN}
