"""The format of telephone audio: signed 16-bit little-endian mono at some rate."""

from dataclasses import dataclass

FRAME_MS = 20
"""The length of every media frame between Asterisk and us."""

SAMPLE_BYTES = 2


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """Signed 16-bit little-endian mono PCM at ``rate_hz`` samples per second.

    The rate must be a multiple of 1000 / FRAME_MS = 50 Hz, so that a frame is a whole number of samples.
    """

    rate_hz: int

    def __post_init__(self) -> None:
        if self.rate_hz <= 0 or self.rate_hz * FRAME_MS % 1000:
            raise ValueError(f"{self.rate_hz} Hz does not make whole {FRAME_MS} ms frames")

    def __str__(self) -> str:
        return f"slin/{self.rate_hz}"

    @property
    def frame_samples(self) -> int:
        """Samples of one 20 ms frame."""
        return self.rate_hz * FRAME_MS // 1000

    @property
    def frame_bytes(self) -> int:
        """Bytes of one 20 ms frame."""
        return self.frame_samples * SAMPLE_BYTES

    @property
    def bytes_per_ms(self) -> float:
        """Bytes of one millisecond (not a whole number at 44.1 kHz)."""
        return self.rate_hz * SAMPLE_BYTES / 1000

    def ms(self, n_bytes: int) -> float:
        """How long ``n_bytes`` last, in milliseconds."""
        return n_bytes * 1000 / (self.rate_hz * SAMPLE_BYTES)

    def n_bytes(self, ms: float) -> int:
        """The whole samples that fit into ``ms`` milliseconds, in bytes."""
        return int(ms * self.rate_hz / 1000 + 1e-6) * SAMPLE_BYTES

    def silence(self, ms: float) -> bytes:
        """``ms`` milliseconds of digital silence, cut to whole samples."""
        return bytes(self.n_bytes(ms))


SLIN8 = AudioFormat(8_000)
SLIN16 = AudioFormat(16_000)
SLIN24 = AudioFormat(24_000)
