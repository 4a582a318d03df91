"""The audio's way: Asterisk itself connects to us, and sends and takes audio; queues are read on that channel."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from uuid import UUID, uuid4

from ariagent.audio.format import AudioFormat
from ariagent.audio.rates import choose_format
from ariagent.audiosocket.endpoint import MediaConnection
from ariagent.audiosocket.frames import uuid_frame
from ariagent.audiosocket.server import AudioSocketServer
from ariagent.check.ari import Answer, Probe
from ariagent.check.queues import check_queues_without_manager
from ariagent.check.report import Result, Say, Status, failed, ok, skipped, warning
from ariagent.config import AudioSocketSettings, Settings
from ariagent.errors import AriError, ConfigurationError
from ariagent.hosts import joined, local

AUDIO_LIMIT_S = 5.0
"""From Asterisk's connection to its first audio."""
CLEAN_UP_LIMIT_S = 5.0
FORMAT_NAMES = {8_000: "slin", 16_000: "slin16", 24_000: "slin24"}
REACH = (
    "Set audiosocket.advertise to an address that Asterisk reaches, open the port in the firewall, and look at "
    "Asterisk's log"
)
NAME = "audio connection"


class _Ear:
    """The endpoint of one connection: counts what comes, answers with silence."""

    def __init__(self) -> None:
        self.connected_at: float | None = None
        self.first_audio_at: float | None = None
        self.changed = asyncio.Event()

    def connected(self, connection: MediaConnection) -> None:
        self.connected_at = time.monotonic()
        self.changed.set()

    def audio_received(self, payload: bytes, now: float) -> None:
        if self.first_audio_at is None:
            self.first_audio_at = now
            self.changed.set()

    def frame_due(self, now: float) -> bytes | None:
        return None

    def digit_received(self, digit: str) -> None:
        """Nobody presses keys here."""

    def disconnected(self, reason: str) -> None:
        self.changed.set()


