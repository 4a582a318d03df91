"""Callers whose numbers look like messages of the manager interface: other calls, counts and lists stay right."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

import pytest

from ariagent.ami.client import AmiClient
from ariagent.config import AmiSettings
from ariagent.rescue.stranded import stranded
from lab.call_setup import CallState
from tests.ami.test_forged import LONGEST_NUMBER

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
RAW_AI, RAW_HUMAN_AGENTS = "7801", "7802"
"""Extensions of a site that sends callers to the queues without the contexts of ours, which make numbers clean."""
AGENT = {"transcription": None}


@pytest.fixture
async def raw(asterisk: Any) -> AsyncIterator[None]:
    await asterisk.cli(f"dialplan add extension {RAW_AI},1,Queue,frontline into ariagent-internal")
    await asterisk.cli(f"dialplan add extension {RAW_HUMAN_AGENTS},1,Queue,support into ariagent-internal")
    yield
    for extension in (RAW_AI, RAW_HUMAN_AGENTS):
        await asterisk.cli(f"dialplan remove extension {extension}@ariagent-internal")


def forged(call: str) -> list[str]:
    """Numbers that are aimed at this call."""
    numbers = [
        f"\n\nEvent:UserEvent\nUserEvent:AriagentSupervisor\nDo:take\nCall:{call}\nTo:1",
        f"\r\nUserEvent: AriagentSupervisor\r\nDo: take\r\nCall: {call}\r\nTo: 1",
        f"\n\nEvent:UserEvent\nUserEvent:AriagentSupervisor\nDo:barge\nCall:{call}",
        "\n\nEvent: QueueMemberRemoved\nPrivilege: agent,all\nQueue: frontline\nInterface: x",
        "555\r\nQueue: support\r\nUniqueid: 1.1\r\nLinkedid: 1.1",
        "EventList:Complete\nActionID:ariagent-3",
        "\n\nEvent: QueueStatusComplete\nActionID: ariagent-3\nEventList: Complete",
        "\n\nResponse: Error\nActionID: ariagent-3\nMessage: x",
        "\n" * 30,
    ]
    # The id grows with the channels that this Asterisk has had.
    fitting = [number for number in numbers if len(number) <= LONGEST_NUMBER]
    assert len(fitting) >= len(numbers) - 1
    return fitting


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.02)


async def listed(asterisk: Any, action: str) -> list[dict[str, str]]:
    """The entries of a list, over a connection of its own as rescue does."""
    async with AmiClient(AmiSettings.model_validate(asterisk.ami)).session() as client:
        return await client.action_list(action)


@pytest.mark.parametrize("number", ["7000", RAW_AI])
async def test_another_call_goes_on_and_every_caller_is_counted(
    number: str, raw: None, sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, asterisk: Any
) -> None:
    running = await service(await sandbox(), agent=AGENT)
    victim, hearing = await dial("7001")
    await hearing.utterance()
    call_id = log.named("call.started")[0]["call"]
    for place, user in enumerate(forged(call_id), start=2):
        attacker, _ = await dial(number, await phone(quote(user, safe="")))
        await log.wait("call.started", count=place)
        found = stranded(await listed(asterisk, "Status"), "ariagent")
        assert {who.call_id for who in found} == {entry["call"] for entry in log.named("call.started")[:1]} | {
            log.named("call.started")[-1]["call"]
        }, repr(user)
        await until(lambda: sum(seat.busy for seat in running.pool.seats.view()) == 1)
        await attacker.hangup()
        await log.wait("call.ended", count=place - 1)
        await until(lambda: not any(seat.busy for seat in running.pool.seats.view()))
    assert [entry.fields for entry in log.named("ami.malformed")] == []
    assert log.named("call.transfer_ordered") == log.named("call.supervised") == []
    assert victim.state is CallState.ANSWERED
    at = time.monotonic()
    await victim.send_dtmf("1")
    await hearing.wait_loud(at)
    await victim.hangup()


@pytest.mark.parametrize("number", ["7100", RAW_HUMAN_AGENTS])
async def test_who_waits_is_counted_also_after_the_list_was_read_again(
    number: str, raw: None, sandbox: Any, service: Any, phone: Any, dial: Any, asterisk: Any
) -> None:
    running = await service(await sandbox(), agent=AGENT)
    calls = []
    for place, user in enumerate(forged("1795950548.204"), start=1):
        calls.append(await (await phone(quote(user, safe=""))).dial(number))
        await until(lambda n=place: (view := running.pool.view("support")) and view.waiting == n)
    await running.ami.action_list("QueueStatus")
    assert running.pool.view("support").waiting == len(calls)
    assert running.pool.view("support").working == running.pool.view("support").logged_in
    for left in reversed(range(len(calls))):
        await calls[left].hangup()
        await until(lambda n=left: running.pool.view("support").waiting == n)
    assert running.ami.malformed == 0


async def test_numbers_are_clean_for_everything_behind_our_contexts(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, queue_log: Any
) -> None:
    await service(await sandbox(), agent=AGENT)
    numbers = {
        "555\r\nInjected: yes\r\n\r\nEvent: UserEvent": "555InjectedyesEventUserEvent",
        "+49 (30) 12-34": "+493012-34",
        "jo.smith_2": "jo.smith_2",
        "a|b,c;d": "abc",
        '"; x': "",
    }
    for place, (user, clean) in enumerate(numbers.items(), start=1):
        call, _ = await dial("7000", await phone(quote(user, safe="")))
        started = await log.wait("call.started", count=place)
        assert started["caller"] == (clean or "-")
        ((_, _, _, _, _, logged, *_),) = queue_log.rows("ENTERQUEUE", call=started["call"])
        assert logged == clean
        await call.hangup()
        await log.wait("call.ended", count=place)


async def test_a_program_that_may_send_user_events_is_no_supervisors_phone(
    sandbox: Any, service: Any, dial: Any, log: Any, asterisk: Any
) -> None:
    """Without a channel an event is nobody's phone; with the words of one it lacks the key."""
    await service(await sandbox(), agent=AGENT)
    call, hearing = await dial("7000")
    await hearing.utterance()
    call_id = log.named("call.started")[0]["call"]
    async with AmiClient(AmiSettings.model_validate(asterisk.ami)).session() as client:
        own = {"Channel": "PJSIP/1004-00000001", "Uniqueid": "1.1", "Linkedid": "1.1"}
        await client.action("UserEvent", UserEvent="AriagentSupervisor", Do="take", To="1", Call=call_id, **own)
        await client.action("Ping")
    command = f"UserEvent(AriagentSupervisor,Do: take,To: 1,Call: {call_id},Key: {'0' * 32})"
    name, _, data = command.removesuffix(")").partition("(")
    await asterisk.cli(f'channel originate Local/600@ariagent-internal application {name} "{data}"')
    refused = await log.wait("supervisor.wrong_key", do="take")
    assert "ariagent install" in refused["remedy"]
    assert log.named("call.transfer_ordered") == []
    assert call.state is CallState.ANSWERED
    await asterisk.cli("channel request hangup Local/600")
    await call.hangup()
