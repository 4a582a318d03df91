"""The lab's phone against a real Asterisk: registration, calls both ways, media, hold, digits, transfers."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

import numpy as np
import pytest

from lab.asterisk import AsteriskInstance
from lab.codecs import Samples
from lab.phone import Call, CallRefused, CallState, Phone, RegistrationRefused
from lab.rtp import first_loud, first_loud_sent, loud_packets, spacing

pytestmark = pytest.mark.asterisk

MakePhone = Callable[..., Awaitable[Phone]]
LIMIT_S = 60.0


def tone(seconds: float, *, hz: float = 440.0, rate_hz: int = 8000, peak: int = 8000) -> Samples:
    time = np.arange(int(seconds * rate_hz)) / rate_hz
    return (peak * np.sin(2 * np.pi * hz * time)).astype(np.int16)


def strongest_hz(pcm: Samples, rate_hz: int = 8000) -> float:
    spectrum = np.abs(np.fft.rfft(pcm.astype(float) * np.hanning(len(pcm))))
    return float(np.argmax(spectrum) * rate_hz / len(pcm))


def level_of(pcm: Samples) -> float:
    """The peak of the sine whose power this is."""
    return float(np.sqrt(2 * np.mean(pcm.astype(float) ** 2)))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that has no event; the time limit is generous because the machine may be busy."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.01)


async def hears(call: Call, *, after: float = 0.0) -> None:
    await until(lambda: first_loud(call.received, after=after) is not None)


async def talk_until_heard(speaks: Call, listens: Call) -> None:
    """Speak until the other end hears it. After a transfer Asterisk may still be joining the two, and the first words
    get lost."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(LIMIT_S):
            while first_loud(listens.received, after=began) is None:
                assert await speaks.play(tone(0.3, hz=800))
    except TimeoutError:
        raise AssertionError(unheard(speaks, listens, began)) from None


def unheard(speaks: Call, listens: Call, since: float) -> str:
    """Counts that show where the words were lost: before Asterisk, in it, or behind it."""
    sent = [frame for frame in speaks.sent if frame.time >= since]
    came = [packet for packet in listens.received if packet.arrival >= since]
    loud = sum(1 for _ in loud_packets(came))
    streams = Counter((packet.ssrc, packet.payload_type) for packet in came)
    return (
        f"not heard in {LIMIT_S:g} s: the speaker sent {len(sent)} packets since, {sum(f.peak > 0 for f in sent)} of "
        f"them with sound, and received {sum(packet.arrival >= since for packet in speaks.received)}; the listener "
        f"received {len(came)}, {loud} of them loud, by SSRC and payload type {dict(streams)}, and sent "
        f"{sum(frame.time >= since for frame in listens.sent)}; put on hold by Asterisk: speaker "
        f"{speaks.held_by_peer}, listener {listens.held_by_peer}"
    )


def lasts(call: Call, n_samples: int) -> bool:
    """Whether that much has been heard."""
    return len(call.heard()) >= n_samples


@pytest.fixture
async def make_phone(asterisk: AsteriskInstance) -> AsyncIterator[MakePhone]:
    """Phones of the lab's Asterisk; all are closed, and none may have had a fault of its own."""
    phones: list[Phone] = []

    def make(user: str = "anonymous", **settings: object) -> Phone:
        password = asterisk.phone_passwords.get(user, "")
        arguments = {"user": user, "password": password, **settings}
        phone = Phone((asterisk.sip_host, asterisk.sip_port), **arguments)  # type: ignore[arg-type]
        phones.append(phone)
        return phone

    async with AsyncExitStack() as stack:

        async def begin(user: str = "anonymous", *, register: bool = False, **settings: object) -> Phone:
            phone = await stack.enter_async_context(make(user, **settings))
            if register:
                await phone.register()
            return phone

        yield begin
    assert [(phone.user, phone.faults, phone.malformed) for phone in phones if phone.faults or phone.malformed] == []


async def test_registration_with_the_right_password_shows_a_contact_until_the_phone_closes(
    asterisk: AsteriskInstance, make_phone: MakePhone
) -> None:
    phone = await make_phone("1001", register=True)
    assert f"sip:1001@127.0.0.1:{phone.port}" in await asterisk.cli("pjsip show contacts")
    await phone.close()
    assert f"sip:1001@127.0.0.1:{phone.port}" not in await asterisk.cli("pjsip show contacts")


async def test_registration_with_a_wrong_password_is_refused(make_phone: MakePhone) -> None:
    phone = await make_phone("1002", password="wrong")
    with pytest.raises(RegistrationRefused) as refusal:
        await phone.register()
    assert refusal.value.status == 401
    assert refusal.value.remedy


