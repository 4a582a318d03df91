"""The phone against another phone, and against a scripted far end, over real sockets on loopback."""

import asyncio
import hashlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import cast

import numpy as np
import pytest

from ariagent.errors import AsteriskError, ConfigurationError
from lab.codecs import Samples
from lab.digest import digest_fields
from lab.phone import Call, CallRefused, CallState, Phone, RegistrationRefused
from lab.rtp import first_loud, first_loud_sent, spacing
from lab.sdp import Sdp, make_offer
from lab.sip import Headers, Request, Response, make_response, parse

LIMIT_S = 60.0
T1_S = 0.05
MakePhone = Callable[..., Awaitable[Phone]]


def tone(seconds: float, hz: float = 440.0) -> Samples:
    return (8000 * np.sin(2 * np.pi * hz * np.arange(int(seconds * 8000)) / 8000)).astype(np.int16)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.005)


async def sends(call: Call, n_frames: int) -> None:
    await until(lambda: len(call.sent) >= n_frames)


@pytest.fixture
async def make_phone() -> AsyncIterator[MakePhone]:
    """Phones that are closed at the end; none may have had a fault, none may leave a task."""
    before = asyncio.all_tasks()
    phones: list[Phone] = []
    async with AsyncExitStack() as stack:

        async def make(user: str, **settings: object) -> Phone:
            phone = Phone(user=user, **settings)  # type: ignore[arg-type]
            phones.append(phone)
            return await stack.enter_async_context(phone)

        yield make
    assert [(phone.user, phone.faults) for phone in phones if phone.faults] == []
    assert [phone.calls for phone in phones if phone.calls] == []
    assert asyncio.all_tasks() - before - {asyncio.current_task()} == set()


async def connect(caller: Phone, called: Phone) -> tuple[Call, Call]:
    call = await caller.dial(str(called.uri))
    other = await called.incoming(LIMIT_S)
    await other.answer()
    await call.answered(LIMIT_S)
    return call, other


