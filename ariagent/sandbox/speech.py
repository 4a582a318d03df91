"""The model's voice: flite in a process of its own, cached, in any of the wire formats.

Speech is made by texts, not by models: it is the stand-in's voice, meant to be understood by humans and recognisers.
The voice ``tone`` needs no flite: it hums for as long as the text would take.
"""

import asyncio
import hashlib
import tempfile
import unicodedata
import wave
from collections import OrderedDict
from pathlib import Path

import numpy as np
import soxr

from ariagent.errors import ConfigurationError
from ariagent.sandbox.audio import Samples, WireFormat, tone
from ariagent.synthesis.speaking import speak, speak_foreign

FLITE_HZ = 16_000
TONE_MS_PER_LETTER = 65
_FLITE_OF_VOICE = {
    "marin": "slt",
    "coral": "slt",
    "sage": "slt",
    "shimmer": "slt",
    "alloy": "rms",
    "ash": "rms",
    "cedar": "rms",
    "echo": "rms",
    "ballad": "awb",
    "verse": "awb",
}
_PLAIN = {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "’": "'", "‘": "'", "–": "-", "—": "-"}
_SPANISH_VOICE = "es+m3"
_SPANISH_WORDS_PER_MINUTE = 160
_SPANISH_LETTERS = frozenset("¿¡ñÑ")
_AT_ONCE = 2
_CACHE_SECONDS = 1200.0

Key = tuple[str, str, float]


class _Cache:
    """Speech at 16 kHz by text, voice and speed; the least recently used goes first once it holds 20 minutes."""

    def __init__(self) -> None:
        self._clips: OrderedDict[Key, Samples] = OrderedDict()
        self._seconds = 0.0

    def get(self, key: Key) -> Samples | None:
        clip = self._clips.get(key)
        if clip is not None:
            self._clips.move_to_end(key)
        return clip

    def put(self, key: Key, clip: Samples) -> None:
        if key in self._clips:
            return
        self._clips[key] = clip
        self._seconds += len(clip) / FLITE_HZ
        while self._seconds > _CACHE_SECONDS and len(self._clips) > 1:
            self._seconds -= len(self._clips.popitem(last=False)[1]) / FLITE_HZ


_CACHE = _Cache()  # of the process: a test run starts many servers that all say the same


def is_spanish(text: str) -> bool:
    """Whether a text shows that it is Spanish: by a letter or mark that no other language here has."""
    return not _SPANISH_LETTERS.isdisjoint(text)


class Voice:
    """Speaks texts. ``flite`` is the argv prefix that runs it; empty only with the voice ``tone``.

    With ``espeak``, the same of espeak-ng, what is Spanish is spoken as such.
    """

    def __init__(
        self, flite: list[str], voice: str, cache_dir: Path | None = None, espeak: list[str] | None = None
    ) -> None:
        self._flite = flite
        self._espeak = espeak or []
        self._voice = voice
        self._cache_dir = cache_dir
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._running: dict[Key, asyncio.Task[Samples]] = {}

    async def say(self, text: str, voice: str, speed: float, fmt: WireFormat) -> bytes:
        """``text`` in the wire format ``fmt``. Raises :class:`ConfigurationError` when flite fails."""
        chosen = self._voice or _FLITE_OF_VOICE.get(voice, "rms")
        if self._espeak and chosen != "tone" and is_spanish(text):
            chosen = _SPANISH_VOICE
        key = (text, chosen, speed)
        clip = _CACHE.get(key)
        if clip is None:
            task = self._running.get(key)
            if task is None:
                task = self._running[key] = asyncio.create_task(self._make(key))
                task.add_done_callback(lambda _: self._running.pop(key, None))
            clip = await asyncio.shield(task)
        if fmt.rate_hz == FLITE_HZ:
            return fmt.encode(clip)
        return await asyncio.to_thread(_converted, clip, fmt)

    async def close(self) -> None:
        """Stop what is being made."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(self, key: Key) -> Samples:
        text, voice, speed = key
        if voice == "tone" or (_has_words(text) and not _has_words(pronounceable(text))):
            clip = tone(max(1, len(text)) * TONE_MS_PER_LETTER / speed, FLITE_HZ, 440.0)
        else:
            clip = await self._from_disk(key)
        _CACHE.put(key, clip)
        return clip

    async def _from_disk(self, key: Key) -> Samples:
        name = hashlib.sha256(repr(key).encode()).hexdigest()[:32] + ".wav"
        kept = self._cache_dir / name if self._cache_dir else None
        if kept is not None and await asyncio.to_thread(kept.exists):
            return await asyncio.to_thread(read_wav, kept)
        async with self._slots:
            with tempfile.TemporaryDirectory(prefix="sandbox-speech-") as folder:
                path = Path(folder) / name
                text, voice, speed = key
                if voice == _SPANISH_VOICE:
                    await speak_foreign(self._espeak, voice, text, path, round(_SPANISH_WORDS_PER_MINUTE * speed))
                else:
                    stretch = ("--setf", f"duration_stretch={1 / speed:.3f}")
                    await speak(self._flite, voice, pronounceable(text) or ".", path, *stretch)
                clip = trimmed(await asyncio.to_thread(read_wav, path))
        if kept is not None:
            await asyncio.to_thread(write_wav, kept, clip)
        return clip


def pronounceable(text: str) -> str:
    """A text in letters that flite can read, which are the English ones: it breaks a word at others (f r for für)."""
    for letter, plain in _PLAIN.items():
        text = text.replace(letter, plain)
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().strip()


def _has_words(text: str) -> bool:
    return any(letter.isalnum() for letter in text)


def _converted(clip: Samples, fmt: WireFormat) -> bytes:
    return fmt.encode(resampled(clip, FLITE_HZ, fmt.rate_hz))


def resampled(clip: Samples, from_hz: int, to_hz: int) -> Samples:
    """A whole clip at another rate."""
    if from_hz == to_hz:
        return clip
    return np.asarray(soxr.resample(clip, from_hz, to_hz, quality="MQ"), np.int16)


def trimmed(clip: Samples, quiet: int = 150, keep: int = FLITE_HZ // 200) -> Samples:
    """Without the silence around the words, but for 5 ms: a reply's first frame of 20 ms is to be heard."""
    loud = np.flatnonzero(np.abs(clip.astype(np.int32)) > quiet)
    if not len(loud):
        return clip
    return clip[max(0, int(loud[0]) - keep) : int(loud[-1]) + keep]


def read_wav(path: Path) -> Samples:
    """The samples of a mono 16-bit WAV file at 16 kHz (8 kHz voices are brought up)."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return resampled(samples, file.getframerate(), FLITE_HZ)


def write_wav(path: Path, clip: Samples) -> None:
    """Write samples at 16 kHz; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part,
        wave.open(part, "wb") as file,
    ):
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(FLITE_HZ)
        file.writeframes(clip.astype("<i2").tobytes())
    Path(part.name).replace(path)


def check_voice(voice: str) -> None:
    """Raises :class:`ConfigurationError` for a voice that cannot be."""
    known = ("", "tone", "rms", "slt", "awb", "kal", "kal16")
    if voice not in known:
        raise ConfigurationError(f"no such voice: {voice}", remedy=f"Known: {', '.join(known[1:])}")
