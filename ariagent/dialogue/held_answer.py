"""The answer to a sound that is being judged: held back until it is known whether the sound was speech. CORE."""

from ariagent.realtime import events as rt

MOST_HELD = 4_000
"""Events of one answer that are held."""


class HeldAnswer:
    """Keeps the events of one response, and when they came (monotonic seconds)."""

    def __init__(self) -> None:
        self.response_id = ""
        """The response that is held; empty: none."""
        self._events: list[tuple[rt.Event, float]] = []
        self._audio_bytes = 0

    def begin(self, response_id: str) -> None:
        """This response answers the sound."""
        self.response_id = response_id

    def takes(self, event: rt.Event, now: float) -> bool:
        """Whether the event is of the response that is held; it is kept then."""
        if not self.response_id or getattr(event, "response_id", None) != self.response_id:
            return False
        self._events.append((event, now))
        self._audio_bytes += len(event.audio) if isinstance(event, rt.AudioArrived) else 0
        return True

    @property
    def audio_bytes(self) -> int:
        """The audio that is held, in the model's encoding."""
        return self._audio_bytes

    @property
    def overfull(self) -> bool:
        """No answer has so many events."""
        return len(self._events) > MOST_HELD

    def end(self) -> list[tuple[rt.Event, float]]:
        """Hold nothing any more; returns what was held."""
        events, self._events = self._events, []
        self.response_id, self._audio_bytes = "", 0
        return events
