"""MCP tools, which the server runs by itself. The official package's types judge every event."""

from typing import Any

import pytest

from ariagent.errors import ConfigurationError
from ariagent.sandbox.scenario_file import parse_scenario

SHOP = {"type": "mcp", "server_label": "shop", "server_url": "https://shop.example/mcp", "require_approval": "never"}
STORY = """
rules:
  - name: told
    when: {tool_result: order_status}
    then: "Your order is {result.state}."
  - name: order
    when: {said: "/order (?P<number>[0-9]+)/"}
    then:
      - say: Let me look.
      - mcp: {server: shop, tool: order_status, arguments: {number: "{number}"}, output: {state: ready}, takes: 2s}
otherwise: I cannot do that.
"""
CALL = [
    "response.output_item.added",
    "conversation.item.added",
    "response.mcp_call_arguments.delta",
    "response.mcp_call_arguments.done",
]


def text(desk: Any, index: int = 0) -> str:
    return str(desk.done["output"][index]["content"][0]["transcript"])


def listed(desk: Any) -> list[str]:
    return [kind for kind in desk.kinds if "mcp" in kind or kind.startswith("conversation.item")]


def ordered(desk: Any) -> None:
    desk.say("order 4711")
    desk.respond()
    desk.run(30)


def test_a_server_is_asked_for_its_tools_once(make_desk: Any) -> None:
    desk = make_desk(STORY)
    desk.configure(tools=[SHOP])
    assert desk.kinds[1] == "session.updated"
    assert listed(desk) == [
        "conversation.item.added",
        "mcp_list_tools.in_progress",
        "conversation.item.done",
        "mcp_list_tools.completed",
    ]
    item = desk.last("conversation.item.done")["item"]
    assert (item["type"], item["server_label"]) == ("mcp_list_tools", "shop")
    assert [tool["name"] for tool in item["tools"]] == ["order_status"]
    assert desk.last("mcp_list_tools.completed")["item_id"] == item["id"]
    desk.forget()
    desk.configure(tools=[SHOP])
    assert listed(desk) == []
    desk.configure(tools=[{**SHOP, "allowed_tools": ["other"]}])
    assert desk.last("conversation.item.done")["item"]["tools"] == []


def test_a_server_that_does_not_answer_has_no_tools(make_desk: Any) -> None:
    desk = make_desk(STORY + "mcp: {shop: {takes: 3, fail: true}}")
    desk.configure(tools=[SHOP])
    assert listed(desk)[-1] == "mcp_list_tools.in_progress"
    desk.run(2)
    assert "mcp_list_tools.failed" not in desk.kinds
    desk.run(2)
    assert listed(desk)[-1] == "mcp_list_tools.failed"
    ordered(desk)
    assert text(desk) == "I cannot do that."


def test_a_call_outlives_its_response_and_nothing_is_said_of_it_unasked(make_desk: Any) -> None:
    desk = make_desk(STORY)
    desk.configure(tools=[SHOP])
    desk.forget()
    ordered(desk)
    kinds = [kind for kind in desk.kinds if kind != "rate_limits.updated"]
    at = kinds.index(CALL[2]) - 2
    calls = [kind for index, kind in enumerate(kinds[at:]) if kind != kinds[at:][index - 1]]
    assert calls == [
        *CALL,
        "response.output_item.done",
        "response.done",
        "response.mcp_call.in_progress",
        "response.mcp_call.completed",
        "conversation.item.done",
    ]
    assert desk.at("response.mcp_call.completed") - desk.at("response.mcp_call.in_progress") == pytest.approx(2)
    message, call = desk.done["output"]
    assert (message["phase"], call["type"], call["server_label"], call["name"]) == (
        "commentary",
        "mcp_call",
        "shop",
        "order_status",
    )
    assert (call["arguments"], call["output"]) == ('{"number": "4711"}', None)
    result = desk.last("conversation.item.done")["item"]
    assert (result["output"], result["error"]) == ('{"state": "ready"}', None)
    desk.respond()
    desk.run()
    assert text(desk) == "Your order is ready."


def test_a_response_may_wait_for_its_call(make_desk: Any) -> None:
    desk = make_desk(STORY.replace("takes: 2s", "takes: 2, before_done: true"))
    desk.configure(tools=[SHOP])
    desk.forget()
    ordered(desk)
    kinds = [kind for kind in desk.kinds if "mcp_call." in kind or kind == "response.done"]
    assert kinds == ["response.mcp_call.in_progress", "response.mcp_call.completed", "response.done"]
    assert desk.done["output"][1]["output"] == '{"state": "ready"}'
    assert desk.last("response.output_item.done")["item"]["output"] == '{"state": "ready"}'


@pytest.mark.parametrize(
    ("fail", "error"),
    [
        ("The shop is closed.", {"type": "tool_execution_error", "message": "The shop is closed."}),
        ("{code: 503, message: Busy}", {"type": "http_error", "code": 503, "message": "Busy"}),
    ],
)
def test_a_call_may_fail(make_desk: Any, fail: str, error: dict[str, Any]) -> None:
    sorry = "rules:\n  - {name: sorry, when: {tool_result: order_status, contains: error}, then: Sorry.}"
    desk = make_desk(STORY.replace("takes: 2s", f"fail: {fail}").replace("rules:", sorry))
    desk.configure(tools=[SHOP])
    ordered(desk)
    item_id = desk.last("response.mcp_call.failed")["item_id"]
    result = desk.last("conversation.item.done")["item"]
    assert (result["id"], result["output"], result["error"]) == (item_id, None, error)
    desk.respond()
    desk.run()
    assert text(desk) == "Sorry."


