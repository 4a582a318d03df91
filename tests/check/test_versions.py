"""Facts about an Asterisk version: its faults, its security fixes, and whether its branch lives."""

from typing import Any

import pytest

from ariagent.check import versions
from ariagent.check.report import Result, Status
from ariagent.check.versions import ADVISORIES, SECURITY, VERSION, ended, faults_of, judge_version, lacks_fixes
from ariagent.config import Settings
from ariagent.release import Release

TODAY = "2026-11-29"


def release(version: str) -> Release:
    found = Release.parse(version)
    assert found is not None
    return found


def marks(version: str) -> set[str]:
    """The faults, by the commit or issue that each is known by."""
    return {fault.source.split()[1] for fault in faults_of(release(version))}


def judged(version: str, today: str = TODAY, **sections: Any) -> dict[str, Result]:
    results = list(judge_version(version, Settings.model_validate(sections), today))
    assert len({result.name for result in results}) == len(results)
    return {result.name: result for result in results}


QUIET_WHISPER, SPINNING_WHISPER = {"1966"}, {"2134"}
OLD = {"ff0523a3", "1578", "27fb0398", "97798a05", "1928", *QUIET_WHISPER}


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("20.16.0", OLD),
        ("20.17.0", {"1824", "97798a05", "1928", *QUIET_WHISPER}),
        ("20.18.2", {"1824", "97798a05", "1928", "2078", *QUIET_WHISPER}),
        ("20.19.0", {"97798a05", "1928", "2078", *QUIET_WHISPER}),
        ("20.20.1", QUIET_WHISPER),
        ("20.21.0", SPINNING_WHISPER),
        ("21.12.3", {"27fb0398", "97798a05", "1928", *QUIET_WHISPER}),
        ("22.6.0", OLD),
        ("22.8.0", {"1824", "97798a05", "1928", *QUIET_WHISPER}),
        ("certified-22.8-cert3", {"1824", "97798a05", "1928", *QUIET_WHISPER}),
        ("22.9.0", {"97798a05", "1928", *QUIET_WHISPER}),
        ("22.10.1", QUIET_WHISPER),
        ("22.11.0", SPINNING_WHISPER),
        ("23.0.0", OLD),
        ("23.3.0", {"97798a05", "1928", *QUIET_WHISPER}),
        ("23.4.1", QUIET_WHISPER),
        ("18.26.0", OLD),
        ("24.0.0", set()),
        ("GIT-22-5a1f2e", set()),
    ],
)
def test_faults(version: str, expected: set[str]) -> None:
    assert marks(version) == expected


@pytest.mark.parametrize(
    ("version", "lacking"),
    [
        ("20.20.0", True),
        ("20.20.1-rc1", True),
        ("20.20.1", False),
        ("20.21.0-rc1", False),
        ("21.12.2", True),
        ("21.12.3", False),
        ("22.9.0", True),
        ("22.10.0", True),
        ("22.10.0~dfsg+~cs6.17.60671434-1", True),
        ("22.10.1~dfsg+~cs6.17.60671434-1", False),
        ("22.11.0", False),
        ("23.4.0", True),
        ("23.4.1", False),
        ("certified-20.7-cert10", True),
        ("certified-20.7-cert11", False),
        ("certified/22.8-cert2", True),
        ("certified-22.8-cert3", False),
        ("18.26.4", True),
        ("18.9-cert17", True),
        ("19.8.1", True),
        ("24.0.0", False),
        ("GIT-22-5a1f2e", False),
    ],
)
def test_whether_the_security_fixes_are_missing(version: str, lacking: bool) -> None:
    assert lacks_fixes(release(version)) is lacking


@pytest.mark.parametrize(
    ("version", "today", "since"),
    [
        ("18.26.4", TODAY, "2025-10-20"),
        ("19.8.1", TODAY, "2023-11-02"),
        ("20.20.1", TODAY, ""),
        ("20.20.1", "2027-10-19", ""),
        ("20.20.1", "2027-10-20", "2027-10-19"),
        ("21.12.3", TODAY, "2026-10-18"),
        ("23.4.1", "2099-01-01", ""),
        ("24.0.0", "2099-01-01", ""),
    ],
)
def test_the_end_of_a_branchs_life(version: str, today: str, since: str) -> None:
    assert ended(release(version), today) == since


