"""The model of the sandbox: rules over what the caller said, pressed or left unsaid (CORE).

A :class:`Scenario` is asked once per response what to do in a :class:`Situation`; its file format is read by
``scenario_file``.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ariagent.sandbox.faults import Faults
from ariagent.sandbox.notes import BY_NAME, PREFIX, kind_of

_DIGIT_WORDS = {
    "zero": "0",
    "oh": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
}


@dataclass(frozen=True, slots=True)
class Say:
    """Speak (or write) one of ``texts``, a different one each time; placeholders such as ``{company.name}`` allowed."""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """Call the first of the functions ``names`` that the session offers; ``optional`` calls may find none."""

    names: tuple[str, ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Think for ``seconds`` before the next step."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Fail:
    """End the response as ``failed`` with this error."""

    type: str
    code: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End the response as ``incomplete`` for this reason (``content_filter`` or ``max_output_tokens``)."""

    reason: str


@dataclass(frozen=True, slots=True)
class Mcp:
    """Call a tool of an MCP server, which takes ``takes`` seconds and answers ``output``, or fails with ``error``.

    ``before_done``: the response waits for the tool. Otherwise it is done first. ``optional`` calls may find no tool.
    """

    server: str
    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    output: str = ""
    takes: float = 0.0
    error: Mapping[str, Any] | None = None
    before_done: bool = False
    optional: bool = False

    @property
    def json_arguments(self) -> str:
        """The arguments as they go over the wire."""
        return json.dumps(self.arguments)


@dataclass(frozen=True, slots=True)
class McpServer:
    """An MCP server: its tools, and how it answers when it is asked for them."""

    tools: tuple[str, ...] = ()
    takes: float = 0.0
    fail: bool = False


Step = Say | Call | Wait | Fail | Stop | Mcp


@dataclass(frozen=True, slots=True)
class Phrase:
    """Something that may have been said: words in a row, words in any order, or a regular expression.

    ``kind`` is the kind of a note.
    """

    words: tuple[str, ...] = ()
    in_a_row: bool = True
    pattern: re.Pattern[str] | None = None
    kind: str = ""

    def match(self, said: str) -> dict[str, str] | None:
        """The named groups of a match (empty for plain words), or ``None``."""
        if self.kind:
            return {} if kind_of(said) is BY_NAME[self.kind] else None
        if self.pattern is not None:
            for form in (said, normalise(said), digits_of_words(normalise(said))):
                if found := self.pattern.search(form):
                    return {key: value for key, value in found.groupdict().items() if value is not None}
            return None
        spoken = normalise(said).split()
        if self.in_a_row:
            n = len(self.words)
            hit = any(tuple(spoken[at : at + n]) == self.words for at in range(len(spoken) - n + 1))
        else:
            hit = set(self.words) <= set(spoken)
        return {} if hit else None


@dataclass(frozen=True, slots=True)
class Situation:
    """The model's knowledge when it must respond."""

    said: str | None = None
    """The words of the caller's last item."""
    together: str | None = None
    """The words of the whole sentence, if the caller's last item continues one."""
    note: str | None = None
    """Text of the client's that the caller did not hear: a system message, or one that begins with ``[system]``."""
    digits: str | None = None
    turn: int = 0
    tool_result: str | None = None
    """The name of the function whose output just came, and that output."""
    output: str | None = None
    silence: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tools: Sequence[str] = ()
    """Functions that it may call; those of MCP servers as ``SERVER/TOOL``."""


@dataclass(frozen=True, slots=True)
class When:
    """Conditions of a rule; all that are given must hold."""

    said: tuple[Phrase, ...] = ()
    note: tuple[Phrase, ...] = ()
    digits: str | None = None
    turn: int | None = None
    tool_result: str | None = None
    contains: str | None = None
    silence: bool | None = None
    metadata: tuple[tuple[str, str], ...] = ()

    def match(self, now: Situation) -> dict[str, str] | None:
        """Values for the placeholders of the rule's steps, or ``None`` if it does not apply."""
        values: dict[str, str] = {}
        if now.note is not None and not (self.note or self.metadata):
            return None  # a note is nothing that the caller said or did
        for phrases, text in ((self.said, now.said), (self.note, now.note)):
            if phrases:
                hits = (phrase.match(text) for phrase in phrases) if text else iter(())
                hit = next((found for found in hits if found is not None), None)
                if hit is None:
                    return None
                values |= hit
        if self.digits is not None and not (now.digits and re.fullmatch(self.digits, now.digits)):
            return None
        if self.turn is not None and self.turn != now.turn:
            return None
        if self.tool_result is not None and self.tool_result not in (now.tool_result, "*" if now.tool_result else None):
            return None
        if self.contains is not None and self.contains.lower() not in (now.output or "").lower():
            return None
        if self.silence is not None and self.silence != now.silence:
            return None
        if any(str(now.metadata.get(key)) != value for key, value in self.metadata):
            return None
        return values


