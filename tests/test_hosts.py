"""Addresses of servers on this machine."""

import pytest

from ariagent.hosts import HostNames, is_loopback, joined, local, named_in


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


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost:9093", "localhost"),
        ("localhost.:9093", "localhost"),
        ("127.0.0.1:9093", "127.0.0.1"),
        ("[::1]", "::1"),
        ("[::1]:9093", "::1"),
        ("pbx.example.com:443", "pbx.example.com"),
        ("", ""),
        (":9093", ""),
        ("[::1", ""),
        ("[::1]x", ""),
        ("::1", ""),
        ("localhost:x", ""),
        ("localhost:9093:1", ""),
        ("localhost:９０９３", ""),
    ],
)
def test_the_name_in_a_host_header(header: str, name: str) -> None:
    assert named_in(header) == name


@pytest.mark.parametrize("bound", ["127.0.0.1", "localhost", "::1"])
def test_a_server_on_loopback_answers_under_its_names(bound: str) -> None:
    names = HostNames(bound, ["Metrics.example.com"])
    for header in (
        "localhost",
        "127.0.0.1:9093",
        "[::1]:9093",
        "127.5.0.1",
        "metrics.example.com",
        "METRICS.example.com.",
    ):
        assert names.permit([header]), header
    for header in (
        "evil.example.com",
        "evil.example.com:9093",
        "localhost.evil.example.com",
        "",
        "0.0.0.0",
        "10.0.0.5",
    ):
        assert not names.permit([header]), header
    assert not names.permit(["localhost", "evil.example.com"])
    assert names.permit([])


def test_one_on_another_address_answers_under_every_name() -> None:
    for bound in ("0.0.0.0", "::", "", "10.0.0.5", "pbx.example.com"):
        assert HostNames(bound).permit(["anything.example.com"])
