"""Scenario files (YAML), read strictly: whatever is not understood is an error with file, line and key."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from ariagent.errors import ConfigurationError
from ariagent.sandbox.faults import Faults
from ariagent.sandbox.notes import BY_NAME
from ariagent.sandbox.options import DEFAULT_SCENARIO
from ariagent.sandbox.scenario import (
    Call,
    Fail,
    Mcp,
    McpServer,
    Phrase,
    Rule,
    Say,
    Scenario,
    Step,
    Stop,
    Wait,
    When,
    normalise,
)

_PHONES = "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"
"""ARPAbet without stress marks, as in the recogniser's dictionary."""
DEFAULT_DIGITS = r"(?:press|pressed|dtmf|digits?|keys?)\W+(?:the\W+)?(?:digits?\W+|keys?\W+)?([0-9*#]+)"


class _Node:
    """A YAML node with its place in the file."""

    def __init__(self, source: str, node: yaml.Node, path: str) -> None:
        self.source = source
        self.node = node
        self.path = path

    def error(self, message: str, remedy: str = "") -> ConfigurationError:
        line = self.node.start_mark.line + 1
        where = f"{self.source}, line {line}" + (f", key {self.path}" if self.path else "")
        return ConfigurationError(f"{where}: {message}", remedy=remedy)

    def mapping(self, *allowed: str) -> dict[str, "_Node"]:
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error("expected keys and values")
        found: dict[str, _Node] = {}
        for key_node, value in self.node.value:
            key = str(key_node.value)
            child = _Node(self.source, value, f"{self.path}.{key}" if self.path else key)
            if key in found:
                raise _Node(self.source, key_node, child.path).error("given twice")
            if allowed and key not in allowed:
                remedy = f"Known here: {', '.join(allowed)}"
                raise _Node(self.source, key_node, child.path).error("unknown key", remedy)
            found[key] = child
        return found

    def items(self) -> Iterator["_Node"]:
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error("expected a list")
        for index, child in enumerate(self.node.value):
            yield _Node(self.source, child, f"{self.path}[{index}]")

    @property
    def is_list(self) -> bool:
        return isinstance(self.node, yaml.SequenceNode)

    def scalar(self) -> Any:
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.error("expected a single value")
        return yaml.SafeLoader("").construct_object(self.node)

    def text(self) -> str:
        if not isinstance(self.node, yaml.ScalarNode) or not self.node.value.strip():
            raise self.error("expected a text")
        return str(self.node.value).strip()

    def number(self, low: float, high: float) -> float:
        value = self.scalar()
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.error(f"expected a number from {low:g} to {high:g}")
        return float(value)

    def seconds(self, high: float = 600) -> float:
        """A number of seconds, with or without the unit: ``2`` or ``2s``."""
        value = str(self.node.value) if isinstance(self.node, yaml.ScalarNode) else ""
        try:
            found = float(value.removesuffix("s"))
        except ValueError:
            found = -1.0
        if not 0 <= found <= high:
            raise self.error(f"expected seconds from 0 to {high:g}, for example 2 or 2s")
        return found

    def flag(self) -> bool:
        value = self.scalar()
        if not isinstance(value, bool):
            raise self.error("expected true or false")
        return value

    def plain(self) -> Any:
        return yaml.SafeLoader("").construct_object(self.node, deep=True)

    def pattern(self, text: str) -> re.Pattern[str]:
        try:
            return re.compile(text, re.IGNORECASE)
        except re.error as error:
            raise self.error(f"not a regular expression: {error}") from error


KnownWord = Callable[[str], bool]


def load_scenario(path: Path = DEFAULT_SCENARIO, known_word: KnownWord | None = None) -> Scenario:
    """Read a scenario file; ``known_word`` tells whether the recogniser's dictionary has a word.

    Raises :class:`ConfigurationError` with file, line and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read scenario {path}: {error}") from error
    return parse_scenario(text, str(path), known_word)


def parse_scenario(text: str, source: str, known_word: KnownWord | None = None) -> Scenario:
    """A scenario from the text of its file; see :func:`load_scenario`."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{source}, line {line}: not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{source}: not YAML: {error}") from error
    if node is None:
        raise ConfigurationError(f"{source}, line 1: the scenario is empty")
    top = _Node(source, node, "")
    keys = top.mapping(
        "company", "opening", "rules", "otherwise", "digits", "phrases", "pronunciations", "mcp", "faults"
    )
    if "otherwise" not in keys:
        raise top.error("key otherwise is missing", "Say what to do when no rule matches")
    company = {}
    if "company" in keys:
        company = {key: child.text() for key, child in keys["company"].mapping().items()}
    pronunciations = _pronunciations(keys["pronunciations"]) if "pronunciations" in keys else {}
    grammar = _Grammar(known_word and (lambda word: word in pronunciations or known_word(word)))
    rules = tuple(_rule(child, grammar) for child in keys["rules"].items()) if "rules" in keys else ()
    if "phrases" in keys:
        for child in keys["phrases"].items():
            grammar.add(child, child.text())
    digits = keys["digits"].pattern(keys["digits"].text()) if "digits" in keys else re.compile(DEFAULT_DIGITS, re.I)
    if not digits.groups:
        raise keys["digits"].error("needs one group, the key that was pressed")
    opening = _steps(keys["opening"]) if "opening" in keys else (Say(("Hello, how can I help you?",)),)
    return Scenario(
        company,
        opening,
        rules,
        _steps(keys["otherwise"]),
        digits,
        tuple(grammar.expansions),
        pronunciations,
        source,
        {label: _server(child) for label, child in keys["mcp"].mapping().items()} if "mcp" in keys else {},
        _faults(keys["faults"]) if "faults" in keys else Faults(),
    )


