"""The shipped dialplan on a real Asterisk, with a stand-in for the service: who gets the caller, and what is logged."""

import asyncio
import itertools
import re
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
import pytest

from lab.asterisk import AsteriskInstance

LIMIT_S = 60.0
STATE = "Custom:ariagent"
_NUMBERS = itertools.count()
ApplicationT = TypeVar("ApplicationT", bound="Application")


class Application:
    """A Stasis application: events in, requests out."""

    def __init__(self, session: aiohttp.ClientSession, events: aiohttp.ClientWebSocketResponse, base: str) -> None:
        self._session = session
        self._events = events
        self._base = base

    async def request(self, method: str, path: str, **parameters: str) -> Any:
        """One ARI request; the answer's JSON, or None when it has none."""
        async with self._session.request(method, f"{self._base}/ari/{path}", params=parameters) as answer:
            text = await answer.text()
            assert answer.status < 300, f"{method} {path}: {answer.status} {text}"
            return (await answer.json()) if text else None

    async def wait_for(self, kind: str, accept: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """The next event of this type."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                event: dict[str, Any] = await self._events.receive_json()
                if event["type"] == kind and accept(event):
                    return event

    async def variable(self, channel: str, name: str) -> str:
        """The value of a channel variable or function."""
        answer = await self.request("GET", f"channels/{channel}/variable", variable=name)
        return str(answer["value"])

    async def leave(self, channel: str, result: str) -> None:
        """The service's requests at the end of its part of a call."""
        await self.request("POST", f"channels/{channel}/variable", variable="ARIAGENT_RESULT", value=result)
        await self.request("POST", f"channels/{channel}/continue")


class Caller(Application):
    """Places calls; their own end enters this application when they are answered."""

    name = ""

    async def dial(self, number: str) -> str:
        """Start a call; the id of the caller's own end."""
        call = f"call-{next(_NUMBERS)}"
        await self.request(
            "POST",
            "channels",
            endpoint=f"Local/{number}@ariagent-internal/n",
            app=self.name,
            channelId=call,
            otherChannelId=entry_of(call),
            timeout="60",
        )
        return call

    async def answered(self, *calls: str) -> None:
        """Return when the calls were answered."""
        await self._each("StasisStart", calls)

    async def ended(self, *calls: str) -> None:
        """Return when the far ends hung up."""
        await self._each("StasisEnd", calls)

    async def _each(self, kind: str, calls: tuple[str, ...]) -> None:
        left = set(calls)
        while left:
            event = await self.wait_for(kind, lambda event: event["channel"]["id"] in left)
            left.remove(event["channel"]["id"])


def entry_of(call: str) -> str:
    """The id of the channel that runs the dialplan; its id is the call's in queue_log too."""
    return f"{call}-entry"


@asynccontextmanager
async def connect(asterisk: AsteriskInstance, name: str, kind: type[ApplicationT]) -> AsyncIterator[ApplicationT]:
    token = b64encode(f"{asterisk.ari_user}:{asterisk.ari_password}".encode()).decode()
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Basic {token}"}) as session,
        session.ws_connect(f"{asterisk.ari_url}/ari/events", params={"app": name}) as events,
    ):
        yield kind(session, events, asterisk.ari_url)


async def until_shown(asterisk: AsteriskInstance, command: str, text: str) -> None:
    """Return when the console shows this text."""
    deadline = time.monotonic() + LIMIT_S
    while text not in (shown := await asterisk.cli(command)):
        assert time.monotonic() < deadline, shown
        await asyncio.sleep(0.05)


async def waiting(asterisk: AsteriskInstance, queue: str) -> None:
    """Return when one caller waits in the queue."""
    await until_shown(asterisk, f"queue show {queue}", f"{queue} has 1 calls")


@pytest.fixture
async def caller(asterisk: AsteriskInstance) -> AsyncIterator[Caller]:
    """Places calls; leaves none behind."""
    name = f"caller{next(_NUMBERS)}"
    async with connect(asterisk, name, Caller) as application:
        application.name = name
        yield application
        await asterisk.cli("channel request hangup all")
        await until_shown(asterisk, "core show channels count", "0 active channels")


@pytest.fixture
async def service(asterisk: AsteriskInstance) -> AsyncIterator[Application]:
    """Stands in for the service: takes calls, and says that it does."""
    async with connect(asterisk, "ariagent", Application) as application:
        await seats(asterisk, "NOT_INUSE")
        yield application
    await asterisk.cli(f"devstate change {STATE} UNAVAILABLE")


async def seats(asterisk: AsteriskInstance, state: str) -> None:
    """Set the device state of the seats, and return when the queue has heard of it."""
    await asterisk.cli(f"devstate change {STATE} {state}")
    async with asyncio.timeout(LIMIT_S):
        while set(await shown_seats(asterisk)) != {"Not in use" if state == "NOT_INUSE" else "Unavailable"}:
            await asyncio.sleep(0.05)


