"""Queues that the pool knows, and its messages about seats that get no calls."""

from typing import Any

import pytest

from ariagent.ami.client import AmiClient
from ariagent.ami.events import MemberChanged, QueuesListed, QueueState
from ariagent.config import AmiSettings
from ariagent.errors import AmiError
from ariagent.pool.pool import Pool
from ariagent.pool.seats import HINT_REMEDY, INVALID_REMEDY

S1, S2 = (f"Local/0{n}@ariagent-seat/nm" for n in (1, 2))


@pytest.fixture
def pool() -> Pool:
    """Not connected: what it hears is told by hand."""
    pool = Pool(AmiClient(AmiSettings.model_validate({"password": "x"})), "ariagent")
    pool.seats.place("ariagent-seat", ours=True, now=0)
    return pool


def hear(pool: Pool, *events: Any) -> None:
    for event in (QueueState("support", "rrmemory", 0, 0, 0, 0), *events, QueuesListed()):
        pool._hear(event)


async def test_a_queue_is_there_not_there_or_not_known(pool: Pool) -> None:
    assert pool.has_queue("support") is None
    hear(pool)
    assert pool.has_queue("SUPPORT") is True
    assert await pool.find_queue("SUPPORT")
    assert pool.has_queue("nightdesk") is None
    with pytest.raises(AmiError):
        await pool.find_queue("nightdesk")


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, object]]]:
    found = [(record.message, record.__dict__.get("fields", {})) for record in caplog.records]
    caplog.clear()
    return found


def test_seats_that_get_no_calls_are_told_once_with_the_remedy(
    pool: Pool, member: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    hear(pool, member("support", S1, "invalid"), member("support", S2, "invalid"))
    assert told(caplog) == [("seats.invalid", {"seats": 2, "numbers": "01,02", "remedy": INVALID_REMEDY})]
    hear(pool, member("support", S1, "invalid"), member("support", S2, "invalid"))
    assert told(caplog) == []
    pool._hear(MemberChanged(member("support", S1)))
    assert told(caplog) == [("seats.invalid", {"seats": 1, "numbers": "02", "remedy": INVALID_REMEDY})]
    pool._hear(MemberChanged(member("support", S2)))
    assert told(caplog) == [("seats.valid", {})]
    pool._hear(MemberChanged(member("support", S1, "invalid", state_interface=S1)))
    assert told(caplog) == [("seats.invalid", {"seats": 1, "numbers": "01", "remedy": HINT_REMEDY})]
