"""Tools of an answer that is held. Times are literal seconds."""

from ariagent.dialogue.early_tools import EarlyTools, ToolResult
from ariagent.realtime.events import ToolCall

CALL = ToolCall("c1", "order", "{}")


def ends(tools: EarlyTools, call_id: str = "c1") -> bool:
    return tools.ended(call_id, '"x"', ok=True, kind="ok", now=12.0)


def test_a_result_is_kept_for_the_release() -> None:
    tools = EarlyTools()
    tools.start(CALL, 10.0)
    assert ends(tools)
    assert tools.runs("c1")
    assert tools.take("c1") == ToolResult('"x"', True, "ok", 2.0)
    assert (len(tools), tools.runs("c1"), tools.take("c1")) == (0, False, None)


def test_a_tool_that_still_runs_at_the_release_is_told_as_any() -> None:
    tools = EarlyTools()
    tools.start(CALL, 10.0)
    assert tools.take("c1") is None
    assert not ends(tools)


def test_nobody_wants_the_results_of_a_discarded_answer() -> None:
    tools = EarlyTools()
    tools.start(CALL, 10.0)
    tools.start(ToolCall("c2", "order", "{}"), 10.0)
    assert ends(tools, "c2")
    tools.discard()
    assert len(tools) == 0
    assert ends(tools), "it still ran"
    assert not ends(tools), "the same id may come again"
    assert not ends(tools, "c2")


def test_other_tools_are_not_its_business() -> None:
    assert not ends(EarlyTools(), "c9")
