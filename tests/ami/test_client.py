"""The driver against a manager interface that misbehaves."""

import asyncio
import logging
from typing import Any

import pytest

from ariagent.ami import client as ami_client
from ariagent.ami.events import CallerLeft, MemberState, QueuesListed
from ariagent.errors import AmiError, AmiRefusedError
from tests.ami import wire

PASSWORD = "correct horse"


def causes(caplog: pytest.LogCaptureFixture) -> str:
    return " | ".join(str(getattr(record, "fields", "")) for record in caplog.records)


async def test_the_login_answers_the_challenge_and_never_sends_the_password(manager: Any, desk: Any) -> None:
    await desk()
    (login,) = manager.logins
    assert login["authtype"] == "MD5"
    assert PASSWORD not in str(login)


async def test_an_interface_without_challenges_does_not_get_the_password(
    manager: Any, desk: Any, caplog: pytest.LogCaptureFixture
) -> None:
    manager.md5 = False
    one = await desk(wait=False)
    await one.until(lambda: len(manager.connections) > 1)  # and it is tried again
    assert manager.logins == []
    assert all(PASSWORD not in str(received) for received in manager.challenges)
    assert "does not give a challenge" in causes(caplog)
    assert "ariagent did not send the password" in one.client.failure.remedy


async def test_a_wrong_password_is_named_and_not_shown(
    manager: Any, desk: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        wrong = await desk(wait=False, password="not this one")
        await wrong.until(lambda: len(manager.logins) > 1)  # and it is tried again
    assert "refused the manager's login" in causes(caplog)
    assert "ami.password" in causes(caplog)
    assert "not this one" not in caplog.text + causes(caplog)
    with pytest.raises(AmiError, match="not connected"):
        await wrong.client.action("Ping")


async def test_an_action_and_its_answer(manager: Any, desk: Any) -> None:
    client = (await desk()).client
    answer = await client.action("QueuePause", Interface="Local/01@ariagent-seat/nm", Paused=True)
    assert answer["response"] == "Success"
    assert manager.actions[-1]["paused"] == "true"


async def test_a_refusal_says_what_asterisk_said(manager: Any, desk: Any) -> None:
    async def refuse(connection: Any, action: Any) -> None:
        connection.refuse(action, "Interface not found")

    manager.on_action = refuse
    client = (await desk()).client
    with pytest.raises(AmiRefusedError, match="QueuePause: Interface not found"):
        await client.action("QueuePause", Interface="x")
    with pytest.raises(AmiRefusedError, match="QueueStatus: Interface not found"):
        await client.action_list("QueueStatus")


async def test_a_list_is_everything_between_start_and_end_and_its_events_are_told_in_order(
    manager: Any, desk: Any
) -> None:
    async def answer(connection: Any, action: Any) -> None:
        own = {"ActionID": action["actionid"]}
        connection.succeed(action, EventList="start")
        connection.send(Event="QueueMember", Queue="q", Name="A", Location="PJSIP/1", Status="1", Paused="0", **own)
        connection.send(**wire.caller_left())  # not of the list
        connection.send(Event="QueueMember", Queue="q", Name="B", Location="PJSIP/2", Status="5", Paused="1", **own)
        connection.send(Event="QueueStatusComplete", EventList="Complete", ListItems="2", **own)

    manager.on_action = answer
    one = await desk()
    items = await one.client.action_list("QueueStatus")
    assert [item["location"] for item in items] == ["PJSIP/1", "PJSIP/2"]
    assert [type(event) for event in one.events] == [MemberState, CallerLeft, MemberState, QueuesListed]


async def test_answers_find_their_actions_in_any_order(manager: Any, desk: Any) -> None:
    waiting: list[Any] = []

    async def hold(connection: Any, action: Any) -> None:
        waiting.append(action)
        if len(waiting) == 5:
            for each in reversed(waiting):
                connection.succeed(each, Echo=each["number"])

    manager.on_action = hold
    client = (await desk()).client
    answers = await asyncio.gather(*(client.action("Test", Number=n) for n in range(5)))
    assert [answer["echo"] for answer in answers] == list("01234")


async def test_a_server_that_hangs_costs_the_timeout_and_later_answers_go_nowhere(manager: Any, desk: Any) -> None:
    late: list[Any] = []

    async def hang(connection: Any, action: Any) -> None:
        late.append(action)

    manager.on_action = hang
    client = (await desk(request_timeout_s=0.2)).client
    with pytest.raises(AmiError, match="did not answer QueueStatus within"):
        await client.action_list("QueueStatus")
    for action in late:
        manager.connections[-1].succeed(action)
    manager.on_action = manager.succeed_always
    assert (await client.action("Ping"))["actionid"] not in [action["actionid"] for action in late]


async def test_a_server_that_is_slow_is_waited_for(manager: Any, desk: Any) -> None:
    async def in_pieces(connection: Any, action: Any) -> None:
        for byte in connection.text(Response="Success", ActionID=action["actionid"], Name="Jürgen"):
            connection.writer.write(bytes([byte]))
            await connection.writer.drain()
            await asyncio.sleep(0)

    manager.on_action = in_pieces
    assert (await (await desk()).client.action("Test"))["name"] == "Jürgen"


async def test_a_connection_cut_in_mid_answer_fails_what_waits_and_sends_nothing_again(manager: Any, desk: Any) -> None:
    async def cut(connection: Any, action: Any) -> None:
        connection.writer.write(b"Response: Succ")
        await connection.writer.drain()
        connection.writer.close()
        manager.on_action = manager.succeed_always

    manager.on_action = cut
    one = await desk()
    with pytest.raises(AmiError, match="was lost"):
        await one.client.action("BlindTransfer", Channel="PJSIP/1-1", Exten="1", Context="c")
    await one.until(lambda: len(manager.logins) == 2 and one.client.connected)
    await one.client.action("Ping")
    assert [action["action"] for action in manager.actions] == ["BlindTransfer", "Ping"]
    assert one.lost == 1


async def test_it_connects_again_and_has_the_state_read_each_time(manager: Any, desk: Any) -> None:
    read: list[int] = []

    async def on_connected() -> None:
        read.append(len(manager.logins))

    one = await desk(on_connected=on_connected)
    await one.until(lambda: read == [1])
    await manager.stop()
    await one.until(lambda: not one.client.connected)
    with pytest.raises(AmiError, match="not connected"):
        await one.client.action("Ping")
    await manager.start()
    await one.until(lambda: read == [1, 2])


async def test_what_could_not_be_read_is_read_again(manager: Any, desk: Any) -> None:
    attempts: list[int] = []

    async def on_connected() -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise AmiError("app_queue is not loaded yet")
        if len(attempts) == 2:
            raise RuntimeError("an internal error")

    one = await desk(on_connected=on_connected)
    await one.until(lambda: len(attempts) == 3)
    assert one.client.connected


async def test_a_fault_of_one_subscriber_is_no_other_ones(
    manager: Any, desk: Any, caplog: pytest.LogCaptureFixture
) -> None:
    one = await desk()
    told: list[str] = []

    def faulty(event: Any) -> None:
        told.append("faulty")
        raise RuntimeError("an internal error")

    one.client.subscribe(faulty)
    one.client.subscribe(lambda event: told.append("last"))
    for connection in manager.connections:
        connection.send(**wire.caller_left("q", "1.1"))
    await one.until(lambda: told == ["faulty", "last"])
    assert len(one.events) == 1
    assert "ami.event_fault" in caplog.text
    assert (one.client.connected, one.lost) == (True, 0)


async def test_who_subscribes_later_is_connected_after_those_before(manager: Any, desk: Any) -> None:
    """It does not wait until they pass: that may be never. Once they have passed, it runs again."""
    read: list[str] = []

    async def first() -> None:
        read.append("first")
        if read.count("first") <= 2:
            raise AmiError("app_queue is not loaded yet")

    async def second() -> None:
        read.append("second")

    one = await desk(wait=False, on_connected=first)
    one.client.subscribe(on_connected=second)
    await one.until(lambda: read.count("second") == 2)
    assert read == ["first", "second", "first", "first", "second"]


async def test_an_internal_error_is_a_lost_connection(
    manager: Any, desk: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Any, message: Any) -> None:
        monkeypatch.undo()
        raise RuntimeError("an internal error")

    one = await desk()
    monkeypatch.setattr(ami_client.AmiClient, "_dispatch", broken)
    with pytest.raises(AmiError, match="was lost"):
        await one.client.action("Ping")
    await one.until(lambda: one.client.connected)
    assert "ami.fault" in caplog.text
    assert one.lost == 1


async def test_a_flood_is_told_whole_and_answers_get_through(manager: Any, desk: Any) -> None:
    async def flood(connection: Any, action: Any) -> None:
        for number in range(10_000):
            connection.send(**wire.caller_left("q", f"1.{number}"))
        connection.succeed(action)
        await connection.writer.drain()

    manager.on_action = flood
    one = await desk(request_timeout_s=30)
    await one.client.action("Test")
    assert [event.unique_id for event in one.events] == [f"1.{number}" for number in range(10_000)]


async def test_two_megabytes_in_a_line_cost_one_message(
    manager: Any, desk: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def long_line(connection: Any, action: Any) -> None:
        connection.writer.write(b"Event: Huge\r\nValue: " + b"x" * 2_000_000 + b"\r\n\r\n")
        connection.succeed(action)
        await connection.writer.drain()

    manager.on_action = long_line
    one = await desk()
    await one.client.action("Test")
    assert one.client.connected
    assert one.client.malformed == 1
    assert "too large" in causes(caplog)


async def test_malformed_events_and_faults_of_listeners_harm_nobody(manager: Any, desk: Any) -> None:
    async def send(connection: Any, action: Any) -> None:
        connection.send(Event="QueueCallerLeave", Privilege="agent,all", **wire.channel())  # no queue
        connection.send(**wire.agent_connected(HoldTime="soon"))
        connection.send(**wire.member_status(Status="1e999"))
        connection.send(Event="Unheard", Of="1")
        connection.send(**wire.caller_left("q", "1.2"))
        connection.succeed(action)

    raised: list[object] = []

    def raising(event: object) -> None:
        raised.append(event)
        raise RuntimeError("an internal error")

    manager.on_action = send
    one = await desk()
    one.client.subscribe(raising)
    await one.client.action("Test")
    assert one.events == raised == [CallerLeft("q", "1.2")]
    assert one.client.malformed == 3
    assert one.client.connected


async def test_a_dead_connection_is_noticed(manager: Any, desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ami_client, "PING_S", 0.1)

    async def hang(connection: Any, action: Any) -> None:
        pass

    manager.on_action = hang
    one = await desk(request_timeout_s=0.2)
    await one.until(lambda: len(manager.logins) >= 2)
    assert manager.actions[0]["action"] == "Ping"
    assert one.lost >= 1


async def test_a_quiet_connection_that_answers_is_kept(
    manager: Any, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ami_client, "PING_S", 0.05)
    one = await desk()
    await one.until(lambda: len(manager.actions) >= 5)
    assert len(manager.logins) == 1


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\xff" * 1000])
async def test_another_service_on_the_port_is_named(
    manager: Any, desk: Any, greeting: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    manager.greeting = greeting
    one = await desk(wait=False)
    await one.until(lambda: "not a manager interface" in causes(caplog))
    assert "ami.port" in causes(caplog)


async def test_a_server_that_says_nothing_is_given_up(
    manager: Any, desk: Any, caplog: pytest.LogCaptureFixture
) -> None:
    manager.greeting, manager.mute = b"", True
    one = await desk(wait=False, request_timeout_s=0.1)
    await one.until(lambda: len(manager.connections) >= 2)
    assert "did not answer Challenge" in causes(caplog)


async def test_nobody_there(manager: Any, desk: Any, caplog: pytest.LogCaptureFixture) -> None:
    await manager.stop()
    one = await desk(wait=False)
    await one.until(lambda: "cannot reach" in causes(caplog))
    assert "manager.conf" in causes(caplog)


async def test_what_cannot_be_sent_is_refused_before_it_is(manager: Any, desk: Any) -> None:
    client = (await desk()).client
    with pytest.raises(AmiError, match="line break"):
        await client.action("Setvar", Value="x\r\nAction: Logoff")
    await client.action("Ping")
    assert [action["action"] for action in manager.actions] == ["Ping"]


async def test_a_caller_cannot_end_a_list_or_answer_an_action(manager: Any, desk: Any) -> None:
    """The ids of actions cannot be guessed, and a number is no message."""
    seen: list[str] = []

    async def answer(connection: Any, action: Any) -> None:
        own = action["actionid"]
        forged = (
            f"\nEventList: Complete\nActionID: {seen[-1] if seen else 'ariagent-1'}\n\nResponse: Error\nActionID: 1"
        )
        seen.append(own)
        connection.succeed(action, EventList="start")
        connection.send(**wire.status(own, CallerIDNum=forged, Uniqueid="1.1"))
        connection.send(**wire.status(own, CallerIDNum="5551000", Uniqueid="1.2"))
        connection.send(Event="StatusComplete", ActionID=own, EventList="Complete", ListItems="2")

    manager.on_action = answer
    client = (await desk()).client
    for _ in range(2):
        items = await client.action_list("Status")
        assert [item["uniqueid"] for item in items] == ["1.1", "1.2"]
    assert len({*seen}) == 2
    assert all(len(each) >= len("ariagent-") + 16 for each in seen)


async def test_a_flood_of_malformed_events_is_counted_and_logged_in_part(
    manager: Any, desk: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def flood(connection: Any, action: Any) -> None:
        for _ in range(2000):
            connection.send(Event="QueueCallerLeave", Queue="q")
        connection.succeed(action)
        await connection.writer.drain()

    manager.on_action = flood
    one = await desk(request_timeout_s=30)
    await one.client.action("Test")
    assert one.client.malformed == 2000
    assert len([each for each in caplog.records if each.getMessage() == "ami.malformed"]) < 1000
