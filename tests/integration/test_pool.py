"""The AI's seats and the human queue as the real Asterisk has them: pauses with reasons, and what the board says."""

import asyncio
import dataclasses
import logging
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ariagent.ami.client import AmiClient
from ariagent.ami.events import AgentConnected, AttendedTransferred
from ariagent.config import AmiSettings
from ariagent.errors import AmiRefusedError
from ariagent.pool.queues import describe
from ariagent.pool.seats import AUTO_PAUSE, Reason
from lab import environment as lab
from lab.asterisk import AsteriskInstance
from lab.call_setup import CallState
from lab.conf import FEW_SEATS as SEATS

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0


async def until(condition: Callable[[], object], what: str = "") -> None:
    try:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise TimeoutError(f"waited {LIMIT_S:g} s for {what or 'a condition'}") from None


def paused(service: Any) -> Counter[str]:
    """How many seats are paused, by reason."""
    return Counter(seat.reason for seat in service.pool.seats.view() if seat.paused)


def states(service: Any) -> Counter[str]:
    """How many seats are idle, busy, unavailable, as the queue has them."""
    return Counter(str(seat.state) for seat in service.pool.seats.view())


async def all_paused_by_asterisk(asterisk: AsteriskInstance) -> None:
    """Pause the seats as a site's own ``autopause`` may leave them."""
    client = AmiClient(AmiSettings.model_validate(asterisk.ami))
    running = asyncio.create_task(client.run())
    await client.wait_connected()
    for number in range(1, SEATS + 1):
        seat = f"Local/{number:02d}@ariagent-seat/nm"
        await client.action("QueuePause", Interface=seat, Queue="frontline", Paused=True, Reason=AUTO_PAUSE)
    running.cancel()
    await asyncio.wait([running])


# -- seats -------------------------------------------------------------------------------------------------------------


async def test_a_service_that_starts_finds_its_seats_and_lifts_what_asterisk_paused(
    asterisk: AsteriskInstance, sandbox: Any, service: Any, dial: Any, queue_log: Any, log: Any
) -> None:
    await all_paused_by_asterisk(asterisk)
    running = await service(await sandbox())
    assert len(running.pool.seats.view()) == SEATS
    assert paused(running) == {}
    assert {row[2] for row in queue_log.rows("UNPAUSE", "frontline")} == {"AI Agent"}
    assert len(queue_log.rows("UNPAUSE", "frontline")) == SEATS
    call, hearing = await dial("7000")
    await hearing.utterance()
    await until(lambda: running.pool.view("frontline").busy == 1, "the seat to be seen busy")
    await call.hangup()
    await until(lambda: running.pool.view("frontline").free == SEATS, "the seat to be seen free")


async def test_a_killed_service_costs_one_caller_one_seat_and_then_people_answer(
    bed: Any, sandbox: Any, phone: Any, queue_log: Any, tmp_path: Path, ends_with_people: Any
) -> None:
    model = await sandbox()
    human = await phone("1001", register=True)
    agents = {"default": {"opening": None, "machines": "ignore", "transcription": None}}
    settings = {"realtime": {"url": model.url, "api_key": "test"}, "agents": agents}
    async with lab.service(bed.asterisk, tmp_path, settings, "killed") as killed:
        os.kill(killed.pid, signal.SIGKILL)
        await asyncio.wait_for(killed.ended(), LIMIT_S)
    call = await (await phone()).dial("7000")
    await ends_with_people(call, human)
    assert len(queue_log.rows("RINGNOANSWER", "frontline")) == 1
    # The next one is not kept at all.
    again = await (await phone()).dial("7000")
    await ends_with_people(again, human)
    verbs = [row[3] for row in queue_log.rows(queue="frontline")]
    assert verbs == ["ENTERQUEUE", "RINGNOANSWER", "EXITEMPTY"]
    async with lab.service(bed.asterisk, tmp_path, settings, "next"):
        third, hearing = await bed.dial("7000")
        assert third.state is CallState.ANSWERED
        await third.hangup()
        assert hearing.call is third
    assert queue_log.rows("PAUSE") == queue_log.rows("UNPAUSE") == []