class FarEnd(asyncio.DatagramProtocol):
    """A SIP peer that does nothing by itself: the test reads what came and says what goes back."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[Request | Response] = asyncio.Queue()
        self.transport: asyncio.DatagramTransport | None = None
        self.peer: tuple[str, int] = ("", 0)

    @classmethod
    async def open(cls) -> "FarEnd":
        loop = asyncio.get_running_loop()
        return (await loop.create_datagram_endpoint(cls, ("127.0.0.1", 0)))[1]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data[:1] != b"\x80":  # the RTP of a call comes here too
            self.peer = addr
            self.messages.put_nowait(parse(data))

    @property
    def address(self) -> tuple[str, int]:
        assert self.transport is not None
        return cast(tuple[str, int], self.transport.get_extra_info("sockname"))

    @property
    def contact(self) -> tuple[str, str]:
        return "Contact", f"<sip:far@127.0.0.1:{self.address[1]}>"

    async def request(self, method: str) -> Request:
        """The next request of that method; others are skipped."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                message = await self.messages.get()
                if isinstance(message, Request) and message.method == method:
                    return message

    async def response(self, method: str) -> Response:
        """The next final response to that method."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                message = await self.messages.get()
                if isinstance(message, Response) and message.cseq_method == method and message.status >= 200:
                    return message

    def send(self, data: bytes, peer: tuple[str, int] | None = None) -> None:
        assert self.transport is not None
        self.transport.sendto(data, peer or self.peer)

    def answer(
        self, request: Request, status: int, headers: tuple[tuple[str, str], ...] = (), body: bytes = b""
    ) -> None:
        items = (*headers, self.contact, *((("Content-Type", "application/sdp"),) if body else ()))
        self.send(make_response(request, status, "Scripted", to_tag="far", headers=items, body=body).serialize())

    def message(
        self, method: str, phone: Phone, *, cseq: int = 1, tag: str = "", body: bytes = b"", branch: str = ""
    ) -> Request:
        headers = Headers(
            (
                ("Via", f"SIP/2.0/UDP 127.0.0.1:{self.address[1]};branch=z9hG4bK{branch or f'{method}{cseq}'}"),
                ("From", "<sip:far@127.0.0.1>;tag=far"),
                ("To", f"<sip:{phone.user}@127.0.0.1>{f';tag={tag}' if tag else ''}"),
                ("Call-ID", "scripted"),
                ("CSeq", f"{cseq} {method}"),
                self.contact,
            )
        )
        return Request(headers, body, method, str(phone.uri))

    @property
    def description(self) -> bytes:
        return make_offer("127.0.0.1", self.address[1], ("ulaw",)).serialize()


@pytest.fixture
async def far_end() -> AsyncIterator[FarEnd]:
    end = await FarEnd.open()
    yield end
    assert end.transport is not None
    end.transport.close()


# -- calls


@pytest.mark.parametrize("codec", ["ulaw", "alaw", "g722"])
async def test_audio_played_is_heard_whole_at_the_other_end(make_phone: MakePhone, codec: str) -> None:
    caller, called = await make_phone("a", codecs=(codec,)), await make_phone("b", codecs=("ulaw", "alaw", "g722"))
    call, other = await connect(caller, called)
    assert (call.codec, other.codec) == (codec, codec)
    wanted = tone(0.5)
    assert await call.play(wanted)
    assert not call.playing
    await until(lambda: len(other.received) >= len(call.sent) >= 26)
    loud = np.abs(other.heard()) > 3000
    start, end = int(np.argmax(loud)), len(loud) - int(np.argmax(loud[::-1]))
    assert end - start == pytest.approx(len(wanted), abs=20)
    sent, received = first_loud_sent(call.sent), first_loud(other.received)
    assert sent is not None
    assert received is not None
    assert (sent.seq, sent.timestamp) == (received.seq, received.timestamp)
    assert received.arrival >= sent.time
    assert other.stats.lost == 0


async def test_frames_keep_their_rate_and_are_never_bunched(make_phone: MakePhone) -> None:
    call, _ = await connect(await make_phone("a"), await make_phone("b"))
    await until(lambda: len(call.sent) >= 100)
    times = [frame.time for frame in call.sent]
    assert spacing(times).min_ms >= 14.9
    ticks = {(frame.timestamp - call.sent[0].timestamp) & 0xFFFFFFFF for frame in call.sent}
    assert {tick % 160 for tick in ticks} == {0}
    elapsed = (call.sent[-1].timestamp - call.sent[0].timestamp & 0xFFFFFFFF) / 8000
    assert times[-1] - times[0] == pytest.approx(elapsed, abs=0.25)  # whatever the load, timestamps follow the clock
    assert [frame.marker for frame in call.sent[:3]] == [True, False, False]


async def test_stalled_loop_is_caught_up_with_without_a_burst(make_phone: MakePhone) -> None:
    call, _ = await connect(await make_phone("a"), await make_phone("b"))
    await until(lambda: len(call.sent) >= 5)
    before = len(call.sent)
    started = call.sent[-1].time
    time.sleep(0.1)  # noqa: ASYNC251 - this is the stall
    await until(lambda: len(call.sent) >= before + 30)
    assert spacing([frame.time for frame in call.sent[before:]]).min_ms >= 14.9
    assert (call.sent[before + 29].time - started) / 0.02 == pytest.approx(30, abs=12)


async def test_what_is_played_before_the_answer_waits_for_it(make_phone: MakePhone) -> None:
    caller, called = await make_phone("a"), await make_phone("b")
    call = await caller.dial(str(called.uri))
    done = call.play(tone(0.1).tobytes())
    assert call.playing
    other = await called.incoming(LIMIT_S)
    assert not call.sent
    await other.answer()
    assert await done
    await until(lambda: first_loud(other.received) is not None)


async def test_hanging_up_cuts_what_is_played(make_phone: MakePhone) -> None:
    call, other = await connect(await make_phone("a"), await make_phone("b"))
    done = call.play(tone(5.0))
    await until(lambda: first_loud(other.received) is not None)
    await call.hangup()
    assert await done is False
    assert await call.play(tone(0.1)) is False
    assert await call.send_dtmf("1") is False
    end = await other.ended(LIMIT_S)
    assert (end.by, end.status) == ("remote", 200)
    assert call.end is not None
    assert call.end.by == "local"


async def test_stopped_playing_is_cut_but_the_call_goes_on(make_phone: MakePhone) -> None:
    call, _ = await connect(await make_phone("a"), await make_phone("b"))
    done = call.play(tone(5.0))
    call.stop_playing()
    assert await done is False
    assert await call.play(tone(0.1)) is True


async def test_dtx_sends_nothing_in_silence_and_marks_the_next_word(make_phone: MakePhone) -> None:
    call, other = await connect(await make_phone("a", dtx=True), await make_phone("b"))
    await until(lambda: len(other.sent) >= 10)
    assert call.sent == []
    for _ in range(2):
        assert await call.play(tone(0.1))
        count = len(other.sent)
        await sends(other, count + 5)
    assert len(call.sent) == 10
    assert [index for index, frame in enumerate(call.sent) if frame.marker] == [0, 5]
    gap = call.sent[5].timestamp - call.sent[4].timestamp & 0xFFFFFFFF
    assert gap / 8000 == pytest.approx(call.sent[5].time - call.sent[4].time, abs=0.06)


async def test_muted_phone_sends_nothing_and_tells_nobody(make_phone: MakePhone) -> None:
    call, other = await connect(await make_phone("a"), await make_phone("b"))
    await until(lambda: len(call.sent) >= 3)
    call.mute_rtp = True
    sent, count = len(call.sent), len(other.sent)
    await until(lambda: len(other.sent) >= count + 10)
    assert len(call.sent) == sent
    assert not other.held_by_peer
    call.mute_rtp = False
    await until(lambda: len(call.sent) > sent)
    assert call.sent[sent].marker


async def test_hold_stops_both_directions_until_it_is_taken_back(make_phone: MakePhone) -> None:
    call, other = await connect(await make_phone("a"), await make_phone("b"))
    await until(lambda: len(call.sent) >= 3 and len(other.sent) >= 3)
    await call.hold()
    assert other.held_by_peer
    sent, heard = len(call.sent), len(other.sent)
    done = call.play(tone(0.1))
    await asyncio.sleep(0.1)
    assert (len(call.sent), len(other.sent)) == (sent, heard)
    await call.unhold()
    assert not other.held_by_peer
    assert await done
    await until(lambda: len(other.sent) > heard)


async def test_both_sides_can_hold_and_offer_at_once(make_phone: MakePhone) -> None:
    """The glare of RFC 3261 section 14: each refuses the other's offer with 491 and tries again."""
    call, other = await connect(await make_phone("a"), await make_phone("b"))
    await asyncio.gather(call.hold(), other.hold())
    await asyncio.gather(call.unhold(), other.unhold())
    count = len(call.received)
    await until(lambda: len(call.received) > count)


