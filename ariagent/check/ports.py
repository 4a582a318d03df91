"""Checks of the service's HTTP ports: free, or in use by the running service. ``audio`` checks the audio port."""

import asyncio
from typing import Any

import aiohttp
from aiohttp import web

from ariagent.check.report import Result, Say, failed, ok, warning
from ariagent.config import Settings
from ariagent.errors import ResourceError
from ariagent.healthpage import health_at
from ariagent.hosts import is_loopback, joined, local
from ariagent.webserver import WebServer

NAME = "ports"
ANSWER_S = 2.0


async def check_ports(settings: Settings, say: Say) -> None:
    """Report whether a service could listen on the ports of the settings."""
    there = await running(settings)
    wanted = (
        ("metrics", "http.port", settings.http.host, settings.http.port),
        ("the control API", "control.port", settings.control.host, settings.control.port),
    )
    for what, key, host, port in wanted:
        if not port:
            say(ok(NAME, f"{key} is 0: the service takes any free port for {what}"))
            continue
        server = WebServer(web.Application())
        try:
            await server.start(host, port, what=what, key=key)
        except ResourceError as error:
            say(judge_taken(settings, key, port, error, there))
        else:
            say(ok(NAME, f"{key} {port} is free for {what}"))
        finally:
            await server.close()
    for what, key, host, _ in wanted:
        if not is_loopback(host):
            say(judge_open(what, key.partition(".")[0], host))


def judge_open(what: str, section: str, host: str) -> Result:
    """The result for a port that other machines may reach. No I/O."""
    remedy = f"Set {section}.host to 127.0.0.1 with a reverse proxy with TLS in front, or let only your own machines in"
    return warning(NAME, f"{section}.host is {host}: other machines reach {what} there, without encryption", remedy)


async def running(settings: Settings) -> dict[str, Any] | None:
    """The ``/healthz`` of a service at ``http.port``; None if nothing or another program answers."""
    host, port = settings.http.host, settings.http.port
    if not port:
        return None
    try:
        found = await health_at(f"http://{joined(local(host), port)}/healthz", ANSWER_S)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, asyncio.IncompleteReadError):
        return None
    return found if isinstance(found, dict) and "application" in found else None


def judge_taken(settings: Settings, key: str, port: int, error: ResourceError, there: dict[str, Any] | None) -> Result:
    """The result for a port that is taken. ``there``: ``/healthz`` of the service at ``http.port``, if any. No I/O."""
    app = settings.asterisk.app
    if there is not None and key in ("http.port", "control.port"):
        theirs = there["application"]
        own = theirs == app and (key == "http.port" or there.get("control_port") == port)
        if own:
            return ok(NAME, f"{key} {port} is in use by the running service {app}")
        if key == "http.port":
            remedy = f"Give each service its own {key}, control.port and audiosocket.port"
            return failed(NAME, f"{error} by the service {theirs}", remedy)
    return failed(NAME, str(error), error.remedy)
