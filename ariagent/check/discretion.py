"""CORE: removes private data from a support bundle: secrets, and by default spoken words and telephone numbers.

A field of an event is shown only if its name is known here (``SHOWN``, ``FREE``). Text in any other field is replaced
by its length. A test compares every field that ariagent logs with these names.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

from pydantic import BaseModel, SecretStr

from ariagent.redaction import HIDDEN, Redaction

SHORTEST = 4
"""Length of the shortest secret that is searched for. In a bundle it does no harm to hide a word too many."""

WORDS = frozenset(("said", "arguments", "output", "text", "cut", "when", "description"))
"""Fields with what was said, or passed to the model or to a tool."""
NUMBERS = frozenset(("caller", "number"))
"""Fields with a caller's number."""
FREE = frozenset(
    ("cause", "detail", "message", "remedy", "trace", "was", "now", "leg", "place", "channel", "address", "do")
)
"""Fields of free text: secrets and telephone numbers are removed from it."""
SHOWN = frozenset(
    (
        *("Interface", "Paused", "Reason", "again_s", "agent", "agents", "app", "asterisk", "audio", "audiosocket"),
        *(
            "announcement",
            "birth",
            "by",
            "call",
            "changed",
            "code",
            "date",
            "destination",
            "directory",
            "event",
            "fault",
        ),
        *("file", "format", "host", "id", "item", "kind", "language", "level", "logger", "media", "method", "missing"),
        *(
            "machine",
            "mode",
            "model",
            "name",
            "names",
            "unfinished",
            "part",
            "peer",
            "path",
            "prompt",
            "properties",
            "queue",
        ),
        *(
            "queue_call",
            "queues",
            "reason",
            "response",
            "result",
            "seat",
            "seen",
            "server",
            "service",
            "setting",
            "sign",
            "signal",
            "socket",
            "state",
            "status",
            "switch",
            "time",
        ),
        *("to", "tool", "type", "url", "user", "uuid", "variable", "version", "way", "what", "why"),
    )
)
"""Fields with names, ids and words of ariagent's own."""

SECRET_KEYS = frozenset(("sha256",))
"""Settings that are not secrets, but help to guess one."""
HARMLESS_QUERY = frozenset(("model", "api-version", "deployment", "intent"))

_CREDENTIALS = re.compile(r"(?<=://)[^\s/@\"'<>]+@")
_QUERY = re.compile(r"([?&])([^=&?\s\"'<>]+)=([^&\s\"'<>]+)")
_BEARER = re.compile(r"\b(bearer|basic|token)(\s+|=|:\s*)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_API_KEY = re.compile(r"\bsk-[A-Za-z0-9_-]{6,}")
_NUMBER = re.compile(r"(?<![\w-])(?<!\d\.)(?!\d{4}-\d\d-\d\d(?!\d))\+?\d(?:[ ()/-]{0,2}\d){5,}(?![\w-]|\.\d)")
"""Six or more digits, except dates, call ids (``1795357064.12``) and UUIDs."""
_FIELD = re.compile(r' ([A-Za-z_]\w*)=("(?:[^"\\]|\\.)*"|[^\s"]*)')

Json = Any


class Discretion:
    """Removes ``secrets`` from texts. ``words``: spoken words and telephone numbers are kept."""

    def __init__(self, secrets: Iterable[str], *, words: bool = False) -> None:
        self._redact: Callable[[str], str] = Redaction(secrets, shortest=SHORTEST)
        self._words = words

    def safe(self, text: str) -> str:
        """A text without secrets and everything that looks like one."""
        text = self._redact(text)
        text = _CREDENTIALS.sub(f"{HIDDEN}@", text)
        text = _QUERY.sub(_query, text)
        text = _BEARER.sub(rf"\1\2{HIDDEN}", text)
        return _API_KEY.sub(f"sk-{HIDDEN}", text)

    def text(self, text: str) -> str:
        """Free text, for example an error, without secrets and (by default) telephone numbers."""
        text = self.safe(text)
        return text if self._words else _NUMBER.sub("(number)", text)

    def said(self, text: str) -> str:
        """Spoken words, or text that was written for a caller; by default only its length."""
        return self.safe(text) if self._words or not text else f"({len(text)} characters)"

    def number(self, text: str) -> str:
        """A caller's number."""
        return self.safe(text) if self._words or text in ("", "-") else "(number)"

    def fields(self, fields: Mapping[str, Json]) -> dict[str, Json]:
        """An event's fields."""
        return {str(key): self._field(str(key), value) for key, value in fields.items()}

    def _field(self, key: str, value: Json) -> Json:
        if value is None or isinstance(value, bool | int | float):
            return value
        if not isinstance(value, str):
            if key in FREE or key in SHOWN:
                return self.value(value)
            return self.said(json.dumps(value, default=str))
        if key in NUMBERS:
            return self.number(value)
        if key in SHOWN or key in FREE:
            return self.text(value)
        return self.said(value)

    def value(self, value: Json) -> Json:
        """Any JSON value; every text in it is treated as free text."""
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {self.text(str(key)): self.value(each) for key, each in value.items()}
            case list() | tuple():
                return [self.value(each) for each in value]
            case _:
                return value

    def line(self, line: str) -> str:
        """A line of ariagent's log, as text or JSON. Any other line is treated as free text."""
        if line.startswith("{"):
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                entry = None
            if isinstance(entry, dict):
                return json.dumps(self.fields(entry), ensure_ascii=False)
        pieces, end = [], 0
        for field in _FIELD.finditer(line):
            pieces += [self.text(line[end : field.start()]), self._shown(field)]
            end = field.end()
        return "".join((*pieces, self.text(line[end:])))

    def _shown(self, found: re.Match[str]) -> str:
        key, text = found[1], found[2]
        value = _unquoted(text)
        kept = str(self._field(key, value))
        return f" {key}={text if kept == value else json.dumps(kept, ensure_ascii=False)}"

    # -- settings -----------------------------------------------------------------------------------

    def settings(self, value: object, key: str = "") -> Json:
        """A section of the settings, or one of its values, as JSON. Prose (text with spaces) is treated as words."""
        match value:
            case SecretStr():
                return HIDDEN if value.get_secret_value() else ""
            case BaseModel():
                return {name: self.settings(getattr(value, name), name) for name in type(value).model_fields}
            case Mapping():
                return {self.text(str(name)): self.settings(each, str(name)) for name, each in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self.settings(each, key) for each in value]
            case None | bool() | int() | float():
                return value
        text = str(value)
        if key in SECRET_KEYS and text:
            return HIDDEN
        return self.said(text) if " " in text.strip() else self.text(text)


def secrets_in_urls(value: object) -> Iterator[str]:
    """The values in the queries of all URLs in the settings: some servers expect their key there."""
    match value:
        case BaseModel():
            for name in type(value).model_fields:
                yield from secrets_in_urls(getattr(value, name))
        case Mapping():
            for each in value.values():
                yield from secrets_in_urls(each)
        case list() | tuple():
            for each in value:
                yield from secrets_in_urls(each)
        case str() if "://" in value:
            for found in _QUERY.finditer(value):
                if not _harmless(found):
                    yield from {found[3], unquote_plus(found[3])}


def _harmless(found: re.Match[str]) -> bool:
    return found[2].lower() in HARMLESS_QUERY or re.fullmatch(r"\{[\w.]+\}", found[3]) is not None


def _query(found: re.Match[str]) -> str:
    return found[0] if _harmless(found) else f"{found[1]}{found[2]}={HIDDEN}"


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text
