"""Functions that a site gives its agents: HTTP requests, MCP servers; and requests that are made before answering."""

from typing import Annotated, Any, Literal

from pydantic import Field

from ariagent.config.base import HttpUrl, Network, Secret, Section

ToolName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Timeout = Annotated[float, Field(gt=0, le=60)]


class SignatureSettings(Section):
    """Proof to the other side that a request is ours: HMAC-SHA256 over ``timestamp.body``."""

    secret: Secret
    """Known to both sides."""
    header: str = "X-Ariagent-Signature"
    """Carries ``t=<seconds since the epoch>,v1=<hex>``."""


class HttpRequestSettings(Section):
    """One HTTP request that the service may make."""

    url: str
    """Where to. ``{name}`` is filled in with an argument (or the caller's data), escaped for its place in the URL."""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    """Other methods than GET send what is not in the URL as a JSON object."""
    headers: dict[str, Secret] = {}
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


class LookupSettings(HttpRequestSettings):
    """What to ask about a caller before answering; ``{lookup.NAME}`` in the instructions is filled in with it."""

    timeout_s: Timeout = 1.0
    """The phone rings meanwhile. Without an answer the call goes on without it."""
    retries: Annotated[int, Field(ge=0, le=5)] = 0
    """As of an HTTP tool."""


class HttpToolSettings(HttpRequestSettings):
    """An HTTP request as a function of the model."""

    description: Annotated[str, Field(min_length=1, max_length=1024)]
    """Tells the model what it is for and when to use it."""
    parameters: dict[str, Any] = {"type": "object", "properties": {}}
    """JSON Schema of its arguments; what does not validate is not sent, the model is told why."""
    sign: str | None = "tone"
    """Given when it takes longer than a second: ``tone``, or a short text to say; null: nothing."""


class McpServerSettings(Section):
    """A server of tools that the model's provider connects to by itself (Model Context Protocol)."""

    url: HttpUrl
    """Of the server, as seen from the model's provider."""
    authorization: Secret | None = None
    """OAuth token for it."""
    headers: dict[str, Secret] = {}
    """Further headers."""
    allowed_tools: tuple[str, ...] | None = None
    """Only these; null: all that it has."""


class OutboundSettings(Section):
    """Where HTTP tools and lookups may go. What is not allowed here is refused, whatever a URL template becomes."""

    allowed_hosts: tuple[str, ...] = ()
    """Host names, as ``api.example.com`` or ``*.example.com``; each tool's own host must be among them."""
    private: tuple[Network, ...] = ()
    """Private or loopback networks that may be reached all the same, as ``10.1.2.0/24``."""
