"""The configuration reference and the schema, made from the settings tree (``make docs``)."""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

from ariagent.config import Settings
from ariagent.configfile.schema import schema as editors_schema
from ariagent.values.docstrings import described

_MADE = "This page is made from the code by `make docs`; do not edit it."
_HEAD = f"""# Configuration

{_MADE}

The settings are one YAML file: `-c FILE`, else the file in `ARIAGENT_CONFIG`, else `/etc/ariagent/ariagent.yaml`.
After a change run `ariagent check`, then `systemctl reload ariagent`. Some changes need a restart instead
([run.md](run.md#change-settings-while-it-runs)).

* This page: Asterisk, the model, ports, records, costs, caps, log.
* [configuration-agents.md](configuration-agents.md): agents, routes, hours, destinations. [agents.md](agents.md) has a
  complete example.
* [configuration-tools.md](configuration-tools.md): tools, and the hosts that they may reach. [tools.md](tools.md) has
  examples.

About the file:

* The environment overrides every key: `ARIAGENT_SECTION__KEY`, for instance `ARIAGENT_REALTIME__API_KEY` or
  `ARIAGENT_AGENTS__DEFAULT__VOICE`, and `ARIAGENT_KEY` for a key outside sections, for instance `ARIAGENT_TIMEZONE`.
  Write lists, mappings and `null` as YAML.
* Unknown keys are errors. An empty section has its defaults. `null` switches an optional feature off.
* Relative paths are relative to the folder of the settings file.

**Secrets** (`password`, `api_key`, values of `headers`, and others that say so) may be written in three ways:

* as they are;
* `${{NAME}}`: an environment variable;
* `file:PATH`: the first line of that file. `PATH` may contain `${{NAME}}`. For systemd's `LoadCredential` write
  `file:${{CREDENTIALS_DIRECTORY}}/api-key`.

Secrets are never printed. `ariagent run` needs all of them; other commands need only those that they use.

**Editors** with JSON Schema complete and check the file with [ariagent.schema.json](ariagent.schema.json)
(`ariagent schema` also prints it). In VS Code with its YAML extension, or any other editor with yaml-language-server,
put this at the top of the file:

```yaml
# yaml-language-server: $schema=/etc/ariagent/ariagent.schema.json
```
"""
_PAGES = {
    "agents": f"""# Configuration: agents, routes, hours, destinations

{_MADE}
[agents.md](agents.md) has a complete example, [configuration.md](configuration.md) the rules of the file.
""",
    "tools": f"""# Configuration: tools

{_MADE}
[tools.md](tools.md) has examples, [configuration.md](configuration.md) the rules of the file.
""",
}
"""The pages beside the first one, with their beginnings."""
_ON_PAGE = dict.fromkeys(("agents", "routes", "hours", "destinations", "announcements"), "agents")
_ON_PAGE |= dict.fromkeys(("tools", "mcp_servers", "outbound"), "tools")
"""Top-level sections that are not on the first page."""

_BELOW = {"agents": "NAME", "tools": "NAME", "mcp_servers": "NAME", "prices": "MODEL"}
_BELOW |= {"routes": "N", "holidays": "N", "tokens": "N"}
"""Names for the keys of a mapping, or the places of a list."""

Node = dict[str, Any]


def reference(name: str = "") -> str:
    """A page, Markdown: the first one, or one of those beside it."""
    schema = described(Settings)
    page = [_PAGES[name].rstrip()] if name else [_HEAD, "## Top level", "", *_table(schema, "", schema)]
    for title, model in _sections(schema, "", schema):
        if _ON_PAGE.get(re.split(r"[.\[,]", title)[0], "") == name:
            intro = [_prose(model["description"]), ""] if model.get("description") else []
            page += ["", f"## {title}", "", *intro, *_table(schema, title, model)]
    return "\n".join(page) + "\n"


def schema_text() -> str:
    """The schema for editors as it is in ``docs/ariagent.schema.json``."""
    return json.dumps(editors_schema(), indent=1, ensure_ascii=False) + "\n"


