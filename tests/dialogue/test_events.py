"""Events of a conversation: values that say everything about one thing that happened."""

import pytest

from ariagent.dialogue import events


def test_what_a_tool_has_not_said_of_itself_is_not_made_up() -> None:
    ended = events.ToolEnded("c1", "collect_digits", "{}")
    assert (ended.ok, ended.kind, ended.seconds) == (True, "", None)
    assert events.ToolStarted("c1", "stock").server == ""


@pytest.mark.parametrize("kind", [events.AgentBegan, events.AnswerBegan])
def test_an_item_without_a_name_is_empty_not_missing(kind: type) -> None:
    assert kind.__dataclass_fields__["item_id"].default == ""  # type: ignore[attr-defined]


def test_two_of_the_same_are_equal_and_can_be_counted() -> None:
    said = events.CallerSaid("u1", "hello")
    assert {said, events.CallerSaid("u1", "hello")} == {said}
    assert said != events.AgentSaid("u1", "hello")
