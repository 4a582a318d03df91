"""The end of the caller's turn with ``turns: fast``: whether a pause is the end, or the caller continues. CORE.

The server reports each pause, and answers it at once. ``TurnEnd`` decides when that answer may be heard. It is a table
of steps. Times are monotonic seconds, positions milliseconds of the caller's audio.
"""

from collections.abc import Mapping
from enum import Enum

from ariagent.audio.uplink import Uplink
from ariagent.dialogue.interruption import NO_SPEECH_DBFS, loudest_db

LOOK_AGAIN_S, MOST_LOOKS = 0.08, 3
"""If the caller is heard again at the moment of the release, the server is given this time to say so, at most so
often."""
AWAITED_S = 2.0
"""A turn that was taken for complete is over after this time, even if there is no answer."""
LOOK_MS = 100
"""The milliseconds before the release in which the caller may be heard again. Fewer than 60 show no level."""
ABOVE_PAUSE_DB, BELOW_VOICE_DB = 10.0, 12.0
"""The caller is heard again at this much above the level of the pause, and at most this much below their own."""
VOICE_MS = 2_000


class Phase(Enum):
    """The phase of the caller's turn."""

    CLOSED = "closed"
    """There is no turn of the caller's, or it is over."""
    SPEAKING = "speaking"
    PAUSED = "paused"
    """The server says that the turn is over. There is no answer yet."""
    ANSWERED = "answered"
    """There is an answer, and it is held: the caller may go on."""
    AWAITED = "awaited"
    """The turn is taken for complete, and there is no answer yet. As long as nothing is heard, the caller may go on."""


class Sign(Enum):
    """A sign that something about the turn has changed."""

    VOICE = "voice"
    """The server hears the caller."""
    SILENCE = "silence"
    """The server ends the turn."""
    ANSWER = "answer"
    """There is something of the answer that would be heard, or done."""
    COMPLETE = "complete"
    """The judge takes the turn for complete, or the hold time is over."""
    DOUBT = "doubt"
    """The turn is taken for complete, but the caller is heard again, or types."""
    DROPPED = "dropped"
    """Nobody waits for the end of this turn any more."""


class Step(Enum):
    """The next step with the held answer."""

    NOTHING = "nothing"
    HOLD = "hold"
    """A pause has begun: its answer is to be held, and the judge to be asked."""
    DISCARD = "discard"
    """The caller continues: what was held is to be thrown away."""
    RELEASE = "release"
    """The turn is over: what was held may be heard."""


STEPS: Mapping[tuple[Phase, Sign], tuple[Phase, Step]] = {
    (Phase.CLOSED, Sign.VOICE): (Phase.SPEAKING, Step.NOTHING),
    (Phase.CLOSED, Sign.SILENCE): (Phase.CLOSED, Step.NOTHING),
    (Phase.CLOSED, Sign.ANSWER): (Phase.CLOSED, Step.NOTHING),
    (Phase.CLOSED, Sign.COMPLETE): (Phase.CLOSED, Step.NOTHING),
    (Phase.CLOSED, Sign.DOUBT): (Phase.CLOSED, Step.NOTHING),
    (Phase.CLOSED, Sign.DROPPED): (Phase.CLOSED, Step.NOTHING),
    (Phase.SPEAKING, Sign.VOICE): (Phase.SPEAKING, Step.NOTHING),
    (Phase.SPEAKING, Sign.SILENCE): (Phase.PAUSED, Step.HOLD),
    (Phase.SPEAKING, Sign.ANSWER): (Phase.SPEAKING, Step.NOTHING),
    (Phase.SPEAKING, Sign.COMPLETE): (Phase.SPEAKING, Step.NOTHING),
    (Phase.SPEAKING, Sign.DOUBT): (Phase.SPEAKING, Step.NOTHING),
    (Phase.SPEAKING, Sign.DROPPED): (Phase.CLOSED, Step.NOTHING),
    (Phase.PAUSED, Sign.VOICE): (Phase.SPEAKING, Step.DISCARD),
    (Phase.PAUSED, Sign.SILENCE): (Phase.PAUSED, Step.NOTHING),
    (Phase.PAUSED, Sign.ANSWER): (Phase.ANSWERED, Step.NOTHING),
    (Phase.PAUSED, Sign.COMPLETE): (Phase.AWAITED, Step.NOTHING),
    (Phase.PAUSED, Sign.DOUBT): (Phase.PAUSED, Step.NOTHING),
    (Phase.PAUSED, Sign.DROPPED): (Phase.CLOSED, Step.DISCARD),
    (Phase.ANSWERED, Sign.VOICE): (Phase.SPEAKING, Step.DISCARD),
    (Phase.ANSWERED, Sign.SILENCE): (Phase.ANSWERED, Step.NOTHING),
    (Phase.ANSWERED, Sign.ANSWER): (Phase.ANSWERED, Step.NOTHING),
    (Phase.ANSWERED, Sign.COMPLETE): (Phase.CLOSED, Step.RELEASE),
    (Phase.ANSWERED, Sign.DOUBT): (Phase.ANSWERED, Step.NOTHING),
    (Phase.ANSWERED, Sign.DROPPED): (Phase.CLOSED, Step.DISCARD),
    (Phase.AWAITED, Sign.VOICE): (Phase.SPEAKING, Step.DISCARD),
    (Phase.AWAITED, Sign.SILENCE): (Phase.AWAITED, Step.NOTHING),
    (Phase.AWAITED, Sign.ANSWER): (Phase.CLOSED, Step.RELEASE),
    (Phase.AWAITED, Sign.COMPLETE): (Phase.CLOSED, Step.RELEASE),  # for so long that nobody waits any more
    (Phase.AWAITED, Sign.DOUBT): (Phase.ANSWERED, Step.NOTHING),
    (Phase.AWAITED, Sign.DROPPED): (Phase.CLOSED, Step.DISCARD),
}
HELD = (Phase.PAUSED, Phase.ANSWERED, Phase.AWAITED)
"""The phases in which an answer is held, or will be."""


