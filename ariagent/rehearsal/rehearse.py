"""Rehearsals: callers' scripts with expectations, played through Asterisk, several at once.

    outcomes = await rehearse(settings, load_rehearsals(folder), Plan("7001", jobs=4), show)

Each is a call of its own; what the caller cannot hear is read from the service's records when the call is over.
"""

from __future__ import annotations

import asyncio
import fnmatch
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ariagent.caller import CONTEXT
from ariagent.caller.caller import hold_call
from ariagent.caller.plan import CallPlan
from ariagent.caller.report import CallReport, Entry, Failure, Narrator, lines_of
from ariagent.caller.script import Script, load_script
from ariagent.caller.truewords import records_of
from ariagent.config import Settings
from ariagent.errors import AriagentError, ConfigurationError
from ariagent.rehearsal.agentside import read_agent_side
from ariagent.rehearsal.judge import AgentSide, judge
from ariagent.synthesis.programs import Finder, installed

FIRST_CALLS_APART_S = 0.4
"""Calls that begin together keep the machine busy together; the first ones begin one after another."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a suite is played. Times in seconds."""

    extension: str
    context: str = CONTEXT
    caller_id: str = "5550100"
    jobs: int = 4
    timeout_s: float = 180.0
    """For each call."""
    record_dir: Path | None = None
    """Gets a folder with ``call.wav`` and ``call.json`` for each."""
    find: Finder = installed
    """Where the programs that speak are."""
    speech_dir: Path | None = None
    """Keeps synthesised speech between runs."""


@dataclass(slots=True)
class Outcome:
    """One rehearsal that was played."""

    script: Script
    report: CallReport | None = None
    agent: AgentSide | None = None
    failures: list[Failure] = field(default_factory=list)
    error: str = ""
    """Why it could not be played at all."""
    duration_s: float = 0.0

    @property
    def passed(self) -> bool:
        return not self.error and not self.failures

    @property
    def causes(self) -> list[str]:
        """Everything that went wrong, a line each."""
        return [self.error] if self.error else [f"{failure.step}: {failure.cause}" for failure in self.failures]

    def conversation(self) -> list[str]:
        """The call as lines: who said what when; the agent's words from its records where they hold them."""
        if self.report is None:
            return []
        remarks = self.agent.remarks if self.agent is not None else ()
        entries = [
            Entry(turn.start_s, turn.who, turn.text or "(speaks)", turn.latency_ms)
            for turn in self.report.turns
            if turn.who == "caller" or not remarks
        ]
        entries += [Entry(remark.at_s, "agent", remark.text) for remark in remarks]
        entries += [Entry(keys.at_s, "caller", f"(presses {keys.digits})") for keys in self.report.digits]
        if self.agent is not None:
            for tool in self.agent.tools:
                arguments = "" if tool.arguments is None else f" {tool.arguments}"
                entries.append(Entry(tool.at_s, "agent", f"(calls {tool.name}{arguments})"))
            if self.agent.result:
                ended = f"(the agent's side ended: {self.agent.result}, {self.agent.reason})"
                entries.append(Entry(self.report.duration_s, "", ended))
        return [line for entry in sorted(entries, key=lambda entry: entry.at_s) for line in lines_of(entry)]

    def document(self) -> dict[str, Any]:
        """The result as JSON."""
        return {
            "title": self.script.title,
            "file": self.script.source,
            "passed": self.passed,
            "duration_s": round(self.duration_s, 3),
            "error": self.error or None,
            "failures": [{"step": failure.step, "cause": failure.cause} for failure in self.failures],
            "conversation": self.conversation(),
            "call": self.report.document() if self.report is not None else None,
        }


def load_rehearsals(path: Path, wanted: str = "") -> list[Script]:
    """The rehearsals of a folder (``*.yaml``, by name), or the one that ``path`` is.

    ``wanted``: only those whose file name or title holds this text or matches this pattern (``*``, ``?``). Raises
    ConfigurationError with every mistake of every file, and when there is none to play.
    """
    if path.is_file():
        files = [path]
    else:
        files = sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
        if not files:
            remedy = "A rehearsal is a caller's script with expectations: docs/rehearsals.md"
            raise ConfigurationError(f"{path}: there are no rehearsals (*.yaml)", remedy=remedy)
    scripts, mistakes = [], []
    for file in files:
        try:
            scripts.append(load_script(file))
        except ConfigurationError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    chosen = [script for script in scripts if _wanted(script, wanted.casefold())]
    if not chosen:
        known = ", ".join(Path(script.source).stem for script in scripts)
        raise ConfigurationError(f"no rehearsal matches {wanted!r}", remedy=f"There are: {known}")
    return chosen


def _wanted(script: Script, wanted: str) -> bool:
    names = (Path(script.source).stem.casefold(), script.title.casefold())
    return any(wanted in name or fnmatch.fnmatchcase(name, wanted) for name in names)


def called(scripts: Sequence[Script], plan: Plan) -> str:
    """The dialled extensions in words: ``7002 in context from-internal``, in the order of the files."""
    places = dict.fromkeys((script.extension or plan.extension, script.context or plan.context) for script in scripts)
    return ", ".join(f"{extension} in context {context}" for extension, context in places)


async def rehearse(
    settings: Settings, scripts: Sequence[Script], plan: Plan, done: Callable[[Outcome], None]
) -> list[Outcome]:
    """Play them all, ``plan.jobs`` at once; ``done`` is called with each as it ends. In the order of ``scripts``.

    A failure of one is in its outcome and does not end the others.
    """
    slots = asyncio.Semaphore(plan.jobs)
    records = records_of(settings)

    async def one(index: int, script: Script) -> Outcome:
        async with slots:
            if index < plan.jobs:
                await asyncio.sleep(index * FIRST_CALLS_APART_S)
            outcome = await _play(settings, script, plan, records)
        done(outcome)
        return outcome

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(index, script)) for index, script in enumerate(scripts)]
    return [task.result() for task in tasks]


async def _play(settings: Settings, script: Script, plan: Plan, records: Path | None) -> Outcome:
    outcome = Outcome(script)
    began = time.monotonic()
    try:
        report = outcome.report = await hold_call(settings, _call_plan(script, plan), Narrator(lambda line: None))
        if records is not None and report.reached_ai:
            outcome.agent = await read_agent_side(records, report.channel, report.placed_at)
            if outcome.agent is None and settings.records.transcripts:
                outcome.error = "the service's records hold nothing of this call: is state_directory the service's own?"
        outcome.failures = [*report.failures, *judge(script.expected, report, outcome.agent)]
    except AriagentError as error:
        outcome.error = error.line
    outcome.duration_s = time.monotonic() - began
    return outcome


def _call_plan(script: Script, plan: Plan) -> CallPlan:
    folder = plan.record_dir / re.sub(r"[^\w.-]", "_", Path(script.source).stem) if plan.record_dir else None
    return CallPlan(
        extension=script.extension or plan.extension,
        script=script,
        context=script.context or plan.context,
        caller_id=script.caller_id or plan.caller_id,
        timeout_s=plan.timeout_s,
        record_dir=folder,
        find=plan.find,
        speech_dir=plan.speech_dir,
    )
