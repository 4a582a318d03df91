"""``ariagent call``: a synthetic caller from the command line."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from ariagent import config
from ariagent.cliparts import ConfigOption
from ariagent.config import Settings
from ariagent.errors import AriagentError, ConfigurationError


def call(
    extension: Annotated[str, typer.Argument(metavar="EXTEN", help="What to dial, for instance 7000.")],
    configuration: ConfigOption = None,
    context: Annotated[str, typer.Option(metavar="NAME", help="Dialplan context of EXTEN.")] = "ariagent-internal",
    script: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What to say and to expect (YAML). Default: greet, one question, goodbye."),
    ] = None,
    caller_id: Annotated[str, typer.Option(metavar="NUM", help="The caller's number.")] = "5550100",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output at the end.")] = False,
    record: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep call.wav (left caller, right agent) and call.json there.")
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="S", help="Longest duration of the call.", min=1, max=3600)] = 180.0,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Do not print the conversation.")] = False,
) -> None:
    """Call an extension through Asterisk and hold a conversation with whoever answers.

    Needs ARI and an Asterisk that can connect to this machine; leaves nothing behind in it. Prints each turn with
    the answer's latency: from the last sound of the caller to the first of the answer. What the agent says is
    recognised by a small recogniser and is approximate.

    Exit code 0: everything went as the script expects; 1: it did not, or Asterisk could not be reached or refused the
    user or password; 2: wrong usage, or settings or a script that do not load.
    """
    try:
        code = _call(
            config.load(configuration),
            extension=extension,
            context=context,
            script=script,
            caller_id=caller_id,
            as_json=as_json,
            record=record,
            timeout_s=timeout,
            quiet=quiet,
        )
    except AriagentError as error:
        typer.echo(f"ariagent: {error.line}", err=True)
        code = 2 if isinstance(error, ConfigurationError) else 1
    raise typer.Exit(code)


def _call(
    settings: Settings,
    *,
    extension: str,
    context: str,
    script: Path | None,
    caller_id: str,
    as_json: bool,
    record: Path | None,
    timeout_s: float,
    quiet: bool,
) -> int:
    from ariagent import logs
    from ariagent.lab.caller import CallPlan, hold_call
    from ariagent.lab.report import CallReport, Narrator
    from ariagent.lab.script import DEFAULT_SCRIPT, load_script
    from ariagent.loop import run_async

    logs.configure("warning" if settings.log.level in ("debug", "info") else settings.log.level, settings.log.format)
    plan = CallPlan(
        extension=extension,
        script=load_script(script or DEFAULT_SCRIPT),
        context=context,
        caller_id=caller_id,
        timeout_s=timeout_s,
        record_dir=record,
    )
    stream = sys.stderr if as_json else sys.stdout

    def show(line: str) -> None:
        if not quiet:
            stream.write(line + "\n")
            stream.flush()

    async def work() -> CallReport:
        task = asyncio.current_task()
        assert task is not None
        # Ended from outside like by Ctrl-C: the channels have to be given back.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await hold_call(settings, plan, Narrator(show))

    try:
        report = run_async(work())
    except (KeyboardInterrupt, asyncio.CancelledError):
        show("interrupted; the call was hung up")
        return 130
    if as_json:
        sys.stdout.write(json.dumps(report.document(), indent=1) + "\n")
    else:
        show(report.summary())
    if report.failures and quiet and not as_json:
        failure = report.failures[0]
        sys.stderr.write(f"ariagent: {failure.step}: {failure.cause}\n")
    return 1 if report.failures else 0
