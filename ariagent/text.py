"""Small things about words that several parts need. No I/O."""

import difflib
import unicodedata
from collections.abc import Iterable


def unaccented(text: str) -> str:
    """A text in its plain letters: compatibility forms taken apart (NFKD), accents dropped."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` (did you mean NAME?)`` for a name that is almost one of the known, else nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""
