"""SDP for one audio stream: parse, serialize, offer and answer (RFC 8866, RFC 3264). I/O-free."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ariagent.errors import ConfigurationError
from lab.sip import SipError

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
_DIRECTIONS: tuple[Direction, ...] = ("sendrecv", "sendonly", "recvonly", "inactive")

STATIC_PAYLOADS = {0: "PCMU/8000", 8: "PCMA/8000", 9: "G722/8000"}
"""Payload types that need no rtpmap (RFC 3551 section 6); G.722's clock is written as 8 kHz there."""
CODEC_PAYLOADS = {"ulaw": 0, "alaw": 8, "g722": 9}
EVENT_PAYLOAD = 101


@dataclass(frozen=True, slots=True)
class Sdp:
    """One audio stream. ``address`` and ``port`` are where its owner wants RTP; port 0 refuses the stream.

    ``formats`` are (payload type, encoding such as ``PCMU/8000``) by preference; ``rejected`` the other media lines of
    an offer, to be answered with port 0, each with its position.
    """

    address: str
    port: int
    formats: tuple[tuple[int, str], ...]
    direction: Direction = "sendrecv"
    ptime_ms: int = 20
    session_id: int = 1
    version: int = 1
    rejected: tuple[tuple[int, str], ...] = ()

    @property
    def event_payload(self) -> int | None:
        """The payload type of telephone events (RFC 4733) at 8 kHz, if offered."""
        return next((number for number, name in self.formats if name.lower() == "telephone-event/8000"), None)

    @property
    def codecs(self) -> list[str]:
        """Names of the codecs we know, by preference."""
        known = {STATIC_PAYLOADS[number].lower(): name for name, number in CODEC_PAYLOADS.items()}
        return [known[name.lower()] for _, name in self.formats if name.lower() in known]

    def payload_of(self, codec: str) -> int:
        """The payload type under which this side wants to receive ``codec``."""
        wanted = STATIC_PAYLOADS[CODEC_PAYLOADS[codec]].lower()
        return next((number for number, name in self.formats if name.lower() == wanted), CODEC_PAYLOADS[codec])

    @property
    def takes_audio(self) -> bool:
        """Whether its owner wants to be sent audio; the address 0.0.0.0 is hold as it was before RFC 3264."""
        return self.port != 0 and self.address != "0.0.0.0" and self.direction in ("sendrecv", "recvonly")

    @property
    def gives_audio(self) -> bool:
        return self.port != 0 and self.direction in ("sendrecv", "sendonly")

    @classmethod
    def parse(cls, body: bytes) -> "Sdp":
        """Raises SipError without an audio line on RTP/AVP or without a connection line."""
        lines = [line.strip() for line in body.decode("utf-8", "replace").splitlines() if line.strip()]
        sections: list[list[str]] = [[]]
        for line in lines:
            if line.startswith("m="):
                sections.append([])
            sections[-1].append(line)
        audio = next((index for index, part in enumerate(sections) if part and part[0].startswith("m=audio ")), None)
        if audio is None:
            raise SipError("no audio in the session description")
        rejected = tuple((i - 1, part[0]) for i, part in enumerate(sections) if i and i != audio)
        return cls._parse_audio(sections[0], sections[audio], rejected)

    @classmethod
    def _parse_audio(cls, session: list[str], media: list[str], rejected: tuple[tuple[int, str], ...]) -> "Sdp":
        words = media[0].split()
        try:
            port, protocol = int(words[1].partition("/")[0]), words[2]
            numbers = [int(word) for word in words[3:]] if protocol == "RTP/AVP" else []
            maps = dict(STATIC_PAYLOADS)
            for line in media:
                if line.startswith("a=rtpmap:"):
                    number, _, name = line[len("a=rtpmap:") :].partition(" ")
                    maps[int(number)] = name.strip().removesuffix("/1")
            connection = next(line for line in (*media, *session) if line.startswith("c="))
            address = connection.split()[2].partition("/")[0]
            origin = next((line.split() for line in session if line.startswith("o=")), ["", "1", "1"])
            ptime = next((int(line[len("a=ptime:") :]) for line in media if line.startswith("a=ptime:")), 20)
            session_id, version = int(origin[1]), int(origin[2])
        except (ValueError, IndexError, StopIteration) as error:
            raise SipError(f"malformed session description near {media[0][:60]!r}") from error
        attributes = {line[2:] for line in (*media, *session) if line.startswith("a=")}
        own = {line[2:] for line in media if line.startswith("a=")}
        found = [name for name in _DIRECTIONS if name in own] or [name for name in _DIRECTIONS if name in attributes]
        formats = tuple((number, maps[number]) for number in numbers if number in maps)
        direction = found[0] if found else "sendrecv"
        return cls(address, port, formats, direction, ptime, session_id, version, rejected)

    def serialize(self) -> bytes:
        numbers = " ".join(str(number) for number, _ in self.formats) or "0"
        audio = [f"m=audio {self.port} RTP/AVP {numbers}"]
        audio += [f"a=rtpmap:{number} {name}" for number, name in self.formats]
        if self.event_payload is not None:
            audio.append(f"a=fmtp:{self.event_payload} 0-16")
        audio += [f"a=ptime:{self.ptime_ms}", f"a={self.direction}"]
        media = ["\r\n".join(audio)]
        for position, line in self.rejected:
            words = line.split()
            media.insert(position, " ".join([words[0], "0", *words[2:]]))
        head = [
            "v=0",
            f"o=- {self.session_id} {self.version} IN IP4 {self.address}",
            "s=-",
            f"c=IN IP4 {self.address}",
            "t=0 0",
        ]
        return "\r\n".join([*head, *media, ""]).encode()


def make_offer(address: str, port: int, codecs: Sequence[str], direction: Direction = "sendrecv") -> Sdp:
    """Our offer: the codecs by preference, and telephone events. Raises ConfigurationError for an unknown codec."""
    check_codecs(codecs)
    formats = [(CODEC_PAYLOADS[name], STATIC_PAYLOADS[CODEC_PAYLOADS[name]]) for name in codecs]
    return Sdp(address, port, (*formats, (EVENT_PAYLOAD, "telephone-event/8000")), direction)


def make_answer(offer: Sdp, address: str, port: int, codecs: Sequence[str], direction: Direction) -> Sdp | None:
    """Our answer to an offer: its first codec that is ours too, under its numbers; None when there is none.

    ``direction`` is what we would like; what the far end does not offer is taken away (RFC 3264 section 6.1).
    """
    common = [name for name in offer.codecs if name in codecs]
    if not common:
        return None
    chosen = offer.payload_of(common[0])
    formats = [pair for pair in offer.formats if pair[0] in (chosen, offer.event_payload)]
    send = direction in ("sendrecv", "sendonly") and offer.direction in ("sendrecv", "recvonly")
    receive = direction in ("sendrecv", "recvonly") and offer.direction in ("sendrecv", "sendonly")
    mine: Direction = "sendrecv" if send and receive else "sendonly" if send else "recvonly" if receive else "inactive"
    return replace(Sdp(address, port if offer.port else 0, tuple(formats), mine), ptime_ms=20, rejected=offer.rejected)


def check_codecs(codecs: Iterable[str]) -> None:
    unknown = [name for name in codecs if name not in CODEC_PAYLOADS]
    if unknown or not list(codecs):
        raise ConfigurationError(f"unknown codec {unknown}", remedy=f"Use {', '.join(CODEC_PAYLOADS)}.")
