"""The media leg of one call: an AudioSocket channel of Asterisk's and the bridge that joins it with the caller."""

import asyncio
from uuid import UUID, uuid4

from ariagent.ari.client import AriClient, ConflictError, NotFoundError, RefusedError
from ariagent.errors import AriError

MEDIA_TIMEOUT_S = 8.0
"""How long it may take until the caller is bridged with the media channel."""
AUDIO_HERE_S = 3.0
"""How long the audio connection may take once Asterisk has made it; it takes milliseconds."""
LATE_PAUSES_S = (2.0, 8.0)
FORMAT_NAMES = {8_000: "slin", 16_000: "slin16", 24_000: "slin24"}
"""Names of the formats in ``externalMedia``, by rate in Hz."""


REMEDY = "Set audiosocket.advertise to an address that Asterisk reaches; `ariagent check` tries it"


class NoAudioError(AriError):
    """Asterisk has no way to our audio server: no other call would get any audio now either."""


class MediaLeg:
    """Made and given back by ids that were chosen before the first request, so that no event is missed and
    everything can be taken back whatever became of a request.
    """

    def __init__(self, ari: AriClient) -> None:
        self.uuid: UUID = uuid4()
        self.channel = f"ariagent-media-{self.uuid}"
        self.bridge = f"ariagent-bridge-{self.uuid}"
        self._ari = ari
        self.connected = asyncio.Event()
        """Asterisk's audio connection has come to us."""
        self._entered = asyncio.Event()
        self._given_up = asyncio.Event()
        self._bridge_unsure = False

    def entered(self) -> None:
        """The media channel has entered our application."""
        self._entered.set()

    async def make(self, *, address: str, rate_hz: int) -> bool:
        """Create bridge and media channel, at once; True when the channel has entered, False when given up.

        Raises AriError; NoAudioError where Asterisk cannot make an audio channel.
        """
        made = await asyncio.gather(
            self._ari.create_bridge(self.bridge),
            self._ari.external_media(
                self.channel, host=address, connection=str(self.uuid), format_name=FORMAT_NAMES[rate_hz]
            ),
            return_exceptions=True,
        )
        # A request that was not answered may still be carried out.
        self._bridge_unsure = isinstance(made[0], AriError) and not isinstance(made[0], NotFoundError | ConflictError)
        if isinstance(made[1], RefusedError):
            # The request has nothing to do with the caller.
            raise NoAudioError(f"Asterisk cannot connect the audio to {address}: {made[1]}", remedy=REMEDY)
        for failure in made:
            if failure is not None:
                raise failure
        waits = [asyncio.ensure_future(event.wait()) for event in (self._entered, self._given_up)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return not self._given_up.is_set()

    async def connect(self, caller_channel: str, *, address: str, rate_hz: int) -> bool:
        """Make everything and bridge the caller with it; False when given up meanwhile.

        Raises AriError; NoAudioError where no other call would get any audio now either; TimeoutError.
        """
        async with asyncio.timeout(MEDIA_TIMEOUT_S):
            if not await self.make(address=address, rate_hz=rate_hz):
                return False
            await self._audio_here(address)
            await self.join(caller_channel)
            return True

    async def _audio_here(self, address: str) -> None:
        """Asterisk has connected to somebody: wait until it is us. Raises NoAudioError."""
        try:
            async with asyncio.timeout(AUDIO_HERE_S):
                await self.connected.wait()
        except TimeoutError:
            raise NoAudioError(f"Asterisk connects to {address}, but not to ariagent", remedy=REMEDY) from None

    async def join(self, caller_channel: str) -> None:
        """Bridge the caller with the media. Before the media channel has entered, Asterisk refuses it (422)."""
        await self._ari.add_to_bridge(self.bridge, caller_channel, self.channel)

    async def rejoin(self, caller_channel: str) -> None:
        """Put the caller, who is in the bridge, into it again: one request, and Asterisk takes them out first."""
        await self._ari.add_to_bridge(self.bridge, caller_channel)

    def give_up(self) -> None:
        """Wait for nothing any more."""
        self._given_up.set()

    async def release(self) -> list[AriError]:
        """Give channel and bridge back; returns what Asterisk refused."""
        results = await asyncio.gather(
            self._ari.hang_up(self.channel), self._ari.destroy_bridge(self.bridge), return_exceptions=True
        )
        failures = []
        for failure in results:
            if isinstance(failure, AriError):
                failures.append(failure)
            elif failure is not None:
                raise failure
        if self._bridge_unsure and isinstance(results[1], NotFoundError):
            await self._destroy_late_bridge()
        return failures

    async def _destroy_late_bridge(self) -> None:
        """Media channels that come late enter our application and are noticed; bridges are not."""
        for pause in LATE_PAUSES_S:
            await asyncio.sleep(pause)
            try:
                await self._ari.destroy_bridge(self.bridge)
            except AriError:
                continue
            return
