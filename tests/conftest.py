"""A small Asterisk REST interface on loopback: real HTTP and WebSocket, described as Asterisk describes its own; and
certificates for tests of TLS.
"""

import asyncio
import base64
import gc
import json
import os
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop
from aiohttp import WSMsgType, web
from hypothesis import HealthCheck, settings
from pydantic import SecretStr

from ariagent.config import AsteriskSettings
from ariagent.synthesis.programs import LAB
from lab.packages import default_lab_dir
from tests.quarantine import pytest_report_teststatus, pytest_runtest_makereport, pytest_terminal_summary

__all__ = ["pytest_report_teststatus", "pytest_runtest_makereport", "pytest_terminal_summary"]

# Whoever starts the tests may have settings in the environment, as ARIAGENT_CONFIG of a lab that is up: no test, and
# nothing that a test starts, gets them. Programs that speak are the lab's.
for _name in [name for name in os.environ if name.startswith("ARIAGENT_") and name not in (LAB, "ARIAGENT_NO_SKIP")]:
    del os.environ[_name]
os.environ[LAB] = str(default_lab_dir())

# How long an example takes says how busy the machine is, and nothing about what is tested.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("short", settings.get_profile("any machine"), max_examples=25)
settings.load_profile("any machine")

PATIENCE_S = 20.0  # for what must happen, on a busy machine

# resource, operation, method, path, query parameters (required ones with !, those of the body with {})
OPERATIONS = (
    ("asterisk", "getInfo", "GET", "/asterisk/info", "only"),
    ("channels", "get", "GET", "/channels/{channelId}", ""),
    ("channels", "hangup", "DELETE", "/channels/{channelId}", "reason"),
    ("channels", "originate", "POST", "/channels", "endpoint! app callerId timeout channelId"),
    ("channels", "answer", "POST", "/channels/{channelId}/answer", ""),
    ("channels", "continueInDialplan", "POST", "/channels/{channelId}/continue", "label"),
    ("channels", "getChannelVar", "GET", "/channels/{channelId}/variable", "variable!"),
    ("channels", "setChannelVar", "POST", "/channels/{channelId}/variable", "variable! value"),
    ("channels", "sendDTMF", "POST", "/channels/{channelId}/dtmf", "dtmf"),
    (
        "channels",
        "externalMedia",
        "POST",
        "/channels/externalMedia",
        "channelId app! external_host encapsulation transport format! data variables{}",
    ),
    ("bridges", "list", "GET", "/bridges", ""),
    ("bridges", "createWithId", "POST", "/bridges/{bridgeId}", "type name"),
    ("bridges", "addChannel", "POST", "/bridges/{bridgeId}/addChannel", "channel!"),
    ("bridges", "destroy", "DELETE", "/bridges/{bridgeId}", ""),
    ("applications", "get", "GET", "/applications/{applicationName}", ""),
    ("events", "eventWebsocket", "GET", "/events", "app!"),
)


