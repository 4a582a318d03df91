"""Events of the manager interface, as short as a test can write them."""

import re
from typing import Any

import pytest

from ariagent.ami.events import MemberState, MemberStatus

STATUS = {"idle": MemberStatus.NOT_IN_USE, "talking": MemberStatus.IN_USE, "ringing": MemberStatus.RINGING}
STATUS |= {
    "invalid": MemberStatus.INVALID,
    "gone": MemberStatus.UNAVAILABLE,
    "unknown": MemberStatus.UNKNOWN,
    "held": MemberStatus.ON_HOLD,
}

SEAT = re.compile(r"Local/(\d+@ariagent(?:-\w+)*-seat)")


def make_member(
    queue: str, interface: str, status: str = "idle", paused: str | None = None, **more: Any
) -> MemberState:
    """One member of a queue."""
    fields: dict[str, Any] = {
        "name": interface.partition("/")[2],
        "penalty": 0,
        "status": STATUS[status],
        "in_call": status == "talking",
        "paused": paused is not None,
        "reason": paused or "",
        "state_interface": f"hint:{seat[1]}" if (seat := SEAT.match(interface)) else interface,
        "last_call": 0,
        "wrapup_s": 0,
        "calls_taken": 0,
    }
    return MemberState(queue=queue, interface=interface, **fields | more)


@pytest.fixture
def member() -> Any:
    """``member("support", "PJSIP/1001", "talking", paused="Lunch")``."""
    return make_member
