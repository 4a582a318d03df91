"""MCP servers as the official client's types describe them."""

from typing import Any

from pydantic import TypeAdapter

from ariagent.config import McpServerSettings
from ariagent.tools import mcp


def declared(**settings: Any) -> dict[str, Any]:
    return mcp.declaration("crm", McpServerSettings.model_validate({"url": "https://crm.example.com/mcp", **settings}))


def test_the_least() -> None:
    assert declared() == {
        "type": "mcp",
        "server_label": "crm",
        "server_url": "https://crm.example.com/mcp",
        "require_approval": "never",
    }


def test_all_of_it_is_what_the_official_types_take() -> None:
    from openai.types.realtime.realtime_tools_config_union import Mcp  # here, for it takes a second

    entry = declared(authorization="token", headers={"X-Site": "1"}, allowed_tools=["find", "note"])
    assert entry["authorization"] == "token"
    assert entry["headers"] == {"X-Site": "1"}
    assert entry["allowed_tools"] == ["find", "note"]
    parsed = TypeAdapter(Mcp).validate_python(entry, strict=True)
    assert parsed.model_dump(exclude_none=True) == entry
    assert set(entry) <= set(Mcp.model_fields)
