"""Caps and hours on the real Asterisk: over them callers are sent to the human queue, and queue_log says why."""

import asyncio
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lab import waiting
from lab.asterisk import AsteriskInstance
from lab.conf import FEW_SEATS as SEATS

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0


until = partial(waiting.until, limit_s=LIMIT_S)


class QueueLog:
    """The rows of queue_log since it was made."""

    def __init__(self, asterisk: AsteriskInstance) -> None:
        self._path = asterisk.queue_log
        self._before = self._path.read_text()

    def rows(self) -> list[tuple[str, ...]]:
        """Queue, agent, verb and the verb's own fields."""
        lines = self._path.read_text().removeprefix(self._before).splitlines()
        return [tuple(line.split("|")[2:]) for line in lines]

    def count(self, *row: str) -> int:
        """Rows that begin so."""
        return sum(found[: len(row)] == row for found in self.rows())


@pytest.fixture
def queue_log(asterisk: AsteriskInstance) -> QueueLog:
    return QueueLog(asterisk)


def paused(service: Any) -> Counter[str]:
    return Counter(seat.reason for seat in service.pool.seats.view() if seat.paused)


async def test_who_calls_too_often_goes_to_people(
    sandbox: Any,
    service: Any,
    phone: Any,
    dial: Any,
    log: Any,
    queue_log: QueueLog,
    ends_with_people: Any,
    tmp_path: Path,
) -> None:
    running = await service(await sandbox(), caps={"calls_per_caller_per_hour": 1}, state_directory=tmp_path / "kept")
    human = await phone("1001", register=True)
    often = await phone("5559999")
    call, hearing = await dial("7000", often)
    await hearing.utterance()
    await call.hangup()
    await log.wait("call.ended", result="done")
    await asyncio.sleep(1 - time.time() % 1)  # queue_log counts seconds of the clock: its row must not span two
    began = time.monotonic()
    again = await often.dial("7000")
    incoming = await human.incoming(LIMIT_S)
    assert time.monotonic() - began < 5, "the other seats were tried first"
    await incoming.answer()
    await again.answered(LIMIT_S)
    await again.hangup()
    await log.wait("call.ended", result="busy", reason="caller_often")
    assert paused(running) == {}
    # The seat answers and breaks off: no seat is paused for it, and the caller does not wait.
    await until(lambda: queue_log.count("support", "Agent 1001", "CONNECT"), "queue_log")
    assert queue_log.count("frontline", "NONE", "ENTERQUEUE") == 2
    assert queue_log.count("frontline", "AI Agent", "CONNECT") == 2
    [ended] = [row for row in queue_log.rows() if row[:3] == ("frontline", "AI Agent", "COMPLETEAGENT")]
    assert max(int(ended[3]), int(ended[4])) <= 5, "seconds of waiting and talking"
    assert queue_log.count("frontline", "AI Agent", "RINGNOANSWER") == 0
    other, hearing = await dial("7000", await phone("5558888"))
    await hearing.utterance()
    await other.hangup()
    await log.wait("call.ended", count=2, result="done")
    running.stop()
    await until(lambda: len(log.named("service.stopped")) == 1, "the service to stop")
    # A restart makes nobody a new caller.
    await service(await sandbox(), caps={"calls_per_caller_per_hour": 1}, state_directory=tmp_path / "kept")
    late = await often.dial("7000")
    await ends_with_people(late, human)
    await log.wait("call.ended", result="busy", reason="caller_often", count=2)


async def test_an_agents_own_cap(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, ends_with_people: Any
) -> None:
    human = await phone("1001", register=True)
    running = await service(await sandbox(), agent={"max_calls": 1})
    call, hearing = await dial("7001")
    await hearing.utterance()
    late = await (await phone("5558888")).dial("7001")
    await ends_with_people(late, human)
    await log.wait("call.ended", result="busy", reason="agent_full")
    assert paused(running) == {}, "the seats are other agents', too"
    await call.hangup()
    await log.wait("call.ended", result="done")
    third, hearing = await dial("7001", await phone("5557777"))
    await hearing.utterance()
    await third.hangup()


