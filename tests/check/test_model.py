"""The way to the model, as far as no model is needed to see it."""

import pytest

from ariagent.check.model import check_model, proxy_for
from ariagent.check.report import Result, Status
from ariagent.config import Settings
from ariagent.realtime.client import RealtimeClient
from ariagent.realtime.profile import SessionProfile
from ariagent.tls import MODEL
from tests.foreignserver import foreign

PROXIES = ("http_proxy", "https_proxy", "ws_proxy", "wss_proxy", "socks_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("environment", "tls", "proxy"),
    [
        ({}, True, None),
        ({"https_proxy": "http://proxy.example:3128"}, True, ("proxy.example", 3128)),
        ({"https_proxy": "http://proxy.example:3128"}, False, ("proxy.example", 3128)),
        ({"http_proxy": "http://proxy.example"}, True, None),
        ({"http_proxy": "http://proxy.example"}, False, ("proxy.example", 80)),
        ({"socks_proxy": "socks5://proxy.example"}, True, ("proxy.example", 1080)),
        ({"https_proxy": "http://proxy.example:3128", "no_proxy": "model.example"}, True, None),
    ],
)
def test_proxies(
    environment: dict[str, str], tls: bool, proxy: tuple[str, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for("model.example", 443, tls=tls) == proxy


async def told(url: str) -> list[Result]:
    results: list[Result] = []
    settings = Settings.model_validate({"realtime": {"url": url, "connect_timeout_s": 0.3, "api_key": "k"}})
    assert not await check_model(settings, results.append)
    return results


async def test_nobody_there(closed_port: int) -> None:
    connection, sessions, round_trip = await told(f"ws://127.0.0.1:{closed_port}/")
    assert connection.found == f"127.0.0.1: cannot connect to 127.0.0.1:{closed_port}: Connection refused"
    assert [r.status for r in (connection, sessions, round_trip)] == [Status.FAILED, Status.SKIPPED, Status.SKIPPED]


async def test_tls_where_there_is_none(talking_port: int) -> None:
    connection, *_ = await told(f"wss://127.0.0.1:{talking_port}/")
    assert connection.status is Status.FAILED
    assert connection.found == f"127.0.0.1:{talking_port} does not speak TLS"
    assert connection.remedy == MODEL.use_plain


async def test_something_that_is_no_websocket(talking_port: int) -> None:
    connection, agent, round_trip = await told(f"ws://127.0.0.1:{talking_port}/")
    assert connection.status is Status.OK
    assert (agent.name, agent.status) == ("agent default", Status.FAILED)
    assert agent.found.startswith(f"cannot reach the model at 127.0.0.1:{talking_port}: ")
    assert round_trip.status is Status.SKIPPED


async def test_a_server_that_says_nothing(silent_port: int) -> None:
    _, agent, _ = await told(f"ws://127.0.0.1:{silent_port}/")
    assert agent.found.endswith("no answer within 0.3 s")


async def results(url: str, **realtime: object) -> list[Result]:
    found: list[Result] = []
    given = {"url": url, "api_key": "k", "connect_timeout_s": 20.0, **realtime}
    await check_model(Settings.model_validate({"realtime": given}), found.append)
    return found


async def test_a_full_server_may_be_full_of_calls() -> None:
    async with foreign(sessions=0) as server:
        _, agent, _ = await results(server.url)
    assert agent.status is Status.WARNING
    assert "session_limit_reached" in agent.found
    assert "max_calls" in agent.remedy


async def test_g711_that_is_acknowledged_and_not_spoken() -> None:
    async with foreign(g711="lies") as server:
        found = {result.name: result for result in await results(server.url, encoding="pcmu")}
    lies = found["model encoding"]
    assert lies.status is Status.FAILED
    assert "acknowledged audio/pcmu and does not speak it" in lies.found
    assert lies.remedy == "Set realtime.encoding to pcm"


async def test_g711_that_is_spoken() -> None:
    async with foreign() as server:
        found = {result.name: result.status for result in await results(server.url, encoding="pcma")}
        assert found["model encoding"] is Status.OK
        assert "model encoding" not in {result.name for result in await results(server.url)}


async def test_a_server_that_nothing_is_known_of_can_be_probed() -> None:
    async with foreign() as server:
        assert "--probe" in (await results(server.url))[-1].found
        assert (await results(server.url, dialect="localai"))[-1].name != "model dialect"


async def test_no_round_trip_without_a_connection() -> None:
    settings = Settings()
    profile = SessionProfile.of(settings.agents["default"], settings.realtime)
    with pytest.raises(ConnectionError):
        await RealtimeClient(settings.realtime, profile, print).round_trip_s()
