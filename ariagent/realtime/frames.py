"""Cuts the data that arrives on a WebSocket, so that few frames are parsed at once. CORE.

The library parses everything that one read brought, which is up to 256 kB: 128,000 empty frames, or a second of work
in which no call gets its audio. Source of the format: RFC 6455 section 5.2.
"""

_LONGEST_HEAD = 14


class FrameCutter:
    """Follows the frames of one connection, from the first byte after the HTTP handshake."""

    def __init__(self) -> None:
        self._head = b""  # the head of a frame, as far as it came
        self._left = 0  # bytes of the last frame that are still to come

    def cut(self, data: bytes, start: int, most: int) -> tuple[int, int]:
        """The end of the part of ``data`` from ``start`` in which at most ``most`` (1 or more) frames begin, and how
        many do."""
        if not self._left and not self._head and _is_one_frame(data, start):
            return len(data), 1  # nearly always
        at, begun = start, 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            if begun == most and not self._head:
                break
            known = len(self._head)
            head = self._head + data[at : at + _LONGEST_HEAD - known]
            size = _head_size(head)
            if size is None:
                self._head = head
                return len(data), begun
            self._head = b""
            self._left = _length(head)
            at += size - known
            begun += 1
        return at, begun


def _is_one_frame(data: bytes, start: int) -> bool:
    """Whether ``data`` from ``start`` is one whole frame of a server's."""
    if len(data) < start + 4:
        return False
    short = data[start + 1]
    if short < 126:
        return len(data) == start + 2 + short
    return short == 126 and len(data) == start + 4 + (data[start + 2] << 8 | data[start + 3])


def _head_size(head: bytes) -> int | None:
    """How long the frame's head is; None: it is not whole."""
    if len(head) < 2:
        return None
    size = 2 + {126: 2, 127: 8}.get(head[1] & 0x7F, 0) + (4 if head[1] & 0x80 else 0)
    return size if len(head) >= size else None


def _length(head: bytes) -> int:
    """The payload's length in bytes."""
    short = head[1] & 0x7F
    if short < 126:
        return short
    return int.from_bytes(head[2 : 4 if short == 126 else 10], "big")
