"""The service's trials of what every call needs: one session with the model, one audio channel of Asterisk."""

import asyncio
import logging
from collections.abc import Callable

from ariagent.ari.client import AriClient
from ariagent.audiosocket.server import AudioSocketServer
from ariagent.call.briefs import Briefs, briefs_wanted
from ariagent.check.report import Status
from ariagent.check.trial import Heard, Trial, try_audio
from ariagent.config import Settings
from ariagent.errors import AriError, told
from ariagent.realtime.events import Usage
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.trial import failure_of

log = logging.getLogger(__name__)

ASTERISK_AGAIN_S = 1.0
"""Delay before the next trial of the audio if Asterisk did not answer."""


class ModelTrial:
    """Tries a session with each of the model's endpoints in turn, until one works."""

    def __init__(self, settings: Callable[[], Settings], used: Callable[[str, Usage], object]) -> None:
        """``used`` is called with the model and the tokens of its speech."""
        self._settings = settings
        self._used = used
        self._silent = False

    def was_silent(self) -> None:
        """The model was silent in a call: from now on a trial passes only if it speaks."""
        self._silent = True

    async def __call__(self) -> str:
        """Returns why the model cannot be used, or ""."""
        settings = self._settings()
        agent = next(iter(settings.agents.values()))
        first_fault = ""
        for realtime in settings.realtime.endpoints:
            speaks = self._silent
            failure, said = await failure_of(realtime, agent, speaks=speaks)
            model = SessionProfile.of(agent, realtime).model
            if said is not None:
                self._used(said.usage.billed_as(model), said.usage)
            if failure is None:
                # was_silent during this trial counts for the next one.
                self._silent = self._silent and not speaks
                log.info("model.usable", extra={"fields": {"model": model}})
                return ""
            cause = told(failure.cause, failure.remedy)
            first_fault = first_fault or cause
            log.error("model.unusable", extra={"fields": {"fault": failure.fault.value, "cause": cause}})
        return first_fault


class AudioTrial:
    """Tries one audio channel from Asterisk to ariagent, and plays a file on it, as for a spoken summary."""

    def __init__(
        self,
        ari: AriClient,
        trial: Trial,
        server: AudioSocketServer,
        address: str,
        briefs: Briefs,
        settings: Callable[[], Settings],
    ) -> None:
        self._ari = ari
        self._trial = trial
        self._server = server
        self._address = address
        self._briefs = briefs
        self._settings = settings

    async def __call__(self) -> str:
        """Returns why no audio comes from Asterisk, or "". Waits while Asterisk is not connected, which is logged
        elsewhere."""
        while True:
            await self._ari.stream_opened()
            try:
                heard = await self._try()
            except AriError as error:
                log.debug("audio.not_tried", extra={"fields": {"cause": error.line}})
                await asyncio.sleep(ASTERISK_AGAIN_S)
                continue
            result = heard.result
            self._briefs.tried(heard.played)
            if result.status is not Status.FAILED:
                fields = {"address": heard.address, "audio": heard.fmt, **result.figures}
                log.info("audio.usable", extra={"fields": fields})
                return ""
            cause = told(result.found, result.remedy)
            log.error("audio.unusable", extra={"fields": {"cause": cause}})
            return cause

    async def brief_plays(self) -> bool | None:
        """Whether Asterisk can play a file in the folder of spoken summaries; None: not known."""
        try:
            async with self._briefs.sample() as file:
                return (await try_audio(self._trial, self._server, self._address, file=file)).played
        except AriError as error:
            log.debug("brief.not_tried", extra={"fields": {"cause": error.line}})
        except OSError as error:
            self._briefs.not_kept(error)
        return None

    async def _try(self) -> Heard:
        if not briefs_wanted(self._settings()):
            return await try_audio(self._trial, self._server, self._address)
        try:
            async with self._briefs.sample() as file:
                return await try_audio(self._trial, self._server, self._address, file=file)
        except OSError as error:
            self._briefs.not_kept(error)
            return await try_audio(self._trial, self._server, self._address)
