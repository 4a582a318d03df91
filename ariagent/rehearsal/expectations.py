"""The expectations of a call, and their check. CORE.

The ``expect`` section of a caller's script says it; ``judge`` compares it with the caller's report and, for what a
caller cannot hear (which functions the agent called, why the call ended), with the agent's side of the call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ariagent.config import Section
from ariagent.errors import pip_install
from ariagent.rehearsal.report import CallReport, Failure
from ariagent.rehearsal.words import has_phrase, spoken

Text = Annotated[str, Field(min_length=1, max_length=2000)]
Milliseconds = Annotated[float, Field(gt=0, le=600_000)]
EndedBy = Literal["caller", "agent", "transfer"]
CLOCKS_S = 0.3
"""How far the times of the two sides of a call may be apart."""


class Words(Section):
    """Words that the agent says, or must not say. A text is a phrase; between slashes it is a regular expression."""

    any: Annotated[tuple[Text, ...], Field(min_length=1)]
    """One of these is enough."""
    after: Annotated[int, Field(ge=1)] | None = None
    """Only what the agent says after this step began (steps count from 1); null: all of the call."""

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        return {"any": (value,)} if isinstance(value, str) else value

    @field_validator("any")
    @classmethod
    def _readable(cls, phrases: tuple[str, ...]) -> tuple[str, ...]:
        for phrase in phrases:
            if (source := _pattern(phrase)) is not None:
                try:
                    re.compile(source)
                except re.error as error:
                    raise ValueError(f"{phrase} is no regular expression: {error}") from None
            elif not spoken(phrase):
                raise ValueError(f"{phrase!r} has no words")
        return phrases

    def __str__(self) -> str:
        return " or ".join(phrase if _pattern(phrase) is not None else f'"{phrase}"' for phrase in self.any)

    def found(self, text: str, *, exact: bool) -> bool:
        """Whether ``text`` has one of them; ``exact``: it is a transcript, not a recogniser's approximation."""
        return any(_found(phrase, text, exact) for phrase in self.any)


class ToolUse(Section):
    """A function that the agent calls."""

    name: Text
    """Its name."""
    arguments: dict[str, Any] = Field(default={})
    """Arguments that it is called with, among others. A text matches in any case of its letters; between slashes it is
    a regular expression."""
    times: Annotated[int, Field(ge=1)] | None = None
    """The number of calls with these arguments; null: at least one."""

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{key}={value!r}' for key, value in self.arguments.items())})"


class Expectations(Section):
    """How the call has to go."""

    said: tuple[Words, ...] = ()
    """The agent says each of these."""
    never_said: tuple[Words, ...] = ()
    """The agent says none of these."""
    tools: tuple[ToolUse, ...] = ()
    """The agent calls each of these functions."""
    never_called: tuple[Text, ...] = ()
    """The agent calls none of these functions."""
    ended_by: EndedBy | None = None
    """The side that ends the call; ``transfer``: the agent transfers the caller to a human agent."""
    reason: Text | None = None
    """Why the agent's side says that it ended; between slashes a regular expression."""
    answer_within_ms: Milliseconds | None = None
    """Limit from the caller's last sound to the agent's first, in every turn."""
    opening_within_ms: Milliseconds | None = None
    """Limit from the call's answer to the agent's first sound."""
    interrupted_within_ms: Milliseconds | None = None
    """Limit from the caller's first sound over the agent's voice to the agent's last, at every ``interrupt`` step."""
    longest_silence_s: Annotated[float, Field(gt=0, le=600)] | None = None
    """No longer silence while the caller waits for the agent; ``silence`` steps do not count."""

    def with_patience(self, factor: float) -> Expectations:
        """The expectations with every time limit multiplied by ``factor``."""
        limits = ("answer_within_ms", "opening_within_ms", "interrupted_within_ms", "longest_silence_s")
        given = {name: limit * factor for name in limits if (limit := getattr(self, name)) is not None}
        return self.model_copy(update=given)

    @property
    def need_agent_side(self) -> bool:
        """Whether a caller alone cannot tell."""
        return bool(self.tools or self.never_called or self.reason or self.ended_by == "transfer")


# -- the agent's side --------------------------------------------------------------------------------------------------


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
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AgentSide:
    """The agent's side of a call, from its records."""

    remarks: tuple[Remark, ...] = ()
    tools: tuple[ToolCall, ...] = ()
    result: str | None = None
    """``ARIAGENT_RESULT``: ``done``, or why the call was sent to the human queue; None while it is not known."""
    reason: str | None = None


# -- the judgement -----------------------------------------------------------------------------------------------------


def judge(expected: Expectations, report: CallReport, agent: AgentSide | None) -> list[Failure]:
    """The expectations that were not met, in the order of the file; empty if all were met."""
    if not report.reached_ai:
        return []  # the report says so already, and everything else follows from it
    checks = (
        _words(expected, report, agent),
        _tools(expected, agent),
        _ending(expected, report, agent),
        _times(expected, report),
    )
    return [failure for check in checks for failure in check]


def _words(expected: Expectations, report: CallReport, agent: AgentSide | None) -> Iterator[Failure]:
    remarks, exact = _remarks(report, agent)
    unheard = not exact and any(turn.text is None for turn in report.turns if turn.who == "agent")
    if unheard and (expected.said or expected.never_said):
        remedy = f"keep records (records.transcripts), or install a recogniser: {pip_install('pocketsphinx>=5.0.4')}"
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
    for index, wanted in enumerate(expected.tools):
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


_NO_RECORDS = "only the agent's records show this, and they hold nothing of this call: set records and state_directory"


def _pattern(text: str) -> str | None:
    return text[1:-1] if len(text) > 2 and text.startswith("/") and text.endswith("/") else None


def _found(phrase: str, text: str, exact: bool) -> bool:
    if (source := _pattern(phrase)) is not None:
        return re.search(source, text, re.IGNORECASE) is not None
    if exact:
        return f" {' '.join(spoken(phrase))} " in f" {' '.join(spoken(text))} "
    return has_phrase(text, phrase)


def _same_call(wanted: ToolUse, tool: ToolCall) -> bool:
    return wanted.name == tool.name and all(
        key in tool.arguments and _same_value(value, tool.arguments[key]) for key, value in wanted.arguments.items()
    )


def _same_value(wanted: object, value: object) -> bool:
    if isinstance(wanted, str):
        if (source := _pattern(wanted)) is not None:
            return re.search(source, str(value), re.IGNORECASE) is not None
        return isinstance(value, str) and wanted.casefold().strip() == value.casefold().strip()
    if isinstance(wanted, dict) and isinstance(value, dict):
        return all(key in value and _same_value(part, value[key]) for key, part in wanted.items())
    return wanted == value


def _listed(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in arguments.items())
