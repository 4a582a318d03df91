"""The choice of the agent for a call. No I/O: the caller of these functions has asked Asterisk."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ariagent.config import RouteSettings, Settings
from ariagent.errors import UnknownAgentError

DEFAULT = "default"
"""The agent of calls that nothing else is said about."""

AGENT = "ARIAGENT_AGENT"
QUEUE = "ARIAGENT_QUEUE"
DIALLED = "ARIAGENT_DIALLED"
EXTENSION = "ARIAGENT_EXTENSION"


@dataclass(frozen=True, slots=True)
class ArrivalFacts:
    """The known facts about a call that came in. An empty text: not known."""

    named: str | None = None
    """The agent that the dialplan named in ``Stasis(ariagent,<agent>)``."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Channel variables; at least those of ``needed_variables`` that are set."""
    extension: str = ""
    """Dialled inside."""
    queue: str = ""
    """The queue that the caller came through; empty for a direct call."""
    dialled: str = ""
    """The number dialled from outside."""

    @classmethod
    def of(cls, named: str | None, variables: Mapping[str, str], extension: str = "") -> "ArrivalFacts":
        """The facts from the variables that the shipped dialplan sets. ``extension`` is the channel's own, empty for a
        seat (its extension is the seat's number)."""
        return cls(
            named,
            variables,
            variables.get(EXTENSION) or extension,
            variables.get(QUEUE, ""),
            variables.get(DIALLED, ""),
        )


def choose(settings: Settings, facts: ArrivalFacts) -> str:
    """The name of the agent for a call: the dialplan's word, then ``ARIAGENT_AGENT``, then the first route that fits,
    then ``default``, then the only one there is.

    Raises UnknownAgentError for a name that the settings do not have. ``default`` is no such name: where there is no
    agent of that name it means that the dialplan has no wish.
    """
    for wanted in (facts.named, facts.variables.get(AGENT)):
        if wanted and wanted in settings.agents:
            return wanted
        if wanted and wanted != DEFAULT:
            raise UnknownAgentError(wanted)
    for route in settings.routes:
        if _fits(route, facts):
            if route.agent not in settings.agents:
                raise UnknownAgentError(route.agent)
            return route.agent
    if DEFAULT in settings.agents:
        return DEFAULT
    if len(settings.agents) == 1:
        return next(iter(settings.agents))
    raise UnknownAgentError(DEFAULT)


def needed_variables(settings: Settings) -> tuple[str, ...]:
    """Names of the channel variables that ``choose`` looks at, ``ARIAGENT_AGENT`` first."""
    names = {AGENT: None}
    for route in settings.routes:
        given = {EXTENSION: route.extension, QUEUE: route.queue, DIALLED: route.dialled, **route.variables}
        names |= {name: None for name, pattern in given.items() if pattern is not None}
    return tuple(names)


def _fits(route: RouteSettings, facts: ArrivalFacts) -> bool:
    # Asterisk ignores the case of a queue's name, and no other name's.
    queue = None if route.queue is None else route.queue.lower()
    wanted = [(route.extension, facts.extension), (queue, facts.queue.lower()), (route.dialled, facts.dialled)]
    wanted += [(pattern, facts.variables.get(name, "")) for name, pattern in route.variables.items()]
    return all(pattern is None or matches(pattern, value) for pattern, value in wanted)


def matches(pattern: str, value: str) -> bool:
    """Whether a value is the pattern, in which ``*`` stands for any text. Nothing but an empty pattern matches an
    empty value: what is not known is not any text."""
    if not value:
        return not pattern
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), value, re.DOTALL) is not None
