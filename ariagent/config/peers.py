"""The peers that the service talks to, and where it can be reached itself."""

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from ariagent.config.base import (
    Form,
    HttpUrl,
    LocalPath,
    Network,
    Port,
    Seconds,
    Section,
    WebSocketUrl,
)
from ariagent.config.secrets import Secret
from ariagent.secret import is_empty

TlsName = Annotated[
    str, Form(r"^[A-Za-z0-9_.:-]{1,253}$", "must be the name in the server's certificate, as pbx.example.com")
]


def _without_query(url: str) -> str:
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise ValueError("must be a base URL, without ? and #, as https://pbx.example.com/asterisk")
    return url.rstrip("/")


class AsteriskSettings(Section):
    """How to reach Asterisk's REST interface (ARI). No proxy of the environment (``HTTP_PROXY``) is used for it."""

    url: Annotated[HttpUrl, AfterValidator(_without_query)] = "http://127.0.0.1:8088"
    """Base URL of Asterisk's HTTP server, without ``/ari``. A path is kept: ``https://pbx.example.com/asterisk`` is for
    Asterisk behind a reverse proxy, or with ``prefix=asterisk`` in ``http.conf``."""
    user: str = "ariagent"
    """An ARI user of ``ari.conf``, not read-only."""
    password: Secret = SecretStr("")
    """That user's password."""
    ca_file: LocalPath | None = None
    """With ``https``: the CA certificates (PEM) that Asterisk's certificate must be signed by; a self-signed
    certificate is its own. null: the machine's CAs."""
    tls_name: TlsName | None = None
    """With ``https``: the name that Asterisk's certificate must have; null: the host of ``url``. For a host that is
    given as an address."""
    app: Annotated[str, Form(r"^[A-Za-z0-9_-]+$", "must be a name of letters, digits, _ and -, as ariagent")] = (
        "ariagent"
    )
    """Name of the Stasis application; one running service per name and Asterisk."""
    request_timeout_s: Seconds = 5.0
    """How long Asterisk may take to answer one request."""


AMI_PORT, AMI_TLS_PORT = 5038, 5039
"""Asterisk's own defaults."""


def _usual_port(given: dict[str, Any]) -> int:
    return AMI_TLS_PORT if given.get("tls") else AMI_PORT


class AmiSettings(Section):
    """How to reach Asterisk's manager interface (AMI). Without this section seats are not paused, queues not known."""

    host: str = "127.0.0.1"
    """Where Asterisk listens for managers (``bindaddr`` of ``manager.conf``, with TLS ``tlsbindaddr``)."""
    tls: bool = False
    """Connect with TLS (``tlsenable`` of ``manager.conf``). The certificate is always verified."""
    port: Annotated[int, Field(ge=1, le=65535, json_schema_extra={"default": AMI_PORT})] = Field(
        default_factory=_usual_port
    )
    """Its port. The default with ``tls`` is 5039."""
    ca_file: LocalPath | None = None
    """As ``asterisk.ca_file``."""
    tls_name: TlsName | None = None
    """As ``asterisk.tls_name``; null: ``host``."""
    user: Annotated[str, Form(r"^[^\r\n]+$", "must be the name of a user in manager.conf, as ariagent")] = "ariagent"
    """A user of ``manager.conf`` with the classes agent, call and user."""
    password: Secret
    """That user's password (``secret``)."""
    request_timeout_s: Seconds = 5.0
    """How long Asterisk may take to answer one action."""


class AudioSocketSettings(Section):
    """The TCP server that Asterisk connects each call's audio to."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 9092
    """0 takes any free port."""
    advertise: (
        Annotated[
            str,
            Form(
                r"^(\[[0-9A-Fa-f:.]+\]|[^:\s]+):[0-9]{1,5}$",
                "must be HOST:PORT, as 10.0.0.5:9092 or [2001:db8::5]:9092",
            ),
        ]
        | None
    ) = None
    """``host:port`` that Asterisk is told to connect to; default: host and port above."""
    format: Literal["auto", "slin", "slin16", "slin24"] = "auto"
    """``auto``: slin24 where this Asterisk and the model's format allow, else slin (8 kHz)."""
    allowed: tuple[Network, ...] = ("127.0.0.0/8", "::1/128")
    """Networks that connections are accepted from."""
    handshake_timeout_s: Seconds = 2.0
    """A connection that does not say in time which call it is for is closed."""
    max_connections: Annotated[int, Field(ge=1)] = 1000
    """More connections at once than this are refused."""
    max_unidentified: Annotated[int, Field(ge=1)] = 64
    """Connections of one address that have not said yet which call they are for; with one more the oldest of them is
    closed. Asterisk's say so at once."""

    @model_validator(mode="after")
    def _advertises_an_address(self) -> Self:
        if self.advertise is None and self.host in ("0.0.0.0", "::", ""):
            raise ValueError(
                "with a host that is every address, advertise must say which one Asterisk is to connect to"
            )
        return self


