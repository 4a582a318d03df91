"""The settings that a client may send for a session or a response (CORE).

The limits are those of the official package's types (``openai.types.realtime``), of the Realtime guides, and of errors
that the API was seen to give.
"""

from dataclasses import dataclass
from typing import Any

from ariagent.sandbox.languages import CODES
from ariagent.sandbox.schema import (
    ApiError,
    Check,
    anything,
    boolean,
    either,
    integer,
    invalid_type,
    list_of,
    metadata,
    nullable,
    number,
    obj,
    one_of,
    server_label,
    tagged,
    text,
    tool_name,
)

Json = dict[str, Any]

_TRANSCRIBERS = (
    "gpt-transcribe",
    "whisper-1",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe-diarize",
    "gpt-live-transcribe",
    "gpt-realtime-whisper",
)
"""The models that sessions accept (source: ``openai.types.realtime.AudioTranscription``)."""
_KEYWORDS_WITH = ("gpt-transcribe", "gpt-live-transcribe")
VOICES = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")


def _pcm_rate(value: Any, param: str) -> Any:
    return integer(24000, 24000)(value, param)


FORMAT: Check = tagged(
    {
        "audio/pcm": obj({"type": text, "rate": nullable(_pcm_rate)}),
        "audio/pcmu": obj({"type": text}),
        "audio/pcma": obj({"type": text}),
    }
)


def _voice(value: Any, param: str) -> Any:
    return obj({"id": text}, ("id",))(value, param) if isinstance(value, dict) else one_of(*VOICES)(value, param)


def _modalities(value: Any, param: str) -> Any:
    """Audio has a transcript anyway; both cannot be asked for (source: ``RealtimeSessionCreateRequest``)."""
    checked: list[str] = list_of(one_of("audio", "text"))(value, param)
    if len(set(checked)) != 1:
        message = f"Invalid modalities: {checked}. Supported combinations are: ['text'] and ['audio']."
        raise ApiError("invalid_value", message, param)
    return checked


def _language(value: Any, param: str) -> Any:
    """Two letters, and no region."""
    text(value, param)
    if value not in CODES:
        message = f"Invalid value: '{value}'. Expected a language code of ISO-639-1, such as 'en'."
        raise ApiError("invalid_value", message, param)
    return value


def _parameters(value: Any, param: str) -> Any:
    if not isinstance(value, dict):
        raise invalid_type(value, param, "an object")
    if value.get("type", "object") != "object":
        message = f"Invalid schema: schema must be of type 'object', got type '{value['type']}'."
        raise ApiError("invalid_function_parameters", message, param)
    return value


VOICE: Check = _voice
MODALITIES: Check = _modalities
MAX_TOKENS: Check = either(one_of("inf"), integer(1, 4096))
_FUNCTION = obj(
    {"type": text, "name": tool_name, "description": nullable(text), "parameters": nullable(_parameters)}, ("name",)
)
_TOOL_FILTER = obj({"tool_names": list_of(text), "read_only": nullable(boolean)})
_MCP_FIELDS: dict[str, Check] = {
    "type": text,
    "server_label": server_label,
    "server_url": nullable(text),
    "connector_id": nullable(text),
    "tunnel_id": nullable(text),
    "server_description": nullable(text),
    "authorization": nullable(text),
    "headers": nullable(anything),
    "allowed_tools": nullable(either(list_of(text), _TOOL_FILTER)),
    "allowed_callers": nullable(list_of(one_of("direct", "programmatic"))),
    "require_approval": nullable(
        either(obj({"always": nullable(_TOOL_FILTER), "never": nullable(_TOOL_FILTER)}), one_of("always", "never"))
    ),
    "defer_loading": nullable(boolean),
}


def _mcp(value: Any, param: str) -> Any:
    checked: Json = obj(_MCP_FIELDS, required=("server_label",))(value, param)
    if not any(checked.get(name) for name in ("server_url", "connector_id", "tunnel_id")):
        path = f"{param}.server_url"
        message = "One of 'server_url', 'connector_id' or 'tunnel_id' must be provided."
        raise ApiError("missing_required_parameter", message, path)
    return checked


_TOOL: Check = tagged({"function": _FUNCTION, "mcp": _mcp})


def _tools(value: Any, param: str) -> Any:
    checked: list[Json] = list_of(_TOOL)(value, param)
    labels: set[str] = set()
    for index, tool in enumerate(checked):
        label = tool.get("server_label")
        if label in labels:
            path = f"{param}[{index}].server_label"
            raise ApiError("invalid_value", f"Invalid value: '{label}'. Server labels must be unique.", path)
        if label is not None:
            labels.add(label)
    return checked


