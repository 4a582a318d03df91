"""The JSON Schema of a tool's arguments: what may be wrong with it, and its strict form. No I/O.

``jsonschema_rs`` validates without backtracking without end, and in microseconds: validation holds the interpreter, and
so the audio of every call. It is only loaded where there are tools.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema_rs import Validator

MAX_ITEMS = 64
"""Items of a list whose schema has no ``maxItems``."""
MAX_CHARS = 2000
"""Characters of a text whose schema has no ``maxLength``."""
BACKTRACKING_CHARS = 256
"""Characters of a text whose pattern has a look-around or a back-reference: such patterns can take quadratic time,
which is under a millisecond then. All others take linear time."""
BACKTRACKS = 10_000
"""Steps that such a pattern may take; one that takes more does not match."""
MAX_COMPLAINT = 300
"""Characters of a complaint."""

_TOO_DEEP = "is nested too deeply"

_PLACES = (
    *("items", "additionalItems", "contains", "unevaluatedItems"),
    *("additionalProperties", "unevaluatedProperties", "propertyNames"),
)
_PLACE_LISTS = ("items", "prefixItems")
_PLACE_MAPS = ("properties", "patternProperties")
"""Keywords whose schemas are for another part of the value."""
_SAME, _SAME_LISTS, _SAME_MAPS = ("then", "else"), ("allOf", "anyOf", "oneOf"), ("dependentSchemas",)
"""Keywords whose schemas are for the same part of the value. ``if`` and ``not`` only ask, so they stay as they are."""
_SHELVES = ("$defs", "definitions")
_OPEN = ("additionalProperties", "unevaluatedProperties", "patternProperties")
"""A schema with one of these says itself which unnamed properties there may be."""


def validator(schema: Mapping[str, Any]) -> "Validator":
    """The validator of values by the strict form of a schema that has no ``problem``."""
    return _made(strict(schema))


def problem(schema: Mapping[str, Any]) -> str | None:
    """Find what is wrong with a tool's ``parameters``; None: nothing."""
    from jsonschema_rs import ValidationError

    if schema.get("type") != "object":
        return "must be a JSON Schema of type object"
    if not isinstance(schema.get("properties", {}), dict):
        return "properties must be a mapping of names to schemas"
    try:
        json.dumps(schema, allow_nan=False)
    except RecursionError:
        return _TOO_DEEP
    except (TypeError, ValueError):
        return "holds a value that JSON does not have (a date must be in quotes)"
    for reference in _references(schema):
        if not _leads_somewhere(schema, reference):
            return f"refers to {short(reference)}; only parts of itself (#/$defs/...) may be referred to"
    try:
        _made(schema)
        _made(strict(schema))
        if pattern := next(filter(_backtracks, _key_patterns(schema)), None):
            return f"has {short(pattern)} in patternProperties, where a pattern may have no look-around"
    except ValidationError as error:
        where = ".".join(str(part) for part in error.instance_path)
        kind = error.instance_path[-1:] == ["type"]
        cause = f"{error.instance!r} is not a type" if kind else short(error.message)
        return f"is not a JSON Schema: {where + ': ' if where else ''}{cause}"
    except (ValueError, RecursionError):
        return _TOO_DEEP
    missing = [name for name in schema.get("required", ()) if name not in schema.get("properties", {})]
    return f"requires {missing[0]}, which is not in its properties" if missing else None


def strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with bounds, and closed: an object has the properties that are named and no others, at every depth.

    The site's own word wins: ``additionalProperties: true``, ``maxItems``, ``maxLength``. An object for which no
    property is named (``{type: object}``) is open, but for the arguments themselves. Drafts before 2019-09 have no
    ``unevaluatedProperties``: there objects that are put together by ``allOf`` and the like stay open.
    """
    whole: dict[str, Any] = json.loads(json.dumps(schema))
    found = _place(whole, whole)
    if not _says(whole, whole, _OPEN) and "unevaluatedProperties" not in found:
        found["additionalProperties"] = False
    return dict(found)


def short(text: str) -> str:
    """A complaint of bearable length. The value stands at its beginning, and the mistake at its end."""
    # The complaint becomes JSON text for the model, which would escape each double quote.
    text, half = text.replace('"', "'"), MAX_COMPLAINT // 2
    return text if len(text) <= MAX_COMPLAINT else f"{text[:half]}...{text[-half:]}"


def _made(schema: Mapping[str, Any]) -> "Validator":
    from jsonschema_rs import FancyRegexOptions, validator_for

    return validator_for(
        dict(schema),
        validate_formats=True,
        pattern_options=FancyRegexOptions(backtrack_limit=BACKTRACKS),
        # Nothing is fetched, whatever a schema refers to.
        retriever=_refuse,
    )


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} is elsewhere")


def _place(whole: Mapping[str, Any], schema: Any) -> Any:
    """The strict form of the schema for one part of the value."""
    if not isinstance(schema, dict):
        return schema
    found = _inside(whole, schema)
    if _says(whole, schema, ("properties",)) and not _says(whole, schema, _OPEN):
        # Where other schemas name properties of the same object, only this keyword knows them.
        simple = "properties" in schema and not schema.keys() & {"if", *_SAME, *_SAME_LISTS, *_SAME_MAPS, "$ref"}
        found["additionalProperties" if simple else "unevaluatedProperties"] = False
    if not _says(whole, schema, ("maxItems",)):
        found["maxItems"] = MAX_ITEMS
    if not _says(whole, schema, ("maxLength", "enum", "const")):
        found["maxLength"] = MAX_CHARS
    if any(_backtracks(pattern) for pattern in _said(whole, schema, "pattern")):
        found["maxLength"] = min(found.get("maxLength", BACKTRACKING_CHARS), BACKTRACKING_CHARS)
    return found


def _inside(whole: Mapping[str, Any], schema: Any) -> Any:
    """The schema with the schemas for parts of its value in their strict forms."""
    if not isinstance(schema, dict):
        return schema
    found = dict(schema)
    for key, value in schema.items():
        if key in _PLACE_LISTS and isinstance(value, list):
            found[key] = [_place(whole, each) for each in value]
        elif key in _PLACES:
            found[key] = _place(whole, value)
        elif key in _PLACE_MAPS and isinstance(value, dict):
            found[key] = {name: _place(whole, each) for name, each in value.items()}
        elif key in _SAME:
            found[key] = _inside(whole, value)
        elif key in _SAME_LISTS and isinstance(value, list):
            found[key] = [_inside(whole, each) for each in value]
        elif key in (*_SAME_MAPS, *_SHELVES) and isinstance(value, dict):
            found[key] = {name: _inside(whole, each) for name, each in value.items()}
    return found


def _says(whole: Mapping[str, Any], schema: Any, keys: tuple[str, ...]) -> bool:
    """Whether one of the keywords is said about this part of the value, here or in a schema for the same part."""
    return any(key in here for here in _same(whole, schema) for key in keys)


def _said(whole: Mapping[str, Any], schema: Any, key: str) -> list[str]:
    """The texts of a keyword, here and in schemas for the same part."""
    same = list(_same(whole, schema))
    same += [each for here in same for each in _same(whole, here.get("not"))]
    return [here[key] for here in same if isinstance(here.get(key), str)]


def _same(whole: Mapping[str, Any], schema: Any) -> Iterator[dict[str, Any]]:
    """The schemas for this part of the value."""
    seen: list[Any] = []
    todo = [schema]
    while todo:
        here = todo.pop()
        if not isinstance(here, dict) or any(here is each for each in seen):
            continue
        seen.append(here)
        yield here
        todo += [here[key] for key in ("if", *_SAME) if key in here]
        todo += [each for key in _SAME_LISTS if isinstance(here.get(key), list) for each in here[key]]
        todo += [each for key in _SAME_MAPS if isinstance(here.get(key), dict) for each in here[key].values()]
        if isinstance(here.get("$ref"), str):
            todo.append(_target(whole, here["$ref"]))


@cache
def _backtracks(pattern: str) -> bool:
    """Whether the engine that takes linear time does not know the pattern."""
    from jsonschema_rs import RegexOptions, ValidationError, validator_for

    if re.search(r"[*+?}]\+", pattern):
        return True  # "possessive" to the one engine, and a repetition of a repetition to the other
    try:
        validator_for({"pattern": pattern}, pattern_options=RegexOptions())
    except ValidationError:
        return True
    return False


def _key_patterns(schema: Any) -> Iterator[str]:
    """The patterns for names of properties."""
    if isinstance(schema, Mapping):
        if isinstance(found := schema.get("patternProperties"), Mapping):
            yield from found
        for value in schema.values():
            yield from _key_patterns(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _key_patterns(value)


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
    return _target(schema, reference) is not None


def _target(schema: Mapping[str, Any], reference: str) -> Any:
    """The target of a reference to a part of the schema; None: there is none."""
    if reference == "#":
        return schema
    if not reference.startswith("#/"):
        return None
    found: Any = schema
    for part in reference[2:].split("/"):
        part = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found
