"""An HTTP server of the service: a port, a bounded number of connections, bounds on how long they may dawdle.

At the limit the connection that has been idle for longest gives way to a newcomer. So a crowd of connections that say
nothing, say it slowly or never read keeps nobody out. A request that is being handled does not give way.
"""

import asyncio
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ariagent.errors import ResourceError, why
from ariagent.hosts import joined
from ariagent.lograte import LineBudget

MOST_CONNECTIONS = 64
"""Connections at once, at most."""
BACKLOG = 16
"""Connections that the kernel holds for us, all of which the event loop takes before it looks after calls again."""
IDLE_LIMIT_S = 30.0
"""Time limit for a request's head, and for a connection without a request, in seconds."""
WRITE_LIMIT_S = 10.0
"""Time limit for a client to take what it was sent, in seconds."""
LIFE_S = 300.0
"""Longest life of a connection in seconds, however often it asks. A request that is being handled then is still
answered."""
MOST_A_TURN = 2
"""Requests that begin in one turn of the event loop. An answer takes up to a millisecond, and many requests can come
together: calls need their turn in between."""
SERVER = "ariagent"
"""Value of the header ``Server``: it has no versions."""

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebServer:
    """Serves ``app`` from ``start`` to ``close``. ``options`` are those of aiohttp's ``AppRunner``."""

    def __init__(
        self,
        app: web.Application,
        *,
        most_connections: int = MOST_CONNECTIONS,
        idle_limit_s: float = IDLE_LIMIT_S,
        write_limit_s: float = WRITE_LIMIT_S,
        life_s: float = LIFE_S,
        **options: Any,
    ) -> None:
        self.port = 0
        """The port that is listened on, once it is."""
        self.gave_way = 0
        """Idle connections that were closed for a newcomer."""
        self.turned_away = 0
        """Newcomers that were closed, because all other connections had a request that was being handled."""
        self.write_limit_s = write_limit_s
        self.life_s = life_s
        self._handling: dict[str, Any] = {
            "access_log": None,
            "logger": log,
            "keepalive_timeout": idle_limit_s,
            # Small bodies become large ones only if somebody unpacks them.
            "auto_decompress": False,
        }
        app.middlewares.insert(0, self._watching())
        app.on_response_prepare.append(_named)
        self._runner = web.AppRunner(app, **self._handling, **options)
        self._most = most_connections
        self._idle: dict[_Connection, None] = {}
        """The connection that has been idle for longest is the first one."""
        self._busy: dict[_Connection, None] = {}
        self._by_handler: dict[object, _Connection] = {}
        self._turns = _Turns()
        self._crowded_lines = LineBudget(1)
        self._malformed_lines = LineBudget()
        self._servers: list[asyncio.Server] = []

    async def start(self, host: str, port: int, *, what: str, key: str) -> None:
        """Listen; port 0 takes a free one. Raises ResourceError that names ``what`` is served and the setting."""
        await self._set_up()
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(self._connection, host or None, port, backlog=BACKLOG)
        except OSError as error:
            # The event loop puts the address into the system's words once more.
            cause = os.strerror(error.errno) if error.errno and error.errno > 0 else why(error)
            raise ResourceError(
                f"cannot serve {what} on {joined(host, port)}: {cause}",
                remedy=f"Stop the program that uses the port, or set {key} to a free one (0 takes any)",
            ) from None
        self._servers.append(server)
        self.port = server.sockets[0].getsockname()[1]

    async def start_on(self, listener: socket.socket) -> None:
        """Listen on this Unix socket, which is bound."""
        await self._set_up()
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_unix_server(self._connection, sock=listener, backlog=BACKLOG))

    async def close(self) -> None:
        """Give the port back, and end what is under way."""
        for server in self._servers:
            server.close()
        await self._runner.cleanup()

    async def _set_up(self) -> None:
        if self._runner.server is None:  # else this is another attempt
            await self._runner.setup()

    # -- connections

    def _connection(self) -> asyncio.BaseProtocol:
        if len(self._idle) + len(self._busy) >= self._most:
            longest = next(iter(self._idle), None)
            if longest is None:
                self.turned_away += 1
                self._tell_crowded("web.connection_refused")
                return _TurnedAway()
            del self._idle[longest]
            self.gave_way += 1
            self._tell_crowded("web.idle_connection_closed")
            longest.end()
        server = self._runner.server
        assert server is not None
        handler = _Handler(server, loop=asyncio.get_running_loop(), malformed=self._tell_malformed, **self._handling)
        made = _Connection(self, handler)
        self._idle[made] = None
        self._by_handler[made.handler] = made
        return made

    def _tell_crowded(self, event: str) -> None:
        if (unlogged := self._crowded_lines.take(time.monotonic())) is not None:
            _warn(event, unlogged, port=self.port, connections=self._most)

    def _tell_malformed(self, error: HttpProcessingError) -> None:
        if (unlogged := self._malformed_lines.take(time.monotonic())) is not None:
            _warn("web.malformed", unlogged, what=type(error).__name__)

    def is_busy(self, connection: "_Connection") -> bool:
        """Whether a request of this connection is being handled."""
        return connection in self._busy

    def ended(self, connection: "_Connection") -> None:
        """The connection is closed."""
        self._idle.pop(connection, None)
        self._busy.pop(connection, None)
        self._by_handler.pop(connection.handler, None)

    def _watching(self) -> Any:
        @web.middleware
        async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
            await self._turns.mine()
            connection = self._by_handler.get(request.protocol)
            if connection is None or connection not in self._idle:
                return await handler(request)  # it has just been closed
            del self._idle[connection]
            self._busy[connection] = None
            try:
                response = await handler(request)
            except web.HTTPException as error:
                response = error
            finally:
                if connection in self._busy:
                    del self._busy[connection]
                    self._idle[connection] = None
            if connection.too_old:
                response.force_close()
            if isinstance(response, web.HTTPException):
                raise response
            return response

        return watch


