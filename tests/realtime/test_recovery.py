"""When a lost session is tried again, at literal times."""

import pytest

from ariagent.realtime.events import Fault
from ariagent.realtime.recovery import PAUSES_S, Recovery


def attempts(fault: Fault, within_s: float) -> list[float]:
    outage, now, made = Recovery(within_s, 100.0), 100.0, []
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
    outage = Recovery(60.0, 100.0)
    assert outage.next_attempt(Fault.SILENT, 100.0, elsewhere=True) == 100.0
    assert outage.next_attempt(Fault.SILENT, 101.0, elsewhere=True) is None


def test_patience() -> None:
    outage = Recovery(4.0, 100.0)
    assert outage.left_s(101.0) == 3.0
    assert outage.left_s(110.0) == 0.0
