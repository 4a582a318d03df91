"""A whole pool beside the queues of an Asterisk in memory: what the seats get of it, and when."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from ariagent.ami.events import MemberChanged, MemberPaused, MemberStatus
from ariagent.errors import AmiError, AmiRefusedError
from ariagent.pool.availability import Availability
from ariagent.pool.device_state import CLOSED, OPEN, SeatDeviceState
from ariagent.pool.owner import NO_SEATS_REMEDY
from ariagent.pool.pool import Pool
from ariagent.pool.seats import Reason
from tests.call.virtualtime import passes, virtual_time
from tests.pool.memoryqueues import MemoryQueues

S1, S2 = (f"Local/0{n}@ariagent-seat/nm" for n in (1, 2))
OTHERS = "Local/01@ariagent-billing-seat/nm"
HOURS, MANUAL = Reason.HOURS.text, Reason.MANUAL.text


@asynccontextmanager
async def running(asterisk: MemoryQueues, *looks_for: str) -> AsyncIterator[Pool]:
    """The pool of a service that takes calls, connected."""
    pool = Pool(asterisk, "ariagent")
    pool.looks_for = lambda: looks_for
    task = asyncio.ensure_future(pool.run())
    asterisk.connect()
    pool.set_reason(Reason.DOWN, False)
    await passes(0.5)
    try:
        yield pool
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
def asterisk(member: Any) -> MemoryQueues:
    """Two seats in the queue ``support``."""
    return MemoryQueues(member("support", S1), member("support", S2))


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Any:
    """``told("seats.paused")``: the fields of each such event since the last time."""
    caplog.set_level("INFO")
    seen = [0]

    def find(*names: str) -> list[dict[str, Any]]:
        records = caplog.records[seen[0] :]
        seen[0] = len(caplog.records)
        return [record.__dict__.get("fields", {}) for record in records if record.message in names]

    return find


@virtual_time
async def test_seats_are_paused_and_resumed_in_asterisk_and_each_is_told_once(
    asterisk: MemoryQueues, told: Any
) -> None:
    async with running(asterisk) as pool:
        assert told("pool.ready") == [{"queues": 1, "seats": 2, "paused": 0}]
        pool.set_reason(Reason.HOURS, True)
        assert not pool.settled.is_set()
        await passes(0.1)
        assert asterisk.paused() == {"01": HOURS, "02": HOURS}
        assert pool.settled.is_set()
        assert told("seats.paused") == [{"seats": 2, "reason": HOURS}]
        pool.set_reason(Reason.HOURS, False)
        await passes(0.1)
        assert asterisk.paused() == {}
        assert told("seats.resumed", "seats.paused", "pool.ready") == [{"seats": 2, "reason": HOURS}]


@virtual_time
async def test_a_supervisor_pauses_one_seat_and_resumes_it(asterisk: MemoryQueues) -> None:
    async with running(asterisk) as pool:
        assert pool.pause("02") == ["02"]
        await passes(0.1)
        assert asterisk.paused() == {"02": MANUAL}
        assert pool.resume() == ["01", "02"]
        await passes(0.1)
        assert asterisk.paused() == {}


@virtual_time
async def test_asterisks_own_pause_is_lifted_after_a_while_without_any_event(
    asterisk: MemoryQueues, member: Any
) -> None:
    async with running(asterisk):
        asterisk.tell(MemberPaused(member("support", S1, paused="Auto-Pause")))
        await passes(9)
        assert asterisk.paused() == {"01": "Auto-Pause"}
        await passes(2)
        assert asterisk.paused() == {}


@virtual_time
async def test_a_seat_whose_pause_asterisk_refuses_is_tried_again_and_the_others_are_paused(
    asterisk: MemoryQueues, told: Any
) -> None:
    async with running(asterisk) as pool:
        asterisk.refused[S1] = AmiRefusedError("QueuePause: Interface not found")
        pool.set_reason(Reason.HOURS, True)
        await passes(1)
        assert asterisk.paused() == {"02": HOURS}
        assert told("seat.pause_refused") == [{"seat": S1, "cause": "QueuePause: Interface not found"}]
        del asterisk.refused[S1]
        await passes(28)
        assert asterisk.paused() == {"02": HOURS}
        await passes(3)
        assert asterisk.paused() == {"01": HOURS, "02": HOURS}


@virtual_time
async def test_pauses_that_asterisk_refuses_are_not_told_as_done(asterisk: MemoryQueues, told: Any) -> None:
    refused = AmiRefusedError("QueuePause: Permission denied")
    async with running(asterisk) as pool:
        asterisk.refused["QueuePause"] = refused
        pool.set_reason(Reason.CAPPED, True)
        await passes(40)
        assert asterisk.paused() == {}
        assert (told("seats.paused"), pool.settled.is_set()) == ([], False)
        pool.set_reason(Reason.CAPPED, False)
        await passes(0.1)
        assert pool.settled.is_set(), "the seats need no pause any more"
        del asterisk.refused["QueuePause"]
        asterisk.refused[S1] = refused
        pool.set_reason(Reason.HOURS, True)
        await passes(31)
        assert (told("seats.paused"), pool.settled.is_set()) == ([{"seats": 1, "reason": HOURS}], False)
        asterisk.refused.clear()
        await passes(31)
        assert (told("seats.paused"), pool.settled.is_set()) == ([{"seats": 1, "reason": HOURS}], True)


@virtual_time
async def test_a_pause_that_asterisk_does_not_answer_is_sent_again_a_second_later(asterisk: MemoryQueues) -> None:
    async with running(asterisk) as pool:
        asterisk.refused["QueuePause"] = AmiError("Asterisk did not answer QueuePause within 5 s")
        pool.set_reason(Reason.HOURS, True)
        await passes(0.1)
        asterisk.refused.clear()
        await passes(1.5)
        assert asterisk.paused() == {"01": HOURS, "02": HOURS}


@virtual_time
async def test_sixty_seats_are_paused_without_sixty_waits_for_an_answer(member: Any) -> None:
    asterisk = MemoryQueues(*(member("support", f"Local/{n:02}@ariagent-seat/nm") for n in range(60)))
    async with running(asterisk) as pool:
        asterisk.takes_s["QueuePause"] = 1.0
        pool.pause()
        await passes(1.5)
        assert asterisk.paused() == {f"{n:02}": MANUAL for n in range(60)}
        assert all(seat.paused for seat in pool.seats.view())
        assert pool.settled.is_set()


@virtual_time
async def test_pauses_of_the_time_without_a_connection_are_made_when_it_is_back(
    asterisk: MemoryQueues, told: Any
) -> None:
    async with running(asterisk) as pool:
        asterisk.lose()
        pool.set_reason(Reason.HOURS, True)
        await passes(90)
        assert (asterisk.paused(), pool.settled.is_set(), pool.connected) == ({}, False, False)
        assert pool.view("support") is None
        assert told("seats.pause_not_sent", "queues.not_read") == [], "it is known that there is no connection"
        asterisk.connect()
        await passes(0.5)
        assert asterisk.paused() == {"01": HOURS, "02": HOURS}
        assert told("pool.ready") == [{"queues": 1, "seats": 2, "paused": 2}]


@virtual_time
async def test_a_connection_that_is_lost_in_the_middle_leaves_no_seat_forgotten(
    asterisk: MemoryQueues, told: Any
) -> None:
    async with running(asterisk) as pool:
        asterisk.takes_s["QueuePause"] = 1.0
        pool.set_reason(Reason.HOURS, True)
        await passes(0.5)
        asterisk.lose()
        await passes(2)
        [fields] = told("seats.pause_not_sent")
        assert (fields["seats"], fields["cause"][-8:]) == (2, "was lost")
        asterisk.connect()
        await passes(5)
        assert asterisk.paused() == {"01": HOURS, "02": HOURS}


@virtual_time
async def test_a_process_that_ends_pauses_what_has_no_hint_and_waits_three_seconds_for_it(
    member: Any, told: Any
) -> None:
    asterisk = MemoryQueues(member("support", S1, state_interface=S1), member("support", S2))
    async with running(asterisk) as pool:
        asterisk.takes_s["QueuePause"] = 1.0
        pool.set_reason(Reason.DOWN, True)
        await pool.leave()
        assert asterisk.paused() == {"01": Reason.DOWN.text}, "the hint of the other one shows it"
    async with running(asterisk) as pool:
        await passes(5)
        assert asterisk.paused() == {}
        asterisk.takes_s["QueuePause"] = 60.0
        pool.set_reason(Reason.DOWN, True)
        began = asyncio.get_running_loop().time()
        await pool.leave()
        assert asyncio.get_running_loop().time() - began == pytest.approx(3)


@virtual_time
async def test_seats_of_another_service_are_left_alone(member: Any, told: Any) -> None:
    asterisk = MemoryQueues(member("support", S1), member("billing", OTHERS))
    asterisk.hints = {"ariagent-seat": "Custom:ariagent", "ariagent-billing-seat": "PJSIP/1&custom:billing"}
    asterisk.app = "a third one"  # for seats without a hint
    async with running(asterisk) as pool:
        pool.set_reason(Reason.HOURS, True)
        await passes(0.1)
        assert asterisk.paused() == {"01": HOURS}
        assert [seat.queue for seat in pool.seats.view()] == ["support"]
    assert told("seats.none_found") == []


@virtual_time
async def test_a_service_without_seats_of_its_own_says_so_once_with_the_remedy(
    asterisk: MemoryQueues, told: Any
) -> None:
    asterisk.app = "another"
    async with running(asterisk) as pool:
        expected = {"app": "ariagent", "queues": "support", "remedy": NO_SEATS_REMEDY}
        assert told("seats.none_found") == [expected]
        assert pool.pause() == []
        await passes(200)
        assert told("seats.none_found") == []
        # The site gives them to this service: no restart is needed.
        asterisk.app = "ariagent"
        await passes(60)
        assert len(pool.seats.view()) == 2
        asterisk.app = "another"
        await passes(60)
        assert told("seats.none_found") == [expected]


@virtual_time
async def test_seats_that_come_later_are_this_services_once_the_dialplan_says_so(
    asterisk: MemoryQueues, member: Any
) -> None:
    late = "Local/01@ariagent-night-seat/nm"
    async with running(asterisk) as pool:
        pool.set_reason(Reason.HOURS, True)
        asterisk.refused["ariagent-night-seat"] = AmiError("Asterisk did not answer ExtensionState within 5 s")
        asterisk.members["night", late] = member("night", late)
        asterisk.tell(MemberChanged(member("night", late)))
        await passes(1)
        assert not pool.seats.known
        del asterisk.refused["ariagent-night-seat"]
        await passes(61)
        assert pool.seats.known
        assert asterisk.paused() == {"01": HOURS, "02": HOURS, "night/01": HOURS}


@virtual_time
async def test_an_unreadable_dialplan_makes_no_seat_another_services(asterisk: MemoryQueues) -> None:
    asterisk.refused |= {name: AmiRefusedError(f"{name}: Permission denied") for name in ("ExtensionState", "Getvar")}
    async with running(asterisk) as pool:
        assert len(pool.seats.view()) == 2


@virtual_time
async def test_the_queues_are_read_again_every_minute(asterisk: MemoryQueues, member: Any) -> None:
    async with running(asterisk) as pool:
        asterisk.members["sales", S1] = member("sales", S1)
        await passes(58)
        assert pool.has_queue("sales") is None
        await passes(3)
        assert pool.has_queue("sales") is True
        asterisk.refused["QueueStatus"] = AmiError("Asterisk did not answer QueueStatus within 5 s")
        asterisk.members["late", S1] = member("late", S1)
        await passes(60)
        assert pool.has_queue("late") is None
        asterisk.refused.clear()
        await passes(60)
        assert pool.has_queue("late") is True


@virtual_time
async def test_an_asterisk_without_app_queue_is_no_reason_to_leave_later_subscribers_out(
    asterisk: MemoryQueues, told: Any
) -> None:
    """These are the service's own checks, which say what is wrong."""
    looks: list[str] = []

    async def look() -> None:
        looks.append("look")

    asterisk.refused["QueueStatus"] = AmiRefusedError("QueueStatus: Invalid/unknown command")
    pool = Pool(asterisk, "ariagent")
    asterisk.subscribe(on_connected=look)
    asterisk.connect()
    await passes(60)
    assert (looks, pool.queues.known) == (["look"], False)
    asterisk.refused.clear()
    await passes(11)
    assert (looks, pool.queues.known) == (["look", "look"], True)
    assert len(told("ami.catch_up_failed")) == 1
    asterisk.lose()