async def test_digits_by_telephone_event_and_by_info(make_phone: MakePhone) -> None:
    call, other = await connect(await make_phone("a"), await make_phone("b"))
    assert await call.send_dtmf("1123*#AD0", tone_ms=60, gap_ms=60)
    await until(lambda: other.digits == "1123*#AD0")
    assert await other.send_dtmf("7#", method="info", tone_ms=20, gap_ms=0)
    assert call.info_digits == "7#"
    with pytest.raises(ConfigurationError):
        await call.send_dtmf("x")
    assert not any(packet.payload_type == 101 for packet in call.received)


async def test_hook_sees_each_packet_and_its_failure_harms_nobody(make_phone: MakePhone) -> None:
    caller, called = await make_phone("a"), await make_phone("b")
    call = await caller.dial(str(called.uri))
    seen: list[int] = []

    def hook(packet: object) -> None:
        seen.append(1)
        raise RuntimeError("of the test")

    call.on_packet = hook
    other = await called.incoming(LIMIT_S)
    await other.answer()
    await until(lambda: len(seen) >= 5)
    assert len(call.received) == len(seen)


async def test_ringing_with_early_media(make_phone: MakePhone) -> None:
    caller, called = await make_phone("a"), await make_phone("b")
    call = await caller.dial(str(called.uri))
    other = await called.incoming(LIMIT_S)
    await other.ring(early_media=True)
    await call.ringing(LIMIT_S)
    assert call.early_media
    assert call.answered_at is None
    await other.play(tone(0.2))
    await until(lambda: first_loud(call.received) is not None)
    await other.answer()
    await call.answered(LIMIT_S)
    assert call.state is CallState.ANSWERED


