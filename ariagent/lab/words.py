"""Comparing words: what was said with what was expected. CORE."""

import unicodedata
from difflib import SequenceMatcher

SIMILAR = 0.75
"""How alike two phrases must be to count as the same, from 0 to 1."""


def spoken(text: str) -> list[str]:
    """The words of a text, in lower case, without punctuation and accents."""
    plain = unicodedata.normalize("NFKD", text.lower().replace("\u2019", "'"))
    letters = (letter for letter in plain if not unicodedata.combining(letter))
    return "".join(letter if letter.isalnum() or letter == "'" else " " for letter in letters).split()


def has_phrase(text: str, phrase: str) -> bool:
    """Whether ``text`` has words that sound about like ``phrase``: recognition on a telephone line is never exact."""
    words, wanted = spoken(text), spoken(phrase)
    if not wanted:
        return False
    joined = "".join(wanted)
    for width in {max(1, len(wanted) - 1), len(wanted), len(wanted) + 1}:
        for at in range(len(words) - width + 1):
            if SequenceMatcher(None, "".join(words[at : at + width]), joined).ratio() >= SIMILAR:
                return True
    return False
