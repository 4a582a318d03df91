"""What the manager interface lets us do, and the queues that destinations name."""

from ariagent.check.manager import judge_destinations, judge_rights
from ariagent.check.report import Status
from ariagent.config import AmiSettings, Settings

AMI = AmiSettings.model_validate({"password": "x"})
ENOUGH = {"queuepause", "blindtransfer", "setvar", "queuestatus"}


def test_rights_that_are_enough() -> None:
    result = judge_rights(AMI, "9.0.0", ENOUGH)
    assert (result.status, result.found) == (
        Status.OK,
        "ariagent is let in at 127.0.0.1:5038 (version 9.0.0), may pause seats and transfer",
    )


def test_rights_that_are_missing() -> None:
    result = judge_rights(AMI, "9.0.0", {"queuepause", "ping"})
    assert result.status is Status.FAILED
    assert result.found == "ariagent may not ask for BlindTransfer, Setvar"
    assert result.remedy == "Add call to write= under [ariagent] in manager.conf, and reload it"


def test_rights_that_are_too_many() -> None:
    result = judge_rights(AMI, "9.0.0", {*ENOUGH, "command", "originate"})
    assert result.status is Status.WARNING
    assert result.found == "ariagent may do more than it needs: Command, Originate"


def test_queues_of_destinations() -> None:
    places = {
        "a": {"queue": "support", "description": "x"},
        "b": {"queue": "sales", "description": "x"},
        "c": {"extension": "1", "description": "x"},
    }
    settings = Settings.model_validate({"destinations": places})
    missing, there = judge_destinations(settings, ["sales"], ["support", "frontline"])
    assert (missing.status, there.status) == (Status.FAILED, Status.OK)
    assert missing.found == "b: there is no queue sales; there are frontline, support"
    assert there.found == "queues support: there"
    assert [result.found for result in judge_destinations(settings, ["support", "sales"], [])] == [
        "a: there is no queue support; there is none at all",
        "b: there is no queue sales; there is none at all",
    ]
    assert judge_destinations(Settings(), [], []) == []
