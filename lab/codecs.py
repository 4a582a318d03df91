"""The phone's audio codecs: 20 ms of samples to one RTP payload and back. I/O-free.

Every codec here runs on an 8 kHz RTP clock with 160 bytes per 20 ms; G.722 carries 16 kHz audio on it (RFC 3551
section 4.5.2 keeps the historical mistake).
"""

import importlib
from typing import Any, Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from ariagent.audio.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from ariagent.errors import ConfigurationError

Samples = NDArray[np.int16]

CLOCK_HZ = 8000
FRAME_TICKS = 160
"""RTP clock ticks, and payload bytes, per 20 ms."""


class Codec(Protocol):
    """One direction of one stream: G.722 keeps state from frame to frame, so a codec object is never shared."""

    name: str
    rate_hz: int

    def encode(self, pcm: Samples) -> bytes: ...
    def decode(self, payload: bytes) -> Samples: ...


class Ulaw:
    name, rate_hz = "ulaw", 8000

    def encode(self, pcm: Samples) -> bytes:
        return encode_ulaw(pcm)

    def decode(self, payload: bytes) -> Samples:
        return decode_ulaw(payload)


class Alaw:
    name, rate_hz = "alaw", 8000

    def encode(self, pcm: Samples) -> bytes:
        return encode_alaw(pcm)

    def decode(self, payload: bytes) -> Samples:
        return decode_alaw(payload)


class G722:
    """G.722 at 64 kbit/s, by the ``G722`` package (ITU reference code in C)."""

    name, rate_hz = "g722", 16000

    def __init__(self) -> None:
        try:
            module: Any = importlib.import_module("G722")
        except ImportError as error:
            raise ConfigurationError("the G.722 codec is not installed", remedy="pip install G722") from error
        self._encoder, self._decoder = module.G722(16000, 64000), module.G722(16000, 64000)

    def encode(self, pcm: Samples) -> bytes:
        return bytes(self._encoder.encode(pcm))

    def decode(self, payload: bytes) -> Samples:
        return np.array(self._decoder.decode(payload), dtype=np.int16)


_CODECS: dict[str, type[Ulaw] | type[Alaw] | type[G722]] = {"ulaw": Ulaw, "alaw": Alaw, "g722": G722}


def make_codec(name: str) -> Codec:
    """A fresh codec: ``ulaw``, ``alaw`` or ``g722``."""
    return _CODECS[name]()


def convert_rate(pcm: Samples, from_hz: int, to_hz: int) -> Samples:
    """A whole recording at another rate. The delay of the filter is taken out, so it is not for live frames."""
    if from_hz == to_hz or not len(pcm):
        return pcm
    converted = soxr.resample(pcm, from_hz, to_hz, quality="HQ")
    return np.asarray(converted, dtype=np.int16)
