"""The entries of a call's timeline. CORE."""

from collections.abc import Mapping
from dataclasses import dataclass

SLOW_TOOL_MS = 1000.0


@dataclass(frozen=True, slots=True)
class Latency:
    """How long the caller waited for an answer, from their true end of speech to its first frame, in parts (ms)."""

    response_ms: float
    detection_ms: float
    """Milliseconds until the model reported that the turn was over."""
    model_ms: float
    """Milliseconds until its first audio arrived, without the tools' part."""
    tools_ms: float
    """Milliseconds of tools meanwhile."""
    service_ms: float
    """Milliseconds until its first frame was sent to Asterisk."""
    held_ms: float = 0.0
    """Milliseconds for which ariagent held it, before it sent that frame."""
    why: str = ""
    """The cause of a slow answer; empty if it was not slow."""

    @property
    def parts(self) -> tuple[tuple[str, float], ...]:
        """The parts in order, by name."""
        named = ("detection", self.detection_ms), ("model", self.model_ms)
        return *named, ("tools", self.tools_ms), ("held", self.held_ms), ("service", self.service_ms)


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of the caller or of the agent."""

    at_s: float
    """When it began to be heard, as well as is known."""
    end_s: float
    side: str
    """``caller`` or ``agent``."""
    text: str
    item: str = ""
    latency: Latency | None = None
    """The latency of an agent's answer."""
    heard_ms: float | None = None
    """Milliseconds that the caller heard of an agent's turn that they interrupted."""
    dropped_ms: float = 0.0
    heard_text: str = ""
    """The words of that, estimated."""


@dataclass(frozen=True, slots=True)
class ToolRun:
    """A tool that the model called."""

    at_s: float
    tool: str
    ms: float | None
    """None: it had not come back when the call ended, or need not."""
    ok: bool
    kind: str = ""
    """The kind of the failure; empty if there was none."""
    arguments: str = ""
    output: str = ""
    own: bool = False
    """A tool of ariagent's own. The call may end or change before it has a result."""

    @property
    def slow(self) -> bool:
        return self.ms is not None and self.ms >= SLOW_TOOL_MS


@dataclass(frozen=True, slots=True)
class Note:
    """Anything else."""

    at_s: float
    name: str
    fields: Mapping[str, object]
    kind: str = "event"
    """``error``, ``gap`` (audio was missing), ``waiting_prompt`` (the caller heard a slow tool's) or ``event``."""

    @property
    def text(self) -> str:
        """The fields as one line."""
        return ", ".join(f"{key}: {show(value)}" for key, value in self.fields.items())


Entry = Turn | ToolRun | Note


def show(value: object) -> str:
    """A field's value as text."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)
