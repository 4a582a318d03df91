"""G.711 u-law and A-law (ITU-T G.711) to and from 16-bit linear samples, by table.

Linear samples are int16 at full scale: the 14-bit values of the recommendation's u-law tables times 4, the 13-bit
values of its A-law tables times 8. A code is one byte per sample, as RTP payload types 0 and 8 and the Realtime
formats ``audio/pcmu`` and ``audio/pcma`` carry it. Encoding and decoding are look-ups: no branch per sample.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_ULAW_BIAS = 33 << 2  # G.711 table 2a: segments start at 33 - 1 = 31, 95, 223 ... of 14 bits
_ULAW_CLIP = 8158 << 2  # the virtual decision value of table 2a


def encode_ulaw(pcm: NDArray[np.int16]) -> bytes:
    """One u-law byte per sample."""
    return _ULAW_OF_LINEAR[_codes(pcm)].tobytes()


def decode_ulaw(data: bytes) -> NDArray[np.int16]:
    """One sample per u-law byte; a fresh, writable array."""
    return _LINEAR_OF_ULAW[np.frombuffer(data, np.uint8)]


def encode_alaw(pcm: NDArray[np.int16]) -> bytes:
    """One A-law byte per sample."""
    return _ALAW_OF_LINEAR[_codes(pcm)].tobytes()


def decode_alaw(data: bytes) -> NDArray[np.int16]:
    """One sample per A-law byte; a fresh, writable array."""
    return _LINEAR_OF_ALAW[np.frombuffer(data, np.uint8)]


def _codes(pcm: NDArray[np.int16]) -> NDArray[np.uint16]:
    """The samples as table indices: the same bits, read without a sign."""
    return np.ascontiguousarray(pcm, np.int16).view(np.uint16)


def _segment(magnitude: NDArray[np.int64]) -> NDArray[np.int64]:
    """0 below 256, then one more for each doubling: the 3-bit segment number of a 15-bit magnitude."""
    return np.searchsorted(1 << np.arange(8, 15), magnitude, side="right")


def _ulaw_encoder(linear: NDArray[np.int64]) -> NDArray[np.uint8]:
    magnitude = np.minimum(np.abs(linear), _ULAW_CLIP - 1) + _ULAW_BIAS
    segment = _segment(magnitude)
    step = (magnitude >> (segment + 3)) & 0x0F
    sign = np.where(linear < 0, 0x80, 0)
    return np.asarray(~(sign | segment << 4 | step) & 0xFF, np.uint8)


def _ulaw_decoder(code: NDArray[np.int64]) -> NDArray[np.int16]:
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + _ULAW_BIAS << (code >> 4 & 7)) - _ULAW_BIAS
    return np.asarray(np.where(code & 0x80, -magnitude, magnitude), np.int16)


def _alaw_encoder(linear: NDArray[np.int64]) -> NDArray[np.uint8]:
    magnitude = np.where(linear < 0, ~linear, linear)
    segment = _segment(magnitude)
    step = (magnitude >> np.where(segment == 0, 4, segment + 3)) & 0x0F
    sign = np.where(linear < 0, 0, 0x80)
    return np.asarray((sign | segment << 4 | step) ^ 0x55, np.uint8)  # even bits are inverted on the line


def _alaw_decoder(code: NDArray[np.int64]) -> NDArray[np.int16]:
    code = code ^ 0x55
    segment = code >> 4 & 7
    magnitude = ((code & 0x0F) << 4) + 8 + np.where(segment == 0, 0, 0x100) << np.maximum(segment - 1, 0)
    return np.asarray(np.where(code & 0x80, magnitude, -magnitude), np.int16)


def _every_sample() -> NDArray[np.int64]:
    """All 65,536 sample values in the order of their bits read without a sign."""
    return np.arange(1 << 16, dtype=np.uint16).view(np.int16).astype(np.int64)


def _frozen(table: NDArray[Any]) -> NDArray[Any]:
    table.setflags(write=False)
    return table


_ULAW_OF_LINEAR: NDArray[np.uint8] = _frozen(_ulaw_encoder(_every_sample()))
_ALAW_OF_LINEAR: NDArray[np.uint8] = _frozen(_alaw_encoder(_every_sample()))
_LINEAR_OF_ULAW: NDArray[np.int16] = _frozen(_ulaw_decoder(np.arange(256)))
_LINEAR_OF_ALAW: NDArray[np.int16] = _frozen(_alaw_decoder(np.arange(256)))
