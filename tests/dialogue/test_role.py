"""The agent's role in one call."""

from ariagent.config import AgentSettings
from ariagent.dialogue.role import Role
from ariagent.tools.plugins import CallFacts


def test_name_and_language_are_those_of_the_call() -> None:
    role = Role(AgentSettings(language="en"), "Be brief.", CallFacts("1.1", "sales", language="de"))
    assert (role.name, role.language) == ("sales", "de")


def test_a_caller_is_new_unless_it_is_known_otherwise() -> None:
    role = Role(AgentSettings(), "", CallFacts("1.1", "sales"))
    assert (role.memory, role.why_back, role.introduced_by) == (None, "", None)