class FallbackSettings(Section):
    """Another endpoint of the model, for when the first cannot be used. Everything else is as for the first."""

    url: WebSocketUrl
    """As ``realtime.url``."""
    api_key: Secret = SecretStr("")
    """The key for that server."""
    model: str | None = None
    """Default: ``realtime.model``."""
    auth: Literal["auto", "bearer", "api-key"] = "auto"
    """As ``realtime.auth``."""
    headers: dict[str, Secret] = {}
    """Further HTTP headers for the connection."""
    ca_file: LocalPath | None = None
    """As ``realtime.ca_file``."""


class RealtimeSettings(Section):
    """The speech-to-speech model. A proxy of the environment (``HTTPS_PROXY``, ``NO_PROXY``) is used for it, but for a
    server on this machine."""

    url: WebSocketUrl = "wss://api.openai.com/v1/realtime"
    """Azure: ``wss://RESOURCE.openai.azure.com/openai/v1/realtime``. Any compatible server by its URL."""
    api_key: Secret = SecretStr("")
    """The key for that server."""
    model: str = "gpt-realtime-2.1"
    """Model name; on Azure the deployment's name."""
    auth: Literal["auto", "bearer", "api-key"] = "auto"
    """How the key is sent; ``auto``: header ``api-key`` for Azure's hosts, else a bearer token."""
    headers: dict[str, Secret] = {}
    """Further HTTP headers for the connection."""
    ca_file: LocalPath | None = None
    """With ``wss``: the CA certificates (PEM) that the server's certificate must be signed by; null: the machine's
    CAs."""
    encoding: Literal["pcm", "pcmu", "pcma"] = "pcm"
    """``pcm`` is 24 kHz; ``pcmu``/``pcma`` are G.711."""
    connect_timeout_s: Seconds = 8.0
    """From the start of the connection to the model's acknowledgement of the session."""
    ping_interval_s: Seconds = 1.5
    """A connection that answers no ping for this long is taken for dead."""
    stall_timeout_s: Seconds = 8.0
    """A model that owes a response, or the rest of one, and brings nothing for this long has its session made anew;
    when that happens again the caller goes to people. Longer than the model may think."""
    recover_s: Seconds = 4.0
    """A session that is lost in the middle of a call is made anew within this time, with the conversation so far; else
    the caller goes to people."""
    max_backlog_s: Seconds = 5.0
    """Caller audio that may wait for a slow network before the newest is dropped and counted."""
    fallback: FallbackSettings | None = None

    @property
    def endpoints(self) -> tuple["RealtimeSettings", ...]:
        """This one, and the other one where there is one."""
        other = self.fallback
        if other is None:
            return (self,)
        changes = {key: getattr(other, key) for key in ("url", "api_key", "auth", "headers", "ca_file")}
        return self, self.model_copy(update={**changes, "model": other.model or self.model, "fallback": None})

    @property
    def is_openai(self) -> bool:
        """Whether this is OpenAI's own server or Azure's, of which is known what they accept."""
        host = urlsplit(self.url).hostname or ""
        return host == "openai.com" or host.endswith((".openai.com", ".azure.com"))

    @property
    def lacks_key(self) -> bool:
        """Whether this is a server that refuses every session without a key, and there is none."""
        own = {name.lower() for name in self.headers} & {"authorization", "api-key"}
        return self.is_openai and not own and is_empty(self.api_key)


class HttpSettings(Section):
    """Where ``/metrics`` and ``/healthz`` are served."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 9093
    """0 takes any free port."""


class LogSettings(Section):
    """What is logged, to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level of ariagent's own events."""
    format: Literal["text", "json"] = "text"
    """``json``: one object a line."""
    transcripts: bool = False
    """Log what caller and agent say. Off by default: callers say things that no log should hold."""
