"""The one list of checks, for ``ariagent check`` and for a running service.

Add a check to ``CHECKS`` only. It says what it needs, how long it may take and its worst result:

* *failed*: calls do not work, or cannot be transferred as the settings say;
* *warning*: calls work, but something else does not or will not.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from ariagent.check import asterisk, dialplan, installed, manager, probe, queues, transfers, versions
from ariagent.check.audio import check_audio
from ariagent.check.host import check_machine
from ariagent.check.model import check_model
from ariagent.check.ports import check_ports
from ariagent.check.report import Result, Say, Status, failed, skipped
from ariagent.check.settings import check_settings
from ariagent.check.shutdowns import NAME as LIFETIME
from ariagent.check.shutdowns import check_shutdowns
from ariagent.check.site import Site
from ariagent.check.talk import check_talk
from ariagent.check.tools import check_tools
from ariagent.check.turns import NAME as JUDGE
from ariagent.check.turns import check_turns
from ariagent.config import Settings
from ariagent.errors import ConfigurationError, InternalError
from ariagent.secret import SecretError

log = logging.getLogger(__name__)

QUICK_LIMIT_S = 30.0
AUDIO_LIMIT_S = 90.0
MODEL_LIMIT_S = 60.0
"""Time limit for each agent."""
TOOL_LIMIT_S = 30.0
"""Time limit for each tool."""
TALK_LIMIT_S = 180.0
REPORT_IT = "Please report this with the output of `ariagent version`"


class Need(StrEnum):
    """A need of a check."""

    SETTINGS = "settings"
    """Only the settings and this machine."""
    ASTERISK = "asterisk"
    """Asterisk's REST interface (ARI)."""
    MANAGER = "manager"
    """Asterisk's manager interface (AMI)."""
    CONSOLE = "console"
    """Asterisk's console and the list of installed files, on Asterisk's machine."""
    MODEL = "model"
    """The model's server."""
    NETWORK = "network"
    """The servers of the site's tools."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check."""

    name: str
    needs: Need
    run: Callable[[Site, Say], Awaitable[None]]
    worst: Status
    """``FAILED`` or ``WARNING``: the worst result that it can have."""
    quick: bool = False
    """The check takes milliseconds and makes no channel. A service also runs it at its start and after each
    reconnection."""
    after: tuple[str, ...] = ()
    """Names of checks that must pass first. If one of them fails, this one is skipped."""
    gives: str = ""
    """The result of this check that later checks need, as the reader sees it."""
    shows: tuple[str, ...] = ()
    """The names of its results, if they differ from its own."""
    applies: Callable[[Settings], bool] = lambda settings: True
    limit_s: Callable[[Settings], float] = lambda settings: QUICK_LIMIT_S


async def _settings(site: Site, say: Say) -> None:
    for result in check_settings(site.settings, site.source):
        say(result)


async def _machine(site: Site, say: Say) -> None:
    for result in await asyncio.to_thread(lambda: list(check_machine(site.settings))):
        say(result)


async def _ports(site: Site, say: Say) -> None:
    await check_ports(site.settings, say)


async def _model(site: Site, say: Say) -> None:
    await check_model(site.settings, say)


async def _lifetimes(site: Site, say: Say) -> None:
    await check_shutdowns(site.settings, say)


async def _tools(site: Site, say: Say) -> None:
    await check_tools(site.settings, say)


async def _probe(site: Site, say: Say) -> None:
    await probe.check_probe(site.settings, say)


async def _talk(site: Site, say: Say) -> None:
    await check_talk(site.settings, say)


def _has_manager(settings: Settings) -> bool:
    return settings.ami is not None


def _managed(name: str, run: Callable[[Site, Say], Awaitable[None]], applies: Callable[[Settings], bool]) -> Check:
    return Check(name, Need.MANAGER, run, Status.FAILED, quick=True, after=("manager",), applies=applies)


def _audio(applies: Callable[[Settings], bool], *shows: str) -> Check:
    return Check(
        "audio connection",
        Need.ASTERISK,
        check_audio,
        Status.FAILED,
        after=_ARI,
        gives="the audio connection",
        shows=shows,
        applies=applies,
        limit_s=lambda settings: AUDIO_LIMIT_S,
    )


_ARI = ("asterisk", "ARI user", "ARI description", "modules")
_CALLS = "an Asterisk with ARI and its modules"

