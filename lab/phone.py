"""A small SIP/RTP phone without a face, for tests and the demo: one UDP socket for SIP, one per call for RTP.

    async with Phone(server=("127.0.0.1", 5060), user="1001", password="...") as phone:
        await phone.register()
        call = await phone.dial("600")
        await call.answered()
        await call.play(pcm)
        await call.hangup()

What SIP says is in ``sip``, ``transactions``, ``dialog`` and ``sdp``, the socket in ``endpoint``, a call in ``call``;
this module registers, dials, and hands requests to the call they belong to.
"""

import asyncio
from collections.abc import Mapping

from ariagent.errors import ConfigurationError
from lab.call import Call
from lab.call_setup import CallRefused, CallSetup, CallState, RefusedError
from lab.codecs import make_codec
from lab.dialog import CallEnd, Dialog, token
from lab.endpoint import Endpoint, Extra, cancel
from lab.media import MediaSession
from lab.sdp import check_codecs
from lab.sip import NameAddr, Request, Response, Uri
from lab.transactions import T1_S, Address, RequestReceived, key_of

__all__ = ["Call", "CallEnd", "CallRefused", "CallState", "Phone", "RefusedError", "RegistrationRefused"]

CLOSE_LIMIT_S = 2.0
"""How long ``close`` waits for the answers to its BYE, CANCEL and REGISTER."""


class RegistrationRefused(RefusedError):  # noqa: N818 - reads as what happened
    """The registrar did not take the registration."""


class Phone(Endpoint):
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
        super().__init__(user, password, host, t1_s)
        self.server = server
        self.codecs = codecs
        self.calls: list[Call] = []
        """Calls that are not over."""
        self._display_name = display_name
        self._dtx = dtx
        self._by_dialog: dict[tuple[str, str], Call] = {}
        self._by_key: dict[str, Call] = {}
        self._media: set[MediaSession] = set()
        self._incoming: asyncio.Queue[Call] = asyncio.Queue()
        self._referred: asyncio.Queue[Call] = asyncio.Queue()
        self._registration: Dialog | None = None
        self._registered = False
        self.closing = False

    # -- life ----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> "Phone":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up every call, unregister, and leave no task, timer or socket. May be called twice."""
        if self._transport is None or self.closing:
            return
        self.closing = True
        goodbyes = [call.hangup() for call in list(self.calls)]
        if self._registered:
            goodbyes.append(self._unregister())
        tasks = [asyncio.ensure_future(goodbye) for goodbye in goodbyes]
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_LIMIT_S)
        for call in list(self.calls):
            call.abandon()
        await cancel(tasks)
        for media in list(self._media):
            media.close()
            await media.closed()
        await self.stop()

    @property
    def registrar(self) -> bool:
        return self.server is not None

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

    async def incoming(self, timeout: float = 30.0) -> Call:
        """The next call to this phone. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            return await self._incoming.get()

    async def referred(self, timeout: float = 30.0) -> Call:
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
        return Dialog(call_id, local, remote, target, self.contact, self.sent_by, fallback)

    def track(self, media: MediaSession) -> None:
        """``close`` waits for this session's socket."""
        self._media.add(media)
        media.when_closed(lambda: self._media.discard(media))

    def _add(self, call: Call) -> None:
        self.calls.append(call)
        self._by_dialog[call.call_id, call.local_tag] = call

    def forget(self, call: CallSetup) -> None:
        """The call is over and nothing more is expected in it."""
        self.calls = [other for other in self.calls if other is not call]
        self._by_dialog.pop((call.call_id, call.local_tag), None)
        for key in [key for key, owner in self._by_key.items() if owner is call]:
            del self._by_key[key]
        self.forget_acks(call.call_id)

    # -- requests of others --------------------------------------------------------------------------------------

    def acknowledged(self, request: Request, key: str) -> None:
        if key in self._by_key:
            self._by_key[key].acknowledged(request)

    def unacknowledged(self, key: str) -> None:
        if key in self._by_key:
            self._by_key.pop(key).unacknowledged()

    def requested(self, event: RequestReceived) -> None:
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
        if self.closing:
            self.respond(event, 480, "Temporarily Unavailable")
            return
        request = event.request
        dialog = Dialog.incoming(request, contact=self.contact, sent_by=self.sent_by, source=event.source)
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
