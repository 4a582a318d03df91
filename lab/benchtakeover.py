"""Callers whose service is killed (SIGKILL) and started again by its keeper: what they notice."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ariagent.records.store import Store
from ariagent.sandbox.options import SandboxOptions
from ariagent.sandbox.record import SandboxSession
from ariagent.sandbox.server import SandboxServer
from lab import environment, waiting
from lab.asterisk import AsteriskInstance
from lab.benchcalls import AGENT, BenchCall, calls_up, tone
from lab.call_setup import CallState

LIMIT_S = 60.0
"""For what must happen, on a busy machine."""
SETTLED_S = 0.1
"""After the kill: what Asterisk and the network still had of the old service has been heard."""
ASKED_S = 0.9
"""How long callers speak who are asking as the service dies; a third of it before the kill."""
SCENARIO = {
    "rules": [
        {"name": "goodbye", "when": {"digits": "9"}, "then": [{"say": "Goodbye."}, {"call": {"name": "end_call"}}]},
        {"name": "keys", "when": {"digits": "[0-9*#]+"}, "then": [{"say": "You pressed {digits}."}]},
    ],
    "otherwise": [{"say": "The answer."}],
}
OPENING = "Good day."
RESUMED = "was interrupted"
"""Words of the note for the model of a resumed call."""


@dataclass(slots=True)
class Takeover:
    """One kill, the process after it, and what became of the calls. Times: ``time.monotonic()``, s."""

    lines: list[BenchCall]
    heard_at: list[float]
    """When each caller heard the agent first after the kill; inf: never."""
    answered: list[bool]
    """Whether each caller was then answered again."""
    remembered: list[bool]
    """Whether the model of exactly one session was told what each call had said before."""
    sessions: list[SandboxSession]
    """Those that were told that a call is resumed."""
    killed_at: float
    accepting_at: float
    """When the following process said that it takes calls."""
    following: environment.Process
    store: Store

    @property
    def longest_s(self) -> float:
        """From the kill to the last caller's hearing of the agent."""
        return max(self.heard_at) - self.killed_at

    @property
    def lost(self) -> int:
        """Calls that ended, stayed silent, or forgot what had been said."""
        up = [one.call.state is CallState.ANSWERED for one in self.lines]
        return sum(not all(found) for found in zip(up, self.answered, self.remembered, strict=True))


@asynccontextmanager
async def killed(
    asterisk: AsteriskInstance, directory: Path, count: int, *, asking: bool = False, **settings: Any
) -> AsyncIterator[Takeover]:
    """``count`` calls, half to 7000 and half to 7001, whose service is killed; they are up inside the context.

    With ``asking`` all callers speak as it dies; otherwise each has its answer, and the line is quiet. ``settings`` are
    sections of the service's settings.
    """
    directory.mkdir(parents=True, exist_ok=True)
    state, scenario = directory / "takeover-state", directory / "takeover.json"
    shutil.rmtree(state, ignore_errors=True)
    scenario.write_text(json.dumps(SCENARIO))
    options = SandboxOptions(
        scenario=scenario, think_ms=20, transcription_ms=0, detector="energy", recogniser=False, voice="tone"
    )
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(SandboxServer(options))
        agent = {**AGENT, "opening": OPENING, "keypad": {"pause_ms": 400}}
        tree = {
            "realtime": {"url": model.url, "api_key": "bench"},
            "agents": {"default": agent},
            "state_directory": str(state),
            **settings,
        }
        argv = environment.service_argv(environment.write_settings(asterisk, directory, tree, "takeover"))
        kept = await stack.enter_async_context(environment.kept(argv, directory, "takeover"))
        for ready in environment.READY_WITH_QUEUES:
            await kept.starts[0].wait_for(ready)
        lines = [
            *await stack.enter_async_context(calls_up(asterisk, "7000", count // 2)),
            *await stack.enter_async_context(calls_up(asterisk, "7001", count - count // 2)),
        ]
        store = Store(state)
        keys = [f"1{number:02}" for number in range(count)]
        await _converse(lines, keys, store)
        before = len(model.sessions)
        asked = [one.call.play(tone(ASKED_S, hz=500)) for one in lines] if asking else []
        if asking:
            await asyncio.sleep(ASKED_S / 3)
        killed_at = time.monotonic()
        following = await kept.kill()
        heard_at = await asyncio.gather(*(_heard(one, killed_at + SETTLED_S) for one in lines))
        await asyncio.gather(*asked)
        told = [session for session in model.sessions[before:] if any(RESUMED in text for text in session.texts)]
        yield Takeover(
            lines=lines,
            heard_at=heard_at,
            answered=await asyncio.gather(*(_answered(one) for one in lines)),
            remembered=[_remembered(told, pressed) for pressed in keys],
            sessions=told,
            killed_at=killed_at,
            accepting_at=following.logged_at("service.accepting_calls"),
            following=following,
            store=store,
        )


async def _converse(lines: list[BenchCall], keys: list[str], store: Store) -> None:
    """Each caller hears the opening, presses keys of its own and is answered; returns when that is in the records."""
    until = partial(waiting.until, limit_s=LIMIT_S)
    await asyncio.gather(*(one.bell.wait_loud(one.invited_at, LIMIT_S) for one in lines))
    await asyncio.gather(*(one.bell.wait_quiet() for one in lines))
    await asyncio.gather(*(one.call.send_dtmf(pressed) for one, pressed in zip(lines, keys, strict=True)))

    def written() -> bool:
        said = [str(event.fields.get("said")) for row in store.live() for event in store.events(row)]
        return all(f"You pressed {pressed}." in said for pressed in keys)

    await until(written, "the records of what was said")
    await asyncio.gather(*(one.bell.wait_quiet(0.5) for one in lines))


async def _heard(one: BenchCall, after: float) -> float:
    try:
        return await one.bell.wait_loud(after, LIMIT_S)
    except TimeoutError:
        return float("inf")


async def _answered(one: BenchCall) -> bool:
    """Whether a caller is answered as before."""
    if one.call.state is not CallState.ANSWERED:
        return False
    await one.bell.wait_quiet(0.5)
    pressed = time.monotonic()
    await one.call.send_dtmf("5")
    return await _heard(one, pressed) < float("inf")


def _remembered(sessions: list[SandboxSession], pressed: str) -> bool:
    wanted = {OPENING, f"[The caller pressed {pressed} on the keypad.]", f"You pressed {pressed}."}
    return sum(wanted <= set(session.texts) for session in sessions) == 1
