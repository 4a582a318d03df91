"""Every form in which an Asterisk reports its version."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.release import Release


@pytest.mark.parametrize(
    ("version", "release"),
    [
        ("22.10.1", Release(22, 10, 1)),
        ("Asterisk 22.10.1", Release(22, 10, 1)),
        ("Asterisk 22.10.1 built by root @ build on a x86_64", Release(22, 10, 1)),
        ("22.10.1+dfsg+~cs6.17.60671434-1", Release(22, 10, 1, repackaged=True)),
        ("22.10.1~dfsg+~cs6.17.60671434-1", Release(22, 10, 1, repackaged=True)),
        ("20.6.0~dfsg+~cs6.13.40431414-2build5", Release(20, 6, 0, repackaged=True)),
        ("16.28.0~dfsg-0+deb11u4", Release(16, 28, 0, repackaged=True)),
        ("certified/20.7-cert2", Release(20, 7, certified=2)),
        ("certified-20.7-cert11", Release(20, 7, certified=11)),
        ("Asterisk certified/22.8-cert3", Release(22, 8, certified=3)),
        ("18.9-cert12", Release(18, 9, certified=12)),
        ("certified-20.7-cert1-rc2", Release(20, 7, certified=1, candidate=2)),
        ("20.21.0-rc1", Release(20, 21, candidate=1)),
        ("21", Release(21, 0)),
        ("GIT-22-5a1f2e", Release(22, None)),
        ("GIT-22-abcM", Release(22, None)),
        ("GIT-certified/20.7-5a1f2e", Release(20, None)),
        ("GIT-master-5a1f2e", None),
        ("5a1f2e", None),
        ("", None),
    ],
)
def test_a_version_is_read(version: str, release: Release | None) -> None:
    assert Release.parse(version) == release


@pytest.mark.parametrize(
    "version", ["22.10.1", "20.21.0-rc1", "certified-20.7-cert11", "certified-20.7-cert1-rc2", "18.20.0"]
)
def test_a_release_reads_what_it_writes(version: str) -> None:
    assert str(Release.parse(version)) == version


def test_a_build_without_a_number_is_named_by_its_branch() -> None:
    assert str(Release.parse("GIT-22-5a1f2e")) == "branch 22"


def test_releases_follow_one_another() -> None:
    versions = ["20.19.2", "20.20.0-rc1", "20.20.0-rc2", "20.20.0", "20.20.1", "20.21.0-rc1", "20.21.0"]
    orders = [release.order for version in versions if (release := Release.parse(version)) is not None]
    assert all(before < after for before, after in itertools.pairwise(orders))
    assert len(orders) == len(versions)


@given(st.text() | st.from_regex(r"[0-9.\-~a-z/ ]{0,30}"))
def test_whatever_a_server_reports_is_read_or_left(version: str) -> None:
    release = Release.parse(version)
    assert release is None or str(release)
