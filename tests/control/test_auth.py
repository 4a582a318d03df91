"""Tokens, roles, and what guessing costs."""

import pytest

from ariagent.control.auth import (
    FORGOTTEN_S,
    FREE_FAILURES,
    LONGEST_WAIT_S,
    MOST_ADDRESSES,
    Grant,
    Keyring,
    Role,
    Throttle,
    bearer,
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
        ("", ""),
    ],
)
def test_what_counts_as_one_address(address: str, network: str) -> None:
    assert network_of(address) == network
