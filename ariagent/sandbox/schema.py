"""Checks of what a client sends, written as small composable validators (CORE).

A validator is a function ``(value, param) -> value`` where ``param`` is the dotted path that the API names
in its errors (``session.audio.input.format.rate``). It raises :class:`ApiError` and changes nothing, so that
an event is either applied whole or refused whole.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any, str], Any]


class ApiError(Exception):
    """A refusal that is answered with an ``error`` event and leaves the session open.

    ``code`` and ``param`` are what the client sees; ``kind`` is the API's ``error.type``.
    """

    def __init__(
        self, code: str | None, message: str, param: str | None = None, kind: str = "invalid_request_error"
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.kind = kind


def invalid_type(value: Any, param: str, wanted: str) -> ApiError:
    """The refusal of a value of the wrong JSON type."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", int: "an integer"}
    got = names.get(type(value), "null" if value is None else "a number")
    return ApiError("invalid_type", f"Invalid type for '{param}': expected {wanted}, but got {got} instead.", param)


def text(value: Any, param: str) -> Any:
    """A JSON string."""
    if not isinstance(value, str):
        raise invalid_type(value, param, "a string")
    return value


def boolean(value: Any, param: str) -> Any:
    """A JSON boolean."""
    if not isinstance(value, bool):
        raise invalid_type(value, param, "a boolean")
    return value


def anything(value: Any, param: str) -> Any:
    """Whatever the client likes."""
    return value


def short_text(longest: int, pattern: str = "") -> Check:
    """A JSON string of at most ``longest`` characters, all of it like ``pattern`` if there is one."""

    def check(value: Any, param: str) -> Any:
        text(value, param)
        if len(value) > longest:
            raise ApiError(
                "string_above_max_length",
                f"Invalid '{param}': string too long. Expected a string with maximum length {longest}, "
                f"but got a string with length {len(value)} instead.",
                param,
            )
        if pattern and not re.fullmatch(pattern, value):
            message = f"Invalid '{param}': string does not match pattern. Expected a string that matches '^{pattern}$'."
            raise ApiError("invalid_value", message, param)
        return value

    return check


tool_name: Check = short_text(64, "[a-zA-Z0-9_-]+")
"""The name of a function."""
server_label: Check = short_text(64, "[a-zA-Z][a-zA-Z0-9_-]*")
"""The label of an MCP server."""


def metadata(value: Any, param: str) -> Any:
    """Up to 16 texts of 512 characters under names of 64 (source: ``openai.types.realtime.RealtimeResponse``)."""
    if not isinstance(value, dict):
        raise invalid_type(value, param, "an object")
    if len(value) > 16:
        message = f"Invalid '{param}': too many properties. Expected at most 16, but got {len(value)} instead."
        raise ApiError("object_above_max_properties", message, param)
    for name, element in value.items():
        short_text(64)(name, f"{param}.{name[:64]}")
        short_text(512)(element, f"{param}.{name}")
    return value


def integer(low: int | None = None, high: int | None = None) -> Check:
    """A JSON integer within ``low..high``, both included."""

    def check(value: Any, param: str) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            raise invalid_type(value, param, "an integer")
        return _bounds(value, param, low, high, "integer")

    return check


def number(low: float | None = None, high: float | None = None) -> Check:
    """A JSON number within ``low..high``, both included."""

    def check(value: Any, param: str) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise invalid_type(value, param, "a decimal")
        return _bounds(value, param, low, high, "decimal")

    return check


def _bounds(value: Any, param: str, low: float | None, high: float | None, kind: str) -> Any:
    if low is not None and value < low:
        raise ApiError(
            f"{kind}_below_min_value",
            f"Invalid '{param}': {kind} below minimum value. Expected a value >= {low}, but got {value} instead.",
            param,
        )
    if high is not None and value > high:
        raise ApiError(
            f"{kind}_above_max_value",
            f"Invalid '{param}': {kind} above maximum value. Expected a value <= {high}, but got {value} instead.",
            param,
        )
    return value


def one_of(*allowed: str) -> Check:
    """One of the strings in ``allowed``."""

    def check(value: Any, param: str) -> Any:
        text(value, param)
        if value not in allowed:
            names = ", ".join(f"'{name}'" for name in allowed)
            raise ApiError("invalid_value", f"Invalid value: '{value}'. Supported values are: {names}.", param)
        return value

    return check


def nullable(inner: Check) -> Check:
    """``null`` or whatever ``inner`` accepts."""

    def check(value: Any, param: str) -> Any:
        return None if value is None else inner(value, param)

    return check


def either(*choices: Check) -> Check:
    """The first of ``choices`` that accepts. The error is of the first one that takes values of this JSON type, else of
    the last one."""

    def check(value: Any, param: str) -> Any:
        errors: list[ApiError] = []
        for choice in choices:
            try:
                return choice(value, param)
            except ApiError as error:
                errors.append(error)
        fitting = (error for error in errors if (error.code, error.param) != ("invalid_type", param))
        raise next(fitting, errors[-1])

    return check


def list_of(inner: Check) -> Check:
    """A JSON array whose every element ``inner`` accepts."""

    def check(value: Any, param: str) -> Any:
        if not isinstance(value, list):
            raise invalid_type(value, param, "an array")
        return [inner(element, f"{param}[{index}]") for index, element in enumerate(value)]

    return check


def obj(fields: Mapping[str, Check], required: tuple[str, ...] = ()) -> Check:
    """A JSON object with no other keys than ``fields`` and all of ``required``."""

    def check(value: Any, param: str) -> Any:
        if not isinstance(value, dict):
            raise invalid_type(value, param, "an object")
        for key in required:
            if key not in value:
                path = f"{param}.{key}"
                raise ApiError("missing_required_parameter", f"Missing required parameter: '{path}'.", path)
        for key in value:
            if key not in fields:
                path = f"{param}.{key}"
                raise ApiError("unknown_parameter", f"Unknown parameter: '{path}'.", path)
        return {key: fields[key](element, f"{param}.{key}") for key, element in value.items()}

    return check


def tagged(choices: Mapping[str, Check]) -> Check:
    """A JSON object whose ``type`` says which of ``choices`` it must satisfy."""

    def check(value: Any, param: str) -> Any:
        if not isinstance(value, dict):
            raise invalid_type(value, param, "an object")
        if "type" not in value:
            path = f"{param}.type"
            raise ApiError("missing_required_parameter", f"Missing required parameter: '{path}'.", path)
        kind = one_of(*choices)(value["type"], f"{param}.type")
        return choices[kind](value, param)

    return check
