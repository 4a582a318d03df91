"""ariagent's own functions of the model: which an agent has, and which is meant by a call. No I/O."""

from typing import Any

from ariagent.call.digits import COLLECT_DIGITS
from ariagent.call.silence import HOLD_ON
from ariagent.config import AgentSettings

END_CALL: dict[str, Any] = {
    "type": "function",
    "name": "end_call",
    "description": "Hang up. Use it only when the caller is done, after you have said goodbye.",
    "parameters": {"type": "object", "properties": {}, "required": []},
}

_OWN = {declared["name"]: declared for declared in (END_CALL, COLLECT_DIGITS, HOLD_ON)}


def declarations(agent: AgentSettings) -> tuple[dict[str, Any], ...]:
    """An agent's built-in functions, in the form that ``session.update`` takes."""
    return tuple(_OWN[name] for name in agent.builtin_tools)


def own(agent: AgentSettings, name: str) -> str | None:
    """The name of the built-in function that is called; None: it is the site's, or nobody's."""
    return name if name in agent.builtin_tools else None
