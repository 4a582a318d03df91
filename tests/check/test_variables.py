"""The site's channel variables that Asterisk can read."""

from ariagent.check.report import Status
from ariagent.check.variables import functions, judge_variables
from ariagent.config import Settings

HEADER = "PJSIP_HEADER(read,X-Customer)"


def test_only_functions_are_tried() -> None:
    agent = {"variables": ["TIER", HEADER]}
    routes = [{"agent": "default", "variables": {"DB(a/b)": "1", HEADER: "2"}}]
    settings = Settings.model_validate({"agents": {"default": agent}, "routes": routes})
    assert functions(settings) == {HEADER: "agents.default.variables", "DB(a/b)": "routes[0].variables"}


def test_one_that_asterisk_cannot_read_is_named() -> None:
    wanted = {"NOSUCH(a)": "agents.default.variables", "CHANNEL(language)": "agents.default.variables"}
    wrong, right = judge_variables(wanted, ["NOSUCH(a)"])
    assert wrong.status is Status.WARNING
    assert wrong.found.startswith("agents.default.variables: Asterisk cannot read NOSUCH(a)")
    assert "live_dangerously" in wrong.remedy
    assert (right.status, right.found) == (Status.OK, "Asterisk reads CHANNEL(language)")


def test_one_of_a_telephones_channel_is_no_mistake() -> None:
    names = (HEADER, "channel(PJSIP,call-id)", "CHANNEL(rtp,dest)", "PJSIP_AOR(1001,contact)")
    (result,) = judge_variables(dict.fromkeys(names, "agents.a.variables"), names[:2])
    assert result.status is Status.OK
    assert HEADER in result.found


def test_without_functions_there_is_nothing_to_say() -> None:
    assert list(judge_variables({}, [])) == []
