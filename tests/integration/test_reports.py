"""Calls in Asterisk's own reports: call detail records and channel events."""

import asyncio
import contextlib
import csv
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.asterisk import AsteriskInstance
from lab.conf import FEW_SEATS
from lab.packages import default_lab_dir, ensure_asterisk

pytestmark = pytest.mark.asterisk

SCENARIO = Path(__file__).parent / "scenarios" / "handoff.yaml"
QUEUE = {"queue": "support", "description": "the service desk", "timeout_s": 20, "kind": "blind"}
DESTINATIONS = {"humans": QUEUE, "nobody": {**QUEUE, "timeout_s": 2}}
LIMIT_S = 60.0
AGENT = {"handoff": list(DESTINATIONS), "transcription": None}
REPORTING = {
    "cdr.conf": "[general](+)\nenable = yes\nunanswered = yes\n[csv]\nloguniqueid = yes\n",
    "cel.conf": "[general](+)\nenable = yes\napps = dial,queue,stasis\nevents = ALL\n",
    "cel_custom.conf": "[mappings]\ncel.csv => ${CSV_QUOTE(${eventtype})},${CSV_QUOTE(${CHANNEL})}\n",
}
MODULES = ("cdr_csv", "res_cdrel_custom", "cel_custom")


@pytest.fixture(scope="module")
def asterisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsteriskInstance]:
    """An Asterisk that writes call detail records and channel events."""
    program = ensure_asterisk(default_lab_dir())
    root = tmp_path_factory.mktemp("reporting")
    instance = AsteriskInstance(program, root, seats=FEW_SEATS, additions=REPORTING, modules=MODULES)
    (root / "log" / "cdr-csv").mkdir(parents=True)
    (root / "log" / "cel-custom").mkdir()
    for path in (root / "log" / "cdr-csv" / "Master.csv", root / "log" / "cel-custom" / "cel.csv"):
        path.touch()
    asyncio.run(instance.start())
    yield instance
    asyncio.run(instance.stop())


@pytest.fixture
def records_before(asterisk: AsteriskInstance) -> int:
    return len(records(asterisk))


@dataclass(frozen=True, slots=True)
class Row:
    """The fields of a call detail record that matter."""

    destination: str
    context: str
    channel: str
    other: str
    disposition: str


def records(asterisk: AsteriskInstance) -> list[Row]:
    """All of them; of channels without what makes their names unique."""
    path = asterisk.root / "log" / "cdr-csv" / "Master.csv"
    with path.open() as file:
        found = list(csv.reader(file))
    return [Row(row[2], row[3], plain(row[5]), plain(row[6]), row[14]) for row in found]


def events(asterisk: AsteriskInstance) -> list[list[str]]:
    """Channel events: event, channel."""
    with (asterisk.root / "log" / "cel-custom" / "cel.csv").open() as file:
        return [[row[0], row[1]] for row in csv.reader(file)]


def plain(channel: str) -> str:
    """``Local/03@ariagent-seat-0000001a;1`` -> ``Local@ariagent-seat;1``, ``AudioSocket/...`` -> ``AudioSocket``."""
    if channel.startswith("AudioSocket/"):
        return "AudioSocket"
    return re.sub(r"-[0-9a-f]{8}", "", re.sub(r"^Local/\d+", "Local", channel))


CALLER = "PJSIP/anonymous"
AT_QUEUE = ("7000", "ariagent-internal", CALLER, "Local@ariagent-seat;1", "ANSWERED")
STRAIGHT = ("7001", "ariagent-internal", CALLER, "AudioSocket", "ANSWERED")


async def settled(asterisk: AsteriskInstance, before: int, wanted: set[tuple[str, ...]]) -> None:
    """The records since ``before`` are these, the caller's own after the last bridge aside."""

    def found() -> set[tuple[str, ...]]:
        return {astuple(row) for row in records(asterisk)[before:] if row.other}

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LIMIT_S):
            while not wanted <= found() or await asterisk.cli("core show channels concise"):
                await asyncio.sleep(0.1)
    assert found() == wanted
    assert {row.channel for row in records(asterisk)[before:]} == {CALLER}


