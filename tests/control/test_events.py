"""The stream of live state, without calls (those are in tests/integration/test_control.py)."""

import asyncio
import json
import socket
from typing import Any

import aiohttp
import pytest

from ariagent.control import api, events
from ariagent.control.events import HEARTBEAT, MOST_WAITING, Reader, encoded

LIMIT_S = 20.0


async def next_event(stream: Any) -> tuple[str, Any]:
    """Name and data; comments are skipped."""
    name = data = ""
    async with asyncio.timeout(LIMIT_S):
        while line := (await stream.readline()).decode():
            text = line.rstrip("\n")
            if text.startswith("event: "):
                name = text.removeprefix("event: ")
            elif text.startswith("data: "):
                data = text.removeprefix("data: ")
            elif not text and name:
                return name, json.loads(data)
    raise EOFError("the stream ended")


def stream_of(site: Any, token: dict[str, str], role: str = "viewer") -> Any:
    headers = {"Authorization": f"Bearer {token[role]}"}
    return site.session.get(f"{site.url}/v1/events", headers=headers)


def test_an_event_is_one_line_of_json_whatever_is_in_it() -> None:
    text = encoded("call", {"words": "a\nb\r\n\n: event: x\u2028ü"})
    assert text.startswith("event: call\ndata: ")
    assert text.endswith("\n\n")
    [data] = [line for line in text.split("\n") if line.startswith("data: ")]
    assert json.loads(data.removeprefix("data: ")) == {"words": "a\nb\r\n\n: event: x\u2028ü"}


async def test_a_reader_gets_what_waits_then_heartbeats_then_the_end() -> None:
    reader = Reader("anna")
    reader.put("a")
    reader.put("b")
    assert await reader.next() == "ab"
    assert await reader.next(0.01) == HEARTBEAT
    reader.put("c")
    reader.end()
    reader.put("too late")
    assert await reader.next() == "c"
    assert await reader.next() is None
    assert not reader.slow


async def test_a_reader_who_falls_behind_is_cut_off() -> None:
    reader = Reader("anna")
    for _ in range(MOST_WAITING + 1):
        reader.put("x")
    assert reader.slow
    assert await reader.next() is None


async def test_a_snapshot_then_changes_and_nothing_twice(make_site: Any, listed: Any, token: dict[str, str]) -> None:
    site = await make_site(manager=True)
    async with stream_of(site, token) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/event-stream"
        name, data = await next_event(answer.content)
        assert name == "snapshot"
        assert data["calls"] == []
        assert data["queues"]["known"] is False
        assert data["seats"] == {"known": False, "held_by": ["down"], "seats": []}
        listed(site.desk.pool, "frontline", seats=("07",))
        assert [await next_event(answer.content) for _ in range(2)] == [
            ("queues", (await site.ask("GET", "/v1/queues"))[1]),
            ("seats", (await site.ask("GET", "/v1/seats"))[1]),
        ]
        # The first event comes once more, and then a new one: only the new one is sent.
        listed(site.desk.pool, "frontline", seats=("07",))
        listed(site.desk.pool, "frontline", seats=("07", "08"))
        name, data = await next_event(answer.content)
        assert (name, data["queues"][0]["logged_in"]) == ("queues", 2)
        name, data = await next_event(answer.content)
        assert (name, len(data["seats"])) == ("seats", 2)


async def test_a_quiet_stream_has_heartbeats(
    make_site: Any, token: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reader.next, "__defaults__", (0.05,))
    site = await make_site()
    async with stream_of(site, token) as answer, asyncio.timeout(LIMIT_S):
        await next_event(answer.content)
        assert await answer.content.readline() == b": still here\n"


async def test_a_stream_ends_with_the_service(make_site: Any, token: dict[str, str]) -> None:
    site = await make_site()
    async with stream_of(site, token) as answer:
        await next_event(answer.content)
        async with asyncio.timeout(LIMIT_S):
            await site.server.close()
            assert await answer.content.read() == b""


async def test_a_reader_who_goes_away_is_forgotten(make_site: Any, token: dict[str, str]) -> None:
    site = await make_site()
    readers = site.server._feed._readers
    async with stream_of(site, token) as answer:
        await next_event(answer.content)
        assert len(readers) == 1
        answer.close()
        async with asyncio.timeout(LIMIT_S):
            while readers:
                await asyncio.sleep(0.01)


async def test_a_reader_who_goes_away_while_it_is_written_to_is_no_fault(
    make_site: Any, token: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = await make_site()
    read = Reader.next

    async def read_and_gone(reader: Reader) -> str | None:
        text = await read(reader)
        for connection in site.server._server._runner.server.connections:
            connection.transport.close()
        return text

    monkeypatch.setattr(Reader, "next", read_and_gone)
    async with stream_of(site, token) as answer, asyncio.timeout(LIMIT_S):
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.content.read()
        while site.server._feed._readers:
            await asyncio.sleep(0.01)
    assert "control.fault" not in caplog.text


async def test_no_more_readers_than_can_be_served(
    make_site: Any, token: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_READERS", 1)
    site = await make_site()
    async with stream_of(site, token) as answer:
        await next_event(answer.content)
        status, body, _ = await site.ask("GET", "/v1/events")
        assert (status, body["error"]) == (503, "no_stream")


async def test_readers_with_one_token_leave_room_for_others(
    make_site: Any, token: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_OF_ONE", 1)
    site = await make_site()
    async with stream_of(site, token) as answer:
        await next_event(answer.content)
        status, body, _ = await site.ask("GET", "/v1/events", token=token["viewer"])
        assert (status, body["error"]) == (503, "no_stream")
        async with stream_of(site, token, "supervisor") as other:
            await next_event(other.content)


async def test_who_does_not_read_is_cut_off_and_others_go_on(
    make_site: Any, token: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(api, "WRITE_LIMIT_S", 0.3)
    site = await make_site()
    feed = site.server._feed
    lazy = socket.socket()
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lazy.connect(("127.0.0.1", site.server.port))
    lazy.sendall(f"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token['viewer']}\r\n\r\n".encode())
    try:
        async with stream_of(site, token) as answer:
            await next_event(answer.content)
            async with asyncio.timeout(LIMIT_S):
                while len(feed._readers) < 2:
                    await asyncio.sleep(0.01)
                number = 0
                # More than all the buffers between it and us hold.
                while len(feed._readers) == 2:
                    feed._tell("test", [number, "x" * 100_000])
                    assert await next_event(answer.content) == ("test", [number, "x" * 100_000])
                    number += 1
            assert "control.slow_reader" in caplog.text
            feed._tell("test", ["still"])
            assert await next_event(answer.content) == ("test", ["still"])
    finally:
        lazy.close()
