"""The control API as a part of the service: its port, its tokens, and the one that is made for this machine."""

import asyncio
import logging
import secrets
import time
from collections.abc import Iterable
from pathlib import Path

from aiohttp import web

from ariagent.config.control import ControlSettings
from ariagent.control import localfile
from ariagent.control.api import Api, judged
from ariagent.control.auth import Gate, Grant, Role, digest_of
from ariagent.control.events import Feed
from ariagent.control.supervision import Supervision
from ariagent.hosts import HostNames
from ariagent.webserver import WebServer

log = logging.getLogger(__name__)

LOCAL = "local"
"""The name of the commands on this machine, as a user of the API."""
CLOSE_LIMIT_S = 2.0
MOST_CONNECTIONS = 128
"""Each supervisor's page keeps one for its events."""


def grants(settings: ControlSettings) -> Iterable[Grant]:
    """The grants of the settings."""
    for token in settings.tokens:
        plain = token.token
        digest = bytes.fromhex(token.sha256 or "") if plain is None else digest_of(plain.get_secret_value())
        yield Grant(token.name, Role.named(token.role), digest)


class ControlServer:
    """Serves from ``start`` to ``close``."""

    def __init__(self, settings: ControlSettings, state_directory: Path, supervision: Supervision) -> None:
        self._settings = settings
        self._directory = state_directory
        self._token = secrets.token_urlsafe(32)
        self._feed = Feed(supervision)
        granted = [*grants(settings), Grant(LOCAL, Role.ADMIN, digest_of(self._token))]
        self.gate = Gate(granted, settings.trusted_proxies)
        """Knows the tokens."""
        app = Api(supervision, self._feed, self.gate, HostNames(settings.host)).application()
        # A reader of events who goes away is noticed at once.
        self._server = WebServer(
            app, most_connections=MOST_CONNECTIONS, handler_cancellation=True, shutdown_timeout=CLOSE_LIMIT_S
        )
        self._watch: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that is listened on, once it is."""
        return self._server.port

    def knows(self, request: web.Request) -> bool:
        """Whether this request, to whichever of the service's ports, has a right token. A wrong one is slowed down."""
        return isinstance(judged(self.gate, request, time.monotonic()), Grant)

    async def start(self) -> None:
        """Raises ResourceError."""
        host, port = self._settings.host, self._settings.port
        await self._server.start(host, port, what="the control API", key="control.port")
        self._watch = asyncio.create_task(self._feed.run(), name="control feed")
        access = localfile.Access(localfile.url_of(host, self.port), self._token)
        try:
            await asyncio.to_thread(localfile.write, self._directory, access)
        except OSError as error:
            # The service does without; only its commands need it.
            fields = {"file": str(self._directory / localfile.FILE), "cause": error.strerror or str(error)}
            log.warning("control.not_written", extra={"fields": fields})

    async def close(self) -> None:
        """End every stream and give the port back."""
        self._feed.close()
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
            await asyncio.to_thread(localfile.remove, self._directory, self._token)
        await self._server.close()
