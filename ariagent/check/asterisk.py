"""Checks of Asterisk: its REST interface, version, modules, the ARI user's rights, and the running service."""

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import quote
from uuid import uuid4

from ariagent.ari.client import AriClient
from ariagent.ari.refusals import DENIALS, denial, no_ari
from ariagent.check import reach, versions
from ariagent.check.ari import Answer, Probe
from ariagent.check.report import Result, Say, failed, ok, warning
from ariagent.check.site import Site
from ariagent.config import Settings
from ariagent.errors import AriError
from ariagent.hosts import local

NEEDED: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "res_ari",
            "res_ari_model",
            "res_ari_applications",
            "res_ari_asterisk",
            "res_ari_bridges",
            "res_ari_channels",
            "res_ari_events",
            "res_http_websocket",
        ),
        "the REST interface",
    ),
    **dict.fromkeys(("res_stasis", "res_stasis_answer", "app_stasis"), "calls reach the service through it"),
    **dict.fromkeys(("chan_audiosocket", "res_audiosocket"), "the audio of every call"),
    **dict.fromkeys(("bridge_simple", "bridge_softmix"), "caller and AI are bridged"),
}
"""Modules that every call needs -> what each is for."""

USEFUL: Mapping[str, str] = {
    "app_queue": "queues: the AI's seats, and the human queue",
    "codec_resample": "24 kHz audio",
    "codec_ulaw": "telephone audio",
    "codec_alaw": "telephone audio",
    "func_channel": "the shipped dialplan",
    "func_global": "the shipped dialplan",
    "func_logic": "the shipped dialplan",
    "func_devstate": "the AI's seats: their state",
    "pbx_loopback": "the AI's seats: without it none takes a call",
    "res_stasis_device_state": "the check of the dialplan",
    "res_ari_device_states": "the check of the dialplan",
}
"""Modules that other functions need -> what each is for."""

LARGEST_SKEW_S = 5.0


async def check_reach(site: Site, say: Say) -> None:
    """Whether Asterisk's REST interface answers and accepts the user."""
    began = time.monotonic()
    settings = site.settings.asterisk
    try:
        answer = await site.probe.ask("GET", "asterisk/info")
    except AriError as error:
        say(failed("asterisk", str(error), error.remedy))
        return
    took_ms = 1000 * (time.monotonic() - began)
    site.version = _version_in(answer.body) or ""
    if answer.status in DENIALS:
        say(failed("asterisk", *denial(answer.status, settings, writes=False, server=answer.server)))
    elif answer.status != 200 or not site.version:
        what = f"HTTP {answer.status}"
        say(failed("asterisk", *no_ari(what, answer.server, settings)))
    else:
        say(ok("asterisk", f"answers at {settings.url} in {took_ms:.0f} ms", answer_ms=round(took_ms, 1)))
        if (result := judge_clock(answer.headers.get("Date", ""), time.time())) is not None:
            say(result)


async def check_version(site: Site, say: Say) -> None:
    """Known faults and missing security fixes of this Asterisk's version."""
    for result in versions.judge_version(site.version, site.settings, time.strftime("%Y-%m-%d", time.gmtime())):
        say(result)


def _version_in(body: object) -> str | None:
    system = body.get("system") if isinstance(body, dict) else None
    version = system.get("version") if isinstance(system, dict) else None
    return version if isinstance(version, str) else None


def judge_clock(date: str, now: float) -> Result | None:
    """Compares an HTTP date with ``now`` (seconds since the epoch); None if the date cannot be read. No I/O."""
    try:
        skew = abs(now - parsedate_to_datetime(date).timestamp())
    except (TypeError, ValueError, OverflowError):
        return None
    if skew <= LARGEST_SKEW_S:
        return ok("clock", "agrees with Asterisk's")
    found = f"this machine's clock and Asterisk's differ by {skew:.0f} s, so records and queue_log do not match"
    return warning("clock", found, "Synchronise both clocks (NTP)")


async def check_user(site: Site, say: Say) -> None:
    """Whether the ARI user may write. The check hangs up a channel that does not exist, which has no effect."""
    answer = await _asked(site.probe, say, "ARI user", "DELETE", f"channels/ariagent-check-{uuid4()}")
    if answer is None:
        return
    if answer.status in DENIALS:
        say(
            failed(
                "ARI user",
                *denial(answer.status, site.settings.asterisk, writes=True, server=answer.server),
            )
        )
        return
    say(ok("ARI user", f"{site.settings.asterisk.user} may control calls"))


