"""Makes a request from validated arguments. No I/O, no clock."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ariagent.config import HttpRequestSettings, SignatureSettings
from ariagent.values import binding, urls
from ariagent.values.outcome import Kind, ToolFailure, json_text

WITH_BODY = ("POST", "PUT", "PATCH")


@dataclass(frozen=True, slots=True)
class Request:
    """One request, without what depends on the time of its sending."""

    method: str
    url: str
    """Percent-encoded, complete."""
    body: bytes | None
    """JSON; None where the method has none."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Headers that hold values of the call. The site may have put secrets into them."""


def of_tool(
    settings: HttpRequestSettings, arguments: Mapping[str, Any], values: Mapping[str, str] | None = None
) -> Request:
    """Arguments and bound values that stand neither in the URL nor in a header become the JSON body (POST, PUT, PATCH)
    or the query (GET, DELETE). ``values``: those of the call.

    In a query a list is its name repeated, an object is JSON, null is left out. Raises ToolFailure: bad arguments, or
    a value of the call is not known.
    """
    call = values or {}
    bound = binding.fill(settings.bound, call)
    named = urls.variables(settings.url)
    binding.refuse(arguments, bound)
    undeclared = arguments.keys() - {*named, *_declared(settings)}
    binding.refuse(undeclared, urls.query_keys(settings.url))
    filled: dict[str, urls.Value] = {}
    for name in named:
        if name in bound or binding.is_call_value(name):
            filled[name] = bound[name] if name in bound else binding.value(name, call)
            if name in urls.path_variables(settings.url):
                binding.check_path(name, str(filled[name]))
        elif name in arguments:
            filled[name] = _scalar(name, arguments[name])
    rest = {name: each for name, each in arguments.items() if name not in named}
    in_headers = _in_headers(settings)
    rest |= {name: each for name, each in bound.items() if name not in named and name not in in_headers}
    filled_headers = _filled_headers(settings, bound, call)
    if settings.method in WITH_BODY:
        url, body = urls.fill(settings.url, filled), json_text(rest).encode()
        return Request(settings.method, url, body, filled_headers)
    query = [(name, item) for name, each in rest.items() for item in _in_query(each)]
    return Request(settings.method, urls.fill(settings.url, filled, query), None, filled_headers)


def of_lookup(settings: HttpRequestSettings, values: Mapping[str, str]) -> Request:
    """The request of a lookup. Unlike in a tool's, a value in the URL may be empty. Without ``bound`` a body holds all
    values that the URL does not name."""
    named = urls.variables(settings.url)
    if settings.bound:
        bound, in_headers = binding.fill(settings.bound, values), _in_headers(settings)
        rest = {name: each for name, each in bound.items() if name not in named and name not in in_headers}
    else:
        bound = {}
        rest = {name: each for name, each in values.items() if name not in named}
    filled_url = {**values, **bound}
    filled = _filled_headers(settings, bound, values)
    if settings.method in WITH_BODY:
        return Request(settings.method, urls.fill(settings.url, filled_url), json_text(rest).encode(), filled)
    query = rest.items() if settings.bound else ()
    return Request(settings.method, urls.fill(settings.url, filled_url, query), None, filled)


def _declared(settings: HttpRequestSettings) -> Mapping[str, Any]:
    """The arguments that the site lets the model choose."""
    found: Mapping[str, Any] = getattr(settings, "parameters", {}).get("properties", {})
    return found


def _in_headers(settings: HttpRequestSettings) -> frozenset[str]:
    """The names of bound values that are in headers."""
    texts = [secret.get_secret_value() for secret in settings.headers.values()]
    return frozenset(name for name in settings.bound if any(f"{{{name}}}" in text for text in texts))


def _filled_headers(
    settings: HttpRequestSettings, bound: Mapping[str, str], values: Mapping[str, str]
) -> dict[str, str]:
    found: dict[str, str] = {}
    for header, secret in settings.headers.items():
        text = secret.get_secret_value()
        if "{" not in text:
            continue
        # The call's values first: what they hold is not looked through again.
        parts = re.split(r"(\{[A-Za-z_][A-Za-z0-9_-]*\})", text)
        filled = "".join(
            bound[part[1:-1]] if part[1:-1] in bound else binding.text(part, values) if "{" in part else part
            for part in parts
        )
        if filled != text:
            # Values have no line breaks. Defaults, which the site wrote, might.
            found[header] = re.sub(r"[\x00-\x1f\x7f]", " ", filled)
    return found


def headers(settings: HttpRequestSettings, body: bytes | None, timestamp: int) -> dict[str, str]:
    """The site's headers and the signature, for a request that is sent at ``timestamp`` (seconds since the epoch)."""
    theirs = {name: secret.get_secret_value() for name, secret in settings.headers.items()}
    kind = {} if body is None or "content-type" in map(str.lower, theirs) else {"Content-Type": "application/json"}
    if settings.signature is None:
        return {**theirs, **kind}
    name = settings.signature.header
    unsigned = {header: value for header, value in {**theirs, **kind}.items() if header.lower() != name.lower()}
    return {**unsigned, name: signature(settings.signature, body or b"", timestamp)}


def signature(settings: SignatureSettings, body: bytes, timestamp: int) -> str:
    """``t=<timestamp>,v1=<hex>``: HMAC-SHA256 over the timestamp, a full stop and the body's bytes."""
    secret = settings.secret.get_secret_value().encode()
    digest = hmac.new(secret, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def _scalar(name: str, value: Any) -> urls.Value:
    if isinstance(value, str | int | float | bool):
        return value
    raise ToolFailure(Kind.BAD_ARGUMENTS, f"{name} must be a text or a number", remedy="Ask the caller again")


def _in_query(value: Any) -> list[urls.Value]:
    if value is None:
        return []
    return [
        item if isinstance(item, str | int | float | bool) else json_text(item)
        for item in (value if isinstance(value, list) else [value])
    ]
