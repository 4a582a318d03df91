"""Checks across sections of the settings, and against what the model's server accepts."""

import json
from collections.abc import Iterator

from ariagent.agents.briefing import MAX_INSTRUCTIONS_TOKENS, longest_tokens, tokens
from ariagent.complaints import KeyPath
from ariagent.config.agents import AgentSettings, SemanticVad
from ariagent.config.tree import Settings
from ariagent.configfile import modelcheck, toolcheck
from ariagent.text import did_you_mean
from ariagent.values import placeholders

RESERVED = ("seat", "returned")
"""First arguments of ``Stasis(ariagent,...)`` that are not agents."""

Problem = tuple[KeyPath, str]
"""The place, and the error."""


def problems(settings: Settings) -> Iterator[Problem]:
    """Every mistake in settings that are well-formed and cannot work."""
    for name, agent in settings.agents.items():
        if name in RESERVED:
            yield ("agents", name), f"{name} has another meaning in Stasis(); choose another name"
        for key, text in _agent(settings, agent):
            yield ("agents", name, key), text
    yield from _tls(settings)
    yield from _routes(settings)
    yield from _hours(settings)
    yield from toolcheck.problems(settings)
    yield from modelcheck.problems(settings)


def _tls(settings: Settings) -> Iterator[Problem]:
    """Certificate settings of a connection without TLS: the administrator may believe that it is encrypted."""
    model, rest = settings.realtime, settings.asterisk
    sections: list[tuple[KeyPath, object, bool, str]] = [
        (("asterisk",), rest, rest.url.startswith("https:"), "asterisk.url begins with https"),
        (("ami",), settings.ami, settings.ami is not None and settings.ami.tls, "ami.tls is true"),
        (("realtime",), model, model.url.startswith("wss:"), "realtime.url begins with wss"),
    ]
    if model.fallback is not None:
        secured = model.fallback.url.startswith("wss:")
        sections.append((("realtime", "fallback"), model.fallback, secured, "its url begins with wss"))
    for path, section, secured, condition in sections:
        for key in ("ca_file", "tls_name"):
            if not secured and getattr(section, key, None) is not None:
                yield (*path, key), f"is only used if {condition}"


def _agent(settings: Settings, agent: AgentSettings) -> Iterator[tuple[str, str]]:
    for text in placeholders.problems(agent.instructions, agent.variables, agent.lookup_names):
        yield "instructions", text
    told = longest_tokens(agent)
    functions = sum(
        tokens(json.dumps([name, tool.description, tool.parameters], default=str))
        for name, tool in settings.tools.items()
        if name in agent.tools
    )
    if told + functions > MAX_INSTRUCTIONS_TOKENS:
        yield (
            "instructions",
            f"too long: about {told} tokens with the caller's data, and {functions} for its tools; "
            f"the model takes {MAX_INSTRUCTIONS_TOKENS} in all",
        )
    if isinstance(agent.opening, dict) and not {agent.language, agent.language.partition("-")[0]} & set(agent.opening):
        yield "opening", f"has no text in the agent's language, {agent.language}"
    for server in agent.mcp:
        if server not in settings.mcp_servers:
            yield "mcp", f"there is no {server} in mcp_servers{did_you_mean(server, settings.mcp_servers)}"
    for destination in agent.handoff:
        if destination not in settings.destinations:
            near = did_you_mean(destination, settings.destinations)
            yield "handoff", f"there is no {destination} in destinations{near}"
    if agent.turns == "fast":
        yield from _fast_turns(agent)
    yield from _messages(settings, agent)


def _fast_turns(agent: AgentSettings) -> Iterator[tuple[str, str]]:
    if isinstance(agent.turn_detection, SemanticVad):
        yield "turns", "fast needs turn_detection.type server_vad: semantic_vad itself decides when a turn is over"
    if agent.mcp:
        yield "turns", "fast cannot be used with mcp: the model's provider would call tools before the turn is over"
    early_ms = agent.fast_turns.early_silence_ms
    if agent.hold_in(agent.language).hold_ms <= early_ms:
        yield "fast_turns", f"hold_ms must be more than early_silence_ms ({early_ms}): both begin at the end of speech"


def _hours(settings: Settings) -> Iterator[Problem]:
    named: list[tuple[KeyPath, str]] = [
        (("destinations", name, "hours"), place.hours)
        for name, place in settings.destinations.items()
        if place.hours is not None
    ]
    for name, hours in settings.hours.items():
        if hours.timezone is None:
            yield ("hours", name, "timezone"), "is missing; set it here, or set the site's timezone"
    if (calendar := settings.pool.calendar) is not None:
        key = "calls_outside" if settings.pool.calls_outside else "calls_during"
        named.append((("pool", key), calendar))
        if settings.ami is None:
            yield ("pool", key), "needs the section ami: only AMI can pause seats"
    for where, name in named:
        if name not in settings.hours:
            yield where, f"there is no {name} in hours{did_you_mean(name, settings.hours)}"


def _messages(settings: Settings, agent: AgentSettings) -> Iterator[tuple[str, str]]:
    offered = {*agent.alternatives}
    for name in agent.handoff:
        if (place := settings.destinations.get(name)) is not None:
            offered |= {*(place.alternatives or ())}
    if offered & {"message", "callback"} and not settings.records.enabled:
        yield "alternatives", "message and callback need records.enabled: they are kept in the records of calls"
    elif "message" in offered and not settings.records.transcripts:
        yield "alternatives", "message needs records.transcripts: a message is the caller's words"


def _routes(settings: Settings) -> Iterator[Problem]:
    for at, route in enumerate(settings.routes):
        if route.agent not in settings.agents:
            yield (
                ("routes", at, "agent"),
                f"there is no agent {route.agent}{did_you_mean(route.agent, settings.agents)}; "
                f"known: {', '.join(settings.agents)}",
            )
        anything = (route.extension, route.queue, route.dialled) == (None, None, None) and not route.variables
        if anything and at < len(settings.routes) - 1:
            yield ("routes", at), "matches every call, so the routes below it are never used; move it to the end"
