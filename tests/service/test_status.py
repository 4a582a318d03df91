"""The two pages of ``http.port``."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from ariagent.config import Settings
from ariagent.hosts import HostNames
from ariagent.service.health import Health
from ariagent.service.status import HEALTH_S, METRICS_S, pages
from ariagent.webserver import WebServer
from tests.service.well import WELL

HEALTH = replace(WELL, model="HTTP 401: the key sk-0123456789 is wrong")


@dataclass
class Pages:
    """Served on loopback; ``now`` is its clock."""

    now: float = 0.0
    rendered: int = 0
    looked: int = 0
    url: str = ""
    settings: Settings = field(
        default_factory=lambda: Settings.model_validate({"realtime": {"api_key": "sk-0123456789"}})
    )

    def render(self) -> bytes:
        self.rendered += 1
        return f"ariagent_rendered {self.rendered}\n".encode()

    def health(self) -> Health:
        self.looked += 1
        return HEALTH

    async def get(self, path: str, **headers: str) -> tuple[int, str, str]:
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}{path}", headers=headers) as answer:
            return answer.status, await answer.text(), answer.headers["Content-Type"]


@pytest.fixture
async def serving() -> AsyncIterator[Callable[..., Awaitable[Pages]]]:
    servers: list[WebServer] = []

    async def make(**options: Any) -> Pages:
        made = Pages()
        given: dict[str, Any] = {"everything": lambda request: "Authorization" in request.headers, **options}
        app: web.Application = pages(made.render, made.health, lambda: made.settings, now=lambda: made.now, **given)
        servers.append(WebServer(app))
        await servers[-1].start("127.0.0.1", 0, what="metrics", key="http.port")
        made.url = f"http://127.0.0.1:{servers[-1].port}"
        return made

    yield make
    for server in servers:
        await server.close()


async def test_metrics_are_made_once_a_second_however_often_they_are_asked_for(serving: Any) -> None:
    served = await serving()
    for _ in range(10):
        assert await served.get("/metrics") == (200, "ariagent_rendered 1\n", "text/plain; version=0.0.4")
    served.now += METRICS_S
    assert (await served.get("/metrics"))[1] == "ariagent_rendered 2\n"
    assert served.rendered == 2


async def test_the_health_is_looked_at_ten_times_a_second_at_most(serving: Any) -> None:
    served = await serving()
    for _ in range(10):
        assert (await served.get("/healthz"))[0] == 200
    assert served.looked == 1
    served.now += HEALTH_S
    await served.get("/healthz")
    assert served.looked == 2


async def test_words_of_the_models_server_are_for_those_who_may_read_them(serving: Any) -> None:
    served = await serving()
    status, text, _ = await served.get("/healthz")
    assert status == 200
    assert '"model": "failed"' in text
    assert "401" not in text
    _, text, _ = await served.get("/healthz", Authorization="Bearer x")
    assert "HTTP 401: the key *** is wrong" in text
    # A reload of the settings has other secrets.
    served.settings = Settings.model_validate({"realtime": {"api_key": "another-secret"}})
    _, text, _ = await served.get("/healthz", Authorization="Bearer x")
    assert "sk-0123456789" in text


async def test_a_web_page_of_another_name_reads_nothing(serving: Any) -> None:
    served = await serving(hosts=HostNames("127.0.0.1", ["metrics.example.com"]))
    for path in ("/metrics", "/healthz"):
        for name in ("evil.example.com", "evil.example.com:9093", ""):
            status, text, _ = await served.get(path, Host=name)
            assert status == 421
            assert "ariagent_" not in text
            assert "calls" not in text
        for name in ("localhost:9093", "127.0.0.1", "metrics.example.com"):
            assert (await served.get(path, Host=name))[0] == 200
