"""Permissions of the AMI user."""

from ariagent.check.manager import judge_rights
from ariagent.check.report import Status
from ariagent.config import AmiSettings

AMI = AmiSettings.model_validate({"password": "x"})
ENOUGH = {"queuepause", "blindtransfer", "setvar", "queuestatus"}


def test_rights_that_are_enough() -> None:
    result = judge_rights(AMI, "9.0.0", ENOUGH)
    assert (result.status, result.found) == (
        Status.OK,
        "ariagent is logged in at 127.0.0.1:5038 (version 9.0.0), may pause seats and transfer",
    )


def test_rights_that_are_missing() -> None:
    result = judge_rights(AMI, "9.0.0", {"queuepause", "ping"})
    assert result.status is Status.FAILED
    assert result.found == "ariagent may not use BlindTransfer, Setvar"
    assert result.remedy == "Add call to write= under [ariagent] in manager.conf, and reload it"


def test_rights_that_are_too_many() -> None:
    result = judge_rights(AMI, "9.0.0", {*ENOUGH, "command", "originate"})
    assert result.status is Status.WARNING
    assert result.found == "ariagent has more rights than it needs: Command, Originate"