TOOL_CHOICE: Check = either(
    tagged(
        {
            "function": obj({"type": text, "name": tool_name}, ("name",)),
            "mcp": obj({"type": text, "server_label": server_label, "name": nullable(text)}, ("server_label",)),
        }
    ),
    one_of("auto", "none", "required"),
)
REASONING: Check = obj({"effort": one_of("minimal", "low", "medium", "high", "xhigh")})
_TRACING: Check = either(one_of("auto"), obj({"group_id": text, "metadata": anything, "workflow_name": text}))
_TRUNCATION: Check = either(
    one_of("auto", "disabled"),
    obj(
        {
            "type": one_of("retention_ratio"),
            "retention_ratio": number(0.0, 1.0),
            "token_limits": nullable(obj({"post_instructions": integer(0)})),
        },
        required=("type", "retention_ratio"),
    ),
)
_TRANSCRIPTION_FIELDS: Check = obj(
    {
        "model": one_of(*_TRANSCRIBERS),
        "language": nullable(_language),
        "prompt": nullable(text),
        "keywords": nullable(list_of(text)),
        "languages": nullable(list_of(_language)),
        "delay": nullable(one_of("minimal", "low", "medium", "high", "xhigh")),
    }
)


def _transcription(value: Any, param: str) -> Any:
    """Keys that the model does not have are refused (source: ``openai.types.realtime.AudioTranscription``)."""
    checked: Json = _TRANSCRIPTION_FIELDS(value, param)
    model = checked.get("model") or ""
    whisper = model == "gpt-realtime-whisper"
    wrong = {"prompt": whisper, "delay": not whisper}
    wrong |= dict.fromkeys(("keywords", "languages"), model not in _KEYWORDS_WITH)
    for key, refused in wrong.items():
        if refused and checked.get(key) is not None:
            message = f"'{key}' is not supported with the transcription model '{model}'."
            raise ApiError("unsupported_parameter", message, f"{param}.{key}")
    return checked


_NOISE: Check = obj({"type": one_of("near_field", "far_field"), "strength": nullable(number(0.0))})


@dataclass(frozen=True, slots=True)
class Limits:
    """The range of ``idle_timeout_ms``."""

    idle_timeout_min_ms: int = 5000
    idle_timeout_max_ms: int = 30000


def _turn_detection(limits: Limits) -> Check:
    flags: dict[str, Check] = {"type": text, "create_response": boolean, "interrupt_response": boolean}
    server = {
        **flags,
        "threshold": number(0.0, 1.0),
        "prefix_padding_ms": integer(0),
        "silence_duration_ms": integer(0),
        "idle_timeout_ms": nullable(integer(limits.idle_timeout_min_ms, limits.idle_timeout_max_ms)),
    }
    semantic = {**flags, "eagerness": one_of("low", "medium", "high", "auto")}
    return nullable(tagged({"server_vad": obj(server), "semantic_vad": obj(semantic)}))


def session_check(limits: Limits) -> Check:
    audio_input: dict[str, Check] = {
        "format": FORMAT,
        "noise_reduction": nullable(_NOISE),
        "transcription": nullable(_transcription),
        "turn_detection": _turn_detection(limits),
    }
    audio_output: dict[str, Check] = {"format": FORMAT, "voice": nullable(VOICE), "speed": number(0.25, 1.5)}
    return obj(
        {
            "type": one_of("realtime", "transcription"),
            "model": nullable(text),
            "output_modalities": MODALITIES,
            "instructions": nullable(text),
            "audio": obj({"input": nullable(obj(audio_input)), "output": nullable(obj(audio_output))}),
            "tools": nullable(_tools),
            "tool_choice": TOOL_CHOICE,
            "parallel_tool_calls": boolean,
            "max_output_tokens": nullable(MAX_TOKENS),
            "reasoning": nullable(REASONING),
            "truncation": _TRUNCATION,
            "tracing": nullable(_TRACING),
            "include": nullable(list_of(one_of("item.input_audio_transcription.logprobs"))),
            "prompt": nullable(anything),
        },
        required=("type",),
    )


RESPONSE: Check = obj(
    {
        "audio": nullable(obj({"output": nullable(obj({"format": FORMAT, "voice": nullable(VOICE)}))})),
        "conversation": nullable(one_of("auto", "none")),
        "input": nullable(list_of(anything)),
        "instructions": nullable(text),
        "max_output_tokens": nullable(MAX_TOKENS),
        "metadata": nullable(metadata),
        "output_modalities": nullable(MODALITIES),
        "parallel_tool_calls": nullable(boolean),
        "prompt": nullable(anything),
        "reasoning": nullable(REASONING),
        "tool_choice": nullable(TOOL_CHOICE),
        "tools": nullable(_tools),
    }
)