async def shown_seats(asterisk: AsteriskInstance) -> list[str]:
    """The line of ``queue show`` for each seat."""
    return re.findall(r"ariagent-seat/nm [^\n]*\(ringinuse disabled\) \(([^)]*)\)", await asterisk.cli("queue show"))


async def test_direct_call_without_the_service_goes_to_people(caller: Caller, asterisk: AsteriskInstance) -> None:
    call = await caller.dial("7001")
    await caller.answered(call)
    await waiting(asterisk, "support")


@pytest.mark.parametrize("result", ["no_model", "busy", "error", ""])
async def test_direct_call_that_the_service_gives_back_goes_to_people(
    caller: Caller, service: Application, asterisk: AsteriskInstance, result: str
) -> None:
    call = await caller.dial("7001")
    start = await service.wait_for("StasisStart")
    assert start["args"] == [], "which agent it is for is the settings' business"
    assert start["channel"]["state"] == "Ring", "it must not be answered before the service answers it"
    await service.leave(start["channel"]["id"], result)
    await caller.answered(call)
    await waiting(asterisk, "support")


async def test_direct_call_that_is_done_ends(caller: Caller, service: Application) -> None:
    call = await caller.dial("7001")
    start = await service.wait_for("StasisStart")
    await service.request("POST", f"channels/{start['channel']['id']}/answer")
    await caller.answered(call)
    await service.leave(start["channel"]["id"], "done")
    await caller.ended(call)


async def seat_call(caller: Caller, service: Application) -> tuple[str, dict[str, Any]]:
    """Call 7000: the caller's own end, and the seat's channel in the service."""
    call = await caller.dial("7000")
    start = await service.wait_for("StasisStart")
    return call, start


async def test_queue_call_rings_a_seat_unanswered_with_the_callers_id(
    caller: Caller, service: Application, asterisk: AsteriskInstance
) -> None:
    call, start = await seat_call(caller, service)
    word, seat = start["args"]
    assert word == "seat"
    assert 1 <= int(seat) <= 60
    assert start["channel"]["state"] == "Ring"
    entry = entry_of(call)
    linked = await service.variable(start["channel"]["id"], "CHANNEL(linkedid)")
    assert linked == await service.variable(entry, "CHANNEL(linkedid)")
    assert [row for row in rows(asterisk, entry) if row[4] == "ENTERQUEUE"]
    assert (await service.request("GET", f"channels/{entry}"))["state"] == "Ring"


@pytest.mark.parametrize(("number", "queue"), [("7000", "frontline"), ("7001", "")])
async def test_the_service_can_see_what_was_dialled_and_which_queue_it_came_through(
    caller: Caller, service: Application, number: str, queue: str
) -> None:
    await caller.dial(number)
    channel = (await service.wait_for("StasisStart"))["channel"]["id"]
    names = ("ARIAGENT_EXTENSION", "ARIAGENT_QUEUE", "ARIAGENT_DIALLED")
    assert [await service.variable(channel, name) for name in names] == [number, queue, number]


async def test_queue_call_that_is_done_ends_and_is_logged_as_the_agents(
    caller: Caller, service: Application, asterisk: AsteriskInstance
) -> None:
    call, start = await seat_call(caller, service)
    await service.request("POST", f"channels/{start['channel']['id']}/answer")
    await caller.answered(call)
    await service.leave(start["channel"]["id"], "done")
    await caller.ended(call)
    logged = {(row[3], row[4]) for row in rows(asterisk, entry_of(call))}
    assert logged == {("NONE", "ENTERQUEUE"), ("AI Agent", "CONNECT"), ("AI Agent", "COMPLETEAGENT")}


@pytest.mark.parametrize("result", ["error", ""])
async def test_queue_call_that_breaks_off_goes_to_people(
    caller: Caller, service: Application, asterisk: AsteriskInstance, result: str
) -> None:
    call, start = await seat_call(caller, service)
    await service.request("POST", f"channels/{start['channel']['id']}/answer")
    await caller.answered(call)
    await service.leave(start["channel"]["id"], result)
    await waiting(asterisk, "support")


async def test_a_seat_that_refuses_fails_unanswered_and_the_next_takes_the_call(
    caller: Caller, service: Application, asterisk: AsteriskInstance
) -> None:
    call, first = await seat_call(caller, service)
    await service.leave(first["channel"]["id"], "busy")
    second = await service.wait_for("StasisStart")
    assert second["args"][1] != first["args"][1]
    await service.request("POST", f"channels/{second['channel']['id']}/answer")
    await caller.answered(call)
    logged = [row[4] for row in rows(asterisk, entry_of(call))]
    assert logged == ["ENTERQUEUE", "RINGNOANSWER", "CONNECT"]


# -- seats without a service -------------------------------------------------------------------------------------------


async def test_seats_are_unavailable_until_a_service_says_that_it_takes_calls(
    caller: Caller, asterisk: AsteriskInstance
) -> None:
    await seats(asterisk, "UNAVAILABLE")
    call = await caller.dial("7000")
    await caller.answered(call)
    await waiting(asterisk, "support")
    assert {(row[2], row[4]) for row in rows(asterisk, entry_of(call))} == {("support", "ENTERQUEUE")}


