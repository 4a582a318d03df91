"""Tools that the model's provider runs by itself (MCP). CORE.

A response holds the call, and is as a rule over before the tool is. Then the result is an item of the conversation, and
nothing is said about it before somebody asks for a response. Some servers continue by themselves; they are given a
moment. Sources: OpenAI's Realtime guide on tools and its types (openai.types.realtime).
"""

from dataclasses import dataclass
from typing import Any

from ariagent.realtime import events as ev
from ariagent.realtime.fields import LONGEST_CODE, LONGEST_ID, LONGEST_MESSAGE, identifier, label, mapping

GO_ON_S = 0.3
"""Seconds to wait for the server's own response after the last result."""
LONGEST_S = 30.0
"""A tool that is not done by then is given up: the model says something without it."""
MOST = 16
"""Calls that run at once; servers' lists that are known by name."""


@dataclass(slots=True)
class _Running:
    response_id: str
    since: float


class McpCalls:
    """The calls of one session. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._running: dict[str, _Running] = {}  # tools that run, by item
        self._labels: dict[str, str] = {}  # the server's name of each list of tools
        self._result_since: float | None = None  # there is one that nothing was said about

    @property
    def running(self) -> bool:
        """A tool is at work."""
        return bool(self._running)

    def take(self, kind: str, message: dict[str, Any], now: float) -> list[ev.Event]:
        """Take a message that may be about such a tool. Raises MalformedError."""
        match kind:
            case "response.mcp_call.completed":
                return self._over(identifier(message, "item_id"), now)
            case "response.mcp_call.failed":
                return self._over(identifier(message, "item_id"), now, failed=True)
            case "mcp_list_tools.failed":
                item_id = identifier(message, "item_id")
                return [ev.ToolsNotListed(self._labels.pop(item_id, ""))]
        item = mapping(message, "item")
        if item.get("type") == "mcp_list_tools":
            self._labels[identifier(item, "id")] = label(item.get("server_label"), LONGEST_CODE)
            while len(self._labels) > MOST:
                del self._labels[next(iter(self._labels))]
        elif item.get("type") == "mcp_call":
            return self._item(kind, identifier(item, "id"), item, label(message.get("response_id"), LONGEST_ID), now)
        return []

    def _item(self, kind: str, item_id: str, item: dict[str, Any], response_id: str, now: float) -> list[ev.Event]:
        if kind == "response.output_item.added" and item_id not in self._running and len(self._running) < MOST:
            self._running[item_id] = _Running(response_id, now)
            name, server = (label(item.get(key), LONGEST_CODE) for key in ("name", "server_label"))
            return [ev.ProviderToolStarted(item_id, name, server)]
        error = item.get("error")
        if error is not None:
            details = error if isinstance(error, dict) else {}
            what = label(details.get("message"), LONGEST_MESSAGE) or label(details.get("type"), LONGEST_CODE)
            return self._over(item_id, now, failed=True, error=what)
        return self._over(item_id, now) if item.get("output") is not None else []

    def _over(self, item_id: str, now: float, *, failed: bool = False, error: str = "") -> list[ev.Event]:
        if self._running.pop(item_id, None) is None:
            return []  # told already, or the caller interrupted it
        self._result_since = now
        return [ev.ProviderToolEnded(item_id, ok=not failed, error=error)]

    def answered(self) -> None:
        """The model says something with all results in view, or is about to."""
        self._result_since = None

    def ended(self, response_id: str, *, wanted: bool) -> list[ev.Event]:
        """A response is over; where it was cut off, nobody waits for its tools (not ``wanted``)."""
        if wanted:
            return []
        dropped = [item_id for item_id, call in self._running.items() if call.response_id == response_id]
        for item_id in dropped:
            del self._running[item_id]
        return [ev.ProviderToolEnded(item_id, ok=False, error="the caller interrupted") for item_id in dropped]

    def next_deadline(self) -> float | None:
        """The time of the next ``tick``; None: nothing is due."""
        if self._running:
            return min(call.since for call in self._running.values()) + LONGEST_S
        return None if self._result_since is None else self._result_since + GO_ON_S

    def tick(self, now: float) -> tuple[list[ev.Event], bool]:
        """Tools that took too long, and whether the model is to be asked to continue."""
        late = [item_id for item_id, call in self._running.items() if now >= call.since + LONGEST_S]
        gone: list[ev.Event] = []
        for item_id in late:
            gone += self._over(item_id, now, failed=True, error=f"no result within {LONGEST_S:g} s")
        due = not self._running and self._result_since is not None and now >= self._result_since + GO_ON_S
        if due:
            self._result_since = None
        return gone, due
