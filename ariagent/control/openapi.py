"""CORE: the OpenAPI document, made from the table of routes (OpenAPI 3.1, https://spec.openapis.org/oas/v3.1.0)."""

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ariagent.control import schemas
from ariagent.control.routes import EVENT_STREAM, Route

_PREFIX = "#/components/schemas/"
_REFUSALS = {
    401: "No token, or a wrong one.",
    403: "The token's role does not allow it.",
    404: "There is no such call, queue, destination or seat.",
    408: "The body did not arrive in time.",
    409: "The call's state does not allow it, or the caller did not get there.",
    413: "The body is too large.",
    415: "The body is compressed (Content-Encoding).",
    421: "There is no right token, and the header Host does not name this service.",
    422: "The body is not right: an unknown key, a wrong type, too long.",
    429: "The token is wrong, and too many wrong ones came from this address; Retry-After: how many seconds to wait.",
    502: "Asterisk refused.",
    503: "Not possible now.",
}


def document(routes: Iterable[Route], version: str) -> dict[str, Any]:
    """The whole document, JSON types only."""
    table = tuple(routes)
    models = {model for route in table for model in (route.body, route.answers) if model is not None}
    named = sorted(models | {schemas.ErrorAnswer}, key=lambda model: model.__name__)
    _, definitions = models_json_schema([(model, "validation") for model in named], ref_template=f"{_PREFIX}{{model}}")
    paths: dict[str, dict[str, Any]] = {}
    for route in table:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ariagent",
            "version": version,
            "description": "Live calls of an AI voice agent beside Asterisk: list them, whisper, transfer callers.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    made: dict[str, Any] = {"operationId": route.name, "summary": route.summary, "responses": _responses(route)}
    if names := re.findall(r"\{(\w+)\}", route.path):
        made["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if route.body is not None:
        required = any(field.is_required() for field in route.body.model_fields.values())
        made["requestBody"] = {"required": required, "content": {"application/json": {"schema": _ref(route.body)}}}
    if route.role is None:
        made["security"] = []
    else:
        made["description"] = f"Needs the role {route.role.name.lower()} or higher."
    return made


def _responses(route: Route) -> dict[str, Any]:
    schema = _ref(route.answers) if route.answers is not None else {"type": "object"}
    if route.media == EVENT_STREAM:
        schema = {"type": "string"}
    content = {route.media: {"schema": schema}}
    found: dict[int, Any] = {200: {"description": "Done.", "content": content}}
    if route.accepted:
        found[202] = {"description": "Under way.", "content": content}
    wrong = {421, *route.refusals} | ({401, 403, 429} if route.role is not None else set())
    if route.body is not None:
        wrong |= {408, 413, 415, 422}
    for status in sorted(wrong):
        answer = {"application/json": {"schema": _ref(schemas.ErrorAnswer)}}
        found[status] = {"description": _REFUSALS[status], "content": answer}
    return {str(status): answer for status, answer in found.items()}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"{_PREFIX}{model.__name__}"}
