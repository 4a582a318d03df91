"""A real HTTP server on loopback whose handlers misbehave on request, and toolboxes that may reach it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from ariagent.config import Settings
from ariagent.realtime.events import ToolCall
from ariagent.tools.plugins import CallFacts
from ariagent.tools.toolbox import Toolbox
from ariagent.values.outcome import Outcome

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

FACTS = CallFacts("1795357064.1", "default", "+3120555", "Ann", "en")


@dataclass
class Seen:
    """One request as it came in."""

    method: str
    raw_path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Site:
    """The far end: ``answers[path]`` is what it does."""

    port: int = 0
    answers: dict[str, Handler] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    written: int = 0
    """Bytes of endless answers that it got rid of."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(Seen(request.method, request.raw_path, dict(request.headers), await request.read()))
        answer = self.answers.get(request.path)
        return await answer(request) if answer else web.json_response({"path": request.raw_path})


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    found = Site()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", found.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    server = web.TCPSite(runner, "127.0.0.1", 0)
    await server.start()
    found.port = runner.addresses[0][1]
    yield found
    await runner.cleanup()


@dataclass
class Box:
    """A toolbox with one tool, and what its hook was told."""

    toolbox: Toolbox
    calls: list[tuple[str, str]]

    async def call(self, name: str = "order", **arguments: Any) -> Outcome:
        return await self.say(json.dumps(arguments), name)

    async def say(self, arguments: str, name: str = "order") -> Outcome:
        async with asyncio.timeout(30):
            return await self.toolbox.run("default", ToolCall("call_1", name, arguments), FACTS)


@pytest.fixture
async def box(site: Site) -> AsyncIterator[Callable[..., Box]]:
    """``box(url="/order/{number}", method=...)``: a box whose tool ``order`` asks the site."""
    made: list[Toolbox] = []

    def make(
        url: str = "/order/{number}",
        *,
        hosts: tuple[str, ...] = ("127.0.0.1",),
        private: tuple[str, ...] = ("127.0.0.0/8",),
        resolver: Any = None,
        properties: dict[str, Any] | None = None,
        required: tuple[str, ...] = ("number",),
        agent: dict[str, Any] | None = None,
        outbound: dict[str, Any] | None = None,
        **tool: Any,
    ) -> Box:
        tree = {
            "outbound": {"allowed_hosts": hosts, "private": private, **(outbound or {})},
            "agents": {"default": {"tools": ["order"], **(agent or {})}},
            "tools": {
                "order": {
                    "description": "Says where an order is.",
                    "url": url if "://" in url else site.url + url,
                    "parameters": {
                        "type": "object",
                        "properties": {"number": {"type": "string"}} | (properties or {}),
                        "required": list(required),
                    },
                    **tool,
                }
            },
        }
        calls: list[tuple[str, str]] = []
        toolbox = Toolbox(
            Settings.model_validate(tree),
            on_call=lambda name, seconds, kind: calls.append((name, kind)),
            resolver=resolver,
        )
        made.append(toolbox)
        return Box(toolbox, calls)

    yield make
    for toolbox in made:
        await toolbox.close()
