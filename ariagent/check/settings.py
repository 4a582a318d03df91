"""Checks of the settings alone: values that are legal and probably not intended. No I/O."""

import ipaddress
from urllib.parse import urlsplit

from ariagent.check.report import INSTALL, Result, failed, ok, warning
from ariagent.config import Settings
from ariagent.hosts import is_loopback
from ariagent.secret import is_empty, lost

NAME = "settings"


def check_settings(settings: Settings, source: str) -> list[Result]:
    """``source``: the settings' file."""
    agents = settings.agents
    number = f"{len(agents)} agent{'s' if len(agents) > 1 else ''} ({', '.join(agents)})"
    return [
        ok(NAME, f"{source}: {number}; {_told(settings)}"),
        *_secrets(settings),
        *_peers(settings),
        *_caps(settings),
        *_agents(settings),
    ]


def _secrets(settings: Settings) -> list[Result]:
    return [failed(NAME, str(secret.error), secret.error.remedy) for secret in lost(settings)]


def _peers(settings: Settings) -> list[Result]:
    results = []
    if is_empty(settings.asterisk.password):
        results.append(warning(NAME, "asterisk.password is empty", "Set it, as ${NAME} or file:PATH"))
    if settings.realtime.lacks_key:
        host = urlsplit(settings.realtime.url).hostname
        remedy = "Set it, for instance as ${OPENAI_API_KEY} or file:PATH, or in ARIAGENT_REALTIME__API_KEY"
        results.append(failed(NAME, f"realtime.api_key: {host} needs a key", remedy))
    if settings.asterisk.url.startswith("http://") and not is_loopback(urlsplit(settings.asterisk.url).hostname or ""):
        found = "asterisk.url is http: the ARI user's password goes to another machine unencrypted"
        remedy = "Use https (tlsenable in http.conf), or a proxy with TLS beside Asterisk"
        results.append(warning(NAME, found, remedy))
    if settings.ami is not None and not settings.ami.tls and not is_loopback(settings.ami.host):
        found = "ami.tls is false: the AMI traffic goes to another machine unencrypted"
        results.append(warning(NAME, found, "Set ami.tls to true (tlsenable in manager.conf)"))
    if not is_loopback(settings.control.host):
        found = f"control.host is {settings.control.host}: tokens and callers' words are sent unencrypted"
        remedy = "Set it to 127.0.0.1 and put a proxy with TLS in front"
        results.append(warning(NAME, found, remedy))
    if any(ipaddress.ip_network(network).prefixlen == 0 for network in settings.audiosocket.allowed):
        found = "audiosocket.allowed includes every address: only a call's UUID protects its audio"
        results.append(warning(NAME, found, "Set it to Asterisk's address"))
    if settings.audiosocket.max_connections < settings.max_calls:
        found = f"audiosocket.max_connections ({settings.audiosocket.max_connections}) is less than max_calls"
        results.append(warning(NAME, found, f"Set it to at least {2 * settings.max_calls}"))
    queues = [name for name, place in settings.destinations.items() if place.queue is not None]
    if queues and settings.ami is None:
        found = (
            f"destinations ({', '.join(queues)}) need ami: without it callers in a queue cannot be transferred, and "
            "their waiting time is unknown"
        )
        results.append(warning(NAME, found, f"{INSTALL}, and add the section ami to the settings"))
    return results


def _told(settings: Settings) -> str:
    """The caps, in a line."""
    caps, cost = settings.caps, settings.cost
    most = {
        "minutes a day": caps.minutes_per_day,
        "minutes a day of callers without a number": caps.minutes_per_day_unknown,
        "calls of one number an hour": caps.calls_per_caller_per_hour,
        f"{cost.currency} a day": cost.daily_cap,
    }
    return "caps: " + ", ".join(f"{what} {'none' if cap is None else f'{cap:g}'}" for what, cap in most.items())


def _caps(settings: Settings) -> list[Result]:
    """The daily caps of what a paid model may cost."""
    caps, daily = settings.caps, settings.cost.daily_cap
    results = []
    if caps.minutes_per_day is None and daily is None:
        found = (
            f"no daily cap is set: {settings.max_calls} calls at once may cost "
            f"{settings.max_calls * 24 * 60} minutes of the model a day"
        )
        results.append(warning(NAME, found, "Set caps.minutes_per_day, or cost.daily_cap"))
    elif caps.minutes_per_day_unknown is None:
        found = "callers without a number have no daily cap of their own: they can use up the day's minutes"
        results.append(warning(NAME, found, "Set caps.minutes_per_day_unknown"))
    if not settings.records.enabled and (caps.minutes_per_day or caps.minutes_per_day_unknown or daily):
        found = "records.enabled is false: the daily caps begin at zero again at each restart of the service"
        results.append(warning(NAME, found, "Set records.enabled to true"))
    return results


def _agents(settings: Settings) -> list[Result]:
    results = []
    if "default" not in settings.agents:
        found = "there is no agent named default: if neither the dialplan nor a route names an agent, a call has none"
        results.append(
            warning(NAME, found, "Add one, or make sure that the dialplan or a route names an agent for every call")
        )
    zones = sorted({hours.timezone for hours in settings.hours.values() if hours.timezone is not None})
    for name, agent in settings.agents.items():
        if len(zones) > 1 and settings.zone_of(agent) is None:
            found = f"agents.{name} uses this machine's time zone, but hours use {', '.join(zones)}"
            results.append(warning(NAME, found, "Set timezone, or agents.NAME.timezone"))
        if agent.opening_in(agent.language) is None:
            found = f"agents.{name} has no opening: callers are not told that they are talking to an AI"
            results.append(warning(NAME, found, "Set agents.NAME.opening; many jurisdictions require it"))
    return results
