"""Comparing words: what was said with what was expected. CORE."""

from difflib import SequenceMatcher

from ariagent.text import unaccented

SIMILAR = 0.75
"""How alike two phrases must be to count as the same, from 0 to 1."""


def spoken(text: str) -> list[str]:
    """The words of a text, in lower case, without punctuation and accents."""
    letters = unaccented(text.lower().replace("\u2019", "'"))
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
