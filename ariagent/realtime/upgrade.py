"""The HTTP answer to the request for a WebSocket: accepted or refused. CORE.

The library reads up to a megabyte of a refusal's text, chunk by chunk: a server that sends chunks of one byte would
keep the event loop from all calls for 20 s. An error message shows some words of it, so little of it is passed on.
"""

import re
from dataclasses import dataclass

MAX_HEAD_BYTES = 64 * 1024
"""The longest head of the answer that is looked through; the library refuses a longer one."""
MAX_TEXT_BYTES = 4 * 1024
"""Bytes of a refusal's text that are waited for."""

_HTTP = b"HTTP/"
_HEAD_END = b"\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.[0-9] ([0-9]{3})\b")
_LENGTH = re.compile(rb"(?i)\r\nContent-Length:[ \t]*([0-9]{1,18})[ \t]*\r\n")
_CHUNKED = re.compile(rb"(?i)\r\nTransfer-Encoding:[ \t]*chunked[ \t]*\r\n")
_CHUNK_HEAD = re.compile(rb"(?:^|\r\n)[0-9A-Fa-f]{1,8}(?:;[^\r\n]*)?\r\n")
_LAST_CHUNK = re.compile(rb"(?:^|\r\n)0\r\n\r\n$")


@dataclass(frozen=True, slots=True)
class Answer:
    """The server's answer, as far as it is needed."""

    head: bytes
    """The bytes that the library reads as the whole answer. A refusal's text follows its first line."""
    rest: bytes = b""
    """The bytes behind it: WebSocket frames."""
    refused: bool = True


class Upgrade:
    """The answer on one connection, from its first byte."""

    def __init__(self) -> None:
        self._data = bytearray()

    def take(self, data: bytes, *, is_all: bool = False) -> Answer | None:
        """Add bytes of the answer; ``is_all``: the server has ended the connection. Return None while the answer is not
        complete."""
        self._data += data
        end = self._data.find(_HEAD_END)
        if end < 0:
            no_http = self._data[: len(_HTTP)] != _HTTP[: len(self._data)]
            whole = is_all or no_http or len(self._data) >= MAX_HEAD_BYTES
            return Answer(bytes(self._data)) if whole else None
        end += len(_HEAD_END)
        head, text = bytes(self._data[:end]), bytes(self._data[end:])
        status = _STATUS.match(head)
        code = int(status[1]) if status else 0
        if code == 101:
            return Answer(head, text, refused=False)
        if code < 200 or code in (204, 304):
            return Answer(head)  # has no text
        if not (is_all or len(text) >= MAX_TEXT_BYTES or _is_whole(head, text)):
            return None
        text = text[:MAX_TEXT_BYTES]
        if _CHUNKED.search(head):
            text = _CHUNK_HEAD.sub(b"", text).removesuffix(b"\r\n")
        return Answer(head.partition(b"\r\n")[0] + _HEAD_END + text)


def _is_whole(head: bytes, text: bytes) -> bool:
    if _CHUNKED.search(head):
        return _LAST_CHUNK.search(text) is not None
    length = _LENGTH.search(head)
    return length is not None and len(text) >= int(length[1])
