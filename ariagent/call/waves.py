"""The loudness of both sides over a call's time, into its record."""

import time

from ariagent.audio.format import AudioFormat
from ariagent.audio.peaks import Peaks
from ariagent.logs import CallLog, Side

KEEP_EVERY_FRAMES = 500
"""Ten seconds of frames."""


class Waves:
    """Collects both sides of a call that begins now.

    The caller's side is what the model was given, the agent's what was handed to Asterisk.
    """

    def __init__(self, fmt: AudioFormat, log: CallLog) -> None:
        self._log = log
        self._began = time.monotonic()
        self._caller, self._agent = Peaks(fmt), Peaks(fmt)
        self._starts: dict[str, float] = {}
        self._frames = 0

    def caller_sent(self, pcm: bytes) -> None:
        """More of the caller's side."""
        if "caller" not in self._starts:
            self._starts["caller"] = time.monotonic() - self._began
        self._caller.add(pcm)

    def agent_sent(self, frame: bytes | None) -> None:
        """20 ms of the agent's side; None: silence."""
        if "agent" not in self._starts:
            self._starts["agent"] = time.monotonic() - self._began
        self._agent.add(frame)
        self._frames += 1
        if self._frames % KEEP_EVERY_FRAMES == 0:
            self._keep(final=False)

    def close(self) -> None:
        """Keep what is left."""
        self._keep(final=True)

    def _keep(self, *, final: bool) -> None:
        sides: tuple[tuple[Side, Peaks], ...] = (("caller", self._caller), ("agent", self._agent))
        for side, peaks in sides:
            start_s = self._starts.get(side, 0.0) + peaks.taken_s
            self._log.wave(side, start_s, peaks.take(final=final))
