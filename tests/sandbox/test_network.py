"""The network delay: one way on a clock of the test's own, and a server behind such a network."""

import time
from typing import Any

import pytest

from ariagent.sandbox.network import Way


def test_messages_arrive_after_the_delay_and_in_their_order() -> None:
    way: Way[str] = Way(0.05)
    for message, at in (("a", 10.0), ("b", 10.0), ("c", 10.03)):
        way.send(message, at)
    assert way.next_arrival() == pytest.approx(10.05)
    assert list(way.arrived(10.049)) == []
    assert list(way.arrived(10.051)) == ["a", "b"]
    assert way.next_arrival() == pytest.approx(10.08)
    assert list(way.arrived(11.0)) == ["c"]
    assert way.next_arrival() is None


def test_without_a_delay_a_message_is_there_at_once() -> None:
    way: Way[str] = Way(0.0)
    way.send("a", 10.0)
    assert list(way.arrived(10.0)) == ["a"]


async def _round_trip_s(client: Any) -> float:
    began = time.monotonic()
    await client.fence()
    return time.monotonic() - began


async def test_a_round_trip_takes_the_delay_twice(make_place: Any) -> None:
    place = await make_place()
    far = await place.client("model=gpt-realtime-2.1&sandbox_network_ms=300")
    near = await place.client()
    for client in (far, near):
        await client.until("session.created")
    assert await _round_trip_s(far) >= 0.6
    assert await _round_trip_s(near) < 0.5


async def test_opening_a_connection_takes_the_delay_too(make_place: Any) -> None:
    place = await make_place(network_ms=200)
    began = time.monotonic()
    client = await place.client()
    assert time.monotonic() - began >= 0.4
    await client.until("session.created")
    assert time.monotonic() - began >= 0.6


async def test_all_events_keep_their_order_on_a_long_way(make_place: Any) -> None:
    place = await make_place(network_ms=40)
    client = await place.client()
    await client.send({"type": "response.create"})
    await client.until("response.done")
    session = await place.server.wait_session()
    sent = [event["type"] for event in session.sent]
    assert client.kinds == sent[: len(client.kinds)]
    assert client.kinds[0] == "session.created"
    # A message is on its way when the session has sent it.
    assert session.sent_at[0] <= session.received_at[0]


async def test_messages_that_left_before_the_client_closed_arrive(make_place: Any) -> None:
    place = await make_place(network_ms=200)
    client = await place.client()
    await client.send({"type": "conversation.item.retrieve", "item_id": "none"})
    await client.connection.close()
    session = await place.server.wait_session()
    await session.wait_closed()
    assert session.received_events("conversation.item.retrieve")


async def test_a_close_of_the_servers_comes_after_its_last_event(make_place: Any) -> None:
    place = await make_place(network_ms=50, session_seconds=0.3)
    client = await place.client()
    error = await client.until("error")
    assert error["error"]["code"] == "session_expired"
    await client.connection.wait_closed()
    assert client.connection.close_code == 1001
