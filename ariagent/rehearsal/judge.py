"""The judgement of a call against its expectations. CORE.

``judge`` compares the expectations with the caller's report and, for what a caller cannot hear (which functions the
agent called, why the call ended), with the agent's side of the call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ariagent import extras
from ariagent.caller.expectations import EndedBy, Expectations, ToolUse, pattern
from ariagent.caller.report import CallReport, Failure

CLOCKS_S = 0.3
"""How far the times of the two sides of a call may be apart."""


@dataclass(frozen=True, slots=True)
class Remark:
    """The agent said something. Times are seconds since the call was placed."""

    at_s: float
    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The agent called a function."""

    at_s: float
    name: str
    arguments: dict[str, Any] | None = field(default_factory=dict)
    """None: they are not known."""


@dataclass(frozen=True, slots=True)
class AgentSide:
    """The agent's side of a call, from its records."""

    remarks: tuple[Remark, ...] = ()
    """Empty, too, where the words are not known."""
    tools: tuple[ToolCall, ...] = ()
    result: str | None = None
    """``ARIAGENT_RESULT``: ``done``, or why the call was sent to the human queue; None while it is not known."""
    reason: str | None = None


def judge(expected: Expectations, report: CallReport, agent: AgentSide | None) -> list[Failure]:
    """The expectations that were not met, in the order of the file; empty if all were met."""
    if not report.reached_ai:
        return []  # the report says so already, and everything else follows from it
    checks = (
        _words(expected, report, agent),
        _tools(expected, agent),
        _ending(expected, report, agent),
        _times(expected, report),
        _talked_over(expected, report),
    )
    return [failure for check in checks for failure in check]


def _words(expected: Expectations, report: CallReport, agent: AgentSide | None) -> Iterator[Failure]:
    remarks, exact = _remarks(report, agent)
    unheard = not exact and any(turn.text is None for turn in report.turns if turn.who == "agent")
    if unheard and (expected.said or expected.never_said):
        remedy = f"{_NO_WORDS}, or install a recogniser: {extras.install('rehearsal')}"
        yield Failure("expect.said", f"the agent's words are not known: {remedy}")
        return
    for index, words in enumerate(expected.said):
        texts = _since(words.after, remarks, report)
        # Whole as well: a phrase may stand across a pause.
        if not any(words.found(text, exact=exact) for text in (*texts, " ".join(texts))):
            heard = " / ".join(texts) or "nothing"
            yield Failure(f"expect.said[{index}]", f"the agent never said {words}; it said: {heard}")
    for index, words in enumerate(expected.never_said):
        for text in _since(words.after, remarks, report):
            if words.found(text, exact=exact):
                yield Failure(f"expect.never_said[{index}]", f'the agent said {words}: "{text}"')


def _remarks(report: CallReport, agent: AgentSide | None) -> tuple[tuple[Remark, ...], bool]:
    if agent is not None and agent.remarks:
        return agent.remarks, True
    turns = [turn for turn in report.turns if turn.who == "agent"]
    return tuple(Remark(turn.start_s, turn.text or "") for turn in turns), False


def _since(step: int | None, remarks: tuple[Remark, ...], report: CallReport) -> list[str]:
    if step is None:
        return [remark.text for remark in remarks]
    if step > len(report.steps_began_s):
        return []  # the call did not get so far
    began_s = report.steps_began_s[step - 1] - CLOCKS_S
    return [remark.text for remark in remarks if remark.at_s >= began_s]


def _tools(expected: Expectations, agent: AgentSide | None) -> Iterator[Failure]:
    if agent is None:
        if expected.tools or expected.never_called:
            yield Failure("expect.tools", _NO_RECORDS)
        return
    called = ", ".join(f"{tool.name}({_listed(tool.arguments)})" for tool in agent.tools) or "none"
    unknown = {tool.name for tool in agent.tools if tool.arguments is None}
    for index, wanted in enumerate(expected.tools):
        if wanted.arguments and wanted.name in unknown:
            yield Failure(f"expect.tools[{index}]", f"the arguments of {wanted.name} are not known: {_NO_WORDS}")
            continue
        times = sum(_same_call(wanted, tool) for tool in agent.tools)
        if times == 0 or times != (wanted.times or times):
            how_often = f"was called {times} times, not {wanted.times}" if times else "was not called"
            yield Failure(f"expect.tools[{index}]", f"{wanted} {how_often}; called: {called}")
    for index, name in enumerate(expected.never_called):
        if any(tool.name == name for tool in agent.tools):
            yield Failure(f"expect.never_called[{index}]", f"{name} was called; called: {called}")


