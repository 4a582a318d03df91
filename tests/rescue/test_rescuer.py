"""Signs of life and of death for rescue: real sockets, foreign servers among them. Without Asterisk."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ariagent import ownsocket
from ariagent.ami.client import AmiClient
from ariagent.ami.protocol import Message
from ariagent.config import AmiSettings, Settings
from ariagent.rescue import rescuer as rescuer_module
from ariagent.rescue.rescuer import Rescuer, Sign, Verdict
from ariagent.webserver import WebServer

LIMIT_S = 20.0


def application(**health: Any) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"started": True, **health}, status=503)

    app = web.Application()
    app.router.add_get("/healthz", answer)
    return app


@pytest.fixture
async def site(tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator["Site"]:
    monkeypatch.setattr(rescuer_module, "ANSWER_S", 0.3)
    monkeypatch.setattr(ownsocket, "ANSWER_S", 0.3)
    monkeypatch.setattr(rescuer_module, "LOOK_S", 0.02)
    monkeypatch.setattr(rescuer_module, "DOUBT_S", 0.5)
    async with AsyncExitStack() as stack:
        yield Site(tmp_path / "state", unused_tcp_port, stack)


class Site:
    """A port for ``/healthz`` and a state directory, and who serves there."""

    def __init__(self, directory: Path, port: int, stack: AsyncExitStack) -> None:
        self.directory, self.port, self.stack = directory, port, stack
        ami = {"host": "127.0.0.1", "port": 9, "password": "x"}
        tree = {"ami": ami, "http": {"port": port}, "state_directory": directory}
        self.rescuer = Rescuer(Settings.model_validate(tree))

    async def on_socket(self, **health: Any) -> WebServer:
        server = WebServer(application(**health))
        await server.start_on(ownsocket.listener(self.directory))
        self.stack.push_async_callback(server.close)
        return server

    async def on_port(self, **options: Any) -> WebServer:
        health = options.pop("health", {})
        server = WebServer(application(**health), **options)
        await server.start("127.0.0.1", self.port, what="metrics", key="http.port")
        self.stack.push_async_callback(server.close)
        return server

    async def raw(self, talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", self.port)
        self.stack.callback(server.close)

    def without_audio(self, *shown: set[str]) -> None:
        """Callers without audio that Asterisk shows, one look after another; then always the last ones."""
        looks = iter(shown)

        async def look() -> frozenset[str]:
            return frozenset(next(looks, shown[-1]))

        self.rescuer._without_audio = look  # type: ignore[method-assign]
        self.rescuer._believed_until = 0.0

    async def dies(self) -> None:
        await (await self.on_socket()).close()
        if not (self.directory / ownsocket.FILE).exists():
            ownsocket.listener(self.directory).close()


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def babbles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xff" * 500)
    writer.close()


JAMMED = pytest.mark.parametrize("talk", [mute, resets, babbles])


@JAMMED
async def test_a_service_lives_whatever_happens_at_its_port(site: Site, talk: Any) -> None:
    await site.on_socket()
    assert await site.rescuer.look() is Sign.SERVES
    await site.raw(talk)
    assert await site.rescuer.look() is Sign.SERVES
    assert await site.rescuer.verdict(0.0) is None


async def test_a_stranger_at_the_port_of_a_dead_service_keeps_nobody_quiet(site: Site) -> None:
    await site.dies()
    await site.on_port(health={"status": "ok", "application": "ariagent"})
    assert await site.rescuer.look() is Sign.CLAIMED
    # It may be a service with another state_directory, as long as its callers have audio.
    site.without_audio(set())
    assert await site.rescuer.verdict(0.0) is None
    site.without_audio({"a", "b"})
    assert await site.rescuer.verdict(0.05) == Verdict(Sign.CLAIMED, frozenset({"a", "b"}))


@JAMMED
async def test_a_busy_port_does_not_bring_a_dead_service_to_life(site: Site, talk: Any) -> None:
    await site.dies()
    await site.raw(talk)
    assert await site.rescuer.verdict(0.05) == Verdict(Sign.GONE, None)


async def test_a_service_that_waits_for_asterisk_since_its_start_has_no_callers(site: Site) -> None:
    await site.on_socket(started=False)
    await site.on_port()
    assert await site.rescuer.verdict(0.05) == Verdict(Sign.GONE, None)


async def test_from_afar_a_refused_connection_is_death(site: Site) -> None:
    assert await site.rescuer.look() is Sign.GONE
    await site.on_port(health={"started": False})
    assert await site.rescuer.look() is Sign.GONE


@JAMMED
async def test_from_afar_a_busy_port_is_in_doubt_for_longer(site: Site, talk: Any) -> None:
    await site.raw(talk)
    assert await site.rescuer.look() is Sign.MUTE
    began = asyncio.get_running_loop().time()
    assert await site.rescuer.verdict(0.0) == Verdict(Sign.MUTE, None)
    assert asyncio.get_running_loop().time() - began >= rescuer_module.DOUBT_S


async def test_from_afar_an_answer_is_believed_unless_asterisk_shows_callers_without_audio(site: Site) -> None:
    await site.on_port()
    assert await site.rescuer.look() is Sign.SAYS_SO
    # This Asterisk does not answer: nothing is known against it.
    assert await site.rescuer.verdict(0.0) is None
    site.without_audio({"a", "b"}, {"b", "c"}, {"b"})
    assert await site.rescuer.verdict(0.0) == Verdict(Sign.SAYS_SO, frozenset({"b"}))


async def test_from_afar_a_caller_who_is_without_audio_for_a_moment_is_left_alone(site: Site) -> None:
    await site.on_port()
    site.without_audio({"a"}, {"a"}, {"b"})
    assert await site.rescuer.verdict(0.0) is None


@asynccontextmanager
async def crowd(port: int, count: int) -> AsyncIterator[None]:
    """Connections that say nothing."""
    made = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    try:
        yield
    finally:
        for _, writer in made:
            writer.transport.abort()


async def test_from_afar_a_crowd_of_silent_connections_is_no_death(site: Site) -> None:
    server = await site.on_port()
    async with crowd(site.port, 3 * server._most):
        for _ in range(5):
            assert await site.rescuer.look() is Sign.SAYS_SO


SEAT, EVE = "Local/03@ariagent-seat-1;", "PJSIP/eve-9"


class Manager(AmiClient):
    """The manager interface of an Asterisk where a caller is at the seat of a dead service."""

    def __init__(self, **variables: dict[str, str]) -> None:
        """``variables``: of the seat's half in Stasis (``seat``), of its other half (``half``), of the caller."""
        super().__init__(AmiSettings(password="x"))
        self.variables = {SEAT + "2": variables["seat"], SEAT + "1": variables["half"], EVE: variables["caller"]}
        self.transfers: list[dict[str, Any]] = []

    @asynccontextmanager
    async def session(self) -> AsyncIterator["Manager"]:
        yield self

    async def action_list(self, name: str, /, **fields: Any) -> list[Message]:
        seat = {"channel": SEAT + "2", "channelstate": "6", "application": "Stasis", "data": "ariagent,seat,03"}
        return [{**seat, "linkedid": "1.1", "uniqueid": "2.2"}]

    async def action(self, name: str, /, **fields: Any) -> Message:
        variable = str(fields.get("Variable", ""))
        if name == "Getvar" and variable.startswith("QUEUE_EXISTS("):
            return {"value": "1"}
        if name == "Getvar":
            return {"value": self.variables.get(fields["Channel"], {}).get(variable, "")}
        if name == "Setvar" and "Channel" in fields:
            self.variables[fields["Channel"]][variable.removeprefix("__")] = fields["Value"]
        if name == "BlindTransfer":
            self.transfers.append(fields)
        return {}


