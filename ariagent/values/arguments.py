"""The model's arguments: read from their JSON text and held against the tool's JSON Schema. No I/O."""

import json
from collections.abc import Mapping
from typing import Any

from ariagent.values import schema
from ariagent.values.outcome import Kind, ToolFailure
from ariagent.values.schema import short

MAX_LENGTH = 4096
"""Characters of JSON text that a model may call a tool with."""

schema_problem = schema.problem


class Parameters:
    """The JSON Schema of one tool's arguments, ready to judge them.

    Arguments that the schema does not name are refused at every depth, unless it allows them itself: a caller can talk
    the model into adding some, and they must not reach the other side.
    """

    __slots__ = ("_validator",)

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        """``parameters``: a JSON Schema without a ``schema_problem``."""
        self._validator = schema.validator(parameters)

    def read(self, text: str) -> dict[str, Any]:
        """The arguments. Raises ToolFailure that tells the model what to mend."""
        arguments = _parse(text)
        from jsonschema_rs import ValidationError

        try:
            self._validator.validate(arguments)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.instance_path)
            # The caller's words are for the model, not for the log.
            detail = f"{where} does not satisfy {error.kind.name}".strip()
            cause = short(error.message) if error.kind.name != "falseSchema" else "it was unexpected; leave it out"
            raise _bad(f"{where}: {cause}" if where else cause, detail) from None
        except (ValueError, RecursionError):
            raise _bad("the arguments are nested too deeply") from None
        return arguments


def _parse(text: str) -> dict[str, Any]:
    if len(text) > MAX_LENGTH:
        raise _bad(f"the arguments are too long, {MAX_LENGTH} characters at most")
    try:
        arguments = json.loads(text or "{}", parse_constant=_refuse_constant)
        text.encode()
        # An escaped half of a character is no text, and 1e400 is no number that JSON could carry on.
        json.dumps(arguments, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise _bad("the arguments are not valid JSON") from None
    if not isinstance(arguments, dict):
        raise _bad("the arguments are not a JSON object")
    return arguments


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _bad(cause: str, detail: str = "") -> ToolFailure:
    remedy = "Correct the arguments, and ask the caller where needed"
    return ToolFailure(Kind.BAD_ARGUMENTS, cause, remedy=remedy, detail=detail)