async def check_description(site: Site, say: Say) -> None:
    """Whether Asterisk serves the ARI description, which the service reads when it starts."""
    try:
        async with AriClient(site.settings.asterisk) as client:
            await client.connect()
    except AriError as error:
        # ARI itself answers, so the URL is right.
        if "HTTP 404" not in str(error) and error.remedy:
            say(failed("ARI description", str(error), error.remedy))
            return
        remedy = "Copy the folder rest-api of Asterisk's sources into its data folder (astdatadir in asterisk.conf)"
        say(failed("ARI description", str(error), remedy))
        return
    say(ok("ARI description", "complete"))


async def check_modules(site: Site, say: Say) -> None:
    """Whether Asterisk has loaded the modules that calls need."""
    answer = await _asked(site.probe, say, "modules", "GET", "asterisk/modules")
    if answer is None:
        return
    if answer.status != 200 or not isinstance(answer.body, list):
        found = f"Asterisk does not list its modules (HTTP {answer.status})"
        say(failed("modules", found, _load("res_ari_asterisk")))
        return
    running = {
        str(module.get("name", "")).removesuffix(".so")
        for module in answer.body
        if isinstance(module, dict) and module.get("status") == "Running"
    }
    judge_modules(running, say)


def judge_modules(running: set[str], say: Say) -> bool:
    """Whether calls can work with these modules (names without ``.so``). No I/O."""
    missing = [name for name in NEEDED if name not in running]
    for name in missing:
        say(failed("modules", f"{name} is not loaded ({NEEDED[name]})", _load(name)))
    for name in USEFUL:
        if name not in running:
            say(warning("modules", f"{name} is not loaded ({USEFUL[name]})", _load(name)))
    if not missing:
        opus = (
            "" if any(name.startswith("codec_opus") for name in running) else "; no codec_opus (for phones with Opus)"
        )
        say(ok("modules", f"all {len(NEEDED)} needed modules are loaded{opus}"))
    return not missing


def _load(name: str) -> str:
    return f"Run `asterisk -rx 'module load {name}.so'`, and make sure that modules.conf loads it"


async def check_application(site: Site, say: Say) -> None:
    """Whether a service is running."""
    settings = site.settings
    app = settings.asterisk.app
    answer = await _asked(site.probe, say, "application", "GET", f"applications/{quote(app, safe='')}")
    if answer is None:
        return
    if answer.status == 404:
        found = f"the service is not running (Asterisk has no application {app}); calls go to the human queue"
        say(warning("application", found, "Start it: `ariagent run -c FILE`"))
    elif answer.status != 200 or not isinstance(answer.body, dict):
        found = f"Asterisk does not say whether {app} is registered (HTTP {answer.status} {answer.message})"
        say(failed("application", found))
    else:
        channels, bridges = (_length(answer.body.get(key)) for key in ("channel_ids", "bridge_ids"))
        say(judge_application(settings, await reach.answers(service_ports(settings)), channels, bridges))


def service_ports(settings: Settings) -> tuple[tuple[str, int], ...]:
    """(host, port) of each server of a running service on this machine; ports that are 0 are left out. No I/O."""
    # /metrics first: the service logs a silent connection to its audio port.
    listeners = ((settings.http.host, settings.http.port), (settings.audiosocket.host, settings.audiosocket.port))
    return tuple((local(host), port) for host, port in listeners if port)


def judge_application(settings: Settings, answered: bool | None, channels: int, bridges: int) -> Result:
    """The application is registered in Asterisk. ``answered``: whether the service answers; None: unknown. No I/O.

    Asterisk keeps the application of a dead process for as long as a channel or bridge is left in it.
    """
    app = settings.asterisk.app
    if answered is not False:
        return ok("application", f"the service is running as {app}; {_count(channels, 'channel')} in it")
    nobody = " nor ".join(f"{host}:{port}" for host, port in service_ports(settings))
    left = f"Asterisk still holds {_count(bridges, 'bridge')} and {_count(channels, 'channel')} of the old process"
    found = f"the service is down: no answer at {nobody}. {left} ({app}), which is normal"
    return warning("application", found, "Start it: `ariagent run -c FILE`")


def _length(listed: object) -> int:
    return len(listed) if isinstance(listed, list) else 0


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


async def _asked(probe: Probe, say: Say, name: str, method: str, path: str) -> Answer | None:
    try:
        return await probe.ask(method, path)
    except AriError as error:
        say(failed(name, str(error), error.remedy))
        return None
