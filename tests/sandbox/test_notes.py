"""Every note that ariagent gives a model: docs/sandbox.md names it, and the default scenario has a part for it."""

import ast
import base64
import re
from pathlib import Path
from typing import Any

import pytest

import ariagent
from ariagent.call import conversation, digits, handoff, introduction, resume, rounds, silence
from ariagent.call.introduction import Introduction, Party
from ariagent.call.keypad import AskAgain, Collect
from ariagent.call.memory import Owed
from ariagent.sandbox.scenario import NOTE, Situation
from ariagent.sandbox.scenario_file import load_scenario, parse_scenario

ROOT = Path(ariagent.__file__).parent
DOCS = ROOT.parent / "docs" / "sandbox.md"
ANNA, CALLER = Party("1001", "Anna"), Party("5550100", "")

NOTES = {
    "asked whether they are there": silence.NOTE_ASK,
    "asked again": silence.NOTE_ASK_AGAIN,
    "given up": silence.NOTE_GOODBYE,
    "soon too long": silence.note(silence.WarnLength(60)),
    "too long": silence.NOTE_LENGTH,
    "typed nothing": digits.ask_again_note(AskAgain("timeout", 2), Collect()),
    "typed too few": digits.ask_again_note(AskAgain("too_short", 1), Collect()),
    "missed something": conversation.LOST_NOTE,
    "resumed": resume.resumed_note(known=True),
    "resumed, nothing known": resume.resumed_note(known=False),
    **{f"renewed, owed {owed}": resume.renewed_note(owed) for owed in Owed if owed is not Owed.NOTHING},
    "returned": handoff.returned_note("support", "TIMEOUT"),
    "waiting": handoff.waiting_note(20.0),
    "found": handoff.found_note(),
    "not found": handoff.not_found_note("support", "TIMEOUT"),
    "failed": handoff.failed_note("support"),
    "whispered": handoff.whisper_note("offer a free inspection"),
    "has to speak": rounds.SPEAK,
    "introduced": introduction.introduced_note(Introduction(ANNA, "a broken wheel"), opening=True),
    "introduced, no reason": introduction.introduced_note(Introduction(ANNA), opening=True),
    "sent back": introduction.sent_back_note("support", Introduction(ANNA, "a broken wheel")),
    "met": introduction.met_note(ANNA, CALLER, opening=True, talked=True),
}


FORMATTED = "{left}"


def documented() -> list[str]:
    """The texts of the table in the documentation, as a rule's ``note``."""
    section = DOCS.read_text().split("### Notes\n")[1].split("\n### ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


def test_no_note_is_missing_here() -> None:
    """Whatever the service calls a note begins like one of those above."""
    literals = {
        node.value
        for path in ROOT.rglob("*.py")
        if "sandbox" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(f"{NOTE} ")
    }
    assert len(literals) > 10
    unknown = {text for text in literals if not any(note.startswith(text) for note in NOTES.values())}
    # "This call can last {left} longer" is filled in later.
    assert {text for text in unknown if FORMATTED not in text} == set()


@pytest.mark.parametrize("name", NOTES)
def test_the_documentation_names_it(name: str) -> None:
    rules = "".join(f"\n  - {{when: {{note: '{text}'}}, then: x}}" for text in documented())
    scenario = parse_scenario(f"otherwise: y\nrules:{rules}", "docs")
    assert scenario.plan(Situation(note=NOTES[name]), 0)[0] != "silence"


def test_the_documentation_names_no_other() -> None:
    for text in documented():
        scenario = parse_scenario(f"otherwise: y\nrules: [{{when: {{note: '{text}'}}, then: x}}]", "docs")
        assert any(scenario.plan(Situation(note=note), 0)[1] for note in NOTES.values()), text


@pytest.mark.parametrize("name", NOTES)
def test_the_default_scenario_has_a_part_for_it(name: str) -> None:
    rule, steps = load_scenario().plan(Situation(note=NOTES[name]), 0)
    assert rule.startswith("note: "), rule
    assert steps


STORY = """
rules:
  - {name: goodbye, when: {said: [[goodbye]]}, then: "Goodbye!"}
  - {name: first, when: {turn: 0}, then: First.}
  - {name: silent, when: {note: caller has been silent}, then: "Are you there?"}
  - {name: found, when: {note: ["/(?P<who>colleague) has answered/", [nobody, found]]}, then: "A {who} is there."}
otherwise: I did not get that.
"""


def test_a_note_is_nothing_that_the_caller_said() -> None:
    story = parse_scenario(STORY, "x")
    assert story.plan(Situation(said="goodbye"), 0)[0] == "goodbye"
    # The words of a note that no rule is for, and a rule for something else than notes.
    assert story.plan(Situation(note="[system] Say goodbye.", turn=0), 0) == ("silence", [])
    assert story.plan(Situation(note="[system] The caller has been silent."), 0)[0] == "silent"
    assert story.plan(Situation(said="The caller has been silent.", turn=1), 0)[0] == "otherwise"
    assert story.plan(Situation(note="[system] A colleague has answered."), 0)[1][0].texts == ("A colleague is there.",)  # type: ignore[union-attr]
    assert story.plan(Situation(note="[system] We found nobody."), 0)[0] == "found"
    assert story.grammar == ()
    anything = parse_scenario("rules: [{when: {note: true}, then: Yes.}]\notherwise: No.", "x")
    assert anything.plan(Situation(note="[system] Whatever."), 0)[1]
    assert anything.plan(Situation(said="whatever"), 0)[0] == "otherwise"


def test_what_nobody_has_a_part_for_is_answered_by_silence(desk: Any) -> None:
    """Not by ``otherwise``, and not by a response with nothing in it, which is a fault."""
    desk.say("[system] Nothing that the scenario knows of.", "system")
    desk.respond()
    desk.run()
    (item,) = desk.done["output"]
    assert item["content"][0]["transcript"] == ""
    audio = b"".join(base64.b64decode(delta["delta"]) for delta in desk.of("response.output_audio.delta"))
    assert len(audio) > 0
    assert not any(audio)
    desk.say("What is this?", "system")
    desk.respond()
    desk.run()
    assert "did not get that" in desk.done["output"][0]["content"][0]["transcript"]
