"""JSON Schema of the settings file, for editors (``ariagent schema``)."""

from typing import Any

from ariagent.config.tree import Settings
from ariagent.values.docstrings import described

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_NOISE = ("title", "writeOnly", "discriminator")
"""Keys that pydantic adds and no YAML editor reads."""


def schema() -> dict[str, Any]:
    """The schema, draft 2020-12. It refuses unknown keys. A secret is text."""
    made = described(Settings)
    definitions = {name: _tidy(each) for name, each in sorted(made.pop("$defs").items())}
    return {
        "$schema": DIALECT,
        "title": "Settings of ariagent",
        **_tidy(made),
        "description": "Agents, routes and peers of ariagent: docs/agents.md, docs/configuration.md.",
        "$defs": definitions,
    }


def _tidy(node: dict[str, Any]) -> dict[str, Any]:
    """A schema without pydantic's additions, strict about mappings whose keys have a pattern."""
    tidy = {key: _value(key, value) for key, value in node.items() if key not in _NOISE}
    if tidy.get("format") in ("password", "path"):
        del tidy["format"]
    if "patternProperties" in tidy:
        tidy["additionalProperties"] = False
    if "description" in tidy:
        tidy["description"] = " ".join(tidy["description"].split()).replace("``", "`")
    if isinstance(tidy.get("default"), dict):
        del tidy["default"]  # a whole section: its keys have their own defaults
    return tidy


def _value(key: str, value: Any) -> Any:
    if key in ("properties", "patternProperties"):
        return {name: _tidy(each) for name, each in value.items()}
    if key in ("default", "enum", "const", "examples", "required"):
        return value
    if isinstance(value, list):
        return [_tidy(each) if isinstance(each, dict) else each for each in value]
    return _tidy(value) if isinstance(value, dict) else value
