"""Something that every call needs fails, under a burst of callers: its breaker opens, tries, and closes again."""

import asyncio
import dataclasses
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from ariagent.control import localfile
from lab.proxy import Proxy

LIMIT_S = 60.0
CALLERS = 5


async def test_the_first_callers_reach_people_and_the_others_do_not_have_to_try(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, queue_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ariagent.breaker.FIRST_TRIAL_S", 0.3)
    model = await sandbox()
    running = await service(model)
    healthy = model.options
    model.options = dataclasses.replace(healthy, api_keys=("another",))

    async def waiting(calls: int) -> None:
        async with asyncio.timeout(LIMIT_S):
            while len(queue_log.rows("ENTERQUEUE", queue="support")) < calls:
                await asyncio.sleep(0.02)

    phones = [await phone(f"55533{number:02}") for number in range(CALLERS + 1)]
    calls = list(await asyncio.gather(*(one.dial("7000") for one in phones[:CALLERS])))
    refused = await log.wait("call.ended", result="no_model")
    opened = await log.wait("seats.pause_reason_began", reason="model", timeout=LIMIT_S)
    await waiting(CALLERS)
    tried = len(log.named("call.started"))
    # While it is open nobody has to try.
    calls.append(await phones[CALLERS].dial("7000"))
    await waiting(CALLERS + 1)
    assert len(log.named("call.started")) == tried
    # Half-open: the service's own trials, of which one more fails.
    trials = len(log.named("model.unusable"))
    await log.wait("model.unusable", count=trials + 1, timeout=LIMIT_S)
    model.options = healthy
    closed = await log.wait("seats.pause_reason_ended", reason="model", timeout=LIMIT_S)
    async with asyncio.timeout(LIMIT_S):
        while any(seat.paused or seat.state == "unavailable" for seat in running.pool.seats.view()):
            await asyncio.sleep(0.02)
    assert [row for row in queue_log.rows(queue="frontline") if row[3] in ("PAUSE", "UNPAUSE")] == []
    call, hearing = await dial("7000")
    await hearing.utterance()
    print(
        f"\n{CALLERS} callers, {tried} tries of seats; opened {opened.at - refused.at:.2f} s after the first refusal, "
        f"closed {closed.at - opened.at:.2f} s later"
    )
    assert tried <= 3 * CALLERS
    await call.hangup()
    await asyncio.gather(*(one.hangup() for one in calls))
    await log.wait("call.ended", result="done")


# -- the audio's way ---------------------------------------------------------------------------------------------------


class AudioWay:
    """A proxy between Asterisk and the service's audio port that can be broken."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.target = ("127.0.0.1", 0)
        self._stack = AsyncExitStack()
        self._proxy: Proxy | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def mend(self) -> None:
        """Connections get through to ``target``."""
        if self._proxy is None:
            self._proxy = await self._stack.enter_async_context(Proxy(listen=self.port))
        self._proxy.target = self.target
        self._proxy.refusing = False
        if self._proxy.hung:
            self._proxy.go_on()

    async def break_(self, how: str) -> None:
        """``nobody``: nobody listens; ``reset``: somebody, who hangs up; ``mute``: somebody, who says nothing."""
        assert self._proxy is not None
        match how:
            case "nobody":
                await self.close()
            case "reset":
                self._proxy.refusing = True
            case "mute":
                self._proxy.hang()

    async def close(self) -> None:
        self._proxy = None
        await self._stack.aclose()


@pytest.fixture
async def way() -> AsyncIterator[AudioWay]:
    made = AudioWay()
    yield made
    await made.close()


def health(running: Any) -> tuple[int, dict[str, Any], str]:
    """Status and body of ``/healthz``, and the metrics."""

    def ask(path: str) -> tuple[int, str]:
        try:
            access = localfile.read(running.settings.state_directory)
            headers = {"Authorization": f"Bearer {access.token}"}
            asked = urllib.request.Request(f"http://127.0.0.1:{running.http_port}{path}", headers=headers)
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    status, body = ask("/healthz")
    return status, json.loads(body), ask("/metrics")[1]


@pytest.mark.parametrize("how", ["reset", *(pytest.param(how, marks=pytest.mark.chaos) for how in ("nobody", "mute"))])
async def test_callers_whose_audio_cannot_be_connected_are_with_people_at_once(
    how: str,
    sandbox: Any,
    service: Any,
    phone: Any,
    dial: Any,
    log: Any,
    queue_log: Any,
    way: AudioWay,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ariagent.breaker.FIRST_TRIAL_S", 0.3)
    monkeypatch.setattr("ariagent.breaker.LONGEST_TRIAL_S", 1.0)
    running = await service(await sandbox(), audiosocket={"advertise": way.address})
    # At its start nobody listened there, and that was found before the first caller could.
    assert running.audio.open
    assert log.named("audio.unusable")
    way.target = ("127.0.0.1", running.media.port)
    await way.mend()
    await log.wait("audio.usable", timeout=LIMIT_S)
    await resumed(running)
    call, hearing = await dial("7000")
    await hearing.utterance()
    await call.hangup()
    await log.wait("call.ended", result="done")
    assert (await asyncio.to_thread(health, running))[0] == 200

    await way.break_(how)
    began = len(log.named("seats.pause_reason_began", reason="audio"))

    async def waiting(calls: int) -> None:
        async with asyncio.timeout(LIMIT_S):
            while len(queue_log.rows("ENTERQUEUE", queue="support")) < calls:
                await asyncio.sleep(0.02)

    before = len(log.named("call.started"))
    phones = [await phone(f"55534{number:02}") for number in range(CALLERS + 2)]
    dialled = time.monotonic()
    calls = list(await asyncio.gather(*(one.dial("7000") for one in phones[:CALLERS])))
    opened = await log.wait("seats.pause_reason_began", reason="audio", count=began + 1, timeout=LIMIT_S)
    await waiting(CALLERS)
    took_s = time.monotonic() - dialled
    tried = len(log.named("call.started")) - before
    status, told, metrics = await asyncio.to_thread(health, running)
    assert (status, told["status"]) == (503, "unavailable")
    assert told["audio"].startswith("failed: Asterisk")
    assert way.address in told["audio"]
    async with asyncio.timeout(LIMIT_S):  # metrics may be a second old
        while "ariagent_audio_usable 0.0" not in metrics:
            await asyncio.sleep(0.1)
            _, _, metrics = await asyncio.to_thread(health, running)
    # While it is open no caller of a queue has to try.
    async with asyncio.timeout(LIMIT_S):
        while running.device_state.open:
            await asyncio.sleep(0.02)
    closed_s = time.monotonic() - dialled
    calls.append(await phones[CALLERS].dial("7000"))
    await waiting(CALLERS + 1)
    assert len(log.named("call.started")) - before == tried
    # A direct one has: ARI has no other way to send it on.
    direct = time.monotonic()
    calls.append(await phones[CALLERS + 1].dial("7001"))
    await waiting(CALLERS + 2)
    direct_s = time.monotonic() - direct

    usable = len(log.named("audio.usable"))
    await way.mend()
    await log.wait("audio.usable", count=usable + 1, timeout=LIMIT_S)
    await resumed(running)
    call, hearing = await dial("7000")
    await hearing.utterance()
    print(
        f"\n{how}: {CALLERS} callers, {tried} tries of seats; opened {opened.at - dialled:.2f} s after they dialled, "
        f"all with human agents after {took_s:.2f} s, all seats closed after {closed_s:.2f} s; "
        f"a direct one after {direct_s:.2f} s"
    )
    assert tried <= CALLERS
    # 13 seats one after another took a caller 30 s.
    assert took_s < 15
    for ended in log.named("call.ended", reason="media_failed"):
        assert "ariagent check" in ended["cause"]
    await call.hangup()
    await asyncio.gather(*(one.hangup() for one in calls))
    await log.wait("call.ended", result="done", count=2)


async def resumed(running: Any) -> None:
    """Until the seats take calls."""
    async with asyncio.timeout(LIMIT_S):
        while running.audio.open or not running.device_state.open:
            await asyncio.sleep(0.02)


async def test_a_queue_without_a_manager_interface_does_not_try_one_seat_after_another(
    sandbox: Any,
    service: Any,
    phone: Any,
    log: Any,
    queue_log: Any,
    way: AudioWay,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody pauses the seats here: it is the seat itself that sends its caller to human agents."""
    monkeypatch.setattr("ariagent.breaker.FIRST_TRIAL_S", 0.3)
    running = await service(await sandbox(), audiosocket={"advertise": way.address}, ami=None)
    way.target = ("127.0.0.1", running.media.port)
    await way.mend()
    await log.wait("audio.usable", timeout=LIMIT_S)
    await resumed(running)
    await way.break_("nobody")
    call = await (await phone()).dial("7000")
    dialled = time.monotonic()
    async with asyncio.timeout(LIMIT_S):
        while not queue_log.rows("ENTERQUEUE", queue="support"):
            await asyncio.sleep(0.02)
    print(f"\nwith human agents after {time.monotonic() - dialled:.2f} s")
    assert len(log.named("call.started")) == 1
    # From then on the seats' device state sends callers on before they try.
    async with asyncio.timeout(LIMIT_S):
        while running.device_state.open:
            await asyncio.sleep(0.02)
    await call.hangup()