class _Trial:
    """External media channels in an application of our own, so that a running service does not see them."""

    def __init__(self, probe: Probe, fmt: AudioFormat) -> None:
        self.app = f"ariagent-check-{uuid4()}"
        self._probe = probe
        self.fmt = fmt

    @asynccontextmanager
    async def channel(self, address: str, uuid: UUID) -> AsyncIterator[tuple[str, Answer]]:
        """Have Asterisk connect to ``address``; whatever happens, the channel is gone afterwards."""
        channel_id = f"{self.app}-{uuid}"
        try:
            answer = await self._probe.ask(
                "POST",
                "channels/externalMedia",
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
            # Also when we are cancelled (Ctrl-C), and when no answer came: it may have been made all the same.
            await asyncio.shield(self._hang_up(channel_id))

    async def _hang_up(self, channel_id: str) -> None:
        with suppress(AriError, TimeoutError):
            async with asyncio.timeout(CLEAN_UP_LIMIT_S):
                await self._probe.ask("DELETE", f"channels/{channel_id}")


async def check_audio(settings: Settings, probe: Probe, version: str, say: Say) -> None:
    """Say whether audio flows between Asterisk and here, and what the queues look like."""
    trial = _Trial(probe, choose_format(version, settings.audiosocket.format, settings.realtime.encoding))
    try:
        async with probe.application(trial.app):
            await _try_audio(settings, probe, trial, say)
    except AriError as error:
        say(failed("audio connection", str(error), error.remedy))


async def _try_audio(settings: Settings, probe: Probe, trial: _Trial, say: Say) -> None:
    media = settings.audiosocket
    server = AudioSocketServer(handshake_timeout_s=media.handshake_timeout_s, allowed=media.allowed)
    configured = media.advertise or joined(media.host, media.port)
    address, taken = configured, False
    try:
        try:
            await server.start(media.host, media.port)
        except ConfigurationError as error:
            address, taken = configured.rpartition(":")[0], True
            try:
                await server.start(media.host, 0)
            except ConfigurationError:
                say(failed("audio connection", str(error), error.remedy))
                _skip_queues(settings, say)
                return
        if taken:
            service = await _service_port(media, configured, trial)
            say(service)
            address = f"{address}:{server.port}"
        elif not media.port:
            address = media.advertise or joined(media.host, server.port)
        result = await _own_port(server, address, probe, trial, settings, say)
        if taken and result.status is Status.FAILED:
            # The service's own port is what counts; a firewall may well close all others.
            result = warning(result.name, result.found, "Only a check of the audio itself needs this port")
        say(result)
    finally:
        await server.close()


def _skip_queues(settings: Settings, say: Say) -> None:
    """Without a manager interface they are read on the channel that could not be had."""
    if settings.ami is None:
        say(skipped("queues", "the audio connection"))


async def _own_port(
    server: AudioSocketServer, address: str, probe: Probe, trial: _Trial, settings: Settings, say: Say
) -> Result:
    name = "audio connection"
    uuid, ear = uuid4(), _Ear()
    server.expect(uuid, ear, trial.fmt)
    began = time.monotonic()
    async with trial.channel(address, uuid) as (channel_id, answer):
        if answer.status >= 400:
            _skip_queues(settings, say)
            return _no_channel(name, address, answer, time.monotonic() - began)
        connected = await _until(ear, lambda: ear.connected_at is not None)
        if not connected:
            _skip_queues(settings, say)
            return _not_ours(server, address)
        if settings.ami is None:
            await check_queues_without_manager(settings, probe, channel_id, say)
        # Asterisk sends nothing on a channel that nobody talks to; its silence is audio as well.
        silence = await probe.ask("POST", f"channels/{channel_id}/silence")
        heard = await _until(ear, lambda: ear.first_audio_at is not None)
    connect_ms = 1000 * ((ear.connected_at or began) - began)
    if not heard:
        found = f"Asterisk connects to {address}, but no audio comes (HTTP {silence.status} {silence.message})"
        return failed(name, found, "Look at Asterisk's log; no other program may sit between Asterisk and the service")
    found = f"Asterisk connects to {address} in {connect_ms:.0f} ms and sends audio ({trial.fmt})"
    return ok(name, found, connect_ms=round(connect_ms, 1))


async def _service_port(media: AudioSocketSettings, configured: str, trial: _Trial) -> Result:
    """The port is taken: by the service, one hopes. Asterisk connects to it for a call that it does not know."""
    name = "service's audio port"
    began = time.monotonic()
    async with trial.channel(configured, uuid4()) as (_, answer):
        if answer.status >= 400:
            return _no_channel(name, configured, answer, time.monotonic() - began)
    if not await _refuses_strangers(media):
        found = f"what listens on {joined(media.host, media.port)} is no AudioSocket server"
        return failed(name, found, "Stop that program, or give audiosocket.port another number")
    return ok(name, f"in use, Asterisk reaches it at {configured}; audio is tried on a free port")


async def _refuses_strangers(media: AudioSocketSettings) -> bool:
    """Whether a connection that names an unknown call is closed, as ours does."""
    try:
        async with asyncio.timeout(AUDIO_LIMIT_S):
            reader, writer = await asyncio.open_connection(local(media.host), media.port)
            try:
                writer.write(uuid_frame(uuid4()))
                return await reader.read(1) == b""
            finally:
                writer.transport.abort()
    except ConnectionResetError:
        return True
    except (OSError, TimeoutError):
        return False


def _no_channel(name: str, address: str, answer: Answer, took_s: float) -> Result:
    how = f"within {took_s:.1f} s" if took_s >= 1 else "at once"
    found = f"Asterisk cannot connect to {address} (it gave up {how}: HTTP {answer.status} {answer.message})"
    return failed(name, found, REACH)


def _not_ours(server: AudioSocketServer, address: str) -> Result:
    refused = ", ".join(server.refused)
    if "not_allowed" in server.refused:
        found = f"Asterisk connects to {address} from an address that audiosocket.allowed does not hold"
        return failed("audio connection", found, "Add Asterisk's network to audiosocket.allowed")
    found = f"Asterisk connects to {address}, but not to us" + (f" ({refused})" if refused else "")
    return failed("audio connection", found, f"Another program answers at {address}: correct audiosocket.advertise")


async def _until(ear: _Ear, condition: Callable[[], bool]) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(AUDIO_LIMIT_S):
            while not condition():
                ear.changed.clear()
                await ear.changed.wait()
    return condition()
