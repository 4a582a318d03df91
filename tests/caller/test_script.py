"""Caller scripts: every step read, every mistake told with file, line and key."""

from pathlib import Path

import pytest

from ariagent.caller import script as do
from ariagent.caller.plan import programs_needed
from ariagent.caller.script import DEFAULT_SCRIPT, load_script, parse_script
from ariagent.errors import ConfigurationError
from lab.demo import SCRIPT

SOURCE = Path("talk.yaml")


def test_every_kind_of_step(tmp_path: Path) -> None:
    (tmp_path / "question.wav").touch()
    text = """
voice: slt
steps:
  - wait_answer
  - wait_answer:
  - wait_answer: {within: 5, quiet: 0.5}
  - say: Hello.
  - play: question.wav
  - interrupt: {after: 1.5, say: Stop, stop_within: 1}
  - press: "12#a"
  - silence: 2
  - expect: {words: [one, two words], any: true}
  - hangup
  - expect_hangup: {within: 3}
"""
    found = parse_script(text, tmp_path / "talk.yaml")
    assert found.voice == "slt"
    assert found.steps == (
        do.WaitAnswer(),
        do.WaitAnswer(),
        do.WaitAnswer(5, 0.5),
        do.Say("Hello."),
        do.Play(tmp_path / "question.wav"),
        do.Interrupt(1.5, "Stop", 1),
        do.Press("12#A"),
        do.Silence(2),
        do.Expect(("one", "two words"), any_of=True),
        do.HangUp(),
        do.ExpectHangup(3),
    )


def test_a_sentence_may_have_pauses() -> None:
    script = parse_script("steps:\n  - say: [When, {pause: 0.6}, do you, {pause: 1}, open]\n", SOURCE)
    (step,) = script.steps
    assert step == do.Say("When", (do.Continued(0.6, "do you"), do.Continued(1.0, "open")))
    assert step.texts == ("When", "do you", "open")
    assert programs_needed(script) == ["flite"]


def test_a_pause_between_recorded_parts_needs_no_synthesiser() -> None:
    script = parse_script("steps:\n  - say: [Where are you, {pause: 1}, now]\n", SOURCE)
    texts = [step.text for step in load_script().steps if isinstance(step, do.Say)]
    parts = do.Say(texts[0], (do.Continued(1.0, texts[1]),))
    assert programs_needed(do.Script((parts,))) == []
    assert programs_needed(script) == ["flite"]


@pytest.mark.parametrize("path", [DEFAULT_SCRIPT, SCRIPT], ids=lambda path: path.stem)
def test_shipped_scripts_are_right(path: Path) -> None:
    assert load_script(path).steps


def test_place_names_file_line_step_and_kind() -> None:
    script = parse_script("steps:\n  - say: Hello.\n  - hangup\n", Path("folder/talk.yaml"))
    assert script.place(1) == "talk.yaml:3: step 2 (hangup)"
    assert do.Script((do.HangUp(),)).place(0) == "step 1 (hangup)"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("voice: bob\nsteps: [hangup]", "talk.yaml:1: voice: must be kal, kal16"),
        ("steps: [hangup]\nstep: 1", "talk.yaml:2: step: unknown key (known here: title, voice, noise,"),
        ("steps: []", "talk.yaml:1: steps: "),
        ("", "talk.yaml:1: steps: is missing"),
        ("- hangup", "talk.yaml:1: the file must hold sections"),
        ("steps:\n  - shout: x", "talk.yaml:2: steps[0].shout: unknown key (known here: say, play"),
        ("steps:\n  - hangup\n  - hang", "talk.yaml:3: steps[1]: a step is one of: say, play"),
        ("steps:\n  - {say: a, press: b}", "talk.yaml:2: steps[0]: a step is one of"),
        ("steps:\n  - say:", "talk.yaml:2: steps[0]: say has no value"),
        ("steps:\n  - say: ''", "talk.yaml:2: steps[0].say: "),
        ("steps:\n  - press: 12", 'talk.yaml:2: steps[0].press: write the keys in quotes, "12"'),
        ("steps:\n  - press: 'x'", "talk.yaml:2: steps[0].press: "),
        ("steps:\n  - play: no.wav", "talk.yaml:2: steps[0].play: there is no such file: no.wav"),
        ("steps:\n  - silence: 0", "talk.yaml:2: steps[0].silence: "),
        ("steps:\n  - wait_answer: {within: -1}", "talk.yaml:2: steps[0].wait_answer.within: "),
        ("steps:\n  - wait_answer: {quit: 1}", "steps[0].wait_answer.quit: unknown key (known here: within, quiet)"),
        ("steps:\n  - interrupt: {after: 1}", "talk.yaml:2: steps[0].interrupt.say: is missing"),
        ("steps:\n  - expect: {any: true}", "talk.yaml:2: steps[0].expect.words: is missing"),
        ("steps:\n  - expect: {words: ['?']}", "talk.yaml:2: steps[0].expect.words: '?' is not a word"),
        ("steps:\n  - say: a\n    say: b", "talk.yaml:3: steps[0].say: this key is given twice"),
        ("steps:\n  - say: [a, {pause: 1}]", "talk.yaml:2: steps[0].say: write a text, a pause, a text"),
        ("steps:\n  - say: [{pause: 1}, a]", "talk.yaml:2: steps[0].say: write a text, a pause, a text"),
        ("steps:\n  - say: [a, b, c]", "talk.yaml:2: steps[0].say: write a text, a pause, a text"),
        ("steps:\n  - say: []", "talk.yaml:2: steps[0].say: write a text, a pause, a text"),
        ("steps:\n  - say: [a, {pause: 0}, b]", "talk.yaml:2: steps[0].say[1].pause: "),
        ("steps:\n  - say: [a, {pase: 1}, b]", "steps[0].say[1].pase: unknown key (known here: pause)"),
        ("steps: [", "talk.yaml:1: the [ in this line is not closed"),
    ],
)
def test_mistakes_name_file_line_and_key(text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_script(text, SOURCE)
    assert complaint in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_script("voice: bob\nsteps:\n  - shout: x\n  - press: 1\n", SOURCE)
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [
        "talk.yaml:1",
        "talk.yaml:3",
        "talk.yaml:4",
    ]


def test_missing_file_has_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file") as caught:
        load_script(tmp_path / "none.yaml")
    assert "--script" in caught.value.remedy
