"""Hosts and addresses that may be reached."""

import pytest

from ariagent.values.addresses import address_allowed, host_allowed, host_pattern_problem


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses_are_allowed(address: str) -> None:
    assert address_allowed(address, ())


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "198.18.0.1",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:a9fe:a9fe",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "64:ff9b:1::1",
        "fec0::1",
        "not an address",
        "",
    ],
)
def test_others_are_not(address: str) -> None:
    assert not address_allowed(address, ())


def test_private_networks_of_the_settings_are_allowed_in_any_writing() -> None:
    private = ("10.1.2.0/24", "::1/128")
    assert address_allowed("10.1.2.3", private)
    assert address_allowed("::ffff:10.1.2.3", private)
    assert address_allowed("::1", private)
    assert not address_allowed("10.1.3.3", private)
    assert not address_allowed("127.0.0.1", private)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("api.example.com", True),
        ("API.Example.COM.", True),
        ("x.shop.example", True),
        ("a.b.shop.example", True),
        ("shop.example", False),
        ("evilshop.example", False),
        ("api.example.com.evil.com", False),
        ("example.com", False),
        ("::1", True),
        ("", False),
        (".", False),
    ],
)
def test_hosts(host: str, allowed: bool) -> None:
    assert host_allowed(host, ("api.example.com", "*.shop.example", "[::1]")) is allowed


@pytest.mark.parametrize(
    "pattern", ["api.example.com", "*.example.com", "localhost", "10.0.0.1", "::1", "[::1]", "a_b.c"]
)
def test_entries_of_the_list(pattern: str) -> None:
    assert host_pattern_problem(pattern) is None


@pytest.mark.parametrize(
    "pattern", ["", "*", "*.", "https://e.com", "e.com/x", "e.com:443", "a.*.com", "*e.com", "a b", "é.com"]
)
def test_entries_that_can_be_no_host(pattern: str) -> None:
    assert "host name" in (host_pattern_problem(pattern) or "")