def test_the_advisories_are_those_of_one_day_and_each_is_named_once() -> None:
    names = [advisory.name for advisory in ADVISORIES]
    assert len(set(names)) == len(names) == 20
    assert [advisory.name for advisory in ADVISORIES if advisory.concerns_ari] == [
        "GHSA-vrfp-mg3q-3959",
        "GHSA-wcvv-g26m-wx5c",
    ]


def test_every_floor_has_the_fixes_and_every_wanted_release_has_no_fault_of_calls() -> None:
    for branch in versions.BRANCHES.values():
        for floor in (branch.floor, branch.certified_floor):
            assert floor is None or not lacks_fixes(floor)
    for version in versions.WANTED.replace(" or later", "").split(", "):
        assert not lacks_fixes(release(version))
        assert all(fault.rare for fault in faults_of(release(version)))


class TestJudging:
    def test_a_good_one(self) -> None:
        results = judged("23.4.1")
        assert {result.status for result in results.values()} == {Status.OK}
        assert results[VERSION].found.startswith("23.4.1, audio at 24 kHz; no known faults of ordinary calls")
        assert results[SECURITY].found == "has the fixes of 2026-06-25"

    def test_a_good_one_says_until_when_its_branch_gets_fixes(self) -> None:
        assert judged("22.10.1")[SECURITY].found.endswith("; its branch gets fixes until 2029-10-16")

    def test_one_with_faults_names_them_and_where_they_are_gone(self) -> None:
        result = judged("22.9.0")[VERSION]
        assert result.status is Status.WARNING
        assert "comfort noise or text from a phone ends the call's audio (commit 97798a05)" in result.found
        assert "whisper" not in result.found
        assert result.remedy == "Upgrade to 22.10.1 or later"

    def test_the_patch_level_counts(self) -> None:
        results = judged("22.10.0")
        assert (results[VERSION].status, results[SECURITY].status) == (Status.OK, Status.WARNING)
        assert results[SECURITY].found.startswith(
            "the fixes of 2026-06-25 are missing: 20 advisories, in ARI GHSA-vrfp"
        )
        assert results[SECURITY].remedy == "Upgrade to 22.10.1 or later"

    def test_a_distributions_build_may_have_fixes_of_its_own(self) -> None:
        result = judged("20.6.0~dfsg+~cs6.13.40431414-2build5")[SECURITY]
        assert result.status is Status.WARNING
        assert "missing, unless its distribution added them:" in result.found
        assert result.remedy == "Upgrade to 20.20.1 or later, unless the package's changelog lists the fixes"

    def test_a_branch_that_never_got_the_fixes_is_to_be_left(self) -> None:
        results = judged("21.12.3")
        assert "an audio connection that is quiet for a moment ends the call" in results[VERSION].found
        assert results[SECURITY].found == "branch 21 has had no security fixes since 2026-10-18"
        assert {result.remedy for result in results.values()} == {"Upgrade to 20.20.1, 22.10.1, 23.4.1 or later"}

    def test_an_old_one_works_with_warnings(self) -> None:
        results = judged("18.20.0")
        assert [result.status for result in results.values()] == [Status.WARNING, Status.WARNING]
        assert "audio at 8 kHz" in results[VERSION].found
        assert "branch 18 has had no security fixes since 2025-10-20" in results[SECURITY].found

    def test_without_audiosocket(self) -> None:
        results = judged("16.30.0")
        assert [(r.name, r.status, r.found) for r in results.values()] == [
            (VERSION, Status.FAILED, "16.30.0 has no AudioSocket")
        ]

    def test_settings_beyond_it(self) -> None:
        result = judged("22.6.0", audiosocket={"format": "slin24"})[VERSION]
        assert (result.status, result.found) == (
            Status.WARNING,
            "AudioSocket of Asterisk 22.6.0 carries 8 kHz only, not slin24; calls have 8 kHz audio",
        )

    @pytest.mark.parametrize("version", ["GIT-master-abc", "GIT-22-abc", ""])
    def test_without_a_number(self, version: str) -> None:
        results = judged(version)
        assert [result.status for result in results.values()] == [Status.OK]
        assert "its faults are not known" in results[VERSION].found

    def test_a_branch_of_the_future(self) -> None:
        results = judged("24.1.0")
        assert [result.status for result in results.values()] == [Status.OK]
        assert results[VERSION].found.endswith(
            "audio at 24 kHz; this version is newer than the versions that this ariagent knows"
        )