async def test_call_with_a_wrong_password_is_refused(make_phone: MakePhone) -> None:
    phone = await make_phone("1002", password="wrong")
    call = await phone.dial("600")
    with pytest.raises(CallRefused) as refusal:
        await call.answered()
    assert refusal.value.status == 401


@pytest.mark.parametrize("codec", ["ulaw", "g722", pytest.param("alaw", marks=pytest.mark.long)])
async def test_echo_returns_the_audio_that_was_played(make_phone: MakePhone, codec: str) -> None:
    rate_hz, hz = (16000, 5500.0) if codec == "g722" else (8000, 1000.0)
    phone = await make_phone(codecs=(codec,))
    call = await phone.dial("600")
    await call.answered(LIMIT_S)
    assert call.codec == codec
    assert await call.play(tone(1.0, hz=hz, rate_hz=rate_hz), rate_hz)
    await until(lambda: len(call.received) >= 60)
    sent, back = first_loud_sent(call.sent), first_loud(call.received)
    assert sent is not None
    assert back is not None
    assert back.arrival >= sent.time
    heard = call.heard(rate_hz)
    start = int(np.argmax(np.abs(heard) > 4000)) + rate_hz // 10
    middle = heard[start : start + rate_hz // 2]
    assert strongest_hz(middle, rate_hz) == pytest.approx(hz, abs=5)
    assert level_of(middle) == pytest.approx(8000, rel=0.1)
    await call.hangup()
    assert call.stats.lost == 0
    # The median: a full machine may stand still for a moment.
    assert spacing([frame.time for frame in call.sent]).p50_ms == pytest.approx(20, abs=1)


async def test_g722_made_by_us_is_understood_by_asterisk_and_the_other_way_round(make_phone: MakePhone) -> None:
    """A G.722 phone calls a u-law phone: Asterisk's own codec is the far end of ours, in both directions."""
    wide = await make_phone("1001", register=True, codecs=("g722",))
    narrow = await make_phone("1002", register=True, codecs=("ulaw",))
    call = await wide.dial("1002")
    other = await narrow.incoming(LIMIT_S)
    await other.answer()
    await call.answered(LIMIT_S)
    assert (call.codec, other.codec) == ("g722", "ulaw")
    for speaker, listener, hz in ((call, other, 700.0), (other, call, 1300.0)):
        assert await speaker.play(tone(1.0, hz=hz))
        await hears(listener)
        loud = listener.heard()
        start = int(np.argmax(np.abs(loud) > 4000)) + 800
        await until(partial(lasts, listener, start + 4000))
        middle = listener.heard()[start : start + 4000]
        assert strongest_hz(middle) == pytest.approx(hz, abs=5)
        assert level_of(middle) == pytest.approx(8000, rel=0.1)


async def test_wrong_extension_is_404(make_phone: MakePhone) -> None:
    phone = await make_phone()
    call = await phone.dial("4711")
    with pytest.raises(CallRefused) as refusal:
        await call.answered(LIMIT_S)
    assert refusal.value.status == 404
    assert (await call.ended()).by == "remote"
    assert phone.calls == []


async def test_phones_call_each_other_and_either_side_hangs_up(make_phone: MakePhone) -> None:
    one = await make_phone("1001", register=True)
    two = await make_phone("1002", register=True, codecs=("alaw",))
    for caller, called, caller_ends in ((one, two, True), (two, one, False)):
        call = await caller.dial(called.user)
        other = await called.incoming(LIMIT_S)
        assert other.remote_user == caller.user
        await other.ring()
        await call.ringing(LIMIT_S)
        await other.answer()
        await call.answered(LIMIT_S)
        await call.play(tone(0.4))
        await hears(other)
        await other.play(tone(0.4))
        await hears(call)
        first, second = (call, other) if caller_ends else (other, call)
        await first.hangup()
        assert (await second.ended(LIMIT_S)).by == "remote"
        assert first.end is not None
        assert first.end.by == "local"


async def test_busy_phone_refuses_the_caller(make_phone: MakePhone) -> None:
    called = await make_phone("1003", register=True)
    phone = await make_phone()
    call = await phone.dial("1003")
    await (await called.incoming(LIMIT_S)).reject(486)
    with pytest.raises(CallRefused) as refusal:
        await call.answered(LIMIT_S)
    assert refusal.value.status == 486


async def test_cancel_stops_the_other_phone_ringing(make_phone: MakePhone) -> None:
    called = await make_phone("1003", register=True)
    phone = await make_phone()
    call = await phone.dial("1003")
    other = await called.incoming(LIMIT_S)
    await other.ring()
    await call.ringing(LIMIT_S)
    await call.hangup()
    assert call.end is not None
    assert (call.end.by, call.end.status) == ("local", 487)
    assert (await other.ended(LIMIT_S)).status == 487


async def test_hold_stops_media_and_unhold_brings_it_back(asterisk: AsteriskInstance, make_phone: MakePhone) -> None:
    called = await make_phone("1003", register=True)
    phone = await make_phone("1001")
    call = await phone.dial("1003")
    other = await called.incoming(LIMIT_S)
    await other.answer()
    await call.answered(LIMIT_S)
    await until(lambda: len(call.sent) > 5)
    await call.hold()
    sent, held_at = len(call.sent), time.monotonic()
    await hears(other, after=held_at)  # Asterisk plays its hold music to the other side
    assert len(call.sent) == sent
    await call.unhold()
    back_at = time.monotonic()
    assert await call.play(tone(0.4, hz=1900))
    await until(lambda: first_loud(other.received, after=back_at) is not None)
    assert len(call.sent) > sent


async def test_digits_reach_asterisk_and_the_other_phone(asterisk: AsteriskInstance, make_phone: MakePhone) -> None:
    called = await make_phone("1004", register=True)
    phone = await make_phone()
    call = await phone.dial("1004")
    other = await called.incoming(LIMIT_S)
    await other.answer()
    await call.answered(LIMIT_S)
    assert await call.send_dtmf("159*0")  # not "#": Dial(..tT) takes it for a transfer
    await until(lambda: other.digits == "159*0")
    await call.send_dtmf("7", method="info")
    await until(lambda: other.digits == "159*07")


async def test_blind_transfer_connects_the_far_end_and_ends_our_leg(
    asterisk: AsteriskInstance, make_phone: MakePhone
) -> None:
    agent = await make_phone("1001", register=True)
    caller = await make_phone()
    call = await caller.dial("1001")
    answered = await agent.incoming(LIMIT_S)
    await answered.answer()
    await call.answered(LIMIT_S)
    # Asterisk refuses (400) to transfer who is not in a bridge yet.
    before = time.monotonic()
    assert await call.play(tone(0.3))
    await hears(answered, after=before)
    assert await answered.refer("600") == 200
    assert (await answered.ended(LIMIT_S)).status == 200
    after = time.monotonic()
    assert await call.play(tone(0.5))
    await hears(call, after=after)  # 600 is the echo
    assert call.state is CallState.ANSWERED


async def test_blind_transfer_to_a_wrong_extension_fails_and_the_call_goes_on(make_phone: MakePhone) -> None:
    agent = await make_phone("1001", register=True)
    caller = await make_phone()
    call = await caller.dial("1001")
    answered = await agent.incoming(LIMIT_S)
    await answered.answer()
    await call.answered(LIMIT_S)
    assert await answered.refer("4711") >= 400
    after = time.monotonic()
    assert await call.play(tone(0.5))
    await hears(answered, after=after)
    assert answered.state is CallState.ANSWERED


async def test_attended_transfer_connects_the_two_far_ends(make_phone: MakePhone) -> None:
    agent = await make_phone("1001", register=True)
    human_agent = await make_phone("1002", register=True)
    caller = await make_phone()
    call = await caller.dial("1001")
    first = await agent.incoming(LIMIT_S)
    await first.answer()
    await call.answered(LIMIT_S)
    await first.hold()
    second = await agent.dial("1002")
    third = await human_agent.incoming(LIMIT_S)
    await third.answer()
    await second.answered(LIMIT_S)
    await talk_until_heard(second, third)
    await talk_until_heard(third, second)
    assert await first.refer_attended(second) == 200
    await first.ended(LIMIT_S)
    await second.ended(LIMIT_S)
    await talk_until_heard(call, third)
    await talk_until_heard(third, call)


async def test_phone_hung_up_by_asterisk(asterisk: AsteriskInstance, make_phone: MakePhone) -> None:
    phone = await make_phone()
    call = await phone.dial("600")
    await call.answered(LIMIT_S)
    await asterisk.cli("channel request hangup all")
    end = await call.ended(LIMIT_S)
    assert (end.by, end.status) == ("remote", 200)


async def test_closed_phones_leave_no_channel(asterisk: AsteriskInstance, make_phone: MakePhone) -> None:
    phone = await make_phone()
    for moment in range(3):
        call = await phone.dial("600")
        if moment:
            await call.answered(LIMIT_S)
    await phone.close()
    assert phone.calls == []
    async with asyncio.timeout(LIMIT_S):
        while "0 active channels" not in await asterisk.cli("core show channels"):
            await asyncio.sleep(0.05)