CHECKS: tuple[Check, ...] = (
    Check("settings", Need.SETTINGS, _settings, Status.FAILED, quick=True),
    Check("machine", Need.SETTINGS, _machine, Status.FAILED, quick=True),
    Check("ports", Need.SETTINGS, _ports, Status.FAILED),
    Check(JUDGE, Need.SETTINGS, check_turns, Status.WARNING),
    Check("asterisk", Need.ASTERISK, asterisk.check_reach, Status.FAILED, quick=True, gives="Asterisk"),
    Check(
        versions.VERSION,
        Need.ASTERISK,
        asterisk.check_version,
        Status.FAILED,
        quick=True,
        after=_ARI[:1],
        shows=(versions.VERSION, versions.SECURITY),
    ),
    Check("ARI user", Need.ASTERISK, asterisk.check_user, Status.FAILED, quick=True, after=_ARI[:1], gives=_CALLS),
    Check("ARI description", Need.ASTERISK, asterisk.check_description, Status.FAILED, after=_ARI[:1], gives=_CALLS),
    Check("modules", Need.ASTERISK, asterisk.check_modules, Status.FAILED, quick=True, after=_ARI[:1], gives=_CALLS),
    Check("application", Need.ASTERISK, asterisk.check_application, Status.WARNING, after=_ARI[:1]),
    Check(dialplan.NAME, Need.ASTERISK, dialplan.check_dialplan, Status.FAILED, quick=True, after=_ARI[:1]),
    Check(transfers.NAME, Need.ASTERISK, transfers.check_transfers, Status.WARNING, after=_ARI[:1]),
    Check(
        "destinations",
        Need.ASTERISK,
        dialplan.check_extensions,
        Status.FAILED,
        quick=True,
        after=_ARI[:1],
        applies=lambda settings: any(place.extension for place in settings.destinations.values()),
    ),
    Check(
        "manager",
        Need.MANAGER,
        manager.check_manager,
        Status.FAILED,
        quick=True,
        gives="the manager interface",
        applies=_has_manager,
    ),
    Check(installed.NAME, Need.CONSOLE, installed.check_phones, Status.FAILED, limit_s=lambda settings: 120.0),
    _managed(queues.NAME, queues.check_queues, _has_manager),
    _managed(queues.HUMAN, queues.check_human_queue, _has_manager),
    _managed(
        queues.DESTINATIONS,
        queues.check_destinations,
        lambda settings: _has_manager(settings) and any(place.queue for place in settings.destinations.values()),
    ),
    _audio(_has_manager, "audio connection"),
    # Without AMI the queues are read on the channel of the audio test.
    _audio(lambda settings: not _has_manager(settings), "audio connection", queues.NAME, queues.HUMAN),
    Check(
        "model",
        Need.MODEL,
        _model,
        Status.FAILED,
        gives="a model that every agent can use",
        limit_s=lambda settings: MODEL_LIMIT_S * (1 + len(settings.agents)),
    ),
    Check(LIFETIME, Need.MODEL, _lifetimes, Status.FAILED, limit_s=lambda settings: MODEL_LIMIT_S),
    Check(
        "tools",
        Need.NETWORK,
        _tools,
        Status.FAILED,
        limit_s=lambda settings: TOOL_LIMIT_S * (1 + len(settings.tools) + len(settings.agents)),
    ),
)

PROBE = Check(probe.NAME, Need.MODEL, _probe, Status.FAILED, limit_s=lambda settings: probe.LIMIT_S)
"""Only on request: it costs a little, and needs two sessions at once."""
TALK = Check("talk", Need.MODEL, _talk, Status.FAILED, after=("model",), limit_s=lambda settings: TALK_LIMIT_S)
"""Only on request: it costs a little."""


async def run_checks(checks: Iterable[Check], site: Site, say: Callable[[Check, Result], None]) -> None:
    """Run these checks one after another, each with its time limit, and report each result as soon as it is known."""
    lacking: dict[str, str] = {}
    """Name of a failed check -> what later checks lack."""
    for check in checks:
        if not check.applies(site.settings):
            continue
        lack = next((lacking[name] for name in check.after if name in lacking), None)
        if lack is not None:
            lacking[check.name] = lack
            for name in check.shows or (check.name,):
                say(check, skipped(name, lack))
            continue
        statuses = await _run(check, site, say)
        if statuses & {Status.FAILED, Status.SKIPPED}:
            lacking[check.name] = check.gives or check.name


async def _run(check: Check, site: Site, say: Callable[[Check, Result], None]) -> set[Status]:
    statuses: set[Status] = set()

    def tell(result: Result) -> None:
        statuses.add(result.status)
        say(check, result)

    def allowed(result: Result) -> None:
        if result.status is Status.FAILED and check.worst is not Status.FAILED:
            raise InternalError(f"the check {check.name} must not fail, but reports: {result.found}")
        tell(result)

    limit_s = check.limit_s(site.settings)
    try:
        async with asyncio.timeout(limit_s):
            await check.run(site, allowed)
    except TimeoutError:
        tell(failed(check.name, f"not finished within {limit_s:g} s", REPORT_IT))
    except SecretError as error:
        # The check of the settings has reported what is wrong with the secret.
        for name in check.shows or (check.name,):
            tell(skipped(name, error.key))
    except ConfigurationError as error:
        tell(failed(check.name, str(error), error.remedy))
    except Exception as error:
        log.exception("check.fault", extra={"fields": {"name": check.name}})
        tell(failed(check.name, f"internal error: {error!r}", REPORT_IT))
    return statuses


def quick(*needs: Need) -> list[Check]:
    """The checks with one of these needs that a running service does by itself."""
    return [check for check in CHECKS if check.quick and check.needs in needs]
