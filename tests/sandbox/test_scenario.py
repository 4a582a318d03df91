"""Scenarios: what is matched, what is said, and how a file is refused."""

import re
from typing import Any

import pytest

from ariagent.errors import ConfigurationError
from ariagent.sandbox.scenario import (
    Call,
    Fail,
    Phrase,
    Say,
    Situation,
    Stop,
    Wait,
    digits_of_words,
    normalise,
    words_to_say,
)
from ariagent.sandbox.scenario_file import load_scenario, parse_scenario

STORY = """
company: {name: Test Ltd}
opening: [{say: "{company.name}, hello."}]
rules:
  - name: first words
    when: {turn: 1, said: red}
    then: Red at once.
  - name: any order
    when: {said: [[late, delivery], blue whale]}
    then: [{wait: 1.5}, {say: [One., Two.]}]
  - name: number
    when: {said: "/order (?P<number>[0-9]{3})$/"}
    then: [{say: "Order {number}, {said}."}, {call: {name: [look, lookup], arguments: {n: "{number}", deep: {a: 1}}}}]
  - {name: star, when: {digits: "*"}, then: Star.}
  - {name: digit, when: {digits: "[0-9]"}, then: "You pressed {digits}."}
  - {name: refused, when: {tool_result: look, contains: Error}, then: "Sorry: {result}"}
  - {name: looked, when: {tool_result: look}, then: "It is {result.state}, {result.nothing}."}
  - {name: quiet, when: {silence: true}, then: [{fail: {code: rate_limit_exceeded}}]}
  - {name: summary, when: {metadata: {purpose: summary}}, then: [{stop: content_filter}]}
otherwise: What?
"""


@pytest.fixture(scope="module")
def story() -> Any:
    return parse_scenario(STORY, "story.yaml")


def test_s22_rules_match_words_digits_turns_results_and_silence(story: Any) -> None:
    def rule(uses: int = 0, **now: Any) -> Any:
        return story.plan(Situation(**now), uses)

    assert rule(said="It was RED!", turn=1) == ("first words", [Say(("Red at once.",))])
    assert rule(said="red", turn=2)[0] == "otherwise"
    assert rule(said="My delivery is very late.") == ("any order", [Wait(1.5), Say(("One.",))])
    assert rule(1, said="the blue whale")[1][1] == Say(("Two.",))
    assert rule(said="whale blue")[0] == "otherwise"
    assert rule(digits="*")[0] == "star"
    assert rule(digits="7") == ("digit", [Say(("You pressed 7.",))])
    assert rule(tool_result="look", output='{"state": "ready"}')[1] == [Say(("It is ready, {result.nothing}.",))]
    assert rule(tool_result="look", output="an error")[1] == [Say(("Sorry: an error",))]
    assert rule(tool_result="other", output="x")[0] == "otherwise"
    assert isinstance(rule(silence=True)[1][0], Fail)
    assert rule(metadata={"purpose": "summary"})[1] == [Stop("content_filter")]
    assert rule() == ("otherwise", [Say(("What?",))])


def test_s22_a_rule_with_a_call_needs_the_function(story: Any) -> None:
    assert story.plan(Situation(said="order one two three"), 0)[0] == "otherwise"
    name, steps = story.plan(Situation(said="order one two three", tools=["x", "lookup"]), 0)
    assert name == "number"
    assert steps == [
        Say(("Order 123, order one two three.",)),
        Call(("lookup",), {"n": "123", "deep": {"a": 1}}),
    ]


def test_s22_digits_in_text_items(story: Any) -> None:
    for text, digits in (
        ("The caller pressed 1", "1"),
        ("The caller pressed the digit 5.", "5"),
        ("The caller pressed the key *.", "*"),
        ("DTMF: #", "#"),
        ('The caller pressed "42" on the keypad', "42"),
        ("I have 3 bicycles", None),
    ):
        assert story.digits_in(text) == digits, text
    other = parse_scenario("{otherwise: x, digits: 'key=(.)'}", "x")
    assert other.digits_in("key=9") == "9"


@pytest.mark.parametrize(
    ("instructions", "words"),
    [
        ("Say exactly: Good morning.", "Good morning."),
        ('Say exactly this: "Harbour, hello!" and nothing else.', "Harbour, hello!"),
        ("Greet the caller with these words: Hello: how are you?", "Hello: how are you?"),
        ("Please open the conversation by saying the following: “Hi there.”", "Hi there."),
        ("Say the following words to the caller, exactly as they stand:\nWelcome to us.", "Welcome to us."),
        ("Read this out word for word: It's five o'clock", "It's five o'clock"),
        ("You are a helpful agent. Be brief.", None),
        ("Say exactly:", None),
    ],
)
def test_s22_words_to_say(instructions: str, words: str | None) -> None:
    assert words_to_say(instructions) == words


