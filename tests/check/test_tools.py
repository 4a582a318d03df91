"""Tools: reached or not, allowed or not; nothing is ever asked of them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ariagent.check.report import Result, Status
from ariagent.check.tools import check_tools, judge_mcp
from ariagent.config import Settings

LOCAL = {"allowed_hosts": ["127.0.0.1"], "private": ["127.0.0.0/8"]}


class Shop:
    """A server that notes every byte it is sent."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.received = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            self.received += await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    shop = Shop()
    server = await asyncio.start_server(shop.serve, "127.0.0.1", 0)
    async with server:
        shop.port = server.sockets[0].getsockname()[1]
        yield shop


async def told(url: str, outbound: dict[str, Any] = LOCAL, *, used: bool = True, **sections: Any) -> list[Result]:
    results: list[Result] = []
    tree: dict[str, Any] = {
        "tools": {"stock": {"url": url, "description": "What is in stock"}},
        "agents": {"default": {"tools": ["stock"] if used else []}},
        "outbound": outbound,
        **sections,
    }
    await check_tools(Settings.model_validate(tree), results.append)
    return results


async def test_a_tool_that_can_be_reached_is_asked_nothing(shop: Shop) -> None:
    (result,) = await told(f"http://127.0.0.1:{shop.port}/stock")
    assert result.status is Status.OK
    assert result.name == "tool stock"
    assert result.found.endswith("(no request was made)")
    assert shop.connections <= 1
    assert shop.received == b""


async def test_it_says_what_is_filled_in_from_the_call(shop: Shop) -> None:
    bound = {"customer": "{caller.number}", "line": "{queue|direct}"}
    tool = {"url": f"http://127.0.0.1:{shop.port}/{{caller.number}}", "description": "What is in stock", "bound": bound}
    (result,) = await told("", tools={"stock": tool})
    assert result.found.endswith("; filled in from the call: caller.number, queue")


async def test_a_tool_where_nobody_listens(closed_port: int) -> None:
    (result,) = await told(f"http://127.0.0.1:{closed_port}/")
    assert (result.status, result.found) == (
        Status.WARNING,  # calls work without it
        f"127.0.0.1: cannot connect to 127.0.0.1:{closed_port}: Connection refused",
    )


async def test_a_tool_without_a_host() -> None:
    url = "https://no-such-host.invalid/"
    (result,) = await told(url, {"allowed_hosts": ["no-such-host.invalid"]})
    assert result.status is Status.WARNING
    assert "the name no-such-host.invalid cannot be resolved" in result.found


async def test_a_private_address_that_is_not_allowed(shop: Shop) -> None:
    (result,) = await told(f"http://127.0.0.1:{shop.port}/", {"allowed_hosts": ["127.0.0.1"]})
    assert (result.status, result.found) == (
        Status.FAILED,
        "127.0.0.1 is at a private address (127.0.0.1): ariagent would refuse the request",
    )
    assert shop.connections == 0


async def test_a_tool_that_nobody_uses(shop: Shop) -> None:
    (result,) = await told(f"http://127.0.0.1:{shop.port}/", used=False)
    assert (result.status, result.found) == (Status.WARNING, "no agent uses it")


async def test_a_lookup_is_looked_at_too(closed_port: int) -> None:
    agents = {"default": {"lookup": {"url": f"http://127.0.0.1:{closed_port}/"}}}
    results: list[Result] = []
    await check_tools(Settings.model_validate({"agents": agents, "outbound": LOCAL}), results.append)
    assert [(r.name, r.status) for r in results] == [("lookup of default", Status.WARNING)]


async def test_a_python_tool_that_is_not_installed() -> None:
    results: list[Result] = []
    await check_tools(Settings.model_validate({"agents": {"default": {"tools": ["nowhere"]}}}), results.append)
    assert [(r.name, r.status, r.found) for r in results] == [
        ("tool nowhere", Status.FAILED, "there is no tool of this name")
    ]


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("https://mcp.example.com/sse", Status.OK),
        ("https://8.8.8.8/sse", Status.OK),
        ("http://mcp.example.com/sse", Status.WARNING),
        ("https://localhost/sse", Status.WARNING),
        ("https://10.1.2.3/sse", Status.WARNING),
        ("https://[::1]/sse", Status.WARNING),
    ],
)
def test_mcp(url: str, status: Status) -> None:
    assert judge_mcp("calendar", url).status is status