class AriServer:
    """``requests``, ``queries`` and ``bodies`` are what was asked for; ``answers["METHOD /path"] = (status, body)`` is
    what to answer instead of the usual; a body that is a coroutine function is awaited first. Everything else works as
    far as ``channels`` (name by id), ``variables`` and ``bridges`` go.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.queries: list[dict[str, str]] = []
        self.bodies: list[Any] = []
        self.answers: dict[str, tuple[int, Any]] = {}
        self.html: set[str] = set()
        """Paths that are answered with a web page."""
        self.password = "secret"
        self.server = ""
        """The server's name for itself; empty: its library's name."""
        self.read_only = False
        """The user may change nothing."""
        self.channels: dict[str, str] = {}
        self.details: dict[str, dict[str, Any]] = {}
        """More fields of a channel."""
        self.variables: dict[tuple[str, str], str] = {}
        self.bridges: list[str] = []
        self.empty_bridges: dict[str, str] = {}
        """Names by ids; Asterisk does not count them among those of an application."""
        self.streams: list[web.WebSocketResponse] = []
        self.connections = 0
        self.authorizations: set[str] = set()
        self.changed = asyncio.Event()
        self.port = 0
        self.tls: ssl.SSLContext | None = None
        self.prefix = ""
        """As of a reverse proxy, or of http.conf: where the server is below its address."""

    @property
    def url(self) -> str:
        return f"{'http' if self.tls is None else 'https'}://127.0.0.1:{self.port}{self.prefix}"

    def settings(self, **changes: Any) -> AsteriskSettings:
        given: dict[str, Any] = {"url": self.url, "password": SecretStr(self.password), "request_timeout_s": PATIENCE_S}
        return AsteriskSettings(**{**given, **changes})

    def asked(self, *requests: str) -> bool:
        """Whether these requests came, in this order (others may lie between)."""
        came = iter(self.requests)
        return all(any(request == other for other in came) for request in requests)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that this server sees is so."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def emit(self, message: object) -> None:
        """Tell all who listen; text goes as it is."""
        text = message if isinstance(message, str) else json.dumps(message)
        for stream in self.streams:
            await stream.send_str(text)

    async def drop(self, *, abruptly: bool = False) -> None:
        """End every event stream."""
        for stream in list(self.streams):
            if abruptly:
                assert stream._req is not None
                assert stream._req.transport is not None
                stream._req.transport.abort()
            else:
                await stream.close()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["AriServer"]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self.tls).start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        wanted = "Basic " + base64.b64encode(f"ariagent:{self.password}".encode()).decode()
        self.authorizations.add(request.headers.get("Authorization", ""))
        assert "api_key" not in request.query
        if not request.path.startswith(f"{self.prefix}/ari/"):
            return web.Response(status=404, text="nothing here")
        path = request.path.removeprefix(f"{self.prefix}/ari")
        name = f"{request.method} {path}"
        self.requests.append(name)
        self.queries.append(dict(request.query))
        self.bodies.append(json.loads(await request.text() or "null"))
        self.changed.set()
        if request.headers.get("Authorization") != wanted:
            return web.json_response({"error": "Unauthorized"}, status=401)
        if self.read_only and request.method != "GET":
            return web.json_response({"message": "Write access denied"}, status=403)
        if path in self.html:
            return web.Response(text="<html></html>", content_type="text/html")
        if name in self.answers:
            status, body = self.answers[name]
            if callable(body):
                body = await body()
            text = body if isinstance(body, str) else json.dumps(body)
            headers = {"Server": self.server} if self.server else None
            return web.Response(text=text, status=status, content_type="application/json", headers=headers)
        if path.startswith("/api-docs/"):
            return web.json_response(self._describe(path.removeprefix("/api-docs/")))
        if path == "/events":
            return await self._stream(request)
        return self._act(request, path.strip("/").split("/"))

    def _describe(self, page: str) -> dict[str, Any]:
        # Asterisk's description of its API, however it is reached (source: res/res_ari.c, ast_ari_get_docs).
        base = {"basePath": f"http://127.0.0.1:{self.port}/ari", "swaggerVersion": "1.1"}
        if page == "resources.json":
            names = dict.fromkeys(operation[0] for operation in OPERATIONS)
            return {**base, "apis": [{"path": f"/api-docs/{n}.{{format}}", "description": n} for n in names]}
        apis = []
        for resource, nickname, method, path, query in OPERATIONS:
            if f"{resource}.json" != page:
                continue
            inside = [part[1:-1] for part in path.split("/") if part.startswith("{")]
            parameters: list[dict[str, Any]] = [{"name": n, "paramType": "path", "dataType": "string"} for n in inside]
            for parameter in query.split():
                required, plain = parameter.endswith("!"), parameter.rstrip("!{}")
                where = "body" if parameter.endswith("{}") else "query"
                parameters.append({"name": plain, "paramType": where, "required": required, "dataType": "string"})
            operation: dict[str, Any] = {"httpMethod": method, "nickname": nickname, "parameters": parameters}
            if nickname == "eventWebsocket":
                operation["upgrade"] = "websocket"
            apis.append({"path": path, "description": nickname, "operations": [operation]})
        return {**base, "resourcePath": f"/api-docs/{page}", "apis": apis, "models": {}}

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        stream = web.WebSocketResponse()
        await stream.prepare(request)
        self.streams.append(stream)
        self.connections += 1
        self.changed.set()
        try:
            async for message in stream:
                assert message.type is not WSMsgType.TEXT, "nobody talks to Asterisk over this"
        finally:
            self.streams.remove(stream)
            self.changed.set()
        return stream

    def _value(self, channel: str, name: str) -> str | None:
        """A variable's value; in the argument of EVAL, every ``${NAME}`` is put in, once."""
        if name.startswith("EVAL(") and name.endswith(")"):
            return re.sub(r"\$\{([^{}]*)\}", lambda found: self.variables.get((channel, found[1]), ""), name[5:-1])
        return self.variables.get((channel, name))

    def _act(self, request: web.Request, path: list[str]) -> web.Response:
        query = request.query
        match request.method, *path:
            case "GET", "asterisk", "info":
                return web.json_response({"system": {"version": "22.10.1"}})
            case "GET", "applications", str():
                return web.json_response({"channel_ids": list(self.channels), "bridge_ids": self.bridges})
            case "POST", "channels", "externalMedia":
                self.channels[query["channelId"]] = "AudioSocket/1"
                return web.json_response({"id": query["channelId"]})
            case _, "channels", str(channel), *_ if channel not in self.channels:
                return web.json_response({"message": "Channel not found"}, status=404)
            case "GET", "channels", str(channel):
                return web.json_response(
                    {"id": channel, "name": self.channels[channel], **self.details.get(channel, {})}
                )
            case "GET", "channels", str(channel), "variable":
                value = self._value(channel, query["variable"])
                if value is None:
                    return web.json_response({"message": "Provided variable was not found"}, status=404)
                return web.json_response({"value": value})
            case "POST", "channels", str(channel), "variable":
                self.variables[channel, query["variable"]] = query.get("value", "")
            case ("DELETE", "channels", str(channel)) | ("POST", "channels", str(channel), "continue"):
                del self.channels[channel]
            case "GET", "bridges":
                used = dict.fromkeys(self.bridges, "ariagent/ariagent")
                return web.json_response([{"id": id_, "name": n} for id_, n in (used | self.empty_bridges).items()])
            case "DELETE", "bridges", str(bridge) if bridge in self.empty_bridges:
                del self.empty_bridges[bridge]
            case "POST", "bridges", str(bridge):
                self.bridges.append(bridge)
                return web.json_response({"id": bridge})
            case _, "bridges", str(bridge), *_ if bridge not in self.bridges:
                return web.json_response({"message": "Bridge not found"}, status=404)
            case "DELETE", "bridges", str(bridge):
                self.bridges.remove(bridge)
        return web.Response(status=204)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files in PEM form: a certificate with its chain, and its key."""

    chain: Path
    key: Path

    def server(self) -> ssl.SSLContext:
        """For a server that has it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        return context


