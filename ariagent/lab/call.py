"""One call of the lab's phone: its dialog, its media, and everything a user can do with a telephone call."""

import asyncio
import enum
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from ariagent.errors import AsteriskError, InternalError
from ariagent.lab.call_media import CallMedia
from ariagent.lab.dialog import CallEnd, Dialog, parse_sipfrag
from ariagent.lab.media import MediaSession
from ariagent.lab.rtp import check_digits
from ariagent.lab.sdp import Direction, Sdp, make_answer
from ariagent.lab.sip import Request, Response
from ariagent.lab.transactions import RequestReceived, make_cancel

if TYPE_CHECKING:
    from ariagent.lab.phone import Phone

log = logging.getLogger(__name__)

SDP_TYPE = "application/sdp"


class RefusedError(AsteriskError):
    """A final response that is not 2xx, or none at all (408)."""

    def __init__(self, what: str, status: int, reason: str, *, remedy: str = "") -> None:
        super().__init__(f"{what}: {status} {reason}".rstrip(), remedy=remedy)
        self.status = status
        self.reason = reason


class CallRefused(RefusedError):  # noqa: N818 - reads as what happened
    """The call was not taken, or a change of it was not accepted."""


class CallState(enum.Enum):
    """Life of a call; it only moves downwards."""

    TRYING = 0
    RINGING = 1
    ANSWERED = 2
    ENDED = 3


