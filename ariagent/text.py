"""Small things about words that several parts need. No I/O."""

import difflib
import unicodedata
from collections.abc import Iterable


def encodable(text: str) -> str:
    """A text that UTF-8 can hold: half of a surrogate pair, which JSON may bring, becomes the replacement character.

    Two halves side by side, from a text that was cut within a character, become that character again.
    """
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def unaccented(text: str) -> str:
    """A text in its plain letters: compatibility forms taken apart (NFKD), accents dropped."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` (did you mean NAME?)`` for a name that is almost one of the known, else nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def heard_words(text: str, part: float) -> str:
    """The words of a text that had begun after this part (0 to 1) of its audio, as far as their lengths tell."""
    words = text.split()
    spoken = part * sum(len(word) + 1 for word in words)
    heard: list[str] = []
    for word in words:
        if spoken <= 0:
            break
        heard.append(word)
        spoken -= len(word) + 1
    return " ".join(heard) if len(heard) == len(words) or not heard else " ".join(heard) + " ..."
