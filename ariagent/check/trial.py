"""Tests the audio connection: Asterisk makes one channel that connects to ariagent, sends audio, and plays a file.

    externalMedia --> does it connect? --> silence --> does audio come? --> play --> can Asterisk read the file?

The channel is hung up at once. It has no call detail record and belongs to no call.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from uuid import UUID, uuid4

from ariagent.ari import events as ari
from ariagent.ari.client import NO_CDR, TRIAL_PREFIX
from ariagent.ari.listener import Router
from ariagent.audio.format import AudioFormat
from ariagent.audiosocket.endpoint import MediaConnection
from ariagent.audiosocket.server import AudioSocketServer
from ariagent.call.media_leg import FORMAT_NAMES
from ariagent.check.ari import Answer, Probe
from ariagent.check.report import Result, failed, ok
from ariagent.errors import AriError

STEP_LIMIT_S = 5.0
"""Time limit of each step: Asterisk's connection, its first audio, the end of the file."""
CLEAN_UP_LIMIT_S = 5.0
NAME = "audio connection"
REACH = (
    "Set audiosocket.advertise to an address that Asterisk reaches, open the port in the firewall, and look at "
    "Asterisk's log"
)


class TrialLeg:
    """Both ends of the test channel: Asterisk's events about it, and its audio connection, which gets silence."""

    def __init__(self) -> None:
        self.connected_at: float | None = None
        self.first_audio_at: float | None = None
        self.entered = False
        """Whether the channel is in the application. Before that it accepts no command."""
        self.played: bool | None = None
        """Whether Asterisk could play the file; None: not known yet."""
        self.gone = False
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> bool:
        """Wait until the condition holds, the channel is gone or the step's time is up; returns whether it holds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STEP_LIMIT_S):
                while not (condition() or self.gone):
                    self._changed.clear()
                    await self._changed.wait()
        return condition()

    def on_ari(self, event: ari.Event) -> None:
        """An event of the test channel."""
        match event:
            case ari.StasisStarted():
                self.entered = True
            case ari.PlaybackEnded(failed=failed):
                self.played = not failed
            case ari.StasisEnded() | ari.ChannelDestroyed():
                self.gone = True
        self._changed.set()

    # -- the audio connection (MediaEndpoint) -----------------------------------------------------

    def connected(self, connection: MediaConnection) -> None:
        self.connected_at = time.monotonic()
        self._changed.set()

    def audio_received(self, payload: bytes, now: float) -> None:
        if self.first_audio_at is None:
            self.first_audio_at = now
            self._changed.set()

    def frame_due(self, now: float) -> bytes | None:
        return None

    def digit_received(self, digit: str) -> None:
        """Nobody presses keys here."""

    def disconnected(self, reason: str) -> None:
        self._changed.set()


@dataclass(frozen=True, slots=True)
class Trial:
    """Makes test channels in the Stasis application ``app``; ``router`` gets its events."""

    probe: Probe
    app: str
    fmt: AudioFormat
    router: Router

    @asynccontextmanager
    async def channel(self, address: str, uuid: UUID, leg: TrialLeg) -> AsyncIterator[tuple[str, Answer]]:
        """Have Asterisk connect to ``address``. Afterwards the channel is gone in any case. Raises AriError."""
        channel_id = f"{TRIAL_PREFIX}{uuid}"
        self.router.register(channel_id, leg.on_ari)
        try:
            answer = await self.probe.ask(
                "POST",
                "channels/externalMedia",
                body={"variables": NO_CDR},
                channelId=channel_id,
                app=self.app,
                external_host=address,
                encapsulation="audiosocket",
                transport="tcp",
                format=FORMAT_NAMES[self.fmt.rate_hz],
                data=str(uuid),
            )
            yield channel_id, answer
        finally:
            # Also after a cancellation (Ctrl-C), and without an answer: the channel may have been made nevertheless.
            await asyncio.shield(self._hang_up(channel_id))
            self.router.unregister(channel_id)

    async def _hang_up(self, channel_id: str) -> None:
        with suppress(AriError, TimeoutError):
            async with asyncio.timeout(CLEAN_UP_LIMIT_S):
                await self.probe.ask("DELETE", f"channels/{channel_id}")


@dataclass(frozen=True, slots=True)
class Heard:
    """The outcome of a test. No I/O."""

    address: str
    fmt: AudioFormat
    answer: Answer
    """The answer to the request for the channel."""
    took_s: float
    """Time until that answer."""
    connect_ms: float | None = None
    """Time until Asterisk had connected; None: it never did."""
    refused: tuple[str, ...] = ()
    """Why connections were refused meanwhile."""
    silence: Answer | None = None
    """The answer to the request for audio."""
    audio: bool = False
    """Whether audio came."""
    played: bool | None = None
    """Whether Asterisk could play the file; None: there was no file, or it is not known."""

    @property
    def result(self) -> Result:
        """The line of ``ariagent check``."""
        if self.answer.status >= 400:
            return no_channel(NAME, self.address, self.answer, self.took_s)
        if self.connect_ms is None:
            return self._not_here
        if not self.audio:
            said = f" (HTTP {self.silence.status} {self.silence.message})" if self.silence is not None else ""
            found = f"Asterisk connects to {self.address}, but no audio comes{said}"
            remedy = "Look at Asterisk's log, and for another program between Asterisk and the service"
            return failed(NAME, found, remedy)
        found = f"Asterisk connects to {self.address} in {self.connect_ms:.0f} ms and sends audio ({self.fmt})"
        return ok(NAME, found, connect_ms=round(self.connect_ms, 1))

    @property
    def _not_here(self) -> Result:
        if "not_allowed" in self.refused:
            found = f"Asterisk connects to {self.address} from an address that is not in audiosocket.allowed"
            return failed(NAME, found, "Add Asterisk's network to audiosocket.allowed")
        why = f" ({', '.join(self.refused)})" if self.refused else ""
        found = f"Asterisk connects to {self.address}, but not to ariagent{why}"
        remedy = f"Another program answers at {self.address}. Correct audiosocket.advertise"
        return failed(NAME, found, remedy)


def no_channel(name: str, address: str, answer: Answer, took_s: float) -> Result:
    """The result if Asterisk could not make the channel. No I/O."""
    how = f"within {took_s:.1f} s" if took_s >= 1 else "at once"
    found = f"Asterisk cannot connect to {address} (it gave up {how}: HTTP {answer.status} {answer.message})"
    return failed(name, found, f"{REACH}. Check that chan_audiosocket is loaded")


async def try_audio(
    trial: Trial,
    server: AudioSocketServer,
    address: str,
    *,
    file: str = "",
    meanwhile: Callable[[str], Awaitable[None]] | None = None,
) -> Heard:
    """Make one channel that connects to ``server`` at ``address``, and return the outcome. Raises AriError.

    ``file``: a sound to play on it, an absolute path without ending. ``meanwhile`` is called with the channel's id
    once it is connected.
    """
    uuid, leg = uuid4(), TrialLeg()
    before = Counter(server.refused)
    server.expect(uuid, leg, trial.fmt)
    began = time.monotonic()
    try:
        async with trial.channel(address, uuid, leg) as (channel_id, answer):
            took_s = time.monotonic() - began
            here = answer.status < 400 and await leg.until(lambda: leg.connected_at is not None)
            refused = tuple(server.refused - before)
            if not here:
                return Heard(address, trial.fmt, answer, took_s, refused=refused)
            connect_ms = 1000 * ((leg.connected_at or began) - began)
            # Asterisk connects before the channel enters the application.
            await leg.until(lambda: leg.entered)
            if meanwhile is not None:
                await meanwhile(channel_id)
            # Asterisk sends nothing on an idle channel. The silence that it is asked for is audio, too.
            silence = await trial.probe.ask("POST", f"channels/{channel_id}/silence")
            audio = await leg.until(lambda: leg.first_audio_at is not None)
            if audio and file:
                await trial.probe.ask("POST", f"channels/{channel_id}/play", media=f"sound:{file}")
                await leg.until(lambda: leg.played is not None)
            return Heard(address, trial.fmt, answer, took_s, connect_ms, refused, silence, audio, leg.played)
    finally:
        server.forget(uuid)
