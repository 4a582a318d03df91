"""Tools that a site writes in Python: entry points of the group ``ariagent.tools``.

The entry point's name is the tool's name; it leads to an object (or a class that is made without arguments) that
is a ``Tool``. Only those that an agent names are loaded.
"""

import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, runtime_checkable

from ariagent.errors import ConfigurationError
from ariagent.values import binding, placeholders
from ariagent.values.arguments import schema_problem

GROUP = "ariagent.tools"
DEFAULT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class CallFacts:
    """The call that a tool is used in."""

    call_id: str
    """The call id, as in queue_log and in the logs."""
    agent: str
    """The AI agent's name in the settings."""
    caller_number: str = ""
    """Empty where it is withheld."""
    caller_name: str = ""
    language: str = ""
    """The language of the conversation, such as ``en``."""
    values: Mapping[str, str] = field(default_factory=dict)
    """The values for templates, by name: ``called.number``, ``queue``, ``variable.VIP`` ... Date and time are those of
    the call's arrival."""

    @property
    def known(self) -> Mapping[str, str]:
        """The values that tools can be bound to."""
        own = {
            "call.id": self.call_id,
            "agent.name": self.agent,
            "caller.number": self.caller_number,
            "caller.name": self.caller_name,
        }
        return {**self.values, **own}

    def with_caller(self, number: str, name: str) -> "CallFacts":
        """The facts of the call with another caller, who has neither the variables nor the lookup of the former."""
        kept = {key: value for key, value in self.values.items() if key.partition(".")[0] not in placeholders.OPEN}
        return replace(self, caller_number=number, caller_name=name, values=kept)


@runtime_checkable
class Tool(Protocol):
    """The object that an entry point leads to.

    It may also have ``timeout_s`` (seconds that one call may take, 10 by default), ``waiting_prompt`` (what the
    caller hears if the call takes longer than a second: ``"tone"``, a text to say, or None), ``bound`` (names and
    texts: arguments that are filled in from the call) and ``safe_to_repeat`` (True: it may run although its result is
    not used, as with ``turns: fast`` when the caller continues).
    """

    name: str
    """The entry point's name."""
    description: str
    """Tells the model what it is for and when to use it; at most 1024 characters."""
    parameters: Mapping[str, Any]
    """JSON Schema of its arguments. They are validated before the call."""

    async def __call__(self, arguments: dict[str, Any], facts: CallFacts) -> Any:
        """Whatever JSON can hold, at most 16 KB of it. An exception is logged, and told to the model as a failure.

        Runs in the event loop where every call's audio runs too: it must not block. Use ``asyncio.to_thread``.
        """


def installed(names: Collection[str]) -> Mapping[str, EntryPoint]:
    """The entry points of this environment, by name; none if nobody asks for ``names`` of tools.

    Nothing of theirs is loaded. To find them takes the metadata of every package.
    """
    return {point.name: point for point in entry_points(group=GROUP)} if names else {}


def load(point: EntryPoint) -> Tool:
    """Load one. Raises ConfigurationError that names the entry point where it is broken, or no ``Tool``."""
    where = f"the entry point {point.name} = {point.value} (group {GROUP}{_package(point)})"
    remedy = "Repair or uninstall that package, or remove the tool from the agents"
    try:
        tool = point.load()
        if isinstance(tool, type):
            tool = tool()
    except (Exception, SystemExit) as error:
        raise ConfigurationError(f"{where} cannot be loaded: {type(error).__name__}: {error}", remedy=remedy) from error
    problem = _problem(point, tool)
    if problem:
        raise ConfigurationError(f"{where} {problem}", remedy=remedy)
    checked: Tool = tool
    return checked


def timeout_of(tool: Tool) -> float:
    return float(getattr(tool, "timeout_s", DEFAULT_TIMEOUT_S))


def waiting_prompt_of(tool: Tool) -> str | None:
    prompt = getattr(tool, "waiting_prompt", "tone")
    return None if prompt is None else str(prompt)


def safe_to_repeat(tool: Tool) -> bool:
    """Whether it may run although its result is not used."""
    return getattr(tool, "safe_to_repeat", False) is True


def bound_of(tool: Tool) -> Mapping[str, str]:
    """Arguments that are filled in from the call and not asked from the model: names and texts with templates."""
    bound: Mapping[str, str] = getattr(tool, "bound", {})
    return bound


def _problem(point: EntryPoint, tool: Any) -> str | None:
    name, description = getattr(tool, "name", None), getattr(tool, "description", None)
    parameters, timeout_s = getattr(tool, "parameters", None), getattr(tool, "timeout_s", DEFAULT_TIMEOUT_S)
    prompt = getattr(tool, "waiting_prompt", "tone")
    if not (inspect.iscoroutinefunction(tool) or inspect.iscoroutinefunction(getattr(tool, "__call__", None))):  # noqa: B004
        return "is not callable with async def __call__(self, arguments, facts)"
    if name != point.name:
        return f"has the name {name!r}; it must be the entry point's"
    if not isinstance(description, str) or not 0 < len(description) <= 1024:
        return "must have a description, of at most 1024 characters"
    if not isinstance(parameters, Mapping):
        return "must have parameters, a JSON Schema"
    if not isinstance(timeout_s, int | float) or isinstance(timeout_s, bool) or not 0 < timeout_s <= 60:
        return "has a timeout_s that is not above 0 and at most 60"
    if prompt is not None and (not isinstance(prompt, str) or not prompt.strip()):
        return "has a waiting_prompt that is neither a text nor None"
    if not isinstance(getattr(tool, "safe_to_repeat", False), bool):
        return "has a safe_to_repeat that is neither True nor False"
    if hasattr(tool, "sign"):
        return "has a sign, which is called waiting_prompt now"
    problem = schema_problem(parameters)
    if problem:
        return f"has parameters that cannot be used: {problem}"
    return _bound_problem(parameters.get("properties", {}), getattr(tool, "bound", {}))


def _bound_problem(properties: Mapping[str, Any], bound: Any) -> str | None:
    if not isinstance(bound, Mapping) or not all(isinstance(each, str) for item in bound.items() for each in item):
        return "has bound values that are not a mapping of names to texts"
    for name in (*properties, *bound):
        if problem := binding.name_problem(name):
            return f"has a parameter that cannot be used: {problem}"
    for name, text in bound.items():
        if binding.taken_twice((name,), properties):
            return f"binds {name}, which is also among its parameters; remove one"
        if problem := binding.bound_problem(text):
            return f"binds {name} to what cannot be filled in: {problem}"
    return None


def _package(point: EntryPoint) -> str:
    return f", package {point.dist.name}" if point.dist is not None else ""
