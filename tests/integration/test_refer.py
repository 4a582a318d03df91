"""Whoever talks with the agent transfers it: to another agent, to an echo, into a queue. Nothing is left behind.

Each kind of transfer and of target once; what follows from what Asterisk tells, both ways, is in
``tests/call/test_refer.py``, in memory.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from lab.call import Call

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
ATTACKER = "1001"
"""Its endpoint allows transfers, the anonymous one does not."""
BOTH_WAYS = pytest.mark.parametrize("number", ["7001", pytest.param("7000", marks=pytest.mark.long)])


async def until_nothing_is_left(running: Any) -> None:
    """Neither in Asterisk nor in the service, though the model never stops talking. The attacker has hung up."""
    async with asyncio.timeout(LIMIT_S):
        while await running.ari.channels() or len(running.calls):
            await asyncio.sleep(0.05)


async def until_executing(asterisk: Any, application: str) -> None:
    """A channel of Asterisk has reached this dialplan application.

    Asterisk 22.10.1 itself dies of an attended transfer to a channel that is between two applications: it compares
    the name of the one that runs, which is then NULL. Nobody presses the button within those few milliseconds.
    """
    async with asyncio.timeout(LIMIT_S):
        while f"!{application}!" not in await asterisk.cli("core show channels concise"):
            await asyncio.sleep(0.05)


async def talking(number: str, dial: Any, phone: Any) -> Call:
    """A call to the agent that has heard its opening."""
    call: Call
    call, hearing = await dial(number, phone)
    await hearing.utterance()
    return call


@pytest.fixture
def attacked(sandbox: Any, service: Any, dial: Any, phone: Any) -> Any:
    """``await attacked("7001")``: the service, and a call to its agent whose phone may transfer."""

    async def make(number: str) -> tuple[Any, Call]:
        running = await service(await sandbox())
        return running, await talking(number, dial, await phone(ATTACKER))

    return make


@pytest.fixture
async def forwards(asterisk: Any) -> AsyncIterator[dict[str, str]]:
    """Extensions that call another one: through a Local channel, through two, and by Goto."""
    inside = "ariagent-internal"
    numbers = {
        "7801": "Dial,Local/7001@ariagent-internal",
        "7802": "Dial,Local/7801@ariagent-internal/n",
        "7803": "Dial,Local/7000@ariagent-internal/n",
        "7804": "Goto,7000^1",
        "7805": "Dial,Local/600@ariagent-internal/n",
    }
    for number, what in numbers.items():
        application, data = what.split(",")
        data = data.replace("^", ",")
        added = await asterisk.cli(f'dialplan add extension {number},1,{application}("{data}") into {inside}')
        assert "added" in added.lower(), added
    yield numbers
    for number in numbers:
        await asterisk.cli(f"dialplan remove extension {number}@{inside}")


@pytest.mark.parametrize(
    ("number", "target"),
    [
        ("7001", "7001"),
        ("7000", "600"),
        pytest.param("7000", "7000", marks=pytest.mark.long),
        pytest.param("7001", "7100", marks=pytest.mark.long),
    ],
)
async def test_blind(number: str, target: str, attacked: Any, log: Any) -> None:
    """Two agents never talk with each other, and none talks with music or an echo for long."""
    running, call = await attacked(number)
    # 503 where the target, another agent, refuses before it has answered.
    assert await call.refer(target) in (200, 503)
    await call.hangup()
    await until_nothing_is_left(running)
    assert len(log.named("call.answered")) == 1, "a second agent has answered the first one"
    if target in ("7000", "7001"):
        assert log.named("call.own_call_refused") != []
        assert log.named("call.ended", result="busy", reason="own_call") != []
    else:
        await log.wait("call.ended", result="done", reason="transferred_away")


@pytest.mark.parametrize(
    ("number", "target"),
    [
        ("7001", "7803"),
        ("7000", "7804"),
        pytest.param("7001", "7801", marks=pytest.mark.long),
        pytest.param("7000", "7802", marks=pytest.mark.long),
        pytest.param("7001", "7805", marks=pytest.mark.long),
    ],
)
async def test_blind_to_an_extension_that_forwards(
    number: str, target: str, forwards: Any, attacked: Any, log: Any
) -> None:
    running, call = await attacked(number)
    await call.refer(target)
    await call.hangup()
    await until_nothing_is_left(running)
    assert len(log.named("call.answered")) == 1


@pytest.mark.parametrize(("number", "other"), [("7000", "7001"), pytest.param("7001", "7001", marks=pytest.mark.long)])
async def test_two_agents_joined(
    number: str, other: str, sandbox: Any, service: Any, dial: Any, phone: Any, log: Any
) -> None:
    """One phone has two calls with agents, and joins them (an attended transfer)."""
    running = await service(await sandbox())
    attacker = await phone(ATTACKER)
    first, second = [await talking(each, dial, attacker) for each in (number, other)]
    assert await first.refer_attended(second) == 200
    await asyncio.gather(first.hangup(), second.hangup())
    await until_nothing_is_left(running)
    # The end of one call may end the other one before anybody has looked at it.
    assert log.named("call.ended", reason="transferred_away") != []


async def test_two_callers_who_join_their_calls(sandbox: Any, service: Any, dial: Any, phone: Any, log: Any) -> None:
    """Each knows the other one's dialog. (At the very same moment it would block Asterisk 22.10.1 itself.)"""
    running = await service(await sandbox())
    one, other = [await talking("7000", dial, await phone(user)) for user in ("1001", "1002")]
    assert await one.refer_attended(other) == 200
    await asyncio.gather(one.hangup(), other.hangup())
    await until_nothing_is_left(running)