async def test_draining_takes_the_seats_away_and_the_running_call_goes_on(
    sandbox: Any, service: Any, dial: Any, phone: Any, queue_log: Any, sound: Any, log: Any, ends_with_people: Any
) -> None:
    human = await phone("1001", register=True)
    running = await service(await sandbox(), drain_timeout_s=60)
    call, hearing = await dial("7000")
    await hearing.utterance()
    running.drain()
    # The one in a call is paused, so that nobody waits for it; of the others queue_log has nothing.
    await until(lambda: paused(running) == {"ariagent: draining": 1}, "the seat in a call to be paused")
    await until(lambda: states(running) == {"unavailable": SEATS - 1, "busy": 1}, "the seats to be unavailable")
    await until(lambda: queue_log.rows("PAUSE", "frontline"), "queue_log")
    assert [row[2:5] for row in queue_log.rows("PAUSE")] == [["AI Agent", "PAUSE", "ariagent: draining"]]
    late = await (await phone()).dial("7000")
    await ends_with_people(late, human)
    assert len(queue_log.rows("ENTERQUEUE", "frontline")) == 1
    await call.play(sound.tone(0.4))
    await hearing.utterance(after=hearing.spoke_until())
    await call.hangup()
    await until(lambda: queue_log.rows("COMPLETECALLER", "frontline"), "queue_log")
    await until(lambda: len(queue_log.rows("UNPAUSE")) == 1, "the pause to be lifted")
    await log.wait("service.stopped")


async def test_a_service_that_stops_takes_its_seats_away_and_the_next_brings_them_back(
    sandbox: Any, service: Any, phone: Any, queue_log: Any, dial: Any, log: Any, ends_with_people: Any
) -> None:
    human = await phone("1001", register=True)
    model = await sandbox()
    first = await service(model)
    first.stop()
    await log.wait("service.stopped")
    assert first.availability.reasons == {Reason.DOWN}
    call = await (await phone()).dial("7000")
    await ends_with_people(call, human)
    second = await service(model)
    assert (paused(second), states(second)) == ({}, {"idle": SEATS})
    assert queue_log.rows(queue="frontline") == []
    call, hearing = await dial("7000")
    await hearing.utterance()
    await call.hangup()
    assert {row[3] for row in queue_log.rows(queue="frontline")} <= {"ENTERQUEUE", "CONNECT", "COMPLETECALLER"}


async def test_by_hand_one_seat_and_all_and_across_a_restart(
    sandbox: Any, service: Any, queue_log: Any, log: Any
) -> None:
    model = await sandbox()
    first = await service(model)
    assert first.pool.pause("07") == ["07"]
    await first.pool.settled.wait()
    assert paused(first) == {"ariagent: manual": 1}
    first.stop()
    await until(lambda: len(log.named("service.stopped")) == 1)
    second = await service(model)
    assert [seat.number for seat in second.pool.seats.view() if seat.paused] == ["07"]
    assert len(second.pool.pause()) == SEATS
    await second.pool.settled.wait()
    assert paused(second) == {"ariagent: manual": SEATS}
    second.pool.resume()
    await second.pool.settled.wait()
    assert paused(second) == {}
    rows = [row for row in queue_log.rows("UNPAUSE", "frontline") if row[4] == "ariagent: manual"]
    assert len(rows) == SEATS


async def test_a_seat_of_two_queues_is_paused_in_both(sandbox: Any, service: Any, queue_log: Any) -> None:
    running = await service(await sandbox())
    pool = running.pool
    seat = "Local/05@ariagent-seat/nm"
    hint = "hint:05@ariagent-seat"
    await running.ami.action(
        "QueueAdd", Queue="support", Interface=seat, MemberName="AI Agent", Penalty=10, StateInterface=hint
    )
    try:
        await until(lambda: len(pool.seats.view()) == SEATS + 1, "the seat to come in")
        pool.pause("05")
        await pool.settled.wait()
        await until(lambda: len(queue_log.rows("PAUSE")) == 2, "queue_log")
        assert {row[1] for row in queue_log.rows("PAUSE")} == {"frontline", "support"}
        pool.resume("05")
        await pool.settled.wait()
        await until(lambda: len([row for row in queue_log.rows("UNPAUSE") if row[1] == "support"]) == 1, "queue_log")
    finally:
        await running.ami.action("QueueRemove", Queue="support", Interface=seat)
    await until(lambda: len(pool.seats.view()) == SEATS, "the seat to go")