class Authority:
    """A certificate authority of its own, and the certificates that it issues."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self._folder = folder
        self._issued = 0
        self.file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.file))

    def issue(self, *names: str, expired: bool = False) -> Certificate:
        """A certificate for these names or addresses; valid now, or until yesterday."""
        until = datetime.now(UTC) - timedelta(days=1) if expired else None
        made = self._ca.issue_cert(*names, not_after=until)
        self._issued += 1
        chain, key = self._folder / f"chain{self._issued}.pem", self._folder / f"key{self._issued}.pem"
        chain.write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))
        made.private_key_pem.write_to_path(str(key))
        return Certificate(chain, key)


@pytest.fixture(scope="session")
def make_authority(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Authority]:
    """``make_authority()``: one more, of which nobody knows yet."""
    return lambda: Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def authority(make_authority: Callable[[], Authority]) -> Authority:
    return make_authority()


@pytest.fixture
def other_authority(make_authority: Callable[[], Authority]) -> Authority:
    return make_authority()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Nothing that is collected is garbage: nobody searches it, meanwhile or later. It saves a third of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)  # an older pytest-asyncio does not know it and runs everything on asyncio's
def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    both = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return both if item.get_closest_marker("both_loops") else {"asyncio": asyncio.new_event_loop}


MakeAriServer = Callable[..., Awaitable[AriServer]]


@pytest.fixture
async def make_ari_server() -> AsyncIterator[MakeAriServer]:
    """``await make_ari_server(tls=..., prefix=...)``: one more ``AriServer``; all end after the test."""
    async with AsyncExitStack() as servers:

        async def make(**options: Any) -> AriServer:
            made = AriServer()
            for name, value in options.items():
                setattr(made, name, value)
            return await servers.enter_async_context(made.serving())

        yield make


@pytest.fixture
async def ari_server(make_ari_server: MakeAriServer) -> AriServer:
    return await make_ari_server()
