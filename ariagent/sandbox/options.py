"""The options of a sandbox, as one dataclass; the command line and a connection's query set the same fields."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_type_hints

from ariagent.errors import ConfigurationError
from ariagent.sandbox.faults import Faults
from ariagent.sandbox.settings import MODELS, SHUTDOWN_DATES

DEFAULT_SCENARIO = Path(__file__).parent / "scenarios" / "default.yaml"

DetectorName = Literal["silero", "energy", "reflex", "none"]
DETECTORS: tuple[DetectorName, ...] = ("silero", "energy", "reflex", "none")


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """All settings of a sandbox. Times say their unit; the defaults make an ordinary, well-behaved server."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free one."""
    scenario: Path = DEFAULT_SCENARIO
    think_ms: float = 250
    """Milliseconds from the end of the caller's turn, or a response.create, to the first audio."""
    network_ms: float = 0
    """Milliseconds that every message is under way, in each direction; opening a connection takes a round trip more."""
    generation_speed: float = 6.0
    """How many times faster than real time audio is generated; 0 is all at once."""
    detector: DetectorName = "silero"
    recogniser: bool = True
    """Off: nobody knows what was said, and every spoken turn is answered by ``otherwise``."""
    transcription_ms: float = 150
    """How long after the recogniser the transcript of a turn is sent, if the session asked for transcripts."""
    voice: str = "rms"
    """flite voice for every voice of the API; empty maps the API's voices to different ones."""
    billed: bool = False
    """Usage looks like a real server's. Otherwise it says that it costs nothing (``unbilled``)."""
    fetch: bool = False
    """Programs that speak are fetched where they are missing."""
    cache_dir: Path | None = None
    """Keeps synthesised speech between runs."""
    prewarm: bool = False
    """Synthesise everything the scenario may say while the server starts."""
    session_seconds: float = 3600
    """A session's longest life."""
    ping_seconds: float = 20
    api_keys: tuple[str, ...] = ()
    """Keys to accept; empty accepts any that does not start with ``bad``."""
    models: tuple[str, ...] = MODELS
    shutdown_dates: Mapping[str, str] | None = field(default_factory=lambda: dict(SHUTDOWN_DATES))
    """Shutdown dates by model, YYYY-MM-DD, as the list of models has them; None: there is no such list (404)."""
    idle_timeout_min_ms: int = 5000
    context_tokens: int = 28_000
    """The conversation is cut to this size (``truncation``)."""
    late_deltas: int = 0
    """Deltas that still come after speech_started has cancelled a response: a deviation, none come from the API."""
    reflex_ms: float = 400
    """Length of the reflex detector's tone."""
    reflex_hz: float = 1000
    keep_audio: bool = False
    """Keep all appended audio in the session record (``SandboxSession.audio``)."""
    clamp_truncation: bool = True
    """A truncate past the end is refused, then done as far as possible."""
    paraphrase: int = 0
    """The number of times, over all sessions, that other words are said than a response's instructions ask for."""
    faults: Faults = field(default_factory=Faults)

    @property
    def recognises(self) -> bool:
        """Whether anybody listens to what is said; the reflex does not."""
        return self.recogniser and self.detector != "reflex"

    def with_query(self, query: dict[str, list[str]]) -> "SandboxOptions":
        """These options changed by ``fault=`` and ``sandbox_FIELD=`` of a connection's query.

        Raises :class:`ConfigurationError` for an unknown field or a value that does not fit it.
        """
        changes: dict[str, Any] = {}
        for key, values in query.items():
            if key == "fault":
                changes["faults"] = Faults.parse(",".join(values))
            elif key.startswith("sandbox_"):
                changes[key[8:]] = _convert(key[8:], values[-1])
        return replace(self, **changes) if changes else self


_PER_SESSION = {
    "think_ms",
    "network_ms",
    "generation_speed",
    "detector",
    "recogniser",
    "transcription_ms",
    "voice",
    "session_seconds",
    "idle_timeout_min_ms",
    "context_tokens",
    "late_deltas",
    "reflex_ms",
    "reflex_hz",
    "clamp_truncation",
    "keep_audio",
}


def _convert(name: str, text: str) -> Any:
    known = {option.name for option in fields(SandboxOptions)} & _PER_SESSION
    if name not in known:
        raise ConfigurationError(f"no such option for one session: {name}", remedy=f"Known: {', '.join(sorted(known))}")
    kind = get_type_hints(SandboxOptions)[name]
    try:
        if kind is bool:
            return {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}[text.lower()]
        if kind is DetectorName:
            return DETECTORS[DETECTORS.index(text)]
        return kind(text)
    except (KeyError, ValueError) as error:
        raise ConfigurationError(f"option {name} cannot be {text!r}") from error
