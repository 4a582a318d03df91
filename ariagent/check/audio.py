"""The audio's way, tried by ``ariagent check``: beside the running service, or with a server of its own."""

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
from ariagent.call.briefs import Briefs, briefs_wanted
from ariagent.check.queues import HUMAN, check_on_channel
from ariagent.check.queues import NAME as QUEUES
from ariagent.check.report import Result, Say, Status, failed, ok, skipped, warning
from ariagent.check.site import Site
from ariagent.check.trial import NAME, STEP_LIMIT_S, Heard, Trial, TrialLeg, no_channel, try_audio
from ariagent.config import AudioSocketSettings, Settings
from ariagent.errors import AriError, ConfigurationError, ResourceError
from ariagent.hosts import joined, local

BRIEFS = "briefs"


async def check_audio(site: Site, say: Say) -> None:
    """Say whether audio flows between Asterisk and here, whether Asterisk reads the spoken summaries, and what the
    queues look like."""
    settings, router = site.settings, Router(lambda event: None)
    try:
        fmt = choose_format(site.version, settings.audiosocket.format, settings.realtime.encoding)
    except ConfigurationError:
        fmt = choose_format(site.version, "auto", settings.realtime.encoding)
    # An application of its own, so that a running service does not see the channels.
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

        async def look_at_queues(channel_id: str) -> None:
            if site.settings.ami is None:
                await check_on_channel(site.settings, site.probe, channel_id, say)

        heard = await _with_brief(site.settings, trial, server, address, look_at_queues, say)
        if heard.connect_ms is None:
            _skip_queues(site.settings, say)
        result = heard.result
        if taken and result.status is Status.FAILED:
            # The service's own port is what counts; a firewall may well close all others.
            result = warning(result.name, result.found, "Only a check of the audio itself needs this port")
        say(result)
    finally:
        await server.close()


def _skip_queues(settings: Settings, say: Say) -> None:
    """Without a manager interface they are read on the channel that could not be had."""
    if settings.ami is None:
        for name in (QUEUES, HUMAN):
            say(skipped(name, "the audio connection"))


async def _with_brief(
    settings: Settings,
    trial: Trial,
    server: AudioSocketServer,
    address: str,
    meanwhile: Callable[[str], Awaitable[None]],
    say: Say,
) -> Heard:
    """Try the audio, and with it a file where spoken summaries will be, if there are to be any."""
    if not briefs_wanted(settings):
        return await try_audio(trial, server, address, meanwhile=meanwhile)
    briefs = Briefs.of(settings, trial.fmt)
    async with AsyncExitStack() as stack:
        try:
            file = await stack.enter_async_context(briefs.sample())
        except OSError as error:
            say(judge_no_sample(briefs.directory, error))
            return await try_audio(trial, server, address, meanwhile=meanwhile)
        heard = await try_audio(trial, server, address, file=file, meanwhile=meanwhile)
        say(judge_briefs(briefs, heard.played))
        return heard


def judge_no_sample(directory: Path, error: OSError) -> Result:
    """No file could be put where summaries will be. No I/O."""
    if isinstance(error, FileNotFoundError):
        return ok(BRIEFS, f"{directory} is not there yet; the service makes it, then Asterisk can be asked about it")
    found = (
        f"{directory} cannot be written by this user ({error.strerror or error}), so Asterisk was not asked about it"
    )
    return warning(BRIEFS, found, "Run this as root or as the service's user")


def judge_briefs(briefs: Briefs, played: bool | None) -> Result:
    """Whether Asterisk plays what lies where summaries will be."""
    if played is None:
        return skipped(BRIEFS, "the audio connection")
    if not played:
        return warning(BRIEFS, *briefs.unreadable)
    if briefs.listed_by_others:
        found = f"Asterisk can play files in {briefs.directory}, but every user of this machine can list and read them"
        return warning(BRIEFS, found, f"`chmod o-r {briefs.directory}`")
    return ok(BRIEFS, f"Asterisk can play files in {briefs.directory}")


async def _service_port(media: AudioSocketSettings, configured: str, trial: Trial) -> Result:
    """The port is taken: by the service, one hopes. Asterisk connects to it for a call that it does not know."""
    name = "service's audio port"
    began = time.monotonic()
    async with trial.channel(configured, uuid4(), TrialLeg()) as (_, answer):
        if answer.status >= 400:
            return no_channel(name, configured, answer, time.monotonic() - began)
    if not await _refuses_strangers(media):
        found = f"what listens on {joined(media.host, media.port)} is no AudioSocket server"
        return failed(name, found, "Stop that program, or give audiosocket.port another number")
    return ok(name, f"in use, Asterisk reaches it at {configured}; audio is tried on a free port")


async def _refuses_strangers(media: AudioSocketSettings) -> bool:
    """Whether a connection that names an unknown call is closed, as ours does."""
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
