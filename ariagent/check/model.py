"""Checks of the model: host name, port and TLS, the key, a session for every agent, and the round trip."""

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ariagent.check import reach
from ariagent.check.report import Result, Say, Status, failed, ok, skipped, warning
from ariagent.config import Settings
from ariagent.dialogue.builtin_tools import BuiltinTools
from ariagent.dialogue.destinations import Destinations
from ariagent.errors import ConfigurationError
from ariagent.proxies import uses_proxy
from ariagent.realtime import dialect
from ariagent.realtime.client import RealtimeClient, trust
from ariagent.realtime.events import Event, Fault, OutOfBandEnded, SessionFailed, SessionReady
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.trial import COUNTED, NOTHING, WORDS, g711_doubted, unheard
from ariagent.tls import MODEL
from ariagent.tools.toolbox import Toolbox

PINGS = 5
PINGS_LIMIT_S = 10.0
SLOW_ROUND_TRIP_MS = 150.0
"""Callers notice more than this: every answer contains at least one round trip."""
LIMITS_S = 2.0
"""Added to the client's own time limits, so that those come first."""
CONNECTION, SESSIONS, ROUND_TRIP = "model connection", "model sessions", "model round trip"
ENCODING, DIALECT = "model encoding", "model dialect"


@dataclass(slots=True)
class Conversation:
    """A session that is ready, and its events from then on."""

    client: RealtimeClient
    events: "asyncio.Queue[Event]"
    ready_ms: float


class SessionRefusedError(Exception):
    """The session did not become ready."""

    def __init__(self, failure: SessionFailed) -> None:
        super().__init__(failure.cause)
        self.failure = failure


async def check_model(settings: Settings, say: Say) -> bool:
    """Report whether each agent can use the model. Returns True if all can."""
    if not await _connection(settings, say):
        say(skipped(SESSIONS, "a connection to the model"))
        say(skipped(ROUND_TRIP, "a connection to the model"))
        return False
    return await _sessions(settings, say)


async def _connection(settings: Settings, say: Say) -> bool:
    realtime = settings.realtime
    parts = urlsplit(realtime.url)
    host, tls = parts.hostname or "", parts.scheme == "wss"
    own_port = parts.port or (443 if tls else 80)
    proxy = proxy_for(host, own_port, tls=tls) if await uses_proxy(host) else None
    aim, port = proxy or (host, own_port)
    through = f" through the proxy {aim}:{port}" if proxy else ""
    try:
        began = time.monotonic()
        addresses = await reach.resolve(aim, realtime.connect_timeout_s)
        resolve_ms = 1000 * (time.monotonic() - began)
        # Behind a proxy TLS begins later: the check of the session shows whether it works.
        secured = reach.Secured(host, trust(realtime), MODEL) if tls and not proxy else None
        connected = await reach.connect_any(addresses, port, secured, realtime.connect_timeout_s)
    except reach.UnreachableError as error:
        remedy = "Check the proxy in the environment" if proxy else "Check realtime.url, DNS, firewall and proxy"
        found = str(error) if error.remedy else f"{host}{through}: {error}"
        say(failed(CONNECTION, found, error.remedy or remedy))
        return False
    found = f"{host}{through}: DNS in {resolve_ms:.0f} ms, {connected}"
    figures = {"resolve_ms": round(resolve_ms, 1), "connect_ms": round(connected.connect_ms, 1)}
    if connected.tls_ms is not None:
        figures["tls_ms"] = round(connected.tls_ms, 1)
    say(ok(CONNECTION, found, **figures))
    return True


def proxy_for(host: str, port: int, *, tls: bool) -> tuple[str, int] | None:
    """Host and port of the proxy that the WebSocket library uses from the environment, if any."""
    if proxy_bypass(f"{host}:{port}"):
        return None
    proxies = getproxies()
    for kind in ("wss", "socks", "https") if tls else ("ws", "socks", "https", "http"):
        if kind in proxies:
            parts = urlsplit(proxies[kind])
            default = 1080 if parts.scheme.startswith("socks") else 443 if parts.scheme == "https" else 80
            return parts.hostname or host, parts.port or default
    return None


