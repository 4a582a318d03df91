"""``ariagent check``: runs the checks one after another and prints each result as soon as it is known."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import typer

from ariagent import __version__, config
from ariagent.check import ari
from ariagent.check.asterisk import check_asterisk
from ariagent.check.audio import NAME as AUDIO
from ariagent.check.audio import check_audio
from ariagent.check.machine import check_machine
from ariagent.check.manager import check_manager
from ariagent.check.model import check_model
from ariagent.check.report import Report, Result, Say, failed, skipped
from ariagent.check.setup import check_settings
from ariagent.check.talk import check_talk
from ariagent.check.tools import check_tools
from ariagent.config import Settings
from ariagent.loop import run_async

log = logging.getLogger(__name__)

ASTERISK_LIMIT_S = 120.0
MANAGER_LIMIT_S = 60.0
MODEL_LIMIT_S = 60.0
"""For each agent."""
TOOL_LIMIT_S = 30.0
"""For each tool."""
TALK_LIMIT_S = 180.0
TERMINATED = 143
"""Exit code after SIGTERM, as a shell has it."""


def check(path: Path | None, *, as_json: bool = False, talk: bool = False) -> int:
    """Check everything and print it; returns the exit code. Raises ConfigurationError for settings that do not load."""
    settings = config.load(path)
    source = str(path or config.DEFAULT_PATH)
    report = Report()

    def say(result: Result) -> None:
        report.add(result)
        if not as_json:
            typer.echo(result.line)

    # What the parts log is in their results; on a terminal it would stand between the lines.
    logging.getLogger("ariagent").setLevel(logging.ERROR)
    if not run_async(_until_terminated(run_checks(settings, source, say, talk=talk))):
        return TERMINATED
    if as_json:
        typer.echo(report.json(ariagent=__version__, settings=source))
    else:
        typer.echo(report.summary)
    return report.exit_code


async def _until_terminated(work: Coroutine[Any, Any, None]) -> bool:
    """SIGTERM ends it as Ctrl-C does: what was made in Asterisk is given back first; returns False then."""
    terminated = False
    checking = asyncio.ensure_future(work)

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        checking.cancel()

    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
    try:
        await checking
    except asyncio.CancelledError:
        if not terminated:
            raise
    return not terminated


async def run_checks(settings: Settings, source: str, say: Say, *, talk: bool = False) -> None:
    """All checks, each bounded in time. Nothing is left in Asterisk, also when this is cancelled."""
    for result in (*check_settings(settings, source), *check_machine(settings)):
        say(result)
    await _bounded("asterisk", ASTERISK_LIMIT_S, say, lambda: _asterisk(settings, say))
    await _bounded("manager", MANAGER_LIMIT_S, say, lambda: check_manager(settings, say))
    limit_s = MODEL_LIMIT_S * (1 + len(settings.agents))
    usable = await _bounded("model", limit_s, say, lambda: check_model(settings, say))
    requests = 1 + len(settings.tools) + len(settings.agents)
    await _bounded("tools", TOOL_LIMIT_S * requests, say, lambda: check_tools(settings, say))
    if talk and usable:
        await _bounded("talk", TALK_LIMIT_S, say, lambda: check_talk(settings, say))
    elif talk:
        say(skipped("talk", "a model that every agent can use"))


async def _asterisk(settings: Settings, say: Say) -> bool:
    async with ari.probe(settings.asterisk) as probe:
        version = await check_asterisk(settings, probe, say)
        if version is None:
            for name in (AUDIO, *(["queues"] if settings.ami is None else [])):
                say(skipped(name, "an Asterisk with ARI and its modules"))
            return False
        await check_audio(settings, probe, version, say)
        return True


async def _bounded(name: str, limit_s: float, say: Say, work: Callable[[], Awaitable[bool | None]]) -> bool:
    try:
        async with asyncio.timeout(limit_s):
            return bool(await work())
    except TimeoutError:
        say(failed(name, f"not done within {limit_s:g} s", "Please report this"))
    except Exception as error:
        log.exception("check.fault", extra={"fields": {"part": name}})
        say(failed(name, f"a fault of ours: {error!r}", "Please report this"))
    return False
