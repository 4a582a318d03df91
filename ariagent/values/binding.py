"""Values of the call in a tool's request: ariagent fills them in, the model neither sees nor chooses them. No I/O.

A site binds a name (``bound: {customer: "{caller.number}"}``), or writes ``{caller.number}`` into a URL or a header.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from urllib.parse import unquote

from ariagent.text import did_you_mean
from ariagent.values import placeholders, urls
from ariagent.values.outcome import Kind, ToolFailure

_SPOKEN = {
    "caller.number": "the caller's number",
    "caller.name": "the caller's name",
    "called.number": "the number that was dialled",
    "queue": "the queue",
}
_REMEDY = "Nothing was sent. Tell the caller that this cannot be done in this call; do not ask them for it"


def is_call_value(name: str) -> bool:
    """Whether ``{name}`` stands for a value of the call: ``caller.number``, ``variable.VIP`` ..."""
    prefix, dot, rest = name.partition(".")
    return name in placeholders.FIXED or (prefix in placeholders.OPEN and bool(dot and rest))


def name_problem(name: str) -> str | None:
    """Find what is wrong with the name of a parameter, the model's or a bound one; None: nothing."""
    if is_call_value(name):
        return (
            f"{name} is a value of the call, which the model must not choose: remove the parameter and write "
            f'{{{name}}} into url or headers, or bound: {{NAME: "{{{name}}}"}}'
        )
    return f"{name} has a dot, as values of the call have; choose another name" if "." in name else None


def text_problem(text: str) -> str | None:
    """Find what is wrong with the text of a bound value, or with a header; None: nothing."""
    for each in placeholders.templates(text):
        if not is_call_value(each.name):
            known = (*placeholders.FIXED, *(f"{prefix}.NAME" for prefix in placeholders.OPEN))
            return (
                f"{{{each.name}}} is not a value of a call{did_you_mean(each.name, known)}; known: {', '.join(known)}"
            )
    unclosed = next((text for text in placeholders.problems(text, lookups=None) if "not closed" in text), None)
    return unclosed


def bound_problem(found: str) -> str | None:
    """Find what is wrong with a bound value's text; None: nothing. A mistake in a name would send the same text for
    every caller."""
    if is_call_value(name := found.strip()):
        return f'{name} would be sent as this text; write "{{{name}}}"'
    if problem := text_problem(found):
        return problem
    left = re.search(r"[{}]", placeholders.fill(found, {}).text)
    escaped = any(f"{{{{{name}" in found for name in (*placeholders.FIXED, *placeholders.OPEN))
    if left or escaped or "${" in found:
        known = (*placeholders.FIXED, *(f"{prefix}.NAME" for prefix in placeholders.OPEN))
        return f'a value of the call is in one pair of braces, as "{{caller.number}}"; known: {", ".join(known)}'
    return None


def used(url: str, texts: Iterable[str]) -> Iterator[str]:
    """The values of the call that a URL and other texts need."""
    yield from filter(is_call_value, urls.variables(url))
    for text in texts:
        for each in placeholders.templates(text):
            yield each.name


def unavailable(names: Iterable[str], variables: Collection[str], lookups: Collection[str] | None) -> Iterator[str]:
    """The values that an agent lacks for its tools, as a remedy. ``lookups`` None: any may be found."""
    for name in dict.fromkeys(names):
        prefix, _, rest = name.partition(".")
        if prefix == "variable" and rest not in variables:
            yield f"{{{name}}} needs {rest} among the agent's variables"
        elif prefix == "lookup" and lookups is not None and rest not in lookups:
            yield f"{{{name}}} needs {rest} among the names of answer in the agent's lookup"


def fill(bound: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """The bound values of one call. Raises ToolFailure where one is not known and has no default."""
    return {name: text(each, values) for name, each in bound.items()}


def text(found: str, values: Mapping[str, str]) -> str:
    """A text with values of the call in it, of one line. Raises ToolFailure where one is not known."""
    filled = placeholders.fill(found, values)
    if filled.missing:
        raise _not_known(filled.missing[0])
    return filled.text


def value(name: str, values: Mapping[str, str]) -> str:
    """One value of the call. Raises ToolFailure where it is not known."""
    found = placeholders.clean(values.get(name, ""))
    if not found:
        raise _not_known(name)
    return found


def check_path(name: str, found: str) -> None:
    """Raises ToolFailure for a value of the call that may not be in a path."""
    if not urls.fits_path(found):
        raise ToolFailure(Kind.NOT_KNOWN, f"{_SPOKEN.get(name, name)} cannot be used for this", remedy=_REMEDY)


def taken_twice(chosen: Iterable[str], taken: Iterable[str]) -> str | None:
    """The first name that is also among the ``taken`` ones, as web frameworks take names: ``Name[]``, ``[name]`` and
    ``name.x`` for ``name``, ``customerId`` for ``customer_id``."""
    decided = {_plain(name) for name in taken}
    return next((name for name in chosen if _plain(name) in decided), None)


def refuse(arguments: Iterable[str], taken: Iterable[str]) -> None:
    """Raises ToolFailure where the model gives what the site decides."""
    decided = tuple(taken)
    for name in arguments:
        if taken_twice((name,), decided) or is_call_value(_shown(name).strip().casefold()):
            raise ToolFailure(
                Kind.BAD_ARGUMENTS,
                f"{name[:64]} is filled in by the telephone system and cannot be given",
                remedy="Leave it out, whatever the caller says",
                detail=f"{name[:64]} is bound",
            )


def _plain(name: str) -> str:
    """The letters and digits of a name, without what may stand around it."""
    parts = re.split(r"[^\w\s-]+", _shown(unquote(name)).casefold())
    plain = ("".join(filter(str.isalnum, part)) for part in parts)
    return next(filter(None, plain), "")


def _shown(name: str) -> str:
    """The text without marks and invisible characters."""
    spelt = unicodedata.normalize("NFKD", name)
    return "".join(character for character in spelt if unicodedata.category(character) not in ("Cf", "Mn"))


def _not_known(name: str) -> ToolFailure:
    return ToolFailure(Kind.NOT_KNOWN, f"{_SPOKEN.get(name, name)} is not known", remedy=_REMEDY, detail=name)
