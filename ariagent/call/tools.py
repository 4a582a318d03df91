"""ariagent's own functions of the model: which an agent has, and which is meant by a call. No I/O."""

from collections.abc import Mapping
from typing import Any

from ariagent.call import handoff, people
from ariagent.call.digits import COLLECT_DIGITS
from ariagent.call.silence import HOLD_ON
from ariagent.config import AgentSettings
from ariagent.config.handoff import DestinationSettings

END_CALL: dict[str, Any] = {
    "type": "function",
    "name": "end_call",
    "description": "Hang up. Use it only when the caller is done, after you have said goodbye.",
    "parameters": {"type": "object", "properties": {}, "required": []},
}

_OWN = {declared["name"]: declared for declared in (END_CALL, COLLECT_DIGITS, HOLD_ON)}


def declarations(
    agent: AgentSettings, destinations: Mapping[str, DestinationSettings] | None = None
) -> tuple[dict[str, Any], ...]:
    """An agent's built-in functions, in the form that ``session.update`` takes; ``destinations``: of the agent."""
    own = [_OWN[name] for name in agent.builtin_tools]
    if destinations:
        own.append(handoff.declaration(destinations))
        if any(destination.kind == "warm" for destination in destinations.values()):
            own.append(handoff.CANCEL)
    return (*own, *people.declarations(agent, destinations or {}))


def own(agent: AgentSettings, name: str, destinations: Mapping[str, DestinationSettings] | None = None) -> str | None:
    """The name of the built-in function that is called; None: it is the site's, or nobody's."""
    return name if any(declared["name"] == name for declared in declarations(agent, destinations)) else None