async def test_a_model_that_cannot_be_used_sends_callers_to_people_until_it_can(
    sandbox: Any,
    service: Any,
    phone: Any,
    dial: Any,
    queue_log: Any,
    ends_with_people: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ariagent.breaker.FIRST_TRIAL_S", 0.5)
    human = await phone("1001", register=True)
    model = await sandbox(api_keys=("another",))
    running = await service(model, usable=False)
    await until(lambda: states(running) == {"unavailable": SEATS}, "the seats to be unavailable")
    assert running.availability.first is Reason.MODEL
    call = await (await phone()).dial("7000")
    await ends_with_people(call, human)
    model.options = dataclasses.replace(model.options, api_keys=())
    await until(lambda: states(running) == {"idle": SEATS}, "the seats to be there again")
    assert queue_log.rows(queue="frontline") == []
    call, hearing = await dial("7000")
    await hearing.utterance()
    await call.hangup()


async def test_all_places_taken_takes_the_other_seats_away_until_there_is_room(
    sandbox: Any, service: Any, phone: Any, dial: Any, queue_log: Any, ends_with_people: Any
) -> None:
    human = await phone("1001", register=True)
    running = await service(await sandbox(), max_calls=1)
    call, hearing = await dial("7000")
    await hearing.utterance()
    await until(lambda: states(running) == {"unavailable": SEATS - 1, "busy": 1}, "the seats to be unavailable")
    assert running.availability.first is Reason.FULL
    late = await (await phone()).dial("7000")
    await ends_with_people(late, human)
    assert len(queue_log.rows("ENTERQUEUE", "frontline")) == 1
    await call.hangup()
    await until(lambda: states(running) == {"idle": SEATS}, "the seats to be there again")
    assert queue_log.rows("PAUSE") == []


# -- the human queue ------------------------------------------------------------------------------------------------


async def test_the_board_shows_what_the_people_do(
    sandbox: Any, service: Any, phone: Any, queue_log: Any, log: Any
) -> None:
    running = await service(await sandbox())
    pool = running.pool
    connected: list[AgentConnected] = []
    running.ami.subscribe(lambda event: connected.append(event) if isinstance(event, AgentConnected) else None)

    def shown() -> tuple[int, int, int, int, int]:
        view = pool.view("support")
        return view.logged_in, view.free, view.busy, view.paused, view.waiting

    await until(lambda: shown() == (0, 0, 0, 0, 0), "nobody")
    assert describe(pool.view("support")) == "nobody is logged in"
    one, two = await phone("1001", register=True), await phone("1002", register=True)
    await until(lambda: shown() == (2, 2, 0, 0, 0), "two who are free")
    assert describe(pool.view("support")) == "somebody is free"
    caller = await phone()
    for _ in range(2):  # what their conversations take is learned
        first = await caller.dial("7100")
        ringing = [asyncio.create_task(each.incoming(LIMIT_S)) for each in (one, two)]
        (done, rest) = await asyncio.wait(ringing, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        answering = done.pop().result()
        await answering.answer()
        await until(lambda: shown()[2] == 1, "one who is busy")
        assert shown() == (2, 1, 1, 0, 0)
        await asyncio.sleep(1.2)  # Asterisk counts whole seconds
        await first.hangup()
        await until(lambda: shown() == (2, 2, 0, 0, 0), "two who are free")
    assert len(connected) == 2
    assert {event.queue for event in connected} == {"support"}
    await running.ami.action("QueuePause", Interface="PJSIP/1002", Queue="support", Paused=True, Reason="Lunch")
    await until(lambda: shown() == (2, 1, 0, 1, 0), "one on a break")
    talking = await caller.dial("7100")
    answering = await one.incoming(LIMIT_S)
    await answering.answer()
    await until(lambda: shown() == (2, 0, 1, 1, 0), "one who is busy")
    waiting = [await caller.dial("7100") for _ in range(2)]
    await until(lambda: shown() == (2, 0, 1, 1, 2), "two who wait")
    view = pool.view("support")
    assert 0 <= view.longest_wait_s < LIMIT_S
    assert view.handling_s is not None
    assert 0 < view.handling_s < LIMIT_S
    # One person, two callers before: three conversations until it is the next one's turn.
    assert view.next_wait_s == pytest.approx(3 * view.handling_s)
    assert describe(view).startswith("everybody is busy, 2 callers are waiting, the wait is ")
    summary = (await running.ami.action_list("QueueSummary", Queue="support"))[0]
    assert (summary["loggedin"], summary["available"], summary["callers"]) == ("2", "0", "2")
    await waiting[0].hangup()
    await until(lambda: shown() == (2, 0, 1, 1, 1), "one who waits")
    await waiting[1].hangup()
    await talking.hangup()
    await until(lambda: shown() == (2, 1, 0, 1, 0), "nobody who waits")
    await running.ami.action("QueuePause", Interface="PJSIP/1001", Queue="support", Paused=True, Reason="Lunch")
    await until(lambda: describe(pool.view("support")) == "everybody is on a break")
    for number in ("1001", "1002"):
        await running.ami.action("QueuePause", Interface=f"PJSIP/{number}", Paused=False)


async def test_an_attended_transfer_is_told(asterisk: AsteriskInstance, sandbox: Any, service: Any, phone: Any) -> None:
    running = await service(await sandbox())
    heard: list[AttendedTransferred] = []
    running.ami.subscribe(lambda e: heard.append(e) if isinstance(e, AttendedTransferred) else None)
    caller, agent = await phone(), await phone("1001", register=True)
    call = await caller.dial("1001")
    answering = await agent.incoming(LIMIT_S)
    await answering.answer()
    await call.answered(LIMIT_S)
    second = await agent.dial("7000")
    await second.answered(LIMIT_S)
    # Caller and agent, agent and seat, seat and audio: what is transferred before names no target.
    deadline = time.monotonic() + LIMIT_S
    while len(re.findall(r"^\S+ +\S+ +2 ", shown := await asterisk.cli("bridge show all"), re.MULTILINE)) < 3:
        assert time.monotonic() < deadline, shown + await asterisk.cli("core show channels concise")
        await asyncio.sleep(0.05)
    assert await answering.refer_attended(second) == 200
    await until(lambda: heard, "AttendedTransfer")
    assert heard[0].result == "Success"
    assert heard[0].target.startswith("Local/")
    assert heard[0].target.endswith(";1")
    await call.hangup()


# -- the connection ----------------------------------------------------------------------------------------------------


async def test_a_manager_interface_that_is_cut_off_comes_back(
    asterisk: AsteriskInstance, sandbox: Any, service: Any, proxy: Any, dial: Any, phone: Any, log: Any
) -> None:
    between = await proxy()
    between.target = ("127.0.0.1", asterisk.ami_port)
    host, _, port = between.address.rpartition(":")
    running = await service(await sandbox(), ami={"host": host, "port": int(port)})
    call, hearing = await dial("7000")
    between.cut(refuse=True)
    await log.wait("ami.lost")
    assert running.pool.view("support") is None
    assert running.ami.state.startswith("not connected")
    # Calls continue, and new ones come.
    await hearing.utterance()
    other, _ = await dial("7000")
    await all_paused_by_asterisk(asterisk)
    between.refusing = False
    await log.wait("pool.ready", count=2)
    assert paused(running) == {}
    await until(lambda: running.pool.view("frontline").busy == 2, "both calls in the queue")
    await phone("1001", register=True)
    await until(lambda: running.pool.view("support").free == 1, "a person")
    for each in (call, other):
        await each.hangup()


async def test_the_user_may_do_what_it_needs_and_nothing_else(asterisk: AsteriskInstance) -> None:
    client = AmiClient(AmiSettings.model_validate(asterisk.ami))
    running = asyncio.create_task(client.run())
    await asyncio.wait_for(client.wait_connected(), LIMIT_S)
    for action, fields in {
        "Command": {"Command": "core stop now"},
        "Originate": {"Channel": "Local/600@ariagent-internal", "Application": "Wait", "Data": "1"},
        "GetConfig": {"Filename": "manager.conf"},
        "UpdateConfig": {"SrcFilename": "manager.conf", "DstFilename": "manager.conf"},
        "ModuleLoad": {"LoadType": "reload"},
    }.items():
        with pytest.raises(AmiRefusedError, match="Permission denied"):
            await client.action(action, **fields)
    assert await client.action_list("Status") == []
    with pytest.raises(AmiRefusedError, match=r"(?i)channel"):
        await client.action("BlindTransfer", Channel="PJSIP/nobody-1", Exten="7100", Context="ariagent-internal")
    await client.action("UserEvent", UserEvent="Test")
    running.cancel()
    await asyncio.wait([running])


async def test_without_a_manager_interface_calls_are_served(
    sandbox: Any,
    service: Any,
    dial: Any,
    log: Any,
    phone: Any,
    queue_log: Any,
    ends_with_people: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    running = await service(await sandbox(), ami=None)
    assert running.pool is None
    for number in ("7001", "7000"):
        call, hearing = await dial(number)
        await hearing.utterance()
        await call.hangup()
    # Its seats come and go all the same.
    human = await phone("1001", register=True)
    running.stop()
    await log.wait("service.stopped")
    late = await (await phone()).dial("7000")
    await ends_with_people(late, human)
    assert [row[3] for row in queue_log.rows(queue="frontline")] == ["ENTERQUEUE", "CONNECT", "COMPLETECALLER"]
