"""Asterisk's HTTP hangs, its events or its manager interface are lost, it restarts: calls that can continue do so."""

import asyncio
import time
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from ariagent.ari import client
from ariagent.errors import ConfigurationError
from lab.asterisk import AsteriskInstance
from tests.chaos.allowance import allowed_s

LIMIT_S = 60.0
HUNG_S = 30.0
SHORT_HEARTBEAT_S, SHORTLY_HUNG_S = 2.0, 4.0
"""For two calls: the event stream is given up after one and a half heartbeats, too."""
MOST_SILENCE_S = 1.0
"""From a key to the agent's voice, with a model that answers at once."""
COUNTS = pytest.mark.parametrize("calls", [2, pytest.param(10, marks=pytest.mark.chaos)])
AGENT = {"keypad": {"pause_ms": 100}}


async def behind(
    proxy: Any, asterisk: Any, service: Any, model: Any, *, ami: Any = None, realtime: Any = None, **ari: Any
) -> tuple[Any, Any]:
    """A service that reaches ARI through a proxy."""
    between = await proxy()
    between.target = ("127.0.0.1", asterisk.http_port)
    given = {"ami": ami, "realtime": realtime}
    sections = {name: section for name, section in given.items() if section is not None}
    return await service(model, agent=AGENT, asterisk={"url": f"http://{between.address}", **ari}, **sections), between


async def answered(lines: list[Any], key: str) -> float:
    """Everybody presses a key and hears the agent's answer; returns the longest wait in seconds.

    Keys come by ARI's events; where those are missing, see ``spoken``."""
    await asyncio.gather(*(hearing.wait_quiet(0.3) for _, hearing in lines))
    pressed = time.monotonic()
    await asyncio.gather(*(call.send_dtmf(key) for call, _ in lines))
    heard = await asyncio.gather(*(hearing.wait_loud(pressed, LIMIT_S) for _, hearing in lines))
    return float(max(heard) - pressed)


async def spoken(lines: list[Any], sound: Any) -> float:
    """Everybody says something and hears the agent's answer; returns the longest wait in seconds."""
    await asyncio.gather(*(hearing.wait_quiet(0.3) for _, hearing in lines))
    await asyncio.gather(*(call.play(sound.tone(0.4)) for call, _ in lines))
    ends = [hearing.spoke_until() for _, hearing in lines]
    heard = await asyncio.gather(
        *(hearing.wait_loud(end, LIMIT_S) for (_, hearing), end in zip(lines, ends, strict=True))
    )
    return float(max(after - end for after, end in zip(heard, ends, strict=True)))


def excuse(log: Any) -> None:
    """Messages that the check behind each test takes for ariagent's faults, and that are Asterisk's."""
    log.entries[:] = [e for e in log.entries if e.event not in ("call.return_failed", "call.release_failed")]