@virtual_time
async def test_invalid_seats_are_looked_at_every_five_seconds(asterisk: MemoryQueues, told: Any) -> None:
    mended = asterisk.members["support", S1]
    asterisk.members["support", S1] = replace(mended, status=MemberStatus.INVALID)
    async with running(asterisk) as pool:
        assert [fields["numbers"] for fields in told("seats.invalid")] == ["01"]
        asterisk.members["support", S1] = mended
        await passes(6)
        assert told("seats.valid") == [{}]
        assert pool.seats.invalid == []


@virtual_time
async def test_a_queue_that_no_list_names_is_found_when_it_is_added(asterisk: MemoryQueues) -> None:
    async with running(asterisk, "Nightdesk") as pool:
        assert pool.has_queue("nightdesk") is False
        await passes(0.1)
        asterisk.unlisted.add("nightdesk")
        assert pool.has_queue("nightdesk") is False, "known is what Asterisk said last, and now it is asked again"
        await passes(0.1)
        assert pool.has_queue("NIGHTDESK") is True
        assert await pool.find_queue("nightdesk")
        assert not await pool.find_queue("daydesk")


@virtual_time
async def test_a_question_about_a_queue_that_fails_is_asked_again_later(asterisk: MemoryQueues, told: Any) -> None:
    async with running(asterisk, "nightdesk") as pool:
        asterisk.unlisted.add("nightdesk")
        asterisk.refused["Getvar"] = AmiError("Asterisk did not answer Getvar within 5 s")
        assert pool.has_queue("nightdesk") is False
        await passes(0.1)
        assert told("queues.not_read") == [{"cause": "Asterisk did not answer Getvar within 5 s"}]
        asterisk.refused.clear()
        assert pool.has_queue("nightdesk") is False
        await passes(0.1)
        assert pool.has_queue("nightdesk") is True


