"""A rendered phrase as a file: a WAV file that says what it is and notices damage (CORE).

Any player plays it. Behind the audio stands a chunk of our own (``aria``) with the key that the phrase was rendered for
and a digest of the audio; players skip it. Format: RIFF/WAVE, Microsoft and IBM, 1991.
"""

import hashlib
import json
import struct
from dataclasses import asdict, dataclass

RATE_HZ = 24_000
_VERSION = 2
_FMT = struct.pack("<HHIIHH", 1, 1, RATE_HZ, RATE_HZ * 2, 2, 16)


@dataclass(frozen=True, slots=True)
class PromptKey:
    """The properties that make one rendering different from another."""

    server: str
    """Host and port of the model's server: the sandbox's voice is not that of a local model."""
    encoding: str
    """The encoding of the session that rendered it. In another one the server may send noise."""
    model: str
    voice: str
    speed: float
    language: str
    text: str

    @property
    def file_name(self) -> str:
        content = json.dumps([_VERSION, asdict(self)], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest() + ".wav"


def pack(pcm: bytes, key: PromptKey) -> bytes:
    """The file for ``pcm`` (24 kHz, signed 16-bit little-endian mono)."""
    note = json.dumps({**asdict(key), "sha256": hashlib.sha256(pcm).hexdigest()}, ensure_ascii=False).encode()
    chunks = _chunk(b"fmt ", _FMT) + _chunk(b"data", pcm) + _chunk(b"aria", note)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def unpack(data: bytes, key: PromptKey) -> bytes | None:
    """The PCM in a file that ``pack`` made for this key; None for any other, or one that was damaged."""
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    chunks: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        chunks[data[at : at + 4]] = data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
    pcm = chunks.get(b"data", b"")
    # Made again from what was found, it must be the same file: nothing is cut off, changed or added.
    return pcm if pcm and data == pack(pcm, key) else None


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
