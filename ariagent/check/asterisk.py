"""Asterisk: reachable, its version, modules and rights, the running service, the ways into it."""

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import quote
from uuid import uuid4

from ariagent.ari.client import AriClient
from ariagent.audio.rates import choose_format
from ariagent.check import reach, versions
from ariagent.check.ari import Answer, Probe
from ariagent.check.report import Result, Say, failed, ok, skipped, warning
from ariagent.config import Settings
from ariagent.errors import AriError, ConfigurationError
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
    **dict.fromkeys(("res_stasis", "res_stasis_answer", "app_stasis"), "calls reach the service through them"),
    **dict.fromkeys(("chan_audiosocket", "res_audiosocket"), "the audio of every call"),
    **dict.fromkeys(("bridge_simple", "bridge_softmix"), "they join caller and agent"),
}
"""Modules without which no call works, and what they are for."""

USEFUL: Mapping[str, str] = {
    "app_queue": "queues: the agents' seats, and the people behind them",
    "codec_resample": "24 kHz audio",
    "codec_ulaw": "telephone audio",
    "codec_alaw": "telephone audio",
    "codec_g722": "wideband phones",
    "func_channel": "the shipped dialplan",
    "func_global": "the shipped dialplan",
    "func_logic": "the shipped dialplan",
    "func_devstate": "the AI's seats: their state",
    "pbx_loopback": "the AI's seats: without it none takes a call",
    "res_stasis_device_state": "this check's look at the dialplan",
    "res_ari_device_states": "this check's look at the dialplan",
}
"""Modules without which something else does not work."""

WAYS_IN = {
    # 01@ariagent-seat itself is there only while the AI takes calls.
    "Local/01@ariagent-seat-call": "seats (01@ariagent-seat)",
    "Local/7000@ariagent-internal": "7000@ariagent-internal",
    "Local/7001@ariagent-internal": "7001@ariagent-internal",
}
INCLUDE = "Add #include dialplan/ariagent.conf to extensions.conf, then `asterisk -rx 'dialplan reload'`"
LARGEST_SKEW_S = 5.0
AFTER_REACHING = ("asterisk version", "ARI user", "ARI description", "modules", "application", "dialplan")


async def check_asterisk(settings: Settings, probe: Probe, say: Say) -> str | None:
    """Say everything about Asterisk itself; returns its version, or None where it cannot be used."""
    version = await _reach(settings, probe, say)
    if version is None:
        for name in AFTER_REACHING:
            say(skipped(name, "Asterisk"))
        return None
    say(judge_version(version, settings))
    writable = await _user(probe, settings, say)
    described = await _description(settings, say)
    loaded = await _modules(probe, settings, say)
    await _application(probe, settings, say)
    await _dialplan(probe, settings, say)
    return version if writable and described and loaded else None


async def _reach(settings: Settings, probe: Probe, say: Say) -> str | None:
    began = time.monotonic()
    url, user = settings.asterisk.url, settings.asterisk.user
    try:
        answer = await probe.ask("GET", "asterisk/info")
    except AriError as error:
        say(failed("asterisk", str(error), error.remedy))
        return None
    took_ms = 1000 * (time.monotonic() - began)
    version = _version_in(answer.body)
    server = answer.headers.get("Server", "an unknown program")
    if answer.status == 401:
        say(failed("asterisk", f"{url} refused user {user} or its password (401)", _LOGIN))
    elif answer.status == 403:
        say(
            failed(
                "asterisk", f"{url} denies user {user} (403)", "Look for permit, deny and acl in ari.conf, http.conf"
            )
        )
    elif answer.status != 200 or version is None:
        what = f"{url} answers, but is no ARI (HTTP {answer.status} from {server})"
        remedy = "Set asterisk.url to Asterisk's HTTP server without /ari; set enabled=yes in ari.conf, load res_ari"
        say(failed("asterisk", what, remedy))
    else:
        say(ok("asterisk", f"answers at {url} in {took_ms:.0f} ms", answer_ms=round(took_ms, 1)))
        if (result := judge_clock(answer.headers.get("Date", ""), time.time())) is not None:
            say(result)
        return version
    return None


_LOGIN = "Compare asterisk.user and asterisk.password with ari.conf, then `asterisk -rx 'module reload res_ari'`"


