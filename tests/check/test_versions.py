"""Which faults an Asterisk version has."""

import pytest

from ariagent.check.versions import faults_of, number_of


@pytest.mark.parametrize(
    ("version", "number"),
    [
        ("22.10.1+dfsg+~cs6.17.60671434-1", (22, 10)),
        ("certified/20.7-cert2", (20, 7)),
        ("certified-20.7-cert2", (20, 7)),
        ("20.21.0-rc1", (20, 21)),
        ("16.28.0~dfsg-0+deb11u4", (16, 28)),
        ("21", (21, 0)),
        ("GIT-master-5a1f2e", None),
        ("", None),
    ],
)
def test_numbers(version: str, number: tuple[int, int] | None) -> None:
    assert number_of(version) == number


def marks(version: str) -> set[str]:
    """The faults, by the commit or issue that each is known by."""
    return {fault.source.split()[1] for fault in faults_of(version)}


OLD = {"ff0523a3", "1578", "27fb0398", "97798a05", "1928"}


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("20.16.0", OLD),
        ("20.17.0", {"1824", "97798a05", "1928"}),
        ("20.18.2", {"1824", "97798a05", "1928", "2078"}),
        ("20.19.0", {"97798a05", "1928", "2078"}),
        ("20.20.1", set()),
        ("21.12.3", {"27fb0398", "97798a05", "1928"}),
        ("22.6.0", OLD),
        ("22.8.0", {"1824", "97798a05", "1928"}),
        ("22.9.0", {"97798a05", "1928"}),
        ("22.10.1", set()),
        ("22.11.0", set()),
        ("23.0.0", OLD),
        ("23.3.0", {"97798a05", "1928"}),
        ("23.4.1", set()),
        ("18.26.0", OLD),
        ("24.0.0", set()),
        ("GIT-master", set()),
    ],
)
def test_faults(version: str, expected: set[str]) -> None:
    assert marks(version) == expected
