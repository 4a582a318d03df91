"""``ariagent call``: a synthetic caller from the command line."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ariagent import config
from ariagent.cliparts import ConfigOption, fail
from ariagent.config import Settings
from ariagent.errors import AriagentError
from ariagent.rehearsal import CONTEXT

if TYPE_CHECKING:
    from ariagent.rehearsal.plan import CallPlan

FetchOption = Annotated[
    bool,
    typer.Option(
        "--fetch",
        help="If no speech synthesiser is installed, fetch one (flite, 50 MB) with apt into the user's cache.",
    ),
]


def call(
    extension: Annotated[str, typer.Argument(metavar="EXTEN", help="Extension to dial, for instance 7000.")],
    configuration: ConfigOption = None,
    context: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Dialplan context of EXTEN.", show_default=f"the script's, else {CONTEXT}"),
    ] = None,
    script: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Script: what to say and expect (YAML). Default: two questions for any agent."
        ),
    ] = None,
    caller_id: Annotated[str, typer.Option(metavar="NUM", help="The caller's number.")] = "5550100",
    anyone: Annotated[
        bool, typer.Option("--anyone", help="Talk with whoever answers. Otherwise the call fails if it is not the AI.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document at the end.")] = False,
    record: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep call.wav (left caller, right agent) and call.json there.")
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="S", help="Longest duration of the call.", min=1, max=3600)] = 180.0,
    fetch: FetchOption = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Also print what a speech recogniser understands, if installed.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Do not print the conversation.")] = False,
) -> None:
    """Call an extension through Asterisk and talk with the AI.

    It needs ARI, and an Asterisk that can connect to this machine. It leaves nothing behind in Asterisk, and writes
    files only with --record. The questions are recorded speech that comes with ariagent.

    Prints each turn with the response time: from the last sound of the caller to the first sound of the answer. The
    agent's words come from the service's records (state_directory) or its API (ARIAGENT_API_URL, ARIAGENT_API_TOKEN) if
    this user may read them. Otherwise a speech recogniser, if one is installed, guesses them.

    If the human queue or something else answers in place of the AI, the call ends and the command says why.

    Exit code 0: the AI took the call, and everything went as the script expects; 1: it did not, or Asterisk did not
    answer or refused the login; 2: wrong usage, or the settings or the script do not load.
    """
    from ariagent.rehearsal.plan import CallPlan
    from ariagent.rehearsal.script import DEFAULT_SCRIPT, load_script
    from ariagent.synthesis.programs import fetched, installed

    try:
        settings = config.load(configuration)
        what = load_script(script or DEFAULT_SCRIPT)
        plan = CallPlan(
            extension=extension,
            script=what,
            context=context or what.context or CONTEXT,
            caller_id=caller_id,
            anyone=anyone,
            timeout_s=timeout,
            record_dir=record,
            find=fetched if fetch else installed,
            guess=verbose,
        )
        code = hold(settings, plan, as_json=as_json, quiet=quiet)
    except AriagentError as error:
        fail(error)
    raise typer.Exit(code)


def hold(settings: Settings, plan: CallPlan, *, as_json: bool, quiet: bool) -> int:
    """Make the call and print it; returns the exit code."""
    from ariagent import logs
    from ariagent.loop import run_async
    from ariagent.rehearsal.caller import hold_call
    from ariagent.rehearsal.plan import unknown_words
    from ariagent.rehearsal.report import CallReport, Narrator

    logs.configure("warning" if settings.log.level in ("debug", "info") else settings.log.level, settings.log.format)
    stream = sys.stderr if as_json else sys.stdout

    def show(line: str) -> None:
        if not quiet:
            stream.write(line + "\n")
            stream.flush()

    async def work() -> CallReport:
        task = asyncio.current_task()
        assert task is not None
        # SIGTERM ends the call like Ctrl-C: the channels have to be hung up.
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
        if report.reached_ai and report.wordless:
            show(unknown_words())
    if report.failures and quiet and not as_json:
        failure = report.failures[0]
        sys.stderr.write(f"ariagent: {failure.step}: {failure.cause}\n")
    return 1 if report.failures else 0
