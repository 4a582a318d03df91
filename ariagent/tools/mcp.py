"""MCP servers, as the model's provider is told of them. No I/O: it connects to them by itself.

Source: the Realtime API's ``session.tools`` entries of type ``mcp``.
"""

from typing import Any

from ariagent.config import McpServerSettings


def declaration(label: str, server: McpServerSettings) -> dict[str, Any]:
    """One entry of ``tools`` in ``session.update``. It holds secrets: not for logs."""
    entry: dict[str, Any] = {
        "type": "mcp",
        "server_label": label,
        "server_url": server.url,
        # Nobody is there to approve a call of a function while the caller waits.
        "require_approval": "never",
    }
    if server.authorization is not None:
        entry["authorization"] = server.authorization.get_secret_value()
    if server.headers:
        entry["headers"] = {name: secret.get_secret_value() for name, secret in server.headers.items()}
    if server.allowed_tools is not None:
        entry["allowed_tools"] = list(server.allowed_tools)
    return entry