# -- calls that do not come about


async def test_rejected_call_names_its_status(make_phone: MakePhone) -> None:
    caller, called = await make_phone("a"), await make_phone("b")
    call = await caller.dial(str(called.uri))
    other = await called.incoming(LIMIT_S)
    await other.reject(486)
    with pytest.raises(CallRefused, match="486") as refusal:
        await call.answered(LIMIT_S)
    assert (refusal.value.status, refusal.value.reason) == (486, "Busy Here")
    with pytest.raises(CallRefused):
        await call.ringing()
    with pytest.raises(CallRefused):
        await other.answer()
    await call.hangup()
    assert (await call.ended()).by == "remote"


async def test_cancelled_call_ends_on_both_sides(make_phone: MakePhone) -> None:
    caller, called = await make_phone("a"), await make_phone("b")
    call = await caller.dial(str(called.uri))
    other = await called.incoming(LIMIT_S)
    await other.ring()
    await call.ringing(LIMIT_S)
    await call.hangup()
    assert call.end is not None
    assert (call.end.by, call.end.status) == ("local", 487)
    end = await other.ended(LIMIT_S)
    assert (end.by, end.status) == ("remote", 487)


async def test_call_cancelled_before_anything_came_back(make_phone: MakePhone) -> None:
    caller, called = await make_phone("a"), await make_phone("b")
    call = await caller.dial(str(called.uri))
    await call.hangup()
    assert call.state is CallState.ENDED
    other = await called.incoming(LIMIT_S)
    assert (await other.ended(LIMIT_S)).status == 487


async def test_answer_that_crosses_the_cancel_is_ended_with_bye(make_phone: MakePhone, far_end: FarEnd) -> None:
    phone = await make_phone("a", t1_s=T1_S)
    call = await phone.dial(f"sip:far@127.0.0.1:{far_end.address[1]}")
    invite = await far_end.request("INVITE")
    far_end.answer(invite, 180)
    await call.ringing(LIMIT_S)
    hanging_up = asyncio.ensure_future(call.hangup())
    cancel = await far_end.request("CANCEL")
    assert cancel.branch == invite.branch
    far_end.answer(invite, 200, body=far_end.description)
    far_end.answer(cancel, 200)
    await far_end.request("ACK")
    bye = await far_end.request("BYE")
    assert bye.to.tag == "far"
    far_end.answer(bye, 200)
    await hanging_up
    assert call.end is not None
    assert call.end.by == "local"


async def test_no_common_codec_is_488(make_phone: MakePhone) -> None:
    caller, called = await make_phone("a", codecs=("alaw",)), await make_phone("b", codecs=("ulaw",))
    call = await caller.dial(str(called.uri))
    with pytest.raises(CallRefused):
        await (await called.incoming(LIMIT_S)).answer()
    with pytest.raises(CallRefused, match="488"):
        await call.answered(LIMIT_S)


async def test_silent_far_end_is_given_up_after_64_t1(make_phone: MakePhone, far_end: FarEnd) -> None:
    phone = await make_phone("a", t1_s=0.005)
    call = await phone.dial(f"sip:far@127.0.0.1:{far_end.address[1]}")
    with pytest.raises(CallRefused) as refusal:
        await call.answered(LIMIT_S)
    assert refusal.value.status == 408
    assert far_end.messages.qsize() >= 3


async def test_waiting_too_long_is_a_timeout(make_phone: MakePhone) -> None:
    caller, called = await make_phone("a"), await make_phone("b")
    with pytest.raises(TimeoutError):
        await called.incoming(0.01)
    call = await caller.dial(str(called.uri))
    with pytest.raises(TimeoutError):
        await call.answered(0.05)


