"""The service's ports: free, its own, or somebody else's. The verdict is that of a service that starts."""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

from ariagent.check.ports import check_ports
from ariagent.check.report import Result, Status
from ariagent.config import Settings
from ariagent.errors import ResourceError
from ariagent.webserver import WebServer


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def told(**sections: Any) -> list[Result]:
    results: list[Result] = []
    await check_ports(Settings.model_validate(sections), results.append)
    return results


async def test_free_ones_stay_free(closed_port: int) -> None:
    for _ in range(2):
        http, control = await told(http={"port": closed_port}, control={"port": 0})
        assert (http.status, http.found) == (Status.OK, f"http.port {closed_port} is free for metrics")
        assert control.found == "control.port is 0: the service takes any free port for the control API"


@pytest.mark.parametrize("section", ["http", "control"])
async def test_one_that_another_program_has(section: str, taken_port: int) -> None:
    sections = {"http": {"port": 0}, "control": {"port": 0}, section: {"port": taken_port}}
    (result,) = (result for result in await told(**sections) if result.status is not Status.OK)
    assert result.status is Status.FAILED
    assert result.found.endswith(f"on 127.0.0.1:{taken_port}: Address already in use")
    assert f"set {section}.port to a free one" in result.remedy
    # It is what a service says that starts.
    what = {"http": "metrics", "control": "the control API"}[section]
    server = WebServer(web.Application())
    with pytest.raises(ResourceError) as caught:
        await server.start("127.0.0.1", taken_port, what=what, key=f"{section}.port")
    assert (str(caught.value), caught.value.remedy) == (result.found, result.remedy)
    await server.close()


@pytest.fixture
async def service() -> AsyncIterator[Callable[..., Any]]:
    """``await service(application="ariagent")``: somebody who says of their health what is given; returns the port."""
    servers: list[WebServer] = []

    async def make(**health: Any) -> int:
        async def answer(request: web.Request) -> web.Response:
            return web.json_response(health, status=503)

        app = web.Application()
        app.router.add_get("/healthz", answer)
        servers.append(WebServer(app))
        await servers[-1].start("127.0.0.1", 0, what="metrics", key="http.port")
        return servers[-1].port

    yield make
    for server in servers:
        await server.close()


async def test_those_of_the_running_service(service: Any, taken_port: int) -> None:
    port = await service(application="ariagent", control_port=taken_port)
    results = await told(http={"port": port}, control={"port": taken_port})
    assert [(r.status, r.found) for r in results] == [
        (Status.OK, f"http.port {port} is in use by the running service ariagent"),
        (Status.OK, f"control.port {taken_port} is in use by the running service ariagent"),
    ]


async def test_those_of_a_service_with_another_name(service: Any, taken_port: int) -> None:
    port = await service(application="night", control_port=taken_port)
    http, control = await told(http={"port": port}, control={"port": taken_port})
    assert http.status is Status.FAILED
    assert http.found.endswith("by the service night")
    assert "its own" in http.remedy
    assert control.status is Status.FAILED


async def test_a_control_port_that_is_not_the_running_services(service: Any, taken_port: int) -> None:
    port = await service(application="ariagent", control_port=1)
    http, control = await told(http={"port": port}, control={"port": taken_port})
    assert (http.status, control.status) == (Status.OK, Status.FAILED)


async def test_an_address_that_is_not_this_machines() -> None:
    http, *_ = await told(http={"host": "198.51.100.1", "port": 9093}, control={"port": 0})
    assert http.status is Status.FAILED
    assert http.found.endswith("on 198.51.100.1:9093: Cannot assign requested address")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", ""])
@pytest.mark.parametrize("section", ["http", "control"])
async def test_one_that_other_machines_reach_is_a_warning(section: str, host: str) -> None:
    sections = {"http": {"port": 0}, "control": {"port": 0}, section: {"host": host, "port": 0}}
    *_, told_last = await told(**sections)
    assert told_last.status is Status.WARNING
    assert told_last.found.startswith(f"{section}.host is {host}: other machines reach")
    assert f"{section}.host to 127.0.0.1" in told_last.remedy


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_one_on_loopback_is_none(host: str) -> None:
    sections = {"host": host, "port": 0}
    assert {result.status for result in await told(http=sections, control=sections)} == {Status.OK}
