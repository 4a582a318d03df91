"""The recorded sentences of the package: all of them, no others, and they say what they should."""

import itertools
import wave
from pathlib import Path

import pytest

from ariagent.audio.format import SLIN8, SLIN24
from ariagent.caller.plan import programs_needed
from ariagent.caller.recognise import Recogniser
from ariagent.caller.recorded import FOLDER, RATE_HZ, file_name, recorded
from ariagent.caller.script import HangUp, Interrupt, Say, WaitAnswer, load_script, parse_script
from ariagent.caller.voice import recording
from ariagent.caller.words import has_phrase

SCRIPT = load_script()
SENTENCES = [step.text for step in SCRIPT.steps if isinstance(step, Say | Interrupt)]
MOST_BYTES = 300_000
"""All of them together: they are in every installation."""


def test_there_are_four_questions_and_all_are_recorded() -> None:
    assert len(SENTENCES) == 4
    assert {path.name for path in FOLDER.iterdir()} == {file_name(SCRIPT.voice, text) for text in SENTENCES}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < MOST_BYTES


def test_the_shipped_call_needs_no_program_that_speaks_and_rings_no_human() -> None:
    assert {type(step) for step in SCRIPT.steps} == {WaitAnswer, Say, HangUp}
    assert SCRIPT.noise is None
    assert not any(word in text.lower() for text in SENTENCES for word in ("human", "person", "agent", "somebody"))


def test_which_programs_a_caller_needs() -> None:
    def needed(text: str) -> list[str]:
        return programs_needed(parse_script(text, Path("x.yaml")))

    assert programs_needed(SCRIPT) == []
    assert needed("steps: [{say: 'What are your opening hours?'}, hangup]") == []
    assert needed("steps: [{say: Something else}, hangup]") == ["flite"]
    assert needed("voice: es\nsteps: [{say: Hola}]") == ["espeak-ng"]
    assert needed("voice: es\nnoise: {kind: babble, snr_db: 10}\nsteps: [{say: Hola}]") == ["espeak-ng", "flite"]
    assert needed("noise: {kind: street, snr_db: 10}\nsteps: [hangup]") == []


@pytest.mark.parametrize("text", SENTENCES)
def test_each_is_mono_and_lasts_as_long_as_it_takes_to_say(text: str) -> None:
    path = recorded(SCRIPT.voice, text)
    assert path is not None
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE_HZ)
        assert 0.04 * len(text) < file.getnframes() / RATE_HZ < 0.12 * len(text)


@pytest.mark.long
async def test_a_recogniser_understands_each_of_them() -> None:
    pytest.importorskip("pocketsphinx")
    heard = []
    async with Recogniser() as recogniser:
        for text, fmt in itertools.product(SENTENCES, (SLIN24, SLIN8)):
            path = recorded(SCRIPT.voice, text)
            assert path is not None
            heard.append((text, str(fmt), await recogniser.words(recording(path, fmt), fmt)))
    assert [each for each in heard if not has_phrase(each[2] or "", each[0])] == []


def test_case_and_punctuation_do_not_matter_and_other_words_do() -> None:
    assert recorded("kal16", "thank you... GOODBYE!") == recorded("kal16", "Thank you, goodbye.")
    assert recorded("kal16", "Thank you.") is None
    assert recorded("slt", "Thank you, goodbye.") is None
    assert recorded("kal16", "../default") is None
    assert Path(file_name("kal16", "../../etc/passwd")).name == file_name("kal16", "../../etc/passwd")
