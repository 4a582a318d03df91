"""Queues that the pool knows, its messages about seats that get no calls, and the pauses it sends."""

import asyncio
from typing import Any

import pytest

from ariagent.ami.client import AmiClient
from ariagent.ami.events import MemberChanged, QueuesListed, QueueState
from ariagent.config import AmiSettings
from ariagent.errors import AmiError, AmiRefusedError
from ariagent.pool.pool import Pool
from ariagent.pool.seats import HINT_REMEDY, INVALID_REMEDY

LIMIT_S = 20.0
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


class SlowManager:
    """Answers no action before ``count`` of them wait together. Seats in ``refuses`` are refused."""

    connected = True

    def __init__(self, count: int, refuses: str = "") -> None:
        self.asked: list[str] = []
        self._count = count
        self._refuses = refuses
        self._all = asyncio.Event()

    def subscribe(self, *args: Any, **kwargs: Any) -> None:
        pass

    async def action(self, name: str, /, **fields: Any) -> dict[str, str]:
        assert name == "QueuePause"
        self.asked.append(fields["Interface"])
        if len(self.asked) == self._count:
            self._all.set()
        await self._all.wait()
        if fields["Interface"] == self._refuses:
            raise AmiRefusedError("Interface not found")
        return {}


def seats_of(member: Any, manager: SlowManager, count: int) -> tuple[Pool, list[str]]:
    """A pool with ``count`` seats, and their interfaces."""
    pool = Pool(manager, "ariagent")  # type: ignore[arg-type]
    pool.seats.place("ariagent-seat", ours=True, now=0)
    seats = [f"Local/{n:02}@ariagent-seat/nm" for n in range(count)]
    hear(pool, *(member("support", seat) for seat in seats))
    return pool, seats


async def test_sixty_seats_are_paused_without_sixty_waits_for_an_answer(member: Any) -> None:
    pool, seats = seats_of(member, manager := SlowManager(60), 60)
    pool.pause()
    async with asyncio.timeout(LIMIT_S):
        await pool._tell_asterisk()
    assert sorted(manager.asked) == seats
    assert all(seat.paused for seat in pool.seats.view())
    assert pool.settled.is_set()


async def test_a_seat_that_asterisk_refuses_to_pause_keeps_no_other_from_it(member: Any) -> None:
    pool, seats = seats_of(member, SlowManager(3, refuses="Local/01@ariagent-seat/nm"), 3)
    pool.pause()
    async with asyncio.timeout(LIMIT_S):
        await pool._tell_asterisk()
    assert [seat.interface for seat in pool.seats.view() if not seat.paused] == [seats[1]]
