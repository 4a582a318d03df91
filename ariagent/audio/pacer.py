"""When the next frame to Asterisk is due. CORE: the caller brings the clock.

Asterisk does not pace what an AudioSocket server sends (measured: 100 frames written at once leave as 100 RTP packets
within 2 ms), so these deadlines are what the phone hears. The pacer keeps three promises:

* the long-run rate is exact: frames are due on a schedule, lateness does not move it;
* frames are never bunched: a late sender catches up by intervals of at least ``MIN_INTERVAL_S``;
* a reply need not wait for the next tick: its first frame may go as soon as ``KICK_AFTER_S`` after the last silent
  one. The schedule then runs ahead by what was gained (``lead_s``), at most one interval, and falls back to its place
  during the silence after the reply by intervals of at most ``MAX_INTERVAL_S``.
"""

import math

GRID_S = 0.010
"""Calls start on this raster, so that the frames of many of them go out together: one wake-up instead of several."""
MIN_INTERVAL_S = 0.015
MAX_INTERVAL_S = 0.025
KICK_AFTER_S = 0.006
MAX_DEBT_S = 0.200


class Pacer:
    """Deadlines for one frame every ``interval_s`` seconds; all times are seconds of one monotonic clock.

    ``forgiven_s`` is the time for which no frame will ever be sent, because the sender was late by more than
    ``MAX_DEBT_S``.
    """

    def __init__(self, interval_s: float = 0.020) -> None:
        self._interval_s = interval_s
        self._due = 0.0  # the schedule: when the next frame would go if nobody were ever late
        self._not_before = 0.0  # the last frame plus what keeps frames apart
        self._last = 0.0
        self._speaking = False
        self.lead_s = 0.0
        self.forgiven_s = 0.0

    def start(self, now: float) -> None:
        """The first frame is due now, or within ``GRID_S``."""
        self._due = self._not_before = math.ceil(now / GRID_S - 1e-6) * GRID_S
        self._last = now - self._interval_s
        self._speaking = False
        self.lead_s = self.forgiven_s = 0.0

    def next_deadline(self) -> float:
        """When to send the next frame."""
        return max(self._due, self._not_before)

    def frame_sent(self, now: float, *, speech: bool) -> float:
        """A frame left at ``now``; ``speech``: a frame of a reply, not silence. Return when the next one is due."""
        late = now - self._due
        if late > MAX_DEBT_S:
            self.forgiven_s += late - MAX_DEBT_S
            self._due = now - MAX_DEBT_S
        self._due += self._interval_s
        if not speech and self.lead_s > 0.0:
            # Being late already gave back as much; beyond that, as much as one interval may be stretched.
            returned = min(self.lead_s, max(MAX_INTERVAL_S - self._interval_s, late))
            self._due += returned
            self.lead_s -= returned
        self._last = now
        self._not_before = not_before = now + MIN_INTERVAL_S
        self._speaking = speech
        return not_before if not_before > self._due else self._due

    def speech_ready(self, now: float) -> None:
        """Audio of a reply has become available: when the line is silent, its first frame may go early."""
        if self._speaking:
            return
        target = max(now, self._last + KICK_AFTER_S)
        if target >= self.next_deadline():
            return
        gained = min(max(self._due - target, 0.0), self._interval_s - self.lead_s)
        self._due -= gained
        self.lead_s += gained
        self._not_before = target
