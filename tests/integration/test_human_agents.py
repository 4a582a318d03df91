"""The model's knowledge of human agents: closed, nobody there, a long wait; and messages that callers leave for
them."""

import asyncio
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.asterisk import AsteriskInstance
from tests import forked

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
SCENARIO = Path(__file__).parent / "scenarios" / "human_agents.yaml"
NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def calendar(*, open_now: bool) -> dict[str, Any]:
    """Hours that are open, or closed, for days around now."""
    today = time.gmtime().tm_wday
    closed = [] if open_now else [(today + n) % 7 for n in (-1, 0, 1)]
    return {"timezone": "UTC", "week": {name: "00:00-24:00" for n, name in enumerate(NAMES) if n not in closed}}


def settings(*, open_now: bool = True, **desk: Any) -> dict[str, Any]:
    place = {"queue": "support", "description": "the service desk", "timeout_s": 20, "hours": "office", **desk}
    return {"hours": {"office": calendar(open_now=open_now)}, "destinations": {"desk": place}}


AGENT = {"handoff": ["desk"], "alternatives": ["wait", "callback"]}


def outputs(session: Any) -> list[dict[str, Any]]:
    """The results of the functions that the model called."""
    return [json.loads(item["output"]) for item in session.items if item["type"] == "function_call_output"]


async def pressed(key: str, call: Any, hearing: Any, session: Any) -> dict[str, Any]:
    """The result of the function that the model calls for this key, once the caller has heard what it says then."""
    before = len(outputs(session))
    began = time.monotonic()
    await call.send_dtmf(key)
    async with asyncio.timeout(LIMIT_S):
        while len(outputs(session)) == before:
            await asyncio.sleep(0.02)
    await hearing.utterance(began)
    return outputs(session)[before]


async def test_nobody_is_put_through_to_a_closed_desk(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any
) -> None:
    model = await sandbox(scenario=SCENARIO)
    running = await service(model, agent=AGENT, **settings(open_now=False))
    await phone("1001", register=True)
    call, hearing = await dial("7000")
    await hearing.utterance()
    session = await model.wait_session(1)
    told = await pressed("3", call, hearing, session)
    assert told["desk"]["state"].startswith("closed until ")
    for key in ("1", "2"):
        refused = await pressed(key, call, hearing, session)
        assert refused["state"] == told["desk"]["state"]
        assert refused["caller_can"] == ["be called back later: take_message, kind callback"]
    declined = log.named("call.transfer_declined", destination="desk")
    assert [entry.level for entry in declined] == [logging.INFO, logging.INFO]
    samples = [sample for family in running.metrics.transfers.collect() for sample in family.samples]
    counted = {each.labels["result"]: each.value for each in samples if each.name.endswith("_total")}
    assert counted == {"declined": 2}
    assert log.named("call.transferred") == []
    await call.hangup()
    await log.wait("call.ended", result="done")


async def test_where_nobody_is_logged_in_a_message_is_taken_and_can_be_read(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, tmp_path: Path
) -> None:
    model = await sandbox(scenario=SCENARIO)
    running = await service(model, agent=AGENT, **settings())
    call, hearing = await dial("7001", await phone("5557777"))
    await hearing.utterance()
    session = await model.wait_session(1)
    refused = await pressed("2", call, hearing, session)
    assert refused["state"] == "nobody is logged in"
    assert (await pressed("4", call, hearing, session)) == {"ok": True, "noted": "callback"}
    taken = await log.wait("message.taken", kind="callback")
    assert "text" not in taken.fields
    assert "number" not in taken.fields
    await call.hangup()
    await log.wait("call.ended")
    file = tmp_path / "messages.yaml"
    file.write_text(yaml.safe_dump({"state_directory": str(running.settings.state_directory)}))
    words = ("calls", "-c", str(file), "--messages", "--json")
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(LIMIT_S):
        while not found:  # it is written within half a second
            code, out, err = await forked.ariagent(*words, environment=dict(os.environ))
            assert code == 0, err
            found = json.loads(out)["messages"]
    (left,) = found
    assert (left["call"], left["caller"], left["number"]) == (taken["call"], "5557777", "5557777")
    assert (left["text"], left["when"]) == ("The caller asks about their bill.", "after six")


@pytest.mark.parametrize("manager", [True, False])
async def test_a_queue_that_does_not_exist(
    manager: bool, sandbox: Any, service: Any, dial: Any, log: Any, asterisk: AsteriskInstance
) -> None:
    model = await sandbox(scenario=SCENARIO)
    await service(model, agent=AGENT, ami=asterisk.ami if manager else None, **settings(queue="nowhere"))
    call, hearing = await dial("7001")
    await hearing.utterance()
    if manager:
        refused = await pressed("1", call, hearing, await model.wait_session(1))
        assert refused["state"] == "cannot be reached: there is no such queue"
        assert (await log.wait("call.transfer_impossible", destination="desk")).level == logging.WARNING
    else:  # nobody can know that before
        await call.send_dtmf("1")
        await log.wait("call.transferred", destination="desk")
        back = await log.wait("call.started", count=2)
        await hearing.wait_loud(back.at)
    await call.hangup()
    await log.wait("call.ended", reason="caller_hung_up")


async def test_a_long_wait_is_told_first_and_then_the_caller_waits(
    asterisk: AsteriskInstance, sandbox: Any, service: Any, phone: Any, dial: Any, log: Any
) -> None:
    model = await sandbox(scenario=SCENARIO)
    running = await service(model, agent=AGENT, **settings(ask_above_s=0))
    human, other = await phone("1001", register=True), await phone("5550001")

    async def busy(value: int) -> None:
        async with asyncio.timeout(LIMIT_S):
            while running.pool.view("support").busy != value:
                await asyncio.sleep(0.02)

    for last in (False, True):  # what a conversation takes is learned from the first
        first = await other.dial("7100")
        answering = await human.incoming(LIMIT_S)
        await answering.answer()
        await busy(1)
        if not last:
            await asyncio.sleep(1.2)  # Asterisk counts whole seconds
            await first.hangup()
            await busy(0)
    call, hearing = await dial("7000")
    await hearing.utterance()
    session = await model.wait_session(1)
    refused = await pressed("1", call, hearing, session)
    assert refused["state"] == "everybody is busy, nobody is waiting, the wait is less than a minute"
    assert refused["caller_can"][0].startswith("wait: ")
    assert log.named("call.transferred") == []
    await call.send_dtmf("2")
    handed = await log.wait("call.transferred", destination="desk")
    await log.wait("call.ended", result="transferred")
    await first.hangup()
    answering = await human.incoming(LIMIT_S)
    await answering.answer()
    rows = set()
    async with asyncio.timeout(LIMIT_S):
        while ("support", "Agent 1001", "CONNECT") not in rows:
            await asyncio.sleep(0.05)
            rows = {tuple(row[2:5]) for row in asterisk.queue_rows(handed["call"])}
    assert ("frontline", "AI Agent", "BLINDTRANSFER") in rows
    await answering.hangup()
    await call.ended(LIMIT_S)
