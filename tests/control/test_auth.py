"""Tokens, roles, and what guessing costs."""

import ipaddress

import pytest

from ariagent.control.auth import (
    FORGOTTEN_S,
    FREE_FAILURES,
    LONGEST_WAIT_S,
    MOST_ADDRESSES,
    Denied,
    Gate,
    Grant,
    Keyring,
    Role,
    Throttle,
    bearer,
    client_of,
    digest_of,
    network_of,
)

ANNA = Grant("anna", Role.SUPERVISOR, digest_of("anna's long token"))
BEN = Grant("ben", Role.VIEWER, digest_of("ben's long token"))


def test_each_role_may_what_those_before_it_may() -> None:
    assert Role.VIEWER < Role.SUPERVISOR < Role.ADMIN
    assert Role.named("supervisor") is Role.SUPERVISOR


def test_a_token_is_somebodys_or_nobodys() -> None:
    ring = Keyring([ANNA, BEN])
    assert ring.find("anna's long token") is ANNA
    assert ring.find("ben's long token") is BEN
    for wrong in ("", "anna's long toke", "anna's long token ", "ANNA'S LONG TOKEN", "\udcff\udcfe", "ü" * 5000):
        assert ring.find(wrong) is None
    assert Keyring([]).find("") is None


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("  Bearer   abc  ", "abc"),
        ("Bearer", None),
        ("Bearer ", None),
        ("Basic YTpi", None),
        ("abc", None),
        ("", None),
        (None, None),
    ],
)
def test_the_header(header: str | None, token: str | None) -> None:
    assert bearer(header) == token


def test_five_wrong_tokens_slow_an_address_down_more_and_more() -> None:
    throttle = Throttle()
    for _ in range(FREE_FAILURES - 1):
        throttle.failed("192.0.2.1", 100.0)
        assert throttle.wait_s("192.0.2.1", 100.0) == 0
    waits = []
    now = 100.0
    for _ in range(9):
        throttle.failed("192.0.2.1", now)
        waits.append(throttle.wait_s("192.0.2.1", now))
        now += waits[-1]
        assert throttle.wait_s("192.0.2.1", now) == 0
    assert waits == [1, 2, 4, 8, 16, 32, LONGEST_WAIT_S, LONGEST_WAIT_S, LONGEST_WAIT_S]
    assert throttle.wait_s("192.0.2.2", now) == 0


def test_what_was_wrong_is_forgotten_after_a_while() -> None:
    throttle = Throttle()
    for _ in range(20):
        throttle.failed("192.0.2.1", 0.0)
    throttle.failed("192.0.2.9", FORGOTTEN_S)
    assert len(throttle) == 1
    throttle.failed("192.0.2.1", FORGOTTEN_S)
    assert throttle.wait_s("192.0.2.1", FORGOTTEN_S) == 0


def test_the_memory_is_bounded_and_keeps_who_failed_last() -> None:
    throttle = Throttle()
    for _ in range(FREE_FAILURES):
        throttle.failed("192.0.2.1", 0.0)
    for number in range(MOST_ADDRESSES - 1):
        throttle.failed(f"10.0.{number // 256}.{number % 256}", 0.0)
    assert len(throttle) == MOST_ADDRESSES
    assert throttle.wait_s("192.0.2.1", 0.0) > 0
    throttle.failed("198.51.100.1", 0.0)
    assert len(throttle) == MOST_ADDRESSES
    assert throttle.wait_s("192.0.2.1", 0.0) == 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("127.0.0.1", "loopback"),
        ("127.0.1.77", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.9.9.9", "loopback"),
        ("", ""),
    ],
)
def test_what_counts_as_one_address(address: str, network: str) -> None:
    assert network_of(address) == network


PROXIES = [ipaddress.ip_network(network) for network in ("127.0.0.0/8", "10.0.0.0/8", "2001:db8::/32")]


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        # nobody's proxy
        ("192.0.2.9", ["1.1.1.1"], "192.0.2.9"),
        ("", ["1.1.1.1"], ""),
        ("127.0.0.1", [], "127.0.0.1"),
        # one proxy, two, headers that were added one by one
        ("127.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("127.0.0.1", ["192.0.2.1, 10.0.0.7"], "192.0.2.1"),
        ("127.0.0.1", ["192.0.2.1", "10.0.0.7"], "192.0.2.1"),
        ("::ffff:127.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("2001:db8::9", ["2001:db8::7,2001:db9::1"], "2001:db9::1"),
        # what the client itself sent stands to the left
        ("127.0.0.1", ["1.1.1.1, 192.0.2.1, 10.0.0.7"], "192.0.2.1"),
        ("127.0.0.1", ["10.0.0.1, 192.0.2.1"], "192.0.2.1"),
        # all are ours
        ("127.0.0.1", ["10.0.0.8, 10.0.0.7"], "10.0.0.8"),
        # ports, blanks, what is no address
        ("127.0.0.1", [" 192.0.2.1:4711 "], "192.0.2.1"),
        ("127.0.0.1", ["[2001:db9::1]:4711"], "2001:db9::1"),
        ("127.0.0.1", ["192.0.2.1, unknown"], "127.0.0.1"),
        ("127.0.0.1", ["192.0.2.1, _hidden, 10.0.0.7"], "10.0.0.7"),
        ("127.0.0.1", [""], "127.0.0.1"),
        ("127.0.0.1", [",,,"], "127.0.0.1"),
        ("127.0.0.1", ["192.0.2.1," * 5000 + "10.0.0.7"], "192.0.2.1"),
        ("127.0.0.1", ["10.0.0.7," * 5000], "127.0.0.1"),
    ],
)
def test_the_client_behind_proxies(peer: str, headers: list[str], client: str) -> None:
    assert client_of(peer, headers, PROXIES) == client


def test_without_a_setting_no_header_counts() -> None:
    assert client_of("127.0.0.1", ["192.0.2.1"], []) == "127.0.0.1"


def test_a_right_token_always_passes_and_wrong_ones_are_slowed() -> None:
    gate = Gate([ANNA, BEN])
    right, wrong = "Bearer anna's long token", "Bearer a wrong one"
    for _ in range(FREE_FAILURES):
        assert gate.judge("127.0.0.1", [], wrong, 0.0) == Denied("127.0.0.1", wrong=True)
    for address in ("127.0.0.1", "127.0.1.8", "::1"):
        assert gate.judge(address, [], wrong, 0.0) == Denied(address, wrong=True, wait_s=1.0)
        assert gate.judge(address, [], None, 0.0) == Denied(address, wrong=False)
        assert gate.judge(address, [], right, 0.0) is ANNA
    assert gate.judge("192.0.2.1", [], wrong, 0.0) == Denied("192.0.2.1", wrong=True)
    # A wrong one that came too early does not make the wait longer; one that did not does.
    assert gate.judge("127.0.0.1", [], wrong, 1.0) == Denied("127.0.0.1", wrong=True)
    assert gate.judge("127.0.0.1", [], wrong, 1.0) == Denied("127.0.0.1", wrong=True, wait_s=2.0)


def test_an_address_that_is_none_takes_little_memory() -> None:
    assert len(network_of("x" * 100_000)) < 100