class Call(CallMedia):
    """Made by ``Phone.dial`` and ``Phone.incoming``. Every method may be called in any state."""

    def __init__(self, phone: "Phone", dialog: Dialog, *, outgoing: bool, codecs: tuple[str, ...], dtx: bool) -> None:
        super().__init__(phone.host, codecs, dtx=dtx)
        self.outgoing = outgoing
        self.state = CallState.TRYING
        self.end: CallEnd | None = None
        self.early_media = False
        """Whether the far end described its media before it answered."""
        self.invite: Request | None = None
        """The INVITE, sent or received."""
        self.answered_at: float | None = None
        """Monotonic seconds when the call was answered."""
        self.info_digits = ""
        """Digits received by INFO."""
        self.replaces: Call | None = None
        """The call that this one took the place of (RFC 3891)."""
        self._phone = phone
        self._dialog = dialog
        self._ringing, self._answered, self._ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._acked = asyncio.Event()
        self._key = ""  # server transaction of the INVITE
        self._reinviting = False
        self._cancelling = False
        self._cancelled = False
        self._provisional = False
        self._refer_status = 0
        self._refer_done: asyncio.Future[None] | None = None

    # -- what it is ----------------------------------------------------------------------------------------------

    @property
    def call_id(self) -> str:
        """The SIP Call-ID."""
        return self._dialog.call_id

    @property
    def local_tag(self) -> str:
        return self._dialog.local.tag

    @property
    def remote_tag(self) -> str:
        return self._dialog.remote.tag

    @property
    def remote_user(self) -> str:
        """The user part of the other party's address."""
        return self._dialog.remote.uri.user

    # -- signalling: a call of ours ------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Open the media socket of an outgoing call."""
        self._phone.track(await self._open_media())

    async def start(self, headers: Mapping[str, str]) -> None:
        """Send the INVITE of an outgoing call and follow it to its final response (the phone's background task)."""
        offer = self._describe("sendrecv")

        def build(extra: tuple[tuple[str, str], ...]) -> Request:
            return self._dialog.request(
                "INVITE", headers=(*headers.items(), *extra), body=offer.serialize(), content_type=SDP_TYPE
            )

        def sent(request: Request) -> None:
            self.invite = request
            self._provisional = self._cancelled = False

        try:
            response = await self._phone.transact(
                build, lambda: self._dialog.next_hop, sent=sent, on_response=self._invite_response
            )
            if response.status >= 300:
                self._finish(CallEnd("local" if self._cancelling else "remote", response.status, response.reason))
        finally:
            if self.state.value < CallState.ANSWERED.value:  # a fault, or the phone is closing
                self._finish(CallEnd("local", 500, "Not completed"))

    def _invite_response(self, response: Response) -> None:
        """Synchronous, so that what follows at once (a BYE, a NOTIFY) finds the dialog complete."""
        if response.status < 300 and self.state is CallState.ENDED:
            if response.status >= 200:
                self._dialog.learn(response)
                self._ack()
                self._phone.spawn(self._bye())
            return
        if response.status < 200:
            self._provisional = True
            if self._cancelling:
                self._send_cancel()
            if response.to.tag:
                self._dialog.learn(response)
            if response.status in (180, 183):
                self._advance(CallState.RINGING)
            self.early_media = self._take_answer(response.body) or self.early_media
        elif response.status < 300:
            self._dialog.learn(response)
            self._ack()
            agreed = self._take_answer(response.body)
            self._answer_now()
            if self._cancelling or not (agreed or self.early_media):
                self._phone.spawn(self.hangup())

    def _ack(self) -> None:
        ack = self._dialog.request("ACK", cseq=self._dialog.cseq)
        self._phone.send_ack(self.call_id, self._dialog.cseq, ack, self._dialog.next_hop)

    def _send_cancel(self) -> None:
        if self.invite is not None and not self._cancelled:
            self._cancelled = True
            self._phone.spawn(self._phone.send_once(make_cancel(self.invite), self._dialog.next_hop))

    # -- signalling: a call to us --------------------------------------------------------------------------------

    def offered(self, event: RequestReceived) -> None:
        """An INVITE has come. Raises SipError for a description that cannot be read."""
        self.invite, self._key = event.request, event.key
        self._dialog.in_order(event.request)
        if event.request.body:
            self._remote = Sdp.parse(event.request.body)

    async def ring(self, *, early_media: bool = False) -> None:
        """180 Ringing, or 183 with our description: then media flows before the answer."""
        if self.outgoing or self.state.value >= CallState.ANSWERED.value:
            return
        self._advance(CallState.RINGING)
        if early_media and self._remote is not None:
            body = (await self._describe_answer()).serialize()
            self._respond(183, "Session Progress", body)
            self._negotiate()
        else:
            self._respond(180, "Ringing")

    async def answer(self, timeout: float = 10.0) -> None:
        """200 OK, media, and wait for the ACK. Raises CallRefused when the call is over, or no codec is common."""
        if self.outgoing:
            raise InternalError("answer() is for incoming calls")
        if self.state is CallState.ANSWERED:
            return
        self._raise_if_ended()
        body = (await self._describe_answer()).serialize()
        self._respond(200, "OK", body)
        self._answer_now()
        self._negotiate()
        if self.replaces is not None:
            self._phone.spawn(self.replaces.hangup())
        async with asyncio.timeout(timeout):
            await self._acked.wait()
        self._raise_if_ended()

    async def _describe_answer(self) -> Sdp:
        if self._local is not None:
            return self._local
        media = await self._open_media()
        self._phone.track(media)
        self._raise_if_ended(media)
        if self._remote is None:
            return self._describe("sendrecv")
        local = make_answer(self._remote, self._host, media.port, self._codecs, "sendrecv")
        if local is None:
            await self.reject(488, "Not Acceptable Here")
            raise CallRefused("no common codec", 488, "Not Acceptable Here")
        return self._remember(local)

    async def reject(self, status: int = 486, reason: str = "Busy Here") -> None:
        """Refuse an incoming call that is not answered."""
        if not self.outgoing and self.state.value < CallState.ANSWERED.value:
            self._respond(status, reason)
            self._finish(CallEnd("local", status, reason))

    def acknowledged(self, request: Request) -> None:
        """The ACK came; after an INVITE without a description it brings the answer."""
        if request.body and self._remote is None:
            self._remote = Sdp.parse(request.body)
            self._negotiate()
        self._acked.set()

    def cancelled(self) -> None:
        """A CANCEL came."""
        if self.state.value < CallState.ANSWERED.value:
            self._respond(487, "Request Terminated")
            self._finish(CallEnd("remote", 487, "Request Terminated"))

    def unacknowledged(self) -> None:
        """No ACK came in the time a 200 is repeated for (RFC 3261 section 13.3.1.4: end the dialog)."""
        if self.state is CallState.ANSWERED:
            self._phone.spawn(self.hangup())

    # -- waiting -------------------------------------------------------------------------------------------------

    async def ringing(self, timeout: float = 10.0) -> None:
        """Until 180, 183 or the answer. Raises CallRefused, TimeoutError."""
        async with asyncio.timeout(timeout):
            await self._ringing.wait()
        self._raise_if_refused()

    async def answered(self, timeout: float = 10.0) -> None:
        """Until the call is answered. Raises CallRefused (with ``status`` and ``reason``), TimeoutError."""
        async with asyncio.timeout(timeout):
            await self._answered.wait()
        self._raise_if_refused()

    async def ended(self, timeout: float = 10.0) -> CallEnd:
        """Until the call is over. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            await self._ended.wait()
        assert self.end is not None
        return self.end

    def _raise_if_refused(self) -> None:
        if self.end is not None and self.answered_at is None:
            raise CallRefused("call refused", self.end.status, self.end.reason)

    def _raise_if_ended(self, media: MediaSession | None = None) -> None:
        if self.end is not None:
            if media is not None:  # opened while the call ended
                media.close()
            raise CallRefused("call is over", self.end.status, self.end.reason)

    # -- during the call -----------------------------------------------------------------------------------------

    async def hangup(self) -> None:
        """End the call in whatever state: BYE, CANCEL, or 603. Returns when the far end has confirmed, or did not."""
        if self.state is CallState.ENDED:
            return
        if self.state is CallState.ANSWERED:
            self._finish(CallEnd("local", 200, "BYE"))
            await self._bye()
        elif not self.outgoing:
            await self.reject(603, "Decline")
        else:
            self._cancelling = True
            if self._provisional:
                self._send_cancel()
            try:
                async with asyncio.timeout(self._phone.patience_s):
                    await self._ended.wait()
            except TimeoutError:  # RFC 3261 section 9.1: consider it cancelled
                self._finish(CallEnd("local", 408, "No answer to CANCEL"))

    async def _bye(self) -> None:
        await self._phone.transact(self._build("BYE"), lambda: self._dialog.next_hop)

    def abandon(self) -> None:
        """Forget the call without a word: the phone is closing."""
        self._finish(CallEnd("local", 408, "Phone closed"))

    async def hold(self) -> None:
        """Put the far end on hold (re-INVITE, sendonly); no RTP is sent meanwhile. Raises CallRefused."""
        await self._change_hold(True)

    async def unhold(self) -> None:
        """Take the far end back from hold. Raises CallRefused."""
        await self._change_hold(False)

    async def _change_hold(self, hold: bool) -> None:
        before, self._on_hold = self._on_hold, hold
        self._apply_switches()
        try:
            await self.reinvite()
        except BaseException:
            self._on_hold = before
            self._apply_switches()
            raise

    async def reinvite(self) -> None:
        """Offer our description again. Raises CallRefused; 491 (both at once) is tried again, RFC 3261 section 14.1."""
        for _ in range(5):
            self._raise_if_ended()
            offer = self._describe(self._wish, self._codecs if self._local is None else tuple(self._local.codecs))
            request = self._build("INVITE", body=offer.serialize(), content_type=SDP_TYPE)
            self._reinviting = True
            try:
                response = await self._phone.transact(
                    request, lambda: self._dialog.next_hop, on_response=self._reinvite_response
                )
            finally:
                self._reinviting = False
            if response.status != 491:
                break
            await asyncio.sleep(0.1 + 0.4 * secrets.randbelow(1000) / 1000)
        if response.status >= 300:
            raise CallRefused("re-INVITE refused", response.status, response.reason)

    def _reinvite_response(self, response: Response) -> None:
        if 200 <= response.status < 300:
            self._dialog.refresh(response.headers)
            self._ack()
            self._take_answer(response.body)

    @property
    def _wish(self) -> Direction:
        return "sendonly" if self._on_hold else "sendrecv"

    async def send_dtmf(
        self,
        digits: str,
        *,
        tone_ms: int = 100,
        gap_ms: int = 80,
        method: Literal["rfc4733", "info"] = "rfc4733",
    ) -> bool:
        """Press digits; True when the last is over, False when the call ended first. Playing waits meanwhile.

        Raises AsteriskError when the far end takes no telephone events, CallRefused when it refuses an INFO.
        """
        check_digits(digits)
        if method == "rfc4733":
            return await self.media.send_dtmf(digits, tone_ms, gap_ms)
        for digit in digits:
            body = f"Signal={digit}\r\nDuration={tone_ms}\r\n".encode()
            await self._confirmed("INFO", body=body, content_type="application/dtmf-relay")
            await asyncio.sleep((tone_ms + gap_ms) / 1000)
        return True

    async def refer(self, target: str, *, timeout: float = 15.0, headers: Mapping[str, str] | None = None) -> int:
        """Blind transfer: REFER, then the NOTIFYs. Returns the final status; on 2xx our leg is ended if it still is up.

        Where the far end hangs up without a final NOTIFY the last status it told is returned (202: none).
        """
        return await self._refer(str(self._phone.uri_of(target)), timeout, headers or {})

    async def refer_attended(self, other: "Call", *, timeout: float = 15.0) -> int:
        """Attended transfer: connect this call's far end with ``other``'s. Returns the final status, as ``refer``."""
        target = replace(other._dialog.remote.uri, params=(), headers=(("Replaces", other._dialog.replaces),))
        if not self._phone.registrar:
            target = replace(other._dialog.target, headers=(("Replaces", other._dialog.replaces),))
        return await self._refer(str(target), timeout, {})

    async def _refer(self, target: str, timeout: float, headers: Mapping[str, str]) -> int:
        self._raise_if_ended()
        self._refer_status, self._refer_done = 202, asyncio.get_running_loop().create_future()
        items = (("Refer-To", f"<{target}>"), ("Referred-By", f"<{self._dialog.local.uri}>"), *headers.items())
        try:
            async with asyncio.timeout(timeout):
                response = await self._phone.transact(
                    self._build("REFER", headers=items), lambda: self._dialog.next_hop
                )
                if response.status >= 300:
                    return response.status
                await self._refer_done
        finally:
            self._refer_done = None
            if self.state is CallState.ENDED:
                self._phone.forget(self)
        if 200 <= self._refer_status < 300:
            await self.hangup()
        return self._refer_status

    async def notify(self, status: int, reason: str, *, over: bool) -> None:
        """Tell the far end how the transfer it asked for goes (RFC 3515 section 2.4.4)."""
        state = "terminated;reason=noresource" if over else "active;expires=60"
        headers = (("Event", "refer"), ("Subscription-State", state))
        body = f"SIP/2.0 {status} {reason}\r\n".encode()
        build = self._build("NOTIFY", headers=headers, body=body, content_type="message/sipfrag;version=2.0")
        await self._phone.transact(build, lambda: self._dialog.next_hop)

    async def _confirmed(self, method: str, *, body: bytes = b"", content_type: str = "") -> None:
        self._raise_if_ended()
        request = self._build(method, body=body, content_type=content_type)
        response = await self._phone.transact(request, lambda: self._dialog.next_hop)
        if response.status >= 300:
            raise CallRefused(f"{method} refused", response.status, response.reason)

    def _build(
        self, method: str, *, headers: tuple[tuple[str, str], ...] = (), body: bytes = b"", content_type: str = ""
    ) -> Callable[[tuple[tuple[str, str], ...]], Request]:
        return lambda extra: self._dialog.request(
            method, headers=(*headers, *extra), body=body, content_type=content_type
        )

    # -- requests of the far end ---------------------------------------------------------------------------------

    def requested(self, event: RequestReceived) -> None:
        """A request inside the dialog. Raises SipError for a body that cannot be read."""
        request, key = event.request, event.key
        if not self._dialog.in_order(request):
            self._phone.respond(event, 500, "CSeq out of order")
        elif self.state is CallState.ENDED and request.method != "NOTIFY":
            self._phone.respond(event, 481, "Call Does Not Exist")
        elif request.method == "BYE":
            self._phone.respond(event, 200, "OK")
            if not self.outgoing and self.state is not CallState.ANSWERED:
                self._respond(487, "Request Terminated")
            self._finish(CallEnd("remote", 200, request.headers.get("reason") or "BYE"))
        elif request.method in ("INVITE", "UPDATE"):
            self._renegotiate(event)
        elif request.method == "NOTIFY":
            self._phone.respond(event, 200, "OK")
            self._notified(request)
        elif request.method == "INFO":
            self._phone.respond(event, 200, "OK")
            self._informed(request)
        elif request.method == "REFER":
            self._phone.referred_by(self, event)
        else:
            log.debug("phone.unhandled", extra={"fields": {"method": request.method, "key": key}})
            self._phone.respond(event, 200, "OK")

    def _renegotiate(self, event: RequestReceived) -> None:
        request = event.request
        self._dialog.refresh(request.headers)
        if request.method == "INVITE" and self._reinviting:
            self._phone.respond(event, 491, "Request Pending")
            return
        if not request.body:
            body = b"" if request.method == "UPDATE" else self._describe(self._wish).serialize()
            if request.method == "INVITE":
                self._remote = None  # the ACK brings it
            self._phone.respond(event, 200, "OK", body, tag=self.local_tag)
            return
        offer = Sdp.parse(request.body)
        assert self._media is not None
        local = make_answer(offer, self._host, self._media.port, self._codecs, self._wish)
        if local is None:
            self._phone.respond(event, 488, "Not Acceptable Here")
            return
        self._remote = offer
        answer = self._remember(local)
        self._phone.respond(event, 200, "OK", answer.serialize(), tag=self.local_tag)
        self._negotiate()

    def _notified(self, request: Request) -> None:
        status = parse_sipfrag(request.body)
        self._refer_status = status or self._refer_status
        over = request.headers.get("subscription-state").lower().startswith("terminated")
        if self._refer_done is not None and (status >= 200 or over) and not self._refer_done.done():
            self._refer_done.set_result(None)

    def _informed(self, request: Request) -> None:
        for line in request.body.decode("utf-8", "replace").splitlines():
            name, _, value = line.partition("=")
            if name.strip().lower() == "signal":
                self.info_digits += value.strip()

    # -- state ---------------------------------------------------------------------------------------------------

    def _respond(self, status: int, reason: str, body: bytes = b"") -> None:
        assert self.invite is not None
        event = RequestReceived(self.invite, ("", 0), self._key)
        self._phone.respond(event, status, reason, body, tag=self.local_tag)

    def _answer_now(self) -> None:
        self.answered_at = asyncio.get_running_loop().time()
        self._advance(CallState.ANSWERED)

    def _advance(self, state: CallState) -> None:
        if state.value <= self.state.value:
            return
        self.state = state
        for event, level in (
            (self._ringing, CallState.RINGING),
            (self._answered, CallState.ANSWERED),
            (self._ended, CallState.ENDED),
        ):
            if state.value >= level.value:
                event.set()

    def _finish(self, end: CallEnd) -> None:
        """The one place where a call ends."""
        if self.end is not None:
            return
        self.end = end
        self._advance(CallState.ENDED)
        self._acked.set()
        if self._media is not None:
            self._media.close()
        if self._refer_done is None:
            self._phone.forget(self)
        else:  # the NOTIFY with the result may still come, but not for long
            self._phone.later(1.0, self._refer_over)

    def _refer_over(self) -> None:
        if self._refer_done is not None and not self._refer_done.done():
            self._refer_done.set_result(None)
