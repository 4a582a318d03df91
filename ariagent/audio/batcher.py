"""Fewer, larger pieces to the model while nobody says anything. CORE.

A piece of 20 ms costs one WebSocket frame, one TLS record and one packet: most of what a quiet caller costs. While
the caller speaks every frame goes at once, for each is part of the answer's delay. Between turns, only the beginning
of speech matters to the model, and a loud frame is never held back; so quiet ones go together.
"""

from ariagent.audio.format import FRAME_MS, AudioFormat

BATCH_MS = 160
LOUD_PEAK = 256
"""-42 dBFS: above the noise of an ordinary line, below the softest speech."""

_QUIET_HIGH_BYTES = b"\x00\xff"
"""The upper byte of every sample from -256 to 255."""


class Batcher:
    """Holds quiet audio back for up to ``BATCH_MS``. Set ``in_turn`` while the caller speaks."""

    def __init__(self, fmt: AudioFormat, batch_ms: int = BATCH_MS) -> None:
        self.in_turn = True
        self._batch = fmt.n_bytes(batch_ms - FRAME_MS)
        self._held = b""

    @property
    def held(self) -> int:
        """The bytes that are held back now."""
        return len(self._held)

    def add(self, pcm: bytes) -> bytes:
        """Add more of the caller's audio (whole samples). Return the audio to send now, in order; often none."""
        held = self._held
        # Whether any sample is loud, by its upper byte: a tenth of what numpy takes for so little.
        if not self.in_turn and len(held) < self._batch and not pcm[1::2].translate(None, _QUIET_HIGH_BYTES):
            self._held = held + pcm
            return b""
        self._held = b""
        return held + pcm if held else pcm