@pytest.mark.parametrize(("number", "other", "application"), [("7001", "600", "Echo"), ("7000", "7100", "Queue")])
async def test_joined_with_something_that_is_no_person(
    number: str,
    other: str,
    application: str,
    asterisk: Any,
    sandbox: Any,
    service: Any,
    dial: Any,
    phone: Any,
    log: Any,
) -> None:
    """The echo; the music of the human queue, in which somebody is registered who does not answer."""
    running = await service(await sandbox())
    attacker = await phone(ATTACKER)
    await phone("1002", register=True)
    first = await talking(number, dial, attacker)
    second = await attacker.dial(other)
    await second.answered(LIMIT_S)
    await until_executing(asterisk, application)
    await first.refer_attended(second)
    await asyncio.gather(first.hangup(), second.hangup())
    await until_nothing_is_left(running)
    await log.wait("call.ended", reason="transferred_away")


@BOTH_WAYS
async def test_the_person_it_was_transferred_to_transfers_it_again(
    number: str, attacked: Any, phone: Any, ear: Any, log: Any
) -> None:
    """A person may have the AI transferred. Then the same holds for that person."""
    person = await phone("1002", register=True)
    running, call = await attacked(number)
    referring = asyncio.ensure_future(call.refer("1002"))
    third = await person.incoming(LIMIT_S)
    await third.answer()
    hearing = ear(third)
    await referring
    await call.hangup()
    await hearing.wait_quiet(2.5)
    assert log.named("call.ended") == [], "a person was there"
    await third.refer("600")
    await third.hangup()
    await until_nothing_is_left(running)
    await log.wait("call.ended", reason="transferred_away")


async def test_a_phone_that_nobody_answers(attacked: Any, phone: Any) -> None:
    """It rings for its 30 s at most, and then the call is over."""
    person = await phone("1002", register=True)
    running, call = await attacked("7000")
    referring = asyncio.ensure_future(call.refer("1002"))
    third = await person.incoming(LIMIT_S)
    await call.hangup()
    await third.reject(486)
    await asyncio.gather(referring, return_exceptions=True)
    await until_nothing_is_left(running)


async def test_a_transfer_counts_as_a_call(
    sandbox: Any, service: Any, dial: Any, phone: Any, log: Any, ends_with_people: Any
) -> None:
    running = await service(await sandbox(), caps={"calls_per_caller_per_hour": 2})
    human = await phone("1002", register=True)
    attacker = await phone(ATTACKER)
    call = await talking("7001", dial, attacker)
    await call.refer("600")
    await call.hangup()
    await until_nothing_is_left(running)
    late = await attacker.dial("7001")
    await ends_with_people(late, human)
    await log.wait("call.ended", result="busy", reason="caller_often")


async def never() -> None:
    """A phone's ``hangup`` that does nothing."""


@pytest.mark.parametrize(("number", "target"), [pytest.param("7000", "600", marks=pytest.mark.long), ("7001", "1002")])
async def test_a_phone_that_does_not_hang_up_after_its_transfer(
    number: str, target: str, attacked: Any, phone: Any
) -> None:
    """Asterisk would keep its channel in Stasis, where nobody counts it."""
    person = await phone("1002", register=True)
    running, call = await attacked(number)
    call.hangup = never
    referring = asyncio.ensure_future(call.refer(target))
    if target == "1002":
        third = await person.incoming(LIMIT_S)
        await third.answer()
        async with asyncio.timeout(LIMIT_S):
            while any(channel.name.startswith(f"PJSIP/{ATTACKER}-") for channel in await running.ari.channels()):
                await asyncio.sleep(0.05)
        assert len(running.calls) == 1, "the agent talks with the person"
        await third.hangup()
    await referring
    await until_nothing_is_left(running)


async def test_phones_that_take_each_others_place_and_do_not_hang_up(
    sandbox: Any, service: Any, dial: Any, phone: Any
) -> None:
    """INVITE with Replaces (RFC 3891), for which a caller needs no right to transfer."""
    running = await service(await sandbox())
    calls = [await talking("7001", dial, await phone())]
    for _ in range(3):
        before = calls[-1]._dialog
        replaces = f"{before.call_id};to-tag={before.remote.tag};from-tag={before.local.tag}"
        call = await (await phone()).dial("7001", headers={"Replaces": replaces})
        await call.answered(LIMIT_S)
        calls.append(call)
    for replaced in calls[:-1]:
        await replaced.ended(LIMIT_S)
    assert len(running.calls) == len(calls[:1])
    await calls[-1].hangup()
    await until_nothing_is_left(running)


async def test_callers_from_outside_may_not_transfer(sandbox: Any, service: Any, dial: Any, phone: Any) -> None:
    """A trunk as it should be set up: ``allow_transfer = no``."""
    await service(await sandbox())
    call = await talking("7001", dial, await phone())
    assert await call.refer("600") >= 400
    await call.hangup()
