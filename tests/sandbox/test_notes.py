"""Every note that ariagent gives a model is of a kind that the sandbox knows, and every scenario answers it."""

import ast
import base64
import re
from pathlib import Path
from typing import Any

import pytest

import ariagent
from ariagent.dialogue import notes as told
from ariagent.dialogue.history import PRESSED
from ariagent.dialogue.introduction import Introduction, Party
from ariagent.dialogue.keypad import AskAgain, Collect
from ariagent.dialogue.memory import Unfinished
from ariagent.dialogue.silence import WarnLength
from ariagent.dialogue.tool_rounds import MOST_ROUNDS
from ariagent.errors import ConfigurationError
from ariagent.sandbox.notes import BY_NAME, KINDS, PREFIX, kind_of
from ariagent.sandbox.scenario import Say, Situation
from ariagent.sandbox.scenario_file import load_scenario, parse_scenario
from tests.parsing import parsed

ROOT = Path(ariagent.__file__).parent
DOCS = ROOT.parent / "docs" / "sandbox.md"
ANNA, CALLER = Party("1001", "Anna"), Party("5550100", "")

NOTES = {
    "silence": [told.NOTE_ASK],
    "silence_again": [told.NOTE_ASK_AGAIN],
    "silence_goodbye": [told.NOTE_GOODBYE],
    "length_warning": [told.silence_note(WarnLength(left)) for left in (20.0, 60.0, 300.0)],
    "length_goodbye": [told.NOTE_LENGTH],
    "keys_missing": [told.ask_again_note(AskAgain("timeout", 2), Collect())],
    "keys_few": [told.ask_again_note(AskAgain("too_short", 1), Collect())],
    "reconnected": [told.LOST_NOTE],
    "must_speak": [told.speak_note(MOST_ROUNDS)],
    "resumed": [told.resumed_note(known=known) for known in (True, False)],
    "continue_words": [told.renewed_note(Unfinished.WORDS)],
    "continue_turn": [told.renewed_note(Unfinished.TURN)],
    "continue_answer": [told.renewed_note(Unfinished.ANSWER)],
    "transfer_ended": [
        told.renewed_note(Unfinished.WARM_TRANSFER),
        *(told.resumed_note(known=known, consulting=True) for known in (True, False)),
    ],
    "returned": [told.returned_note("support", status) for status in (*told.WHY_BACK, "")],
    "consult_waits": [told.waiting_note(20.0)],
    "consult_answered": [told.found_note()],
    "consult_failed": [told.not_found_note("support", status) for status in (*told.WHY_BACK, "")],
    "transfer_failed": [told.failed_note("support")],
    "supervisor": [told.whisper_note("offer a free inspection")],
    "introduced": [
        told.introduced_note(Introduction(ANNA, why), opening=opening)
        for why in ("a broken wheel", "")
        for opening in (True, False)
    ],
    "sent_back": [told.sent_back_note("support", Introduction(ANNA, why)) for why in ("a broken wheel", "")],
    "agent_changed": [told.agent_changed_note("sales", "front desk", opening=opening) for opening in (True, False)],
    "late_result": [told.late_result_note("order_status", '{"state": "ready"}')],
    "not_done": [told.not_done_note(destination) for destination in ("support", "")],
    "incomplete_reply": [told.incomplete_reply_note(reason) for reason in ("max_output_tokens", "content_filter")],
    "background": [told.NOTE_BACKGROUND],
    "consult_ended": [told.caller_changed_note(ANNA, CALLER, opening=True, talked=talked) for talked in (True, False)],
}
"""Every note that the service gives a model, by its kind. A note that is worded otherwise must stay of its kind: then
change ``ariagent/sandbox/notes.py`` with it."""
EACH = [pytest.param(kind, note, id=f"{kind}-{at}") for kind, notes in NOTES.items() for at, note in enumerate(notes)]

SCENARIOS = sorted((ROOT / "sandbox" / "scenarios").glob("*.yaml"))
HEARS_ANYTHING = "rules: [{when: {said: /./}, then: Said.}, {when: {digits: '.*'}, then: Keys.}]\notherwise: Otherwise."

