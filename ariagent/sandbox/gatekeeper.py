"""The gatekeeper decides who may connect: the API answers 101 first and then refuses in-band, with an error event and a
close code (CORE)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ariagent.sandbox.options import SandboxOptions

_KEY_PROTOCOL = "openai-insecure-api-key."


@dataclass(frozen=True, slots=True)
class Admission:
    """A client may in, with this model; ``transcription`` sessions only transcribe."""

    model: str
    transcription: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """A client may not."""

    code: str | None
    message: str
    close_code: int
    param: str | None = None
    kind: str = "invalid_request_error"
    why_closed: str = ""

    @property
    def reason(self) -> str:
        """The reason in the close frame."""
        return self.why_closed or f"{self.kind}.{self.code}"

    def event(self, event_id: str) -> dict[str, Any]:
        """The one event that comes before the close."""
        fields = {"type": self.kind, "code": self.code, "message": self.message, "param": self.param, "event_id": None}
        return {"type": "error", "event_id": event_id, "error": fields}


def admit(path: str, headers: Mapping[str, str], options: SandboxOptions, live: int = 0) -> Admission | Refusal:
    """Judge a request by its path with query and its headers. ``live``: the number of sessions."""
    query = parse_qs(urlsplit(path).query)
    if fault := options.faults.get("refuse"):
        code = fault.value or "insufficient_quota"
        return Refusal(code, f"The sandbox refuses this session ({code}).", 4000)
    if (wrong := wrong_key(headers, options)) is not None:
        return wrong
    if (slots := options.faults.get("slots")) and live >= slots.number(1):
        message = f"All {slots.number(1):g} session slots are in use. Disconnect an existing client first."
        return Refusal(None, message, 1008, kind="session_limit_reached", why_closed="All session slots are in use")
    if "realtime=v1" in headers.get("OpenAI-Beta", ""):
        message = "The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API."
        return Refusal("beta_api_shape_disabled", message, 4000)
    if "transcription" in query.get("intent", []):
        return Admission("", transcription=True)
    if query.get("call_id"):
        return Admission(options.models[0])
    models = query.get("model")
    if not models:
        return Refusal("missing_model", "You must provide a model parameter.", 4000, "model")
    if models[-1] not in options.models:
        return Refusal("invalid_model", f"The model '{models[-1]}' does not exist.", 4000, "model")
    return Admission(models[-1])


def wrong_key(headers: Mapping[str, str], options: SandboxOptions) -> Refusal | None:
    """The refusal for a key that is not accepted."""
    key = _key(headers)
    if key and (key in options.api_keys if options.api_keys else not key.startswith("bad")):
        return None
    shown = f"{key[:3]}***" if key else "none"
    return Refusal("invalid_api_key", f"Incorrect API key provided: {shown}.", 3000)


def _key(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    if key := headers.get("api-key"):
        return key
    for offered in headers.get("Sec-WebSocket-Protocol", "").split(","):
        if offered.strip().startswith(_KEY_PROTOCOL):
            return offered.strip()[len(_KEY_PROTOCOL) :]
    return ""
