"""When a lost session is tried again, at literal times."""

import pytest

from ariagent.realtime.events import Fault
from ariagent.realtime.recovery import FLOOD_AGAIN_S, MOST_LOSSES, PAUSES_S, Recovery


def lost(within_s: float) -> Recovery:
    """A session is lost at 100 s."""
    recovery = Recovery(within_s, 14.0)
    recovery.stands(90.0)
    recovery.lost(Fault.NETWORK, 100.0)
    return recovery


def attempts(fault: Fault, within_s: float) -> list[float]:
    outage, now, made = lost(within_s), 100.0, []
    while (at := outage.next_attempt(fault, now)) is not None:
        made.append(at - 100.0)
        now = at
    return made


def test_at_once_then_with_growing_pauses_until_the_callers_patience_is_over() -> None:
    assert attempts(Fault.NETWORK, 4.0) == [0.0, 0.25, 0.75, 1.75, 2.75, 3.75]
    assert PAUSES_S[0] == 0.0


@pytest.mark.parametrize("fault", [Fault.CREDENTIALS, Fault.REQUEST])
def test_what_is_refused_for_its_content_is_tried_once(fault: Fault) -> None:
    assert attempts(fault, 4.0) == [0.0]


@pytest.mark.parametrize("fault", [Fault.LIMIT, Fault.EXPIRED, Fault.SERVER])
def test_other_failures_may_pass(fault: Fault) -> None:
    assert len(attempts(fault, 4.0)) > 2


def test_a_model_that_is_silent_is_given_one_more_session() -> None:
    assert attempts(Fault.SILENT, 60.0) == [0.0]
    outage = lost(60.0)
    assert outage.next_attempt(Fault.SILENT, 100.0, elsewhere=True) == 100.0
    assert outage.next_attempt(Fault.SILENT, 101.0, elsewhere=True) is None


def test_a_server_that_floods_is_given_one_more_session() -> None:
    recovery = lost(60.0)
    recovery.stands(101.0)
    recovery.proved()
    recovery.lost(Fault.FLOOD, 102.0)
    assert recovery.next_attempt(Fault.FLOOD, 102.0) == 102.0
    recovery.stands(103.0)
    recovery.proved()  # it completed a response before it flooded again
    recovery.lost(Fault.FLOOD, 104.0)
    assert recovery.next_attempt(Fault.FLOOD, 104.0) is None


def test_a_flood_long_ago_is_forgotten_once_a_session_proved() -> None:
    recovery = lost(60.0)
    recovery.lost(Fault.FLOOD, 102.0)
    recovery.stands(103.0)
    recovery.proved()
    recovery.lost(Fault.FLOOD, 102.0 + FLOOD_AGAIN_S)
    assert recovery.next_attempt(Fault.FLOOD, 200.0) == 200.0


def test_patience() -> None:
    outage = lost(4.0)
    assert outage.left_s(101.0) == 3.0
    assert outage.left_s(110.0) == 0.0


def test_who_had_a_session_meanwhile_has_the_rest_of_their_patience() -> None:
    recovery = lost(4.0)
    recovery.stands(101.0)
    recovery.lost(Fault.NETWORK, 106.0)
    assert recovery.left_s(106.0) == 3.0
    assert recovery.next_attempt(Fault.NETWORK, 106.0) == 106.0


def test_a_model_that_falls_silent_twice_is_given_up() -> None:
    recovery = lost(60.0)
    for at, attempt in ((111.0, 111.0), (122.0, None)):
        recovery.stands(at - 10.0)
        recovery.lost(Fault.SILENT, at)
        assert recovery.next_attempt(Fault.SILENT, at) == attempt
    recovery.stands(200.0)
    recovery.proved()
    recovery.lost(Fault.SILENT, 211.0)
    assert recovery.next_attempt(Fault.SILENT, 211.0) == 211.0


def test_one_that_worked_earns_all_of_it_again() -> None:
    recovery = lost(4.0)
    recovery.stands(101.0)
    recovery.proved()
    recovery.lost(Fault.SERVER, 111.0)
    assert recovery.left_s(111.0) == 4.0


def test_so_does_one_that_stood_for_longer_than_a_stall_takes() -> None:
    recovery = lost(4.0)
    recovery.stands(101.0)
    recovery.lost(Fault.SERVER, 116.0)
    assert recovery.left_s(116.0) == 4.0


def test_the_sessions_that_are_lost_one_after_another_are_counted() -> None:
    recovery, now = lost(4.0), 100.0
    for _ in range(MOST_LOSSES - 1):
        recovery.stands(now)
        now += 2.0
        recovery.lost(Fault.NETWORK, now)
        assert recovery.next_attempt(Fault.NETWORK, now) == now
    recovery.stands(now)
    recovery.lost(Fault.NETWORK, now + 2.0)
    assert recovery.next_attempt(Fault.NETWORK, now + 2.0) is None
