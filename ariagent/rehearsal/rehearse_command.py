"""``ariagent rehearse``: rehearsals from the command line, as a table, as JSON, as JUnit XML."""

from __future__ import annotations

import asyncio
import datetime
import json
import signal
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from ariagent import configfile, logs, privatefile
from ariagent.caller.plan import programs_needed
from ariagent.caller.script import with_patience
from ariagent.errors import ConfigurationError
from ariagent.loop import run_async
from ariagent.rehearsal.junit import junit
from ariagent.rehearsal.rehearse import Outcome, Plan, called, load_rehearsals, rehearse


def run_rehearsals(
    path: Path,
    configuration: Path | None,
    plan: Plan,
    *,
    wanted: str = "",
    junit_path: Path | None = None,
    as_json: bool = False,
    patience: float = 1.0,
) -> int:
    """Play the rehearsals in ``path`` and say how they went; returns the exit code.

    Raises ConfigurationError for what is wrong before the first call.
    """
    scripts = [with_patience(script, patience) for script in load_rehearsals(path, wanted)]
    settings = configfile.load(configuration)
    # Once, and before the first call: not by each of them.
    for tool in dict.fromkeys(tool for script in scripts for tool in programs_needed(script)):
        plan.find(tool)
    logs.configure("error", settings.log.format)
    began_at = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    many = f"{len(scripts)} rehearsals, {min(plan.jobs, len(scripts))} at once" if len(scripts) > 1 else "1 rehearsal"
    _say(f"{many}, calling {called(scripts, plan)}")
    finished = 0

    def done(outcome: Outcome) -> None:
        nonlocal finished
        finished += 1
        _say(f"[{finished}/{len(scripts)}] {_verdict(outcome):6}  {outcome.duration_s:5.1f} s  {outcome.script.title}")

    async def work() -> list[Outcome]:
        task = asyncio.current_task()
        assert task is not None
        # Ended from outside like by Ctrl-C: the channels have to be given back.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await rehearse(settings, scripts, plan, done)

    try:
        outcomes = run_async(work())
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say("interrupted; the calls were hung up")
        return 130
    suite = path.resolve().stem if path.is_file() else path.resolve().name
    if junit_path is not None:
        _write(junit_path, junit(suite, outcomes, began_at))
    if as_json:
        passed = sum(outcome.passed for outcome in outcomes)
        document = {"suite": suite, "passed": passed, "failed": len(outcomes) - passed}
        rehearsals = [outcome.document() for outcome in outcomes]
        sys.stdout.write(json.dumps({**document, "rehearsals": rehearsals}, indent=1, ensure_ascii=False) + "\n")
    else:
        _show(outcomes)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        privatefile.write(path, text)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error}") from None


def _verdict(outcome: Outcome) -> str:
    return "error" if outcome.error else "passed" if outcome.passed else "FAILED"


def _show(outcomes: Sequence[Outcome]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("rehearsal", overflow="fold")
    for heading in ("turns", "answer, ms", "slowest", "call, s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for outcome in outcomes:
        colour = "green" if outcome.passed else "red"
        table.add_row(Text(_verdict(outcome), style=colour), Text(outcome.script.title), *_numbers(outcome))
    console.print(table)
    for outcome in outcomes:
        if not outcome.passed:
            console.print(Text(f"\n{outcome.script.title} ({outcome.script.source})", style="bold"))
            for cause in outcome.causes:
                console.print(Text(f"  {cause}", style="red"))
            for line in outcome.conversation():
                console.print(Text(line), soft_wrap=True)
    failed = sum(not outcome.passed for outcome in outcomes)
    console.print(f"\n{len(outcomes) - failed} passed, {failed} failed")


def _numbers(outcome: Outcome) -> tuple[str, str, str, str]:
    report = outcome.report
    if report is None:
        return "", "", "", ""
    found = report.latencies_ms
    median, slowest = (f"{statistics.median(found):.0f}", f"{max(found):.0f}") if found else ("", "")
    return str(len(report.turns)), median, slowest, f"{report.duration_s:.1f}"


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
