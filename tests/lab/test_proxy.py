"""The lab's TCP proxy: through it, held back, cut, and with bytes slipped in."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from lab.proxy import Proxy

LIMIT_S = 60.0


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """In front of a server that answers each line with ``got LINE``."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(b"got " + line)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with Proxy("127.0.0.1", server.sockets[0].getsockname()[1]) as made:
        yield made
    server.close()


Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(proxy: Proxy) -> Client:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def line(client: Client) -> bytes:
    """The next line; empty when the connection ended."""
    try:
        return await asyncio.wait_for(client[0].readline(), LIMIT_S)
    except ConnectionError:
        return b""


async def test_hands_on_both_ways(proxy: Proxy) -> None:
    client = await connect(proxy)
    client[1].write(b"one\n")
    assert await line(client) == b"got one\n"
    assert proxy.connections == 1
    client[1].close()


async def test_a_held_request_waits_and_so_does_what_follows_it(proxy: Proxy) -> None:
    client, other = await connect(proxy), await connect(proxy)
    with proxy.hold("two") as held:
        client[1].write(b"one\n")
        assert await line(client) == b"got one\n"
        client[1].write(b"two\n")
        await held.seen()
        client[1].write(b"three\n")
        other[1].write(b"other\n")
        assert await line(other) == b"got other\n"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client[0].readline(), 0.05)
    assert [await line(client), await line(client)] == [b"got two\n", b"got three\n"]


async def test_the_very_first_request_of_a_connection_can_be_held(proxy: Proxy) -> None:
    with proxy.hold("one") as held:
        client = await connect(proxy)
        client[1].write(b"one\n")
        await held.seen()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client[0].readline(), 0.1)
    assert await line(client) == b"got one\n"


async def test_a_held_answer_is_that_of_a_request_that_was_done(proxy: Proxy) -> None:
    client = await connect(proxy)
    with proxy.hold("one", answer=True) as held:
        client[1].write(b"one\n")
        await held.seen()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client[0].readline(), 0.05)
    assert await line(client) == b"got one\n"


async def test_only_the_first_request_is_held(proxy: Proxy) -> None:
    client, other = await connect(proxy), await connect(proxy)
    with proxy.hold("same") as held:
        client[1].write(b"same\n")
        await held.seen()
        other[1].write(b"same\n")
        assert await line(other) == b"got same\n"
    assert await line(client) == b"got same\n"


async def test_cut_ends_every_connection_and_refuses_new_ones_while_told_so(proxy: Proxy) -> None:
    client = await connect(proxy)
    client[1].write(b"one\n")
    await line(client)
    proxy.cut(refuse=True)
    assert await line(client) == b""
    assert proxy.connections == 0
    refused = await connect(proxy)
    assert await line(refused) == b""
    proxy.refusing = False
    again = await connect(proxy)
    again[1].write(b"two\n")
    assert await line(again) == b"got two\n"


async def test_bytes_slipped_in(proxy: Proxy) -> None:
    client = await connect(proxy)
    client[1].write(b"one\n")
    await line(client)
    proxy.to_client(b"from nobody\n")
    assert await line(client) == b"from nobody\n"
    proxy.to_server(b"as if\n")
    assert await line(client) == b"got as if\n"


async def test_nobody_behind_it_ends_the_connection(proxy: Proxy) -> None:
    proxy.target = ("127.0.0.1", 9)
    client = await connect(proxy)
    assert await line(client) == b""


async def test_an_end_on_either_side_reaches_the_other(proxy: Proxy) -> None:
    client = await connect(proxy)
    client[1].write(b"one\n")
    await line(client)
    client[1].write_eof()
    assert await line(client) == b""


async def test_a_held_request_arrives_although_its_client_gave_up(proxy: Proxy) -> None:
    client = await connect(proxy)
    client[1].write(b"one\n")
    await line(client)
    with proxy.hold("two") as held:
        client[1].write(b"two\n")
        await held.seen()
        client[1].close()
        await client[1].wait_closed()
        assert proxy.connections == 1
    async with asyncio.timeout(LIMIT_S):
        while proxy.connections:
            await asyncio.sleep(0.01)


async def test_everything_takes_its_time_and_keeps_its_order(proxy: Proxy) -> None:
    proxy.delay_s = 0.05
    client = await connect(proxy)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(20):
        client[1].write(b"%d\n" % number)
        await asyncio.sleep(0)
    assert [await line(client) for _ in range(20)] == [b"got %d\n" % number for number in range(20)]
    assert loop.time() - began >= 0.09
    client[1].close()
