"""AudioSocket frames: one byte of kind, two of length (big-endian), the payload. CORE.

Kinds and directions as Asterisk's ``res_audiosocket`` (20.17, 22.7, 23.1 and later) has them. One TCP connection is
one channel: Asterisk opens it and says which with a UUID frame, then both sides send audio; Asterisk adds digits, the
server may ask for a hangup. Either side ends it by closing the connection.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID

from ariagent.audio.format import AudioFormat
from ariagent.errors import AudioSocketError

_HEADER = struct.Struct(">BH")
HEADER_BYTES = _HEADER.size

MAX_PAYLOAD_BYTES = 32_768
"""The longest payload that the decoder takes by default, in bytes: longer than any frame of Asterisk's (60 ms at 192
kHz are 23,040 bytes)."""


class Kind(IntEnum):
    """The first byte of a frame."""

    HANGUP = 0x00
    """Server to Asterisk: hang the channel up. Empty. Asterisk itself only closes the connection."""
    UUID = 0x01
    """Asterisk to server, first and once: 16 raw bytes."""
    DTMF = 0x03
    """Asterisk to server: one ASCII byte."""
    SLIN8 = 0x10
    SLIN12 = 0x11
    SLIN16 = 0x12
    SLIN24 = 0x13
    SLIN32 = 0x14
    SLIN44 = 0x15
    SLIN48 = 0x16
    SLIN96 = 0x17
    SLIN192 = 0x18
    ERROR = 0xFF
    """Defined by the protocol, not accepted from a server."""


FORMATS: dict[Kind, AudioFormat] = {
    Kind.SLIN8: AudioFormat(8_000),
    Kind.SLIN12: AudioFormat(12_000),
    Kind.SLIN16: AudioFormat(16_000),
    Kind.SLIN24: AudioFormat(24_000),
    Kind.SLIN32: AudioFormat(32_000),
    Kind.SLIN44: AudioFormat(44_100),
    Kind.SLIN48: AudioFormat(48_000),
    Kind.SLIN96: AudioFormat(96_000),
    Kind.SLIN192: AudioFormat(192_000),
}
_KINDS = {fmt: kind for kind, fmt in FORMATS.items()}
_KIND_OF_BYTE: dict[int, Kind] = {int(kind): kind for kind in Kind}
_FIXED_LENGTHS = {Kind.HANGUP: 0, Kind.UUID: 16, Kind.DTMF: 1}
_UUID_HEADER = _HEADER.pack(Kind.UUID, _FIXED_LENGTHS[Kind.UUID])
OPENING_BYTES = HEADER_BYTES + _FIXED_LENGTHS[Kind.UUID]
"""The length of the frame that opens a connection."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole frame. ``payload`` is without the three bytes of the header."""

    kind: Kind
    payload: bytes = b""

    def __str__(self) -> str:
        return f"{self.kind.name}({len(self.payload)})"

    @property
    def uuid(self) -> UUID:
        """The channel a UUID frame names."""
        return UUID(bytes=self.payload)

    @property
    def digit(self) -> str:
        """The key of a DTMF frame."""
        return self.payload.decode("ascii")


class FrameError(AudioSocketError):
    """The byte stream is not AudioSocket any more; nothing after this point can be trusted.

    ``kind`` and ``length`` are what the offending header said, ``frames`` the whole frames that came before it in the
    same call of ``feed``.
    """

    def __init__(self, cause: str, *, kind: int, length: int, frames: list[Frame]) -> None:
        super().__init__(cause, remedy="Only Asterisk's AudioSocket may connect to this port.")
        self.kind = kind
        self.length = length
        self.frames = frames


class Opening:
    """The start of a connection that has not said yet which call it is for.

    It looks at the bytes of a UUID frame and at nothing else, so that a stranger costs no work.
    """

    def __init__(self) -> None:
        self._seen = b""

    def feed(self, data: bytes | memoryview) -> tuple[UUID, bytes] | None:
        """The UUID and the bytes behind its frame, as soon as that frame is whole.

        Raises FrameError at the first byte that a UUID frame cannot have.
        """
        missing = OPENING_BYTES - len(self._seen)
        seen = self._seen = self._seen + bytes(data[:missing])
        header = seen[:HEADER_BYTES]
        if not _UUID_HEADER.startswith(header):
            kind, length = _HEADER.unpack(header.ljust(HEADER_BYTES, b"\0"))
            raise FrameError(f"no UUID frame: 0x{header.hex()}", kind=kind, length=length, frames=[])
        if len(seen) < OPENING_BYTES:
            return None
        return UUID(bytes=seen[HEADER_BYTES:]), bytes(data[missing:])


