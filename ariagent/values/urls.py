"""URL templates: ``{name}`` in path or query, filled so that a value never becomes structure. No I/O.

Percent-encoding alone (RFC 3986, section 2) does not do for a path: many servers and proxies decode ``%2F`` before
they route, and take ``..`` away. So a value in a path may neither be empty nor hold a slash.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from ariagent.values.outcome import Kind, ToolFailure, json_text

MAX_LENGTH = 8000
"""Characters of a URL."""

_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.()-]*)\}")
_TEMPLATE = re.compile(
    r"https?://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[A-Za-z0-9._~%!$&'()*+,;=:@/-]*)?(\?(?P<query>[A-Za-z0-9._~%!$&'()*+,;=:@/?-]*))?"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DECODED = 3
"""Times."""

Value = str | int | float | bool


def variables(template: str) -> tuple[str, ...]:
    """The names in a template, in their order, each once."""
    return tuple(dict.fromkeys(_VARIABLE.findall(template)))


def host(template: str) -> str:
    """The host of a template that has no problem; without the brackets of an IPv6 address."""
    return urlsplit(template).hostname or ""


def query_keys(template: str) -> frozenset[str]:
    """The names that are in a template's query already."""
    return frozenset(name for name, _ in parse_qsl(template.partition("?")[2], keep_blank_values=True))


def in_query(template: str, key: str) -> str:
    """The values of a name in a template's query."""
    found = parse_qsl(template.partition("?")[2], keep_blank_values=True)
    return " ".join(value for name, value in found if name == key)


def problem(template: str) -> str | None:
    """The mistake in a template; None: there is none."""
    if "@" in template.partition("://")[2].partition("/")[0]:
        return "must not hold credentials; put them into headers"
    # A variable that is not where it may be leaves its braces in a part that allows none.
    head, slash, rest = template.partition("://")
    authority, place, tail = _split(rest)
    match = _TEMPLATE.fullmatch(head + slash + authority + place + _VARIABLE.sub("x", tail))
    if _VARIABLE.search(head + authority):
        return "{name} may be in the path and in the query only"
    if "#" in template:
        return "must have no fragment (#)"
    if match is None:
        if not template.startswith(("http://", "https://")):
            return "must be a URL that starts with http:// or https://"
        return "must be a URL of ASCII letters, digits and punctuation, others written as %XX, variables as {name}"
    if match["port"] and not 0 < int(match["port"]) < 65536:
        return "has a port that cannot be"
    if _climbs(match["path"] or ""):
        return "must not have . or .. in its path"
    return None


def fill(template: str, values: Mapping[str, Value], rest: Iterable[tuple[str, Value]] = ()) -> str:
    """The URL: ``values`` put in place of their names, ``rest`` added to the query.

    Raises ToolFailure (bad arguments) where a value is missing, or may not stand where it would.
    """
    path, question, query = template.partition("?")
    path = _VARIABLE.sub(lambda match: _in_path(match[1], _value(match[1], values)), path)
    query = _VARIABLE.sub(lambda match: _escape(match[1], _value(match[1], values)), query)
    added = "&".join(f"{_escape(name, name)}={_escape(name, value)}" for name, value in rest)
    url = f"{path}{question or ('?' if added else '')}{query}{'&' if query and added else ''}{added}"
    if _climbs(urlsplit(url).path):
        raise _refused("the arguments are not part of a path")
    if len(url) > MAX_LENGTH:
        raise _refused("the arguments are too long")
    return url


def path_variables(template: str) -> tuple[str, ...]:
    """The names in a template's path."""
    return variables(template.partition("?")[0])


def fits_path(text: str) -> bool:
    """Whether a value may be in a path, also at a server that decodes it again, or by compatibility (``．．／``)."""
    seen = _as_decoded(text)
    return bool(text) and not (_climbs(text) or re.search(r"[/\\]", seen) or _CONTROL.search(seen))


def text_of(value: Value) -> str:
    """A value as it is in a URL: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json_text(value)


def _split(rest: str) -> tuple[str, str, str]:
    """The authority behind ``://``, the character that ends it, and the rest."""
    for at, character in enumerate(rest):
        if character in "/?#":
            return rest[:at], character, rest[at + 1 :]
    return rest, "", ""


def _value(name: str, values: Mapping[str, Value]) -> str:
    if name not in values:
        raise _refused(f"{name} is missing")
    return text_of(values[name])


def _in_path(name: str, text: str) -> str:
    if not fits_path(text):
        raise _refused(f"{name} must be neither empty nor hold a slash")
    return _escape(name, text)


def _as_decoded(text: str) -> str:
    """The text as a server may read it that decodes more often than it should."""
    for _ in range(_DECODED):
        text = unicodedata.normalize("NFKC", unquote(text))
    return "".join(character for character in text if unicodedata.category(character) != "Cf")


def _escape(name: str, value: Value) -> str:
    try:
        return quote(text_of(value), safe="")
    except UnicodeEncodeError:
        raise _refused(f"{name} is not valid text") from None


def _climbs(path: str) -> bool:
    # The text after a semicolon is a segment's parameters.
    return any(_as_decoded(segment).partition(";")[0].strip() in (".", "..") for segment in path.split("/"))


def _refused(cause: str) -> ToolFailure:
    return ToolFailure(Kind.BAD_ARGUMENTS, cause, remedy="Ask the caller again")
