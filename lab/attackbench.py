"""The effect of hostile programs, and of a hostile model's server, on a call beside them: its audio, memory, log.

Two calls. One is ordinary: its phone is in this process, its packets' arrival times are judged, first in a calm window,
then while the attack continues. The attack comes from the model's server of the other call, or from another program;
each is a process of its own at the lowest priority.
"""

import asyncio
import itertools
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ariagent.errors import AriagentError
from lab import attackers, environment
from lab.asterisk import AsteriskInstance
from lab.benchcalls import AGENT, calls_up
from lab.call import Call
from lab.call_setup import CallState
from lab.phone import Phone
from lab.processes import lab_command
from lab.rtp import RtpPacket

CALM_S = 4.0
STORM_S = 4.0
SETTLE_S = 0.5
"""Seconds from an answer to the window: what a call begins with is no part of it."""
EVIL_EXTENSION = "698"
"""Dialled by the call whose model is hostile."""


@dataclass(frozen=True, slots=True)
class Harm:
    """The damage that one kind of attack did."""

    kind: str
    calm_gap_ms: float
    """The longest time between two packets at the phone of the ordinary call, before the attack."""
    gap_ms: float
    """The longest gap during the attack, in ms."""
    packets: int
    """Packets that came during the attack, of ``expected``."""
    expected: int
    memory_mb: float
    """The service's resident memory after the attack, less that before."""
    log_mb: float
    detail: dict[str, Any]

    @property
    def extra_gap_ms(self) -> float:
        return self.gap_ms - self.calm_gap_ms


class Ear:
    """The arrival times of a call's packets."""

    def __init__(self, call: Call) -> None:
        self._arrivals: list[float] = []
        call.on_packet = self._on_packet

    def _on_packet(self, packet: RtpPacket) -> None:
        self._arrivals.append(packet.arrival)

    def longest_gap_ms(self, since: float, until: float) -> float:
        """The longest time without a packet between these times, their ends among it."""
        inside = [since, *(at for at in self._arrivals if since < at < until), until]
        return max(1000 * (b - a) for a, b in itertools.pairwise(inside))

    def count(self, since: float, until: float) -> int:
        return sum(since < at < until for at in self._arrivals)


@dataclass(slots=True)
class Target:
    """A service and an ordinary call on it."""

    service: environment.Process
    ports: dict[attackers.Port, int]
    ear: Ear
    call: Call

    @property
    def log_bytes(self) -> int:
        return self.service.log_path.stat().st_size


@asynccontextmanager
async def target(asterisk: AsteriskInstance, directory: Path, realtime_url: str) -> AsyncIterator[Target]:
    """A service of its own, with an ordinary call that lasts as long as the context."""
    ports: dict[attackers.Port, int] = {"media": _free_port(), "http": _free_port(), "control": _free_port()}
    settings = {
        "realtime": {"url": realtime_url, "api_key": "bench"},
        "agents": {"default": {**AGENT, "opening": "Good day."}, "evil": {**AGENT, "opening": "Good day."}},
        "audiosocket": {"port": ports["media"]},
        "http": {"port": ports["http"]},
        "control": {"port": ports["control"]},
    }
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(environment.service(asterisk, directory, settings))
        [one] = await stack.enter_async_context(calls_up(asterisk, "7001", 1))
        ear = Ear(one.call)
        await asyncio.sleep(SETTLE_S)
        yield Target(service, ports, ear, one.call)


async def besieged(asterisk: AsteriskInstance, directory: Path, kinds: list[str]) -> AsyncIterator[Harm]:
    """One service, attacked on its ports in each of these ways, one after another."""
    async with environment.sandbox(directory, *_SANDBOX) as (_, url), target(asterisk, directory, url) as aim:
        for name in kinds:
            kind = attackers.KINDS[name]
            argv = lab_command("attackers", name, str(aim.ports[kind.port]))
            yield await _measure(aim, name, partial(_attacker, argv))


async def _attacker(argv: list[str]) -> dict[str, int]:
    """Run the attack; what it saw."""
    child = await asyncio.create_subprocess_exec(*argv, "--seconds", str(STORM_S), stdout=asyncio.subprocess.PIPE)
    try:
        out, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
    seen: dict[str, int] = json.loads(out)
    return seen


async def betrayed(asterisk: AsteriskInstance, directory: Path, kind: str) -> Harm:
    """A fresh service whose second call has a hostile model's server of this kind."""
    line = f"{EVIL_EXTENSION},1,Stasis(ariagent,evil)"
    await asterisk.cli(f'dialplan add extension "{line}" into ariagent-internal replace')
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        _, honest = await enter(environment.sandbox(directory, *_SANDBOX))
        hostile = await enter(environment.process(lab_command("hostilemodel", kind), directory / "hostile.log"))
        evil = await hostile.wait_for("ws://")
        ports = [str(urlsplit(url).port) for url in (honest, evil)]
        switch = await enter(environment.process(lab_command("switch", *ports), directory / "switch.log"))
        port = (await switch.wait_for("switch listening on ")).rpartition(" ")[2]
        aim = await enter(target(asterisk, directory, f"ws://127.0.0.1:{port}{urlsplit(honest).path}"))
        os.kill(switch.pid, signal.SIGUSR1)

        async def storm() -> dict[str, Any]:
            async with Phone((asterisk.sip_host, asterisk.sip_port), user="5556666") as phone:
                call = await phone.dial(EVIL_EXTENSION)
                try:
                    end = await call.ended(STORM_S)
                except TimeoutError:
                    await call.hangup()
                    return {"hung_up_by": "its caller"}
            return {"hung_up_by": f"ariagent, {end}"}

        return await _measure(aim, kind, storm)


async def _measure(aim: Target, kind: str, storm: Any) -> Harm:
    """The calm window, then the storm."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.sleep(CALM_S)
    calm_ms = aim.ear.longest_gap_ms(began, loop.time())
    memory_mb, log_bytes = aim.service.rss_mb(), aim.log_bytes
    began = loop.time()
    detail = await storm()
    ended = loop.time()
    if not aim.service.running or aim.call.state is CallState.ENDED:
        raise AriagentError(f"attack {kind}: the service or the ordinary call ended:\n{aim.service.log[-2000:]}")
    return Harm(
        kind,
        calm_ms,
        aim.ear.longest_gap_ms(began, ended),
        aim.ear.count(began, ended),
        round((ended - began) / 0.02),
        aim.service.rss_mb() - memory_mb,
        (aim.log_bytes - log_bytes) / 1e6,
        detail,
    )


_SANDBOX = ("--detector", "none", "--no-recogniser", "--think-ms", "0", "--voice", "tone")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