def _sections(schema: Node, path: str, model: Node) -> Iterator[tuple[str, Node]]:
    """Every section below a model with its title, depth first."""
    for name, field in model["properties"].items():
        for title, below in _inner(schema, f"{path}.{name}".lstrip("."), name, field):
            yield title, below
            yield from _sections(schema, title.partition(",")[0], below)


def _inner(schema: Node, path: str, name: str, field: Node) -> Iterator[tuple[str, Node]]:
    """The sections that a field is, or holds."""
    for choice in field.get("anyOf", [field]):
        if "$ref" in choice:
            yield path, _resolve(schema, choice)
        for branch in choice.get("oneOf", []):
            below = _resolve(schema, branch)
            yield f"{path}, type {below['properties']['type']['const']}", below
        place = _BELOW.get(name, "NAME")
        mapped = [*choice.get("patternProperties", {}).values(), choice.get("additionalProperties")]
        for each in mapped:
            if isinstance(each, dict) and "$ref" in each:
                yield f"{path}.{place}", _resolve(schema, each)
        items = choice.get("items", {})
        for each in items.get("anyOf", [items]):
            if "$ref" in each:
                yield f"{path}[{place}]", _resolve(schema, each)


def _resolve(schema: Node, field: Node) -> Node:
    found: Node = schema["$defs"][field["$ref"].rpartition("/")[2]]
    return found


def _table(schema: Node, path: str, model: Node) -> list[str]:
    rows = [
        _row(schema, path, name, field)
        for name, field in model["properties"].items()
        if (name != "type" or "default" in field) and not (path == "" and "$ref" in field)
    ]
    return ["| key | values | default | meaning |", "|---|---|---|---|", *rows]


def _row(schema: Node, path: str, name: str, field: Node) -> str:
    meaning = field.get("description", "")
    if not meaning:  # the section's own words say it
        meaning = next((below["description"] for _, below in _inner(schema, path, name, field)), "")
    page = _ON_PAGE.get(name, "") if path == "" else ""
    values = _values(field).replace(
        "see below", f"see [configuration-{page}](configuration-{page}.md)" if page else "see below"
    )
    cells = (f"`{name}`", values, _default(field), _prose(meaning))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _prose(text: str) -> str:
    return " ".join(text.split()).replace("``", "`")


def _values(field: Node) -> str:
    if "anyOf" in field:
        return " or ".join(_values(choice) for choice in field["anyOf"])
    if "oneOf" in field or "$ref" in field:
        return "section (see below)"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if field.get("format") == "password":
        return "secret"
    match field.get("type"):
        case "array":
            return f"list: {_values(field['items'])}" if field.get("items") else "list"
        case "object":
            return _mapping(field)
        case "string":
            return "text"
        case "boolean":
            return "true, false"
        case "integer" | "number" as kind:
            return ("whole number" if kind == "integer" else "number") + _range(field)
    return str(field.get("type", ""))


def _mapping(field: Node) -> str:
    inner = [*field.get("patternProperties", {}).values(), field.get("additionalProperties")]
    kinds = [_values(each) for each in inner if isinstance(each, dict) and each]
    return f"mapping: {kinds[0]}" if kinds else "mapping"


def _range(field: Node) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    above = field.get("exclusiveMinimum")
    least = f"above {above}" if above is not None else "" if low is None else f"{low}"
    if high is None:
        return "" if not least else f" {least}" if above is not None else f", at least {least}"
    return f" {least}, at most {high}" if above is not None else f" {least} to {high}"


def _default(field: Node) -> str:
    default = field.get("default")
    if isinstance(default, dict):
        return "see below" if default else "none"
    if default is None:
        return "`null`" if "default" in field else "required"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, list):
        return ", ".join(f"`{value}`" for value in default) or "none"
    if default in ("", "**********"):
        return "empty"
    return f"`{default}`"


if __name__ == "__main__":
    sys.stdout.write(schema_text() if sys.argv[1:] == ["schema"] else reference(*sys.argv[1:]))
