"""flite's voice and pocketsphinx's ears, and a spoken conversation through both."""

import asyncio
import base64
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ariagent.audio.format import SLIN8
from ariagent.caller.voice import Voice as CallersVoice
from ariagent.errors import ConfigurationError
from ariagent.sandbox import audio as sound
from ariagent.sandbox import speech
from ariagent.sandbox.recognise import Recogniser, known_word
from ariagent.sandbox.scenario_file import load_scenario, parse_scenario
from lab.packages import default_lab_dir, ensure_tool


@pytest.mark.parametrize("fmt", [sound.PCM, sound.PCMU, sound.PCMA])
async def test_speech_comes_in_every_format_at_once_loud_and_trimmed(fmt: Any, flite_clip: Any) -> None:
    clip = await flite_clip("Good morning. How can I help you?", fmt)
    assert 1200 < fmt.ms(len(clip)) < 4000
    samples = fmt.decode(clip)
    first, last = samples[: fmt.rate_hz // 10], samples[-fmt.rate_hz // 10 :]
    assert sound.rms(first) > 100
    assert sound.rms(last) > 30
    assert sound.rms(samples) > 1000


def test_words_begin_in_the_first_frame() -> None:
    quiet, words = np.full(1600, 100, np.int16), np.full(1600, 151, np.int16)
    clip = speech.trimmed(np.concatenate((quiet, words, quiet)))
    before_ms = 1000 * int(np.argmax(clip > 150)) / speech.FLITE_HZ
    assert 0 < before_ms <= 5
    assert np.count_nonzero(clip > 150) == 1600
    assert len(clip) < 1600 + 3 * speech.FLITE_HZ // 200


async def test_speed_stretches_and_voices_differ(flite: list[str]) -> None:
    voice = speech.Voice(flite, "")
    text = "This sentence is for the speed of speech."
    normal = await voice.say(text, "cedar", 1.0, sound.PCM)
    fast = await voice.say(text, "cedar", 1.5, sound.PCM)
    other = await voice.say(text, "marin", 1.0, sound.PCM)
    assert len(fast) == pytest.approx(len(normal) / 1.5, rel=0.1)
    assert other != normal
    again = await voice.say(text, "cedar", 1.0, sound.PCM)
    assert again == normal


async def test_speech_is_kept_on_disk_if_wished(flite: list[str], tmp_path: Path) -> None:
    text = f"Kept for later, {tmp_path.name.replace('_', ' ')}."
    made = await speech.Voice(flite, "rms", tmp_path / "cache").say(text, "marin", 1.0, sound.PCMU)
    [kept] = (tmp_path / "cache").iterdir()
    assert sound.PCMU.encode(speech.resampled(speech.read_wav(kept), 16_000, 8_000)) == made


async def test_flite_reads_other_languages_as_far_as_letters_go(flite: list[str]) -> None:
    assert speech.pronounceable("¿Qué? Grüße, “Straße”") == "Que? Grusse, Strasse"
    assert speech.pronounceable("it’s – so") == "it's - so"
    voice = speech.Voice(flite, "rms")
    german = await voice.say("Grüße aus Köln für Sie", "marin", 1.0, sound.PCM)
    assert german == await voice.say("Grusse aus Koln fur Sie", "marin", 1.0, sound.PCM)
    russian = "Здравствуйте, чем могу помочь?"
    hummed = await voice.say(russian, "marin", 1.0, sound.PCM)
    assert sound.PCM.ms(len(hummed)) == pytest.approx(len(russian) * speech.TONE_MS_PER_LETTER, abs=2)


async def test_a_voice_that_fails_is_an_error_and_not_a_hang() -> None:
    with pytest.raises(ConfigurationError, match="flite failed"):
        await speech.Voice(["false"], "rms").say("nothing comes of this", "marin", 1.0, sound.PCM)


async def test_the_tone_voice_needs_no_flite() -> None:
    audio = await speech.Voice([], "tone").say("x" * 20, "marin", 1.0, sound.PCM)
    assert sound.PCM.ms(len(audio)) == pytest.approx(1300, abs=2)


@pytest.mark.parametrize("voice", ["rms", "slt"])
async def test_the_recogniser_knows_the_scenarios_phrases_on_the_telephone(voice: str, flite: list[str]) -> None:
    recogniser = Recogniser(load_scenario(known_word=known_word).grammar)
    await recogniser.warm_up()
    mouth = speech.Voice(flite, voice)
    for words in ("what are your opening hours", "my order number is four two seven", "thank you goodbye"):
        audio = await mouth.say(words, "", 1.0, sound.PCMU)
        heard = await recogniser.recognise(sound.PCMU.decode(audio), 8000)
        assert heard == words
    assert await recogniser.recognise(np.zeros(0, np.int16), 8000) == ""
    assert await Recogniser([]).recognise(np.zeros(800, np.int16), 8000) == ""


async def test_a_spoken_conversation(make_place: Any, flite: list[str]) -> None:
    """Silero's turns, pocketsphinx's words, the default scenario, flite's answers; over pcmu, in real time."""
    place = await make_place(voice="rms", recogniser=True, detector="silero", think_ms=100, fetch=True)
    client = await place.client()
    both = {"format": {"type": "audio/pcmu"}}
    detection = {"type": "server_vad", "silence_duration_ms": 400}
    audio = {
        "input": {**both, "turn_detection": detection, "transcription": {"model": "gpt-transcribe"}},
        "output": both,
    }
    await client.send({"type": "session.update", "session": {"type": "realtime", "audio": audio}})
    mouth = speech.Voice(flite, "slt")

    async def say(words: str) -> tuple[str, float]:
        spoken = await mouth.say(words, "", 1.0, sound.PCMU)
        start = place.server.session.appended_ms if place.server.sessions else 0.0
        for piece in sound.PCMU.silence(500) + spoken + sound.PCMU.silence(900), b"":
            for at in range(0, len(piece), 160):
                encoded = base64.b64encode(piece[at : at + 160]).decode()
                await client.send({"type": "input_audio_buffer.append", "audio": encoded})
                await asyncio.sleep(0.004)
        done = await client.until("response.done", timeout=30)
        stopped = client.of("input_audio_buffer.speech_stopped")[-1]["audio_end_ms"]
        true_end = start + 500 + sound.PCMU.ms(len(spoken))
        return done["response"]["output"][0]["content"][0]["transcript"], stopped - 400 - true_end

    answer, off_ms = await say("What are your opening hours?")
    assert answer.startswith("We are open from Monday to Friday")
    assert abs(off_ms) < 250  # where the detector hears the end of speech, against where it was
    answer, _ = await say("Where is your shop?")
    assert "Quay Street" in answer
    answer, _ = await say("Thank you. Goodbye.")
    assert answer.endswith("Goodbye!")
    session = place.server.session
    assert session.said == ["what are your opening hours", "where is your shop", "thank you goodbye"]
    prefix = "conversation.item.input_audio_transcription.completed"
    await session.wait_sent(prefix, count=3)
    assert [event["transcript"] for event in session.sent_events(prefix)] == session.said


SPANISH = """
rules:
  - when: {said: [a qué hora abren mañana]}
    then: [say: "¡Claro! Abrimos a las nueve."]
  - when: {said: [quiero hablar con una persona]}
    then: [say: "¡Un momento!"]
  - when: {said: [what are your opening hours]}
    then: [say: From nine to six.]
otherwise: [say: Pardon.]
pronunciations:
  a: AA
  qué: K EY
  hora: AO R AH
  abren: AA B R EH N
  mañana: m aa n y aa n ah
  quiero: K Y EH R OW
  hablar: AA B L AA R
  con: K OW N
  persona: P EH R S OW N AH
"""


@pytest.fixture(scope="session")
def espeak() -> list[str]:
    return ensure_tool("espeak-ng", default_lab_dir())


@pytest.mark.parametrize("voice", ["es", "es-419"])
async def test_words_of_another_language_are_recognised_by_their_pronunciations(
    flite: list[str], espeak: list[str], voice: str
) -> None:
    scenario = parse_scenario(SPANISH, "spanish.yaml", known_word)
    recogniser = Recogniser(scenario.grammar, scenario.pronunciations)
    for text, argv, name in (
        ("¿A qué hora abren mañana?", espeak, voice),
        ("Quiero hablar con una persona.", espeak, voice),
        ("What are your opening hours?", flite, "kal16"),
    ):
        pcm = await CallersVoice(argv, name, SLIN8).say(text)
        heard = await recogniser.recognise(np.frombuffer(pcm, "<i2"), 8000)
        assert heard == " ".join(re.findall(r"\w+", text.lower()))


async def test_spanish_is_spoken_as_such(flite: list[str], espeak: list[str]) -> None:
    english, spanish = speech.Voice(flite, "rms"), speech.Voice(flite, "rms", espeak=espeak)
    text = "¡Mañana abrimos a las nueve!"
    made = [await mouth.say(text, "marin", 1.0, sound.PCM) for mouth in (english, spanish)]
    assert made[0] != made[1]
    assert all(len(audio) > 24000 for audio in made)
    assert await english.say("Hello there.", "marin", 1.0, sound.PCM) == await spanish.say(
        "Hello there.", "marin", 1.0, sound.PCM
    )


def test_phones_that_are_none_are_refused() -> None:
    text = SPANISH.replace("hora: AO R AH", "hora: O R A")
    with pytest.raises(
        ConfigurationError, match=r"spanish.yaml, line \d+, key pronunciations.hora: no such phones: A, O"
    ):
        parse_scenario(text, "spanish.yaml", known_word)
