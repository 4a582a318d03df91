"""The ears of a synthetic caller: they tell speech from silence by its energy. CORE.

Frames come with the time they arrived at. The level that counts as speech follows the line's own noise between
``QUIETEST_DBFS`` and ``LOUDEST_DBFS``: digital silence and the hiss of G.711 are both silence.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ariagent.audio.format import FRAME_MS, AudioFormat

QUIETEST_DBFS = -45.0
LOUDEST_DBFS = -35.0
"""Bounds of the level from which a frame is loud."""
ABOVE_NOISE_DB = 12.0
NOISE_WINDOW_MS = 3000
"""The noise is the quietest frame of this long: speakers pause more often."""
ONSET_FRAMES = 3
"""Loud frames, within twice as many frames, that begin an utterance; fewer are a click."""
PREROLL_MS = 200
"""Audio kept from before an utterance, for the recogniser."""
MOST_KEPT_MS = 30_000
"""Audio kept of one utterance: what is longer is music more often than an answer, and takes long to recognise."""
_FLOOR_DBFS = -96.0


def level_dbfs(pcm: bytes) -> float:
    """RMS level of 16-bit samples relative to full scale; -96 for digital silence and for no samples."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float32)
    power = float(np.dot(samples, samples)) / max(len(samples), 1)
    return max(_FLOOR_DBFS, float(10 * np.log10(power / 32768**2))) if power > 0 else _FLOOR_DBFS


@dataclass(frozen=True, slots=True)
class Utterance:
    """A stretch of speech with the pauses in it; ends with the last loud frame. Times are arrival times, in seconds."""

    began_at: float
    ended_at: float
    pcm: bytes
    """The audio in the ear's format, with a little before and after; the first 30 s of a longer utterance."""

    @property
    def duration_s(self) -> float:
        """Seconds from the arrival of the first loud frame to that of the last."""
        return self.ended_at - self.began_at


@dataclass(slots=True)
class _Open:
    began_at: float
    last_loud_at: float
    pieces: list[bytes] = field(default_factory=list)


class Ear:
    """Listens to one side of a call. An utterance continues over any pause until it is taken."""

    def __init__(self, fmt: AudioFormat) -> None:
        self._format = fmt
        self._levels: deque[float] = deque(maxlen=NOISE_WINDOW_MS // FRAME_MS)
        self._recent: deque[tuple[bytes, float, bool]] = deque(maxlen=max(2 * ONSET_FRAMES, PREROLL_MS // FRAME_MS))
        self._open: _Open | None = None
        self.threshold_dbfs = QUIETEST_DBFS

    @property
    def began_at(self) -> float | None:
        """When the utterance that is open began: its first loud frame. None when there is none."""
        return self._open.began_at if self._open else None

    @property
    def last_loud_at(self) -> float | None:
        """When the last loud frame of the open utterance arrived."""
        return self._open.last_loud_at if self._open else None

    def quiet_s(self, now: float) -> float:
        """For how long the open utterance has been silent; infinite when none is open. Needs no frames to grow."""
        return now - self._open.last_loud_at if self._open else float("inf")

    def heard(self, pcm: bytes, now: float) -> bool:
        """A frame that arrived at ``now``. Returns whether it was loud."""
        level = level_dbfs(pcm)
        self._levels.append(level)
        noise = min(self._levels)
        self.threshold_dbfs = min(max(noise + ABOVE_NOISE_DB, QUIETEST_DBFS), LOUDEST_DBFS)
        loud = level >= self.threshold_dbfs
        if self._open is not None:
            if len(self._open.pieces) < MOST_KEPT_MS // FRAME_MS:
                self._open.pieces.append(pcm)
            if loud:
                self._open.last_loud_at = now
            return loud
        self._recent.append((pcm, now, loud))
        onset = [at for _, at, was_loud in list(self._recent)[-2 * ONSET_FRAMES :] if was_loud]
        if len(onset) >= ONSET_FRAMES:
            self._open = _Open(onset[0], now, [piece for piece, _, _ in self._recent])
            self._recent.clear()
        return loud

    def take(self) -> Utterance | None:
        """Close the open utterance and return it; None when there is none."""
        if self._open is None:
            return None
        opened, self._open = self._open, None
        return Utterance(opened.began_at, opened.last_loud_at, b"".join(opened.pieces))


@dataclass(slots=True)
class Silences:
    """When neither side was heard and it was the agent's turn to speak. Times are the caller's ``now``."""

    waits: list[tuple[float, float]] = field(default_factory=list)
    """Each longer than ``SHORTEST_S``, in order."""
    excused: list[tuple[float, float]] = field(default_factory=list)
    """When the caller was silent of its own will."""
    _since: float | None = None
    _agents_turn: bool = True

    SHORTEST_S: ClassVar[float] = 1.0

    def begin(self, now: float) -> None:
        """The call was answered: the agent is expected to speak."""
        self._since = now

    def caller_heard(self, now: float, *, continues: bool = False) -> None:
        """A loud frame of the caller. The silence before it was its own, unless it still waited for an answer.

        ``continues``: a sentence that has begun before, so that the silence was a pause in it.
        """
        if self._agents_turn and not continues:
            self._note(now)
        self._since, self._agents_turn = now, True

    def agent_heard(self, now: float) -> None:
        """A loud frame of the agent."""
        self._note(now)
        self._since, self._agents_turn = now, False

    def _note(self, now: float) -> None:
        if self._since is None or now - self._since < self.SHORTEST_S:
            return
        since = self._since
        if not any(begins < now and since < ends for begins, ends in self.excused):
            self.waits.append((since, now))


@dataclass(frozen=True, slots=True)
class CutIn:
    """The agent began to speak while the caller was inside a sentence. Times are the caller's ``now``."""

    began_at: float
    lasted_s: float
    """Until the agent fell silent again, or the sentence was over."""
    text: str
    """The caller's sentence."""


@dataclass(slots=True)
class Sentences:
    """The caller's sentences beside the agent's sounds. Pauses are part of a sentence."""

    agent: list[float] = field(default_factory=list)
    """The agent's loud frames, by arrival."""
    said: list[tuple[float, float, str]] = field(default_factory=list)
    """First and last loud frame of each sentence of the caller, and its words."""

    PAUSE_S: ClassVar[float] = 0.3
    """A shorter silence does not end a sound of the agent's."""

    def cut_ins(self) -> list[CutIn]:
        """The sounds of the agent that began inside a sentence.

        A sound that began before the sentence is no cut-in: then the caller interrupts. Neither is a click.
        """
        found = []
        for began, ended, frames in self._sounds():
            for first, last, text in self.said:
                if first < began < last and frames >= ONSET_FRAMES:
                    found.append(CutIn(began, min(ended, last) - began, text))
        return found

    def _sounds(self) -> list[tuple[float, float, int]]:
        """First frame, last frame and number of frames of each sound of the agent's."""
        sounds: list[tuple[float, float, int]] = []
        for at in self.agent:
            if sounds and at - sounds[-1][1] <= self.PAUSE_S:
                sounds[-1] = (sounds[-1][0], at, sounds[-1][2] + 1)
            else:
                sounds.append((at, at, 1))
        return sounds
