"""Cuts the data that arrives on a WebSocket, so that few frames are parsed at once. CORE.

The library parses everything that one read brought, which is up to 256 kB: 128,000 empty frames, or a second of work
in which no call gets its audio. Source of the format: RFC 6455 section 5.2.
"""

_LONGEST_HEAD = 14
_CONTINUATION, _TEXT, _BINARY = 0, 1, 2
_LAST = 0x80
"""The bit of a message's last frame."""
_WHOLE_TEXT = _LAST | _TEXT


class FrameCutter:
    """Follows the frames of one connection, from the first byte after the HTTP handshake."""

    def __init__(self) -> None:
        self._head = b""  # the head of a frame, as far as it came
        self._left = 0  # bytes of the last frame that are still to come
        self._in_message = False  # a message has begun, but not its last frame

    def cut(self, data: bytes, at: int) -> tuple[int, int, int]:
        """Cut one piece of ``data``, from ``at``: the rest of a frame, or one that begins there, as far as it is there.

        Returns the end of the piece; how many frames begin in it (0 or 1); where the text of a whole message begins
        in it, or 0 where the piece is anything else.
        """
        if not (self._left or self._head or self._in_message) and (text := _text(data, at)):
            return text[1], 1, text[0]  # nearly always
        begun = 0
        if not self._left:
            known = len(self._head)
            head = self._head + data[at : at + _LONGEST_HEAD - known]
            size = _head_size(head)
            if size is None:
                self._head = head
                return len(data), 0, 0
            self._head = b""
            self._left = _length(head)
            at += size - known
            begun = 1
            if head[0] & 0x0F in (_CONTINUATION, _TEXT, _BINARY):
                self._in_message = not head[0] & _LAST
        end = min(at + self._left, len(data))
        self._left -= end - at
        return end, begun, 0


def _text(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the text begins and ends, if a whole text message of a server is there, of at most 65,535 bytes."""
    if len(data) < at + 4 or data[at] != _WHOLE_TEXT:  # a text of one byte may be the library's, too
        return None
    length, start = data[at + 1], at + 2
    if length == 126:
        length, start = data[at + 2] << 8 | data[at + 3], at + 4
    elif length > 126:
        return None
    end = start + length
    return (start, end) if end <= len(data) else None


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