QUEUE_FIRST = pytest.mark.parametrize("number", ["7000", pytest.param("7001", marks=pytest.mark.long)])
DIRECT_FIRST = pytest.mark.parametrize("number", ["7001", pytest.param("7000", marks=pytest.mark.long)])
"""Both ways; ``make test`` has the first."""


@QUEUE_FIRST
async def test_a_call_has_one_record(
    number: str, asterisk: AsteriskInstance, sandbox: Any, service: Any, dial: Any, log: Any, records_before: int
) -> None:
    await service(await sandbox(scenario=SCENARIO), agent=AGENT, destinations=DESTINATIONS)
    call, hearing = await dial(number)
    await hearing.utterance()
    await call.hangup()
    await log.wait("call.ended")
    await settled(asterisk, records_before, {AT_QUEUE if number == "7000" else STRAIGHT})


@DIRECT_FIRST
async def test_a_caller_put_through_has_records_with_the_ai_and_with_the_human(
    number: str,
    asterisk: AsteriskInstance,
    sandbox: Any,
    service: Any,
    phone: Any,
    dial: Any,
    log: Any,
    records_before: int,
) -> None:
    await service(await sandbox(scenario=SCENARIO), agent=AGENT, destinations=DESTINATIONS)
    human = await phone("1001", register=True)
    call, hearing = await dial(number)
    await hearing.utterance()
    await call.send_dtmf("1")
    incoming = await human.incoming(LIMIT_S)
    await incoming.answer()
    await log.wait("call.ended", result="transferred")
    await incoming.hangup()
    await call.ended(LIMIT_S)
    # A transfer does not change what was dialled, as with a person's.
    wanted = {AT_QUEUE if number == "7000" else STRAIGHT}
    wanted.add((number, "ariagent-internal", CALLER, "PJSIP/1001", "ANSWERED"))
    await settled(asterisk, records_before, wanted)


@QUEUE_FIRST
async def test_a_caller_who_came_back_has_a_record_of_the_attempt(
    number: str,
    asterisk: AsteriskInstance,
    sandbox: Any,
    service: Any,
    phone: Any,
    dial: Any,
    log: Any,
    records_before: int,
) -> None:
    await service(await sandbox(scenario=SCENARIO), agent=AGENT, destinations=DESTINATIONS)
    await phone("1001", register=True)
    call, hearing = await dial(number)
    await hearing.utterance()
    await call.send_dtmf("2")
    await log.wait("call.answered" if number == "7000" else "call.started", count=2)
    await hearing.utterance(time.monotonic())
    await call.hangup()
    await log.wait("call.ended", count=2)
    wanted = {AT_QUEUE if number == "7000" else STRAIGHT}
    wanted.add((number, "ariagent-internal", CALLER, "PJSIP/1001", "NO ANSWER"))
    await settled(asterisk, records_before, wanted)


@DIRECT_FIRST
async def test_channel_events_are_the_callers_once_media_legs_and_seats_are_left_out(
    number: str, asterisk: AsteriskInstance, sandbox: Any, service: Any, dial: Any, log: Any
) -> None:
    before = len(events(asterisk))
    await service(await sandbox(scenario=SCENARIO), agent=AGENT, destinations=DESTINATIONS)
    call, hearing = await dial(number)
    await hearing.utterance()
    await call.hangup()
    await log.wait("call.ended")
    async with asyncio.timeout(LIMIT_S):
        while not any(event == "LINKEDID_END" for event, _ in events(asterisk)[before:]):
            await asyncio.sleep(0.1)
    found = events(asterisk)[before:]
    assert {plain(name) for _, name in found} >= {CALLER, "AudioSocket"}
    kept = [event for event, name in found if not name.startswith("AudioSocket/") and "@ariagent-seat" not in name]
    assert Counter(kept)["CHAN_START"] == Counter(kept)["CHAN_END"] == 1
    assert Counter(kept)["ANSWER"] == 1
