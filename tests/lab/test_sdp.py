"""Session descriptions: offer and answer for one audio stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.errors import ConfigurationError
from lab.sdp import Direction, Sdp, make_answer, make_offer
from lab.sip import SipError

OFFER = (
    b"v=0\r\no=- 42 7 IN IP4 192.0.2.1\r\ns=x\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 111 9 8 0 96\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:8 PCMA/8000/1\r\n"
    b"a=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-16\r\na=ptime:30\r\n"
    b"m=video 4002 RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\na=sendonly\r\n"
)


def test_offer_is_read() -> None:
    offer = Sdp.parse(OFFER)
    assert (offer.address, offer.port, offer.ptime_ms, offer.direction) == ("192.0.2.1", 4000, 30, "sendrecv")
    assert offer.codecs == ["g722", "alaw", "ulaw"]
    assert (offer.event_payload, offer.payload_of("alaw")) == (96, 8)
    assert (offer.session_id, offer.version) == (42, 7)
    assert offer.rejected == ((1, "m=video 4002 RTP/AVP 99"),)


def test_answer_takes_the_first_common_codec_under_the_offers_numbers_and_refuses_the_video() -> None:
    answer = make_answer(Sdp.parse(OFFER), "192.0.2.4", 5000, ("ulaw", "alaw"), "sendrecv")
    assert answer is not None
    text = answer.serialize()
    assert b"m=audio 5000 RTP/AVP 8 96\r\n" in text
    assert text.index(b"m=audio") < text.index(b"m=video 0 RTP/AVP 99")
    again = Sdp.parse(text)
    assert again.formats == ((8, "PCMA/8000"), (96, "telephone-event/8000"))


def test_no_common_codec_gives_no_answer() -> None:
    assert make_answer(make_offer("192.0.2.1", 4000, ("g722",)), "192.0.2.4", 5000, ("ulaw",), "sendrecv") is None


@pytest.mark.parametrize(
    ("offered", "wished", "agreed"),
    [
        ("sendrecv", "sendrecv", "sendrecv"),
        ("sendonly", "sendrecv", "recvonly"),
        ("recvonly", "sendrecv", "sendonly"),
        ("inactive", "sendrecv", "inactive"),
        ("sendrecv", "sendonly", "sendonly"),
        ("sendonly", "sendonly", "inactive"),
    ],
)
def test_direction_is_what_both_want(offered: Direction, wished: Direction, agreed: Direction) -> None:
    offer = make_offer("192.0.2.1", 4000, ("ulaw",), offered)
    answer = make_answer(offer, "192.0.2.4", 5000, ("ulaw",), wished)
    assert answer is not None
    assert answer.direction == agreed


def test_hold_in_either_form_wants_no_audio() -> None:
    assert make_offer("192.0.2.1", 4000, ("ulaw",)).takes_audio
    assert not make_offer("192.0.2.1", 4000, ("ulaw",), "sendonly").takes_audio
    assert not make_offer("0.0.0.0", 4000, ("ulaw",)).takes_audio
    assert not make_offer("192.0.2.1", 0, ("ulaw",)).takes_audio


def test_direction_of_the_session_holds_where_the_stream_has_none() -> None:
    assert Sdp.parse(OFFER.replace(b"t=0 0\r\n", b"t=0 0\r\na=inactive\r\n")).direction == "inactive"


@pytest.mark.parametrize("codecs", [("ulaw",), ("g722", "alaw", "ulaw")])
def test_offer_survives_a_round_trip(codecs: tuple[str, ...]) -> None:
    offer = make_offer("127.0.0.1", 4000, codecs)
    assert Sdp.parse(offer.serialize()) == offer


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"m=audio", b"m=text"),
        (b"m=audio 4000", b"m=audio many"),
        (b"c=IN IP4 192.0.2.1", b"b=AS:64"),
        (b"c=IN IP4 192.0.2.1", b"c=IN"),
        (b"a=rtpmap:111", b"a=rtpmap:x"),
        (b"a=ptime:30", b"a=ptime:soon"),
        (b"o=- 42 7", b"o=- a b"),
    ],
)
def test_malformed_description_is_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(SipError):
        Sdp.parse(OFFER.replace(old, new, 1))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_sip_error(data: bytes) -> None:
    for candidate in (data, OFFER[:120] + data):
        try:
            Sdp.parse(candidate)
        except SipError:
            continue


def test_unknown_codec_is_the_callers_mistake() -> None:
    with pytest.raises(ConfigurationError):
        make_offer("127.0.0.1", 4000, ("gsm",))
    with pytest.raises(ConfigurationError):
        make_offer("127.0.0.1", 4000, ())