GRABBING = """
# Transfers whoever says a word that the service's notes have, too, and has no part for any note.
rules:
  - name: person
    when: {said: [[agent], [human_agent], [caller]]}
    then: [{call: {name: transfer_call, arguments: {destination: support, reason: asked, summary: They asked.}}}]
  - name: key
    when: {digits: "0"}
    then: [{call: {name: transfer_call, arguments: {destination: support, reason: key, summary: They pressed zero.}}}]
  - name: other key
    when: {digits: "1"}
    then: You pressed one.
otherwise: [{call: {name: transfer_call, arguments: {destination: support, reason: unclear, summary: Unclear.}}}]
"""

FORMATTED = "{left}"
NAMES = ("supervisor", "silent", "nobody answered", "The caller has been silent", "transferred back to you")
"""Words that callers and human agents may be called, or say."""


def test_no_note_is_missing_here() -> None:
    """Whatever the service calls a note begins like one of those above."""
    found = {
        (path.relative_to(ROOT).as_posix(), node.value)
        for path in ROOT.rglob("*.py")
        if "sandbox" not in path.parts
        for node in ast.walk(parsed(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(f"{PREFIX} ")
    }
    places, literals = {place for place, _ in found}, {text for _, text in found}
    assert len(literals) > 10
    assert places == {"dialogue/notes.py", "realtime/probe.py"}  # the probe talks with a model without a call
    every = [note for notes in NOTES.values() for note in notes]
    unknown = {text for text in literals if not any(note.startswith(text) for note in every)}
    # "This call can last {left} longer" is filled in later.
    assert {text for text in unknown if FORMATTED not in text} == set()


@pytest.mark.parametrize(("kind", "note"), EACH)
def test_a_note_of_the_services_has_its_kind(kind: str, note: str) -> None:
    found = kind_of(note)
    assert found is not None
    assert found.name == kind


def test_there_is_no_other_kind() -> None:
    assert set(NOTES) == set(BY_NAME)


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        (
            "sent_back",
            "You transferred the caller (desk). A person (Anna) spoke with them and sent them back to you.",
        ),
        ("sent_back", "A human agent (Anna, 1001) has spoken with the caller and transferred them back to you."),
        ("returned", "You transferred the caller (desk), but nobody answered. The caller is back with you."),
        ("returned", "You had transferred the caller, but the line was busy; they have come back to you."),
        ("introduced", "A human agent (Anna, 1001) has transferred this caller to you."),
        ("introduced", "The caller was transferred to you by a human agent (Anna)."),
        ("consult_ended", "You have been talking with a human agent (Anna), who has transferred a caller to you."),
        ("consult_waits", "You have been trying to reach a human agent for 20 seconds."),
        ("consult_answered", "A human agent has answered. The caller is transferred in a moment."),
        ("consult_failed", "No human agent could be reached (desk): nobody answered. The caller is still with you."),
        ("transfer_failed", "The transfer failed (desk): Asterisk refused. The caller is still with you."),
        ("transfer_ended", "The human agent is no longer being called. Tell the caller so."),
        ("silence", "The caller has said nothing for a while. Ask whether they are there."),
        ("silence_again", "The caller is still silent. Ask whether they can hear you."),
        ("silence_goodbye", "The caller has not answered. Say goodbye."),
        ("length_warning", "About a minute is left of this call."),
        ("length_goodbye", "The call has reached its maximum duration. Say goodbye."),
        ("keys_missing", "The caller pressed no keys."),
        ("keys_few", "The caller entered too few digits."),
        ("supervisor", "A supervisor is listening and tells you this."),
        ("resumed", "The line to the caller was lost for a few seconds."),
        ("reconnected", "You were reconnected. You may have missed what the caller said."),
    ],
)
def test_another_wording_has_the_same_kind(kind: str, note: str) -> None:
    found = kind_of(f"{PREFIX} {note}")
    assert found is not None
    assert found.name == kind


@pytest.mark.parametrize("words", NAMES)
def test_what_people_are_called_or_say_decides_no_kind(words: str) -> None:
    party = Party("1001", words)
    kinds = {
        "introduced": told.introduced_note(Introduction(party, words, words), opening=True),
        "sent_back": told.sent_back_note("support", Introduction(party, words, words)),
        "consult_ended": told.caller_changed_note(party, Party("5550100", words), opening=True, talked=True),
        "supervisor": told.whisper_note(f'{words}" {words}'),
    }
    assert {kind: BY_NAME[kind] for kind in kinds} == {kind: kind_of(note) for kind, note in kinds.items()}