# -- repetition


async def test_lost_invite_and_lost_ack_are_made_good(make_phone: MakePhone, far_end: FarEnd) -> None:
    phone = await make_phone("a", t1_s=T1_S)
    call = await phone.dial(f"sip:far@127.0.0.1:{far_end.address[1]}")
    first = await far_end.request("INVITE")  # "lost": no answer
    again = await far_end.request("INVITE")
    assert again.serialize() == first.serialize()
    far_end.answer(again, 200, body=far_end.description)
    ack = await far_end.request("ACK")  # "lost": the 200 comes again
    far_end.answer(again, 200, body=far_end.description)
    assert (await far_end.request("ACK")).serialize() == ack.serialize()
    assert (ack.cseq, ack.to.tag) == (first.cseq, "far")
    await call.answered(LIMIT_S)
    hanging_up = asyncio.ensure_future(call.hangup())
    first_bye = await far_end.request("BYE")
    assert (await far_end.request("BYE")).serialize() == first_bye.serialize()
    far_end.answer(first_bye, 200)
    await hanging_up


async def test_answer_is_repeated_until_the_ack_and_duplicates_are_answered_again(
    make_phone: MakePhone, far_end: FarEnd
) -> None:
    phone = await make_phone("b", t1_s=T1_S)
    invite = far_end.message("INVITE", phone, body=far_end.description)
    far_end.send(invite.serialize(), ("127.0.0.1", phone.port))
    far_end.send(invite.serialize(), ("127.0.0.1", phone.port))
    call = await phone.incoming(LIMIT_S)
    answering = asyncio.ensure_future(call.answer())
    answer = await far_end.response("INVITE")
    assert (await far_end.response("INVITE")).to.tag == answer.to.tag
    far_end.send(far_end.message("ACK", phone, tag=answer.to.tag, branch="ack").serialize())
    await answering
    bye = far_end.message("BYE", phone, cseq=2, tag=answer.to.tag)
    for _ in range(2):
        far_end.send(bye.serialize())
        assert (await far_end.response("BYE")).status == 200
    assert (await call.ended()).by == "remote"
    with pytest.raises(TimeoutError):
        await phone.incoming(0.01)


async def test_answer_without_ack_ends_the_call(make_phone: MakePhone, far_end: FarEnd) -> None:
    phone = await make_phone("b", t1_s=0.005)
    invite = far_end.message("INVITE", phone, body=far_end.description)
    far_end.send(invite.serialize(), ("127.0.0.1", phone.port))
    call = await phone.incoming(LIMIT_S)
    answering = asyncio.ensure_future(call.answer())
    bye = await far_end.request("BYE")
    far_end.answer(bye, 200)
    with pytest.raises(CallRefused):
        await answering


# -- requests of the far end


async def scripted_call(phone: Phone, far_end: FarEnd, body: bytes | None = None) -> tuple[Call, str]:
    """An answered call from the far end to the phone; the call and the phone's tag."""
    offer = far_end.description if body is None else body
    invite = far_end.message("INVITE", phone, body=offer)
    far_end.send(invite.serialize(), ("127.0.0.1", phone.port))
    call = await phone.incoming(LIMIT_S)
    answering = asyncio.ensure_future(call.answer())
    tag = (await far_end.response("INVITE")).to.tag
    ack = far_end.message("ACK", phone, tag=tag, branch="ack", body=b"" if offer else far_end.description)
    far_end.send(ack.serialize())
    await answering
    return call, tag


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
async def test_new_offer_of_the_far_end_is_answered(make_phone: MakePhone, far_end: FarEnd, method: str) -> None:
    phone = await make_phone("b")
    call, tag = await scripted_call(phone, far_end)
    offer = make_offer("127.0.0.1", far_end.address[1], ("ulaw",), "sendonly").serialize()
    far_end.send(far_end.message(method, phone, cseq=2, tag=tag, body=offer).serialize())
    answer = await far_end.response(method)
    assert (answer.status, Sdp.parse(answer.body).direction) == (200, "recvonly")
    assert call.held_by_peer
    if method == "INVITE":
        far_end.send(far_end.message("ACK", phone, cseq=2, tag=tag, branch="ack2").serialize())
    await far_goodbye(far_end, call)


