"""How a call comes about and how it ends: INVITE, answer, refusal, CANCEL, BYE, and the waiting for each."""

import asyncio
import enum
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ariagent.errors import AsteriskError, InternalError
from lab.call_media import CallMedia
from lab.dialog import CallEnd, Dialog
from lab.media import MediaSession
from lab.sdp import Sdp, make_answer
from lab.sip import Request, Response
from lab.transactions import RequestReceived, make_cancel

if TYPE_CHECKING:
    from lab.phone import Phone

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


class CallSetup(CallMedia):
    """The life of a call without what happens in it; ``call.Call`` adds that."""

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
        self.replaces: CallSetup | None = None
        """The call that this one took the place of (RFC 3891)."""
        self._phone = phone
        self._dialog = dialog
        self._ringing, self._answered, self._ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._acked = asyncio.Event()
        self._key = ""  # server transaction of the INVITE
        self._cancelling = False
        self._cancelled = False
        self._provisional = False

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

    async def answer(self, timeout: float = 30.0) -> None:
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

    async def ringing(self, timeout: float = 30.0) -> None:
        """Until 180, 183 or the answer. Raises CallRefused, TimeoutError."""
        async with asyncio.timeout(timeout):
            await self._ringing.wait()
        self._raise_if_refused()

    async def answered(self, timeout: float = 30.0) -> None:
        """Until the call is answered. Raises CallRefused (with ``status`` and ``reason``), TimeoutError."""
        async with asyncio.timeout(timeout):
            await self._answered.wait()
        self._raise_if_refused()

    async def ended(self, timeout: float = 30.0) -> CallEnd:
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

    # -- ending --------------------------------------------------------------------------------------------------

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

    def _build(
        self, method: str, *, headers: tuple[tuple[str, str], ...] = (), body: bytes = b"", content_type: str = ""
    ) -> Callable[[tuple[tuple[str, str], ...]], Request]:
        return lambda extra: self._dialog.request(
            method, headers=(*headers, *extra), body=body, content_type=content_type
        )

    # -- state ---------------------------------------------------------------------------------------------------

    def _respond(self, status: int, reason: str, body: bytes = b"") -> None:
        assert self.invite is not None
        event = RequestReceived(self.invite, ("", 0), self._key)
        self._phone.respond(event, status, reason, body, tag=self.local_tag)

    def _answer_now(self) -> None:
        self.answered_at = time.monotonic()
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
        self._forgettable()

    def _forgettable(self) -> None:
        """The call has ended; nothing more is expected in its dialog."""
        self._phone.forget(self)