class TurnEnd:
    """Follows one turn after another. Each input returns the next step."""

    def __init__(self, uplink: Uplink, hold_s: float, threshold: float) -> None:
        """``hold_s``: the hold time, from the end of speech; ``threshold``: the probability from which the judge is
        believed."""
        self.phase = Phase.CLOSED
        self.pause = 0
        """The number of the newest pause."""
        self.start_ms = 0.0
        """The beginning of the turn."""
        self._uplink = uplink
        self._hold_s = hold_s
        self._threshold = threshold
        self._release_at = float("inf")
        self._looks = 0
        self._keys_until = float("-inf")
        """Until then more keys may follow."""
        self._again_db = 0.0
        """The caller is heard again from this level on."""

    @property
    def paused(self) -> bool:
        """The server has ended the turn, and the caller may go on."""
        return self.phase in HELD

    def next_deadline(self) -> float | None:
        """The time of the next ``tick``; None: nothing is due."""
        return self._release_at if self.paused else None

    def voice(self, start_ms: float) -> Step:
        """The server hears the caller, whose speech begins there."""
        if self.phase is Phase.CLOSED:
            self.start_ms = start_ms
        return self._step(Sign.VOICE)

    def silence(self, fell_silent: float, now: float) -> Step:
        """The server ends the turn of a caller who ``fell_silent`` at that time."""
        step = self._step(Sign.SILENCE)
        if step is Step.HOLD:
            self.pause += 1
            self._release_at, self._looks = fell_silent + self._hold_s, 0
            newest_ms = self._uplink.appended_ms
            voice_db = loudest_db(self._uplink.levels(max(self.start_ms, newest_ms - VOICE_MS)))
            pause_db = loudest_db(self._uplink.levels(newest_ms - LOOK_MS))
            self._again_db = max(pause_db + ABOVE_PAUSE_DB, voice_db - BELOW_VOICE_DB, NO_SPEECH_DBFS)
        return step

    def key_pressed(self, until: float) -> None:
        """The caller pressed a key, and the model is told at that time at the latest what they typed. What it says then
        takes the place of the held answer."""
        self._keys_until = until

    def answered(self, now: float) -> Step:
        """There is something of the answer that would be heard, or done."""
        if self.phase is Phase.AWAITED:
            return self._unless_heard_again(Sign.ANSWER, now)
        return self._step(Sign.ANSWER)

    def judged(self, pause: int, probability: float, now: float) -> Step:
        """The judge has heard this pause: the probability that the turn is over."""
        if pause != self.pause or probability < self._threshold or self.phase is Phase.AWAITED:
            return Step.NOTHING
        return self._unless_heard_again(Sign.COMPLETE, now)

    def tick(self, now: float) -> Step:
        """Look whether the hold time is over."""
        if not self.paused or now < self._release_at:
            return Step.NOTHING
        return self._unless_heard_again(Sign.COMPLETE, now)

    def _unless_heard_again(self, sign: Sign, now: float) -> Step:
        if self.paused and now < self._keys_until:
            self._release_at = self._keys_until
            return self._step(Sign.DOUBT)
        if self.paused and self._looks < MOST_LOOKS and self._heard_again():
            self._looks += 1
            self._release_at = now + LOOK_AGAIN_S
            return self._step(Sign.DOUBT)
        step = self._step(sign)
        if self.phase is Phase.AWAITED:
            self._release_at = now + AWAITED_S
        return step

    def dropped(self) -> Step:
        """Nobody waits for the end of this turn any more: a key was pressed, the session was lost."""
        return self._step(Sign.DROPPED)

    def _step(self, sign: Sign) -> Step:
        self.phase, step = STEPS[self.phase, sign]
        return step

    def _heard_again(self) -> bool:
        """Whether the caller speaks again, which the server will notice in a moment."""
        return loudest_db(self._uplink.levels(self._uplink.appended_ms - LOOK_MS)) >= self._again_db