async def far_goodbye(far_end: FarEnd, call: Call) -> None:
    hanging_up = asyncio.ensure_future(call.hangup())
    far_end.answer(await far_end.request("BYE"), 200)
    await hanging_up


async def test_invite_without_a_description_gets_our_offer(make_phone: MakePhone, far_end: FarEnd) -> None:
    phone = await make_phone("b")
    call, _ = await scripted_call(phone, far_end, body=b"")
    await until(lambda: len(call.sent) > 2)
    assert call.codec == "ulaw"
    await far_goodbye(far_end, call)


@pytest.mark.parametrize(
    ("method", "status"), [("OPTIONS", 200), ("NOTIFY", 200), ("BYE", 481), ("INFO", 481), ("PUBLISH", 405)]
)
async def test_requests_outside_a_call(make_phone: MakePhone, far_end: FarEnd, method: str, status: int) -> None:
    phone = await make_phone("b")
    request = far_end.message(method, phone, tag="gone" if status == 481 else "")
    far_end.send(request.serialize(), ("127.0.0.1", phone.port))
    assert (await far_end.response(method)).status == status


async def test_request_older_than_the_last_is_refused(make_phone: MakePhone, far_end: FarEnd) -> None:
    phone = await make_phone("b")
    call, tag = await scripted_call(phone, far_end)
    far_end.send(far_end.message("OPTIONS", phone, cseq=9, tag=tag).serialize())
    assert (await far_end.response("OPTIONS")).status == 200
    far_end.send(far_end.message("INFO", phone, cseq=5, tag=tag).serialize())
    assert (await far_end.response("INFO")).status == 500
    await far_goodbye(far_end, call)


async def test_malformed_messages_are_counted_and_harm_nobody(make_phone: MakePhone, far_end: FarEnd) -> None:
    phone = await make_phone("b")
    call, tag = await scripted_call(phone, far_end)
    for noise in (b"noise", b"\x01" * 200, b"INVITE sip:b SIP/2.0\r\n\r\n", b"\xff" * 1400):
        far_end.send(noise)
    bad = far_end.message("INVITE", phone, cseq=3, tag=tag, body=b"m=audio x RTP/AVP 0")
    far_end.send(bad.serialize())
    assert (await far_end.response("INVITE")).status == 400
    far_end.send(far_end.message("ACK", phone, cseq=3, tag=tag, branch="INVITE3").serialize())
    far_end.send(b"noise", ("127.0.0.1", call.media.port))
    far_end.send(b"\x80\x00\x00", ("127.0.0.1", call.media.port))
    far_end.send(b"\x80\xc8" + bytes(26), ("127.0.0.1", call.media.port))
    await until(lambda: (call.media.malformed, call.media.rtcp) == (2, 1))
    assert phone.malformed == 5
    assert call.state is CallState.ANSWERED
    await far_goodbye(far_end, call)