@pytest.mark.parametrize("joined", [False, True])
async def test_a_seats_caller_is_told_about_and_keeps_their_way_back(
    site: Site, joined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``joined`` a human agent had called 7000 and transferred the caller: the human agent's channel is gone."""
    ways = {"ARIAGENT_APP": "ariagent", "ARIAGENT_QUEUE": "frontline", "ARIAGENT_HUMAN_QUEUE": "sales"}
    known = {} if joined else {"ARIAGENT_HUMAN_QUEUE": "sales"}
    manager = Manager(
        seat={"ARIAGENT_CALLER": "PJSIP/anna-1" if joined else EVE, **ways}, half={"BRIDGEPEER": EVE}, caller=known
    )
    if not joined:
        del manager.variables[SEAT + "2"]["ARIAGENT_HUMAN_QUEUE"]  # set without __: only the caller's channel has it
    site.rescuer._asterisk = manager
    monkeypatch.setattr(rescuer_module, "_last_words", lambda settings: {"1.1": "agent: Good day."})
    [moved] = await site.rescuer.rescue(Verdict(Sign.GONE, None))
    assert (moved.cause, moved.queue) == ("", "sales")
    assert manager.transfers == [{"Channel": SEAT + "1", "Context": "ariagent-handoff", "Exten": "sales"}]
    told = manager.variables[EVE]
    assert (told["ARIAGENT_CALL"], told["ARIAGENT_SUMMARY"]) == ("1.1", "agent: Good day.")
    assert told["ARIAGENT_HUMAN_QUEUE"] == "sales"
    assert told.get("ARIAGENT_QUEUE") == ("frontline" if joined else None)
