"""The peers of the service (Asterisk, the model), and the addresses that it listens on."""

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PrivateAttr, SecretStr, model_validator

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
    str,
    # An address of IPv6 has two colons at least; one colon is a port's.
    Form(
        r"^([A-Za-z0-9_.-]{1,253}|[0-9A-Fa-f.]*(:[0-9A-Fa-f.]*){2,7})$",
        "must be the name in the server's certificate, as pbx.example.com",
    ),
]


def _without_query(url: str) -> str:
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise ValueError("must be a base URL, without ? and #, as https://pbx.example.com/asterisk")
    return url.rstrip("/")


class AsteriskSettings(Section):
    """How to reach Asterisk's REST interface (ARI). ``HTTP_PROXY`` in the environment is ignored for it."""

    url: Annotated[HttpUrl, AfterValidator(_without_query)] = "http://127.0.0.1:8088"
    """Base URL of Asterisk's HTTP server, without ``/ari``. It may have a path: ``https://pbx.example.com/asterisk`` is
    for Asterisk behind a reverse proxy, or with ``prefix=asterisk`` in ``http.conf``."""
    user: str = "ariagent"
    """A user of ``ari.conf`` that is not read-only."""
    password: Secret = SecretStr("")
    """The user's password."""
    ca_file: LocalPath | None = None
    """With ``https``: a PEM file with the CA certificates that may have signed Asterisk's certificate. A self-signed
    certificate is its own CA. null: the machine's CAs."""
    tls_name: TlsName | None = None
    """With ``https``: the name that Asterisk's certificate must have. null: the host of ``url``. Set it if the host is
    an IP address."""
    app: Annotated[str, Form(r"^[A-Za-z0-9_-]+$", "must be a name of letters, digits, _ and -, as ariagent")] = (
        "ariagent"
    )
    """Name of the Stasis application. On one Asterisk each service needs a name of its own."""
    request_timeout_s: Seconds = 5.0
    """Timeout of one request."""


AMI_PORT, AMI_TLS_PORT = 5038, 5039
"""Asterisk's own defaults."""


def _usual_port(given: dict[str, Any]) -> int:
    return AMI_TLS_PORT if given.get("tls") else AMI_PORT


class AmiSettings(Section):
    """How to reach Asterisk's manager interface (AMI). Without this section ariagent cannot pause seats, see queues or
    transfer callers of a queue."""

    host: str = "127.0.0.1"
    """Address of the manager interface (``bindaddr`` in ``manager.conf``; with TLS ``tlsbindaddr``)."""
    tls: bool = False
    """Connect with TLS (``tlsenable`` in ``manager.conf``). The certificate is always verified."""
    port: Annotated[int, Field(ge=1, le=65535, json_schema_extra={"default": AMI_PORT})] = Field(
        default_factory=_usual_port
    )
    """TCP port. The default with ``tls`` is 5039."""
    ca_file: LocalPath | None = None
    """See ``asterisk.ca_file``."""
    tls_name: TlsName | None = None
    """See ``asterisk.tls_name``; null: ``host``."""
    user: Annotated[str, Form(r"^[^\r\n]+$", "must be the name of a user in manager.conf, as ariagent")] = "ariagent"
    """A user of ``manager.conf`` with the classes agent, call and user."""
    password: Secret
    """The user's password (``secret``)."""
    request_timeout_s: Seconds = 5.0
    """Timeout of one action."""


class AudioSocketSettings(Section):
    """The TCP server that Asterisk connects each call's audio to."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 9092
    """TCP port. 0 takes any free port."""
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
    """``host:port`` that Asterisk connects to. Default: host and port above."""
    format: Literal["auto", "slin", "slin16", "slin24"] = "auto"
    """``auto``: slin24 if this Asterisk and the model's format allow it, else slin (8 kHz)."""
    allowed: tuple[Network, ...] = ("127.0.0.0/8", "::1/128")
    """Networks from which connections are accepted."""
    handshake_timeout_s: Seconds = 2.0
    """The service closes a connection that does not send the UUID of its call within this time."""
    max_connections: Annotated[int, Field(ge=1)] = 1000
    """The largest number of connections at the same time. The service refuses further connections."""
    max_unidentified: Annotated[int, Field(ge=1)] = 64
    """The largest number of connections from one address that have not sent the UUID of their call yet. For a further
    connection the service closes the oldest. Asterisk sends the UUID at once."""

    @model_validator(mode="after")
    def _advertises_an_address(self) -> Self:
        if self.advertise is None and self.host in ("0.0.0.0", "::", ""):
            raise ValueError(
                "advertise is needed if host is every address: it names the address that Asterisk connects to"
            )
        return self


DialectName = Literal["auto", "openai", "azure", "localai", "speech-to-speech"]


class FallbackSettings(Section):
    """A second endpoint of the model, for the case that the first one cannot be used. Its other settings are those of
    ``realtime``."""

    url: WebSocketUrl
    """See ``realtime.url``."""
    api_key: Secret = SecretStr("")
    """The key for that server."""
    model: str | None = None
    """The model that every agent has there. null: each agent has the same model as at ``realtime``."""
    auth: Literal["auto", "bearer", "api-key"] = "auto"
    """See ``realtime.auth``."""
    headers: dict[str, Secret] = {}
    """Additional HTTP headers of the connection."""
    ca_file: LocalPath | None = None
    """See ``realtime.ca_file``."""
    dialect: DialectName = "auto"
    """See ``realtime.dialect``."""