async def test_media_of_a_stranger_is_not_heard(make_phone: MakePhone) -> None:
    call, _ = await connect(await make_phone("a"), await make_phone("b"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"\x80\x00" + bytes(170), ("127.0.0.1", call.media.port))
        await until(lambda: call.media.stray == 1)
    assert all(packet.ssrc != 0 for packet in call.received)


async def test_far_end_without_telephone_events(make_phone: MakePhone, far_end: FarEnd) -> None:
    phone = await make_phone("b")
    body = far_end.description.replace(b" 0 101", b" 0")
    call, _ = await scripted_call(phone, far_end, body=body)
    with pytest.raises(AsteriskError) as error:
        await call.send_dtmf("1")
    assert error.value.remedy
    await far_goodbye(far_end, call)


# -- transfers


async def test_blind_transfer_makes_the_far_end_call_the_target(make_phone: MakePhone) -> None:
    a, b, c = await make_phone("a"), await make_phone("b"), await make_phone("c")
    call, other = await connect(a, b)
    transfer = asyncio.ensure_future(other.refer(str(c.uri)))
    third = await c.incoming(LIMIT_S)
    await third.answer()
    assert await transfer == 200
    assert (await call.ended(LIMIT_S)).by == "remote"
    new = await a.referred(LIMIT_S)
    assert await new.play(tone(0.1))
    await until(lambda: first_loud(third.received) is not None)
    assert third.invite is not None
    assert "sip:b@" in third.invite.headers.get("referred-by")


async def test_blind_transfer_to_a_busy_phone_leaves_the_call_up(make_phone: MakePhone) -> None:
    a, b, c = await make_phone("a"), await make_phone("b"), await make_phone("c")
    call, other = await connect(a, b)
    transfer = asyncio.ensure_future(other.refer(str(c.uri)))
    await (await c.incoming(LIMIT_S)).reject(486)
    assert await transfer == 486
    assert (call.state, other.state) == (CallState.ANSWERED, CallState.ANSWERED)


async def test_attended_transfer_takes_the_place_of_the_second_call(make_phone: MakePhone) -> None:
    a, b, c = await make_phone("a"), await make_phone("b"), await make_phone("c")
    first, held = await connect(a, b)
    await held.hold()
    second, consulted = await connect(b, c)
    assert await held.refer_attended(second) == 200
    new, taken = await a.referred(LIMIT_S), await c.incoming(LIMIT_S)
    assert taken.replaces is consulted
    assert (await consulted.ended(LIMIT_S)).by == "local"
    assert (await second.ended(LIMIT_S)).by == "remote"
    await first.ended(LIMIT_S)
    assert await new.play(tone(0.1))
    await until(lambda: first_loud(taken.received) is not None)


async def test_replaces_that_names_no_call_is_481(make_phone: MakePhone) -> None:
    caller, called = await make_phone("a"), await make_phone("b")
    call = await caller.dial(str(called.uri), headers={"Replaces": "x;to-tag=1;from-tag=2"})
    with pytest.raises(CallRefused, match="481"):
        await call.answered(LIMIT_S)


async def test_transfer_whose_result_never_comes_returns_when_the_call_ends(
    make_phone: MakePhone, far_end: FarEnd
) -> None:
    phone = await make_phone("b")
    call, tag = await scripted_call(phone, far_end)
    transfer = asyncio.ensure_future(call.refer(str(phone.uri)))
    far_end.answer(await far_end.request("REFER"), 202)
    far_end.send(far_end.message("BYE", phone, cseq=2, tag=tag).serialize())
    assert await transfer == 202
    assert phone.calls == []


# -- registration


class Registrar(FarEnd):
    """Challenges once and takes the right answer; the digest is computed here by hand."""

    algorithm, status, stale_first = "MD5", 401, False

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        super().datagram_received(data, addr)
        request = parse(data)
        assert isinstance(request, Request)
        asked, told = (
            ("WWW-Authenticate", "authorization")
            if self.status == 401
            else ("Proxy-Authenticate", "proxy-authorization")
        )
        fields = digest_fields(request.headers.get(told).partition(" ")[2])
        stale = self.stale_first and fields.get("nonce") == "n1"
        if fields and not stale and fields["response"] == self.wanted(request, fields):
            self.answer(request, 200)
            return
        nonce = "n2" if stale else "n1"
        challenge = f'Digest realm="r", nonce="{nonce}", qop="auth", algorithm={self.algorithm}'
        self.answer(request, self.status, ((asked, challenge + (", stale=true" if stale else "")),))

    def wanted(self, request: Request, fields: dict[str, str]) -> str:
        hashed = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[self.algorithm]
        one = hashed(b"1001:r:secret").hexdigest()
        two = hashed(f"{request.method}:{request.uri}".encode()).hexdigest()
        middle = f"{fields['nonce']}:{fields['nc']}:{fields['cnonce']}:auth"
        return hashed(f"{one}:{middle}:{two}".encode()).hexdigest()


@pytest.fixture
async def registrar() -> AsyncIterator[Registrar]:
    end = await Registrar.open()
    assert isinstance(end, Registrar)
    yield end
    assert end.transport is not None
    end.transport.close()


@pytest.mark.parametrize("status", [401, 407])
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_registration_answers_the_challenge_and_is_taken_back(
    registrar: Registrar, status: int, algorithm: str
) -> None:
    registrar.status, registrar.algorithm = status, algorithm
    async with Phone(registrar.address, user="1001", password="secret") as phone:
        await phone.register()
    seen = [registrar.messages.get_nowait() for _ in range(registrar.messages.qsize())]
    assert [message.headers.get("expires") for message in seen] == ["3600", "3600", "0", "0"]
    assert len({message.call_id for message in seen}) == 1
    assert [message.cseq - seen[0].cseq for message in seen] == [0, 1, 2, 3]


async def test_stale_nonce_is_answered_with_the_new_one(registrar: Registrar) -> None:
    registrar.stale_first = True
    async with Phone(registrar.address, user="1001", password="secret") as phone:
        await phone.register()


async def test_wrong_password_is_refused_after_one_try(registrar: Registrar) -> None:
    async with Phone(registrar.address, user="1001", password="wrong") as phone:
        with pytest.raises(RegistrationRefused) as refusal:
            await phone.register()
    assert refusal.value.status == 401
    assert "password" in refusal.value.remedy
    assert registrar.messages.qsize() == 2


async def test_phone_without_a_server_cannot_register_or_dial_an_extension(make_phone: MakePhone) -> None:
    phone = await make_phone("a")
    with pytest.raises(ConfigurationError):
        await phone.register()
    with pytest.raises(ConfigurationError):
        await phone.dial("600")


async def test_unknown_codec_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        Phone(codecs=("gsm",))


# -- closing


@pytest.mark.parametrize("moment", ["dialled", "ringing", "answered", "held", "playing"])
async def test_closing_in_any_state_ends_the_call_at_both_ends(make_phone: MakePhone, moment: str) -> None:
    caller, called = await make_phone("a"), await make_phone("b")
    call = await caller.dial(str(called.uri))
    if moment != "dialled":
        other = await called.incoming(LIMIT_S)
        await other.ring()
        await call.ringing(LIMIT_S)
        if moment != "ringing":
            await other.answer()
            await call.answered(LIMIT_S)
            if moment == "held":
                await call.hold()
            elif moment == "playing":
                call.play(tone(5))
    await caller.close()
    await caller.close()
    assert call.state is CallState.ENDED
    if moment == "dialled":
        other = await called.incoming(LIMIT_S)
    await other.ended(LIMIT_S)


async def test_closing_does_not_wait_for_a_dead_far_end(make_phone: MakePhone, far_end: FarEnd) -> None:
    phone = await make_phone("a")
    call = await phone.dial(f"sip:far@127.0.0.1:{far_end.address[1]}")
    waiting = asyncio.ensure_future(call.answered(LIMIT_S))
    async with asyncio.timeout(LIMIT_S):
        await phone.close()
    with pytest.raises(CallRefused):
        await waiting


@pytest.mark.parametrize("doing", ["hold", "refer", "hangup"])
async def test_closing_ends_whatever_still_waits(make_phone: MakePhone, far_end: FarEnd, doing: str) -> None:
    phone = await make_phone("b")
    call, _ = await scripted_call(phone, far_end)
    work: Awaitable[object] = {
        "hold": call.hold,
        "refer": lambda: call.refer("sip:x@127.0.0.1"),
        "hangup": call.hangup,
    }[doing]()
    waiting = asyncio.ensure_future(work)
    await far_end.request({"hold": "INVITE", "refer": "REFER", "hangup": "BYE"}[doing])
    async with asyncio.timeout(LIMIT_S):
        await phone.close()
        await asyncio.wait([waiting])
    assert not waiting.cancelled()
    assert (waiting.exception() is not None) == (doing == "hold")


async def test_every_socket_is_gone_after_closing() -> None:
    async with Phone(user="a") as caller, Phone(user="b") as called:
        call, other = await connect(caller, called)
        ports = [caller.port, called.port, call.media.port, other.media.port]
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", port))
    assert {task for task in asyncio.all_tasks() if task is not asyncio.current_task()} == set()
