"""The work of ``ariagent call``: a synthetic caller whose conversation is printed."""

import asyncio
import json
import signal
import sys

from ariagent import logs
from ariagent.caller.caller import hold_call
from ariagent.caller.plan import CallPlan, unknown_words
from ariagent.caller.report import CallReport, Narrator
from ariagent.config import Settings
from ariagent.loop import run_async


def hold(settings: Settings, plan: CallPlan, *, as_json: bool, quiet: bool) -> int:
    """Make the call and print it; returns the exit code."""
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
