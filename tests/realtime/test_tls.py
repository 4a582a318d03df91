"""The model by wss: what its certificate is verified against, and what an administrator is told when that fails."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from websockets.asyncio.server import ServerConnection, serve

from ariagent.config import AgentSettings, RealtimeSettings
from ariagent.errors import ConfigurationError
from ariagent.realtime.client import RealtimeClient
from ariagent.realtime.events import Event, Fault, SessionFailed
from ariagent.realtime.profile import SessionProfile
from ariagent.tls import MODEL

LIMIT_S = 20.0
Listen = Callable[..., Awaitable[int]]


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    """``await listen(tls=...)``: the port of a server that takes a session and ends it."""
    async with AsyncExitStack() as servers:

        async def end(connection: ServerConnection) -> None:
            await connection.close(1000, "let in")

        async def make(tls: Any = None) -> int:
            server = await servers.enter_async_context(serve(end, "127.0.0.1", 0, ssl=tls))
            return int(next(iter(server.sockets)).getsockname()[1])

        yield make


def client(url: str, on_event: Callable[[Event], None] = print, **settings: Any) -> RealtimeClient:
    made = RealtimeSettings(url=url, api_key=SecretStr("sk-1"), connect_timeout_s=LIMIT_S, **settings)
    return RealtimeClient(made, SessionProfile.of(AgentSettings(), made), on_event)


async def failure(url: str, **settings: Any) -> SessionFailed:
    events: list[Event] = []
    async with asyncio.timeout(LIMIT_S):
        await client(url, events.append, **settings).run()
    (failed,) = events
    assert isinstance(failed, SessionFailed)
    return failed


async def test_a_ca_of_the_sites_own(listen: Listen, authority: Any) -> None:
    port = await listen(authority.issue("localhost").server())
    assert "let in" in (await failure(f"wss://localhost:{port}/v1", ca_file=authority.file)).cause


async def test_a_ca_that_the_machine_does_not_know(listen: Listen, authority: Any) -> None:
    port = await listen(authority.issue("localhost").server())
    failed = await failure(f"wss://localhost:{port}/v1")
    assert failed.fault is Fault.NETWORK
    assert failed.cause.startswith(f"the certificate of the model's server at localhost:{port} is not trusted: ")
    assert failed.remedy == MODEL.trust


async def test_another_name(listen: Listen, authority: Any) -> None:
    port = await listen(authority.issue("model.test").server())
    failed = await failure(f"wss://localhost:{port}/v1", ca_file=authority.file)
    assert " is for another name: " in failed.cause
    assert failed.remedy == MODEL.rename


async def test_expired(listen: Listen, authority: Any) -> None:
    port = await listen(authority.issue("localhost", expired=True).server())
    assert (await failure(f"wss://localhost:{port}/v1", ca_file=authority.file)).cause.endswith(" has expired")


async def test_no_tls_there(listen: Listen) -> None:
    port = await listen()
    failed = await failure(f"wss://localhost:{port}/v1")
    assert "TLS" in failed.cause
    assert failed.remedy == MODEL.use_plain


async def test_tls_where_none_was_meant(listen: Listen, authority: Any) -> None:
    port = await listen(authority.issue("localhost").server())
    failed = await failure(f"ws://localhost:{port}/v1")
    assert failed.cause == f"cannot reach the model at localhost:{port}: it does not speak HTTP, or it is a TLS port"
    assert "wss://" in failed.remedy


async def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^realtime\.ca_file: .* cannot be read"):
        client("wss://localhost:1/v1", ca_file=tmp_path / "none.pem")


async def test_a_key_that_cannot_be_had_is_told_before_anything_is_tried() -> None:
    with pytest.raises(ConfigurationError, match="the environment variable NOT_SET_HERE is not set"):
        RealtimeClient(
            settings := RealtimeSettings.model_validate({"url": "ws://localhost:1", "api_key": "${NOT_SET_HERE}"}),
            SessionProfile.of(AgentSettings(), settings),
            print,
        )
