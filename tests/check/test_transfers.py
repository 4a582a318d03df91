"""Endpoints whose callers may transfer the AI."""

from ariagent.check.report import Status
from ariagent.check.transfers import SHOWN, judge_transfers

PHONE = {"auth": "auth1001", "allow_transfer": "true"}
TRUNK = {"auth": "", "allow_transfer": "true"}


def test_a_trunk_that_allows_transfers() -> None:
    [result] = judge_transfers({"1001": PHONE, "trunk": TRUNK, "anonymous": {"auth": "", "allow_transfer": "yes"}})
    assert result.status is Status.WARNING
    assert "trunk, anonymous need no password" in result.found
    assert "1001" not in result.found


def test_one_that_does_not() -> None:
    [result] = judge_transfers({"1001": PHONE, "trunk": {"auth": "", "allow_transfer": "false"}})
    assert result.status is Status.OK


def test_nothing_to_say() -> None:
    assert judge_transfers({}) == []
    assert judge_transfers({"1001": PHONE}) == []


def test_many() -> None:
    [result] = judge_transfers({f"trunk{n}": TRUNK for n in range(SHOWN + 7)})
    assert "and 7 more" in result.found
