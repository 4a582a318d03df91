"""Connections to Asterisk's HTTP server: by whom, over which TLS, and why there is none."""

from base64 import b64encode
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ariagent.config import AsteriskSettings
from ariagent.errors import AriError, why
from ariagent.hosts import joined
from ariagent.tls import ASTERISK, client_context, failure, greeting, speaks_tls

UPSTREAM = (502, 503, 504)
"""Statuses of a proxy whose server does not answer."""


def session(settings: AsteriskSettings, **connections: Any) -> aiohttp.ClientSession:
    """A session for requests to Asterisk as its ARI user; ``connections``: options of aiohttp's TCPConnector.

    No proxy of the environment is used. Raises ConfigurationError for a password or CA file that cannot be had.
    """
    credentials = f"{settings.user}:{settings.password.get_secret_value()}"
    verified = settings.url.startswith("https:")
    tls = client_context(settings.ca_file, "asterisk.ca_file") if verified else True
    return aiohttp.ClientSession(
        headers={"Authorization": f"Basic {b64encode(credentials.encode()).decode()}"},
        timeout=aiohttp.ClientTimeout(total=settings.request_timeout_s),
        connector=aiohttp.TCPConnector(ssl=tls, **connections),
        trust_env=False,
    )


async def unreachable(settings: AsteriskSettings, error: aiohttp.ClientError, *, look_closer: bool) -> AriError:
    """Why a request got no answer. ``look_closer``: this may take a while, to find out what the port speaks."""
    url = urlsplit(settings.url)
    tls, port = url.scheme == "https", url.port or (443 if url.scheme == "https" else 80)
    host = url.hostname or ""
    where = joined(host, port)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        remedy = "Correct asterisk.url, or the machine's name service"
        return AriError(f"the name {host} of asterisk.url cannot be resolved: {why(error)}", remedy=remedy)
    if isinstance(error, aiohttp.ClientConnectorError):
        if tls and (found := failure(error, ASTERISK, where)) is not None:
            return AriError(found.cause, remedy=found.remedy)
        remedy = "Start Asterisk, set enabled=yes in http.conf, compare bindaddr and bindport with asterisk.url"
        return AriError(f"cannot reach Asterisk at {settings.url}: {why(error)}", remedy=remedy)
    if look_closer and not tls and await speaks_tls(host, port):
        return AriError(f"{where} speaks TLS, and asterisk.url is plain http", remedy=ASTERISK.use_tls)
    if look_closer and not tls and (await greeting(host, port)).startswith(b"Asterisk Call Manager"):
        remedy = "Set asterisk.url to the port of http.conf; this one is for the section ami"
        return AriError(f"{where} is Asterisk's manager interface, not its HTTP server", remedy=remedy)
    if isinstance(error, aiohttp.ClientResponseError):
        remedy = "Set asterisk.url to Asterisk's HTTP server (http.conf, `asterisk -rx 'http show status'`)"
        return AriError(f"{settings.url} does not speak HTTP: {' '.join(error.message.split())}", remedy=remedy)
    closed = isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionResetError)
    said = "it closed the connection without an answer" if closed else why(error)
    remedy = "Is Asterisk running, and is its HTTP server enabled (http.conf) at asterisk.url?"
    return AriError(f"cannot reach Asterisk at {settings.url}: {said}", remedy=remedy)


def redirected(settings: AsteriskSettings, status: int, location: str) -> AriError:
    """The answer is a redirection, which is not followed: the password would go with it."""
    goal = urlsplit(location)
    aim = "elsewhere" if "@" in goal.netloc or not goal.netloc else f"{goal.scheme}://{goal.netloc}"
    remedy = "Set asterisk.url to the address that answers by itself"
    return AriError(f"{settings.url} redirects to {aim} (HTTP {status}), which is not followed", remedy=remedy)


def in_between(settings: AsteriskSettings, status: int, text: str, server: str) -> AriError | None:
    """The error if an answer is a proxy's own; None: it may be Asterisk's. ``text``: the answer's; ``server``: who
    answers, if known."""
    lowered, name = text.lower(), server or "a proxy"
    if status == 400 and "https port" in lowered:  # as nginx and Apache say it
        return AriError(f"{settings.url} is a TLS port, and the URL is plain http", remedy=ASTERISK.use_tls)
    if status == 400 and "ssl certificate" in lowered:
        remedy = "Let the proxy accept ariagent without one (nginx: ssl_verify_client), and limit its addresses"
        cause = f"{name} at {settings.url} asks for a client certificate, and ariagent has none"
        return AriError(cause, remedy=remedy)
    if status in UPSTREAM and not server.startswith("Asterisk"):
        remedy = "Start Asterisk, and compare the proxy's address for it with bindaddr and bindport in http.conf"
        return AriError(f"{name} at {settings.url} gets no answer from Asterisk (HTTP {status})", remedy=remedy)
    return None


def no_stream(status: int) -> AriError:
    """The request for the event stream was answered with this HTTP status."""
    remedy = (
        "Load res_http_websocket and res_ari_events. A proxy in between must pass on WebSockets: HTTP/1.1 with the "
        "headers Upgrade and Connection"
    )
    return AriError(f"cannot open Asterisk's event stream: HTTP {status} in place of a WebSocket", remedy=remedy)