def _ending(expected: Expectations, report: CallReport, agent: AgentSide | None) -> Iterator[Failure]:
    if expected.ended_by is not None:
        ended_by: EndedBy = "caller" if report.ended_by == "caller" else "agent"
        if agent is not None and agent.result not in (None, "done"):
            ended_by = "transfer"
        if agent is None and expected.ended_by == "transfer":
            yield Failure("expect.ended_by", _NO_RECORDS)
        elif ended_by != expected.ended_by:
            yield Failure("expect.ended_by", f"the call was ended by {ended_by}, not by {expected.ended_by}")
    if expected.reason is not None:
        if agent is None:
            yield Failure("expect.reason", _NO_RECORDS)
        elif not _same_value(expected.reason, agent.reason):
            yield Failure("expect.reason", f"the call ended with {agent.reason!r}, not {expected.reason!r}")


def _times(expected: Expectations, report: CallReport) -> Iterator[Failure]:
    answers = [turn for turn in report.turns if turn.who == "agent" and turn.latency_ms is not None]
    if (limit := expected.opening_within_ms) is not None:
        opening = next((turn.latency_ms for turn in answers if turn.after == "answer"), None)
        if opening is None:
            yield Failure("expect.opening_within_ms", "the agent did not speak first")
        elif opening > limit:
            yield Failure("expect.opening_within_ms", f"the opening began after {opening:.0f} ms, not {limit:.0f}")
    if (limit := expected.answer_within_ms) is not None:
        for turn in answers:
            if turn.after != "answer" and turn.latency_ms is not None and turn.latency_ms > limit:
                late = f"the answer at {turn.start_s:.1f} s came after {turn.latency_ms:.0f} ms, not {limit:.0f}"
                yield Failure("expect.answer_within_ms", late)
    if (limit := expected.interrupted_within_ms) is not None:
        if not report.interruptions:
            yield Failure("expect.interrupted_within_ms", "the caller interrupted nothing")
        for found in report.interruptions:
            if found.stopped_after_ms > limit:
                late = f"the agent stopped after {found.stopped_after_ms:.0f} ms, not {limit:.0f}"
                yield Failure("expect.interrupted_within_ms", late)
    if (limit := expected.longest_silence_s) is not None:
        for silence in report.waits:
            if silence.end_s - silence.start_s > limit:
                length = silence.end_s - silence.start_s
                cause = f"the caller waited {length:.1f} s in silence from {silence.start_s:.1f} s on, not {limit:g}"
                yield Failure("expect.longest_silence_s", cause)


def _talked_over(expected: Expectations, report: CallReport) -> Iterator[Failure]:
    if not expected.never_talked_over:
        return
    if not any(turn.who == "caller" for turn in report.turns):
        yield Failure("expect.never_talked_over", "the caller said nothing")
    for found in report.talked_over:
        over = f'the agent spoke at {found.start_s:.1f} s, for {found.heard_ms:.0f} ms, inside "{found.text}"'
        yield Failure("expect.never_talked_over", over)


_NO_WORDS = "keep records (records.transcripts)"
_NO_RECORDS = "only the agent's records show this, and they hold nothing of this call: set records and state_directory"


def _same_call(wanted: ToolUse, tool: ToolCall) -> bool:
    given = tool.arguments or {}
    return wanted.name == tool.name and all(
        key in given and _same_value(value, given[key]) for key, value in wanted.arguments.items()
    )


def _same_value(wanted: object, value: object) -> bool:
    if isinstance(wanted, str):
        if (source := pattern(wanted)) is not None:
            return re.search(source, str(value), re.IGNORECASE) is not None
        return isinstance(value, str) and wanted.casefold().strip() == value.casefold().strip()
    if isinstance(wanted, dict) and isinstance(value, dict):
        return all(key in value and _same_value(part, value[key]) for key, part in wanted.items())
    return wanted == value


def _listed(arguments: dict[str, Any] | None) -> str:
    return "..." if arguments is None else ", ".join(f"{key}={value!r}" for key, value in arguments.items())
