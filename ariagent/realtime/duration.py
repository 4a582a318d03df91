"""How long a text takes to say: whether what a model sends can be its speech at all. CORE.

Measured with whole calls: speech takes about 90 ms for each letter of the text as it is read out; PCM at 16 kHz that is
played as G.711 is noise, and takes 325 ms.
"""

import re
import unicodedata

from ariagent.realtime.words import readings

LEAST_MS = 15.0
"""Shortest audio for each letter, in milliseconds. Shorter audio was cut off: the fastest speech takes twice as
long."""
MOST_MS = 180.0
"""Longest audio for each letter, in milliseconds: twice as long as speech, pauses included, and half as long as
noise."""
PAUSES_MS = 1500.0
"""Milliseconds of pauses before, between and after the words, added to the longest duration."""
USE_PCM = "Set realtime.encoding to pcm"

_SCRIPTS = {"CJK": 3.0, "HIRAGANA": 2.0, "KATAKANA": 2.0, "HANGUL": 1.0}
"""Scripts by the first word of their letters' names. Syllables of Hangul are counted by their letters."""
_SPELLED = re.compile(r"(?<![^\W\d_])[^\W\d_]{2,5}(?![^\W\d_])")


def least_ms(text: str, language: str, speed: float = 1.0) -> float:
    """Speech of this text cannot be shorter; ``speed`` is the session's (1 is normal)."""
    return LEAST_MS * _letters(text, language)[0] / max(speed, 1.0)


def most_ms(text: str, language: str, speed: float = 1.0) -> float:
    """Speech of this text is not longer. Some servers have one speed only: a fast one shortens nothing here."""
    return (PAUSES_MS + MOST_MS * _letters(text, language)[1]) / min(speed, 1.0)


def not_spoken(encoding: str, ms: float, text: str, language: str, speed: float = 1.0) -> str:
    """Why ``ms`` of sound in this encoding are not speech of ``text``: the server acknowledged G.711, and sends
    something else, which callers would hear as noise. "" if they may be."""
    if encoding == "pcm" or ms <= most_ms(text, language, speed):
        return ""
    return (
        f"the model acknowledged audio/{encoding} and does not speak it: it sent {ms / 1000:.1f} s of sound for words "
        f"of at most {most_ms(text, language, speed) / 1000:.1f} s, which callers hear as noise"
    )


def _letters(text: str, language: str) -> tuple[float, float]:
    """The fewest and the most letters that a text has, as it is read out."""
    lengths = [sum(map(_weight, reading)) for reading in readings(text, language)] or [0.0]
    # Each counts for the word that is said for it: EUR, ACME; @, /, €.
    spelled = sum(len(word) for word in _SPELLED.findall(text) if word.isupper())
    symbols = sum(unicodedata.category(letter)[0] == "S" or letter in "@/#*+&%" for letter in text)
    return min(lengths), max(lengths) + 3.0 * spelled + 6.0 * symbols


def _weight(letter: str) -> float:
    """How many letters of an alphabet take as long as this one."""
    if letter.isascii():
        return 5.0 if letter.isdigit() else 1.0  # figures stand here only where nobody knows their words
    script = unicodedata.name(letter, "").partition(" ")[0]
    if script in _SCRIPTS:
        return _SCRIPTS[script]
    return 1.5 if unicodedata.category(letter) == "Lo" else 1.0  # most alphabets without capitals leave vowels out