@dataclass(frozen=True, slots=True)
class Rule:
    """When to do what. A rule that calls a function which the session does not offer does not apply."""

    name: str
    when: When
    then: tuple[Step, ...]

    def possible(self, tools: Sequence[str]) -> bool:
        """Whether the functions it must call are there."""
        calls = [step for step in self.then if isinstance(step, Call | Mcp) and not step.optional]
        return all(any(name in tools for name in _names(call)) for call in calls)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A model's part in a conversation."""

    company: Mapping[str, str]
    opening: tuple[Step, ...]
    rules: tuple[Rule, ...]
    otherwise: tuple[Step, ...]
    digits: re.Pattern[str]
    grammar: tuple[str, ...] = ()
    """Phrases for the recogniser, as JSGF expansions."""
    pronunciations: Mapping[str, str] = field(default_factory=dict)
    """Words that its dictionary lacks (or pronounces otherwise), and their phones."""
    source: str = ""
    servers: Mapping[str, McpServer] = field(default_factory=dict)
    """MCP servers by label, as far as the scenario says more of them than the tools that its rules call."""
    faults: Faults = field(default_factory=Faults)

    def mcp_server(self, label: str) -> McpServer:
        """How the MCP server with this label behaves, with all the tools that are called of it."""
        server = self.servers.get(label, McpServer())
        called = (step.tool for step in self._steps() if isinstance(step, Mcp) and step.server == label)
        return replace(server, tools=tuple(dict.fromkeys((*server.tools, *called))))

    def _steps(self) -> list[Step]:
        return [*self.opening, *(step for rule in self.rules for step in rule.then), *self.otherwise]

    def digits_in(self, content: str) -> str | None:
        """The key that a text item reports as pressed, if it does."""
        found = self.digits.search(content)
        return next((group for group in found.groups() if group), None) if found else None

    def plan(self, now: Situation, uses: int) -> tuple[str, list[Step]]:
        """The rule that applies and its steps with all placeholders filled; ``uses`` numbers the response.

        A note that no rule is for has an answer by its kind, or no steps if it has no kind. ``otherwise`` answers
        callers, and system messages that are no notes of ariagent. A whole sentence goes before its last part.
        """
        whole = [replace(now, said=now.together)] if now.together else []
        for heard in (*whole, now):
            for rule in self.rules:
                values = rule.when.match(heard)
                if values is not None and rule.possible(now.tools):
                    return rule.name, self.fill(rule.then, heard, uses, values)
        if now.note is not None and now.note.startswith(PREFIX):
            kind = kind_of(now.note)
            return (f"built in: {kind.name}", [Say((kind.answer,))]) if kind else ("silence", [])
        return "otherwise", self.fill(self.otherwise, now, uses, {})

    def fill(self, steps: Sequence[Step], now: Situation, uses: int, values: Mapping[str, str]) -> list[Step]:
        """The steps with placeholders replaced and optional calls resolved against ``now.tools``."""
        names: dict[str, str] = {f"company.{key}": value for key, value in self.company.items()}
        names |= {"said": now.said or "", "digits": now.digits or "", **_result_values(now.output), **values}
        filled: list[Step] = []
        for step in steps:
            if isinstance(step, Say):
                filled.append(Say((_fill_text(step.texts[uses % len(step.texts)], names),)))
            elif isinstance(step, Call):
                offered = [name for name in step.names if name in now.tools]
                if offered:
                    arguments = {key: _fill_value(value, names) for key, value in step.arguments.items()}
                    filled.append(Call((offered[0],), arguments))
            elif isinstance(step, Mcp):
                if _names(step)[0] in now.tools:
                    arguments = {key: _fill_value(value, names) for key, value in step.arguments.items()}
                    filled.append(replace(step, arguments=arguments, output=_fill_text(step.output, names)))
            else:
                filled.append(step)
        return filled

    def texts(self) -> list[str]:
        """Everything that can be said as it stands, that is, whose placeholders are the company's."""
        names = {f"company.{key}": value for key, value in self.company.items()}
        filled = [_fill_text(text, names) for step in self._steps() if isinstance(step, Say) for text in step.texts]
        return [text for text in filled if not _PLACEHOLDER.search(text)]


