"""The SIP side of a phone without the calls: one UDP socket, requests with credentials, answers, background work.

The driver of ``transactions.TransactionLayer``: it feeds, sends and re-arms; what requests mean is the subclass's.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from ariagent.errors import AsteriskError
from lab.dialog import ALLOW, token
from lab.digest import find_challenge
from lab.sip import Request, Response, SipError, Uri, make_response
from lab.transactions import (
    AckReceived,
    Address,
    Event,
    RequestReceived,
    ResponseReceived,
    TimedOut,
    TransactionLayer,
)
from lab.udp import bind_even

log = logging.getLogger(__name__)

Extra = tuple[tuple[str, str], ...]


_CLOSED = Response(status=408, reason="Phone closed")


class _Pending:
    """One request of ours that waits for its final response."""

    def __init__(self, on_response: Callable[[Response], None] | None) -> None:
        self.future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.on_response = on_response


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, endpoint: "Endpoint") -> None:
        self._endpoint = endpoint
        self.closed = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._endpoint.datagram(data, addr)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


class Endpoint(ABC):
    """One SIP user agent on one socket. ``start`` binds it, ``stop`` ends its tasks, timers and socket."""

    def __init__(self, user: str, password: str, host: str, t1_s: float) -> None:
        self.user = user
        self.host = host
        self.port = 0
        self.faults = 0
        """Exceptions of our own that were caught at the edge; a test wants 0."""
        self.patience_s = 64 * t1_s
        """How long a SIP transaction waits, seconds (RFC 3261: 32 with the usual T1)."""
        self._password = password
        self._layer = TransactionLayer(t1_s)
        self._transport: asyncio.DatagramTransport | None = None
        self._socket: _Socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pending: dict[str, _Pending] = {}
        self._acks: dict[str, dict[int, tuple[Request, Address]]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._handles: set[asyncio.TimerHandle] = set()

    @abstractmethod
    def requested(self, event: RequestReceived) -> None:
        """A new request. May raise SipError: it is answered with 400."""

    @abstractmethod
    def acknowledged(self, request: Request, key: str) -> None:
        """The ACK of our answer to the INVITE with that key."""

    @abstractmethod
    def unacknowledged(self, key: str) -> None:
        """No ACK came."""

    async def start(self) -> None:
        """Bind the SIP socket on a free even port."""
        loop = asyncio.get_running_loop()
        transport, self._socket = await loop.create_datagram_endpoint(lambda: _Socket(self), sock=bind_even(self.host))
        self._transport = transport
        self.port = int(transport.get_extra_info("sockname")[1])

    async def stop(self) -> None:
        """Leave no task, timer or socket."""
        await cancel(list(self._tasks))
        for pending in self._pending.values():
            if not pending.future.done():
                pending.future.set_result(_CLOSED)
        for handle in (self._timer, *self._handles):
            if handle is not None:
                handle.cancel()
        if self._transport is not None and self._socket is not None:
            self._transport.close()
            await self._socket.closed

    @property
    def uri(self) -> Uri:
        """Where another phone on this host reaches this one without a server."""
        return Uri(self.user, self.host, self.port)

    @property
    def contact(self) -> str:
        """Our Contact header value."""
        return f"<{self.uri}>"

    @property
    def sent_by(self) -> str:
        """Our address as Via writes it."""
        return f"{self.host}:{self.port}"

    @property
    def malformed(self) -> int:
        """Datagrams on the SIP socket that were not SIP, and requests whose content could not be read."""
        return self._layer.malformed

    # -- requests of ours ----------------------------------------------------------------------------------------

    async def transact(
        self,
        build: Callable[[Extra], Request],
        peer: Callable[[], Address],
        *,
        sent: Callable[[Request], None] | None = None,
        on_response: Callable[[Response], None] | None = None,
    ) -> Response:
        """Send a request and wait for its final response; 408 when none comes. Digest challenges are answered.

        ``build`` is called once per attempt, ``on_response`` with every response.
        """
        extra: Extra = ()
        for attempt in range(3):
            request = build(extra)
            if sent is not None:
                sent(request)
            response = await self.send_once(request, peer(), on_response)
            credentials = self._credentials(request, response, attempt)
            if credentials is None:
                return response
            extra = (credentials,)
        return response

    async def send_once(
        self, request: Request, peer: Address, on_response: Callable[[Response], None] | None = None
    ) -> Response:
        """One request as it is, without credentials."""
        assert self._transport is not None
        if self._transport.is_closing():
            return _CLOSED
        pending = _Pending(on_response)
        now = asyncio.get_running_loop().time()
        key = self._layer.send(request, peer, now)
        self._pending[key] = pending
        try:
            self._flush()
            return await pending.future
        finally:
            self._pending.pop(key, None)

    def _credentials(self, request: Request, response: Response, attempt: int) -> tuple[str, str] | None:
        found = find_challenge(response) if self._password else None
        if found is None or (attempt and not found[1].stale):
            return None
        header, challenge = found
        return header, challenge.authorization(request.method, request.uri, self.user, self._password, cnonce=token())

    def send_ack(self, call_id: str, cseq: int, ack: Request, peer: Address) -> None:
        """Send the ACK of a 2xx, and keep it: each repetition of the 2xx is answered with it."""
        self._acks.setdefault(call_id, {})[cseq] = (ack, peer)
        self._layer.send_ack(ack, peer)
        self._flush()

    def respond(self, event: RequestReceived, status: int, reason: str, body: bytes = b"", *, tag: str = "") -> None:
        """Answer a request."""
        headers: list[tuple[str, str]] = []
        if event.request.method in ("INVITE", "UPDATE", "OPTIONS", "REFER") and 100 < status < 300:
            headers += [("Contact", self.contact), ("Allow", ALLOW), ("Supported", "replaces")]
        if body:
            headers.append(("Content-Type", "application/sdp"))
        response = make_response(
            event.request,
            status,
            reason,
            to_tag="" if status == 100 else tag or token(),
            headers=headers,
            body=body,
        )
        self._layer.respond(event.key, response, asyncio.get_running_loop().time())
        self._flush()

    def forget_acks(self, call_id: str) -> None:
        """The call is over: keep its ACKs only as long as a 2xx may still be repeated."""
        if call_id in self._acks:
            self.later(self.patience_s, lambda: self._drop_acks(call_id))

    def _drop_acks(self, call_id: str) -> None:
        self._acks.pop(call_id, None)

    # -- background ----------------------------------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something in the background; ``close`` ends it."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, AsteriskError | TimeoutError):
            log.info("phone.background_refused", extra={"fields": {"error": str(error)}})
        elif error is not None:
            self.faults += 1
            log.error("phone.fault", exc_info=error)

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Call ``action`` after a while, unless the phone closes first."""

        def run() -> None:
            self._handles.discard(handle)
            action()

        handle = asyncio.get_running_loop().call_later(delay_s, run)
        self._handles.add(handle)

    # -- the socket ----------------------------------------------------------------------------------------------

    def datagram(self, data: bytes, source: Address) -> None:
        """One datagram of the SIP socket. Raises nothing."""
        self._layer.receive(data, source, asyncio.get_running_loop().time())
        self._pump()

    def _on_timer(self) -> None:
        self._timer = None
        self._layer.tick(asyncio.get_running_loop().time())
        self._pump()

    def _pump(self) -> None:
        for event in self._layer.take_events():
            try:
                self._dispatch(event)
            except SipError as error:
                self._layer.malformed += 1
                log.info("phone.bad_message", extra={"fields": {"error": str(error)}})
                if isinstance(event, RequestReceived):
                    self.respond(event, 400, "Bad Request")
            except Exception:  # the edge of the protocol callback: one bad message must not end the phone
                self.faults += 1
                log.exception("phone.fault")
        self._flush()

    def _flush(self) -> None:
        assert self._transport is not None
        for wire, peer in self._layer.take_output():
            if not self._transport.is_closing():
                self._transport.sendto(wire, peer)
        deadline = self._layer.next_deadline()
        if self._timer is not None and self._timer.when() == deadline:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None and not self._transport.is_closing():
            self._timer = asyncio.get_running_loop().call_at(deadline, self._on_timer)

    def _dispatch(self, event: Event) -> None:
        match event:
            case ResponseReceived(response, key):
                self._response(response, key)
            case RequestReceived():
                self.requested(event)
            case AckReceived(request, key):
                self.acknowledged(request, key)
            case TimedOut(key, True):
                pending = self._pending.get(key)
                if pending is not None and not pending.future.done():
                    pending.future.set_result(Response(status=408, reason="No answer"))
            case TimedOut(key, False):
                self.unacknowledged(key)

    def _response(self, response: Response, key: str) -> None:
        pending = self._pending.get(key)
        if pending is None or pending.future.done():
            kept = self._acks.get(response.call_id, {}).get(response.cseq)
            if kept is not None and response.cseq_method == "INVITE" and 200 <= response.status < 300:
                self._layer.send_ack(*kept)
            return
        try:
            if pending.on_response is not None:
                pending.on_response(response)
        finally:
            if response.status >= 200:
                pending.future.set_result(response)


async def cancel(tasks: Sequence["asyncio.Future[Any]"]) -> None:
    """Cancel and wait until they are done."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
