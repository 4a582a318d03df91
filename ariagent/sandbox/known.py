"""The conversation that a response was made from, as its model knew it; for humans and tests to read (CORE).

Spoken items appear with the words that the recogniser found; what the caller did not hear of a truncated item is not
there.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ariagent.sandbox.items import Item

Json = dict[str, Any]


def only_last_system(items: list[Item]) -> list[Item]:
    """The items without the system messages before the last one (fault ``one_system``)."""
    system = [item for item in items if item.role == "system"]
    return [item for item in items if item not in system[:-1]]


def known(items: Iterable[Item], heard: Mapping[str, str | None]) -> list[Json]:
    """The items with their texts. ``heard`` has the words of spoken items by id."""
    return [_shape(item, heard) for item in items]


def _shape(item: Item, heard: Mapping[str, str | None]) -> Json:
    shape: Json = {"id": item.id, "type": item.type}
    if item.type == "message":
        words = heard.get(item.id, item.words)
        shape |= {"role": item.role, "text": words or ""}
        if item.truncated:
            shape["truncated"] = True
    elif item.type == "mcp_list_tools":
        shape |= {"server": item.server_label, "tools": [tool["name"] for tool in item.tools]}
    else:
        names = ("name", "call_id", "arguments", "output", "error", "server_label", "approve")
        shape |= {name: value for name in names if (value := getattr(item, name)) is not None}
    return shape


def readable(conversation: Json) -> str:
    """One response's conversation as text, a line an item."""
    lines = [f"conversation of {conversation['response']} in {conversation['session']}:"]
    lines += [f"  {_line(item)}" for item in conversation["items"]]
    lines += [f"  answered by rule: {conversation['rule']}"]
    return "\n".join(lines)


def _line(item: Json) -> str:
    if item["type"] == "message":
        end = " [cut here]" if item.get("truncated") else ""
        return f"{item['role']}: {item['text']}{end}"
    if item["type"] == "mcp_list_tools":
        return f"tools of {item['server']}: {', '.join(item['tools'])}"
    words = [f"{name}={value}" for name, value in item.items() if name not in ("id", "type")]
    return f"{item['type']}: {' '.join(words)}"