class RealtimeSettings(Section):
    """The speech-to-speech model. ariagent connects through the proxy of the environment (``HTTPS_PROXY``,
    ``NO_PROXY``), except to a server on this machine."""

    url: WebSocketUrl = "wss://api.openai.com/v1/realtime"
    """The model's server, OpenAI's or a compatible one. Azure:
    ``wss://RESOURCE.openai.azure.com/openai/v1/realtime``."""
    api_key: Secret = SecretStr("")
    """The key for that server."""
    model: str = "gpt-realtime-2.1"
    """Model name. On Azure: the deployment's name."""
    auth: Literal["auto", "bearer", "api-key"] = "auto"
    """How the key is sent. ``auto``: as the header ``api-key`` to Azure, else as a bearer token."""
    headers: dict[str, Secret] = {}
    """Additional HTTP headers of the connection."""
    ca_file: LocalPath | None = None
    """With ``wss``: a PEM file with the CA certificates that may have signed the server's certificate. null: the
    machine's CAs."""
    dialect: DialectName = "auto"
    """The server's dialect of the protocol (`docs/servers.md`). ``auto``: ariagent recognises OpenAI and Azure by their
    host names. With another server it finds some of the differences during calls. ``ariagent check --probe`` finds all
    of them."""
    encoding: Literal["pcm", "pcmu", "pcma"] = "pcm"
    """Audio format of the session: ``pcm`` is 24 kHz; ``pcmu`` and ``pcma`` are G.711 (8 kHz)."""
    connect_timeout_s: Seconds = 8.0
    """Time limit for a new session, from the start of the connection to the model's acknowledgement."""
    ping_interval_s: Seconds = 1.5
    """Seconds between two pings to the model's server. If a ping gets no answer for the same time, the connection
    counts as lost."""
    stall_timeout_s: Seconds = 8.0
    """If the model sends nothing for this long while a response is due, ariagent reconnects. If the new session is
    silent too, the caller is sent to the human queue. Set it above the model's longest thinking time."""
    recover_s: Seconds = 4.0
    """If a session is lost during a call, ariagent tries to reconnect for this long, with the conversation so far. If
    that fails, the caller is sent to the first of the agent's destinations, or to the human queue if there is none."""
    max_backlog_s: Seconds = 5.0
    """If the network to the model is slow, at most this many seconds of the caller's audio wait. ariagent drops newer
    audio (metric ``ariagent_uplink_dropped_seconds_total``)."""
    fallback: FallbackSettings | None = None

    _only_model: bool = PrivateAttr(default=False)
    """Every agent has this endpoint's model, whatever the agent's settings name."""

    def model_of(self, agent: str | None) -> str:
        """The name of an agent's model at this endpoint. ``agent``: the ``model`` of the agent's settings."""
        return self.model if self._only_model else agent or self.model

    @property
    def endpoints(self) -> tuple["RealtimeSettings", ...]:
        """This endpoint, then the fallback if there is one."""
        other = self.fallback
        if other is None:
            return (self,)
        changes = {key: getattr(other, key) for key in ("url", "api_key", "auth", "headers", "ca_file", "dialect")}
        second = self.model_copy(update={**changes, "model": other.model or self.model, "fallback": None})
        second._only_model = other.model is not None
        return self, second

    @property
    def is_openai(self) -> bool:
        """Whether this is OpenAI's server or Azure's: it is known what these accept."""
        return self.host_is("openai.com") or self.host_is("azure.com")

    def host_is(self, domain: str) -> bool:
        """Whether the server's host is in this domain."""
        host = urlsplit(self.url).hostname or ""
        return host == domain or host.endswith(f".{domain}")

    @property
    def lacks_key(self) -> bool:
        """Whether the server requires a key and none is set."""
        own = {name.lower() for name in self.headers} & {"authorization", "api-key"}
        return self.is_openai and not own and is_empty(self.api_key)


HostName = Annotated[
    str,
    Form(
        # An IPv6 address has two colons or more; a single one would be a port's.
        r"^([A-Za-z0-9_.-]{1,253}|[0-9A-Fa-f.]*(:[0-9A-Fa-f.]*){2,8})$",
        "must be a host name or an address without a port, as metrics.example.com",
    ),
]


class HttpSettings(Section):
    """The HTTP server of ``/metrics`` and ``/healthz``."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 9093
    """TCP port. 0 takes any free port."""
    allowed_hosts: tuple[HostName, ...] = ()
    """If ``host`` is a loopback address, only requests for that address, for localhost and for these names (header
    ``Host``) are answered. So a web page cannot read the metrics through a browser on this machine. Add the name that a
    reverse proxy on this machine sends."""


class LogSettings(Section):
    """The log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest severity to log."""
    format: Literal["text", "json"] = "text"
    """``json``: one object a line."""
    transcripts: bool = False
    """Log the words of caller and agent. Off by default: callers say private things."""
