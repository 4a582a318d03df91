"""Listens to the party that answered a consult leg, for a fax, a modem or the beep of an answering machine.

the consult leg's channel -- Snoop (what comes from the human agent) -- bridge -- AudioSocket -- MachineEar
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from ariagent.ari import events as ari
from ariagent.ari.client import NotFoundError
from ariagent.audio.format import SLIN8
from ariagent.audio.tones import Machine, MachineEar, WithoutHoles
from ariagent.audiosocket.server import MediaConnection
from ariagent.call.context import Context
from ariagent.call.media_leg import MEDIA_TIMEOUT_S, MediaLeg
from ariagent.errors import AriError
from ariagent.logs import CallLog
from ariagent.records.events import ConsultAudioUnavailable, NotReleased


class ConsultEar:
    """Listens from ``begin`` to ``close``. ``heard`` is called once, with the kind of the machine.

    If Asterisk refuses, nothing is heard and the log says so; a human agent still gets the caller.
    """

    def __init__(self, context: Context, channel: str, log: CallLog, heard: Callable[[Machine], None]) -> None:
        self.snoop = f"{channel}-ear"
        self.media = MediaLeg(context.ari)
        self._context = context
        self._channel = channel
        self._log = log
        self._heard = heard
        self._ear = MachineEar(SLIN8)
        self._holes = WithoutHoles()
        self._snooping = asyncio.Event()
        self._over = False
        self._task: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    def owns(self, name: str) -> bool:
        """Whether this channel or bridge is the ear's."""
        return name in (self.snoop, self.media.channel, self.media.bridge)

    def begin(self) -> None:
        """Have Asterisk send us what it hears from the human agent."""
        for channel in (self.snoop, self.media.channel):
            self._context.router.register(channel, self._on_ari)
        self._context.media.expect(self.media.uuid, self, SLIN8, self._log.call_id)
        self._task = asyncio.ensure_future(self._connect())

    async def close(self, limit_s: float | None = None) -> None:
        """Give everything back, also if the one who waits is cancelled, or waits for ``limit_s`` only. Raises a fault
        of ``begin``'s, if it is known by then."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.wait([self._closing], timeout=limit_s)
        if self._closing.done():
            self._closing.result()
        else:
            self._closing.add_done_callback(self._closed_late)

    def _closed_late(self, closing: "asyncio.Task[None]") -> None:
        """Nobody waited for it any more."""
        if not closing.cancelled() and (fault := closing.exception()) is not None:
            self._log.tell(NotReleased(repr(fault)))

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(MEDIA_TIMEOUT_S):
                await self._context.ari.snoop(self._channel, self.snoop)
                await self._snooping.wait()
            if not self._over:
                address = self._context.media_address
                await self.media.connect(self.snoop, address=address, rate_hz=SLIN8.rate_hz)
        except (AriError, TimeoutError) as error:
            if not self._over:
                cause = error.line if isinstance(error, AriError) else "Asterisk did not make the channel in time"
                self._log.tell(ConsultAudioUnavailable(cause))

    async def _close(self) -> None:
        self._over = True
        for channel in (self.snoop, self.media.channel):
            self._context.router.unregister(channel)
        self._context.media.forget(self.media.uuid)
        # A request in flight cannot be taken back: wait for it, for nothing else, then undo it by its preset id.
        self._snooping.set()
        self.media.give_up()
        self.media.connected.set()
        if self._task is None:
            return
        await asyncio.wait([self._task])
        failures = await self.media.release()
        try:
            with suppress(NotFoundError):
                await self._context.ari.hang_up(self.snoop)
        except AriError as error:
            failures.append(error)
        for failure in failures:
            if not isinstance(failure, NotFoundError):
                self._log.tell(NotReleased(failure.line))
        self._task.result()

    def _on_ari(self, event: ari.Event) -> None:
        match event:
            case ari.StasisStarted(channel=channel) if channel.id == self.media.channel:
                self.media.entered()
            case ari.StasisStarted():
                self._snooping.set()

    # -- the audio connection -----------------------------------------------------------------------

    def connected(self, connection: MediaConnection) -> None:
        """Asterisk's audio connection is here."""
        self.media.connected.set()

    def audio_received(self, payload: bytes, now: float) -> None:
        """20 ms of the answering party's audio."""
        if not self._over and (machine := self._ear.hear(self._holes.take(payload))) is not None:
            self._heard(machine)

    def frame_due(self, now: float) -> bytes | None:
        """Nothing is said there."""
        return None

    def digit_received(self, digit: str) -> None:
        """Keys come with the leg's own events."""

    def disconnected(self, reason: str) -> None:
        """Nothing more is heard."""
        if not self._over:
            self._log.tell(ConsultAudioUnavailable(f"the audio connection ended: {reason}"))
