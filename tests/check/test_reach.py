"""Name, port and TLS, told apart."""

import pytest

from ariagent.check.reach import Secured, UnreachableError, answers, connect, connect_any, resolve
from ariagent.tls import MODEL, client_context

LIMIT_S = 20.0
SECURED = Secured("localhost", client_context(None, ""), MODEL)


async def test_a_name_and_addresses_resolve() -> None:
    assert "127.0.0.1" in [str(address) for address in await resolve("localhost", LIMIT_S)]
    assert [str(address) for address in await resolve("127.0.0.1", LIMIT_S)] == ["127.0.0.1"]
    assert [str(address) for address in await resolve("::1", LIMIT_S)] == ["::1"]


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".example", "", "a..b"])
async def test_a_name_that_is_none(host: str) -> None:
    with pytest.raises(UnreachableError, match="cannot be resolved"):
        await resolve(host or "\x00", LIMIT_S)


async def test_a_port_where_somebody_listens(silent_port: int) -> None:
    connected = await connect("127.0.0.1", silent_port, None, LIMIT_S)
    assert connected.tls_ms is None
    assert connected.address == f"127.0.0.1:{silent_port}"
    assert str(connected).startswith("TCP in ")


async def test_a_port_where_nobody_listens(closed_port: int) -> None:
    with pytest.raises(UnreachableError, match=f"^cannot connect to 127.0.0.1:{closed_port}: Connection refused$"):
        await connect("127.0.0.1", closed_port, None, LIMIT_S)


async def test_no_tls_there(talking_port: int) -> None:
    with pytest.raises(UnreachableError, match=f"^localhost:{talking_port} does not speak TLS$"):
        await connect("127.0.0.1", talking_port, SECURED, LIMIT_S)


async def test_tls_that_never_answers(silent_port: int) -> None:
    with pytest.raises(UnreachableError, match=r"cannot make a TLS connection to .*: no answer within 0.2 s"):
        await connect("127.0.0.1", silent_port, SECURED, 0.2)


async def test_the_first_address_that_answers_is_taken(silent_port: int) -> None:
    addresses = [*await resolve("127.0.0.2", LIMIT_S), *await resolve("127.0.0.1", LIMIT_S)]
    assert (await connect_any(addresses, silent_port, None, LIMIT_S)).address == f"127.0.0.1:{silent_port}"


async def test_who_answers(closed_port: int, silent_port: int) -> None:
    closed, open_ = ("127.0.0.1", closed_port), ("127.0.0.1", silent_port)
    assert await answers([closed, open_], LIMIT_S) is True
    assert await answers([closed], LIMIT_S) is False
    assert await answers([]) is None
