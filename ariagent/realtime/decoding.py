"""Reads one message of the model's server, and the audio in it, at a bounded cost. CORE."""

import json
from binascii import a2b_base64
from typing import Any

from pydantic_core import SchemaValidator, core_schema, from_json

from ariagent.realtime.fields import MalformedError

MOST_VALUES = 10_000
"""Values in one message. Python takes up to 600 ns for each, so these take 6 ms at most; without a limit, a megabyte of
``[[],[],...]`` takes 30 ms. The longest list that a server sends is an MCP server's tools: some thousand values."""
_COUNTED_FROM = 16_000
"""Characters: shorter messages cannot hold too many."""
_LONGEST_WHOLE = 20
"""Figures. Python's time for a whole number grows with the square of its length."""


def read(data: str | bytes) -> dict[str, Any]:
    """The message, an object with a ``type``. Raises MalformedError, with what is wrong.

    Some servers send their JSON in binary frames.
    """
    other = "binary frame" if isinstance(data, bytes) else "not JSON"
    try:
        written = data.decode() if isinstance(data, bytes) else data
        if _values(written) > MOST_VALUES:
            raise MalformedError("too many values")
        message = _decoded(written)
    except (ValueError, RecursionError):
        raise MalformedError(other) from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise MalformedError("no type")
    return message


def audio(written: str) -> bytes:
    """The bytes of an audio delta. Raises ValueError where it is not base64."""
    try:
        # Several times as fast as Python's own, which was half of the work of a message. It forgives a missing end, and
        # takes base64url too.
        if len(written) % 4 == 0:
            return _BASE64.validate_json(f'"{written}"')  # type: ignore[no-any-return]
    except ValueError:
        pass  # no base64, or bits behind the end, which some servers leave there
    return a2b_base64(written, strict_mode=True)


def _decoded(written: str) -> Any:
    # The fast one reckons with numbers of thousands of figures: not where a message may be full of them.
    if len(written) <= _COUNTED_FROM:
        try:
            return from_json(written)
        except ValueError:
            pass  # half of a surrogate pair, which servers that cut words in UTF-16 send; or no JSON
    return _DECODER.decode(written)


def _values(written: str) -> int:
    """An upper bound of the number of values; 0 if the message is too short to have too many."""
    if len(written) <= _COUNTED_FROM:
        return 0
    return written.count(",") + written.count("[") + written.count("{")


def _whole(figures: str) -> int | float:
    return int(figures) if len(figures) <= _LONGEST_WHOLE else float(figures)


_DECODER = json.JSONDecoder(parse_int=_whole)
_BASE64 = SchemaValidator(core_schema.bytes_schema(), core_schema.CoreConfig(val_json_bytes="base64"))
