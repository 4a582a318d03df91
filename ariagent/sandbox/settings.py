"""The settings of a Realtime session: defaults, checks, and how an update is merged (CORE).

The shapes are those of ``session.created`` and ``session.update`` in the GA protocol. An update is checked
whole before anything of it is applied; objects such as a format or a turn detection replace the old one and
are never merged into it.
"""

from collections.abc import Sequence
from copy import deepcopy
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

MODELS = (
    "gpt-realtime-2.1",
    "gpt-realtime-2.1-mini",
    "gpt-realtime-2",
    "gpt-realtime-1.5",
    "gpt-realtime",
    "gpt-realtime-2025-08-28",
    "gpt-realtime-mini",
    "gpt-realtime-mini-2025-10-06",
    "gpt-realtime-mini-2025-12-15",
)
SHUTDOWN_DATES: dict[str, str] = {
    **dict.fromkeys(
        (
            "gpt-realtime",
            "gpt-realtime-2025-08-28",
            "gpt-realtime-mini",
            "gpt-realtime-mini-2025-10-06",
            "gpt-realtime-mini-2025-12-15",
        ),
        "2027-01-20",
    ),
    **dict.fromkeys(("whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe"), "2027-02-26"),
}
"""Announced ends (YYYY-MM-DD), as OpenAI's list of models has them in November 2026."""
TRANSCRIPTION_MODELS = ("gpt-transcribe", "whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe")
"""Further entries of the list of models."""
_TRANSCRIBERS = (
    *TRANSCRIPTION_MODELS,
    "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe-diarize",
    "gpt-live-transcribe",
    "gpt-realtime-whisper",
)
"""The models that sessions accept (source: ``openai.types.realtime.AudioTranscription``)."""
_KEYWORDS_WITH = ("gpt-transcribe", "gpt-live-transcribe")
VOICES = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")
PCM: Json = {"type": "audio/pcm", "rate": 24000}

_DEFAULT_SERVER_VAD: Json = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 200,  # what session.created shows; the reference text says 500
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}
_DEFAULT_SEMANTIC_VAD: Json = {
    "type": "semantic_vad",
    "eagerness": "auto",
    "create_response": True,
    "interrupt_response": True,
}


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
    """What the server accepts: model names, and the least ``idle_timeout_ms``."""

    models: Sequence[str] = MODELS
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


def _session_check(limits: Limits) -> Check:
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


@dataclass(frozen=True, slots=True)
class Locks:
    """What may not change now: the voice once audio was sent, the speed while a response runs."""

    voice: bool = False
    speed: bool = False


def default_session(session_id: str, model: str, expires_at: int, *, transcription: bool = False) -> Json:
    """The session object of ``session.created``, with every key the API shows."""
    if transcription:
        return {
            "type": "transcription",
            "object": "realtime.transcription_session",
            "id": session_id,
            "expires_at": expires_at,
            "include": None,
            "audio": {
                "input": {
                    "format": dict(PCM),
                    "transcription": {"model": "gpt-live-transcribe"},
                    "noise_reduction": None,
                    "turn_detection": dict(_DEFAULT_SERVER_VAD),
                }
            },
        }
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": model,
        "output_modalities": ["audio"],
        "instructions": "You are a helpful voice assistant. Speak quickly, be brief and friendly.",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "truncation": "auto",
        "tracing": None,
        "prompt": None,
        "expires_at": expires_at,
        "include": None,
        "audio": {
            "input": {
                "format": dict(PCM),
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": dict(_DEFAULT_SERVER_VAD),
            },
            "output": {"format": dict(PCM), "voice": "marin", "speed": 1.0},
        },
    }


def is_reasoning_model(model: str) -> bool:
    """Whether the model takes ``reasoning`` and ``parallel_tool_calls`` (the 2.x family)."""
    return model.startswith("gpt-realtime-2") and not model.startswith("gpt-realtime-2025")