def _names(step: Call | Mcp) -> tuple[str, ...]:
    return step.names if isinstance(step, Call) else (f"{step.server}/{step.tool}",)


_PLACEHOLDER = re.compile(r"\{([A-Za-z_][\w.]*)\}")


def _fill_text(text: str, names: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: names.get(found[1], found[0]), text)


def _fill_value(value: Any, names: Mapping[str, str]) -> Any:
    return _fill_text(value, names) if isinstance(value, str) else value


def _result_values(output: str | None) -> dict[str, str]:
    """``{result}`` is a function's output as it is; ``{result.key}`` looks into it when it is a JSON object."""
    if output is None:
        return {}
    values = {"result": output}
    try:
        parsed = json.loads(output)
    except ValueError:
        return values
    if isinstance(parsed, dict):
        values |= {f"result.{key}": str(value) for key, value in parsed.items()}
    return values


def normalise(said: str) -> str:
    """Lower case, without punctuation, single spaces; apostrophes stay."""
    return " ".join(re.sub(r"[^\w' ]+", " ", said.lower()).split())


def digits_of_words(said: str) -> str:
    """Spoken digits as figures, runs of them joined: ``order four two seven`` becomes ``order 427``."""
    out: list[str] = []
    joined = False
    for word in said.split():
        digit = _DIGIT_WORDS.get(word)
        if digit is None:
            out.append(word)
        elif joined:
            out[-1] += digit
        else:
            out.append(digit)
        joined = digit is not None
    return " ".join(out)


_SAY_EXACTLY = re.compile(
    r"\b(?:say|speak|read|repeat)\b[^:\n]{0,60}\b(?:exactly|verbatim|word for word|this|following|these words)\b"
    r"[^:\n]{0,60}:\s*(?P<text>.+)"
    r"|\b(?:greet|open|begin|start|say|answer|tell)\b[^:\n]{0,80}:\s*(?P<loose>.+)",
    re.IGNORECASE | re.DOTALL,
)


def words_to_say(instructions: str) -> str | None:
    """The text that a response's instructions ask for, as in ``Say exactly: Good morning``; ``None`` if they do not."""
    found = _SAY_EXACTLY.search(instructions)
    if not found:
        return None
    words = (found["text"] or found["loose"]).strip()
    pairs = {'"': '"', "'": "'", "“": "”", "«": "»"}
    if words[0] in pairs:
        end = words.find(pairs[words[0]], 1)
        if end > 0:
            words = words[1:end]
    return words.strip() or None


_CODE_WORD = re.compile(r"\bcode word is (\w+)")
_COUNTED = "One, two, three, four, five, six, seven, eight, nine, ten."


def code_words(instructions: str, system: Iterable[str]) -> str | None:
    """The reply of a model that is asked for its code words, from the ``system`` messages that it knows; ``None`` if
    the instructions do not ask. ``ariagent check --probe`` finds out that way what a model knows."""
    if "code words" not in instructions:
        return None
    known = (word.capitalize() + "." for text in system for word in _CODE_WORD.findall(text))
    return " ".join([*known, _COUNTED])


_PARAPHRASES = ("Sure! {text}", "{text} Just let me know what you need.", "Well, what I am to tell you is this. {text}")


class Paraphrases:
    """How often a model may still say other words than it was told to; all sessions of a server share one."""

    def __init__(self, left: int) -> None:
        self.left = left

    def said(self, words: str) -> str:
        """The reply when ``words`` were asked for."""
        if self.left <= 0:
            return words
        self.left -= 1
        return _PARAPHRASES[self.left % len(_PARAPHRASES)].format(text=words)
