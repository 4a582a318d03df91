"""How loud a side of the call was over time, for drawing it: one byte for every block of audio. CORE.

A call is drawn from its peaks, so they are kept instead of the audio: 20 bytes a second and side. Every frame of every
call comes by here, so frames are only collected; once a second they are looked at together.
"""

import numpy as np

from ariagent.audio.format import AudioFormat

BLOCK_MS = 50
FLOOR_DB = -60.0
"""A peak at or below this many dBFS is 0, full scale is 255, linear in dB between."""

_PASS_MS = 1000


def _scale() -> bytes:
    amplitude = np.arange(32769)
    amplitude[0] = 1
    level = 1 - 20 * np.log10(amplitude / 32767) / FLOOR_DB
    return np.clip(np.round(255 * level), 0, 255).astype(np.uint8).tobytes()


_SCALE = _scale()
"""Peak amplitude (0 to 32768) -> byte."""


def decibels(peak: int) -> float:
    """The level that a byte of ``Peaks`` stands for, in dBFS; ``FLOOR_DB`` also for anything softer."""
    return FLOOR_DB * (1 - peak / 255)


class Peaks:
    """Collects 20 ms frames of one side; gives one byte (0 silent, 255 full scale, logarithmic) per ``block_ms``."""

    def __init__(self, fmt: AudioFormat, block_ms: int = BLOCK_MS) -> None:
        if fmt.rate_hz * block_ms % 1000:
            raise ValueError(f"{block_ms} ms are not a whole number of samples at {fmt.rate_hz} Hz")
        self.taken_s = 0.0
        """How much audio the peaks taken so far stand for: where the next ones begin, in seconds."""
        self._block_s = block_ms / 1000
        self._block = fmt.n_bytes(block_ms)
        self._pass = fmt.n_bytes(max(_PASS_MS // block_ms, 1) * block_ms)
        self._silence = bytes(fmt.frame_bytes)
        self._frames: list[bytes] = []
        self._held = 0
        self._done = bytearray()

    def add(self, frame: bytes | None) -> None:
        """The side's next audio, whole samples of any length; None: 20 ms of silence."""
        if frame is None:
            frame = self._silence
        self._frames.append(frame)
        self._held += len(frame)
        if self._held >= self._pass:
            self._look()

    def add_silence(self, n_frames: int) -> None:
        """Add this number of silent frames of 20 ms."""
        blocks, rest = divmod(n_frames * len(self._silence), self._block)
        if self._held or rest:
            self.add(self._silence * n_frames)
        else:
            self._done += bytes(blocks)

    def take(self, *, final: bool = False) -> bytes:
        """The peaks of whole blocks since the last time; ``final``: also of a last block that is not whole."""
        self._look()
        if final and self._held:
            self._frames.append(bytes(self._block - self._held))
            self._held = self._block
            self._look()
        taken = bytes(self._done)
        self._done.clear()
        self.taken_s = round(self.taken_s + len(taken) * self._block_s, 3)
        return taken

    def _look(self) -> None:
        blocks, rest = divmod(self._held, self._block)
        if not blocks:
            return
        pcm = b"".join(self._frames)
        self._frames = [pcm[-rest:]] if rest else []
        self._held = rest
        samples = np.frombuffer(pcm, "<i2", blocks * self._block // 2).reshape(blocks, -1)
        # Through Python's integers: twenty of them take less than one more array operation would.
        self._done += bytes(
            [
                _SCALE[max(high, -low)]
                for high, low in zip(samples.max(1).tolist(), samples.min(1).tolist(), strict=True)
            ]
        )
