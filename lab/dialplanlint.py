"""CORE but for ``main``: finds places of a dialplan in which a text that somebody else chose would be obeyed.

Asterisk puts a value into the line before it reads the line. A caller's number inside ``$[ ]`` is part of the
expression, in the arguments of an application it may be another argument, and in those of a function it may end them.
Only ``Set(NAME=value)`` takes a value as it is. So such a text may stand there and nowhere else. ``[ariagent-clean]``,
which is the one exception, makes a text of it that may stand everywhere.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ariagent import shipped
from ariagent.install.choices import Choices
from ariagent.install.render import Additions, site_files

CLEANER = "ariagent-clean"
VARIABLES = frozenset(
    {
        "EXTEN",
        "INVALID_EXTEN",
        "CHANNEL",
        "BLINDTRANSFER",
        "ATTENDEDTRANSFER",
        "FORWARDERNAME",
        "TRANSFERERNAME",
        "BRIDGEPEER",
        "DIALEDPEERNAME",
        "DIALEDPEERNUMBER",
        "SIPDOMAIN",
        "SIPREFERREDBYHDR",
        "SIPREFERTOHDR",
        "SIPCALLID",
        "ARIAGENT_REASON",
        "ARIAGENT_SUMMARY",
        "ARIAGENT_FIELDS",
    }
)
"""Variables that hold what a caller, a phone or the model has chosen; ``EXTEN`` unless its pattern says otherwise."""
FUNCTIONS = frozenset(
    {
        "CALLERID",
        "CONNECTEDLINE",
        "REDIRECTING",
        "HASH",
        "PJSIP_HEADER",
        "PJSIP_HEADERS",
        "PJSIP_RESPONSE_HEADER",
        "SIP_HEADER",
        "SIPPEER",
        "CHANNEL",
        "CDR",
        "DB",
        "CURL",
        "SHELL",
        "ENV",
        "EVAL",
    }
)
"""Functions that return such texts."""
WORDS = frozenset({"state", "channeltype", "linkedid", "uniqueid"})
"""Values of CHANNEL() that are words of Asterisk's own."""
WRITABLE = frozenset({"CALLERID", "CONNECTEDLINE", "PJSIP_HEADER"})
"""Functions that may be set to such a text: they take it as it is."""

