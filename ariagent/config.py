"""One typed settings tree, loaded once.

A YAML file (``-c FILE``) is read first, then every ``ARIAGENT_SECTION__KEY`` of the environment overrides its key
(``ARIAGENT_MAX_CALLS`` where there is no section). Unknown keys, duplicate keys and wrong values are refused with
file, line and key. A secret may be written as ``${NAME}`` (taken from the environment) or ``file:PATH`` (the file's
first line); it is never printed.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from ariagent import yamlfile
from ariagent.errors import ConfigurationError
from ariagent.yamlfile import KeyPath

DEFAULT_PATH = Path("/etc/ariagent/ariagent.yaml")
ENVIRONMENT_PREFIX = "ARIAGENT_"


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _resolve_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if reference := re.fullmatch(r"\$\{(\w+)\}", text):
        value = os.environ.get(reference[1])
        if value is None:
            raise ValueError(f"the environment variable {reference[1]} is not set")
        return SecretStr(value)
    if text.startswith("file:"):
        path = Path(text.removeprefix("file:"))
        try:
            lines = path.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"cannot read the secret's file {path}: {error}") from None
        if not lines or not lines[0].strip():
            raise ValueError(f"the secret's file {path} is empty")
        return SecretStr(lines[0].strip())
    return secret


def _url_with(*schemes: str) -> AfterValidator:
    def check(url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"must be a URL that starts with {' or '.join(s + '://' for s in schemes)}")
        if parts.username is not None:
            # The URL is shown in logs and errors.
            raise ValueError("must not hold credentials; there are keys of their own for them")
        _ = parts.port  # raises for one that cannot be
        return url

    return AfterValidator(check)


def _network(text: str) -> str:
    ipaddress.ip_network(text)
    return text


Secret = Annotated[SecretStr, AfterValidator(_resolve_secret)]
HttpUrl = Annotated[str, _url_with("http", "https")]
WebSocketUrl = Annotated[str, _url_with("ws", "wss")]
Port = Annotated[int, Field(ge=0, le=65535)]
Network = Annotated[str, AfterValidator(_network)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class AsteriskSettings(Section):
    """How to reach Asterisk's REST interface (ARI)."""

    url: HttpUrl = "http://127.0.0.1:8088"
    """Base URL of Asterisk's HTTP server, without ``/ari``."""
    user: str = "ariagent"
    """An ARI user of ``ari.conf``, not read-only."""
    password: Secret = SecretStr("")
    """That user's password."""
    app: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] = "ariagent"
    """Name of the Stasis application; one running service per name and Asterisk."""
    request_timeout_s: Seconds = 5.0
    """How long Asterisk may take to answer one request."""


class AudioSocketSettings(Section):
    """The TCP server that Asterisk connects each call's audio to."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 9092
    """0 takes any free port."""
    advertise: Annotated[str, Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^:\s]+):[0-9]{1,5}$")] | None = None
    """``host:port`` that Asterisk is told to connect to; default: host and port above."""
    format: Literal["auto", "slin", "slin16", "slin24"] = "auto"
    """``auto``: slin24 where this Asterisk and the model's format allow, else slin (8 kHz)."""
    allowed: tuple[Network, ...] = ("127.0.0.0/8", "::1/128")
    """Networks that connections are accepted from."""
    handshake_timeout_s: Seconds = 2.0
    """A connection that does not say in time which call it is for is closed."""
    max_connections: Annotated[int, Field(ge=1)] = 1000
    """More connections at once than this are refused."""

    @model_validator(mode="after")
    def _advertises_an_address(self) -> Self:
        if self.advertise is None and self.host in ("0.0.0.0", "::", ""):
            raise ValueError(
                "with a host that is every address, advertise must say which one Asterisk is to connect to"
            )
        return self