@COUNTS
async def test_calls_talk_on_while_asterisks_http_hangs(
    calls: int,
    asterisk: Any,
    sandbox: Any,
    service: Any,
    phone: Any,
    dial: Any,
    log: Any,
    proxy: Any,
    sound: Any,
    monkeypatch: pytest.MonkeyPatch,
    talking: Any,
) -> None:
    hung_s = HUNG_S
    if calls == 2:
        hung_s = SHORTLY_HUNG_S
        monkeypatch.setattr(client, "HEARTBEAT_S", SHORT_HEARTBEAT_S)
    _, between = await behind(proxy, asterisk, service, await sandbox())
    lines = await talking(calls + 1)
    (leaving, _), *lines = lines
    between.hang()
    began = time.monotonic()
    await leaving.hangup()
    newcomers = [await (await phone(f"55534{number}")).dial(number) for number in ("7000", "7001")]
    waits: list[float] = []
    while time.monotonic() - began < hung_s:
        waits.append(await spoken(lines, sound))
    gap_ms = max(hearing.longest_gap_ms(began, time.monotonic()) for _, hearing in lines)
    between.go_on()
    went_on = time.monotonic()
    await log.wait("ari.connected", count=2, timeout=LIMIT_S)
    back_s = time.monotonic() - went_on
    # Hang-ups are noticed now. New callers rang until their queue or ariagent sent them to human agents, or to the AI.
    await log.wait("call.ended", timeout=LIMIT_S)
    await asyncio.gather(*(call.answered(LIMIT_S) for call in newcomers))
    assert len(log.named("call.ended")) == 1
    key_s = await answered(lines, "1")
    print(
        f"\nHTTP hung for {hung_s:g} s: {len(lines)} of {calls} talked on, answered within {max(waits):.2f} s, longest "
        f"gap {gap_ms:.0f} ms; events back after {back_s:.1f} s; a key answered within {key_s:.2f} s"
    )
    assert max(waits) <= allowed_s(MOST_SILENCE_S, calls)
    assert gap_ms < 1000 * allowed_s(MOST_SILENCE_S, calls)
    await asyncio.gather(*(call.hangup() for call in newcomers), *(call.hangup() for call, _ in lines))
    await log.wait("call.ended", count=calls + 1, timeout=LIMIT_S)


@pytest.mark.parametrize("late", [True, False])
async def test_an_attempt_to_connect_that_was_given_up_is_no_rival_when_it_is_carried_out(
    late: bool,
    asterisk: Any,
    sandbox: Any,
    service: Any,
    bed: Any,
    log: Any,
    proxy: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "HEARTBEAT_S", 0.5)
    running, between = await behind(proxy, asterisk, service, await sandbox(), request_timeout_s=0.5)
    if late:
        with between.hold("GET /ari/events"):
            between.cut()
            await log.wait("ari.lost", cause="cannot open Asterisk's event stream: timed out")
            await log.wait("ari.connected", count=2)
        # The held request is carried out, although nobody waits for it any longer.
        await log.wait("ari.lost", cause="an earlier connection attempt of ariagent replaced the event stream")
        await log.wait("ari.connected", count=3, timeout=LIMIT_S)
        assert not running.router.replaced.is_set()
        return
    _, writer = await asyncio.open_connection("127.0.0.1", asterisk.http_port)
    credentials = b64encode(f"{asterisk.ari_user}:{asterisk.ari_password}".encode()).decode()
    writer.write(
        "GET /ari/events?app=ariagent HTTP/1.1\r\nHost: asterisk\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Authorization: Basic {credentials}\r\n\r\n".encode()
    )
    writer.close()
    await asyncio.wait_for(running.router.replaced.wait(), LIMIT_S)
    [(_, ended)] = bed.services
    with pytest.raises(ConfigurationError, match="another program took"):
        await ended
    bed.services.clear()


@pytest.mark.chaos
async def test_callers_whom_a_hanging_asterisk_did_not_take_back_reach_people_when_it_does(
    asterisk: Any, sandbox: Any, service: Any, log: Any, proxy: Any, talking: Any
) -> None:
    model, to_model = await sandbox(), await proxy()
    to_model.target = ("127.0.0.1", model.port)
    url = f"ws://{to_model.address}/v1/realtime"
    realtime = {"recover_s": 0.5}
    _, between = await behind(proxy, asterisk, service, url, realtime=realtime, request_timeout_s=0.2)
    lines = await talking(2)
    await asyncio.gather(*(hearing.wait_quiet(0.5) for _, hearing in lines))
    between.hang()
    to_model.target = ("127.0.0.1", 1)  # where nobody listens
    to_model.cut()
    await log.wait("call.ended", count=2, reason="model_lost", timeout=LIMIT_S)
    stuck = log.named("call.return_failed")
    between.go_on()
    went_on = time.monotonic()
    # The human queue plays music.
    heard = await asyncio.gather(*(hearing.wait_loud(went_on, LIMIT_S) for _, hearing in lines))
    print(f"\nwith human agents {max(heard) - went_on:.1f} s after Asterisk answered again")
    assert len(stuck) == 2
    await asyncio.gather(*(call.hangup() for call, _ in lines))
    excuse(log)


