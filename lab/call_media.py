"""The media half of a call: what it plays, hears and describes. ``call.Call`` adds the signalling."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ariagent.errors import InternalError
from lab.codecs import CLOCK_HZ, Samples
from lab.media import MediaSession
from lab.rtp import RtpPacket, SentFrame, StreamStats
from lab.sdp import Direction, Sdp, make_offer
from lab.sip import SipError

log = logging.getLogger(__name__)


class CallMedia:
    """One media session, the two descriptions that govern it, and the switches a user may set before it exists."""

    def __init__(self, host: str, codecs: tuple[str, ...], *, dtx: bool) -> None:
        self.held_by_peer = False
        """Whether the far end said that it wants no audio from us."""
        self._host = host
        self._codecs = codecs
        self._dtx = dtx
        self._media: MediaSession | None = None
        self._local: Sdp | None = None
        self._remote: Sdp | None = None
        self._session_id = secrets.randbits(31)
        self._version = 0
        self._on_hold = False
        self._mute_rtp = False
        self._on_packet: Callable[[RtpPacket], None] | None = None

    @property
    def codec(self) -> str:
        """The codec we send with; '' before media is agreed."""
        return self._media.codec.name if self._media and self._media.codec else ""

    @property
    def media(self) -> MediaSession:
        """The media session. Raises InternalError before an incoming call has one (after ``answer``)."""
        if self._media is None:
            raise InternalError("this call has no media yet")
        return self._media

    def play(self, pcm: bytes | Samples, rate_hz: int = CLOCK_HZ) -> "asyncio.Future[bool]":
        """Queue 16-bit mono samples (little-endian bytes or int16 array); before the answer they wait for it.

        The future gives True when the last sample was sent, False when it was cut off.
        """
        samples = np.frombuffer(pcm, "<i2") if isinstance(pcm, bytes) else pcm
        return self.media.play(np.asarray(samples, np.int16), rate_hz)

    def stop_playing(self) -> None:
        if self._media is not None:
            self._media.stop_playing()

    @property
    def playing(self) -> bool:
        return self._media is not None and self._media.playing

    @property
    def received(self) -> list[RtpPacket]:
        """Every packet that came, telephone events included."""
        return self._media.received if self._media else []

    @property
    def sent(self) -> list[SentFrame]:
        """Every packet sent."""
        return self._media.sent if self._media else []

    @property
    def digits(self) -> str:
        """Digits received as telephone events."""
        return self._media.digits if self._media else ""

    @property
    def stats(self) -> StreamStats:
        return self._media.stats if self._media else StreamStats(0, 0, 0, 0)

    def heard(self, rate_hz: int = CLOCK_HZ) -> Samples:
        """The audio that was heard, from the first packet on, by RTP timestamp; gaps are silence."""
        return self._media.heard(rate_hz) if self._media else np.zeros(0, np.int16)

    @property
    def mute_rtp(self) -> bool:
        """Set to True to stop sending packets without telling anyone."""
        return self._mute_rtp

    @mute_rtp.setter
    def mute_rtp(self, value: bool) -> None:
        self._mute_rtp = value
        self._apply_switches()

    @property
    def on_packet(self) -> Callable[[RtpPacket], None] | None:
        """Called with each received packet, inside the event loop."""
        return self._on_packet

    @on_packet.setter
    def on_packet(self, hook: Callable[[RtpPacket], None] | None) -> None:
        self._on_packet = hook
        self._apply_switches()

    def _apply_switches(self) -> None:
        if self._media is not None:
            self._media.mute_rtp, self._media.on_hold = self._mute_rtp, self._on_hold
            self._media.on_packet = self._on_packet

    async def _open_media(self) -> MediaSession:
        if self._media is None:
            self._media = await MediaSession.open(self._host, dtx=self._dtx)
            self._apply_switches()
        return self._media

    def _describe(self, direction: Direction, codecs: tuple[str, ...] = ()) -> Sdp:
        return self._remember(make_offer(self._host, self.media.port, codecs or self._codecs, direction))

    def _remember(self, local: Sdp) -> Sdp:
        self._version += 1
        self._local = replace(local, session_id=self._session_id, version=self._version)
        return self._local

    def _take_answer(self, body: bytes) -> bool:
        """The far end's description in a response; False without one, or with one that is of no use."""
        if not body:
            return False
        try:
            self._remote = Sdp.parse(body)
        except SipError as error:
            log.info("phone.bad_answer", extra={"fields": {"error": str(error)}})
            return False
        return self._negotiate()

    def _negotiate(self) -> bool:
        if self._local is None or self._remote is None or self._media is None:
            return False
        common = [name for name in self._remote.codecs if name in self._local.codecs]
        if not common or not self._remote.port:
            return False
        self.held_by_peer = not self._remote.takes_audio
        self._media.negotiate(self._local, self._remote, common[0])
        return True
