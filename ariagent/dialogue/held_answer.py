"""The answer that is held: it is not known whether a sound was speech, or whether the caller continues. CORE."""

from ariagent.realtime import events as rt

MOST_HELD = 4_000
"""Events of one answer that are held."""


class HeldAnswer:
    """Keeps the events of the responses that are held, and when they came (monotonic seconds)."""

    def __init__(self) -> None:
        self.response_ids: tuple[str, ...] = ()
        """The held responses, in the order of their beginnings. Most often it is one, or none."""
        self._events: list[tuple[rt.Event, float]] = []
        self._audio_bytes = 0
        self.begun = False
        """There is something in it that would be heard, or done."""

    def begin(self, response_id: str) -> None:
        """Hold this response, too."""
        self.response_ids = (*self.response_ids, response_id)

    def takes(self, event: rt.Event, now: float) -> bool:
        """Whether the event is of a response that is held; it is kept then. Some servers leave out the response: it is
        the one that runs."""
        if not self.response_ids or getattr(event, "response_id", None) not in (*self.response_ids, ""):
            return False
        self._events.append((event, now))
        if isinstance(event, rt.AudioArrived):
            self._audio_bytes += len(event.audio)
            self.begun = True
        elif isinstance(event, rt.ResponseEnded) and event.tool_calls:
            self.begun = True
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
        self.response_ids, self._audio_bytes, self.begun = (), 0, False
        return events
