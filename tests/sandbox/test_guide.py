"""docs/sandbox.md: its example is a scenario, and does what the page says. docs/sandbox-faults.md lists every fault."""

import re
from pathlib import Path

import pytest

from ariagent.dialogue import notes
from ariagent.sandbox.faults import FAULTS
from ariagent.sandbox.scenario import Call, Fail, Mcp, McpServer, Say, Scenario, Situation, Wait
from ariagent.sandbox.scenario_file import parse_scenario

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "sandbox.md").read_text()
EXAMPLE, MCP_EXAMPLE = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
TOOLS = ("find_book", "end_call")


@pytest.fixture
def library() -> Scenario:
    return parse_scenario(EXAMPLE, "docs/sandbox.md")


def test_the_recogniser_knows_its_words() -> None:
    pytest.importorskip("pocketsphinx")
    from ariagent.sandbox.recognise import known_word

    parse_scenario(EXAMPLE, "docs/sandbox.md", known_word)


def test_a_number_is_looked_up_and_its_answer_told(library: Scenario) -> None:
    asked = Situation(said="do you have book number four two one one", tools=TOOLS)
    assert library.plan(asked, 0)[1] == [Say(("Let me look.",)), Call(("find_book",), {"number": "4211"})]
    typed = Situation(digits="4211", tools=TOOLS)
    assert library.plan(typed, 0)[1] == [Call(("find_book",), {"number": "4211"})]
    found = Situation(tool_result="find_book", output='{"shelf": "B"}', tools=TOOLS)
    assert library.plan(found, 0)[1] == [Say(("Yes, it is on shelf B. Anything else?",))]
    failed = Situation(tool_result="find_book", output='{"error": "none"}', tools=TOOLS)
    assert library.plan(failed, 0)[0] == "no such book"


def test_a_rule_whose_function_is_missing_is_passed_over(library: Scenario) -> None:
    assert library.plan(Situation(said="book number four"), 0)[0] == "otherwise"
    assert library.plan(Situation(said="goodbye"), 1)[1] == [Say(("Goodbye, and come again!",))]


@pytest.mark.parametrize(
    ("note", "rule"),
    [
        (notes.NOTE_ASK, "a silent caller"),
        (notes.NOTE_ASK_AGAIN, "a silent caller"),
        (notes.NOTE_GOODBYE, "a silent caller is given up"),
    ],
)
def test_what_the_service_tells_of_a_silent_caller_arrives_as_a_note(library: Scenario, note: str, rule: str) -> None:
    assert library.plan(Situation(note=note), 0)[0] == rule
    without = parse_scenario("otherwise: What?", "x")
    assert without.plan(Situation(note=note), 0)[0].startswith("built in: silence")


def test_silence_and_trouble(library: Scenario) -> None:
    assert library.plan(Situation(silence=True), 0)[0] == "nothing could be made out"
    wait, fail = library.plan(Situation(said="tell me about the fire"), 0)[1]
    assert isinstance(wait, Wait)
    assert isinstance(fail, Fail)
    assert (wait.seconds, fail.code) == (2.0, "server_error")


def test_every_fault_is_listed() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", (DOCS / "sandbox-faults.md").read_text(), re.MULTILINE)
    assert listed == list(FAULTS)


def test_what_the_service_says_of_a_long_call_is_named() -> None:
    assert "longest time" in notes.NOTE_LENGTH
    assert "can last" in notes.NOTE_WARN


def test_the_example_of_an_mcp_server_is_a_scenario() -> None:
    story = parse_scenario(f"{MCP_EXAMPLE}\notherwise: What?", "docs/sandbox.md")
    assert story.mcp_server("shop") == McpServer(("order_status", "stock"), takes=1.0)
    _, call = story.plan(Situation(said="order four two", tools=["shop/order_status"]), 0)[1]
    assert isinstance(call, Mcp)
    assert (call.json_arguments, call.output, call.takes) == ('{"number": "42"}', '{"state": "ready"}', 2.0)
