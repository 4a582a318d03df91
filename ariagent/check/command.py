"""``ariagent check``: runs the checks one after another and prints each result as soon as it is known."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import typer

from ariagent import __version__, configfile
from ariagent.check import bundle as bundles
from ariagent.check.checks import CHECKS, PROBE, TALK, Check, run_checks
from ariagent.check.report import Report, Result, Say, warning
from ariagent.check.site import opened
from ariagent.config import Settings
from ariagent.errors import ConfigurationError
from ariagent.loop import run_async

TERMINATED = 143
"""Exit code after SIGTERM, as in a shell."""


def check(
    path: Path | None,
    *,
    as_json: bool = False,
    talk: bool = False,
    probe: bool = False,
    bundle: bundles.Wanted | None = None,
    installation: Path | None = None,
) -> int:
    """Run all checks and print the results; returns the exit code. Raises ConfigurationError for settings that do not
    load; the ``bundle`` is made first, if one is wanted.

    ``installation``: the folder with the list of installed files.
    """
    doubts: list[str] = []
    source = str(configfile.chosen(path))
    report = Report()
    try:
        settings = configfile.load(path, warn=doubts.append)
    except ConfigurationError as error:
        if bundle is not None:
            _bundle(bundle, report, source, None, error.line)
        raise

    def say(result: Result) -> None:
        report.add(result)
        if not as_json:
            typer.echo(result.line)

    # The results say what the parts would log. On a terminal the log would appear between the lines.
    logging.getLogger("ariagent").setLevel(logging.ERROR)
    for doubt in doubts:
        say(warning("settings", doubt))
    more = (*([PROBE] if probe else []), *([TALK] if talk else []))
    if not run_async(_until_terminated(_run(settings, source, say, more, installation))):
        return TERMINATED
    if as_json:
        typer.echo(report.json(ariagent=__version__, settings=source))
    else:
        typer.echo(report.summary)
    if bundle is not None:
        _bundle(bundle, report, source, settings)
    return report.exit_code


def _bundle(wanted: bundles.Wanted, report: Report, source: str, settings: Settings | None, problem: str = "") -> None:
    """Make the bundle and list its parts on standard error. Raises ConfigurationError if it cannot be written."""
    parts = run_async(bundles.make(wanted, report, source, settings, problem))
    typer.echo(f"\nWrote {wanted.file} (only you can read it):", err=True)
    for part in parts:
        typer.echo(f"  {part.name:<32} {part.what}", err=True)
    typer.echo(bundles.ADVICE_WITH_WORDS if wanted.words else bundles.ADVICE, err=True)


async def _until_terminated(work: Coroutine[Any, Any, None]) -> bool:
    """Run ``work``. SIGTERM ends it like Ctrl-C: what was made in Asterisk is removed first. Returns False then."""
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


async def _run(settings: Settings, source: str, say: Say, more: Sequence[Check], installation: Path | None) -> None:
    """Run all checks, and ``more``. Nothing is left in Asterisk, also after a cancellation."""
    async with opened(settings, source) as site:
        site.installation = installation or site.installation
        await run_checks((*CHECKS, *more), site, lambda _, result: say(result))
