"""Functions that a site gives its agents: HTTP requests, MCP servers; and requests that are made before answering."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from ariagent.config.base import Form, HttpUrl, Network, Section
from ariagent.config.secrets import Secret, judged
from ariagent.tools import templates
from ariagent.tools.addresses import host_pattern_problem
from ariagent.tools.arguments import schema_problem

ToolName = Annotated[
    str,
    Form(
        r"^[A-Za-z0-9_-]{1,64}$",
        "must be a name of letters, digits, _ and -, at most 64 of them, as order_status",
    ),
]
Timeout = Annotated[float, Field(gt=0, le=60)]

BUILTIN_TOOLS = (
    *("end_call", "collect_digits", "hold_on"),
    *("transfer_call", "cancel_transfer", "people_status", "take_message"),
)
"""Names that the site's functions may not have: ariagent's own."""

_OURS = ("host", "content-length", "transfer-encoding", "connection", "accept-encoding", "expect", "upgrade")


def _header_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
        raise ValueError("must be the name of an HTTP header, as X-Api-Key")
    if name.lower() in _OURS:
        raise ValueError("ariagent sets this header itself; leave it out")
    return name


def _no_header_value(value: str) -> str | None:
    return "holds a line break or a control character" if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value) else None


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _empty(value: str) -> str | None:
    return None if value.strip() else "must not be empty"


HeaderName = Annotated[str, AfterValidator(_header_name)]
Headers = dict[HeaderName, Annotated[Secret, judged(_no_header_value)]]


class SignatureSettings(Section):
    """Proof to the other side that a request is ours: HMAC-SHA256 over ``timestamp.body``."""

    secret: Annotated[Secret, judged(_empty)]
    """Known to both sides."""
    header: HeaderName = "X-Ariagent-Signature"
    """Carries ``t=<seconds since the epoch>,v1=<hex>``."""


class HttpRequestSettings(Section):
    """One HTTP request that the service may make."""

    url: str
    """Where to. ``{name}`` in path or query is filled in with an argument (lookup: ``{caller.number}``), escaped."""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    """POST, PUT and PATCH send what is not in the URL as a JSON object, GET and DELETE in the query."""
    headers: Headers = {}
    """Sent with it; values may be secrets (``${NAME}``, ``file:PATH``)."""
    timeout_s: Timeout = 8.0
    """From the start of the request to the end of the answer, retries included."""
    retries: Annotated[int, Field(ge=0, le=5)] = 1
    """Further tries after a lost connection or an answer 502, 503, 504; GET only, others are never repeated."""
    signature: SignatureSettings | None = None
    """Sign each request."""
    answer: dict[str, str] | None = None
    """What of the JSON answer is used: name to path, as ``status: order.items.0.status``; null: all of it."""
    max_bytes: Annotated[int, Field(ge=64, le=1_000_000)] = 16_384
    """A longer answer is a failure."""

    @field_validator("url")
    @classmethod
    def _url_can_be_filled(cls, url: str) -> str:
        if problem := templates.problem(url):
            raise ValueError(problem)
        return url

    @field_validator("answer")
    @classmethod
    def _answer_has_paths(cls, answer: dict[str, str] | None) -> dict[str, str] | None:
        if answer == {}:
            raise ValueError("must name something; null for all of it")
        for name, path in (answer or {}).items():
            if not name or not all(path.split(".")):
                raise ValueError(f"{name}: {path!r} is no path; they look like order.items.0.status")
        return answer


class LookupSettings(HttpRequestSettings):
    """What to ask about a caller before answering; ``{lookup.NAME}`` in the instructions is filled in with it."""

    timeout_s: Annotated[float, Field(gt=0, le=8)] = 1.0
    """The phone rings meanwhile. Without an answer the call goes on without it."""
    retries: Annotated[int, Field(ge=0, le=5)] = 0
    """As of an HTTP tool."""


class HttpToolSettings(HttpRequestSettings):
    """An HTTP request as a function of the model."""

    description: Annotated[str, Field(max_length=1024), AfterValidator(_not_blank)]
    """Tells the model what it is for and when to use it."""
    parameters: dict[str, Any] = {"type": "object", "properties": {}}
    """JSON Schema of its arguments; what does not validate is not sent, the model is told why."""
    sign: Annotated[str, Field(max_length=200), AfterValidator(_not_blank)] | None = "tone"
    """Given when it takes longer than a second: ``tone``, or a short text to say; null: nothing."""

    @field_validator("parameters")
    @classmethod
    def _parameters_are_a_schema(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        if problem := schema_problem(parameters):
            raise ValueError(problem)
        return parameters

    @model_validator(mode="after")
    def _url_and_parameters_agree(self) -> Self:
        properties = self.parameters.get("properties", {})
        for name in templates.variables(self.url):
            if name not in properties:
                known = ", ".join(properties) or "none"
                raise _located("url", f"{{{name}}} is not among the properties of parameters (there: {known})")
            if name not in self.parameters.get("required", ()):
                raise _located("url", f"{{{name}}} must be in required of parameters, so that it is always given")
            if _kinds(properties[name]) & {"object", "array", "null"}:
                raise _located("url", f"{{{name}}} must be a text, a number or a boolean to stand in a URL")
        if self.method in ("GET", "DELETE"):
            twice = templates.query_keys(self.url) & (properties.keys() - set(templates.variables(self.url)))
            if twice:
                raise _located("url", f"{min(twice)} stands in the query already, and is an argument too")
        return self


class McpServerSettings(Section):
    """A server of tools that the model's provider connects to by itself (Model Context Protocol)."""

    url: HttpUrl
    """Of the server, as seen from the model's provider."""
    authorization: Annotated[Secret, judged(_empty)] | None = None
    """OAuth token for it."""
    headers: Headers = {}
    """Further headers."""
    allowed_tools: tuple[str, ...] | None = None
    """Only these; null: all that it has."""

    @model_validator(mode="after")
    def _authorized_once(self) -> Self:
        if self.authorization is not None and "authorization" in {name.lower() for name in self.headers}:
            raise _located("headers", "has an Authorization, which authorization gives as well; keep one of them")
        return self


class OutboundSettings(Section):
    """Where HTTP tools and lookups may go. What is not allowed here is refused, whatever a URL template becomes."""

    allowed_hosts: tuple[str, ...] = ()
    """Host names, as ``api.example.com`` or ``*.example.com``; each tool's own host must be among them."""
    private: tuple[Network, ...] = ()
    """Private or loopback networks that may be reached all the same, as ``10.1.2.0/24``."""

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts_are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if problem := host_pattern_problem(host):
                raise ValueError(f"{host!r} {problem}")
        return hosts


def _kinds(schema: object) -> set[str]:
    kind = schema.get("type") if isinstance(schema, dict) else None
    return {kind} if isinstance(kind, str) else set(kind or ())


def _located(key: str, message: str) -> ValidationError:
    """A complaint of a section's validator about one of its keys; pydantic puts the section's own place before it."""
    problem = PydanticCustomError("setting", "{message}", {"message": message})
    return ValidationError.from_exception_data("setting", [InitErrorDetails(type=problem, loc=(key,), input=None)])
