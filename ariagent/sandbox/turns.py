"""When a caller's turn starts and ends, from a detector's verdicts (CORE).

Positions are ticks of the 24 kHz audio clock, that is, appended samples and never wall time.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from ariagent.sandbox.audio import TICKS_PER_MS, Samples


@dataclass(frozen=True, slots=True)
class Verdict:
    """A detector's verdict on one stretch of audio: ``speech`` is a probability, ``end_tick`` where it ends."""

    end_tick: int
    length_ticks: int
    speech: float


class Detector(Protocol):
    """Tells speech from silence. Pure computation: samples in, verdicts out."""

    min_speech_ms: int
    """How long speech must last before it counts as the start of a turn."""
    noise_matters: bool
    """The session's ``noise_reduction`` applies. A made signal on a clean line needs none, and may be too steady."""

    def feed(self, samples: Samples, rate_hz: int, end_tick: int) -> list[Verdict]:
        """Judge new samples whose last one is at ``end_tick``."""
        ...

    def reset(self) -> None:
        """Forget what was heard."""
        ...


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The caller began to speak; the turn starts at ``start_tick``, prefix padding included."""

    start_tick: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The caller fell silent; the turn ends at ``end_tick``, the silence that was waited for included."""

    start_tick: int
    end_tick: int


TurnEvent = SpeechStarted | SpeechStopped

_SEMANTIC_MAX_MS = {"low": 8000, "medium": 4000, "auto": 4000, "high": 2000}
_SEMANTIC_LIKELY = 0.15
_SEMANTIC_UNSURE = 0.5
_SEMANTIC_SURE_MS = 600
_RELEASE = 0.15
"""A turn ends below ``threshold - _RELEASE``, so that a wavering probability does not cut it."""


@dataclass(slots=True)
class TurnTracker:
    """Turns verdicts into the starts and ends of turns, by the rules of a ``turn_detection`` object.

    ``server_vad`` waits for ``silence_duration_ms``. ``semantic_vad`` has no semantics here: it waits for 15 % of its
    eagerness's longest wait after speech of at least 0.6 s, for 50 % after a shorter one.
    """

    threshold: float = 0.5
    prefix_ticks: int = 300 * TICKS_PER_MS
    silence_ticks: int = 200 * TICKS_PER_MS
    semantic_max_ms: int = 0
    min_speech_ticks: int = 0
    not_before_tick: int = 0
    speaking: bool = False
    start_tick: int = 0
    _speech_run: int = 0
    _speech_total: int = 0
    _last_speech_tick: int = 0

    @classmethod
    def of(cls, turn_detection: dict[str, Any], min_speech_ms: int) -> "TurnTracker":
        """The tracker for a session's ``turn_detection``."""
        least = min_speech_ms * TICKS_PER_MS
        if turn_detection["type"] == "semantic_vad":
            return cls(semantic_max_ms=_SEMANTIC_MAX_MS[turn_detection["eagerness"]], min_speech_ticks=least)
        return cls(
            threshold=turn_detection["threshold"],
            prefix_ticks=turn_detection["prefix_padding_ms"] * TICKS_PER_MS,
            silence_ticks=turn_detection["silence_duration_ms"] * TICKS_PER_MS,
            min_speech_ticks=least,
        )

    @property
    def wait_ticks(self) -> int:
        """How much silence ends the turn as it stands."""
        if not self.semantic_max_ms:
            return self.silence_ticks
        sure = self._speech_total >= _SEMANTIC_SURE_MS * TICKS_PER_MS
        return int(self.semantic_max_ms * (_SEMANTIC_LIKELY if sure else _SEMANTIC_UNSURE)) * TICKS_PER_MS

    def feed(self, verdict: Verdict) -> TurnEvent | None:
        """The change that the next verdict makes."""
        return self._while_speaking(verdict) if self.speaking else self._while_silent(verdict)

    def _while_silent(self, verdict: Verdict) -> TurnEvent | None:
        if verdict.speech < self.threshold:
            self._speech_run = 0
            return None
        self._speech_run += verdict.length_ticks
        if self._speech_run < self.min_speech_ticks:
            return None
        onset = verdict.end_tick - self._speech_run
        self.start_tick = max(self.not_before_tick, onset - self.prefix_ticks, 0)
        self.speaking = True
        self._speech_total = self._speech_run
        self._last_speech_tick = verdict.end_tick
        return SpeechStarted(self.start_tick)

    def _while_speaking(self, verdict: Verdict) -> TurnEvent | None:
        if verdict.speech >= self.threshold - _RELEASE:
            self._speech_total += verdict.length_ticks
            self._last_speech_tick = verdict.end_tick
            return None
        if verdict.end_tick - self._last_speech_tick < self.wait_ticks:
            return None
        end = self._last_speech_tick + self.wait_ticks
        self.stop(end)
        return SpeechStopped(self.start_tick, end)

    def heard_until(self, tick: int) -> None:
        """Speech was found by other means, up to ``tick``."""
        self._last_speech_tick = tick
        self._speech_total = 0

    def stop(self, end_tick: int) -> None:
        """Back to silence; the next turn does not reach back before ``end_tick``."""
        self.speaking = False
        self._speech_run = 0
        self.not_before_tick = end_tick
