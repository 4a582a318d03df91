"""MCP tools, which the server runs by itself: lists of tools, calls and approvals (CORE).

Source: the Realtime guide "Realtime with tools" and ``openai.types.realtime``. A client whose session has a tool of
type ``mcp`` sees ``mcp_list_tools`` events. A call is an item of a response. It may outlive that response, and nothing
is said about its result until the client asks for another response.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ariagent.sandbox.items import Item
from ariagent.sandbox.line import Line
from ariagent.sandbox.scenario import Mcp, Scenario
from ariagent.sandbox.schema import ApiError

Json = dict[str, Any]


def tool_of(tools: list[Json], label: str) -> Json | None:
    """The tool of type ``mcp`` with this server label."""
    return next((tool for tool in tools if tool.get("type") == "mcp" and tool["server_label"] == label), None)


def may_use(tool: Json, name: str) -> bool:
    """Whether ``allowed_tools`` lets the model use the server's tool ``name``."""
    allowed = tool.get("allowed_tools")
    if isinstance(allowed, dict):
        allowed = allowed.get("tool_names")
    return allowed is None or name in allowed


def needs_approval(tool: Json, name: str) -> bool:
    """Whether the client must approve a call of the server's tool ``name``; it must unless it said otherwise."""
    wanted = tool.get("require_approval")
    if isinstance(wanted, dict):
        always, never = (((wanted.get(key) or {}).get("tool_names") or []) for key in ("always", "never"))
        return name in always or name not in never
    return wanted != "never"


@dataclass(slots=True)
class McpServers:
    """The MCP servers of a session, as its scenario plays them.

    ``add(item)`` puts an item into the conversation and announces it; ``done(item)`` announces that it is complete.
    """

    scenario: Scenario
    line: Line
    add: Callable[[Item], None]
    done: Callable[[Item], None]
    _listed: dict[str, Json] = field(default_factory=dict)
    """The tools of type ``mcp`` whose server was asked for its tools, by label."""
    _ready: dict[str, list[str]] = field(default_factory=dict)
    """Names of the tools of each server that has told them."""
    _asked: dict[str, Mcp] = field(default_factory=dict)
    """Calls that wait for the client's approval, by the id of the request."""

    def offered(self, tools: list[Json]) -> list[str]:
        """The tools of these servers that the model may call, each as ``LABEL/NAME``."""
        labels = (tool["server_label"] for tool in tools if tool.get("type") == "mcp")
        return [
            f"{label}/{name}"
            for label in labels
            for name in self._ready.get(label, ())
            if may_use(tool_of(tools, label) or {}, name)
        ]

    def list_tools(self, tools: list[Json], now: float) -> None:
        """Ask the servers among ``tools`` that are new, or have changed, for their tools."""
        for tool in tools:
            if tool.get("type") == "mcp" and self._listed.get(tool["server_label"]) != tool:
                self._listed[tool["server_label"]] = tool
                self._list(tool, now)

    def _list(self, tool: Json, now: float) -> None:
        label = tool["server_label"]
        server = self.scenario.mcp_server(label)
        item = Item(self.line.ids.next("mcpl"), "mcp_list_tools", server_label=label)
        self._ready.pop(label, None)
        self.add(item)
        self.line.emit("mcp_list_tools.in_progress", item_id=item.id)

        def told(_: float) -> None:
            if server.fail:
                self.line.emit("mcp_list_tools.failed", item_id=item.id)
                return
            names = [name for name in server.tools if may_use(tool, name)]
            item.tools = [
                {"name": name, "description": "", "input_schema": {"type": "object"}, "annotations": None}
                for name in names
            ]
            item.revision += 1
            self._ready[label] = names
            self.done(item)
            self.line.emit("mcp_list_tools.completed", item_id=item.id)

        if server.takes:
            self.line.at(now + server.takes, told)
        else:
            told(now)

    # -- calls --

    def item(self, step: Mcp, approval: str | None = None) -> Item:
        """A new call, not announced yet."""
        call = Item(self.line.ids.next("mcp"), "mcp_call", "in_progress", server_label=step.server, name=step.tool)
        call.arguments = ""
        call.approval_request_id = approval
        return call

    def request(self, step: Mcp) -> Item:
        """A new request for the client's approval of a call, not announced yet."""
        item = Item(self.line.ids.next("mcpr"), "mcp_approval_request", server_label=step.server, name=step.tool)
        item.arguments = step.json_arguments
        self._asked[item.id] = step
        return item

    def answered(self, response: Item, now: float) -> None:
        """The client approved a call or did not. Raises :class:`ApiError` for an unknown request."""
        step = self._asked.get(response.approval_request_id or "")
        if step is None:
            message = f"Approval request '{response.approval_request_id}' not found in conversation."
            raise ApiError("invalid_value", message, "item.approval_request_id")
        del self._asked[response.approval_request_id or ""]
        if not response.approve:
            return
        call = self.item(step, response.approval_request_id)
        call.arguments = step.json_arguments

        def run(then: float) -> None:
            self.add(call)
            self.run(call, step, 0, then)

        self.line.at(now, run)  # once the response to the request is in the conversation

    def begin(self, call: Item, index: int) -> None:
        """The tool runs."""
        self.line.emit("response.mcp_call.in_progress", item_id=call.id, output_index=index)

    def end(self, call: Item, step: Mcp, index: int) -> None:
        """The tool has answered, or failed."""
        call.status = "completed"
        call.output, call.error = (None, dict(step.error)) if step.error else (step.output, None)
        call.revision += 1
        kind = "failed" if step.error else "completed"
        self.line.emit(f"response.mcp_call.{kind}", item_id=call.id, output_index=index)

    def run(self, call: Item, step: Mcp, index: int, now: float) -> None:
        """Run the tool of a call whose response is over."""

        def over(_: float) -> None:
            self.end(call, step, index)
            self.done(call)

        self.begin(call, index)
        self.line.at(now + step.takes, over)
