"""The AudioSocket server: knows which channels to expect and refuses everybody else."""

import asyncio
import ipaddress
import socket
from collections import Counter, deque
from collections.abc import Iterable
from typing import cast
from uuid import UUID

from ariagent.audio.format import AudioFormat
from ariagent.audiosocket.connection import Connection
from ariagent.audiosocket.endpoint import Expected, MediaConnection, MediaEndpoint, Reason, Refusal
from ariagent.audiosocket.frameclock import FrameClock
from ariagent.audiosocket.frames import kind_for
from ariagent.audiosocket.unidentified import Waiting
from ariagent.errors import ResourceError
from ariagent.lograte import LineBudget

__all__ = ["AudioSocketServer", "MediaConnection", "MediaEndpoint", "Reason", "Refusal"]

RECEIVE_BUFFER_BYTES = 1 << 20
"""Asked of the kernel, so that a pause of this process does not make Asterisk's writes fall short."""

BACKLOG = 512
"""Connections that the kernel holds for us; one more waits a second for its second try, and the channel with it."""


class AudioSocketServer:
    """Listens for Asterisk. Counters: ``refused`` and ``ended`` by reason, ``frames_held`` for peers that stall."""

    clock: FrameClock

    def __init__(
        self,
        *,
        handshake_timeout_s: float = 2.0,
        max_connections: int = 1000,
        max_unidentified: int = 64,
        allowed: Iterable[str] = ("127.0.0.0/8", "::1"),
    ) -> None:
        self.handshake_timeout_s = handshake_timeout_s
        self.max_connections = max_connections
        self._waiting: Waiting[Connection] = Waiting(max_unidentified)
        self._lines = LineBudget()
        self._allowed = [ipaddress.ip_network(network) for network in allowed]
        self._expected: dict[UUID, Expected] = {}
        self._connections: set[Connection] = set()
        self._identified: set[Connection] = set()
        self._later: deque[Connection] = deque()
        """Connections that have read more than is handled in one turn of the event loop. The first one is next."""
        self._server: asyncio.Server | None = None
        self._closing = False
        self._all_gone = asyncio.Event()
        self.refused: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.frames_held = 0

    @property
    def port(self) -> int:
        """The TCP port listened on."""
        if self._server is None:
            raise RuntimeError("the server is not started")
        return cast(int, self._server.sockets[0].getsockname()[1])

    @property
    def open_connections(self) -> int:
        """Connections that are open, handshakes included."""
        return len(self._connections)

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes a free one. ResourceError when the address cannot be had."""
        loop = asyncio.get_running_loop()
        self.clock = FrameClock(loop)
        try:
            family, _, _, _, address = (await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))[0]
            listener = socket.create_server(cast(tuple[str, int], address[:2]), family=family)
        except OSError as error:
            raise ResourceError(
                f"AudioSocket cannot listen on {host}:{port}: {error.strerror or error}",
                remedy="Stop the program that uses the port, or set audiosocket.host and audiosocket.port to others",
            ) from error
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        # The event loop listens again, with a backlog of its own: 100 unless told.
        self._server = await loop.create_server(lambda: Connection(self, loop), sock=listener, backlog=BACKLOG)

    def expect(self, uuid: UUID, endpoint: MediaEndpoint, fmt: AudioFormat, call: str = "") -> None:
        """The one connection that opens with ``uuid`` belongs to ``endpoint``; ``call``: the call's id, for the log.

        ValueError if already expected.
        """
        kind_for(fmt)
        if uuid in self._expected:
            raise ValueError(f"{uuid} is expected already")
        self._expected[uuid] = Expected(endpoint, fmt, call)

    def forget(self, uuid: UUID) -> None:
        """Expect ``uuid`` no longer; nothing happens when it is not expected or has connected."""
        self._expected.pop(uuid, None)

    async def close(self) -> None:
        """Stop listening, close every connection, return when all endpoints were told."""
        self._closing = True
        if self._server is not None:
            self._server.close()
        self._expected.clear()
        for connection in list(self._connections):
            connection.close()
        while self._connections:
            self._all_gone.clear()
            await self._all_gone.wait()
        if self._server is not None:
            self.clock.stop()
        self._server = None

    # --- what a connection asks of us (ConnectionHost)

    def admit(self, peer: object) -> Refusal | None:
        if self._closing:
            return Refusal.CLOSING
        if peer is None:  # the connection was reset before we looked
            return Refusal.CLOSED_EARLY
        if not self._is_allowed(peer):
            return Refusal.NOT_ALLOWED
        # Those who have not said which call they are for give way.
        if len(self._identified) >= self.max_connections:
            return Refusal.TOO_MANY
        return None

    def claim(self, uuid: UUID) -> Expected | None:
        return self._expected.pop(uuid, None)

    def opened(self, connection: Connection) -> None:
        self._connections.add(connection)

    def waits(self, connection: Connection, peer: object) -> None:
        gives_way = self._waiting.add(connection, str(peer[0]) if isinstance(peer, tuple) else "")
        if gives_way is None and len(self._identified) + len(self._waiting) > self.max_connections:
            gives_way = self._waiting.longest()
        if gives_way is not None:
            gives_way.give_way()

    def identified(self, connection: Connection) -> None:
        self._waiting.remove(connection)
        self._identified.add(connection)

    def ending(self, connection: Connection) -> None:
        self._waiting.remove(connection)
        self._identified.discard(connection)

    def line_worth(self, now: float) -> int | None:
        return self._lines.take(now)

    def later(self, connection: Connection) -> None:
        self._later.append(connection)
        if len(self._later) == 1:
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        """One connection a turn, however many wait."""
        connection = self._later.popleft()
        if self._later:
            asyncio.get_running_loop().call_soon(self._next_turn)
        connection.go_on()

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self.ending(connection)
        if not self._connections:
            self._all_gone.set()

    def _is_allowed(self, peer: object) -> bool:
        if not isinstance(peer, tuple):
            return False
        address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._allowed)
