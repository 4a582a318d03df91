"""The functions of the model."""

import json

import pytest

from ariagent.call.tools import DECLARATIONS, run
from ariagent.realtime.events import ToolCall


def test_end_call_ends_the_call_and_says_so_to_the_model() -> None:
    outcome = run(ToolCall("c1", "end_call", "{}"))
    assert outcome.ends_call
    assert json.loads(outcome.output) == {"ok": True}


@pytest.mark.parametrize("arguments", ["", "{", "null", '{"reason": "bye"}'])
def test_end_call_needs_no_arguments(arguments: str) -> None:
    assert run(ToolCall("c1", "end_call", arguments)).ends_call


@pytest.mark.parametrize("name", ["", "hang_up", "END_CALL", "x" * 1000])
def test_a_tool_that_is_not_there_is_an_error_for_the_model_only(name: str) -> None:
    outcome = run(ToolCall("c1", name, "{}"))
    assert not outcome.ends_call
    assert "there is no tool" in json.loads(outcome.output)["error"]
    assert len(outcome.output) < 200


def test_what_is_declared_can_be_run() -> None:
    for declaration in DECLARATIONS:
        assert declaration["type"] == "function"
        assert declaration["description"]
        assert declaration["parameters"]["type"] == "object"
        assert "error" not in json.loads(run(ToolCall("c", declaration["name"], "{}")).output)


def test_the_names_are_different() -> None:
    names = [declaration["name"] for declaration in DECLARATIONS]
    assert len(set(names)) == len(names)
