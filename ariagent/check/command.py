"""``ariagent check``: runs the checks one after another and prints each result as soon as it is known."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import typer

from ariagent import __version__, config
from ariagent.check.checks import CHECKS, TALK, run_checks
from ariagent.check.report import Report, Result, Say
from ariagent.check.site import opened
from ariagent.config import Settings
from ariagent.loop import run_async

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
    if not run_async(_until_terminated(_run(settings, source, say, talk=talk))):
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


async def _run(settings: Settings, source: str, say: Say, *, talk: bool) -> None:
    """All checks. Nothing is left in Asterisk, also when this is cancelled."""
    async with opened(settings, source) as site:
        await run_checks((*CHECKS, *([TALK] if talk else [])), site, lambda _, result: say(result))
