"""CORE: what pydantic finds wrong with a value, in words for the administrator.

A value is never repeated: a value in the wrong place may be a secret.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import ErrorDetails, ValidationError

from ariagent.text import did_you_mean

KeyPath = tuple[str | int, ...]
"""The way to a value: keys of mappings, indices of lists."""

IN_QUOTES = "must be text: put it in quotes"
_SECTION = "must be a section: below it, indented, a line for each key with its value"
_MAPPING = "must be a mapping: below it, indented, a line for each name with its value"
_LIST = "must be a list: [one, two], or a line for each entry that begins with a dash"
_BOOLEAN = "must be true or false"
_WHOLE = "must be a whole number"
_NUMBER = "must be a number"
NO_VALUE = "has no value; write one, or remove the key. Put text that begins with # in quotes"

_PLAIN: Mapping[str, str] = {
    "missing": "is missing",
    "extra_forbidden": "unknown key",
    **dict.fromkeys(("bool_type", "bool_parsing"), _BOOLEAN),
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), _WHOLE),
    **dict.fromkeys(("float_type", "float_parsing"), _NUMBER),
    "finite_number": "must be a number that is not infinite",
    **dict.fromkeys(("dict_type", "mapping_type"), _MAPPING),
    **dict.fromkeys(("model_type", "model_attributes_type"), _SECTION),
    **dict.fromkeys(("tuple_type", "list_type", "set_type", "frozen_set_type"), _LIST),
    "path_type": "must be the path of a file or folder, as text",
}

_WITH_CONTEXT: Mapping[str, str] = {
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_long": "must have at most {max_length} characters",
    "too_long": "must have at most {max_length} entries",
}

UNSAID = frozenset({"default_factory_not_called"})
"""Types of complaints that only follow from another one."""


def sentence(problem: ErrorDetails) -> str:
    """The mistake and the correct form, without place and key. ``problem`` comes with its input."""
    kind, context, value = problem["type"], problem.get("ctx", {}), problem.get("input")
    if value is None and (is_of_kind(problem) or kind.startswith("union_tag")):
        return NO_VALUE
    if kind == "value_error":
        return problem["msg"].removeprefix("Value error, ")
    if kind in _PLAIN:
        return _PLAIN[kind] + _space_missing(kind, value)
    if kind in _WITH_CONTEXT:
        return _WITH_CONTEXT[kind].format_map({name: _number(each) for name, each in context.items()})
    if (say := _OTHERS.get(kind)) is not None:
        return say(context, value)
    return problem["msg"]


def in_one_line(error: ValidationError, whole: str) -> str:
    """Everything that is wrong, each with its place; ``whole`` is what the value itself is called."""
    wrong = [(".".join(map(str, each["loc"])), sentence(each)) for each in error.errors(include_url=False)]
    return "; ".join(f"{where or whole}: {what}" for where, what in wrong)


def is_of_kind(problem: ErrorDetails) -> bool:
    """Whether it says that a value is of another kind than it must be, a text where a list belongs."""
    return problem["type"].endswith("_type") or problem["type"] == "literal_error"


def together(sentences: list[str]) -> str:
    """The mistake in a value that may have one of several forms: every way to correct it."""
    first, *others = dict.fromkeys(sentences)
    return "; or ".join([first, *(other.removeprefix("must ") for other in others)])


def _text(context: Mapping[str, Any], value: object) -> str:
    return "must be text, not a list or a section" if isinstance(value, dict | list | tuple) else IN_QUOTES


def _too_short_text(context: Mapping[str, Any], value: object) -> str:
    least = context["min_length"]
    return "must not be empty" if least == 1 else f"must have at least {least} characters"


def _too_short(context: Mapping[str, Any], value: object) -> str:
    least = context["min_length"]
    return f"must have at least {least} {'entry' if least == 1 else 'entries'}"


def _one_of(context: Mapping[str, Any], value: object) -> str:
    words = re.findall(r"'([^']*)'", str(context["expected"]))
    near = did_you_mean(value, words) if isinstance(value, str) else ""
    return f"must be {_listed(words) or context['expected']}{near}"


def _tag(context: Mapping[str, Any], value: object) -> str:
    words = re.findall(r"'([^']*)'", str(context.get("expected_tags", "")))
    tag = str(context.get("discriminator", "type")).strip("'")
    given = value.get(tag) if isinstance(value, dict) else None
    near = did_you_mean(given, words) if isinstance(given, str) else ""
    return f"{tag} must be {_listed(words)}{near}"


_OTHERS: Mapping[str, Callable[[Mapping[str, Any], object], str]] = {
    "string_type": _text,
    "string_too_short": _too_short_text,
    "too_short": _too_short,
    "literal_error": _one_of,
    "union_tag_invalid": _tag,
    "union_tag_not_found": _tag,
    "json_invalid": lambda context, value: f"is not JSON: {context['error']}",
    "setting": lambda context, value: str(context["message"]),
}


def _listed(words: list[str]) -> str:
    return " or ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else "".join(words)


def _number(value: object) -> object:
    return f"{value:g}" if isinstance(value, float) else value


def _space_missing(kind: str, value: object) -> str:
    """``level:debug`` is a text to YAML, and was meant as a key with its value."""
    if kind in ("model_type", "dict_type") and isinstance(value, str) and re.match(r"\w+:\S", value):
        return ". A space must follow the colon after a key"
    return ""