async def seats_back(running: Any) -> None:
    """Wait until callers are sent to seats again."""
    async with asyncio.timeout(LIMIT_S):
        while running.pool.seats.reasons or not running.device_state.open:
            await asyncio.sleep(0.05)
        while any(seat.paused or seat.state == "unavailable" for seat in running.pool.seats.view()):
            await asyncio.sleep(0.05)


@COUNTS
async def test_calls_go_on_while_events_and_the_manager_interface_are_lost(
    calls: int, asterisk: Any, sandbox: Any, service: Any, log: Any, proxy: Any, sound: Any, talking: Any
) -> None:
    to_ami = await proxy()
    to_ami.target = ("127.0.0.1", asterisk.ami_port)
    ami = {"host": "127.0.0.1", "port": to_ami.port}
    running, between = await behind(proxy, asterisk, service, await sandbox(), ami=ami)
    lines = await talking(calls)
    for each in (between, to_ami):
        each.cut(refuse=True)
    await log.wait("ari.lost")
    await log.wait("ami.lost")
    waits = [await spoken(lines, sound) for _ in range(3)]
    between.refusing = to_ami.refusing = False
    await log.wait("ari.connected", count=2, timeout=LIMIT_S)
    await log.wait("pool.ready", count=2, timeout=LIMIT_S)
    waits.append(await answered(lines, "1"))
    assert max(waits) <= allowed_s(MOST_SILENCE_S, calls)
    assert len(running.calls) == calls
    # Idle seats take calls as before, and nobody is served twice.
    await asyncio.wait_for(running.pool.settled.wait(), LIMIT_S)
    await seats_back(running)
    assert len(log.named("call.started")) == calls
    assert log.named("orphan_call.found") == []
    print(f"\nARI and AMI cut: {calls} of {calls} continued, answered within {max(waits):.2f} s")
    await asyncio.gather(*(call.hangup() for call, _ in lines))
    await log.wait("call.ended", count=calls, result="done", timeout=LIMIT_S)


@COUNTS
async def test_an_asterisk_that_restarts_gets_its_seats_back(
    calls: int, asterisk: Any, bed: Any, sandbox: Any, service: Any, log: Any, proxy: Any, tmp_path: Path, talking: Any
) -> None:
    own = AsteriskInstance(asterisk.program, tmp_path / "own")
    await own.start()
    try:
        bed.asterisk = own
        to_ami = await proxy()
        to_ami.target = ("127.0.0.1", own.ami_port)
        ami = {**own.ami, "host": "127.0.0.1", "port": to_ami.port}
        user = {"user": own.ari_user, "password": own.ari_password, "request_timeout_s": 2.0}
        running, between = await behind(proxy, own, service, await sandbox(), ami=ami, **user)
        lines = await talking(calls)
        await own.stop()
        for n in range(1, calls + 1):
            await log.wait("call.ended", count=n, timeout=LIMIT_S)
        assert len(running.calls) == 0
        await asyncio.gather(*(call.hangup() for call, _ in lines))
        await own.start()
        began = time.monotonic()
        between.target, to_ami.target = ("127.0.0.1", own.http_port), ("127.0.0.1", own.ami_port)
        await log.wait("ari.connected", count=2, timeout=LIMIT_S)
        await log.wait("pool.ready", count=2, timeout=LIMIT_S)
        await seats_back(running)
        print(f"\nAsterisk restarted: {calls} of {calls} ended once, seats back {time.monotonic() - began:.1f} s later")
        again = await talking(calls)
        await asyncio.gather(*(call.hangup() for call, _ in again))
        await log.wait("call.ended", count=2 * calls, timeout=LIMIT_S)
        await bed.nothing_left()
        excuse(log)
    finally:
        bed.asterisk = asterisk
        await own.stop()
