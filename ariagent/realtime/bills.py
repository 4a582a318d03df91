"""Checks the use that the model's server reports. CORE.

A site's daily cap is one sum for all calls: one impossible count would refuse callers until midnight. So a response is
counted once, only if it began, and with no more sound than it can have had (source: OpenAI's Realtime guide on costs:
the caller's audio is a token per 100 ms, the model's one per 50 ms, and a response reads all of the conversation).
"""

from ariagent.realtime.events import Usage
from ariagent.realtime.fields import MalformedError, usage

KEPT = 16
"""Responses that began and are not over."""
ROOM = 4
"""Other servers count otherwise: up to this many times the tokens is believed."""
HEARD_PER_S, SAID_PER_S = 10, 20
"""Tokens of the caller's audio, and of the model's."""
ROOM_TOKENS = 2_000
"""Tokens for sound from before, and for servers that count in steps."""


INPUT_ROOM, INPUT_PER_S = 300_000.0, 10_000.0
"""Input tokens of all responses of a session that are believed: at once, and for each second of it. A conversation of
32,000 tokens with eight responses a minute uses 4,300 a second."""
WRITTEN_ROOM, WRITTEN_PER_S = 16_000.0, 200.0
"""Output tokens that are no sound. A response has 4,096 at most, and somebody has to hear or do what they say."""


class _Allowance:
    """An allowance of tokens: a number at once, and a number more with each second."""

    def __init__(self, room: float, per_s: float) -> None:
        self._room, self._per_s, self._left, self._at = room, per_s, room, 0.0

    def take(self, tokens: float, at: float) -> None:
        """Raises MalformedError if fewer are left."""
        self._left = min(self._room, self._left + self._per_s * max(0.0, at - self._at))
        self._at = max(self._at, at)
        if tokens > self._left:
            raise MalformedError("usage")
        self._left -= tokens


class Bills:
    """The bills of one session. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._since = 0.0
        self._open: dict[str, float] = {}  # seconds of audio of each response
        self._input = _Allowance(INPUT_ROOM, INPUT_PER_S)
        self._written = _Allowance(WRITTEN_ROOM, WRITTEN_PER_S)

    def opened(self, now: float) -> None:
        """The session began."""
        self._since = now

    def began(self, response_id: str) -> None:
        """A response began."""
        self._open.setdefault(response_id, 0.0)
        while len(self._open) > KEPT:
            del self._open[next(iter(self._open))]

    def brought(self, response_id: str, audio_s: float) -> None:
        """Audio of a response came."""
        if response_id in self._open:
            self._open[response_id] += audio_s

    def ended(self, response_id: str, counts: object, now: float) -> Usage:
        """The use of a response that ended now. Raises MalformedError where that cannot be."""
        audio_s = self._open.pop(response_id, None)
        used = usage(counts)
        if audio_s is None and used.tokens:
            raise MalformedError("usage")
        return self.believed(used, now, audio_s or 0.0)

    def believed(self, used: Usage, now: float, audio_s: float) -> Usage:
        """``used`` by a response with this much audio. Raises MalformedError if that is impossible."""
        session_s = now - self._since
        heard = ROOM * (HEARD_PER_S + SAID_PER_S) * session_s + ROOM_TOKENS
        said = ROOM * SAID_PER_S * audio_s + ROOM_TOKENS
        if used.input_audio > heard or used.output_audio > said:
            raise MalformedError("usage")
        self._input.take(used.input_text + used.input_audio, session_s)
        self._written.take(used.output_text, session_s)
        return used
