"""CORE: keeps secrets out of what others may read: log lines, reasons of failures, tools' answers, records.

ariagent puts no secret there. But servers send back what they were sent, and libraries log at their debug level
what they send; whatever way one takes, it does not come out.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from posixpath import commonprefix
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

from ariagent.secret import known_value, within

SHORTEST = 8
"""Characters. A shorter secret may be in any text by chance, and protects nothing anyway."""
HIDDEN = "***"


class Redaction:
    """Call it with a text: each of ``secrets`` in it, as it is or encoded, whole or cut off, is hidden."""

    def __init__(self, secrets: Iterable[str], *, shortest: int = SHORTEST) -> None:
        """Secrets of fewer characters than ``shortest`` are left."""
        whole = {part for secret in secrets for part in _parts(secret) if len(part) >= shortest}
        forms = {form for secret in whole for form in _forms(secret)}
        # The longest first: one may be the beginning of another.
        pairs = sorted(((_beginning(form), form) for form in forms), key=lambda pair: (-len(pair[1]), pair))
        self._beginnings = {
            beginning: [pair for pair in pairs if pair[0].startswith(beginning) or beginning.startswith(pair[0])]
            for beginning, _ in pairs
        }
        """With each all that may stand where it does."""
        self._any = re.compile("|".join(map(re.escape, self._beginnings)) or r"(?!)")
        """Most texts hold none: one look at each is enough."""

    def __call__(self, text: str) -> str:
        if self._any.search(text) is None:
            return text
        for beginning, known in self._beginnings.items():
            done, pieces = 0, list[str]()
            while (at := text.find(beginning, done)) >= 0:
                pieces += (text[done:at], HIDDEN)
                done = at + _length(text, at, known)
            text = "".join((*pieces, text[done:])) if pieces else text
        return text

    def within(self, found: object) -> object:
        """Redact all texts in lists and mappings."""
        if isinstance(found, str):
            return self(found)
        if isinstance(found, Mapping):
            return {self(key) if isinstance(key, str) else key: self.within(each) for key, each in found.items()}
        if isinstance(found, list | tuple):
            return type(found)(map(self.within, found)) if type(found) in (list, tuple) else found
        return found


def _length(text: str, at: int, known: Iterable[tuple[str, str]]) -> int:
    """The length of the secret that stands there. If several writings begin alike, the longest match counts."""
    return max(
        len(commonprefix((form, text[at : at + len(form)])))
        for beginning, form in known
        if text.startswith(beginning, at)
    )


def _beginning(form: str) -> str:
    """The beginning of a secret that gives it away: long texts are cut, and a secret with them."""
    return form if len(form) < 2 * SHORTEST else form[: max(SHORTEST, len(form) // 3)]


def secrets_of(found: object) -> Iterator[str]:
    """All secrets that are in settings, and pairs of user and password as HTTP sends them."""
    for _, each in within(found):
        if isinstance(each, SecretStr):
            yield known_value(each)
            continue
        user, password = getattr(each, "user", None), getattr(each, "password", None)
        if isinstance(user, str) and isinstance(password, SecretStr) and (value := known_value(password)):
            yield base64.b64encode(f"{user}:{value}".encode()).decode()


def _parts(secret: str) -> Iterator[str]:
    """A secret, and the part of it that protects: the token of ``Bearer TOKEN``, the password of ``Basic ...``."""
    yield secret
    scheme, space, credentials = secret.strip().partition(" ")
    if not space or not scheme.isascii() or " " in credentials.strip():
        return
    yield credentials.strip()
    if scheme.lower() == "basic":
        with suppress(ValueError):
            yield base64.b64decode(credentials, validate=True).decode().partition(":")[2]


def _forms(secret: str) -> set[str]:
    return {
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        base64.b64encode(secret.encode(errors="replace")).decode().rstrip("="),
    }
