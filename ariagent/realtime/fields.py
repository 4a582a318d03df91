"""Reads fields of the server's events: what is missing or of the wrong kind raises MalformedError."""

from typing import Any

from ariagent.realtime.events import RequestRefused, Usage
from ariagent.text import encodable

LARGEST = 2**53
"""Python's JSON takes NaN, Infinity and integers of any length; beyond this nothing here is meant seriously."""
LONGEST_ID = 256
"""Characters. OpenAI's have about 30."""
LONGEST_CODE = 64
LONGEST_MESSAGE = 500
"""Characters of an error that are kept."""
LONGEST_WORDS = 16_000
"""Characters of a transcript that are kept: more than a quarter of an hour of speech."""
LONGEST_ARGUMENTS = 32_000
"""Characters of a function call's arguments."""
MOST_INPUT_TOKENS = 256_000
"""The most of one response: twice the context of today's models."""
MOST_OUTPUT_TOKENS = 64_000
"""The most of one response: twice the longest output of today's models."""


class MalformedError(Exception):
    """An event lacks what it must have. ``what`` says more than the event's type, where that is known."""

    def __init__(self, what: str = "") -> None:
        super().__init__(what)
        self.what = what


def mapping(message: dict[str, Any], key: str) -> dict[str, Any]:
    value = message.get(key)
    if not isinstance(value, dict):
        raise MalformedError
    return value


def text(message: dict[str, Any], key: str) -> str:
    """A text that everybody can write down and send."""
    return encodable(piece(message, key))


def piece(message: dict[str, Any], key: str) -> str:
    """A part of a text, as it came: some servers cut within a character. The joined text needs ``encodable``."""
    value = message.get(key)
    if not isinstance(value, str):
        raise MalformedError
    return value


def identifier(message: dict[str, Any], key: str) -> str:
    """A text by which things are known; ids are kept, so a long one is none."""
    value = text(message, key)
    if len(value) > LONGEST_ID:
        raise MalformedError
    return value


def words(message: dict[str, Any], key: str) -> str:
    """A transcript; what is longer than anybody speaks is cut."""
    return text(message, key)[:LONGEST_WORDS]


def label(value: object, longest: int) -> str:
    """A text or number that is only shown or compared, cut to ``longest`` characters; empty for anything else."""
    known = isinstance(value, str | int | float) and not isinstance(value, bool)
    return encodable(str(value)[:longest]) if known else ""


def refused(error: dict[str, Any]) -> RequestRefused:
    """The server's error about a request that it refused. Some put the code into ``type``."""
    return RequestRefused(
        label(error.get("code") or error.get("type"), LONGEST_CODE) or "unknown",
        label(error.get("message"), LONGEST_MESSAGE),
        label(error.get("param"), LONGEST_CODE),
    )


def number(message: dict[str, Any], key: str) -> float:
    value = message.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not -LARGEST <= value <= LARGEST:
        raise MalformedError
    return float(value)


def usage(value: object) -> Usage:
    """Token counts of a response; a cancelled one may come without any. Values that are no counts are left out.

    Raises MalformedError where the counts cannot be: negative, more than a model holds, more cached than given, or
    parts that are more than their sum.
    """
    if not isinstance(value, dict):
        return Usage()

    def count(*path: str) -> int:
        found: object = value
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, bool) or not isinstance(found, int):
            return 0
        if not 0 <= found <= MOST_INPUT_TOKENS:
            raise MalformedError("usage")
        return found

    given, cached, made = "input_token_details", "cached_tokens_details", "output_token_details"
    used = Usage(
        count(given, "text_tokens"),
        count(given, "audio_tokens"),
        count(given, cached, "text_tokens"),
        count(given, cached, "audio_tokens"),
        count(made, "text_tokens"),
        count(made, "audio_tokens"),
        free=value.get("unbilled") is True,
    )
    total_in, total_out = used.input_text + used.input_audio, used.output_text + used.output_audio
    if (
        total_in > (count("input_tokens") or MOST_INPUT_TOKENS)
        or total_out > (count("output_tokens") or MOST_OUTPUT_TOKENS)
        or total_out > MOST_OUTPUT_TOKENS
        or used.cached_text > used.input_text
        or used.cached_audio > used.input_audio
    ):
        raise MalformedError("usage")
    return used


def forget_oldest(known: dict[str, Any], most: int) -> None:
    """Keep the newest ``most`` entries of what a server has named: it may name any number."""
    while len(known) > most:
        del known[next(iter(known))]
