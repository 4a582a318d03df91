"""Templates in instructions: ``{caller.name}``, ``{variable.VIP|no}``. No I/O; knows no settings.

Only known names are templates: anything else in braces (JSON, say) stays as it is. A second opening brace makes a
template plain text: ``{{caller.name}}`` becomes ``{caller.name}``.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

FIXED = (
    "caller.number",
    "caller.name",
    "called.number",
    "queue",
    "call.id",
    "agent.name",
    "now.date",
    "now.time",
    "now.weekday",
)
"""Names that every call has, if with an empty value."""

OPEN = ("variable", "lookup")
"""Prefixes of names that the site declares."""

MAX_VALUE_CHARS = 200
"""A longer value is cut."""

_START = r"\{(?:call|caller|called|agent|now|variable|lookup)\.|\{queue(?=[|}])"
_TEMPLATE = re.compile(
    rf"(?P<escaped>\{{)?(?:{_START})(?P<rest>[^{{}}|\n]*)(?:\|(?P<default>[^{{}}]*))?\}}(?(escaped)\}}?)"
)
_STARTED = re.compile(rf"(?<!\{{)(?:{_START})")


@dataclass(frozen=True, slots=True)
class Template:
    """One place of a text that is to be filled in."""

    name: str
    """The name of the value, such as ``caller.number``."""
    default: str | None
    """The text if there is no value; None: there is none, and the log notes the missing value."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A text with its templates filled in."""

    text: str
    used: dict[str, str]
    """Names that had a value, and the cleaned value."""
    missing: tuple[str, ...]
    """Names that had neither value nor default, in their order, each once."""


def templates(text: str) -> Iterator[Template]:
    """The templates of a text, known names or not."""
    for match in _TEMPLATE.finditer(text):
        if not match["escaped"]:
            yield _template(match)


def problems(text: str, variables: tuple[str, ...] = (), lookups: tuple[str, ...] | None = ()) -> Iterator[str]:
    """The mistakes in a text's templates, in words for its author.

    ``variables``, ``lookups``: the declared names; None: every name may exist.
    """
    for template in templates(text):
        prefix, _, name = template.name.partition(".")
        shown = f"{{{template.name}}}"
        if prefix == "variable":
            if name not in variables:
                yield f"{shown} needs {name or 'a name'} among the agent's variables"
        elif prefix == "lookup":
            if lookups is not None and name not in lookups:
                known = f"its answer has {', '.join(lookups)}" if lookups else "the agent has no such lookup"
                yield f"{shown} is not looked up: {known}"
        elif template.name not in FIXED:
            yield f"{shown} is not known (known: {', '.join(FIXED)}, variable.NAME, lookup.NAME)"
    for match in _STARTED.finditer(_TEMPLATE.sub(" ", text)):
        yield f"{match[0]}... is not closed; write {{{match[0]} where it is not a template"


def fill(text: str, values: Mapping[str, str]) -> Filled:
    """Put values in their places. Never raises; what is no template stays as it is."""
    used: dict[str, str] = {}
    missing: dict[str, None] = {}

    def put(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "{" + match[0].lstrip("{").rstrip("}") + "}"
        template = _template(match)
        if value := clean(values.get(template.name, "")):
            used[template.name] = value
            return value
        if template.default is None:
            missing[template.name] = None
        return template.default or ""

    return Filled(_TEMPLATE.sub(put, text), used, tuple(missing))


def clean(value: str) -> str:
    """A value from outside as harmless text of one line: at most ``MAX_VALUE_CHARS``, no control or invisible
    characters, white space as single spaces."""
    # Characters that can be given to no one: C are controls, direction marks, halves of surrogates, unassigned ones.
    shown = "".join(
        " " if character.isspace() else character
        for character in value[: MAX_VALUE_CHARS * 10]
        if character.isspace() or not unicodedata.category(character).startswith("C")
    )
    return " ".join(shown.split())[:MAX_VALUE_CHARS].rstrip()


def _template(match: re.Match[str]) -> Template:
    name = match[0].lstrip("{").partition("|")[0].rstrip("}")
    return Template(name.strip(), match["default"])