def _server(node: _Node) -> McpServer:
    keys = node.mapping("tools", "takes", "fail")
    return McpServer(
        tools=tuple(child.text() for child in keys["tools"].items()) if "tools" in keys else (),
        takes=keys["takes"].seconds() if "takes" in keys else 0.0,
        fail=keys["fail"].flag() if "fail" in keys else False,
    )


def _faults(node: _Node) -> Faults:
    texts = [child.text() for child in node.items()] if node.is_list else [node.text()]
    try:
        return Faults.parse(",".join(texts))
    except ConfigurationError as error:
        raise node.error(str(error), error.remedy) from error


def _pronunciations(node: _Node) -> dict[str, str]:
    found = {}
    for word, child in node.mapping().items():
        phones = child.text().upper().split()
        if wrong := sorted(set(phones) - set(_PHONES.split())):
            raise child.error(f"no such phones: {', '.join(wrong)}", f"Known: {_PHONES}")
        found[word.lower()] = " ".join(phones)
    return found


class _Grammar:
    """Collects what the recogniser listens for and checks its words against the dictionary."""

    _RULES = ("digit", "digits")

    def __init__(self, known_word: KnownWord | None) -> None:
        self._known_word = known_word
        self.expansions: list[str] = []

    def add(self, node: _Node, expansion: str) -> None:
        """Add a JSGF expansion: words with ``[optional]``, ``(one | other)``, ``<digit>`` and ``<digits>``."""
        if re.search(r"[;={}/\\]", expansion):
            raise node.error("phrases may use only words, [ ], ( ), |, * , + and <digit> or <digits>")
        for opening, closing in ("[]", "()", "<>"):
            if expansion.count(opening) != expansion.count(closing):
                raise node.error(f"unbalanced {opening} {closing}")
        for reference in re.findall(r"<([^>]*)>", expansion):
            if reference not in self._RULES:
                raise node.error(f"no rule <{reference}>", "Use <digit> or <digits>")
        words = re.sub(r"<[^>]*>", " ", expansion.lower())
        lowered = expansion.lower().replace(",", " ").replace(".", " ").replace("?", " ").replace("!", " ")
        missing = sorted({word for word in normalise(words).split() if self._known_word and not self._known_word(word)})
        if missing:
            raise node.error(
                f"the recogniser's dictionary lacks: {', '.join(missing)}",
                "Use another spelling, or write the figure as a word",
            )
        cleaned = " ".join(lowered.split())
        if cleaned and cleaned not in self.expansions:
            self.expansions.append(cleaned)


def _rule(node: _Node, grammar: _Grammar) -> Rule:
    keys = node.mapping("name", "when", "then")
    for needed in ("when", "then"):
        if needed not in keys:
            raise node.error(f"key {needed} is missing")
    name = keys["name"].text() if "name" in keys else node.path
    return Rule(name, _when(keys["when"], grammar), _steps(keys["then"]))


def _when(node: _Node, grammar: _Grammar) -> When:
    keys = node.mapping("said", "note", "digits", "turn", "tool_result", "contains", "silence", "metadata")
    if not keys:
        raise node.error("a rule needs a condition")
    digits = None
    if "digits" in keys:
        digits = re.escape(keys["digits"].text()) if keys["digits"].text() in "*#" else keys["digits"].text()
        keys["digits"].pattern(digits)
    said: tuple[Phrase, ...] = ()
    if "said" in keys:
        nodes = list(keys["said"].items()) if keys["said"].is_list else [keys["said"]]
        said = tuple(_phrase(child, grammar) for child in nodes)
    metadata: tuple[tuple[str, str], ...] = ()
    if "metadata" in keys:
        metadata = tuple((key, child.text()) for key, child in keys["metadata"].mapping().items())
    return When(
        said=said,
        note=_notes(keys["note"]) if "note" in keys else (),
        digits=digits,
        turn=int(keys["turn"].number(0, 1e6)) if "turn" in keys else None,
        tool_result=keys["tool_result"].text() if "tool_result" in keys else None,
        contains=keys["contains"].text() if "contains" in keys else None,
        silence=keys["silence"].flag() if "silence" in keys else None,
        metadata=metadata,
    )