def _version_in(body: object) -> str | None:
    system = body.get("system") if isinstance(body, dict) else None
    version = system.get("version") if isinstance(system, dict) else None
    return version if isinstance(version, str) else None


def judge_clock(date: str, now: float) -> Result | None:
    """Compares an HTTP date with ``now`` (seconds since the epoch); None where there is nothing to say. No I/O."""
    try:
        skew = abs(now - parsedate_to_datetime(date).timestamp())
    except (TypeError, ValueError, OverflowError):
        return None
    if skew <= LARGEST_SKEW_S:
        return ok("clock", "as Asterisk's")
    found = f"this machine's clock and Asterisk's differ by {skew:.0f} s"
    return warning("clock", found, "Synchronise both (NTP), or records and queue_log do not match")


def judge_version(version: str, settings: Settings) -> Result:
    """What is known of this Asterisk version. No I/O."""
    name = "asterisk version"
    number = versions.number_of(version)
    if number is not None and number[0] < versions.OLDEST:
        return failed(name, f"{version} has no AudioSocket", f"Upgrade to {versions.BETTER}")
    try:
        fmt = choose_format(version, settings.audiosocket.format, settings.realtime.encoding)
    except ConfigurationError as error:
        return failed(name, str(error), error.remedy)
    found = f"{version}, audio at {fmt.rate_hz // 1000} kHz"
    if faults := versions.faults_of(version):
        listed = ", ".join(f"{fault.what} ({fault.source})" for fault in faults)
        return warning(name, f"{found}; known faults: {listed}", f"Upgrade to {versions.BETTER}")
    if number is None:
        return ok(name, f"{found}; a build without a number, nothing is known about its faults")
    return ok(name, f"{found}; no known faults")


async def _user(probe: Probe, settings: Settings, say: Say) -> bool:
    """Whether the user may change things: a channel that does not exist is hung up, which has no effect."""
    user = settings.asterisk.user
    answer = await _asked(probe, say, "ARI user", "DELETE", f"channels/ariagent-check-{uuid4()}")
    if answer is None:
        return False
    if answer.status == 403:
        say(failed("ARI user", f"{user} is read-only", f"Set read_only = no under [{user}] in ari.conf, and reload it"))
        return False
    say(ok("ARI user", f"{user} may control calls"))
    return True


async def _description(settings: Settings, say: Say) -> bool:
    """What the service begins with."""
    try:
        async with AriClient(settings.asterisk) as client:
            await client.connect()
    except AriError as error:
        say(
            failed(
                "ARI description", str(error), "Put rest-api/ into Asterisk's data folder (astdatadir in asterisk.conf)"
            )
        )
        return False
    say(ok("ARI description", "complete"))
    return True


async def _modules(probe: Probe, settings: Settings, say: Say) -> bool:
    answer = await _asked(probe, say, "modules", "GET", "asterisk/modules")
    if answer is None:
        return False
    if answer.status != 200 or not isinstance(answer.body, list):
        say(failed("modules", f"Asterisk does not list them (HTTP {answer.status})", "Load res_ari_asterisk"))
        return False
    running = {
        str(module.get("name", "")).removesuffix(".so")
        for module in answer.body
        if isinstance(module, dict) and module.get("status") == "Running"
    }
    return judge_modules(running, say)


def judge_modules(running: set[str], say: Say) -> bool:
    """Whether calls can work with these modules (names without ``.so``). No I/O."""
    missing = [name for name in NEEDED if name not in running]
    for name in missing:
        say(failed("modules", f"{name} is not loaded ({NEEDED[name]})", _load(name)))
    for name in USEFUL:
        if name not in running:
            say(warning("modules", f"{name} is not loaded ({USEFUL[name]})", _load(name)))
    if not missing:
        opus = "" if any(name.startswith("codec_opus") for name in running) else "; no codec_opus, for phones with Opus"
        say(ok("modules", f"all {len(NEEDED)} that are needed are loaded{opus}"))
    return not missing


def _load(name: str) -> str:
    return f"`asterisk -rx 'module load {name}.so'`, and see that modules.conf loads it"


