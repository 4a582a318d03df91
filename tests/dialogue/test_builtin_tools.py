"""ariagent's own functions of the model."""

import pytest

from ariagent.config import AgentSettings
from ariagent.dialogue.builtin_tools import declarations, own


def test_all_are_there_unless_the_site_says_otherwise() -> None:
    names = [declared["name"] for declared in declarations(AgentSettings())]
    assert names == ["end_call", "collect_digits", "hold_on"]
    assert [d["name"] for d in declarations(AgentSettings(builtin_tools=("hold_on",)))] == ["hold_on"]
    assert declarations(AgentSettings(builtin_tools=())) == ()


def test_each_tells_the_model_what_it_is_for() -> None:
    for declared in declarations(AgentSettings()):
        assert declared["type"] == "function"
        assert declared["description"]
        assert declared["parameters"]["type"] == "object"


@pytest.mark.parametrize("name", ["", "hang_up", "END_CALL", "x" * 1000])
def test_other_names_are_not_ours(name: str) -> None:
    assert own(AgentSettings(), name) is None


def test_one_that_the_agent_does_not_have_is_not_run() -> None:
    assert own(AgentSettings(builtin_tools=()), "end_call") is None
    assert own(AgentSettings(), "end_call") == "end_call"
