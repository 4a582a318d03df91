"""The voice of a synthetic caller: texts spoken by flite or espeak-ng, and recordings, as 16-bit mono PCM."""

from __future__ import annotations

import hashlib
import tempfile
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from ariagent.audio.format import AudioFormat
from ariagent.errors import ConfigurationError
from ariagent.synthesis.speaking import speak, speak_foreign

Samples = NDArray[np.int16]

QUIET_SAMPLE = 500
"""Below this (-36 dBFS, above the hum that kal16 begins with) the ends of a synthesised text are cut off: its first
word is to be heard at once."""
MARGIN_MS = 40
FOREIGN_VOICES = {"es": "es+f2", "es-419": "es-419+f2"}
"""Voices of espeak-ng, as it names them: Spanish of Spain and of Latin America. All others are flite's. f2 is the one
of its speakers that a recogniser understands on a telephone line."""
_FOREIGN_WORDS_PER_MINUTE = 140
MAX_RECORDING_S = 300.0


class Voice:
    """Speaks with one voice at one rate. ``argv`` is the argv prefix of the program that has it (``tool_of``).

    A text is synthesised once; with ``cache_dir`` also once for later runs.
    """

    def __init__(self, argv: Sequence[str], name: str, fmt: AudioFormat, cache_dir: Path | None = None) -> None:
        self._argv = tuple(argv)
        self._name = name
        self._format = fmt
        self._cache_dir = cache_dir
        self._spoken: dict[str, bytes] = {}

    async def say(self, text: str) -> bytes:
        """``text`` as PCM in the voice's format, without silence around it.

        Raises ConfigurationError when the program fails or has nothing to say.
        """
        if text not in self._spoken:
            self._spoken[text] = await self._make(text)
        return self._spoken[text]

    async def _make(self, text: str) -> bytes:
        with tempfile.TemporaryDirectory(prefix="ariagent-voice-") as folder:
            path = self._cached(text) or Path(folder) / "speech.wav"
            if not path.exists():
                await self._synthesise(text, path)
            samples, rate_hz = read_wav(path)
        samples = trimmed(samples, rate_hz)
        if not len(samples):
            raise ConfigurationError(
                f"{tool_of(self._name)} says nothing for {text!r}", remedy="Write words in plain letters"
            )
        return converted(samples, rate_hz, self._format)

    def _cached(self, text: str) -> Path | None:
        if self._cache_dir is None:
            return None
        self._cache_dir.mkdir(parents=True, exist_ok=True)
        return self._cache_dir / (hashlib.sha256(f"{self._name}\0{text}".encode()).hexdigest()[:32] + ".wav")

    async def _synthesise(self, text: str, path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as folder:
            # Made beside its place and then moved there: a cut-off run leaves no half file in the cache.
            scratch = Path(folder) / "speech.wav"
            if tool_of(self._name) == "espeak-ng":
                await speak_foreign(self._argv, FOREIGN_VOICES[self._name], text, scratch, _FOREIGN_WORDS_PER_MINUTE)
            else:
                await speak(self._argv, self._name, text, scratch)
            scratch.replace(path)


def tool_of(voice: str) -> str:
    """The program that has this voice, as ``packages.ensure_tool`` knows it."""
    return "espeak-ng" if voice in FOREIGN_VOICES else "flite"


def read_wav(path: Path) -> tuple[Samples, int]:
    """The samples of a 16-bit WAV file, its channels mixed to one, and its rate in Hz.

    Raises ConfigurationError for what is no such file.
    """
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate_hz = file.getnchannels(), file.getsampwidth(), file.getframerate()
            if file.getnframes() > MAX_RECORDING_S * rate_hz:
                raise ConfigurationError(f"{path}: longer than {MAX_RECORDING_S:.0f} s")
            data = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        remedy = "Convert it with: sox FILE -b 16 -e signed-integer OUT.wav"
        raise ConfigurationError(f"{path}: not a WAV file that can be played: {error}", remedy=remedy) from None
    if width != 2:
        remedy = "Convert it with: sox FILE -b 16 OUT.wav"
        raise ConfigurationError(f"{path}: has {8 * width} bits per sample, not 16", remedy=remedy)
    samples = np.frombuffer(data[: len(data) - len(data) % (2 * channels)], "<i2")
    if channels > 1:
        samples = samples.reshape(-1, channels).mean(axis=1).astype(np.int16)
    return samples, rate_hz


def write_wav(path: Path, samples: Samples, rate_hz: int) -> None:
    """Write mono 16-bit samples; the file appears whole or not at all."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as folder:
        scratch = Path(folder) / "new.wav"
        with wave.open(str(scratch), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate_hz)
            file.writeframes(samples.astype("<i2").tobytes())
        scratch.replace(path)


def recording(path: Path, fmt: AudioFormat) -> bytes:
    """A WAV file as PCM in ``fmt``, whole: silence around the words is part of a recording."""
    samples, rate_hz = read_wav(path)
    return converted(samples, rate_hz, fmt)


def trimmed(samples: Samples, rate_hz: int) -> Samples:
    """Without the silence at both ends, but for 40 ms; nothing when all of it is silence."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > QUIET_SAMPLE)
    if not loud.size:
        return samples[:0]
    margin = rate_hz * MARGIN_MS // 1000
    return samples[max(0, int(loud[0]) - margin) : int(loud[-1]) + 1 + margin]


def converted(samples: Samples, from_hz: int, fmt: AudioFormat) -> bytes:
    """Samples at any rate as PCM in ``fmt``. Made ahead of the call, so the delay of a good filter does no harm."""
    if from_hz != fmt.rate_hz:
        samples = soxr.resample(samples, from_hz, fmt.rate_hz, quality="HQ")
    return np.asarray(samples).astype("<i2").tobytes()