def _notes(node: _Node) -> tuple[Phrase, ...]:
    """Nobody says a note, so it adds nothing to the grammar; ``true`` is any."""
    if not node.is_list and node.scalar() is True:
        return (Phrase(pattern=re.compile("")),)
    return tuple(_note(child) for child in (node.items() if node.is_list else (node,)))


def _note(node: _Node) -> Phrase:
    """A kind of note by its name, or words of it."""
    name = node.node.value if isinstance(node.node, yaml.ScalarNode) else ""
    if name in BY_NAME:
        return Phrase(kind=name)
    if re.fullmatch(r"[a-z]+(_[a-z]+)+", name):
        raise node.error(f"no such kind of note: {name}", f"Known: {', '.join(BY_NAME)}")
    return _phrase(node, None)


def _phrase(node: _Node, grammar: "_Grammar | None") -> Phrase:
    if node.is_list:
        words = tuple(normalise(child.text()) for child in node.items())
        return Phrase(words=words, in_a_row=False)
    text = node.text()
    if len(text) > 2 and text.startswith("/") and text.endswith("/"):
        return Phrase(pattern=node.pattern(text[1:-1]))
    if grammar is not None:
        grammar.add(node, text)
    return Phrase(words=tuple(normalise(text).split()))


def _steps(node: _Node) -> tuple[Step, ...]:
    if isinstance(node.node, yaml.ScalarNode):
        return (Say((node.text(),)),)
    steps = tuple(_step(child) for child in node.items())
    if not steps:
        raise node.error("nothing to do")
    return steps


def _step(node: _Node) -> Step:
    if isinstance(node.node, yaml.ScalarNode):
        return Say((node.text(),))
    keys = node.mapping("say", "call", "mcp", "wait", "fail", "stop")
    if len(keys) != 1:
        raise node.error("a step is one of say, call, mcp, wait, fail, stop")
    kind, value = next(iter(keys.items()))
    if kind == "say":
        texts = tuple(child.text() for child in value.items()) if value.is_list else (value.text(),)
        return Say(texts)
    if kind == "wait":
        return Wait(value.number(0, 600))
    if kind == "stop":
        if value.text() not in ("content_filter", "max_output_tokens"):
            raise value.error("expected content_filter or max_output_tokens")
        return Stop(value.text())
    if kind == "mcp":
        return _mcp(value)
    return _call(value) if kind == "call" else _fail(value)


def _mcp(node: _Node) -> Mcp:
    keys = node.mapping("server", "tool", "arguments", "output", "takes", "fail", "before_done", "optional")
    for needed in ("server", "tool"):
        if needed not in keys:
            raise node.error(f"key {needed} is missing")
    output = ""
    if "output" in keys:
        shape = keys["output"].plain()
        output = shape if isinstance(shape, str) else json.dumps(shape)
    return Mcp(
        server=keys["server"].text(),
        tool=keys["tool"].text(),
        arguments={key: child.plain() for key, child in keys["arguments"].mapping().items()}
        if "arguments" in keys
        else {},
        output=output,
        takes=keys["takes"].seconds() if "takes" in keys else 0.0,
        error=_mcp_error(keys["fail"]) if "fail" in keys else None,
        before_done=keys["before_done"].flag() if "before_done" in keys else False,
        optional=keys["optional"].flag() if "optional" in keys else False,
    )


def _mcp_error(node: _Node) -> dict[str, Any]:
    """A text is what the tool reports; ``{code, message}`` is an HTTP error of its server."""
    if isinstance(node.node, yaml.ScalarNode):
        return {"type": "tool_execution_error", "message": node.text()}
    keys = node.mapping("code", "message")
    for needed in ("code", "message"):
        if needed not in keys:
            raise node.error(f"key {needed} is missing")
    return {"type": "http_error", "code": int(keys["code"].number(100, 599)), "message": keys["message"].text()}


def _call(node: _Node) -> Call:
    keys = node.mapping("name", "arguments", "optional")
    if "name" not in keys:
        raise node.error("key name is missing")
    name = keys["name"]
    names = tuple(child.text() for child in name.items()) if name.is_list else (name.text(),)
    arguments: dict[str, Any] = {}
    if "arguments" in keys:
        arguments = {key: child.plain() for key, child in keys["arguments"].mapping().items()}
    return Call(names, arguments, keys["optional"].flag() if "optional" in keys else False)


def _fail(node: _Node) -> Fail:
    keys = node.mapping("type", "code", "message")
    texts = {key: child.text() for key, child in keys.items()}
    code = texts.get("code", "server_error")
    default = "tokens" if code == "rate_limit_exceeded" else "server_error"
    message = texts.get("message", f"The scenario made this response fail ({code}).")
    return Fail(texts.get("type", default), code, message)
