"""The functions that the model may call, and what becomes of such a call. No I/O."""

import json
from dataclasses import dataclass
from typing import Any

from ariagent.realtime.events import ToolCall

END_CALL: dict[str, Any] = {
    "type": "function",
    "name": "end_call",
    "description": "Hang up. Use it only when the caller is done, after you have said goodbye.",
    "parameters": {"type": "object", "properties": {}, "required": []},
}

DECLARATIONS: tuple[dict[str, Any], ...] = (END_CALL,)
"""In the form that ``session.update`` takes."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call comes to."""

    output: str
    """JSON text for the model."""
    ends_call: bool = False
    """The call is to end once what the agent said has been heard."""


def run(call: ToolCall) -> Outcome:
    """Carry out one function call of a completed response."""
    if call.name == END_CALL["name"]:
        return Outcome(json.dumps({"ok": True}), ends_call=True)
    return Outcome(json.dumps({"error": f"there is no tool {call.name[:64]}"}))