def merge(current: Json, update: Any, locks: Locks, limits: Limits) -> Json:
    """The session after ``update``; raises :class:`ApiError` and leaves ``current`` alone if any of it is wrong."""
    checked: Json = _session_check(limits)(update, "session")
    if checked["type"] != current["type"]:
        raise ApiError("invalid_value", "Session type cannot be changed after connecting.", "session.type")
    _check_locks(current, checked, locks)
    merged = deepcopy(current)
    for key, value in checked.items():
        if key == "audio":
            _merge_audio(merged["audio"], value)
        elif key in ("type", "model"):
            continue
        elif value is None and key == "instructions":
            merged[key] = ""
        elif value is None and key == "tools":
            merged[key] = []
        elif value is None and key == "max_output_tokens":
            merged[key] = "inf"
        else:
            merged[key] = value
    return merged


def _check_locks(current: Json, update: Json, locks: Locks) -> None:
    model = update.get("model")
    if model is not None and model != current.get("model"):
        raise ApiError("cannot_update_model", "The model of a session cannot be changed.", "session.model")
    if not is_reasoning_model(current.get("model", "")):
        for key in ("reasoning", "parallel_tool_calls"):
            if update.get(key) is not None:
                raise ApiError("unsupported_parameter", f"'{key}' is not supported with this model.", f"session.{key}")
    if current.get("tracing") is not None and "tracing" in update and update["tracing"] != current["tracing"]:
        raise ApiError("cannot_update_tracing", "Tracing cannot be changed once it is enabled.", "session.tracing")
    output = (update.get("audio") or {}).get("output") or {}
    old_output = current["audio"].get("output") or {}
    voice = output.get("voice")
    if locks.voice and voice is not None and voice != old_output.get("voice"):
        message = "Cannot update a conversation's voice if assistant audio is present."
        raise ApiError("cannot_update_voice", message, "session.audio.output.voice")
    speed = output.get("speed")
    if locks.speed and speed is not None and speed != old_output.get("speed"):
        message = "Speed can only be changed between turns, not while a response is in progress."
        raise ApiError("cannot_update_speed", message, "session.audio.output.speed")


def _merge_audio(audio: Json, update: Json) -> None:
    for side, fields in update.items():
        if not fields:
            continue
        if side not in audio:  # a transcription session has no output
            raise ApiError("unknown_parameter", f"Unknown parameter: 'session.audio.{side}'.", f"session.audio.{side}")
        for key, value in fields.items():
            if key == "format":
                audio[side][key] = dict(PCM) if value["type"] == "audio/pcm" else dict(value)
            elif key == "turn_detection" and value is not None:
                default = _DEFAULT_SERVER_VAD if value["type"] == "server_vad" else _DEFAULT_SEMANTIC_VAD
                audio[side][key] = {**default, **value}
            elif key == "voice" and value is None:
                continue
            else:
                audio[side][key] = value


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


@dataclass(frozen=True, slots=True)
class ResponseSettings:
    """What one response is made with: the session's settings with the overrides of its response.create."""

    instructions: str
    instructions_given: bool
    tools: list[Json]
    tool_choice: Any
    modalities: list[str]
    max_output_tokens: int | str
    metadata: Json | None
    default_conversation: bool
    input: list[Json] | None
    voice: Any
    format: Json
    speed: float


def response_settings(session: Json, given: Any) -> ResponseSettings:
    """Check the ``response`` of a response.create (or ``None``) and lay it over the session's settings."""
    checked: Json = {} if given is None else RESPONSE(given, "response")
    params: Json = {**session, **{key: value for key, value in checked.items() if value is not None}}
    output = session["audio"]["output"]
    override = (checked.get("audio") or {}).get("output") or {}
    fmt = override.get("format") or output["format"]
    return ResponseSettings(
        instructions=params["instructions"],
        instructions_given=bool(checked.get("instructions")),
        tools=params["tools"],
        tool_choice=params["tool_choice"],
        modalities=params["output_modalities"],
        max_output_tokens=params["max_output_tokens"],
        metadata=checked.get("metadata"),
        default_conversation=checked.get("conversation") != "none",
        input=checked.get("input"),
        voice=override.get("voice") or output["voice"],
        format=dict(PCM) if fmt["type"] == "audio/pcm" else dict(fmt),
        speed=float(output["speed"]),
    )
