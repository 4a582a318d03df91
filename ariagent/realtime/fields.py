"""Reads fields of the server's events: what is missing or of the wrong kind raises MalformedError."""

from typing import Any

from ariagent.realtime.events import Usage

LARGEST = 2**53
"""Python's JSON takes NaN, Infinity and integers of any length; beyond this nothing here is meant seriously."""


class MalformedError(Exception):
    """An event lacks what it must have."""


def mapping(message: dict[str, Any], key: str) -> dict[str, Any]:
    value = message.get(key)
    if not isinstance(value, dict):
        raise MalformedError
    return value


def text(message: dict[str, Any], key: str) -> str:
    value = message.get(key)
    if not isinstance(value, str):
        raise MalformedError
    return value


def number(message: dict[str, Any], key: str) -> float:
    value = message.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not -LARGEST <= value <= LARGEST:
        raise MalformedError
    return float(value)


def usage(value: object) -> Usage:
    """Token counts of a response; a cancelled one may come without any."""
    if not isinstance(value, dict):
        return Usage()

    def count(*path: str) -> int:
        found: object = value
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, int) and 0 < found <= LARGEST else 0

    given, cached = "input_token_details", "cached_tokens_details"
    return Usage(
        count(given, "text_tokens"),
        count(given, "audio_tokens"),
        count(given, cached, "text_tokens"),
        count(given, cached, "audio_tokens"),
        count("output_token_details", "text_tokens"),
        count("output_token_details", "audio_tokens"),
        free=value.get("unbilled") is True,
    )
