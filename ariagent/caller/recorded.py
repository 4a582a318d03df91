"""Sentences that come with the package as recorded speech: a call with them needs no synthesiser.

``recordings/VOICE-the-words.wav`` holds each, mono, 16 bit, 16 kHz. They are the sentences of ``scripts/default.yaml``;
``make recordings`` makes them again.
"""

from __future__ import annotations

from pathlib import Path

from ariagent.caller.words import spoken

FOLDER = Path(__file__).parent / "recordings"
RATE_HZ = 16_000


def recorded(voice: str, text: str) -> Path | None:
    """The recording of ``text`` in ``voice``; None where there is none. Case and punctuation do not matter."""
    path = FOLDER / file_name(voice, text)
    return path if path.is_file() else None


def file_name(voice: str, text: str) -> str:
    """The name of a sentence's recording."""
    return f"{voice}-{'-'.join(spoken(text))}.wav"
