"""A TCP proxy on loopback that can do what networks do: hold a request or its answer, cut, refuse, slip bytes in.

    async with Proxy("127.0.0.1", 8088) as proxy:
        with proxy.hold("POST /ari/channels/externalMedia") as held:
            await held.seen()
            ...                      # the request has not reached the server
        proxy.cut()                  # every connection is reset

Made of protocols, without a task of its own once a connection stands.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self, cast

LIMIT_S = 20.0


class Hold:
    """Something that is being kept back; see ``Proxy.hold``."""

    def __init__(self, text: bytes, *, answer: bool) -> None:
        self.text = text
        self.answer = answer
        self._seen = asyncio.Event()
        self._pair: _Pair | None = None

    async def seen(self, timeout: float = LIMIT_S) -> None:
        """Until the text came by. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            await self._seen.wait()

    def take(self, pair: "_Pair") -> None:
        self._pair = pair
        self._seen.set()

    def release(self) -> None:
        """Let what was kept back go on its way."""
        if self._pair is not None:
            self._pair.let_go(answer=self.answer)


class Proxy:
    """Hands every connection on to ``host:port``, which may be changed at any time (``target``)."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, listen: int = 0) -> None:
        """``listen``: the port to listen on; 0 takes a free one."""
        self.target = (host, port)
        self._listen = listen
        self.refusing = False
        """Reset new connections at once."""
        self.hung = False
        """Set by ``hang``."""
        self.delay_s = 0.0
        """How long everything takes on its way, in each direction. Data on its way when a side ends is lost."""
        self._pairs: list[_Pair] = []
        self._holds: list[Hold] = []
        self._server: asyncio.Server | None = None
        self._connecting: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(lambda: _Near(self), "127.0.0.1", self._listen)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        self.cut()

    @property
    def address(self) -> str:
        """``host:port`` that it listens on."""
        return f"127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """Connections that stand."""
        return sum(pair.up is not None for pair in self._pairs)

    def cut(self, *, refuse: bool = False) -> None:
        """Reset every connection; with ``refuse`` also each new one until ``refusing`` is unset."""
        self.refusing = refuse
        for pair in list(self._pairs):
            pair.cut()

    def freeze(self) -> None:
        """Hand nothing on any more, in either direction, on the connections that stand; they only end by ``cut``."""
        for pair in self._pairs:
            pair.freeze()

    def hang(self) -> None:
        """Freeze all connections like ``freeze``, new ones, too, until ``go_on``: they are accepted, and nothing
        follows."""
        self.hung = True
        self.freeze()

    def go_on(self) -> None:
        """Forward what came meanwhile, also of those who do not wait for its answer any more."""
        self.hung = False
        for pair in list(self._pairs):
            pair.thaw()

    @contextmanager
    def hold(self, text: str, *, answer: bool = False) -> Iterator[Hold]:
        """Keep back the first request that holds ``text``, or with ``answer`` let it through and keep its answer back.

        Everything behind it on that connection waits too; all of it continues at the end of the context.
        """
        hold = Hold(text.encode(), answer=answer)
        self._holds.append(hold)
        try:
            yield hold
        finally:
            if hold in self._holds:
                self._holds.remove(hold)
            hold.release()

    def to_server(self, data: bytes, index: int = -1) -> None:
        """Slip ``data`` in on the way to the server: on the newest connection, or that with this index."""
        up = self._standing[index].up
        assert up is not None
        up.write(data)

    def to_client(self, data: bytes, index: int = -1) -> None:
        """Slip ``data`` in on the way to the client."""
        self._standing[index].near.write(data)

    @property
    def _standing(self) -> "list[_Pair]":
        return [pair for pair in self._pairs if pair.up is not None]

    # -- what the connections ask of it --

    def opened(self, pair: "_Pair") -> None:
        if self.refusing:
            pair.near.abort()
            return
        self._pairs.append(pair)
        if self.hung:
            pair.freeze()
        task = asyncio.get_running_loop().create_task(self._connect(pair))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, pair: "_Pair") -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: _Far(pair), *self.target)
        except OSError:
            pair.cut()

    def closed(self, pair: "_Pair") -> None:
        if pair in self._pairs:
            self._pairs.remove(pair)

    def held_by(self, data: bytes) -> Hold | None:
        """The hold that this request falls under, once."""
        for hold in self._holds:
            if hold.text in data:
                self._holds.remove(hold)
                return hold
        return None


class _Pair:
    """One connection: ``near`` is the client's side, ``up`` the server's."""

    def __init__(self, proxy: Proxy, near: asyncio.Transport) -> None:
        self.near = near
        self.up: asyncio.Transport | None = None
        self._proxy = proxy
        self._requests: list[bytes] | None = []  # kept back: until the server's side stands, and while held
        self._answers: list[bytes] | None = None
        self._on_the_way: deque[tuple[asyncio.Transport, bytes]] = deque()
        self._held = False  # its requests
        self._frozen = False
        self._orphaned = False

    def connected(self, up: asyncio.Transport) -> None:
        if self.near.is_closing():
            up.abort()
            return
        self.up = up
        if not self._held:
            self.let_go(answer=False)

    def request(self, data: bytes) -> None:
        if (hold := self._proxy.held_by(data)) is not None:
            if hold.answer:
                self._answers = []
            else:
                self._requests = self._requests or []
                self._held = True
            hold.take(self)
        if self._requests is not None:
            self._requests.append(data)
        elif self.up is not None:
            self._send(self.up, data)

    def answer(self, data: bytes) -> None:
        if self._answers is not None:
            self._answers.append(data)
        else:
            self._send(self.near, data)

    def _send(self, transport: asyncio.Transport, data: bytes) -> None:
        if not self._proxy.delay_s and not self._on_the_way:
            transport.write(data)
            return
        # In one line, so that nothing overtakes: timers that are due together come in any order.
        self._on_the_way.append((transport, data))
        asyncio.get_running_loop().call_later(self._proxy.delay_s, self._arrive)

    def _arrive(self) -> None:
        transport, data = self._on_the_way.popleft()
        if not transport.is_closing():
            transport.write(data)

    def let_go(self, *, answer: bool) -> None:
        if answer:
            kept, self._answers = self._answers, None
            if not self.near.is_closing():
                self.near.writelines(kept or [])
        else:
            self._held = False
            if self.up is not None:
                kept, self._requests = self._requests, None
                self.up.writelines(kept or [])
                if self._orphaned:
                    self.up.close()

    def freeze(self) -> None:
        self._frozen = True
        for transport in (self.near, self.up):
            if transport is not None:
                transport.pause_reading()

    def thaw(self) -> None:
        self._frozen = False
        for transport in (self.near, self.up):
            if transport is not None and not transport.is_closing():
                transport.resume_reading()

    def ended(self, *, near: bool) -> None:
        """One side ended: end the other behind what was said."""
        if self._frozen:
            return
        if near and self._requests and self.up is not None:
            self._orphaned = True  # what a network holds arrives although nobody waits for the answer any more
            return
        self._proxy.closed(self)
        other = self.up if near else self.near
        if other is not None:
            other.close()

    def cut(self) -> None:
        self._proxy.closed(self)
        for transport in (self.near, self.up):
            if transport is not None:
                transport.abort()


class _Near(asyncio.Protocol):
    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._pair: _Pair

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._pair = _Pair(self._proxy, cast(asyncio.Transport, transport))
        self._proxy.opened(self._pair)

    def data_received(self, data: bytes) -> None:
        self._pair.request(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pair.ended(near=True)


class _Far(asyncio.Protocol):
    def __init__(self, pair: _Pair) -> None:
        self._pair = pair

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._pair.connected(cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        self._pair.answer(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pair.ended(near=False)