_LINE = re.compile(r"^\s*(exten|same|switch|eswitch|lswitch)\s*=>?\s*(.*)$", re.IGNORECASE)
_APPLICATION = re.compile(r"([A-Za-z]\w*)\((.*)\)\s*$", re.DOTALL)
_SET = re.compile(r"_{0,2}(?:(?P<variable>\w+)|(?P<function>\w+)\(.*?\))=(?P<value>.*)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Finding:
    """One text that would be obeyed."""

    file: str
    line: int
    reference: str
    place: str

    def __str__(self) -> str:
        return (
            f"{self.file}:{self.line}: {self.reference} is {self.place}, and others choose what it holds. "
            f"Make it clean first: Gosub({CLEANER},number,1(NAME)), word or channel, then use ${{ARIAGENT_CLEAN}}"
        )


@dataclass(slots=True)
class _Part:
    """``${...}`` or ``$[...]`` and what is in it."""

    opening: str
    text: str = ""
    """The text as it is written, without the brackets."""
    inner: list["_Part"] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name of the variable or function; empty where it is made of another one's value."""
        found = re.match(r"\w+", self.text)
        return found[0] if found else ""

    @property
    def is_function(self) -> bool:
        return self.text[len(self.name) :].startswith("(")


@dataclass(frozen=True, slots=True)
class _Step:
    """One line of a context."""

    file: str
    line: int
    context: str
    extension: str
    application: str
    arguments: str


def findings(texts: Mapping[str, str]) -> list[Finding]:
    """Find what is wrong in the files of one dialplan. ``texts``: file -> text. No I/O."""
    steps = [step for file, text in texts.items() for step in _steps(file, text)]
    tainted = _tainted(steps)
    return [found for step in steps if step.context != CLEANER for found in _wrong(step, tainted)]


def _tainted(steps: list[_Step]) -> set[str]:
    """The variables that are set to such a text somewhere, directly or by another variable."""
    tainted = set(VARIABLES)
    while True:
        more = {
            target["variable"]
            for step in steps
            if step.context != CLEANER and (target := _target(step)) is not None and target["variable"]
            if any(_is_raw(part, step, tainted) for part in _parts(target["value"]))
        }
        if more <= tainted:
            return tainted
        tainted |= more


def _target(step: _Step) -> "re.Match[str] | None":
    return _SET.match(step.arguments) if step.application == "Set" else None


def _wrong(step: _Step, tainted: set[str]) -> Iterator[Finding]:
    target = _target(step)
    as_it_is = target is not None and (target["variable"] or target["function"] in WRITABLE)
    value = target["value"] if target is not None and as_it_is else ""
    rest = step.arguments[: len(step.arguments) - len(value)]
    for part in _parts(value):
        yield from _inside(part, step, tainted)
    for part in _parts(rest):
        if _is_raw(part, step, tainted):
            yield Finding(step.file, step.line, f"${{{part.text}}}", f"in the arguments of {step.application}")
        yield from _inside(part, step, tainted)


def _inside(part: _Part, step: _Step, tainted: set[str]) -> Iterator[Finding]:
    """Such texts within an expression or the arguments of a function."""
    place = "inside $[ ]" if part.opening == "$[" else f"in the arguments of the function {part.name or '?'}"
    for inner in part.inner:
        # ${${ARG1}} names a variable by another one: that is the outer one's affair.
        if _is_raw(inner, step, tainted) and (part.opening == "$[" or part.is_function):
            yield Finding(step.file, step.line, f"${{{inner.text}}}", place)
        yield from _inside(inner, step, tainted)


def _is_raw(part: _Part, step: _Step, tainted: set[str]) -> bool:
    if part.opening == "$[":
        return False
    if not part.name:
        return True
    if part.is_function:
        argument = part.text[len(part.name) + 1 :].partition(")")[0]
        return part.name in FUNCTIONS and not (part.name == "CHANNEL" and argument in WORDS)
    if part.name == "EXTEN":
        return not _is_plain(step.extension)
    return part.name in tainted


def _is_plain(extension: str) -> bool:
    """Whether it matches nothing but letters, digits and signs of a number."""
    if not extension.startswith("_"):
        return True
    return re.fullmatch(r"_(?:[0-9A-Za-z+*#-]|\[[0-9A-Za-z+*#-]+\])+", extension) is not None


def _steps(file: str, text: str) -> Iterator[_Step]:
    context = extension = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if head := re.match(r"\[([^\]]*)\]", line):
            context = head[1]
            continue
        found = _LINE.match(re.sub(r"(?<!\\);.*", "", line))
        if found is None or context in ("", "general", "globals"):
            continue
        kind, rest = found[1].lower(), found[2].strip()
        if kind in ("exten", "same"):
            if kind == "exten":
                extension, _, rest = rest.partition(",")
                extension = extension.partition("/")[0]  # behind it: for which callers' numbers
            priority, _, rest = rest.partition(",")
            if priority.strip() == "hint":
                continue  # no application: the name of a device
            call = _APPLICATION.match(rest.strip())
            yield _Step(file, number, context, extension.strip(), *((call[1], call[2]) if call else (rest, "")))
        else:
            yield _Step(file, number, context, "s", kind, rest)


def _parts(text: str) -> list[_Part]:
    return _read(text, 0, "")[0]


def _read(text: str, at: int, closing: str) -> tuple[list[_Part], int]:
    """The parts from ``at`` on, up to ``closing``, and where that is."""
    parts: list[_Part] = []
    depth = 0
    opening = {"}": "{", "]": "["}.get(closing, "")
    while at < len(text):
        if text[at : at + 2] in ("${", "$["):
            inner, end = _read(text, at + 2, "}" if text[at + 1] == "{" else "]")
            parts.append(_Part(text[at : at + 2], text[at + 2 : end], inner))
            at = end + 1
            continue
        if closing and text[at] == closing:
            if not depth:
                return parts, at
            depth -= 1
        elif opening and text[at] == opening:
            depth += 1
        at += 1
    return parts, at


def ours() -> dict[str, str]:
    """File -> text of every dialplan of ariagent's: as it ships, as ``ariagent install`` writes it, and the lab's."""
    choices = Choices(
        human_queue="support",
        last_resort="from-internal,500,1",
        numbers=("7000", "*70"),
        direct_numbers=("7001",),
        contexts=("phones",),
        supervisor_contexts=("phones",),
        supervisors="1004&PJSIP/1005",
        code="*88",
    )
    written = site_files(choices, Additions({}), "x", "x")
    texts = {name: shipped.text(name) for name in shipped.names() if name.startswith("dialplan/")}
    texts |= {f"ariagent install: {name}": written[name] for name in ("extensions.conf", "dialplan.conf")}
    return texts | {"lab/site/extensions.conf": (Path(__file__).parent / "site" / "extensions.conf").read_text()}


def main() -> int:
    """``python -m lab.dialplanlint``: 1 if something is found."""
    found = findings(ours())
    for each in found:
        sys.stdout.write(f"{each}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
