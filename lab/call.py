"""One call of the lab's phone: its dialog, its media, and everything a user can do with a telephone call."""

import asyncio
import logging
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from lab.call_setup import SDP_TYPE, CallRefused, CallSetup, CallState
from lab.dialog import CallEnd, Dialog, parse_sipfrag
from lab.rtp import check_digits
from lab.sdp import Direction, Sdp, make_answer
from lab.sip import Request, Response
from lab.transactions import RequestReceived

if TYPE_CHECKING:
    from lab.phone import Phone

log = logging.getLogger(__name__)


class Call(CallSetup):
    """Made by ``Phone.dial`` and ``Phone.incoming``. Every method may be called in any state."""

    def __init__(self, phone: "Phone", dialog: Dialog, *, outgoing: bool, codecs: tuple[str, ...], dtx: bool) -> None:
        super().__init__(phone, dialog, outgoing=outgoing, codecs=codecs, dtx=dtx)
        self.info_digits = ""
        """Digits received by INFO."""
        self._reinviting = False
        self._refer_status = 0
        self._refer_done: asyncio.Future[None] | None = None

    # -- hold and digits -----------------------------------------------------------------------------------------

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

    # -- transfer ------------------------------------------------------------------------------------------------

    async def refer(self, target: str, *, timeout: float = 30.0, headers: Mapping[str, str] | None = None) -> int:
        """Blind transfer: REFER, then the NOTIFYs. Returns the final status; on 2xx our leg is ended if it still is up.

        Where the far end hangs up without a final NOTIFY the last status it told is returned (202: none).
        """
        return await self._refer(str(self._phone.uri_of(target)), timeout, headers or {})

    async def refer_attended(self, other: "Call", *, timeout: float = 30.0) -> int:
        """Attended transfer: connect this call's far end with ``other``'s. Returns the final status, as ``refer``."""
        target = replace(other._dialog.remote.uri, params=(), headers=(("Replaces", other._dialog.replaces),))
        if not self._phone.registrar:
            target = replace(other._dialog.target, headers=(("Replaces", other._dialog.replaces),))
        return await self._refer(str(target), timeout, {})

    async def _refer(self, target: str, timeout: float, headers: Mapping[str, str]) -> int:
        self._raise_if_ended()
        self._refer_status, self._refer_done = 0, asyncio.get_running_loop().create_future()
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
        return self._refer_status or 202

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

    def _forgettable(self) -> None:
        if self._refer_done is None:
            super()._forgettable()
        elif self._phone.closing:
            self._refer_over()
        else:  # the NOTIFY with the result may still come, but not for long
            self._phone.later(1.0, self._refer_over)

    def _refer_over(self) -> None:
        if self._refer_done is not None and not self._refer_done.done():
            self._refer_done.set_result(None)