class RealtimeSettings(Section):
    """The speech-to-speech model."""

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
    encoding: Literal["pcm", "pcmu", "pcma"] = "pcm"
    """``pcm`` is 24 kHz; ``pcmu``/``pcma`` are G.711."""
    connect_timeout_s: Seconds = 8.0
    """From the start of the connection to the model's acknowledgement of the session."""
    ping_interval_s: Seconds = 3.0
    """A connection that answers no ping for this long is taken for dead."""
    stall_timeout_s: Seconds = 10.0
    """A model that owes a response, or the rest of one, and says nothing for this long is given up: the caller goes
    to people."""
    max_backlog_s: Seconds = 5.0
    """Caller audio that may wait for a slow network before the newest is dropped and counted."""

    @property
    def lacks_key(self) -> bool:
        """Whether this is a server that refuses every session without a key, and there is none."""
        host = urlsplit(self.url).hostname or ""
        own = {name.lower() for name in self.headers} & {"authorization", "api-key"}
        needed = host == "openai.com" or host.endswith((".openai.com", ".azure.com"))
        return needed and not own and not self.api_key.get_secret_value().strip()


class ServerVad(Section):
    """Turn detection by silence."""

    type: Literal["server_vad"] = "server_vad"
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """How sure the detector must be that it hears speech."""
    prefix_padding_ms: Annotated[int, Field(ge=0, le=5000)] = 300
    """How much before the detected start belongs to the turn."""
    silence_duration_ms: Annotated[int, Field(ge=50, le=10000)] = 500
    """Silence that ends a turn."""
    idle_timeout_ms: Annotated[int, Field(ge=1000, le=600_000)] | None = None
    """After this long without the caller the model is asked to say something; null: never."""
    create_response: bool = True
    """The server answers each turn by itself; otherwise ariagent asks it to, a round trip later."""
    interrupt_response: bool = True
    """The server stops its response when the caller speaks; otherwise ariagent does."""


class SemanticVad(Section):
    """Turn detection by meaning."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    """How soon a pause is taken for the end: at most 8, 4, 2 s for low, medium, high."""
    create_response: bool = True
    """As with ``server_vad``."""
    interrupt_response: bool = True
    """As with ``server_vad``."""


class TranscriptionSettings(Section):
    """What the caller said, as text for records; the model itself hears the audio."""

    model: str = "gpt-transcribe"
    """The transcription model."""
    language: str | None = None
    """Of the caller, as ``en``; null: detected, and sometimes wrongly."""
    prompt: str | None = None
    """Words to expect."""


class AgentSettings(Section):
    """One AI agent: who it is and how it talks."""

    instructions: str = "You are a friendly, brief telephone assistant. Say so when you do not know something."
    """What the model is told about itself and its work."""
    opening: str | None = "Hello, this is the automated assistant. How can I help you?"
    """First words, spoken when the call is answered; null: the caller speaks first."""
    voice: str = "marin"
    """One of the model's voices."""
    speed: Annotated[float, Field(ge=0.25, le=1.5)] = 1.0
    """Speed of speech; 1 is normal."""
    model: str | None = None
    """Default: ``realtime.model``."""
    turn_detection: Annotated[ServerVad | SemanticVad, Field(discriminator="type")] = ServerVad()
    """How the end of the caller's turn is found."""
    noise_reduction: Literal["near_field", "far_field"] | None = "near_field"
    """Applied by the model's server before turn detection; null: off."""
    transcription: TranscriptionSettings | None = TranscriptionSettings()
    """What the caller says as text, for the log; null: off (billed apart)."""
    max_output_tokens: Annotated[int, Field(ge=1, le=4096)] | Literal["inf"] = 1200
    """Longest response, in tokens; reserved against the rate limit for every response."""
    digit_pause_ms: Annotated[int, Field(ge=100, le=10_000)] = 800
    """Digits are given to the model after this long without another one, or at once on ``#``."""

    @field_validator("turn_detection", mode="before")
    @classmethod
    def _server_vad_by_default(cls, value: object) -> object:
        return {"type": "server_vad", **value} if isinstance(value, dict) and "type" not in value else value


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


