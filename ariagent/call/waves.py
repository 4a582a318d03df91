"""The loudness of both sides over a call's time, into its record."""

import time

from ariagent.audio.format import FRAME_MS, AudioFormat
from ariagent.audio.peaks import Peaks
from ariagent.logs import CallLog, Side

LOOK_FRAMES = 50
"""A second of frames is collected, then looked at."""
KEEP_EVERY_LOOKS = 10


class Waves:
    """Collects both sides of a call that arrived at ``began`` (monotonic seconds).

    The caller's side is what the model was given, the agent's what was handed to Asterisk.
    """

    def __init__(self, fmt: AudioFormat, log: CallLog, began: float) -> None:
        self._log = log
        self._began = began
        self._caller, self._agent = Peaks(fmt), Peaks(fmt)
        self._starts: dict[str, float] = {}
        self._silence = fmt.silence(FRAME_MS)
        self._frames: list[bytes | None] = []
        """Of the agent's side, since the last look."""
        self._looks = 0

    def caller_sent(self, pcm: bytes, at: float) -> None:
        """More of the caller's side; its beginning came ``at`` (monotonic seconds). Best a second at a time."""
        if "caller" not in self._starts:
            self._starts["caller"] = max(0.0, at - self._began)
        self._caller.add(pcm)

    def agent_sent(self, frame: bytes | None) -> None:
        """20 ms of the agent's side; None: silence."""
        self._frames.append(frame)
        if len(self._frames) >= LOOK_FRAMES:
            self._look()
            self._looks += 1
            if self._looks % KEEP_EVERY_LOOKS == 0:
                self._keep(final=False)

    def close(self) -> None:
        """Keep what is left."""
        self._look()
        self._keep(final=True)

    def _look(self) -> None:
        if self._frames and "agent" not in self._starts:
            lasted_s = len(self._frames) * FRAME_MS / 1000
            self._starts["agent"] = max(0.0, time.monotonic() - self._began - lasted_s)
        if any(self._frames):
            self._agent.add(b"".join([self._silence if frame is None else frame for frame in self._frames]))
        else:
            self._agent.add_silence(len(self._frames))
        self._frames.clear()

    def _keep(self, *, final: bool) -> None:
        sides: tuple[tuple[Side, Peaks], ...] = (("caller", self._caller), ("agent", self._agent))
        for side, peaks in sides:
            start_s = self._starts.get(side, 0.0) + peaks.taken_s
            self._log.wave(side, start_s, peaks.take(final=final))