async def test_one_seat_finds_that_the_service_is_gone_and_tells_all(
    caller: Caller, asterisk: AsteriskInstance
) -> None:
    await seats(asterisk, "NOT_INUSE")
    before = len(asterisk.queue_rows())
    call = await caller.dial("7000")
    await caller.answered(call)
    await waiting(asterisk, "support")
    assert set(await shown_seats(asterisk)) == {"Unavailable"}
    assert [row[2:5] for row in asterisk.queue_rows(since=before)] == [
        ["frontline", "NONE", "ENTERQUEUE"],
        ["frontline", "AI Agent", "RINGNOANSWER"],
        ["frontline", "NONE", "EXITEMPTY"],
        ["support", "NONE", "ENTERQUEUE"],
    ]


async def test_a_service_that_does_not_move_costs_one_caller_one_ring(
    caller: Caller, service: Application, asterisk: AsteriskInstance
) -> None:
    call = await caller.dial("7000")
    await service.wait_for("StasisStart")
    # And nothing more: the queue lets the seat ring for 15 s.
    await caller.answered(call)
    await waiting(asterisk, "support")
    assert set(await shown_seats(asterisk)) == {"Unavailable"}
    logged = {(row[2], row[4]) for row in rows(asterisk, entry_of(call))}
    assert logged == {
        ("frontline", "ENTERQUEUE"),
        ("frontline", "RINGNOANSWER"),
        ("frontline", "EXITEMPTY"),
        ("support", "ENTERQUEUE"),
    }


async def test_a_caller_who_gives_up_early_closes_nothing(
    caller: Caller, service: Application, asterisk: AsteriskInstance
) -> None:
    call = await caller.dial("7000")
    await service.wait_for("StasisStart")
    await caller.request("DELETE", f"channels/{call}")
    await service.wait_for("StasisEnd")
    await until_shown(asterisk, "core show channels count", "0 active channels")
    assert set(await shown_seats(asterisk)) == {"Not in use"}


async def test_a_reload_of_the_dialplan_keeps_the_seats(service: Application, asterisk: AsteriskInstance) -> None:
    await asterisk.cli("dialplan reload")
    assert set(await shown_seats(asterisk)) == {"Not in use"}
    await seats(asterisk, "UNAVAILABLE")
    await seats(asterisk, "NOT_INUSE")


async def test_the_human_queue_answers_and_lets_callers_wait(caller: Caller, asterisk: AsteriskInstance) -> None:
    call = await caller.dial("7100")
    await caller.answered(call)
    await waiting(asterisk, "support")


class AsteriskLog:
    """Asterisk's log from now on."""

    def __init__(self, asterisk: AsteriskInstance) -> None:
        self._path = asterisk.log_path
        self._before = len(self._path.read_text())

    @property
    def text(self) -> str:
        return self._path.read_text()[self._before :]

    async def until(self, text: str, times: int = 1) -> None:
        """Return when this is logged."""
        deadline = time.monotonic() + LIMIT_S
        while self.text.count(text) < times:
            assert time.monotonic() < deadline, self.text
            await asyncio.sleep(0.05)


async def test_without_a_human_queue_callers_hear_a_sentence_and_are_not_dropped_at_once(
    caller: Caller, asterisk: AsteriskInstance
) -> None:
    log = AsteriskLog(asterisk)
    calls = [await caller.dial(number) for number in ("7911", "7912")]
    await caller.answered(*calls)
    began = time.monotonic()
    await log.until("Playing 'all-circuits-busy-now", times=2)
    await log.until("Playing 'please-try-call-later", times=2)
    for _ in calls:
        await caller.wait_for("StasisEnd")
        assert time.monotonic() - began >= 5.0  # the sentence, then congestion


@pytest.mark.parametrize("number", ["7921", "7922", "7923", "7924"])
async def test_the_last_resort_takes_whom_the_human_queue_does_not(
    caller: Caller, asterisk: AsteriskInstance, number: str
) -> None:
    call = await caller.dial(number)
    await caller.answered(call)
    await waiting(asterisk, "support")


async def test_a_last_resort_that_is_not_there_is_a_sentence_too(caller: Caller, asterisk: AsteriskInstance) -> None:
    log = AsteriskLog(asterisk)
    await caller.answered(await caller.dial("7930"))
    await log.until("Playing 'all-circuits-busy-now")


async def test_a_caller_who_was_served_by_a_human_agent_gets_no_last_resort(
    caller: Caller, asterisk: AsteriskInstance
) -> None:
    log = AsteriskLog(asterisk)
    call = await caller.dial("7940")
    await caller.answered(call)
    await caller.ended(call)
    assert [row[4] for row in rows(asterisk, entry_of(call))] == ["ENTERQUEUE", "CONNECT", "COMPLETEAGENT"]
    assert "all-circuits-busy-now" not in log.text


def rows(asterisk: AsteriskInstance, call_id: str) -> list[list[str]]:
    """The rows of queue_log of one call: time, call id, queue, agent, event, data."""
    return asterisk.queue_rows(call_id)
