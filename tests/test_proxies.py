"""A server on this machine is never asked through a proxy, whatever the environment says."""

import socket
from typing import Any

import pytest

from ariagent import proxies

VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(proxies, "_own", {})


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "x.localhost", "0.0.0.0"]
)
async def test_this_machine(host: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    assert not await proxies.uses_proxy(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "model.invalid", "2001:db8::1"])
async def test_others(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert await proxies.uses_proxy(host)


@pytest.mark.parametrize(
    ("addresses", "proxy"),
    [(["127.0.1.1"], False), (["127.0.0.1", "::1"], False), (["127.0.0.1", "10.0.0.1"], True), ([], True)],
)
async def test_names_that_stand_for_this_machine(
    addresses: list[str], proxy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def look_up(host: str, *args: Any, **kwargs: Any) -> list[Any]:
        asked.append(host)
        if not addresses:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert await proxies.uses_proxy("pbx.example") is proxy
    assert await proxies.uses_proxy("pbx.example") is proxy
    assert asked == ["pbx.example"]


async def test_nothing_is_looked_up_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", None)
    assert await proxies.uses_proxy("pbx.example")
