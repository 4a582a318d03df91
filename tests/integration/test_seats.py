"""Seats as a site has them: in its own dialplan, in queues of its database, loaded in the wrong order.

An Asterisk of its own: what these tests do to its dialplan would make the seats of others invalid.
"""

import asyncio
import os
import re
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ariagent.ami.client import AmiClient
from ariagent.ami.queues import queue_exists, read_members
from ariagent.check.queues import check_queues
from ariagent.check.report import Result, Status
from ariagent.check.site import opened
from ariagent.config import AmiSettings, Settings
from ariagent.pool.seats import INVALID_REMEDY, Reason
from lab import environment as lab
from lab import waiting
from lab.asterisk import AsteriskInstance
from lab.call import CallRefused
from lab.packages import default_lab_dir, ensure_asterisk
from lab.ports import free_tcp_port

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
SEATS = 10
SOON_S = 5.0
"""Callers who are sent on by the queue itself: it looks every second. The queue's own limit is 30 s."""
QUEUES = """
[one](ariagent-seats)
member => Local/91@ariagent-seat/nm,0,AI One,hint:91@ariagent-seat
"""
BARE = """
[bare](ariagent-seats)
member => Local/92@ariagent-seat/nm,0,AI Bare
"""
DIALPLAN = """
[ariagent-internal]
exten => 7900,1,Queue(frontline,tcr,,,30)
 same => n,Goto(7100,1)
exten => 7901,1,Queue(one,tcr,,,30)
 same => n,Goto(7100,1)
exten => 7902,1,Gosub(ariagent-queue,${EXTEN},1(one,support))
exten => 7903,1,Gosub(ariagent-queue,${EXTEN},1(kept,support))
exten => 7904,1,Dial(Local/05@ariagent-seat/n,20)
 same => n,ExecIf($["${DIALSTATUS}" = "BUSY"]?Hangup(17):Hangup(21))
"""
"""7900, 7901: a site's own way into a queue, without anything of ariagent's. 7904: a seat without a queue."""


def database(path: Path) -> None:
    """A site's queues in a database: ``kept`` with one seat, ``nightdesk`` with nobody."""
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE queues (name TEXT PRIMARY KEY, strategy TEXT, ringinuse TEXT, autofill TEXT)")
        base.execute(
            "CREATE TABLE members (uniqueid INTEGER PRIMARY KEY, queue_name TEXT, interface TEXT, membername TEXT, "
            "state_interface TEXT, penalty INTEGER, paused INTEGER, ringinuse TEXT)"
        )
        for name in ("kept", "nightdesk"):
            base.execute("INSERT INTO queues VALUES (?, 'rrmemory', 'no', 'yes')", (name,))
        seat = ("kept", "Local/93@ariagent-seat/nm", "AI Kept", "hint:93@ariagent-seat")
        base.execute("INSERT INTO members VALUES (1, ?, ?, ?, ?, 0, 0, 'no')", seat)


def make_site(root: Path, bare: str = BARE) -> AsteriskInstance:
    database(root / "site.db")
    additions = {
        "queues.conf": QUEUES + bare,
        "extensions.conf": DIALPLAN,
        "extconfig.conf": "[settings]\nqueues => sqlite3,site,queues\nqueue_members => sqlite3,site,members\n",
        "res_config_sqlite3.conf": f"[site]\ndbfile => {root / 'site.db'}\nbatch => 0\n",
    }
    program = ensure_asterisk(default_lab_dir())
    modules = ("res_config_sqlite3",)
    return AsteriskInstance(program, root / "asterisk", seats=SEATS, additions=additions, modules=modules)


@pytest.fixture(scope="module")
def asterisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsteriskInstance]:
    instance = make_site(tmp_path_factory.mktemp("seats"))
    asyncio.run(instance.start())
    yield instance
    asyncio.run(instance.stop())


@pytest.fixture
def site_of_seats() -> Any:
    """``async with site_of_seats(directory, "")``: one more such Asterisk; the text is more of its queues.conf."""
    return make_site


until = partial(waiting.until, limit_s=LIMIT_S)


def states(service: Any, queue: str = "frontline") -> Counter[str]:
    """How many seats of a queue are idle, busy, unavailable, invalid."""
    return Counter(str(seat.state) for seat in service.pool.seats.view() if seat.queue == queue)


async def shown(asterisk: AsteriskInstance, queue: str = "frontline") -> set[str]:
    """The seats of a queue on the console."""
    lines = await asterisk.cli(f"queue show {queue}")
    words = "Not in use|In use|Unavailable|Invalid"
    return set(re.findall(rf"ariagent-seat/nm [^\n]*\(({words})\)", lines))


