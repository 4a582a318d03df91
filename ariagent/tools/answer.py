"""Turns a server's answer into the model's: something was done, was not done, or may have been done. No I/O.

A request that took effect is told as a success, whatever the answer looks like: a model that is told of a failure tries
again, and the caller has two bookings.
"""

import codecs
import json
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

from ariagent.config import HttpRequestSettings
from ariagent.values.outcome import (
    NOT_DONE,
    SORRY,
    UNSURE,
    Kind,
    ToolFailure,
    json_text,
)

MAX_TEXT = 1000
"""The most characters of an answer that is not JSON."""
_MAX_LOOKED_AT = 16_384

_NO_CHARSETS = ("punycode", "idna", "unicode-escape", "raw-unicode-escape")
"""Python's codecs that are no character sets; the first ones take quadratic time."""

_MISSING = object()
_DONE = {"ok": True}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with a status of success."""

    content_type: str = ""
    body: bytes = b""
    """Empty, too, where it cannot be used: too long or compressed."""
    charset: str | None = None


def check_status(status: int, *, method: str) -> None:
    """Raises ToolFailure for a status that is no success; 303 is one, unless of a GET: the request was carried out."""
    safe = method == "GET"
    if 200 <= status < 300 or (status == 303 and not safe):
        return
    if 300 <= status < 400:
        doubt = SORRY if safe else NOT_DONE if status in (307, 308) else UNSURE
        raise ToolFailure(Kind.REDIRECT, f"the server sent a redirect ({status}), which is not followed", remedy=doubt)
    if status in (404, 410):
        raise ToolFailure(
            Kind.HTTP_STATUS,
            f"the server found nothing ({status})",
            remedy="If it was about something the caller gave, ask for it once more, else say that it does not work",
        )
    if 400 <= status < 500:
        refused = f"the server refused the request ({status})"
        raise ToolFailure(Kind.HTTP_STATUS, refused, remedy=SORRY if safe else NOT_DONE)
    raise ToolFailure(Kind.HTTP_STATUS, f"the server failed ({status})", remedy=SORRY if safe else UNSURE)


def unread(kind: Kind, cause: str, *, method: str) -> Answer:
    """An answer that cannot be read. To a GET that is a failure; anything else was done."""
    if method == "GET":
        raise ToolFailure(kind, cause)
    return Answer()


def told(settings: HttpRequestSettings, answer: Answer) -> Any:
    """The result for the model: the JSON or what ``answer`` names of it; a text; ``{"ok": true}`` where there is
    nothing.

    Names whose path leads nowhere are null, if others lead somewhere. Raises ToolFailure (bad answer) for a GET whose
    answer has none of the fields that ``answer`` names.
    """
    found = _json(answer)
    if found is None:
        return _DONE
    if settings.answer is None:
        return found if found is not _MISSING else {**_DONE, **_text(answer)}
    picked = {name: _follow(found, path) for name, path in settings.answer.items()}
    if all(value is _MISSING for value in picked.values()):
        # Only what ``answer`` names may reach the model, so it gets none of the text either.
        if settings.method == "GET":
            what = "is not JSON" if found is _MISSING else "does not hold what it should"
            raise ToolFailure(Kind.BAD_ANSWER, f"the server's answer {what}", detail=_kind(answer))
        return _DONE
    return {name: None if value is _MISSING else value for name, value in picked.items()}


def texts(settings: HttpRequestSettings, answer: Answer) -> dict[str, str]:
    """An answer to a lookup as values for instructions: what is null is left out, what is no text is JSON.

    Raises ToolFailure (bad answer) where it is not a JSON object.
    """
    found = told(settings, answer) if isinstance(_json(answer), dict) or settings.answer else None
    if not isinstance(found, dict):
        raise ToolFailure(Kind.BAD_ANSWER, "the answer is not a JSON object", detail=_kind(answer))
    return {
        name: value if isinstance(value, str) else json_text(value)
        for name, value in found.items()
        if value is not None
    }


def _json(answer: Answer) -> Any:
    """None: there is nothing. ``_MISSING``: it is not JSON."""
    if not answer.body.strip():
        return None
    try:
        found = json.loads(_decoded(answer, "strict"), parse_constant=_refuse_constant)
        json_text(found).encode()
    except (ValueError, LookupError, RecursionError):
        return _MISSING
    return found


def _text(answer: Answer) -> dict[str, str]:
    text = _decoded(answer, "replace")[:_MAX_LOOKED_AT]
    if "html" in answer.content_type.lower() or text.lstrip().lower().startswith(("<!doctype html", "<html")):
        page = _Page()
        with suppress(AssertionError, ValueError):  # its parser's, of some broken pages
            page.feed(text)
        text = " ".join(page.parts)
    # C are controls, direction marks and the like: nothing that could be said.
    shown = "".join(c if not unicodedata.category(c).startswith("C") else " " for c in text)
    words = " ".join(shown.split())
    return {"text": words if len(words) <= MAX_TEXT else f"{words[:MAX_TEXT]}..."} if words else {}


class _Page(HTMLParser):
    """Collects what a browser shows of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = max(0, self._hidden - (tag in ("script", "style")))

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


def _decoded(answer: Answer, errors: str) -> str:
    try:
        text = answer.body.decode(_charset(answer) or json.detect_encoding(answer.body), errors)
    except (LookupError, ValueError):  # some codecs know no other way than to refuse
        text = answer.body.decode("utf-8", errors)
    return text.removeprefix("\ufeff")


def _charset(answer: Answer) -> str | None:
    """Raises LookupError for what is none, and ValueError for what is no name."""
    found = answer.charset and codecs.lookup(answer.charset).name.replace("_", "-")
    if found in _NO_CHARSETS:
        raise LookupError(found)
    return found


def _kind(answer: Answer) -> str:
    return f"content type {answer.content_type[:80]!r}"


def _follow(found: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(found, dict) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdecimal() and len(part) < 8 and int(part) < len(found):
            found = found[int(part)]
        else:
            return _MISSING
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
