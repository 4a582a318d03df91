"""The test of the audio connection by ``ariagent check``: beside a running service, or with its own server."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

from ariagent.ari.listener import Router
from ariagent.audio.rates import choose_format
from ariagent.audiosocket.frames import uuid_frame
from ariagent.audiosocket.server import AudioSocketServer
from ariagent.call.announcement import Announcements, announcements_wanted
from ariagent.check.queues import HUMAN, check_on_channel
from ariagent.check.queues import NAME as QUEUES
from ariagent.check.report import Result, Say, Status, failed, ok, skipped, warning
from ariagent.check.site import Site
from ariagent.check.trial import NAME, STEP_LIMIT_S, Heard, Trial, TrialLeg, no_channel, try_audio
from ariagent.check.variables import check_variables
from ariagent.config import AudioSocketSettings, Settings
from ariagent.errors import AriError, ConfigurationError, ResourceError
from ariagent.hosts import joined, local

ANNOUNCEMENTS = "announcements"


async def check_audio(site: Site, say: Say) -> None:
    """Whether audio flows between Asterisk and this machine, and whether Asterisk can read spoken summaries. Without
    AMI also the state of the queues."""
    settings, router = site.settings, Router(lambda event: None)
    try:
        fmt = choose_format(site.version, settings.audiosocket.format, settings.realtime.encoding)
    except ConfigurationError:
        fmt = choose_format(site.version, "auto", settings.realtime.encoding)
    # A separate application, so that a running service does not see the channels.
    trial = Trial(site.probe, f"ariagent-check-{uuid4()}", fmt, router)
    try:
        async with site.probe.application(trial.app, router.route):
            await _try_audio(site, trial, say)
    except AriError as error:
        say(failed(NAME, str(error), error.remedy))


async def _try_audio(site: Site, trial: Trial, say: Say) -> None:
    media = site.settings.audiosocket
    server = AudioSocketServer(handshake_timeout_s=media.handshake_timeout_s, allowed=media.allowed)
    configured = media.advertise or joined(media.host, media.port)
    address, taken = configured, False
    try:
        try:
            await server.start(media.host, media.port)
        except ResourceError as error:
            address, taken = configured.rpartition(":")[0], True
            try:
                await server.start(media.host, 0)
            except ResourceError:
                say(failed(NAME, str(error), error.remedy))
                _skip_queues(site.settings, say)
                return
        if taken:
            say(await _service_port(media, configured, trial))
            address = f"{address}:{server.port}"
        elif not media.port:
            address = media.advertise or joined(media.host, server.port)

        async def meanwhile(channel_id: str) -> None:
            await check_variables(site.settings, site.probe, channel_id, say)
            if site.settings.ami is None:
                await check_on_channel(site.settings, site.probe, channel_id, say)

        heard = await _with_announcement(site.settings, trial, server, address, meanwhile, say)
        if heard.connect_ms is None:
            _skip_queues(site.settings, say)
        result = heard.result
        if taken and result.status is Status.FAILED:
            # Only the service's own port matters: a firewall may close all others.
            result = warning(
                result.name, result.found, "Ignore this if a firewall closes other ports: only this check uses it"
            )
        say(result)
    finally:
        await server.close()


def _skip_queues(settings: Settings, say: Say) -> None:
    """Without AMI the queues are read on the test channel, which could not be made."""
    if settings.ami is None:
        for name in (QUEUES, HUMAN):
            say(skipped(name, "the audio connection"))


async def _with_announcement(
    settings: Settings,
    trial: Trial,
    server: AudioSocketServer,
    address: str,
    meanwhile: Callable[[str], Awaitable[None]],
    say: Say,
) -> Heard:
    """Test the audio, and a file in the folder of spoken summaries if the settings use them."""
    if not announcements_wanted(settings):
        return await try_audio(trial, server, address, meanwhile=meanwhile)
    announcements = Announcements.of(settings, trial.fmt)
    async with AsyncExitStack() as stack:
        try:
            file = await stack.enter_async_context(announcements.sample())
        except OSError as error:
            say(judge_no_sample(announcements.directory, error))
            return await try_audio(trial, server, address, meanwhile=meanwhile)
        heard = await try_audio(trial, server, address, file=file, meanwhile=meanwhile)
        say(judge_announcements(announcements, heard.played))
        return heard


def judge_no_sample(directory: Path, error: OSError) -> Result:
    """No file could be written to the folder of spoken summaries. No I/O."""
    if isinstance(error, FileNotFoundError):
        return ok(ANNOUNCEMENTS, f"{directory} does not exist yet; the service makes it at its start")
    found = f"{directory} was not tested: this user cannot write there ({error.strerror or error})"
    return warning(ANNOUNCEMENTS, found, "Run this as root or as the service's user")


def judge_announcements(announcements: Announcements, played: bool | None) -> Result:
    """Whether Asterisk can play a file in the folder of spoken summaries. No I/O."""
    if played is None:
        return skipped(ANNOUNCEMENTS, "the audio connection")
    if not played:
        return warning(ANNOUNCEMENTS, *announcements.unreadable)
    if announcements.listed_by_others:
        found = (
            f"Asterisk can play files in {announcements.directory}, "
            "but every user of this machine can list and read them"
        )
        return warning(ANNOUNCEMENTS, found, f"`chmod o-r {announcements.directory}`")
    return ok(ANNOUNCEMENTS, f"Asterisk can play files in {announcements.directory}")


async def _service_port(media: AudioSocketSettings, configured: str, trial: Trial) -> Result:
    """The port is taken, probably by the service. Asterisk connects to it for a call that the service does not know."""
    name = "service's audio port"
    began = time.monotonic()
    async with trial.channel(configured, uuid4(), TrialLeg()) as (_, answer):
        if answer.status >= 400:
            return no_channel(name, configured, answer, time.monotonic() - began)
    if not await _refuses_strangers(media):
        found = f"another program listens on {joined(media.host, media.port)} (it is not an AudioSocket server)"
        return failed(name, found, "Stop that program, or set audiosocket.port to another port")
    return ok(name, f"in use by the service; Asterisk reaches it at {configured}. Audio is tested on a free port")


async def _refuses_strangers(media: AudioSocketSettings) -> bool:
    """Whether the port closes a connection that names an unknown call, as ariagent's server does."""
    try:
        async with asyncio.timeout(STEP_LIMIT_S):
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