async def until_shown(asterisk: AsteriskInstance, queue: str, wanted: set[str]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while await shown(asterisk, queue) != wanted:
            await asyncio.sleep(0.1)


# -- whoever waits, and whatever dialplan ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["7902", pytest.param("7901", marks=pytest.mark.long)])
async def test_who_waits_behind_a_seat_in_a_call_is_sent_on_when_the_model_is_gone(
    number: str, sandbox: Any, service: Any, dial: Any, phone: Any, queue_log: Any, ends_with_people: Any
) -> None:
    human = await phone("1001", register=True)
    running = await service(await sandbox())
    call, hearing = await dial(number)
    await hearing.utterance()
    waiter = await (await phone("5550002")).dial(number)
    await until(lambda: running.pool.view("one").waiting == 1, "one who waits")
    running.availability.set_reason(Reason.MODEL, True)
    began = time.monotonic()
    await ends_with_people(waiter, human)
    late = await (await phone("5550003")).dial(number)
    await ends_with_people(late, human)
    assert time.monotonic() - began < 4 * SOON_S
    rows = [(row[2], row[3]) for row in queue_log.rows(queue="one")]
    assert Counter(rows) == {
        ("NONE", "ENTERQUEUE"): 2,
        ("AI One", "CONNECT"): 1,
        ("AI One", "PAUSE"): 1,
        ("NONE", "EXITEMPTY"): 1,
    }
    running.availability.set_reason(Reason.MODEL, False)
    await call.hangup()
    await until(lambda: states(running, "one") == {"idle": 1}, "the seat to be there again")


async def test_a_sites_own_queue_call_is_not_kept_by_a_service_that_is_gone(
    bed: Any,
    asterisk: AsteriskInstance,
    sandbox: Any,
    phone: Any,
    queue_log: Any,
    tmp_path: Path,
    ends_with_people: Any,
) -> None:
    model = await sandbox()
    human = await phone("1001", register=True)
    settings = {"realtime": {"url": model.url, "api_key": "test"}}
    async with lab.service(asterisk, tmp_path, settings, "killed") as killed:
        os.kill(killed.pid, signal.SIGKILL)
        await asyncio.wait_for(killed.ended(), LIMIT_S)
    assert await shown(asterisk) == {"Not in use"}, "nobody knows it yet"
    for _ in range(2):
        began = time.monotonic()
        call = await (await phone()).dial("7900")
        incoming = await human.incoming(LIMIT_S)
        assert time.monotonic() - began < SOON_S
        await incoming.answer()
        await call.hangup()
        await incoming.ended(LIMIT_S)
    assert await shown(asterisk) == {"Unavailable"}
    assert [row[3] for row in queue_log.rows(queue="frontline")] == ["ENTERQUEUE", "RINGNOANSWER", "EXITEMPTY"]
    async with lab.service(asterisk, tmp_path, settings, "next"):
        assert await shown(asterisk) == {"Not in use"}
    assert len(queue_log.rows(queue="frontline")) == 3


async def test_a_seat_that_takes_no_calls_is_busy_at_once(asterisk: AsteriskInstance, phone: Any) -> None:
    # Asterisk finds its extension without the switch, because the call has a caller's number.
    await asterisk.cli("devstate change Custom:ariagent UNAVAILABLE")
    caller = await phone()
    began = time.monotonic()
    with pytest.raises(CallRefused) as refusal:
        await (await caller.dial("7904")).answered(LIMIT_S)
    assert refusal.value.status == 486
    assert time.monotonic() - began < SOON_S


async def test_a_door_that_somebody_closed_is_opened_again(
    asterisk: AsteriskInstance, sandbox: Any, service: Any, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ariagent.pool.device_state.LOOK_S", 0.2)
    running = await service(await sandbox())
    await asterisk.cli("devstate change Custom:ariagent UNAVAILABLE")
    await until(lambda: states(running) == {"unavailable": SEATS}, "the seats to be unavailable")
    await until(lambda: states(running) == {"idle": SEATS}, "the seats to be there again")


# -- seats that Asterisk cannot use ------------------------------------------------------------------------------------


async def health(port: int) -> dict[str, Any]:
    """The seats in /healthz."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/healthz") as answer:
        return (await answer.json())["seats"]  # type: ignore[no-any-return]


async def test_a_dialplan_that_goes_and_comes_back_leaves_seats_invalid_until_the_queues_are_reloaded(
    bed: Any, sandbox: Any, site_of_seats: Any, tmp_path: Path
) -> None:
    """One that other tests do not use: it is damaged, and mended as the remedy says."""
    settings = {"realtime": {"url": (await sandbox()).url, "api_key": "test"}, "http": {"port": free_tcp_port()}}
    async with site_of_seats(tmp_path, "") as asterisk, lab.service(asterisk, tmp_path, settings) as running:
        etc = asterisk.root / "etc"
        text = (etc / "extensions.conf").read_text()
        await asterisk.cli("queue show kept")  # loads it
        (etc / "extensions.conf").write_text("[general]\n[default]\nexten => 1,1,NoOp()\n")
        await asterisk.cli("dialplan reload")
        (etc / "extensions.conf").write_text(text)
        await asterisk.cli("dialplan reload")
        assert await shown(asterisk) == await shown(asterisk, "kept") == {"Invalid"}
        told = await running.wait_for(f"seats.invalid seats={SEATS + 2} numbers=01,02,03,")
        assert "ariagent install --apply" in told
        assert (await health(settings["http"]["port"]))["invalid"] == [*(f"{n:02d}" for n in range(1, 11)), "91", "93"]
        results: list[Result] = []
        async with opened(Settings(ami=AmiSettings.model_validate(asterisk.ami)), "test") as site:
            await check_queues(site, results.append)
        assert [(each.status, each.remedy) for each in results] == [(Status.FAILED, INVALID_REMEDY)]
        assert results[0].found.startswith("10 seats (01, 02, 03, 04, 05 .. 10) of frontline invalid")
        # The remedy, to the letter; without its first half nothing changes.
        await asterisk.cli("queue reload members")
        assert await shown(asterisk) == {"Invalid"}
        os.utime(etc / "queues.conf", (time.time() + 2, time.time() + 2))
        await asterisk.cli("queue reload members")
        assert await shown(asterisk) == await shown(asterisk, "one") == {"Not in use"}
        await running.wait_for("seats.invalid seats=1 numbers=93 ")
        # A database's members are left alone by that: out of it, and in again.
        with sqlite3.connect(asterisk.root.parent / "site.db") as base:
            (row,) = base.execute("SELECT * FROM members").fetchall()
            base.execute("DELETE FROM members")
        await running.wait_for("seats.valid")
        with sqlite3.connect(asterisk.root.parent / "site.db") as base:
            base.execute("INSERT INTO members VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        await until_shown(asterisk, "kept", {"Not in use"})


async def test_a_seat_without_a_hint_is_named(sandbox: Any, service: Any, log: Any) -> None:
    running = await service(await sandbox())
    told = await log.wait("seats.invalid", numbers="92")
    assert "hint:01@ariagent-seat" in told["remedy"]
    assert await health(running.http_port) == {
        "open": True,
        "reason": None,
        "idle": SEATS + 2,
        "busy": 0,
        "paused": 0,
        "unavailable": 0,
        "invalid": ["92"],
    }
    shown = running.metrics.render().decode()
    assert f'ariagent_seats{{reason="",state="idle"}} {SEATS + 2}.0' in shown
    assert 'ariagent_seats{reason="",state="invalid"} 1.0' in shown


# -- queues in any letters, and of a database --------------------------------------------------------------------------


async def test_queues_are_found_in_any_letter_case_and_in_a_database(asterisk: AsteriskInstance) -> None:
    async with AmiClient(AmiSettings.model_validate(asterisk.ami)).session() as client:
        found = {name: await queue_exists(client, name) for name in ("frontline", "FrontLine", "nightdesk", "none")}
        assert found == {"frontline": True, "FrontLine": True, "nightdesk": True, "none": False}
        assert not await queue_exists(client, "frontline)${SHELL(id)}(")
        assert [member.name for member in await read_members(client, "ONE")] == ["AI One"]
        assert [member.state_interface for member in await read_members(client, "kept")] == ["hint:93@ariagent-seat"]
        assert await read_members(client, "none") == []


async def test_a_seat_of_a_queue_in_a_database_takes_calls_and_goes_away(
    sandbox: Any, service: Any, dial: Any, phone: Any, queue_log: Any, ends_with_people: Any
) -> None:
    human = await phone("1001", register=True)
    running = await service(await sandbox())
    call, hearing = await dial("7903")
    await hearing.utterance()
    await call.hangup()
    await until(lambda: states(running, "kept") == {"idle": 1}, "the seat to be idle")
    running.availability.set_reason(Reason.MODEL, True)
    await until(lambda: states(running, "kept") == {"unavailable": 1}, "the seat to be unavailable")
    await ends_with_people(await (await phone()).dial("7903"), human)
    running.availability.set_reason(Reason.MODEL, False)
    assert Counter(row[3] for row in queue_log.rows(queue="kept")) == {
        "ENTERQUEUE": 1,
        "CONNECT": 1,
        "COMPLETECALLER": 1,
    }


async def test_destinations_in_other_letters_and_of_a_database_can_be_reached(
    asterisk: Any, sandbox: Any, service: Any, dial: Any, phone: Any, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {
        "desk": {"queue": "SUPPORT", "description": "the desk"},
        "night": {"queue": "nightdesk", "description": "the night desk"},
        "ghost": {"queue": "nobody", "description": "nobody"},
    }
    running = await service(await sandbox(), destinations=places, agent={"handoff": list(places)})
    assert [running.pool.has_queue(name) for name in ("SUPPORT", "nightdesk", "nobody")] == [True, True, False]
    assert running.pool.view("SUPPORT").name == "support"
    # One that comes later is found when it is asked for, not a minute later.
    monkeypatch.setattr("ariagent.pool.pool.RESYNC_S", 3600.0)
    queues = asterisk.root / "etc" / "queues.conf"
    before = queues.read_text()
    queues.write_text(f"{before}\n[Nobody]\nstrategy = rrmemory\n")
    try:
        await asterisk.cli("queue reload all")
        await until(lambda: running.pool.has_queue("nobody") is True, "the queue to be found")
    finally:
        queues.write_text(before)
        await asterisk.cli("queue reload all")