class _Connection(asyncio.Protocol):
    """One connection: aiohttp's handler of it, and what it may not do for too long."""

    _transport: asyncio.Transport | None = None

    def __init__(self, server: WebServer, handler: web.RequestHandler) -> None:
        self.handler = handler
        self.too_old = False
        """Whether it has lived for ``life_s``."""
        self._server = server
        self._over = False
        self._life: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's by their class.
        self._transport = cast(asyncio.Transport, transport)
        if self._over:  # a newcomer came before we got here
            self._transport.abort()
            return
        self._life = asyncio.get_running_loop().call_later(self._server.life_s, self._grow_old)
        self.handler.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self.handler.data_received(data)

    def eof_received(self) -> None:
        self.handler.eof_received()

    def pause_writing(self) -> None:
        self.handler.pause_writing()
        self._unread = asyncio.get_running_loop().call_later(self._server.write_limit_s, self.end)

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
        self.handler.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._life, self._unread):
            if timer is not None:
                timer.cancel()
        self._server.ended(self)
        if self._life is not None:
            self.handler.connection_lost(exc)

    def end(self) -> None:
        """Close it now, whatever is still to be sent."""
        self._over = True
        if self._transport is not None:
            self._transport.abort()

    def _grow_old(self) -> None:
        self.too_old = True
        if not self._server.is_busy(self):
            self.end()


class _Turns:
    """Lets requests begin, first come, first served, a few in each turn of the event loop."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._left = MOST_A_TURN
        self._armed = False

    async def mine(self) -> None:
        """Wait for one's turn."""
        loop = asyncio.get_running_loop()
        if not self._armed:
            self._armed = True
            loop.call_soon(self._next)
        if self._left and not self._waiting:
            self._left -= 1
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _next(self) -> None:
        self._left = MOST_A_TURN
        self._armed = bool(self._waiting)
        while self._left and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._left -= 1
        if self._armed:
            asyncio.get_running_loop().call_soon(self._next)


class _TurnedAway(asyncio.Protocol):
    """A connection for which there is no room."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).abort()


class _Handler(web.RequestHandler):
    """aiohttp's. A request that is not HTTP is logged in a line, some of them in a second, and without its bytes: they
    are a stranger's, or the token of somebody whose proxy is broken."""

    __slots__ = ("_malformed",)

    def __init__(self, *args: Any, malformed: Callable[[HttpProcessingError], None], **options: Any) -> None:
        super().__init__(*args, **options)
        self._malformed = malformed

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, HttpProcessingError):
            self._malformed(exc)
            if request.writer.output_size > 0:
                raise ConnectionError("an answer has begun already")
            response: web.StreamResponse = web.Response(status=status, text="this is no HTTP request\n")
            response.force_close()
        else:
            response = super().handle_error(request, status, exc, message)
        response.headers["Server"] = SERVER
        return response

    def log_exception(self, *args: Any, **options: Any) -> None:
        error = options.get("exc_info")
        if isinstance(error, HttpProcessingError):
            self._malformed(error)
        else:
            super().log_exception(*args, **options)


async def _named(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER


def _warn(event: str, unlogged: int, **fields: object) -> None:
    log.warning(event, extra={"fields": {**fields, **({"unlogged": unlogged} if unlogged else {})}})
