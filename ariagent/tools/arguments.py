"""The model's arguments: read from its JSON text and held against the tool's JSON Schema. No I/O.

``jsonschema`` is only loaded where there are tools: it brings ``urllib.request`` along, for schemas that are elsewhere,
which are refused here.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ariagent.tools.outcome import Kind, ToolFailure

MAX_LENGTH = 16_384
"""Characters of JSON text that a model may call a tool with."""
_MAX_COMPLAINT = 300


class Parameters:
    """The JSON Schema of one tool's arguments, ready to judge them.

    Arguments that the schema does not name are refused unless it says ``additionalProperties`` itself: what a caller
    talks the model into must not reach the other side.
    """

    __slots__ = ("_validator",)

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """For a schema that has no ``schema_problem``."""
        from jsonschema import Draft202012Validator
        from jsonschema.validators import validator_for
        from referencing import Registry

        strict = dict(schema)
        if not strict.keys() & {"additionalProperties", "unevaluatedProperties", "patternProperties"}:
            strict["additionalProperties"] = False
        kind = validator_for(strict, default=Draft202012Validator)
        # An empty registry: nothing is fetched, whatever a schema refers to.
        self._validator = kind(strict, registry=Registry(), format_checker=kind.FORMAT_CHECKER)

    def read(self, text: str) -> dict[str, Any]:
        """The arguments. Raises ToolFailure that tells the model what to mend."""
        arguments = _parse(text)
        from jsonschema.exceptions import best_match

        try:
            error = best_match(self._validator.iter_errors(arguments))
        except RecursionError:
            raise _bad("the arguments are nested too deeply") from None
        if error is not None:
            where = ".".join(str(part) for part in error.absolute_path)
            # What the caller said is for the model, not for the log.
            detail = f"{where} does not satisfy {error.validator}".strip()
            raise _bad(f"{where}: {_short(error.message)}" if where else _short(error.message), detail)
        return arguments


def schema_problem(schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a tool's ``parameters``; None: nothing."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    if schema.get("type") != "object":
        return "must be a JSON Schema of type object"
    if not isinstance(schema.get("properties", {}), dict):
        return "properties must be a mapping of names to schemas"
    try:
        validator_for(schema, default=Draft202012Validator).check_schema(schema)
        json.dumps(schema, allow_nan=False)
    except SchemaError as error:
        where = ".".join(str(part) for part in error.absolute_path)
        return f"is not a JSON Schema: {where + ': ' if where else ''}{_short(error.message)}"
    except (TypeError, ValueError):
        return "holds a value that JSON does not have (a date must be in quotes)"
    except RecursionError:
        return "is nested too deeply"
    for reference in _references(schema):
        if not _leads_somewhere(schema, reference):
            return f"refers to {_short(reference)}; only parts of itself (#/$defs/...) may be referred to"
    missing = [name for name in schema.get("required", ()) if name not in schema.get("properties", {})]
    return f"requires {missing[0]}, which is not in its properties" if missing else None


def _parse(text: str) -> dict[str, Any]:
    if len(text) > MAX_LENGTH:
        raise _bad("the arguments are too long")
    try:
        arguments = json.loads(text or "{}", parse_constant=_refuse_constant)
        text.encode()
        json.dumps(arguments, ensure_ascii=False).encode()  # an escaped half of a character is no text
    except (ValueError, RecursionError):
        raise _bad("the arguments are not valid JSON") from None
    if not isinstance(arguments, dict):
        raise _bad("the arguments are not a JSON object")
    return arguments


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _leads_somewhere(schema: Mapping[str, Any], reference: str) -> bool:
    if reference == "#":
        return True
    if not reference.startswith("#/"):
        return False
    found: Any = schema
    for part in reference[2:].split("/"):
        part = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or part not in found:
            return False
        found = found[part]
    return True


def _short(text: str) -> str:
    return text if len(text) <= _MAX_COMPLAINT else f"{text[:_MAX_COMPLAINT]}..."


def _bad(cause: str, detail: str = "") -> ToolFailure:
    remedy = "Mend the arguments, asking the caller where needed"
    return ToolFailure(Kind.BAD_ARGUMENTS, cause, remedy=remedy, detail=detail)
