"""Texts to PCM by the real flite, recordings of every kind, and the recogniser on what flite said."""

import wave
from pathlib import Path

import numpy as np
import pytest

from ariagent.audio.format import SLIN8, SLIN24, AudioFormat
from ariagent.caller.ears import level_dbfs
from ariagent.caller.recognise import Recogniser
from ariagent.caller.voice import Voice, read_wav, recording, trimmed
from ariagent.caller.words import has_phrase, spoken
from ariagent.errors import ConfigurationError
from lab.packages import default_lab_dir, ensure_tool


@pytest.fixture(scope="session")
def flite() -> list[str]:
    return ensure_tool("flite", default_lab_dir())


def write_wav(path: Path, samples: np.ndarray, rate_hz: int, channels: int = 1, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        file.writeframes(samples.tobytes())
    return path


@pytest.mark.parametrize("fmt", [SLIN8, SLIN24], ids=str)
async def test_a_text_is_spoken_at_once_in_the_format(flite: list[str], fmt: AudioFormat) -> None:
    pcm = await Voice(flite, "kal16", fmt).say("What are your opening hours?")
    assert 1000 < fmt.ms(len(pcm)) < 4000
    loud = [at for at in range(0, len(pcm), fmt.frame_bytes) if level_dbfs(pcm[at : at + fmt.frame_bytes]) > -42]
    assert fmt.ms(loud[0]) <= 100
    assert fmt.ms(len(pcm) - loud[-1]) <= 120


async def test_speech_is_kept_for_later_runs(flite: list[str], tmp_path: Path) -> None:
    first = await Voice(flite, "kal16", SLIN24, tmp_path).say("Hello.")
    assert len(list(tmp_path.glob("*.wav"))) == 1
    # A second caller needs no flite for it; another voice or text would.
    assert await Voice(["/nonexistent/flite"], "kal16", SLIN24, tmp_path).say("Hello.") == first
    with pytest.raises(OSError, match="No such file"):
        await Voice(["/nonexistent/flite"], "slt", SLIN24, tmp_path).say("Hello.")


@pytest.mark.parametrize("command", [["false"], ["true"]], ids=["fails", "makes nothing"])
async def test_flite_that_fails_is_told(command: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="flite failed"):
        await Voice(command, "kal16", SLIN24).say("Hello.")


async def test_a_text_without_sound_is_refused(flite: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="says nothing"):
        await Voice(flite, "kal16", SLIN24).say("...")


def test_recording_is_mixed_and_converted(tmp_path: Path) -> None:
    left = np.full(44_100, 1000, "<i2")
    path = write_wav(tmp_path / "two.wav", np.stack((left, 3 * left), axis=1), 44_100, channels=2)
    pcm = np.frombuffer(recording(path, SLIN24), "<i2")
    assert len(pcm) == pytest.approx(24_000, abs=2)
    assert np.median(pcm) == pytest.approx(2000, abs=2)


def test_recording_keeps_its_silence(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "quiet.wav", np.zeros(8000, "<i2"), 8000)
    assert recording(path, SLIN8) == bytes(16_000)


def test_files_that_cannot_be_played(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("hello")
    with pytest.raises(ConfigurationError, match="not a WAV file"):
        read_wav(tmp_path / "text.wav")
    with pytest.raises(ConfigurationError, match="not a WAV file"):
        read_wav(tmp_path / "none.wav")
    with pytest.raises(ConfigurationError, match="8 bits per sample"):
        read_wav(write_wav(tmp_path / "eight.wav", np.zeros(100, np.uint8), 8000, width=1))


def test_trimming_leaves_a_margin() -> None:
    samples = np.zeros(16_000, np.int16)
    samples[8000:9000] = 5000
    assert len(trimmed(samples, 16_000)) == 1000 + 2 * 640
    assert not len(trimmed(np.zeros(100, np.int16), 16_000))


async def test_the_recogniser_understands_flite(flite: list[str]) -> None:
    pytest.importorskip("pocketsphinx")
    async with Recogniser() as recogniser:
        for fmt in (SLIN24, SLIN8):
            pcm = await Voice(flite, "rms", fmt).say("What are your opening hours, please?")
            words = await recogniser.words(pcm, fmt)
            assert words is not None
            assert has_phrase(words, "opening hours")
        assert await recogniser.words(bytes(24_000), SLIN24) == ""
        assert await recogniser.words(b"", SLIN24) == ""


async def test_a_recogniser_that_was_ended_knows_nothing() -> None:
    recogniser = Recogniser()
    async with recogniser:
        pass
    assert await recogniser.words(bytes(960), SLIN24) is None


def test_spoken_words() -> None:
    assert spoken("You're right: it's 9 o'clock -- now!") == ["you're", "right", "it's", "9", "o'clock", "now"]


@pytest.mark.parametrize(
    ("text", "phrase", "found"),
    [
        ("we are open for monday to friday", "Monday", True),
        ("thank you for calling harbor cycled goodbye", "harbour cycles", True),
        ("thank you for calling good bye", "goodbye", True),
        ("you pressed to a small service", "you pressed two", True),
        ("we are open for monday to friday", "saturday", False),
        ("we are open", "are closed", False),
        ("", "hello", False),
        ("hello", "?", False),
    ],
)
def test_phrases_are_found_about(text: str, phrase: str, found: bool) -> None:
    assert has_phrase(text, phrase) is found
