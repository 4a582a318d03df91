"""The request for the list of models: to the configured server only, with its key; whatever comes back."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ariagent.config import RealtimeSettings
from ariagent.realtime.models import MAX_BYTES, announced

BODY = json.dumps({"object": "list", "data": [{"id": "mini", "shutdown_date": "2027-01-20"}]}).encode()
DATES = {"mini": "2027-01-20"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    """``await serve(handler)``: a web server on loopback; returns the URL of its sessions."""
    async with AsyncExitStack() as stack:

        async def serve(handler: Handler) -> str:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", handler)
            server = await stack.enter_async_context(TestServer(app, host="127.0.0.1"))
            return f"ws://127.0.0.1:{server.port}/v1/realtime"

        yield serve


def settings(url: str, **more: object) -> RealtimeSettings:
    return RealtimeSettings.model_validate({"url": url, "api_key": "sk-test-key", "connect_timeout_s": 5, **more})


async def test_the_list_is_asked_for_with_the_key(serve: Callable[[Handler], Awaitable[str]]) -> None:
    seen: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request)
        return web.Response(body=BODY, content_type="application/json")

    assert await announced(settings(await serve(handler), headers={"X-Site": "north"})) == DATES
    (request,) = seen
    assert (request.method, request.path_qs) == ("GET", "/v1/models")
    assert request.headers["Authorization"] == "Bearer sk-test-key"
    assert request.headers["X-Site"] == "north"
    assert request.headers["Accept-Encoding"] == "identity"


async def test_a_redirection_is_not_followed(serve: Callable[[Handler], Awaitable[str]]) -> None:
    asked: list[str] = []

    async def thief(request: web.Request) -> web.Response:
        asked.append(request.headers.get("Authorization", ""))
        return web.Response(body=BODY)

    elsewhere = (await serve(thief)).replace("ws://", "http://")

    async def handler(request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect(elsewhere)

    assert await announced(settings(await serve(handler))) == {}
    assert asked == []


@pytest.mark.parametrize("status", [204, 401, 403, 404, 429, 500])
async def test_a_server_that_refuses_tells_nothing(status: int, serve: Callable[[Handler], Awaitable[str]]) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, body=b"" if status == 204 else BODY)

    assert await announced(settings(await serve(handler))) == {}


async def test_an_endless_list_is_given_up(serve: Callable[[Handler], Awaitable[str]]) -> None:
    sent = 0
    ended = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while sent < 100 * MAX_BYTES:
                await response.write(b" " * 65536)
                sent += 65536
        finally:
            ended.set()
        return response

    assert await announced(settings(await serve(handler))) == {}
    await asyncio.wait_for(ended.wait(), 20)
    assert sent < 50 * MAX_BYTES


async def test_a_compressed_list_that_was_not_asked_for_is_not_unpacked(
    serve: Callable[[Handler], Awaitable[str]],
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(BODY), headers={"Content-Encoding": "gzip"})

    assert await announced(settings(await serve(handler))) == {}


async def test_a_server_that_says_nothing_is_not_waited_for(serve: Callable[[Handler], Awaitable[str]]) -> None:
    gone = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()
        return web.Response()

    began = asyncio.get_running_loop().time()
    assert await announced(settings(await serve(handler), connect_timeout_s=0.3)) == {}
    assert asyncio.get_running_loop().time() - began < 5
    await asyncio.wait_for(gone.wait(), 20)


async def test_something_that_is_no_http_tells_nothing() -> None:
    def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n" * 3)
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await announced(settings(f"ws://127.0.0.1:{port}/v1/realtime")) == {}
    assert await announced(settings(f"ws://127.0.0.1:{port}/v1/realtime")) == {}  # and nobody


async def test_nothing_is_asked_where_no_list_is_known(serve: Callable[[Handler], Awaitable[str]]) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(body=BODY)

    url = (await serve(handler)).replace("/v1/realtime", "/live")
    assert await announced(settings(url)) == {}
    assert asked == []


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "HTTPS_PROXY"])
async def test_a_server_on_this_machine_needs_no_proxy(
    serve: Callable[[Handler], Awaitable[str]], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=BODY, content_type="application/json")

    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    url = await serve(handler)
    assert await announced(settings(url)) == DATES
    assert await announced(settings(url.replace("127.0.0.1", "localhost"))) == DATES
