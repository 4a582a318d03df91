"""The caller's audio as the model hears it: continuous, and with its clock mapped to the service's. CORE.

A phone on hold, muted or silent by DTX sends nothing, and then a model's turn detection never ends the caller's turn.
So when no frame came for ``patience_ms``, silence is appended in real time until frames resume. The appended audio is
the model's audio clock (``audio_start_ms``, ``audio_end_ms`` of its events); ``wall_time`` maps a position on it to the
monotonic time at which that sample reached us.
"""

import math
from array import array
from bisect import bisect_left
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from ariagent.audio.format import FRAME_MS, AudioFormat

HISTORY_MS = 120_000
LEVELS_MS = 10_000
LOUD_BLOCK_MS = 10
SILENT_DBFS = -96.0
_LOUD_BATCH_MS = 1_000
_FRAME_S = FRAME_MS / 1000
_TOLERANCE_S = 1e-6  # or sums of 0.02 lose a frame now and then


class Uplink:
    """One call's audio towards the model. Positions are milliseconds of appended audio, times monotonic seconds.

    Counters: ``appended_ms`` (all), ``silence_ms`` (of that, made up by us), ``gaps`` (times it had to begin).
    ``loud_dbfs`` is the RMS level, relative to full scale, from which 10 ms of audio count as loud.
    """

    def __init__(self, fmt: AudioFormat, patience_ms: float = 40, *, loud_dbfs: float = -42.0) -> None:
        self._format = fmt
        self._patience_s = patience_ms / 1000
        self._silence = fmt.silence(FRAME_MS)
        self._bytes_per_ms = fmt.bytes_per_ms
        self._appended = 0  # bytes
        self._silent = 0  # bytes
        self._heard_at: float | None = None  # time of the caller's last frame, or of the beginning of the wait for one
        self._filled = 0  # frames of silence since then
        self._ticked_at: float | None = None
        self._ends = array("d")  # positions (ms) at which a piece ended ...
        self._times = array("d")  # ... and when it reached us
        self.gaps = 0
        self._loud_block = fmt.n_bytes(LOUD_BLOCK_MS)
        self._loud_batch = fmt.n_bytes(_LOUD_BATCH_MS)
        self._loud_square = (32768 * 10 ** (loud_dbfs / 20)) ** 2
        self._unheard: list[bytes] = []  # audio whose loudness was not looked at yet, up to the last position
        self._unheard_bytes = 0
        self._last_loud = 0  # bytes
        self._energies: deque[tuple[int, npt.NDArray[Any]]] = deque()  # first byte, mean squares of blocks

    @property
    def appended_ms(self) -> float:
        """All that was appended: the model's audio clock, if it was given everything."""
        return self._format.ms(self._appended)

    @property
    def silence_ms(self) -> float:
        """Milliseconds of silence in it that were made here."""
        return self._format.ms(self._silent)

    @property
    def in_gap(self) -> bool:
        """The caller's side sends nothing at the moment: hold, mute, DTX or loss."""
        return self._filled > 0

    def received(self, payload: bytes, now: float) -> int:
        """A frame from Asterisk, which is appended. Return the milliseconds of silence that were made before it."""
        self._heard_at = now
        filled, self._filled = self._filled, 0
        n_bytes = len(payload)
        self._append(n_bytes, now)
        self._unheard.append(payload)
        self._unheard_bytes += n_bytes
        if self._unheard_bytes >= self._loud_batch:
            self._listen()
        return filled * FRAME_MS

    def dropped(self, n_bytes: int) -> None:
        """The newest audio was not given to the model after all: the clock goes back by that much."""
        self._appended = max(0, self._appended - n_bytes)
        end = self._format.ms(self._appended)
        while self._ends and self._ends[-1] > end:
            self._ends.pop()
            self._times.pop()

    def loud(self, pcm: bytes) -> bool:
        """Whether a piece of audio is loud, taken as a whole."""
        samples = np.frombuffer(pcm, "<i2").astype(np.float32)
        return float(np.dot(samples, samples)) >= self._loud_square * max(len(samples), 1)

    def tick(self, now: float) -> bytes:
        """Return the silence to append, most often none. Call it about every 20 ms.

        The frame that may be about to arrive is left room for, so that silence and the frames after it add up to the
        time that passed. A tick that itself comes late adds nothing: the frames may be waiting in the socket.
        """
        ticked_at, self._ticked_at = self._ticked_at, now
        heard_at = self._heard_at
        if heard_at is None:
            heard_at = self._heard_at = now
        waited_s = now - heard_at + _TOLERANCE_S
        if waited_s < self._patience_s:
            return b""
        if ticked_at is not None and now - ticked_at > self._patience_s + _FRAME_S:
            return b""
        due = math.floor(waited_s / _FRAME_S) - 1
        missing = due - self._filled
        if missing <= 0:
            return b""
        if not self._filled:
            self.gaps += 1
            self._listen()
        self._filled = due
        silence = self._silence * missing
        self._silent += len(silence)
        self._append(len(silence), heard_at + due * _FRAME_S)
        return silence

    def wall_time(self, audio_ms: float) -> float:
        """When the sample at ``audio_ms`` reached us, had it not been packed into a frame with those after it.

        Known for the last 120 s; before that and after the end the clocks are taken to run alike. LookupError when
        nothing was appended yet.
        """
        if not self._ends:
            raise LookupError("no audio was appended yet")
        at = min(bisect_left(self._ends, audio_ms), len(self._ends) - 1)
        return self._times[at] + (audio_ms - self._ends[at]) / 1000

    @property
    def last_loud_ms(self) -> float | None:
        """The position where the caller's audio was last loud, to 10 ms; None when it never was."""
        self._listen()
        return self._format.ms(self._last_loud) if self._last_loud else None

    def levels(self, since_ms: float) -> npt.NDArray[Any]:
        """RMS levels in dBFS of the 10 ms blocks from about ``since_ms`` to the newest (the last 10 s are known).

        Silence that was made here is left out.
        """
        self._listen()
        since = self._format.n_bytes(max(0.0, since_ms))
        parts = []
        for start, energies in self._energies:
            skip = max(0, (since - start) // self._loud_block)
            if skip < len(energies):
                parts.append(energies[skip:])
        if not parts:
            return np.empty(0)
        levels = 10 * np.log10(np.maximum(np.concatenate(parts), 1e-9) / 32768.0**2)
        known: npt.NDArray[Any] = np.maximum(levels, SILENT_DBFS)
        return known

    def last_loud_at(self) -> float | None:
        """The time of ``last_loud_ms``."""
        position = self.last_loud_ms
        return None if position is None else self.wall_time(position)

    def _append(self, n_bytes: int, now: float) -> None:
        self._appended += n_bytes
        self._ends.append(end := self._appended / self._bytes_per_ms)
        self._times.append(now)
        # Forgetting half at a time keeps an append cheap.
        if end - self._ends[0] > 2 * HISTORY_MS:
            old = bisect_left(self._ends, self._ends[-1] - HISTORY_MS)
            del self._ends[:old], self._times[:old]

    def _listen(self) -> None:
        """Look at the loudness of what came since the last look; in batches, as this costs 0.5 us per frame so."""
        if not self._unheard:
            return
        pcm = np.frombuffer(b"".join(self._unheard), "<i2")
        start = self._appended - self._unheard_bytes
        self._unheard.clear()
        self._unheard_bytes = 0
        block = self._loud_block // 2
        if len(pcm) % block:
            pcm = np.concatenate((pcm, np.zeros(-len(pcm) % block, np.int16)))
        blocks = pcm.astype(np.float32).reshape(-1, block)
        energies = np.einsum("ij,ij->i", blocks, blocks) / block
        self._energies.append((start, energies))
        while self._format.ms(self._appended - self._energies[0][0]) > LEVELS_MS + _LOUD_BATCH_MS:
            self._energies.popleft()
        loud = np.flatnonzero(energies >= self._loud_square)
        if loud.size:
            self._last_loud = min(start + (int(loud[-1]) + 1) * self._loud_block, self._appended)