async def test_the_days_minutes(
    sandbox: Any,
    service: Any,
    phone: Any,
    dial: Any,
    log: Any,
    queue_log: QueueLog,
    ends_with_people: Any,
    tmp_path: Path,
) -> None:
    human = await phone("1001", register=True)
    model = await sandbox()
    caps = {"caps": {"minutes_per_day": 0.03}, "state_directory": tmp_path / "kept"}
    running = await service(model, **caps)
    call, hearing = await dial("7000")
    await hearing.utterance()
    await until(lambda: paused(running) == {"ariagent: capped": SEATS}, "the seats to be paused")
    assert len(running.calls) == 1, "calls in progress are not ended"
    await until(lambda: queue_log.count("frontline", "AI Agent", "PAUSE", "ariagent: capped") == SEATS, "queue_log")
    direct = await (await phone("5558888")).dial("7001")
    await ends_with_people(direct, human)
    await log.wait("call.ended", result="busy", reason="over_daily_minutes")
    await call.hangup()
    await log.wait("call.ended", result="done")
    running.stop()
    await until(lambda: len(log.named("service.stopped")) == 1, "the service to stop")
    second = await service(model, **caps)
    assert paused(second) == {"ariagent: capped": SEATS}


async def test_the_minutes_of_callers_without_a_number(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, ends_with_people: Any, tmp_path: Path
) -> None:
    """They are sent to the human queue, the others are served, and a restart forgets nothing."""
    human = await phone("1001", register=True)
    model = await sandbox()
    caps = {"caps": {"minutes_per_day_unknown": 0.02}, "state_directory": tmp_path / "kept"}
    running = await service(model, **caps)
    call, hearing = await dial("7001", await phone("anonymous"))
    await hearing.utterance()
    await log.wait("caps.reached", name="caps.minutes_per_day_unknown")
    assert paused(running) == {}
    assert len(running.calls) == 1, "calls in progress are not ended"
    late = await (await phone("anonymous")).dial("7000")
    await ends_with_people(late, human)
    await log.wait("call.ended", result="busy", reason="over_daily_minutes_unknown")
    other, hearing = await dial("7000", await phone("5558888"))
    await hearing.utterance()
    await other.hangup()
    await call.hangup()
    await log.wait("call.ended", result="done", count=2)
    running.stop()
    await until(lambda: len(log.named("service.stopped")) == 1, "the service to stop")
    await service(model, **caps)
    again = await (await phone("anonymous")).dial("7001")
    await ends_with_people(again, human)
    await log.wait("call.ended", result="busy", reason="over_daily_minutes_unknown", count=2)


async def test_people_first_by_day(
    sandbox: Any, service: Any, phone: Any, queue_log: QueueLog, ends_with_people: Any, dial: Any
) -> None:
    human = await phone("1001", register=True)
    always = {"timezone": "Europe/Berlin", "week": {"mon-sun": "00:00-24:00"}}
    never = {"timezone": "Europe/Berlin", "week": {"mon-sun": []}}
    model = await sandbox()
    running = await service(model, hours={"office": always}, pool={"calls_outside": "office"})
    await until(lambda: paused(running) == {"ariagent: hours": SEATS}, "the seats to be paused")
    await until(lambda: queue_log.count("frontline", "AI Agent", "PAUSE", "ariagent: hours") == SEATS, "queue_log")
    call = await (await phone()).dial("7000")
    await ends_with_people(call, human)
    assert queue_log.count("frontline", "NONE", "ENTERQUEUE") == 0
    running.stop()
    await until(lambda: not len(running.calls) and not running.ari.listening, "the service to stop")
    night = await service(model, hours={"office": never}, pool={"calls_outside": "office"})
    assert paused(night) == {}
    call, hearing = await dial("7000")
    await hearing.utterance()
    await call.hangup()


async def test_who_comes_back_from_human_agents_has_not_called_again(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any
) -> None:
    nobody = {"queue": "support", "description": "a desk where nobody answers", "timeout_s": 2}
    await service(
        await sandbox(scenario=Path(__file__).parent / "scenarios" / "handoff.yaml"),
        agent={"handoff": ["nobody"], "max_calls": 1},
        destinations={"nobody": nobody},
        caps={"calls_per_caller_per_hour": 1},
    )
    await phone("1001", register=True)  # somebody is there, and lets it ring
    call, hearing = await dial("7001")
    await hearing.utterance()
    await call.send_dtmf("2")
    await log.wait("call.transferred", destination="nobody")
    back = await log.wait("call.started", count=2)
    await hearing.wait_loud(back.at)
    await call.hangup()
    await log.wait("call.ended", result="done", reason="caller_hung_up")
    assert log.named("call.ended", result="busy") == []
