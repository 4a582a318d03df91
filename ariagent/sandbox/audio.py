"""Sample formats of the Realtime wire, and the little signal processing that the sandbox needs (CORE).

The audio clock counts samples at 24 kHz whatever the wire format: a PCM sample is one tick, a G.711 byte is three.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ariagent.audio import g711

Samples = NDArray[np.int16]

CLOCK_HZ = 24_000
TICKS_PER_MS = CLOCK_HZ // 1000


@dataclass(frozen=True, slots=True)
class WireFormat:
    """One of the three audio formats of the API: mono, PCM16 little-endian at 24 kHz or G.711 at 8 kHz."""

    name: str
    rate_hz: int
    sample_bytes: int

    @property
    def ticks_per_byte(self) -> float:
        """How far one byte moves the 24 kHz audio clock."""
        return CLOCK_HZ / (self.rate_hz * self.sample_bytes)

    def ticks(self, n_bytes: int) -> int:
        """The length of ``n_bytes`` in samples at 24 kHz."""
        return n_bytes * CLOCK_HZ // (self.rate_hz * self.sample_bytes)

    def ms(self, n_bytes: int) -> float:
        """The length of ``n_bytes`` in milliseconds."""
        return n_bytes * 1000 / (self.rate_hz * self.sample_bytes)

    def n_bytes(self, ms: float) -> int:
        """The whole samples of ``ms`` milliseconds, in bytes."""
        return int(ms * self.rate_hz / 1000) * self.sample_bytes

    def encode(self, samples: Samples) -> bytes:
        """Samples at ``rate_hz`` as they go over the wire."""
        if self.name == "audio/pcmu":
            return g711.encode_ulaw(samples)
        if self.name == "audio/pcma":
            return g711.encode_alaw(samples)
        return samples.astype("<i2", copy=False).tobytes()

    def decode(self, data: bytes) -> Samples:
        """The samples in ``data``, at ``rate_hz``."""
        if self.name == "audio/pcmu":
            return g711.decode_ulaw(data)
        if self.name == "audio/pcma":
            return g711.decode_alaw(data)
        return np.frombuffer(data, "<i2")

    def silence(self, ms: float) -> bytes:
        """``ms`` milliseconds of silence."""
        return self.encode(np.zeros(int(ms * self.rate_hz / 1000), np.int16))


PCM = WireFormat("audio/pcm", 24_000, 2)
PCMU = WireFormat("audio/pcmu", 8_000, 1)
PCMA = WireFormat("audio/pcma", 8_000, 1)
PCM_16K = WireFormat("audio/pcm", 16_000, 2)
"""No format of the API. A server that acknowledges G.711 and does not speak it uses this one (fault ``g711_lies``)."""
_FORMATS = {fmt.name: fmt for fmt in (PCM, PCMU, PCMA)}


def wire_format(shape: Mapping[str, Any], *, g711_lies: bool = False) -> WireFormat:
    """The format that a ``{"type": "audio/..."}`` object of the protocol names.

    ``g711_lies``: the one that is used in its place by a server which acknowledges G.711 and has none.
    """
    named = _FORMATS[shape["type"]]
    return PCM_16K if g711_lies and named is not PCM else named


def tone(ms: float, rate_hz: int, frequency_hz: float = 1000.0, level: float = 0.3) -> Samples:
    """A sine of ``ms`` milliseconds at ``level`` of full scale, with 2 ms ramps so that it does not click."""
    n = int(ms * rate_hz / 1000)
    wave = np.sin(2 * np.pi * frequency_hz * np.arange(n) / rate_hz) * level * 32767
    ramp = min(n // 2, rate_hz // 500)
    if ramp:
        wave[:ramp] *= np.linspace(0, 1, ramp)
        wave[-ramp:] *= np.linspace(1, 0, ramp)
    return wave.astype(np.int16)


def rms(samples: Samples) -> float:
    """Root mean square of the samples, 0..32768."""
    if not len(samples):
        return 0.0
    wide = samples.astype(np.float32)
    return float(np.sqrt(np.dot(wide, wide) / len(wide)))


_DELTA_MS = (150, 121, 183, 107, 167, 139, 199, 113)


def deltas(audio: bytes, fmt: WireFormat) -> Iterator[tuple[int, bytes]]:
    """Cut a reply as the API does: 100 to 200 ms each, never a multiple of 160 bytes; yields (byte offset, part)."""
    at = 0
    turn = 0
    while at < len(audio):
        size = fmt.n_bytes(_DELTA_MS[turn % len(_DELTA_MS)])
        if size % 160 == 0:
            size += fmt.sample_bytes
        yield at, audio[at : at + size]
        at += size
        turn += 1


class Downsampler:
    """24 kHz or 8 kHz in pieces of any size to 16 kHz, for a detector; delays by under 2 ms. 16 kHz stays as it is.

    A short polyphase filter: plenty for telling speech from silence, not for listening.
    """

    _TAPS = 24

    def __init__(self, rate_hz: int) -> None:
        if rate_hz not in (8_000, 16_000, 24_000):
            raise ValueError(f"no path from {rate_hz} Hz to 16000 Hz")
        self._as_it_is = rate_hz == 16_000
        self._up = 2
        self._down = 3 if rate_hz == 24_000 else 1
        length = self._TAPS * self._up
        cutoff = 0.46 / max(self._up, self._down) * 2  # of the up-sampled rate's Nyquist
        n = np.arange(length) - (length - 1) / 2
        prototype = np.sinc(cutoff * n) * np.hamming(length)
        prototype *= self._up / prototype.sum()
        # Row p holds the taps of output phase p, newest input sample last.
        self._phases = np.stack([prototype[p :: self._up][::-1] for p in range(self._up)]).astype(np.float32)
        self._history = np.zeros(self._TAPS - 1, np.float32)

    def feed(self, samples: Samples) -> NDArray[np.float32]:
        """The samples at 16 kHz that ``samples`` complete."""
        if self._as_it_is:
            return samples.astype(np.float32)
        line = np.concatenate((self._history, samples.astype(np.float32)))
        usable = (len(line) - self._TAPS + 1) // self._down * self._down
        if self._down == 3:
            usable = usable // 3 * 3
        if usable <= 0:
            self._history = line
            return np.zeros(0, np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(line, self._TAPS)[:usable]
        if self._down == 1:
            out = windows @ self._phases.T
            result = out.reshape(-1)
        else:
            # 2/3: per three input samples, output phase 0 at the first and phase 1 between the second and third.
            first = windows[0::3] @ self._phases[0]
            second = windows[1::3] @ self._phases[1]
            result = np.stack((first, second), axis=1).reshape(-1)
        self._history = line[usable:]
        return result
