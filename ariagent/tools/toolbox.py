"""All tools of all agents: what the model is told of them, and what happens when it calls one."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from aiohttp.abc import AbstractResolver

from ariagent.config import HttpToolSettings, LookupSettings, Settings
from ariagent.errors import ConfigurationError
from ariagent.redaction import Redaction, secrets_of
from ariagent.tools import answer, mcp, plugins, request
from ariagent.tools.gate import Gate
from ariagent.tools.http import HttpClient
from ariagent.tools.plugins import CallFacts, Tool
from ariagent.values import binding, urls
from ariagent.values.arguments import Parameters
from ariagent.values.outcome import UNSURE, Kind, Outcome, ToolFailure, json_text

log = logging.getLogger(__name__)

MAX_OUTPUT = 16_384
"""Characters of JSON that a Python tool may return."""

OnCall = Callable[[str, float, str], None]
"""Told of each finished call: the tool's name, seconds, and the kind of its outcome. Lookups are called ``lookup``."""


class FunctionCall(Protocol):
    """The needed part of a model's function call; ``realtime.events.ToolCall`` is one."""

    @property
    def name(self) -> str: ...

    @property
    def arguments(self) -> str: ...


@dataclass(frozen=True, slots=True)
class _Ready:
    """A tool with its arguments' schema compiled."""

    source: HttpToolSettings | Tool
    parameters: Parameters


