"""Which use of the model is believed. CORE.

A site's daily cap is one sum for all calls: one impossible count would refuse callers until midnight. So a response is
counted once, only if it began, and with no more sound than it can have had (source: OpenAI's Realtime guide on costs:
the caller's audio is a token per 100 ms, the model's one per 50 ms, and a response reads all of the conversation).
"""

from ariagent.realtime.events import Usage
from ariagent.realtime.fields import MalformedError, usage

KEPT = 16
"""Responses that began and are not over."""
ROOM = 4
"""Other servers count otherwise: so many times the tokens are believed."""
HEARD_PER_S, SAID_PER_S = 10, 20
"""Tokens of the caller's audio, and of the model's."""
ROOM_TOKENS = 2_000
"""For sound that was there before, and for servers that count in steps."""


class Bills:
    """The responses of one session."""

    def __init__(self) -> None:
        self._open: dict[str, float] = {}  # seconds of audio of each response

    def began(self, response_id: str) -> None:
        """A response began."""
        self._open.setdefault(response_id, 0.0)
        while len(self._open) > KEPT:
            del self._open[next(iter(self._open))]

    def brought(self, response_id: str, audio_s: float) -> None:
        """Audio of a response came."""
        if response_id in self._open:
            self._open[response_id] += audio_s

    def ended(self, response_id: str, counts: object, session_s: float) -> Usage:
        """Return the use of a response that ended ``session_s`` after the session began. Raises MalformedError if it
        cannot be."""
        audio_s = self._open.pop(response_id, None)
        used = usage(counts)
        if audio_s is None and used.tokens:
            raise MalformedError("usage")
        return believed(used, session_s, audio_s or 0.0)


def believed(used: Usage, session_s: float, audio_s: float) -> Usage:
    """``used`` by a response that brought so much audio. Raises MalformedError where that cannot be."""
    heard = ROOM * (HEARD_PER_S + SAID_PER_S) * session_s + ROOM_TOKENS
    said = ROOM * SAID_PER_S * audio_s + ROOM_TOKENS
    if used.input_audio > heard or used.output_audio > said:
        raise MalformedError("usage")
    return used
