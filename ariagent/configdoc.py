"""The configuration reference, made from the settings tree (``make docs``)."""

from typing import Any

from ariagent.config import Settings

_HEAD = """# Configuration

Made from the code by `make docs`; do not edit.

One YAML file: `ariagent run -c FILE`, by default `/etc/ariagent/ariagent.yaml`. Every key can be overridden in the
environment as `ARIAGENT_SECTION__KEY`, for instance `ARIAGENT_REALTIME__API_KEY` or
`ARIAGENT_AGENTS__DEFAULT__VOICE`. Keys that are not below are errors.

Secrets (`password`, `api_key`) may be written as `${NAME}`, taken from the environment, or `file:PATH`, the first
line of that file. They are never printed.
"""


def reference() -> str:
    """The whole page, Markdown."""
    schema = Settings.model_json_schema()
    top, sections = [], []
    for name, field in schema["properties"].items():
        inner = _model(schema, field)
        if name == "agents":
            inner = schema["$defs"]["AgentSettings"]
            sections.append(_section(schema, "agents.NAME", inner))
        elif inner is not None:
            sections.append(_section(schema, name, inner))
        else:
            top.append(_row(name, field))
    for title, definition in (
        ("agents.NAME.turn_detection, type server_vad", "ServerVad"),
        ("agents.NAME.turn_detection, type semantic_vad", "SemanticVad"),
        ("agents.NAME.transcription", "TranscriptionSettings"),
    ):
        sections.append(_section(schema, title, schema["$defs"][definition]))
    return "\n".join([_HEAD, "## At the top", "", *_table(top), *sections]) + "\n"


def _model(schema: dict[str, Any], field: dict[str, Any]) -> dict[str, Any] | None:
    reference = field.get("$ref", "")
    found = schema["$defs"].get(reference.rpartition("/")[2]) if reference else None
    return found if found and "properties" in found else None


def _section(schema: dict[str, Any], title: str, model: dict[str, Any]) -> str:
    rows = [_row(name, field) for name, field in model["properties"].items() if name != "type" or "default" in field]
    intro = [model["description"].replace("``", "`"), ""] if model.get("description") else []
    return "\n".join(["", f"## {title}", "", *intro, *_table(rows)])


def _table(rows: list[str]) -> list[str]:
    return ["| key | values | default | meaning |", "|---|---|---|---|", *rows]


def _row(name: str, field: dict[str, Any]) -> str:
    meaning = " ".join(field.get("description", "").split()).replace("``", "`")
    return f"| `{name}` | {_values(field)} | {_default(field)} | {meaning} |"


def _values(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_values(choice) for choice in field["anyOf"])
    if "oneOf" in field:
        return "see below"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if "$ref" in field:
        return "see below"
    kind = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true, false"}.get(
        field.get("type", ""), field.get("type", "")
    )
    if field.get("format") == "password":
        kind = "secret"
    low, high = field.get("minimum", field.get("exclusiveMinimum")), field.get("maximum")
    if low is not None or high is not None:
        kind += f" {'' if low is None else low} to {'any' if high is None else high}"
    names = {"null": "null", "array": "list", "object": "mapping"}
    return names.get(kind, str(kind))


def _default(field: dict[str, Any]) -> str:
    default = field.get("default")
    if isinstance(default, dict):
        return "see below" if default else "none"
    if default is None:
        return "`null`" if "default" in field else "required"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, list):
        return ", ".join(f"`{value}`" for value in default)
    if default in ("", "**********"):
        return "empty"
    return f"`{default}`"


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201