async def _application(probe: Probe, settings: Settings, say: Say) -> None:
    app = settings.asterisk.app
    answer = await _asked(probe, say, "application", "GET", f"applications/{quote(app, safe='')}")
    if answer is None:
        return
    if answer.status == 404:
        found = f"the service is not running: nobody has registered {app}; calls go to people"
        say(warning("application", found, "Start it: `ariagent run -c FILE`"))
    elif answer.status != 200 or not isinstance(answer.body, dict):
        say(failed("application", f"Asterisk does not tell (HTTP {answer.status} {answer.message})"))
    else:
        channels, bridges = (_length(answer.body.get(key)) for key in ("channel_ids", "bridge_ids"))
        say(judge_application(settings, await reach.answers(service_ports(settings)), channels, bridges))


def service_ports(settings: Settings) -> tuple[tuple[str, int], ...]:
    """Where a running service answers on this machine, as (host, port); none where it takes any free port. No I/O."""
    # /metrics first: a connection to the audio port that says nothing is logged by the service.
    listeners = ((settings.http.host, settings.http.port), (settings.audiosocket.host, settings.audiosocket.port))
    return tuple((local(host), port) for host, port in listeners if port)


def judge_application(settings: Settings, answered: bool | None, channels: int, bridges: int) -> Result:
    """The application that Asterisk has; ``answered``: whether a service does, None where it cannot be asked. No I/O.

    Asterisk keeps the application of a process that is gone for as long as a channel or bridge is left in it.
    """
    app = settings.asterisk.app
    if answered is not False:
        return ok("application", f"the service is running as {app}; {_count(channels, 'channel')} in it")
    nobody = " nor ".join(f"{host}:{port}" for host, port in service_ports(settings))
    left = f"{_count(bridges, 'bridge')} and {_count(channels, 'channel')} are left of a dead process"
    found = f"Asterisk knows {app}, but nobody answers at {nobody}: {left}"
    return warning("application", found, "Start it: `ariagent run -c FILE`")


def _length(listed: object) -> int:
    return len(listed) if isinstance(listed, list) else 0


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


async def _dialplan(probe: Probe, settings: Settings, say: Say) -> None:
    """An extension exists where a Local channel to it has a device state; nothing is dialled."""
    there: list[str] = []
    missing: list[str] = []
    for device, name in WAYS_IN.items():
        state = await _state_of(device, probe, say)
        if state is None:
            return
        (missing if state in _NO_EXTENSION else there).append(name)
    for result in judge_dialplan(there, missing):
        say(result)
    await _destinations(probe, settings, say)


_NO_EXTENSION = ("INVALID", "UNKNOWN")


async def _state_of(device: str, probe: Probe, say: Say) -> str | None:
    """A device's state; None, and said, where Asterisk does not tell."""
    answer = await _asked(probe, say, "dialplan", "GET", f"deviceStates/{quote(device, safe='')}")
    if answer is None:
        return None
    state = answer.body.get("state") if isinstance(answer.body, dict) else None
    if answer.status != 200 or not isinstance(state, str):
        say(skipped("dialplan", "the modules res_ari_device_states and res_stasis_device_state"))
        return None
    return state


async def _destinations(probe: Probe, settings: Settings, say: Say) -> None:
    """The extensions that callers may be put through to."""
    for name, place in settings.destinations.items():
        if place.extension is None:
            continue
        state = await _state_of(f"Local/{place.extension}@{place.context}", probe, say)
        if state is None:
            return
        say(judge_extension(name, place.extension, place.context, exists=state not in _NO_EXTENSION))


def judge_extension(name: str, extension: str, context: str, *, exists: bool) -> Result:
    """A destination that is an extension. No I/O."""
    if exists:
        return ok("destinations", f"{name}: {extension}@{context} is there")
    found = f"{name}: there is no extension {extension} in the context {context}"
    return failed("destinations", found, f"Correct destinations.{name}, or the dialplan")


def judge_dialplan(there: list[str], missing: list[str]) -> list[Result]:
    """``there`` and ``missing``: names of WAYS_IN. No I/O."""
    if not there:
        found = f"no way to the agents: {', '.join(missing)} do not exist"
        return [warning("dialplan", found, f"{INCLUDE}; a dialplan of your own with Stasis() is not looked at")]
    results = [ok("dialplan", f"{', '.join(there)}: there")]
    if missing:
        results.append(warning("dialplan", f"{', '.join(missing)}: not there", f"{INCLUDE}, unless meant so"))
    return results


async def _asked(probe: Probe, say: Say, name: str, method: str, path: str) -> Answer | None:
    try:
        return await probe.ask(method, path)
    except AriError as error:
        say(failed(name, str(error), error.remedy))
        return None