def test_a_response_that_is_cancelled_in_the_call_runs_no_tool(make_desk: Any) -> None:
    desk = make_desk(STORY)
    desk.configure(tools=[SHOP])
    desk.say("order 4711")
    desk.respond()
    while not desk.of("response.mcp_call_arguments.delta"):
        desk.run(0.01)
    desk.send({"type": "response.cancel"})
    desk.run()
    assert desk.done["status"] == "cancelled"
    assert not desk.of("response.mcp_call_arguments.done", "response.mcp_call.in_progress")


def test_a_call_that_was_cut_off_has_no_result(make_desk: Any) -> None:
    desk = make_desk(STORY.replace("takes: 2s", "takes: 2s, before_done: true"))
    desk.configure(tools=[SHOP])
    desk.say("order 4711")
    desk.respond()
    while not desk.of("response.mcp_call.in_progress"):
        desk.run(0.01)
    desk.send({"type": "response.cancel"})
    desk.respond()
    desk.run()
    assert text(desk) == "I cannot do that."
    assert not desk.of("response.mcp_call.completed")


@pytest.mark.parametrize("tool", [{}, {"require_approval": "always"}, {"require_approval": {"never": {}}}])
@pytest.mark.parametrize("approve", [True, False])
def test_a_call_waits_for_the_clients_approval(make_desk: Any, tool: dict[str, Any], approve: bool) -> None:
    desk = make_desk(STORY)
    shop = {key: value for key, value in SHOP.items() if key != "require_approval"}
    desk.configure(tools=[{**shop, **tool}])
    ordered(desk)
    request = desk.done["output"][1]
    assert (request["type"], request["arguments"]) == ("mcp_approval_request", '{"number": "4711"}')
    assert not desk.of("response.mcp_call.in_progress")
    answer = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": approve}
    desk.send({"type": "conversation.item.create", "item": answer})
    desk.run()
    assert bool(desk.of("response.mcp_call.completed")) is approve
    if approve:
        assert desk.last("conversation.item.done")["item"]["approval_request_id"] == request["id"]
    desk.send({"type": "conversation.item.create", "item": answer})
    assert (desk.error["code"], desk.error["param"]) == ("invalid_value", "item.approval_request_id")


def test_a_filter_lets_some_tools_run_without_approval(make_desk: Any) -> None:
    desk = make_desk(STORY)
    desk.configure(tools=[{**SHOP, "require_approval": {"never": {"tool_names": ["order_status"]}}}])
    ordered(desk)
    assert desk.done["output"][1]["type"] == "mcp_call"


def test_a_rule_whose_tool_is_not_there_is_passed_over(make_desk: Any) -> None:
    desk = make_desk(STORY)
    ordered(desk)
    assert text(desk) == "I cannot do that."
    desk.configure(tools=[{**SHOP, "allowed_tools": ["other"]}])
    ordered(desk)
    assert text(desk) == "I cannot do that."


def test_a_tool_for_one_response_only(make_desk: Any) -> None:
    desk = make_desk(STORY)
    desk.say("order 4711")
    desk.respond(tools=[SHOP])
    desk.run()
    assert desk.done["output"][1]["type"] == "mcp_call"


@pytest.mark.parametrize(
    ("tool", "code", "param"),
    [
        ({"type": "mcp", "server_url": "https://x"}, "missing_required_parameter", "session.tools[0].server_label"),
        ({"type": "mcp", "server_label": "x"}, "missing_required_parameter", "session.tools[0].server_url"),
        ({**SHOP, "server_label": "1 shop"}, "invalid_value", "session.tools[0].server_label"),
        ({**SHOP, "require_approval": "perhaps"}, "invalid_value", "session.tools[0].require_approval"),
        ({**SHOP, "colour": "red"}, "unknown_parameter", "session.tools[0].colour"),
    ],
)
def test_a_tool_that_is_none_is_refused(make_desk: Any, tool: dict[str, Any], code: str, param: str) -> None:
    desk = make_desk(STORY)
    desk.configure(tools=[tool])
    assert (desk.error["code"], desk.error["param"]) == (code, param)
    assert listed(desk) == []


def test_labels_are_unique(make_desk: Any) -> None:
    desk = make_desk(STORY)
    desk.configure(tools=[SHOP, SHOP])
    assert (desk.error["code"], desk.error["param"]) == ("invalid_value", "session.tools[1].server_label")


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        ("{tool: x}", "key server is missing"),
        ("{server: x, tool: y, takes: soon}", "expected seconds"),
        ("{server: x, tool: y, fail: {code: 500}}", "key message is missing"),
        ("{server: x, tool: y, wait: 1}", "unknown key"),
    ],
)
def test_a_mistake_in_a_step_is_named(step: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        parse_scenario(f"otherwise: [{{mcp: {step}}}]", "x")
