"""Queues that AI seats and human agents share: the shipped examples and a site's own dialplan choose who is called."""

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lab import waiting
from lab.asterisk import AsteriskInstance
from lab.conf import FEW_SEATS
from lab.packages import default_lab_dir, ensure_asterisk

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
EXAMPLES = Path(__file__).parents[2] / "lab" / "site" / "queues_mixed.conf"
DIALPLAN = """[ariagent-internal]
exten => 7030,1,Gosub(ariagent-queue,${EXTEN},1(ai-first,support))
exten => 7040,1,Gosub(ariagent-queue,${EXTEN},1(humans-first,support))
; human agents by day (here: always), the AI else
exten => 7050,1,GotoIfTime(00:00-23:59,mon-sun,*,*?humans)
 same => n,Gosub(ariagent-queue,${EXTEN},1(frontline,support))
 same => n(humans),Goto(7100,1)
; never the human agents' time: the 30th of February
exten => 7051,1,GotoIfTime(*,*,30,feb?humans)
 same => n,Gosub(ariagent-queue,${EXTEN},1(frontline,support))
 same => n(humans),Goto(7100,1)
"""


@pytest.fixture(scope="module")
def asterisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsteriskInstance]:
    """An Asterisk with the mixed queues."""
    additions = {"queues.conf": f'#include "{EXAMPLES}"\n', "extensions.conf": DIALPLAN}
    root = tmp_path_factory.mktemp("mixed")
    instance = AsteriskInstance(ensure_asterisk(default_lab_dir()), root, seats=FEW_SEATS, additions=additions)
    asyncio.run(instance.start())
    yield instance
    asyncio.run(instance.stop())


until = partial(waiting.until, limit_s=LIMIT_S)


def connected(asterisk: AsteriskInstance, queue: str) -> list[str]:
    """Members that took the calls of a queue, in order."""
    return [row[3] for row in asterisk.queue_rows() if row[2] == queue and row[4] == "CONNECT"]


async def talks_to(human: Any, call: Any) -> Any:
    incoming = await human.incoming(LIMIT_S)
    await incoming.answer()
    await call.answered(LIMIT_S)
    return incoming


async def test_the_ai_first_and_people_when_it_has_no_seat_left(
    asterisk: AsteriskInstance, sandbox: Any, service: Any, phone: Any, dial: Any
) -> None:
    running = await service(await sandbox())
    human = await phone("1001", register=True)
    await until(lambda: running.pool.view("ai-first").free == 3, "seats and a person")
    calls = []
    for user in ("5550001", "5550002"):
        call, hearing = await dial("7030", await phone(user))
        await hearing.utterance()
        calls.append(call)
    third = await (await phone("5550003")).dial("7030")
    await talks_to(human, third)
    await until(lambda: len(connected(asterisk, "ai-first")) == 3, "queue_log")
    assert connected(asterisk, "ai-first") == ["AI First", "AI First", "Agent 1001"]
    for call in (*calls, third):
        await call.hangup()


async def test_the_ai_first_and_people_while_its_seats_are_paused(
    sandbox: Any, service: Any, phone: Any, queue_log: Any
) -> None:
    running = await service(await sandbox())
    human = await phone("1001", register=True)
    pool = running.pool
    await until(lambda: pool.view("ai-first").free == 3, "seats and a person")
    pool.pause()
    await pool.settled.wait()
    call = await (await phone()).dial("7030")
    await talks_to(human, call)
    await until(lambda: pool.view("ai-first").busy == 1, "the person to be busy")
    # Asterisk counts a busy human agent as one to wait for.
    second = await (await phone("5550002")).dial("7030")
    await until(lambda: len(queue_log.rows("ENTERQUEUE", "ai-first")) == 2, "the mixed queue")
    await call.hangup()
    await talks_to(human, second)
    assert queue_log.rows(queue="support") == []
    await second.hangup()
    pool.resume()
    await pool.settled.wait()


@pytest.mark.parametrize("number", ["7030", pytest.param("7040", marks=pytest.mark.long)])
async def test_with_the_ai_gone_and_nobody_there_a_caller_is_not_kept(
    number: str, asterisk: AsteriskInstance, phone: Any, queue_log: Any
) -> None:
    queue = {"7030": "ai-first", "7040": "humans-first"}[number]
    # A killed service leaves the device state like this.
    await asterisk.cli("devstate change Custom:ariagent NOT_INUSE")
    began = time.monotonic()
    for waiting_now in (1, 2):
        await (await phone(f"555100{waiting_now}")).dial(number)
        await until(lambda n=waiting_now: len(queue_log.rows("ENTERQUEUE", "support")) == n, "the human queue")
    assert time.monotonic() - began < 10, "the queue's own limit is 30 s"
    assert [row[3] for row in queue_log.rows(queue=queue)] == ["ENTERQUEUE", "RINGNOANSWER", "EXITEMPTY"]


async def test_humans_first_and_the_ai_when_all_are_busy_or_nobody_is_there(
    asterisk: AsteriskInstance, sandbox: Any, service: Any, phone: Any, dial: Any
) -> None:
    running = await service(await sandbox())
    nobody, hearing = await dial("7040", await phone("5550001"))
    await hearing.utterance()
    await nobody.hangup()
    human = await phone("1001", register=True)
    await until(lambda: running.pool.view("humans-first").free == 3, "seats and a person")
    first = await (await phone("5550002")).dial("7040")
    await talks_to(human, first)
    await until(lambda: running.pool.view("humans-first").busy == 1, "the person to be busy")
    second, hearing = await dial("7040", await phone("5550003"))
    await hearing.utterance()
    await until(lambda: len(connected(asterisk, "humans-first")) == 3, "queue_log")
    assert connected(asterisk, "humans-first") == ["AI Overflow", "Agent 1001", "AI Overflow"]
    for call in (first, second):
        await call.hangup()


async def test_a_sites_own_dialplan_says_when(sandbox: Any, service: Any, phone: Any, dial: Any) -> None:
    await service(await sandbox())
    human = await phone("1001", register=True)
    by_day = await (await phone("5550001")).dial("7050")
    await talks_to(human, by_day)
    await by_day.hangup()
    at_night, hearing = await dial("7051", await phone("5550002"))
    await hearing.utterance()
    await at_night.hangup()
