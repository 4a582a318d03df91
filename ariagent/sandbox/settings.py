"""The settings of a Realtime session: defaults, and how an update is merged (CORE).

The shapes are those of ``session.created`` and ``session.update`` in the GA protocol. An update is checked
whole before anything of it is applied; objects such as a format or a turn detection replace the old one and
are never merged into it.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from ariagent.sandbox.accepted import RESPONSE, Limits, session_check
from ariagent.sandbox.schema import ApiError

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


@dataclass(frozen=True, slots=True)
class Locks:
    """Settings that may not change now: the voice once audio was sent, the speed while a response runs."""

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
    checked: Json = session_check(limits)(update, "session")
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


@dataclass(frozen=True, slots=True)
class ResponseSettings:
    """Settings of one response: the session's, with the overrides of its response.create."""

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
