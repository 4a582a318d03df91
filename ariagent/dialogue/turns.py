"""How long the caller waited for each answer, counted from the true end of their speech. I/O-free.

The model reports the end of speech late: it waits in silence first, and the report travels. So the end is
taken from the model's audio clock, less the silence it waited for, and mapped to wall time through our own
count of the audio that we appended. All times are monotonic seconds.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TurnLatency:
    """One answer's delay and its parts, in seconds: ``response = detection + model + held + service``."""

    response_s: float
    """Caller's true end of speech to the first frame of the answer handed to Asterisk."""
    detection_s: float
    """Seconds from the end of speech to the model's report that the turn ended."""
    model_s: float
    """Seconds from that report to the first audio of the answer."""
    service_s: float
    """Seconds from that audio, or from its release, to the first frame sent to Asterisk."""
    held_s: float = 0.0
    """Seconds for which that audio was held: it was not known yet whether the caller's turn was over, or whether a
    sound was speech."""


class TurnClock:
    """Follows one turn after another; an answer that the caller talks over before it begins is not counted."""

    def __init__(self) -> None:
        self._speech_end: float | None = None
        self._noticed = 0.0
        self._audio_arrived: float | None = None
        self._released = float("-inf")

    def speech_started(self) -> None:
        self._speech_end = self._audio_arrived = None
        self._released = float("-inf")

    def speech_ended(self, true_end: float, noticed: float) -> None:
        """The model reported at ``noticed`` that the caller's speech ended; really it was at ``true_end``."""
        self._speech_end, self._noticed = min(true_end, noticed), noticed
        self._audio_arrived = None
        self._released = float("-inf")

    def released(self, now: float) -> None:
        """The answer was held until now; its audio may have arrived before, or comes later."""
        self._released = now

    def audio_arrived(self, now: float) -> None:
        """Audio of the agent arrived; only the first of an answer counts."""
        if self._speech_end is not None and self._audio_arrived is None:
            self._audio_arrived = now

    def frame_sent(self, now: float) -> TurnLatency | None:
        """The first frame of an item was handed to Asterisk: the turn's latency, once."""
        end, arrived = self._speech_end, self._audio_arrived
        if end is None or arrived is None:
            return None
        held = max(0.0, self._released - arrived)
        self.speech_started()
        return TurnLatency(now - end, self._noticed - end, arrived - self._noticed, now - arrived - held, held)