async def _sessions(settings: Settings, say: Say) -> bool:
    profiles = _profiles(settings)
    usable, measured = len(profiles) > 0, False
    refused: SessionFailed | None = None
    for names, profile in profiles:
        name = "agent " + ", ".join(names)
        if refused is not None:
            say(skipped(name, "a model that accepts the key" if refused.fault is Fault.CREDENTIALS else "the model"))
            continue
        try:
            async with conversing(settings, profile) as talk:
                say(ok(name, _accepted(profile, talk.ready_ms), ready_ms=round(talk.ready_ms, 1)))
                if not measured and g711_doubted(settings.realtime):
                    say(result := await _speaks(talk, settings.realtime.stall_timeout_s))
                    usable &= result.status is Status.OK
                if not measured:
                    measured = True
                    say(await _round_trip(talk.client))
        except SessionRefusedError as error:
            failure = error.failure
            if failure.full:
                # Calls that it serves now may be the reason.
                say(warning(name, f"not tried: {failure.cause}", failure.remedy))
                refused = failure
                continue
            usable = False
            say(failed(name, failure.cause, failure.remedy))
            if failure.fault in (Fault.CREDENTIALS, Fault.NETWORK, Fault.LIMIT):
                refused = failure
    if not measured:
        say(skipped(ROUND_TRIP, "a session"))
    if measured and dialect.of(settings.realtime) is dialect.UNKNOWN:
        found = "not OpenAI's server, nor Azure's: `ariagent check --probe` finds out how it differs from theirs"
        say(ok(DIALECT, found))
    return usable


def _profiles(settings: Settings) -> list[tuple[list[str], SessionProfile]]:
    """The profiles, each with the names of its agents. Agents share one if only their instructions differ."""
    try:
        toolbox = Toolbox(settings)
    except ConfigurationError:
        toolbox = None  # the check of the tools reports the reason
    found: dict[str, tuple[list[str], SessionProfile]] = {}
    for name, agent in settings.agents.items():
        destinations = Destinations(agent, settings.destinations, settings.hours, lambda queue: None)
        own = BuiltinTools(agent, destinations).declarations
        tools = (*own, *(toolbox.declarations(name) if toolbox is not None else ()))
        profile = SessionProfile.of(agent, settings.realtime, tools)
        told: dict[str, Any] = {**profile.session(), "model": profile.model}
        key = json.dumps(told, sort_keys=True, default=str)
        found.setdefault(key, ([], profile))[0].append(name)
    return list(found.values())


def _accepted(profile: SessionProfile, ready_ms: float) -> str:
    agent = profile.agent
    tools = f"{len(profile.tools)} tool{'' if len(profile.tools) == 1 else 's'}"
    return (
        f"{profile.model} accepted the key and the session in {ready_ms:.0f} ms: voice {agent.voice}, {tools}, "
        f"{agent.turn_detection.type}, {profile.encoding}"
    )


async def _speaks(talk: Conversation, limit_s: float) -> Result:
    """Whether what the model sends is G.711, as it acknowledged."""
    profile = talk.client.session.profile
    talk.client.session.say_out_of_band("check", WORDS.format(COUNTED), alone=True)
    talk.client.flush()
    failure: SessionFailed | None = SessionFailed(Fault.SILENT, NOTHING, "Look at the log of the model's server")
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s + LIMITS_S):
            while True:
                match await talk.events.get():
                    case OutOfBandEnded() as said:
                        failure = unheard(said, profile)
                        break
                    case SessionFailed() as failure:
                        break
    if failure is not None:
        return failed(ENCODING, failure.cause, failure.remedy)
    return ok(ENCODING, f"{profile.model} speaks audio/{profile.encoding}")


async def _round_trip(client: RealtimeClient) -> Result:
    try:
        async with asyncio.timeout(PINGS_LIMIT_S):
            times_ms = [1000 * await client.round_trip_s() for _ in range(PINGS)]
    except (ConnectionError, TimeoutError) as error:
        return failed(ROUND_TRIP, f"no answer to a ping: {str(error) or 'timed out'}", "Check the network to the model")
    median = statistics.median(times_ms)
    found = f"{median:.1f} ms (median of {PINGS}; worst {max(times_ms):.1f} ms)"
    figures = {"median_ms": round(median, 2), "worst_ms": round(max(times_ms), 2)}
    if median > SLOW_ROUND_TRIP_MS:
        return warning(
            ROUND_TRIP, f"{found}; this delays every answer", "Run the service nearer to the model", **figures
        )
    return ok(ROUND_TRIP, found, **figures)


@asynccontextmanager
async def conversing(settings: Settings, profile: SessionProfile) -> AsyncIterator[Conversation]:
    """A session of this profile that is ready. It is closed afterwards. Raises SessionRefusedError."""
    events: asyncio.Queue[Event] = asyncio.Queue()
    client = RealtimeClient(settings.realtime, profile, events.put_nowait)
    began = time.monotonic()
    running = asyncio.ensure_future(client.run())
    try:
        await _ready(events, settings.realtime.connect_timeout_s)
        yield Conversation(client, events, 1000 * (time.monotonic() - began))
    finally:
        await client.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _ready(events: "asyncio.Queue[Event]", limit_s: float) -> None:
    try:
        async with asyncio.timeout(limit_s + LIMITS_S):
            while True:
                match await events.get():
                    case SessionReady():
                        return
                    case SessionFailed() as failure:
                        raise SessionRefusedError(failure)
    except TimeoutError:
        failure = SessionFailed(Fault.SERVER, f"the session was not ready within {limit_s:g} s", "Try again later")
        raise SessionRefusedError(failure) from None