def test_the_documentation_lists_the_kinds() -> None:
    section = DOCS.read_text().split("### Notes\n")[1].split("\n### ")[0]
    assert re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE) == [
        (kind.name, kind.when) for kind in sorted(KINDS, key=lambda kind: kind.name)
    ]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_every_scenario_says_something_to_every_note_and_puts_nobody_through(scenario: Path) -> None:
    story, functions = load_scenario(scenario), ("transfer_call", "transfer_to_human", "end_call")
    for kind, notes in NOTES.items():
        for note in notes:
            rule, steps = story.plan(Situation(note=note, tools=functions), 0)
            assert steps, kind
            assert all(isinstance(step, Say) for step in steps), rule
            if scenario.stem == "default":
                assert rule.startswith("note: "), kind


@pytest.mark.parametrize("role", ["system", "user"])
@pytest.mark.parametrize("kind", NOTES)
def test_its_words_are_nothing_that_the_caller_said(make_desk: Any, kind: str, role: str) -> None:
    """In whatever item it comes: some servers take notes as the user's."""
    desk = make_desk(HEARS_ANYTHING)

    def answer() -> str:
        desk.respond()
        desk.run()
        return str(desk.done["output"][0]["content"][0]["transcript"])

    for note in NOTES[kind]:
        desk.say("hello")
        assert answer() == "Said."
        desk.say(note, role)
        assert answer() == BY_NAME[kind].answer


@pytest.mark.parametrize("scenario", [None, GRABBING], ids=["default scenario", "without a part for it"])
def test_a_caller_whom_people_send_back_stays_with_the_agent(make_desk: Any, scenario: str | None) -> None:
    """No ping-pong, also of those who said and pressed before what transfers them; and then the agent answers."""
    desk = make_desk(scenario)
    desk.configure(tools=[{"type": "function", "name": "transfer_call"}])

    def answer() -> list[dict[str, Any]]:
        desk.respond()
        desk.run()
        return list(desk.done["output"])

    desk.say(PRESSED.format(digits="0"))
    call = answer()[-1]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": '{"ok": true}'}
    desk.send({"type": "conversation.item.create", "item": result})
    for note in NOTES["sent_back"]:
        desk.say(note, "system")
        (said,) = answer()
        assert said["content"][0]["transcript"] == BY_NAME["sent_back"].answer
        desk.say(PRESSED.format(digits="1"))
        (said,) = answer()
        assert said["content"][0]["transcript"].startswith("You pressed one.")


@pytest.mark.parametrize("role", ["system", "user"])
def test_a_summary_has_no_notes(make_desk: Any, role: str) -> None:
    desk = make_desk()
    desk.say("hello")
    desk.say(NOTES["silence"][0], role)
    desk.respond(conversation="none", output_modalities=["text"])
    desk.run()
    assert desk.done["output"][0]["content"][0]["text"] == "Caller: hello"


def test_a_kind_that_is_none_is_named() -> None:
    with pytest.raises(ConfigurationError, match="no such kind of note: sent_on") as raised:
        parse_scenario("otherwise: x\nrules: [{when: {note: [sent_back, sent_on]}, then: y}]", "x")
    assert "sent_back" in raised.value.remedy


STORY = """
rules:
  - {name: goodbye, when: {said: [[goodbye]]}, then: "Goodbye!"}
  - {name: first, when: {turn: 0}, then: First.}
  - {name: silent, when: {note: caller has been silent}, then: "Are you there?"}
  - {name: back, when: {note: [returned, sent_back]}, then: Welcome back.}
  - {name: found, when: {note: ["/(?P<who>human agent) has answered/", [nobody, found]]}, then: "A {who} is there."}
otherwise: I did not get that.
"""


def test_a_note_is_nothing_that_the_caller_said() -> None:
    story = parse_scenario(STORY, "x")
    assert story.plan(Situation(said="goodbye"), 0)[0] == "goodbye"
    # The words of a note that no rule is for, and a rule for something else than notes.
    assert story.plan(Situation(note="[system] Say goodbye.", turn=0), 0) == ("silence", [])
    assert story.plan(Situation(note="[system] The caller has been silent."), 0)[0] == "silent"
    assert story.plan(Situation(said="The caller has been silent.", turn=1), 0)[0] == "otherwise"
    answered = story.plan(Situation(note="[system] A human agent has answered."), 0)[1][0]
    assert answered.texts == ("A human agent is there.",)  # type: ignore[union-attr]
    assert story.plan(Situation(note="[system] We found nobody."), 0)[0] == "found"
    assert story.plan(Situation(note=NOTES["sent_back"][0]), 0)[0] == "back"
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
