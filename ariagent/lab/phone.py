"""A small SIP/RTP phone without a face, for tests and the demo: one UDP socket for SIP, one per call for RTP.

    async with Phone(server=("127.0.0.1", 5060), user="1001", password="...") as phone:
        await phone.register()
        call = await phone.dial("600")
        await call.answered()
        await call.play(pcm)
        await call.hangup()

What SIP says is in ``sip``, ``transactions``, ``dialog`` and ``sdp``; this module is the socket and the routing.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from ariagent.errors import ConfigurationError
from ariagent.lab.call import Call, CallRefused, CallState, RefusedError
from ariagent.lab.codecs import make_codec
from ariagent.lab.dialog import ALLOW, CallEnd, Dialog, token
from ariagent.lab.media import MediaSession
from ariagent.lab.sdp import check_codecs
from ariagent.lab.sip import Challenge, NameAddr, Request, Response, SipError, Uri, make_response
from ariagent.lab.transactions import (
    T1_S,
    AckReceived,
    Address,
    Event,
    RequestReceived,
    ResponseReceived,
    TimedOut,
    TransactionLayer,
    key_of,
)

__all__ = ["Call", "CallEnd", "CallRefused", "CallState", "Phone", "RefusedError", "RegistrationRefused"]

log = logging.getLogger(__name__)

Extra = tuple[tuple[str, str], ...]
CLOSE_LIMIT_S = 2.0
"""How long ``close`` waits for the answers to its BYE, CANCEL and REGISTER."""


class RegistrationRefused(RefusedError):  # noqa: N818 - reads as what happened
    """The registrar did not take the registration."""


class _Pending:
    """One request of ours that waits for its final response."""

    def __init__(self, on_response: Callable[[Response], None] | None) -> None:
        self.future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.on_response = on_response


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, phone: "Phone") -> None:
        self._phone = phone
        self.closed = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._phone.datagram(data, addr)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


class Phone:
    """One phone. ``server`` is registrar and next hop of plain extensions; without it only ``sip:`` URIs are dialled.

    ``codecs`` by preference: ``ulaw``, ``alaw``, ``g722``. ``dtx`` sends no packets in silence. ``t1_s`` scales every
    SIP timer. Use as ``async with``, or ``start`` and ``close``.
    """

    def __init__(
        self,
        server: Address | None = None,
        *,
        user: str = "anonymous",
        password: str = "",
        display_name: str = "",
        codecs: tuple[str, ...] = ("ulaw",),
        dtx: bool = False,
        host: str = "127.0.0.1",
        t1_s: float = T1_S,
    ) -> None:
        check_codecs(codecs)
        for name in codecs:
            make_codec(name)  # a missing codec is found here, not in the middle of a call
        self.server = server
        self.user = user
        self.host = host
        self.port = 0
        self.codecs = codecs
        self.calls: list[Call] = []
        """Calls that are not over."""
        self.faults = 0
        """Exceptions of our own that were caught at the edge; a test wants 0."""
        self._password = password
        self._display_name = display_name
        self._dtx = dtx
        self._layer = TransactionLayer(t1_s)
        self.patience_s = 64 * t1_s
        """How long a SIP transaction waits, seconds (RFC 3261: 32 with the usual T1)."""
        self._transport: asyncio.DatagramTransport | None = None
        self._socket: _Socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pending: dict[str, _Pending] = {}
        self._acks: dict[str, dict[int, tuple[Request, Address]]] = {}
        self._by_dialog: dict[tuple[str, str], Call] = {}
        self._by_key: dict[str, Call] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._handles: set[asyncio.TimerHandle] = set()
        self._media: set[MediaSession] = set()
        self._incoming: asyncio.Queue[Call] = asyncio.Queue()
        self._referred: asyncio.Queue[Call] = asyncio.Queue()
        self._registration: Dialog | None = None
        self._registered = False
        self._closing = False

    # -- life ----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> "Phone":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Bind the SIP socket on a free port."""
        loop = asyncio.get_running_loop()
        transport, self._socket = await loop.create_datagram_endpoint(lambda: _Socket(self), (self.host, 0))
        self._transport = transport
        self.port = int(transport.get_extra_info("sockname")[1])

    async def close(self) -> None:
        """Hang up every call, unregister, and leave no task, timer or socket. May be called twice."""
        if self._transport is None or self._closing:
            return
        self._closing = True
        goodbyes = [call.hangup() for call in list(self.calls)]
        if self._registered:
            goodbyes.append(self._unregister())
        tasks = [asyncio.ensure_future(goodbye) for goodbye in goodbyes]
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_LIMIT_S)
        for call in list(self.calls):
            call.abandon()
        await _cancel([*tasks, *self._tasks])
        for handle in (self._timer, *self._handles):
            if handle is not None:
                handle.cancel()
        for media in list(self._media):
            media.close()
            await media.closed()
        self._transport.close()
        assert self._socket is not None
        await self._socket.closed

    @property
    def uri(self) -> Uri:
        """Where another phone on this host reaches this one without a server."""
        return Uri(self.user, self.host, self.port)

    @property
    def registrar(self) -> bool:
        return self.server is not None

    @property
    def malformed(self) -> int:
        """Datagrams on the SIP socket that were not SIP."""
        return self._layer.malformed

    # -- what a user does ----------------------------------------------------------------------------------------

    async def register(self, expires_s: int = 3600) -> None:
        """Register with the server (digest). Raises RegistrationRefused with the status."""
        if self.server is None:
            raise ConfigurationError("this phone has no server to register with")
        response = await self._register(expires_s)
        if response.status >= 300:
            remedy = "Check user and password." if response.status in (401, 403, 407) else ""
            raise RegistrationRefused("registration refused", response.status, response.reason, remedy=remedy)
        self._registered = expires_s > 0

    async def _register(self, expires_s: int) -> Response:
        assert self.server is not None
        server = self.server
        if self._registration is None:
            domain = Uri("", *server)
            own = NameAddr(Uri(self.user, *server))
            self._registration = self._dialog(own.with_tag(token()), own, domain, server)
        dialog = self._registration

        def build(extra: Extra) -> Request:
            return dialog.request("REGISTER", headers=(("Expires", str(expires_s)), *extra))

        return await self.transact(build, lambda: server)

    async def _unregister(self) -> None:
        self._registered = False
        await self._register(0)

    async def dial(
        self,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        codecs: tuple[str, ...] = (),
        dtx: bool | None = None,
    ) -> Call:
        """Call an extension of the server, or a ``sip:`` URI with a numeric host. Returns at once."""
        check_codecs(codecs or self.codecs)
        uri = self.uri_of(target)
        address = self.server or uri.address
        domain = self.server or (self.host, self.port)
        local = NameAddr(Uri(self.user, *domain), self._display_name, (("tag", token()),))
        dialog = self._dialog(local, NameAddr(uri), uri, address)
        call = Call(self, dialog, outgoing=True, codecs=codecs or self.codecs, dtx=self._dtx if dtx is None else dtx)
        await call.prepare()
        self._add(call)
        self.spawn(call.start(headers or {}))
        return call

    async def incoming(self, timeout: float = 10.0) -> Call:
        """The next call to this phone. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            return await self._incoming.get()

    async def referred(self, timeout: float = 10.0) -> Call:
        """The next call that this phone made because it was sent a REFER. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            return await self._referred.get()

    def uri_of(self, target: str) -> Uri:
        """An extension of the server, or a URI as it is."""
        if target.startswith(("sip:", "sips:")):
            return Uri.parse(target)
        if self.server is None:
            raise ConfigurationError(f"cannot dial {target!r} without a server", remedy="Dial a sip: URI.")
        return Uri(target, *self.server)

    def _dialog(self, local: NameAddr, remote: NameAddr, target: Uri, fallback: Address) -> Dialog:
        call_id = f"{token(12)}@{self.host}"
        return Dialog(call_id, local, remote, target, f"<{self.uri}>", f"{self.host}:{self.port}", fallback)

    # -- what calls need -----------------------------------------------------------------------------------------

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
            return Response(request.headers, b"", 408, "Phone closed")
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
        if response.status not in (401, 407) or not self._password:
            return None
        asked, told = ("www-authenticate", "Authorization")
        if response.status == 407:
            asked, told = ("proxy-authenticate", "Proxy-Authorization")
        challenges = [Challenge.parse(text) for text in response.headers.all(asked) if text[:7].lower() == "digest "]
        usable = [challenge for challenge in challenges if challenge.usable]
        if not usable or (attempt and not usable[0].stale):
            return None
        value = usable[0].authorization(request.method, request.uri, self.user, self._password, cnonce=token())
        return told, value

    def send_ack(self, call_id: str, cseq: int, ack: Request, peer: Address) -> None:
        """Send the ACK of a 2xx, and keep it: each repetition of the 2xx is answered with it."""
        self._acks.setdefault(call_id, {})[cseq] = (ack, peer)
        self._layer.send_ack(ack, peer)
        self._flush()

    def respond(self, event: RequestReceived, status: int, reason: str, body: bytes = b"", *, tag: str = "") -> None:
        """Answer a request."""
        headers: list[tuple[str, str]] = []
        if event.request.method in ("INVITE", "UPDATE", "OPTIONS", "REFER") and 100 < status < 300:
            headers += [("Contact", f"<{self.uri}>"), ("Allow", ALLOW), ("Supported", "replaces")]
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

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something in the background; ``close`` ends it."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, RefusedError | SipError | TimeoutError):
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

    def track(self, media: MediaSession) -> None:
        """``close`` waits for this session's socket."""
        self._media.add(media)
        media.when_closed(lambda: self._media.discard(media))

    def _add(self, call: Call) -> None:
        self.calls.append(call)
        self._by_dialog[call.call_id, call.local_tag] = call

    def forget(self, call: Call) -> None:
        """The call is over and nothing more is expected in it."""
        if call in self.calls:
            self.calls.remove(call)
        self._by_dialog.pop((call.call_id, call.local_tag), None)
        for key in [key for key, owner in self._by_key.items() if owner is call]:
            del self._by_key[key]
        if call.call_id in self._acks and not self._closing:  # a 2xx may still be repeated
            self.later(self.patience_s, lambda: self._drop_acks(call.call_id))

    def _drop_acks(self, call_id: str) -> None:
        self._acks.pop(call_id, None)

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
                self._request(event)
            case AckReceived(request, key):
                if key in self._by_key:
                    self._by_key[key].acknowledged(request)
            case TimedOut(key, True):
                pending = self._pending.get(key)
                if pending is not None and not pending.future.done():
                    pending.future.set_result(Response(status=408, reason="No answer"))
            case TimedOut(key, False):
                if key in self._by_key:
                    self._by_key.pop(key).unacknowledged()

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

    def _request(self, event: RequestReceived) -> None:
        request = event.request
        if request.method == "CANCEL":
            self._cancel(event)
            return
        tag = request.to.tag
        call = self._by_dialog.get((request.call_id, tag)) if tag else None
        if call is not None:
            if request.method == "INVITE":
                self._by_key[event.key] = call
            call.requested(event)
        elif tag:
            self.respond(event, 481, "Call Does Not Exist")
        elif request.method == "INVITE":
            self._invited(event)
        elif request.method in ("OPTIONS", "NOTIFY", "MESSAGE"):
            self.respond(event, 200, "OK")
        else:
            self.respond(event, 405, "Method Not Allowed")

    def _cancel(self, event: RequestReceived) -> None:
        request = event.request
        call = self._by_key.get(key_of(request.branch, "INVITE", request.call_id))
        if call is None:
            self.respond(event, 481, "Call Does Not Exist")
            return
        self.respond(event, 200, "OK", tag=call.local_tag)
        call.cancelled()

    def _invited(self, event: RequestReceived) -> None:
        if self._closing:
            self.respond(event, 480, "Temporarily Unavailable")
            return
        request = event.request
        dialog = Dialog.incoming(
            request, contact=f"<{self.uri}>", sent_by=f"{self.host}:{self.port}", source=event.source
        )
        call = Call(self, dialog, outgoing=False, codecs=self.codecs, dtx=self._dtx)
        call.offered(event)
        replaces = request.headers.get("replaces")
        if replaces:
            call.replaces = self._find_replaced(replaces)
            if call.replaces is None:
                self.respond(event, 481, "Call Does Not Exist")
                return
        self._by_key[event.key] = call
        self._add(call)
        self.respond(event, 100, "Trying")
        self._incoming.put_nowait(call)
        if replaces:
            self.spawn(call.answer())

    def _find_replaced(self, value: str) -> Call | None:
        """The call a Replaces header names: its to-tag is ours (RFC 3891 section 3)."""
        call_id, *params = value.split(";")
        tags = dict(part.strip().partition("=")[::2] for part in params)
        call = self._by_dialog.get((call_id.strip(), tags.get("to-tag", "")))
        matches = call is not None and call.remote_tag == tags.get("from-tag") and call.state is CallState.ANSWERED
        return call if matches else None

    # -- being transferred ---------------------------------------------------------------------------------------

    def referred_by(self, call: Call, event: RequestReceived) -> None:
        """A REFER in a call (RFC 3515): accept, dial where it says, report how that went."""
        target = NameAddr.parse(event.request.headers.get("refer-to")).uri
        self.respond(event, 202, "Accepted", tag=call.local_tag)
        self.spawn(self._follow(call, target, event.request.headers.get("referred-by")))

    async def _follow(self, call: Call, target: Uri, referred_by: str) -> None:
        headers = dict(target.headers)
        if referred_by:
            headers["Referred-By"] = referred_by
        await call.notify(100, "Trying", over=False)
        new = await self.dial(str(Uri(target.user, target.host, target.port)), headers=headers)
        self._referred.put_nowait(new)
        try:
            await new.answered(timeout=60)
        except RefusedError as refusal:
            await call.notify(refusal.status, refusal.reason, over=True)
            return
        await call.notify(200, "OK", over=True)


async def _cancel(tasks: list["asyncio.Future[Any]"] | list["asyncio.Task[Any]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