class Decoder:
    """Bytes in as the network cuts them, whole frames out.

    A header is judged as soon as its three bytes are here, so that at most ``max_payload_bytes`` are kept beside what
    one ``feed`` brought. After a FrameError the decoder stays broken: every further ``feed`` raises it again, without
    frames.
    """

    def __init__(self, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        self._max_payload_bytes = max_payload_bytes
        self._stream = b""
        self._at = 0
        """Where in ``_stream`` the next frame begins."""
        self._error: FrameError | None = None
        self.more = False
        """Whether the last ``feed`` stopped before the end of what is here."""

    @property
    def buffered_bytes(self) -> int:
        """Bytes that are in no returned frame yet."""
        return len(self._stream) - self._at

    def feed(
        self, data: bytes | memoryview = b"", *, most: int | None = None, most_bytes: int | None = None
    ) -> list[Frame]:
        """The next frames of what is here, in order: all that are whole, or ``most`` of them, or fewer if these make
        ``most_bytes``. ``more`` then says whether to ask again, without data.

        Raises FrameError on an unknown kind, on a length the kind cannot have, on audio of half a sample or of none, on
        a digit that is not printable ASCII.
        """
        if self._error is not None:
            self._error.frames = []
            raise self._error
        if data:
            self._stream = self._stream[self._at :] + data if self.buffered_bytes else bytes(data)
            self._at = 0
        stream = self._stream
        frames: list[Frame] = []
        at, end = self._at, len(stream)
        until = end if most_bytes is None else at + most_bytes
        self.more = False
        while end - at >= HEADER_BYTES:
            if len(frames) == most or at >= until:
                self.more = True
                break
            number, length = _HEADER.unpack_from(stream, at)
            kind = _KIND_OF_BYTE.get(number)
            if kind is None or not self._plausible(kind, length):
                raise self._broken("an impossible frame", number, length, frames)
            after = at + HEADER_BYTES + length
            if after > end:
                break
            payload = stream[at + HEADER_BYTES : after]
            if kind is Kind.DTMF and not 0x20 < payload[0] < 0x7F:
                raise self._broken("a digit that is none", number, length, frames)
            frames.append(Frame(kind, payload))
            at = after
        self._at = at
        return frames

    def _plausible(self, kind: Kind, length: int) -> bool:
        fixed = _FIXED_LENGTHS.get(kind)
        if fixed is not None:
            return length == fixed
        if length > self._max_payload_bytes:
            return False
        # Asterisk sends no audio frame without samples.
        return kind is Kind.ERROR or (length > 0 and length % 2 == 0)

    def _broken(self, what: str, kind: int, length: int, frames: list[Frame]) -> FrameError:
        self._stream, self._at = b"", 0
        self._error = FrameError(f"{what}: kind 0x{kind:02x}, length {length}", kind=kind, length=length, frames=frames)
        return self._error


def encode(frame: Frame) -> bytes:
    """Any frame as it goes over the wire."""
    return _HEADER.pack(frame.kind, len(frame.payload)) + frame.payload


def audio_frame(kind: Kind, payload: bytes) -> bytes:
    """Audio of ``kind``; ValueError for what Asterisk would end the channel over (empty, half a sample, no audio)."""
    if kind not in FORMATS or not payload or len(payload) % 2:
        raise ValueError(f"{kind.name} cannot carry {len(payload)} bytes of audio")
    return _HEADER.pack(kind, len(payload)) + payload


def audio_header(kind: Kind, payload_bytes: int) -> bytes:
    """The three bytes before ``payload_bytes`` of audio, for a sender whose frames all have one length."""
    return _HEADER.pack(kind, payload_bytes)


def uuid_frame(uuid: UUID) -> bytes:
    """The frame that Asterisk opens a connection with."""
    return encode(Frame(Kind.UUID, uuid.bytes))


def dtmf_frame(digit: str) -> bytes:
    """One pressed key."""
    if len(digit) != 1:
        raise ValueError(f"one digit per frame, not {digit!r}")
    return encode(Frame(Kind.DTMF, digit.encode("ascii")))


def hangup_frame() -> bytes:
    """The server's wish to hang the channel up."""
    return encode(Frame(Kind.HANGUP))


def error_frame(code: bytes = b"") -> bytes:
    """An error report; only for test peers, a server must not send it."""
    return encode(Frame(Kind.ERROR, code))


def kind_for(fmt: AudioFormat) -> Kind:
    """The kind that carries ``fmt``; ValueError when AudioSocket has none."""
    try:
        return _KINDS[fmt]
    except KeyError:
        raise ValueError(f"AudioSocket does not carry {fmt}") from None


def format_of(kind: Kind) -> AudioFormat:
    """The format that ``kind`` carries; ValueError for a kind that is not audio."""
    try:
        return FORMATS[kind]
    except KeyError:
        raise ValueError(f"{kind.name} is not audio") from None