def test_s22_text_side_channel_in_the_default_scenario(desk: Any) -> None:
    def answer(text: str, role: str = "user") -> str:
        desk.say(text, role)
        desk.respond(output_modalities=["text"])
        desk.run()
        return str(desk.done["output"][0]["content"][0]["text"])

    desk.respond(output_modalities=["text"])
    desk.run()
    assert desk.done["output"][0]["content"][0]["text"].startswith("Harbour Cycles, good day.")
    assert "from Monday to Friday" in answer("What are your opening hours?")
    assert answer("The caller pressed 2", "system").startswith("You pressed two.")
    assert answer("The caller pressed the key 9", "system").startswith("You pressed 9.")
    assert "ready" in answer("My order number is 4 2 7")
    assert "Quay Street" in answer("Where is your shop, please?")
    first, second = answer("Tell me about quantum physics"), answer("And about pandas")
    assert first != second
    assert "forty euros" in answer("Tell me about your prices")
    assert answer("No, thank you. Goodbye.").endswith("Goodbye!")


def test_s22_opening_follows_the_instructions_of_the_response(desk: Any) -> None:
    desk.respond(instructions="Greet the caller. Say exactly: Welcome aboard.", output_modalities=["text"])
    desk.run()
    assert desk.done["output"][0]["content"][0]["text"] == "Welcome aboard."


def test_s22_wait_delays_the_first_audio(make_desk: Any) -> None:
    desk = make_desk("otherwise: [{wait: 2}, {say: Well.}]", think_ms=100)
    desk.say("so?")
    desk.respond()
    desk.run()
    waited = desk.at("response.output_audio.delta", 0) - desk.at("response.created")
    assert waited == pytest.approx(2.1)


def test_default_scenario_is_sound_and_its_words_are_known() -> None:
    from ariagent.sandbox.recognise import known_word

    story = load_scenario(known_word=known_word)
    assert len(story.rules) > 15
    assert "my order number is <digits>" in story.grammar
    longest = max(story.texts(), key=len)
    assert 150 < len(longest) < 260  # about 8 to 12 seconds of speech
    assert not any("{" in text for text in story.texts())


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "empty"),
        ("rules: []", 1, "otherwise is missing"),
        ("otherwise: x\nnonsense: 1", 2, "key nonsense: unknown key"),
        ("otherwise: x\notherwise: y", 2, "given twice"),
        ("otherwise: x\nrules:\n  - when: {said: a}", 3, "key then is missing"),
        ("otherwise: x\nrules:\n  - then: a", 3, "key when is missing"),
        ("otherwise: x\nrules:\n  - {when: {}, then: a}", 3, "needs a condition"),
        ("otherwise: x\nrules:\n  - when: {said: '/(/'}\n    then: a", 3, "not a regular expression"),
        ("otherwise: x\nrules:\n  - when: {silence: maybe}\n    then: a", 3, "expected true or false"),
        ("otherwise: x\nrules:\n  - when: {turn: many}\n    then: a", 3, "expected a number"),
        ("otherwise: [{say: a, wait: 1}]", 1, "a step is one of"),
        ("otherwise: [{wait: -1}]", 1, "expected a number from 0"),
        ("otherwise: [{call: {arguments: {}}}]", 1, "key name is missing"),
        ("otherwise: [{stop: nothing}]", 1, "expected content_filter"),
        ("otherwise: []", 1, "nothing to do"),
        ("otherwise: x\nphrases:\n  - fine\n  - hello flibbertigibbt", 4, "dictionary lacks: flibbertigibbt"),
        ("otherwise: x\nphrases:\n  - '[hello'", 3, "unbalanced"),
        ("otherwise: x\nphrases:\n  - <words>", 3, "no rule <words>"),
        ("otherwise: x\nphrases:\n  - a = b;", 3, "may use only"),
        ("otherwise: x\ndigits: abc", 2, "needs one group"),
        ("otherwise: [", 1, "not YAML"),
        ("- a\n- b", 1, "expected keys and values"),
    ],
)
def test_s22_a_bad_file_is_refused_with_file_line_and_key(text: str, line: int, message: str) -> None:
    def known(word: str) -> bool:
        return word != "flibbertigibbt"

    with pytest.raises(ConfigurationError) as refused:
        parse_scenario(text, "bad.yaml", known)
    assert re.match(rf"bad\.yaml, line {line}\b", str(refused.value)), str(refused.value)
    assert message in str(refused.value)


def test_plain_phrases_become_the_grammar() -> None:
    rules = "[{when: {said: ['Are you open?', [a, b], /x/, are you open]}, then: y}]"
    story = parse_scenario(f"otherwise: x\nrules: {rules}\nphrases: ['[hello] Number <digits>']", "x")
    assert story.grammar == ("are you open", "[hello] number <digits>")


def test_normal_forms() -> None:
    assert normalise("  That's ALL, thank-you! ") == "that's all thank you"
    assert digits_of_words("order four two oh is one thing") == "order 420 is 1 thing"
    assert Phrase(words=("open",)).match("reopened") is None
