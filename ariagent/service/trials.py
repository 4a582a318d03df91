"""The service's trials of what every call needs: one session with the model, one audio channel of Asterisk."""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence

from ariagent.ari.client import AriClient
from ariagent.audiosocket.server import AudioSocketServer
from ariagent.call.announcement import Announcements, announcements_wanted
from ariagent.check.report import Status
from ariagent.check.trial import Heard, Trial, try_audio
from ariagent.config import AgentSettings, RealtimeSettings, Settings
from ariagent.errors import AriError, told
from ariagent.realtime.events import Fault, SessionFailed, Usage
from ariagent.realtime.health import ModelHealth
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.trial import failure_of

log = logging.getLogger(__name__)

ASTERISK_AGAIN_S = 1.0
"""Delay before the next trial of the audio if Asterisk did not answer."""


class ModelTrial:
    """Tries a session with each of the model's endpoints in turn, until one works.

    The server may refuse the settings of one agent. That concerns this agent's calls alone: the next agent is tried.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        used: Callable[[str, Usage], object],
        health: ModelHealth,
    ) -> None:
        """``used`` is called with the model and the tokens of its speech. ``health``: what the calls report to."""
        self._settings = settings
        self._used = used
        self._health = health
        self._swept: Settings | None = None
        self.refused = health.refused

    async def __call__(self) -> str:
        """Returns why the model cannot be used by any agent, or ""."""
        settings = self._settings()
        first_fault = ""
        for place, realtime in enumerate(settings.realtime.endpoints):
            fault = await self._try(settings, place, realtime)
            if not fault:
                return ""
            first_fault = first_fault or fault
        return first_fault

    async def _try(self, settings: Settings, place: int, realtime: RealtimeSettings) -> str:
        """One endpoint: why no agent can use it, or "".

        The first endpoint is tried with new settings for every agent. Later one must work, and those that were refused
        are tried again. At the fallback one must work.
        """
        all_of_them = place == 0 and settings is not self._swept
        first: SessionFailed | None = None
        usable, used = False, ""
        for names in _alike(settings, realtime):
            again = place == 0 and self.refused.keys() & names
            if usable and not (all_of_them or again):
                continue
            agent = settings.agents[names[0]]
            model = SessionProfile.of(agent, realtime).model
            failure = await self._failure(place, realtime, agent, model, speaks=self._health.must_speak and not usable)
            if failure is None:
                usable, used = True, used or model
                self._accepted(names)
                continue
            cause = told(failure.cause, failure.remedy)
            if failure.full and (usable or self._health.serves(place)):
                # The calls that it serves are the proof that it works. One more goes to the human queue.
                log.warning("model.full", extra={"fields": {"model": model, "cause": cause}})
                return ""
            first = first or failure
            if failure.fault is not Fault.REQUEST:
                # Whatever it is, it would be the same with the next agent.
                break
            self._refuses(names, cause)
        else:
            if all_of_them:
                self._swept = settings
        if usable or first is None:
            log.info("model.usable", extra={"fields": {"model": used}})
            return ""
        cause = told(first.cause, first.remedy)
        log.error("model.unusable", extra={"fields": {"fault": first.fault.value, "cause": cause}})
        return cause

    async def _failure(
        self, place: int, realtime: RealtimeSettings, agent: AgentSettings, model: str, *, speaks: bool
    ) -> SessionFailed | None:
        known = self._health.dialects[place]
        failure, said = await failure_of(realtime, agent, speaks=speaks, understanding=known)
        if said is not None:
            self._used(said.usage.billed_as(model), said.usage)
        if failure is None and speaks:
            # A model that falls silent during a trial without speech must speak in the next one.
            self._health.must_speak = False
        return failure

    def _accepted(self, names: Sequence[str]) -> None:
        for name in names:
            self.refused.pop(name, None)

    def _refuses(self, names: Sequence[str], cause: str) -> None:
        """Log it, once: its calls go to the human queue, those of the others do not."""
        if any(self.refused.get(name) != cause for name in names):
            log.error("agent.refused", extra={"fields": {"agents": ",".join(names), "cause": cause}})
        self.refused |= dict.fromkeys(names, cause)


def _alike(settings: Settings, realtime: RealtimeSettings) -> list[list[str]]:
    """The names of the agents, together where the model's server cannot tell their sessions apart in a trial."""
    found: dict[str, list[str]] = {}
    for name, agent in settings.agents.items():
        profile = SessionProfile.of(agent, realtime, instructions="")
        found.setdefault(json.dumps([profile.model, profile.session()], sort_keys=True), []).append(name)
    return list(found.values())


class AudioTrial:
    """Tries one audio channel from Asterisk to ariagent, and plays a file on it, as for a spoken summary."""

    def __init__(
        self,
        ari: AriClient,
        trial: Trial,
        server: AudioSocketServer,
        address: str,
        announcements: Announcements,
        settings: Callable[[], Settings],
    ) -> None:
        self._ari = ari
        self._trial = trial
        self._server = server
        self._address = address
        self._announcements = announcements
        self._settings = settings

    async def __call__(self) -> str:
        """Returns why no audio comes from Asterisk, or "". Waits while Asterisk is not connected, which is logged
        elsewhere."""
        while True:
            await self._ari.stream_opened()
            try:
                heard = await self._try()
            except AriError as error:
                log.debug("audio.trial_failed", extra={"fields": {"cause": error.line}})
                await asyncio.sleep(ASTERISK_AGAIN_S)
                continue
            result = heard.result
            self._announcements.tried(heard.played)
            if result.status is not Status.FAILED:
                fields = {"address": heard.address, "audio": heard.fmt, **result.figures}
                log.info("audio.usable", extra={"fields": fields})
                return ""
            cause = told(result.found, result.remedy)
            log.error("audio.unusable", extra={"fields": {"cause": cause}})
            return cause

    async def announcement_plays(self) -> bool | None:
        """Whether Asterisk can play a file in the folder of spoken summaries; None: not known."""
        try:
            async with self._announcements.sample() as file:
                return (await try_audio(self._trial, self._server, self._address, file=file)).played
        except AriError as error:
            log.debug("announcement.trial_failed", extra={"fields": {"cause": error.line}})
        except OSError as error:
            self._announcements.not_kept(error)
        return None

    async def _try(self) -> Heard:
        if not announcements_wanted(self._settings()):
            return await try_audio(self._trial, self._server, self._address)
        try:
            async with self._announcements.sample() as file:
                return await try_audio(self._trial, self._server, self._address, file=file)
        except OSError as error:
            self._announcements.not_kept(error)
            return await try_audio(self._trial, self._server, self._address)
