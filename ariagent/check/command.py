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
from ariagent.check import bundle as bundles
from ariagent.check.asterisk import check_asterisk
from ariagent.check.audio import NAMES as AUDIO_NAMES
from ariagent.check.audio import check_audio
from ariagent.check.machine import check_machine
from ariagent.check.manager import check_manager
from ariagent.check.model import check_model
from ariagent.check.report import Report, Result, Say, failed, skipped, warning
from ariagent.check.setup import check_settings
from ariagent.check.shutdowns import check_shutdowns
from ariagent.check.talk import check_talk
from ariagent.check.tools import check_tools
from ariagent.config import Settings
from ariagent.errors import ConfigurationError
from ariagent.loop import run_async
from ariagent.secret import SecretError

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


def check(path: Path | None, *, as_json: bool = False, talk: bool = False, bundle: bundles.Wanted | None = None) -> int:
    """Check everything and print it; returns the exit code. Raises ConfigurationError for settings that do not load,
    after the ``bundle`` has been made, if one is wanted."""
    doubts: list[str] = []
    source = str(config.chosen(path))
    report = Report()
    try:
        settings = config.load(path, warn=doubts.append)
    except ConfigurationError as error:
        if bundle is not None:
            _bundle(bundle, report, source, None, error.line)
        raise

    def say(result: Result) -> None:
        report.add(result)
        if not as_json:
            typer.echo(result.line)

    # What the parts log is in their results; on a terminal it would stand between the lines.
    logging.getLogger("ariagent").setLevel(logging.ERROR)
    for doubt in doubts:
        say(warning("settings", doubt))
    if not run_async(_until_terminated(run_checks(settings, source, say, talk=talk))):
        return TERMINATED
    if as_json:
        typer.echo(report.json(ariagent=__version__, settings=source))
    else:
        typer.echo(report.summary)
    if bundle is not None:
        _bundle(bundle, report, source, settings)
    return report.exit_code


def _bundle(wanted: bundles.Wanted, report: Report, source: str, settings: Settings | None, problem: str = "") -> None:
    """Make it and list on standard error what is in it. Raises ConfigurationError where it cannot be written."""
    parts = run_async(bundles.make(wanted, report, source, settings, problem))
    typer.echo(f"\nWrote {wanted.file} (only you can read it):", err=True)
    for part in parts:
        typer.echo(f"  {part.name:<32} {part.what}", err=True)
    typer.echo(bundles.ADVICE_WITH_WORDS if wanted.words else bundles.ADVICE, err=True)


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
    await _bounded("model lifetime", MODEL_LIMIT_S, say, lambda: check_shutdowns(settings, say))
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
            for name in AUDIO_NAMES:
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
    except SecretError as error:
        say(skipped(name, error.key))  # what is wrong with it was said with the settings
    except ConfigurationError as error:
        say(failed(name, str(error), error.remedy))
    except Exception as error:
        log.exception("check.fault", extra={"fields": {"part": name}})
        say(failed(name, f"a fault of ours: {error!r}", "Please report this"))
    return False
