"""The list of models and one model of it, as ``GET /v1/models`` and ``GET /v1/models/ID`` answer (CORE)."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from ariagent.sandbox.gatekeeper import wrong_key
from ariagent.sandbox.options import SandboxOptions
from ariagent.sandbox.settings import TRANSCRIPTION_MODELS

PATH = "/v1/models"
_CREATED = 1_756_339_200
"""Seconds since the epoch; one for all of them."""

Answer = tuple[int, dict[str, Any]]
"""HTTP status and JSON body."""


def model_list(path: str, headers: Mapping[str, str], options: SandboxOptions) -> Answer | None:
    """The answer to a request for ``path``; None if it asks for something else, or there is no such list."""
    if options.shutdown_dates is None or not (path == PATH or path.startswith(f"{PATH}/")):
        return None
    if (refusal := wrong_key(headers, options)) is not None:
        return 401, _error(refusal.code, refusal.message)
    known = dict.fromkeys((*options.models, *TRANSCRIPTION_MODELS))
    if path == PATH:
        return 200, {"object": "list", "data": [_model(name, options.shutdown_dates) for name in known]}
    name = unquote(path.removeprefix(f"{PATH}/"))
    if name not in known:
        return 404, _error("model_not_found", f"The model '{name}' does not exist")
    return 200, _model(name, options.shutdown_dates)


def _model(name: str, dates: Mapping[str, str]) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": _CREATED,
        "owned_by": "system",
        "shutdown_date": dates.get(name),
    }


def _error(code: str | None, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
