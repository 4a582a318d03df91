"""Addresses of servers on this machine."""

import pytest

from ariagent.hosts import is_loopback, joined, local


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.5.6.7",
        "::1",
        "[::1]",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "::1%lo",
        "a.localhost",
        "::ffff:127.0.0.1",
    ],
)
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "10.0.0.5",
        "0.0.0.0",
        "::",
        "localhost.example.com",
        "notlocalhost",
        "::ffff:10.0.0.1",
        "2001:db8::5",
        "128.0.0.1",
    ],
)
def test_others(host: str) -> None:
    assert not is_loopback(host)


def test_where_a_server_is_reached_from_here() -> None:
    assert [local(host) for host in ("", "0.0.0.0", "::", "10.0.0.5")] == ["127.0.0.1", "127.0.0.1", "::1", "10.0.0.5"]
    assert [joined(host, 80) for host in ("10.0.0.5", "::1")] == ["10.0.0.5:80", "[::1]:80"]
