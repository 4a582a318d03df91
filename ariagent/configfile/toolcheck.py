"""Checks of tools and lookups against the rest of the settings."""

import re
from collections.abc import Iterator

from ariagent.complaints import KeyPath
from ariagent.config.tools import BUILTIN_TOOLS, HttpRequestSettings, OutboundSettings
from ariagent.config.tree import Settings
from ariagent.secret import known_value
from ariagent.text import did_you_mean
from ariagent.tools import plugins
from ariagent.values import binding, placeholders, urls
from ariagent.values.addresses import address_allowed, host_allowed, is_address

Problem = tuple[KeyPath, str]
"""The place, and the error."""


def problems(settings: Settings) -> Iterator[Problem]:
    """Tools that no call could use. Python entry points are looked up, but not loaded."""
    points = plugins.installed([*settings.tools, *settings.tools_of_agents])
    for name, tool in settings.tools.items():
        if name in BUILTIN_TOOLS:
            yield ("tools", name), "is one of ariagent's own functions; choose another name"
        if name in points:
            yield ("tools", name), f"the installed entry point {points[name].value} has this name too; choose another"
        yield from _request(("tools", name, "url"), tool, settings.outbound)
    for label in settings.mcp_servers:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", label):
            yield ("mcp_servers", label), "must begin with a letter and hold only letters, digits, - and _"
    for agent_name, agent in settings.agents.items():
        if agent.lookup is not None:
            where: KeyPath = ("agents", agent_name, "lookup", "url")
            yield from _request(where, agent.lookup, settings.outbound)
            known = [*placeholders.FIXED, *(f"variable.{variable}" for variable in agent.variables)]
            for name in dict.fromkeys((*urls.variables(agent.lookup.url), *needed(agent.lookup))):
                if name not in known and name not in agent.lookup.bound:
                    near = did_you_mean(name, known)
                    yield where, f"{{{name}}} is not known before a call is answered{near}; known: {', '.join(known)}"
        for at, name in enumerate(agent.tools):
            here: KeyPath = ("agents", agent_name, "tools", at)
            if name in agent.tools[:at]:
                yield here, f"{name} is listed twice"
            elif name in BUILTIN_TOOLS:
                yield here, f"{name} is one of ariagent's own functions; they are listed in builtin_tools"
            elif name not in settings.tools and name not in points:
                near = did_you_mean(name, [*settings.tools, *points])
                yield here, f"there is no {name} in tools, nor an installed entry point of that name{near}"
            elif name in settings.tools:
                for lack in binding.unavailable(needed(settings.tools[name]), agent.variables, agent.lookup_names):
                    yield here, f"{name}: {lack}"
        for at, label in enumerate(agent.mcp):
            if label in agent.mcp[:at]:
                yield ("agents", agent_name, "mcp", at), f"{label} is listed twice"


def needed(request: HttpRequestSettings) -> Iterator[str]:
    """The values of the call that a request needs."""
    return binding.used(request.url, (*request.bound.values(), *map(known_value, request.headers.values())))


def _request(where: KeyPath, request: HttpRequestSettings, outbound: OutboundSettings) -> Iterator[Problem]:
    host = urls.host(request.url)
    address = "127.0.0.1" if host == "localhost" else host
    if not host_allowed(host, outbound.allowed_hosts):
        yield where, f"{host} is not among outbound.allowed_hosts; add it there"
    elif is_address(address) and not address_allowed(address, outbound.private):
        yield where, f"{host} is a private address; add its network to outbound.private"