@virtual_time
async def test_an_internal_error_does_not_end_the_pool(
    asterisk: MemoryQueues, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(asterisk) as pool:
        with monkeypatch.context() as broken:
            broken.setattr(pool.seats, "commands", None)
            pool.set_reason(Reason.HOURS, True)
            await passes(0.1)
        assert len(told("pool.fault")) == 1
        await passes(6)
        assert asterisk.paused() == {"01": HOURS, "02": HOURS}


class States:
    """Asterisk's device states."""

    def __init__(self) -> None:
        self.state = OPEN

    async def device_state(self, name: str) -> str:
        return self.state

    async def set_device_state(self, name: str, state: str) -> None:
        self.state = state


@virtual_time
async def test_a_service_looks_every_second_and_closes_its_seats_when_it_ends(asterisk: MemoryQueues) -> None:
    states, is_late = States(), [False]
    async with running(asterisk) as pool:
        availability = Availability(
            pool,
            SeatDeviceState(states, "ariagent"),
            listening=lambda: True,
            calls=lambda: 0,
            over_cap=lambda: False,
            most=10,
            off_hours=lambda: is_late[0],
        )
        task = asyncio.ensure_future(availability.run())
        await passes(0.5)
        is_late[0] = True
        await passes(1.2)
        assert (states.state, asterisk.paused()) == (OPEN, {"01": HOURS, "02": HOURS})
        task.cancel()
        await asyncio.wait([task])
        await availability.leave()
        assert states.state == CLOSED
        is_late[0] = False
        availability.look()
        await passes(2)
        assert (states.state, availability.first) == (CLOSED, Reason.DOWN), "nothing opens what ends"
