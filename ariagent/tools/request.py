"""From validated arguments to a request, and from its answer to what is used of it. No I/O, no clock."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ariagent.config import HttpRequestSettings, SignatureSettings
from ariagent.tools import templates
from ariagent.tools.outcome import UNSURE, Kind, ToolFailure, json_text

WITH_BODY = ("POST", "PUT", "PATCH")

_MISSING = object()


@dataclass(frozen=True, slots=True)
class Request:
    """One request, without what depends on the time of its sending."""

    method: str
    url: str
    """Percent-encoded, complete."""
    body: bytes | None
    """JSON; None where the method has none."""


def of_tool(settings: HttpRequestSettings, arguments: Mapping[str, Any]) -> Request:
    """Arguments that the URL does not name become the JSON body (POST, PUT, PATCH) or the query (GET, DELETE).

    In a query a list is its name repeated, an object is JSON, null is left out. Raises ToolFailure (bad arguments).
    """
    named = templates.variables(settings.url)
    rest = {name: value for name, value in arguments.items() if name not in named}
    values = {name: _scalar(name, arguments[name]) for name in named if name in arguments}
    if settings.method in WITH_BODY:
        return Request(settings.method, templates.fill(settings.url, values), json_text(rest).encode())
    query = [(name, item) for name, value in rest.items() for item in _in_query(value)]
    return Request(settings.method, templates.fill(settings.url, values, query), None)


def of_lookup(settings: HttpRequestSettings, values: Mapping[str, str]) -> Request:
    """As of a tool, but a query holds only what the URL names: the caller's data goes where it is asked for."""
    url = templates.fill(settings.url, values)
    if settings.method not in WITH_BODY:
        return Request(settings.method, url, None)
    named = templates.variables(settings.url)
    body = {name: value for name, value in values.items() if name not in named}
    return Request(settings.method, url, json_text(body).encode())


def headers(settings: HttpRequestSettings, body: bytes | None, timestamp: int) -> dict[str, str]:
    """The site's headers and the signature, for a request that is sent at ``timestamp`` (seconds since the epoch)."""
    found = {name: secret.get_secret_value() for name, secret in settings.headers.items()}
    if body is not None:
        found.setdefault("Content-Type", "application/json")
    if settings.signature is not None:
        found[settings.signature.header] = signature(settings.signature, body or b"", timestamp)
    return found


def signature(settings: SignatureSettings, body: bytes, timestamp: int) -> str:
    """``t=<timestamp>,v1=<hex>``: HMAC-SHA256 over the timestamp, a full stop and the body's bytes."""
    secret = settings.secret.get_secret_value().encode()
    digest = hmac.new(secret, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def check_answer(status: int, content_type: str, content_encoding: str, *, method: str) -> None:
    """Judge an answer by its head. Raises ToolFailure for all that is not a success with JSON."""
    if 300 <= status < 400:
        raise ToolFailure(Kind.REDIRECT, f"the server sent a redirect ({status}), which is not followed")
    if status in (404, 410):
        raise ToolFailure(
            Kind.HTTP_STATUS,
            f"the server found nothing ({status})",
            remedy="If it was about something the caller gave, ask for it once more, else say that it does not work",
        )
    if 400 <= status < 500:
        raise ToolFailure(Kind.HTTP_STATUS, f"the server refused the request ({status})")
    if status >= 500:
        remedy = {} if method == "GET" else {"remedy": UNSURE}
        raise ToolFailure(Kind.HTTP_STATUS, f"the server failed ({status})", **remedy)
    if content_encoding.lower() not in ("", "identity"):
        raise ToolFailure(Kind.BAD_ANSWER, "the server sent a compressed answer")
    kind = content_type.partition(";")[0].strip().lower()
    if status != 204 and not (kind == "application/json" or kind.endswith("+json")):
        raise ToolFailure(Kind.BAD_ANSWER, "the server's answer is not JSON", detail=f"content type {kind[:80]!r}")


def read_answer(settings: HttpRequestSettings, body: bytes) -> Any:
    """What is used of a successful answer; one without content is ``{"ok": true}``.

    Raises ToolFailure (bad answer): not JSON, or nothing of what ``answer`` names is in it. Names whose path leads
    nowhere are null, if others lead somewhere.
    """
    if not body.strip():
        return {"ok": True}
    try:
        found = json.loads(body, parse_constant=_refuse_constant)
        json_text(found).encode()
    except (ValueError, RecursionError) as error:
        raise ToolFailure(Kind.BAD_ANSWER, "the server's answer is not JSON", detail=str(error)[:200]) from None
    if settings.answer is None:
        return found
    picked = {name: _follow(found, path) for name, path in settings.answer.items()}
    if all(value is _MISSING for value in picked.values()):
        raise ToolFailure(Kind.BAD_ANSWER, "the server's answer does not hold what it should")
    return {name: None if value is _MISSING else value for name, value in picked.items()}


def texts(found: Any) -> dict[str, str]:
    """An answer as values for instructions: what is null is left out, what is no text is JSON.

    Raises ToolFailure (bad answer) where it is not a JSON object.
    """
    if not isinstance(found, dict):
        raise ToolFailure(Kind.BAD_ANSWER, "the answer is not a JSON object")
    return {
        name: value if isinstance(value, str) else json_text(value)
        for name, value in found.items()
        if value is not None
    }


def _follow(found: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(found, dict) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdecimal() and len(part) < 8 and int(part) < len(found):
            found = found[int(part)]
        else:
            return _MISSING
    return found


def _scalar(name: str, value: Any) -> templates.Value:
    if isinstance(value, str | int | float | bool):
        return value
    raise ToolFailure(Kind.BAD_ARGUMENTS, f"{name} must be a text or a number", remedy="Ask the caller again")


def _in_query(value: Any) -> list[templates.Value]:
    if value is None:
        return []
    return [
        item if isinstance(item, str | int | float | bool) else json_text(item)
        for item in (value if isinstance(value, list) else [value])
    ]


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
