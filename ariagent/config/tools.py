"""The site's functions for its agents: HTTP requests, MCP servers; and lookups before a call is answered."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from ariagent.config.base import Form, HttpUrl, Network, Section
from ariagent.config.secrets import Secret, judged
from ariagent.secret import known_value
from ariagent.text import did_you_mean
from ariagent.values import binding, placeholders, urls
from ariagent.values.addresses import host_pattern_problem
from ariagent.values.arguments import schema_problem

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
    *("transfer_call", "cancel_transfer", "transfer_status", "take_message"),
)
"""Names of ariagent's own functions. The site's functions may not use them."""

_OURS = ("host", "content-length", "transfer-encoding", "connection", "accept-encoding", "expect", "upgrade")


def _header_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
        raise ValueError("must be the name of an HTTP header, as X-Api-Key")
    if name.lower() in _OURS:
        raise ValueError("ariagent sets this header itself; leave it out")
    return name


def _no_header_value(value: str) -> str | None:
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
        return "holds a line break or a control character"
    return binding.text_problem(value)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _empty(value: str) -> str | None:
    return None if value.strip() else "must not be empty"


HeaderName = Annotated[str, AfterValidator(_header_name)]
Headers = dict[HeaderName, Annotated[Secret, judged(_no_header_value)]]


BoundName = Annotated[
    str,
    Form(
        r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$",
        "must be a name of letters, digits, _ and -, at most 64 of them, as customer",
    ),
]


class SignatureSettings(Section):
    """Proves to the server that a request comes from ariagent: HMAC-SHA256 over ``timestamp.body``."""

    secret: Annotated[Secret, judged(_empty)]
    """The key of the HMAC, known to both sides."""
    header: HeaderName = "X-Ariagent-Signature"
    """The header that carries ``t=<seconds since the epoch>,v1=<hex>``."""


class HttpRequestSettings(Section):
    """One HTTP request that the service may make."""

    url: str
    """The URL. In the path and the query ariagent replaces ``{name}`` by an argument or a bound value. It replaces
    ``{caller.number}`` and similar templates by values of the call. It escapes all values."""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    """The HTTP method. ariagent sends arguments that are not in the URL as a JSON object (POST, PUT, PATCH) or in the
    query (GET, DELETE)."""
    headers: Headers = {}
    """Headers of the request. A header may be a secret (``${NAME}``, ``file:PATH``). It may contain values of the call
    (``{caller.number}``) and bound values."""
    bound: dict[BoundName, str] = {}
    """Arguments that ariagent fills in from the call, for example ``customer: "{caller.number}"``. The model neither
    sees nor chooses them. ariagent sends them like the model's arguments: in the URL, the query or the body. If an
    argument has neither a value nor a default (``{queue|none}``), ariagent sends no request."""
    timeout_s: Timeout = 8.0
    """Time limit from the start of the request to the end of the answer, retries included."""
    retries: Annotated[int, Field(ge=0, le=5)] = 1
    """Retries after a lost connection or the status 502, 503 or 504. Only GET requests are repeated."""
    signature: SignatureSettings | None = None
    """Sign each request."""
    answer: dict[str, str] | None = None
    """The parts of the JSON answer that ariagent uses: a name and a path for each, for example ``status:
    order.items.0.status``. null: the whole answer."""
    max_bytes: Annotated[int, Field(ge=64, le=1_000_000)] = 16_384
    """Longest answer in bytes. A longer answer is an error."""

    @field_validator("url")
    @classmethod
    def _url_can_be_filled(cls, url: str) -> str:
        if problem := urls.problem(url):
            raise ValueError(problem)
        return url

    @field_validator("bound")
    @classmethod
    def _bound_can_be_filled(cls, bound: dict[str, str]) -> dict[str, str]:
        for name, text in bound.items():
            if problem := binding.name_problem(name) or binding.bound_problem(text):
                raise ValueError(f"{name}: {problem}")
            if _no_header_value(text):
                raise ValueError(f"{name}: holds a line break or a control character")
        return bound

    @field_validator("answer")
    @classmethod
    def _answer_has_paths(cls, answer: dict[str, str] | None) -> dict[str, str] | None:
        if answer == {}:
            raise ValueError("must name at least one part; write null for the whole answer")
        for name, path in (answer or {}).items():
            if not name or not all(path.split(".")):
                raise ValueError(f"{name}: {path!r} is not a path; write for example order.items.0.status")
        return answer


class LookupSettings(HttpRequestSettings):
    """An HTTP request before the call is answered. Its answer fills in ``{lookup.NAME}`` in the instructions."""

    timeout_s: Annotated[float, Field(gt=0, le=8)] = 1.0
    """Time limit. The caller's phone rings meanwhile. If no answer comes in time, the call begins without these
    values."""
    retries: Annotated[int, Field(ge=0, le=5)] = 0
    """See ``tools.NAME.retries``."""


class HttpToolSettings(HttpRequestSettings):
    """An HTTP request as a function of the model."""

    description: Annotated[str, Field(max_length=1024), AfterValidator(_not_blank)]
    """Tells the model what the function does and when to use it."""
    parameters: dict[str, Any] = {"type": "object", "properties": {}}
    """JSON Schema of the arguments. ariagent does not send invalid arguments, and tells the model the reason."""
    waiting_prompt: Annotated[str, Field(max_length=200), AfterValidator(_not_blank)] | None = "tone"
    """The sound for the caller if the request takes longer than a second: ``tone``, or a short text that is spoken.
    null: nothing."""

    safe_to_repeat: bool = False
    """true: the function only looks something up, and may run although its result is not used. With ``turns: fast``
    ariagent runs it before it knows that the caller's turn is over. false: ariagent runs it after the turn."""

    @field_validator("parameters")
    @classmethod
    def _parameters_are_a_schema(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        if problem := schema_problem(parameters):
            raise ValueError(problem)
        return parameters

    @model_validator(mode="after")
    def _url_and_parameters_agree(self) -> Self:
        properties = self.parameters.get("properties", {})
        for name in properties:
            if problem := binding.name_problem(name):
                raise _located("parameters", problem)
        if twice := binding.taken_twice(properties, self.bound):
            raise _located("bound", f"{twice} is also in parameters, where the model chooses it; remove one")
        for name in urls.variables(self.url):
            if name in self.bound or binding.is_call_value(name):
                continue
            if name not in properties:
                raise _located("url", _unknown(name, (*properties, *self.bound)))
            if name not in self.parameters.get("required", ()):
                raise _located("url", f"{{{name}}} must be in required of parameters: the URL needs it in every call")
            if _kinds(properties[name]) & {"object", "array", "null"}:
                raise _located("url", f"{{{name}}} is in the URL, so its type must be string, number or boolean")
        added = [name for name in (*properties, *self.bound) if name not in urls.variables(self.url)]
        in_query = urls.query_keys(self.url)
        if self.method not in ("GET", "DELETE"):
            # Some servers take what is in the body for what is in the query, and there the call decides.
            in_query = frozenset(key for key in in_query if self._by_the_call(key))
        if twice := binding.taken_twice(added, in_query):
            raise _located("url", f"{twice} is in the query of the URL and also an argument; remove one")
        return self

    def _by_the_call(self, key: str) -> bool:
        """Whether the call decides what the query of the URL has under this name."""
        named = urls.variables(urls.in_query(self.url, key))
        return any(name in self.bound or binding.is_call_value(name) for name in named)


class McpServerSettings(Section):
    """A server of tools (Model Context Protocol). The model's provider connects to this server; ariagent does not."""

    url: HttpUrl
    """The URL at which the model's provider reaches the server."""
    authorization: Annotated[Secret, judged(_empty)] | None = None
    """OAuth token for the server."""
    headers: Headers = {}
    """Additional headers."""
    allowed_tools: tuple[str, ...] | None = None
    """The tools that the model may use. null: all tools of the server."""

    @model_validator(mode="after")
    def _authorized_once(self) -> Self:
        if self.authorization is not None and "authorization" in {name.lower() for name in self.headers}:
            raise _located("headers", "Authorization is set here and by authorization; remove one of them")
        if name := next(binding.used("", map(known_value, self.headers.values())), None):
            raise _located("headers", f"{{{name}}} cannot be filled in: the model's provider connects to the server")
        return self


class OutboundSettings(Section):
    """The hosts that HTTP tools and lookups may connect to. ariagent refuses every other host, also one that an
    argument or a value of the call writes into a URL."""

    allowed_hosts: tuple[str, ...] = ()
    """Host names, for example ``api.example.com`` or ``*.example.com``. Each tool's host must match one of them."""
    private: tuple[Network, ...] = ()
    """Private and loopback networks that are allowed, for example ``10.1.2.0/24``."""
    per_host: Annotated[int, Field(ge=1, le=1000)] = 32
    """The largest number of requests to one host at the same time, in all calls. Further requests wait, and ariagent
    serves the waiting telephone calls in turn."""

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts_are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if problem := host_pattern_problem(host):
                raise ValueError(f"{host!r} {problem}")
        return hosts


def _unknown(name: str, known: tuple[str, ...]) -> str:
    if "." in name:
        near = did_you_mean(name, (*placeholders.FIXED, *known))
        fixed = ", ".join(placeholders.FIXED)
        return f"{{{name}}} is not a value of a call{near}; known: {fixed}, variable.NAME, lookup.NAME"
    return (
        f"{{{name}}} is not among the properties of parameters (there: {', '.join(known) or 'none'}); add it there, or "
        "to bound"
    )


def _kinds(schema: object) -> set[str]:
    kind = schema.get("type") if isinstance(schema, dict) else None
    return {kind} if isinstance(kind, str) else set(kind or ())


def _located(key: str, message: str) -> ValidationError:
    """An error of a section's validator about one of its keys. pydantic adds the section's own place."""
    problem = PydanticCustomError("setting", "{message}", {"message": message})
    return ValidationError.from_exception_data("setting", [InitErrorDetails(type=problem, loc=(key,), input=None)])
