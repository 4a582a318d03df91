"""WebSocket text frames for the hot path: one append of caller audio every 20 ms and call.

``websockets`` asks the kernel for a mask key and builds several objects for each frame, which is a fifth of what
such an append costs in all. Here the keys come from a pool. Everything else is left to the library. Source: RFC 6455
sections 5.2 and 5.3 (a client masks every frame with a key that nobody can foresee).
"""

import secrets
import struct

from websockets.frames import apply_mask  # type: ignore[attr-defined]  # the compiled one where there is one

APPEND_HEAD, APPEND_TAIL = b'{"type":"input_audio_buffer.append","audio":"', b'"}'
"""The message that appends audio, before and behind its base64."""
_FIN_TEXT = 0x81
_MASKED = 0x80
_POOL_BYTES = 4096


class TextFramer:
    """Makes client text frames. Not to be shared between threads."""

    def __init__(self) -> None:
        self._pool = b""
        self._used = 0

    def frame(self, *parts: bytes) -> bytes:
        """The parts, one behind the other, as one whole, masked, unfragmented text frame."""
        payload = b"".join(parts)
        if self._used == len(self._pool):
            self._pool, self._used = secrets.token_bytes(_POOL_BYTES), 0
        mask = self._pool[self._used : self._used + 4]
        self._used += 4
        length = len(payload)
        if length < 126:
            head = struct.pack("!BB", _FIN_TEXT, _MASKED | length)
        elif length < 65536:
            head = struct.pack("!BBH", _FIN_TEXT, _MASKED | 126, length)
        else:
            head = struct.pack("!BBQ", _FIN_TEXT, _MASKED | 127, length)
        return b"".join((head, mask, apply_mask(payload, mask)))
