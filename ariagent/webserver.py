"""An HTTP server of the service: a port, a bounded number of connections, bounds on how long they may dawdle."""

import asyncio
import logging
import os
import time
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ariagent.errors import ResourceError, why
from ariagent.hosts import joined
from ariagent.linebudget import LineBudget

MOST_CONNECTIONS = 64
"""At once; one more is closed unheard."""
BACKLOG = 16
"""Connections that the kernel holds for us, all of which the event loop takes before it looks after calls again."""
IDLE_LIMIT_S = 30.0
"""For a request's head to come in, and for a connection without a request."""


class WebServer:
    """Serves ``app`` from ``start`` to ``close``. ``options`` are those of aiohttp's ``AppRunner``."""

    def __init__(
        self,
        app: web.Application,
        *,
        most_connections: int = MOST_CONNECTIONS,
        idle_limit_s: float = IDLE_LIMIT_S,
        **options: Any,
    ) -> None:
        self.port = 0
        """The port that is listened on, once it is."""
        self.turned_away = 0
        """Connections that were too many."""
        self._runner = web.AppRunner(app, access_log=None, logger=_logger(), keepalive_timeout=idle_limit_s, **options)
        self._most = most_connections
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int, *, what: str, key: str) -> None:
        """Listen; port 0 takes a free one. Raises ResourceError that names ``what`` is served and the setting."""
        if self._runner.server is None:  # else this is another attempt
            await self._runner.setup()
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._connection, host or None, port, backlog=BACKLOG)
        except OSError as error:
            # The event loop puts the address into the system's words once more.
            cause = os.strerror(error.errno) if error.errno and error.errno > 0 else why(error)
            raise ResourceError(
                f"cannot serve {what} on {joined(host, port)}: {cause}",
                remedy=f"Stop the program that uses the port, or set {key} to a free one (0 takes any)",
            ) from None
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Give the port back, and end what is under way."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    def _connection(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        assert server is not None
        if len(server.connections) >= self._most:
            self.turned_away += 1
            return _TurnedAway()
        return server()


class _TurnedAway(asyncio.Protocol):
    """A connection for which there is no room."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


class _Malformed(logging.Filter):
    """What is no HTTP is told in a line, some of them in a second, and without its bytes: they are a stranger's, or the
    token of somebody whose proxy is broken."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = LineBudget()

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            return True
        unlogged = self._lines.take(time.monotonic())
        if unlogged is None:
            return False
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args, record.exc_info = "web.malformed", (), None
        record.fields = {"what": type(error).__name__, **({"unlogged": unlogged} if unlogged else {})}
        return True


def _logger() -> logging.Logger:
    """For one server's connections."""
    log = logging.getLogger(__name__)
    if not log.filters:
        log.addFilter(_Malformed())
    return log