class Toolbox:
    """The tools that the agents of ``settings`` use, and their lookups. One for the service.

    Raises ConfigurationError for an entry point that is not there, broken, or has the name of a tool in ``tools``; the
    settings have been checked in themselves when they were loaded. ``resolver`` is for tests.
    """

    def __init__(
        self, settings: Settings, *, on_call: OnCall | None = None, resolver: AbstractResolver | None = None
    ) -> None:
        self._settings = settings
        self._on_call = on_call
        self._http = HttpClient(settings.outbound, resolver=resolver)
        # A server may send back what it was sent.
        self._redact = Redaction(secrets_of(settings))
        self._gate = Gate(settings.outbound.per_host)
        self._tools: dict[str, _Ready] = {}
        self._abandoned: set[asyncio.Task[Any]] = set()
        points = plugins.installed(settings.tools_of_agents)
        for name in settings.tools_of_agents:
            source: HttpToolSettings | Tool | None = settings.tools.get(name)
            if name in points:
                if source is not None:
                    raise ConfigurationError(
                        f"tools.{name}: the installed entry point {points[name].value} has the same name",
                        remedy="Give the tool another name, or uninstall the entry point's package",
                    )
                source = plugins.load(points[name])
            if source is None:
                raise ConfigurationError(
                    f"there is no tool {name}",
                    remedy=f"Describe it in tools, or install an entry point of the group {plugins.GROUP}",
                )
            if not isinstance(source, HttpToolSettings):
                self._check_bound(name, source)
            self._tools[name] = _Ready(source, Parameters(source.parameters))

    def declarations(self, agent: str) -> tuple[dict[str, Any], ...]:
        """An agent's functions and MCP servers, as ``session.update`` takes them; without ariagent's own functions.

        Those of MCP servers hold secrets: not for logs.
        """
        chosen = self._settings.agents[agent]
        functions = [
            {
                "type": "function",
                "name": name,
                "description": self._tools[name].source.description,
                "parameters": dict(self._tools[name].source.parameters),
            }
            for name in chosen.tools
        ]
        servers = [mcp.declaration(label, self._settings.mcp_servers[label]) for label in chosen.mcp]
        return (*functions, *servers)

    def waiting_prompt(self, name: str) -> str | None:
        """The waiting prompt for the caller if this tool takes longer than a second: ``tone``, a text to say, or
        nothing."""
        ready = self._tools.get(name)
        if ready is None:
            return None
        source = ready.source
        if isinstance(source, HttpToolSettings):
            return source.waiting_prompt
        return plugins.waiting_prompt_of(source)

    def safe_to_repeat(self, name: str) -> bool:
        """Whether this tool may run although its result is not used."""
        ready = self._tools.get(name)
        if ready is None:
            return False
        source = ready.source
        return source.safe_to_repeat if isinstance(source, HttpToolSettings) else plugins.safe_to_repeat(source)

    async def run(self, agent: str, call: FunctionCall, facts: CallFacts) -> Outcome:
        """Carry out one function call of a completed response. Raises nothing but CancelledError."""
        start = time.monotonic()
        detail = ""
        name = call.name[:64]
        try:
            outcome = Outcome(await self._run(agent, call, facts), ok=True, kind=Kind.OK)
        except ToolFailure as failure:
            outcome, detail = failure.outcome, self._redact(failure.detail or str(failure))
        except Exception:
            log.exception("tool.fault", extra={"fields": {"call": facts.call_id, "tool": name}})
            outcome = ToolFailure(Kind.FAILED, "the tool failed").outcome
        self._finished(name if name in self._tools else "unknown", name, start, outcome.kind, facts.call_id, detail)
        return replace(outcome, output=self._redact(outcome.output))

    async def lookup(
        self, settings: LookupSettings, values: Mapping[str, str], *, call_id: str = ""
    ) -> Mapping[str, str]:
        """Ask about a caller: names and texts for the instructions. ``{}`` after any failure, which is logged."""
        start = time.monotonic()
        found: Mapping[str, str] = {}
        kind, detail = Kind.OK, ""
        try:
            asked, place = request.of_lookup(settings, values), urls.host(settings.url)
            # The phone rings meanwhile: the wait for its turn is within its time limit.
            async with asyncio.timeout(settings.timeout_s), self._gate.turn(call_id, place, settings.timeout_s):
                found = answer.texts(settings, await self._http.fetch(settings, asked))
        except TimeoutError:
            kind, detail = Kind.TIMEOUT, f"there was no answer within {settings.timeout_s:g} s"
        except ToolFailure as failure:
            kind, detail = failure.kind, self._redact(failure.detail or str(failure))
        except Exception:
            log.exception("lookup.fault", extra={"fields": {"call": call_id}})
            kind = Kind.FAILED
        self._finished("lookup", "lookup", start, kind, call_id, detail)
        return {name: self._redact(value) for name, value in found.items()}

    async def close(self) -> None:
        """Give up what is still running, and the connections."""
        for task in self._abandoned:
            task.cancel()
        await self._http.close()

    def _check_bound(self, name: str, tool: Tool) -> None:
        """Raises ConfigurationError where an agent lacks what a Python tool is bound to."""
        needed = tuple(binding.used("", plugins.bound_of(tool).values()))
        for agent_name, agent in self._settings.agents.items():
            if name in agent.tools:
                for lack in binding.unavailable(needed, agent.variables, agent.lookup_names):
                    raise ConfigurationError(f"agents.{agent_name}: {name}: {lack}", remedy="Add it to the agent")

    async def _run(self, agent: str, call: FunctionCall, facts: CallFacts) -> str:
        chosen = self._settings.agents.get(agent)
        ready = self._tools.get(call.name) if chosen is not None and call.name in chosen.tools else None
        if ready is None:
            raise ToolFailure(
                Kind.UNKNOWN_TOOL, f"there is no tool {call.name[:64]}", remedy="Use only the tools that you were given"
            )
        arguments = ready.parameters.read(call.arguments)
        if isinstance(ready.source, HttpToolSettings):
            asked = request.of_tool(ready.source, arguments, facts.known)
            place = urls.host(ready.source.url)
            async with self._gate.turn(facts.call_id, place, ready.source.timeout_s):
                found = await self._http.fetch(ready.source, asked)
            return json_text(answer.told(ready.source, found))
        bound = plugins.bound_of(ready.source)
        binding.refuse(arguments, bound)
        arguments |= binding.fill(bound, facts.known)
        async with self._gate.turn(facts.call_id, f"python {call.name}", plugins.timeout_of(ready.source)):
            return await self._run_plugin(ready.source, arguments, facts)

    async def _run_plugin(self, tool: Tool, arguments: dict[str, Any], facts: CallFacts) -> str:
        timeout_s = plugins.timeout_of(tool)
        task = asyncio.ensure_future(tool(arguments, facts))
        try:
            # Not asyncio.timeout: the caller does not wait for one that takes its time to be cancelled.
            await asyncio.wait((task,), timeout=timeout_s)
        finally:
            if not task.done():
                task.cancel()
                self._abandoned.add(task)
                task.add_done_callback(self._forget)
        if not task.done():
            raise ToolFailure(Kind.TIMEOUT, f"there was no answer within {timeout_s:g} s", remedy=UNSURE)
        if task.cancelled():
            raise ToolFailure(Kind.FAILED, "the tool failed", detail="cancelled itself")
        error = task.exception()
        if error is not None:
            fields = {"call": facts.call_id, "tool": tool.name}
            log.error("tool.raised", exc_info=error, extra={"fields": fields})
            raise ToolFailure(Kind.FAILED, "the tool failed", detail=f"{type(error).__name__}: {error}"[:200])
        try:
            output = json_text(task.result())
            output.encode()
        except (TypeError, ValueError, RecursionError) as problem:
            detail = f"returned no JSON: {problem}"[:200]
            raise ToolFailure(Kind.FAILED, "the tool's answer cannot be read", remedy=UNSURE, detail=detail) from None
        if len(output) > MAX_OUTPUT:
            too_long = f"the tool's answer is longer than {MAX_OUTPUT} characters"
            raise ToolFailure(Kind.TOO_LARGE, too_long, remedy=UNSURE)
        return output

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("tool.raised_late", exc_info=error)

    def _finished(self, label: str, name: str, start: float, kind: str, call_id: str, detail: str) -> None:
        seconds = time.monotonic() - start
        fields = {"call": call_id, "tool": name, "kind": str(kind), "seconds": round(seconds, 3)}
        if kind == Kind.OK:
            log.info("tool.called", extra={"fields": fields})
        else:
            log.warning("tool.failed", extra={"fields": {**fields, "detail": detail[:300]}})
        if self._on_call is not None:
            self._on_call(label, seconds, str(kind))