class Settings(Section):
    """The whole tree."""

    asterisk: AsteriskSettings = AsteriskSettings()
    audiosocket: AudioSocketSettings = AudioSocketSettings()
    realtime: RealtimeSettings = RealtimeSettings()
    agents: Annotated[dict[str, AgentSettings], Field(min_length=1)] = {"default": AgentSettings()}
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    max_calls: Annotated[int, Field(ge=1)] = 60
    """Calls served at once; one more is refused as busy, so that it goes to people."""
    drain_timeout_s: Annotated[float, Field(ge=0)] = 300.0
    """After SIGTERM, how long running calls may go on."""


def load(path: Path | None = None, environment: Mapping[str, str] | None = None, *, serving: bool = False) -> Settings:
    """Read the settings from ``path`` (default ``/etc/ariagent/ariagent.yaml``) and the environment.

    ``serving``: for a program that talks to the model, which also needs what the model's server cannot do without.
    Raises ConfigurationError with ``file:line: key: what is wrong`` for each mistake, one a line.
    """
    source = path or DEFAULT_PATH
    environment = os.environ if environment is None else environment
    tree, lines = yamlfile.read(source, remedy="Name one with -c FILE; the README has a complete example")
    _apply_environment(tree, environment, lines, str(source))
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        problems = yamlfile.explain(str(source), lines, error, _did_you_mean)
        raise ConfigurationError("\n".join(problems)) from None
    if serving and settings.realtime.lacks_key:
        path_to_key: KeyPath = ("realtime", "api_key")
        where = next(lines[part] for part in (path_to_key, path_to_key[:1], ()) if part in lines)
        raise ConfigurationError(
            f"{where}: realtime.api_key: {urlsplit(settings.realtime.url).hostname} needs a key",
            remedy="Set it, for instance as ${OPENAI_API_KEY} or file:PATH, or in ARIAGENT_REALTIME__API_KEY",
        )
    return settings


def _apply_environment(
    tree: dict[str, Any], environment: Mapping[str, str], lines: dict[KeyPath, str], source: str
) -> None:
    # Without a section only the plain keys: other programs' variables may begin as ours do.
    plain = {key for key, field in Settings.model_fields.items() if field.annotation in (int, float)}
    for name, text in sorted(environment.items()):
        key = name.removeprefix(ENVIRONMENT_PREFIX).lower()
        if not name.startswith(ENVIRONMENT_PREFIX) or ("__" not in name and key not in plain):
            continue
        path = tuple(key.split("__"))
        branch = tree
        for depth, part in enumerate(path[:-1]):
            below = branch.get(part)
            if below is None:
                below = branch[part] = {}
                lines.setdefault(path[: depth + 1], f"environment {name}")
            if not isinstance(below, dict):
                raise ConfigurationError(
                    f"environment {name}: {yamlfile.dotted(path[: depth + 1])} is not a section in {source}"
                )
            branch = below
        # Lists and mappings may be given as YAML; everything else stays text and is converted by the field's type.
        try:
            branch[path[-1]] = yaml.safe_load(text) if text[:1] in ("[", "{") else text
        except (yaml.YAMLError, ValueError):
            raise ConfigurationError(f"environment {name}: {yamlfile.dotted(path)}: not valid YAML") from None
        lines[path] = f"environment {name}"


def _did_you_mean(path: KeyPath) -> str:
    import difflib

    model: Any = Settings
    for part in path[:-1]:
        field = model.model_fields.get(str(part)) if isinstance(model, type) and issubclass(model, Section) else None
        if field is None:
            # Below ``agents`` the second part is a name of the site's own.
            model = AgentSettings if path[0] == "agents" else None
            continue
        model = field.annotation
    if not (isinstance(model, type) and issubclass(model, Section)):
        return ""
    near = difflib.get_close_matches(str(path[-1]), model.model_fields, n=1)
    return f" (did you mean {near[0]}?)" if near else f" (known here: {', '.join(model.model_fields)})"
