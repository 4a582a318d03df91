"""Frames: serialize and parse side by side, cut at every position, and every way to be malformed."""

from contextlib import suppress
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.audio.format import SLIN8, SLIN16, SLIN24, AudioFormat
from ariagent.audiosocket.frames import (
    FORMATS,
    OPENING_BYTES,
    Decoder,
    Frame,
    FrameError,
    Kind,
    Opening,
    audio_frame,
    audio_header,
    dtmf_frame,
    encode,
    error_frame,
    format_of,
    hangup_frame,
    kind_for,
    uuid_frame,
)

CALL = UUID("7d0f9a52-8f0b-4c53-9d3e-0123456789ab")

FRAMES = [
    (uuid_frame(CALL), Frame(Kind.UUID, CALL.bytes)),
    (audio_frame(Kind.SLIN8, b"\1\2" * 160), Frame(Kind.SLIN8, b"\1\2" * 160)),
    (dtmf_frame("#"), Frame(Kind.DTMF, b"#")),
    (audio_frame(Kind.SLIN24, b"\x10\x00" * 9), Frame(Kind.SLIN24, b"\x10\x00" * 9)),
    (error_frame(), Frame(Kind.ERROR)),
    (error_frame(b"\x01"), Frame(Kind.ERROR, b"\x01")),
    (hangup_frame(), Frame(Kind.HANGUP)),
]
STREAM = b"".join(data for data, _ in FRAMES)


def decode(*pieces: bytes) -> list[Frame]:
    decoder = Decoder()
    return [frame for piece in pieces for frame in decoder.feed(piece)]


@pytest.mark.parametrize(("data", "frame"), FRAMES)
def test_round_trip(data: bytes, frame: Frame) -> None:
    assert decode(data) == [frame]
    assert encode(frame) == data


@pytest.mark.parametrize("kind", FORMATS)
def test_every_audio_kind_round_trips_at_its_rate(kind: Kind) -> None:
    fmt = format_of(kind)
    assert kind_for(fmt) is kind
    payload = fmt.silence(20)
    assert len(payload) == fmt.frame_bytes
    assert decode(audio_frame(kind, payload)) == [Frame(kind, payload)]
    assert audio_frame(kind, payload) == audio_header(kind, len(payload)) + payload


def test_bytes_on_the_wire() -> None:
    assert uuid_frame(CALL).hex() == "0100107d0f9a528f0b4c539d3e0123456789ab"
    assert dtmf_frame("5").hex() == "03000135"
    assert hangup_frame().hex() == "000000"
    assert audio_frame(Kind.SLIN8, bytes(320))[:3].hex() == "100140"
    assert audio_frame(Kind.SLIN16, bytes(640))[:3].hex() == "120280"
    assert audio_frame(Kind.SLIN24, bytes(960))[:3].hex() == "1303c0"
    assert error_frame().hex() == "ff0000"


def test_values_of_frames() -> None:
    uuid, digit = decode(uuid_frame(CALL), dtmf_frame("*"))
    assert uuid.uuid == CALL
    assert digit.digit == "*"
    assert str(digit) == "DTMF(1)"


def test_stream_cut_in_two_at_every_position() -> None:
    for cut in range(len(STREAM) + 1):
        assert decode(STREAM[:cut], STREAM[cut:]) == [frame for _, frame in FRAMES]


def test_stream_cut_into_single_bytes() -> None:
    assert decode(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == [frame for _, frame in FRAMES]


def test_a_whole_stream_at_once_and_as_memoryview() -> None:
    assert decode(STREAM) == [frame for _, frame in FRAMES]
    assert Decoder().feed(memoryview(STREAM)) == [frame for _, frame in FRAMES]
    decoder = Decoder()
    assert decoder.feed(memoryview(STREAM)[:7]) + decoder.feed(memoryview(STREAM)[7:]) == decode(STREAM)


def test_a_frame_is_out_as_soon_as_its_last_byte_is_in() -> None:
    decoder = Decoder()
    assert decoder.feed(uuid_frame(CALL)[:-1]) == []
    assert decoder.buffered_bytes == 18
    assert decoder.feed(uuid_frame(CALL)[-1:]) == [Frame(Kind.UUID, CALL.bytes)]
    assert decoder.buffered_bytes == 0


valid_frames = st.one_of(
    st.builds(lambda uuid: Frame(Kind.UUID, uuid.bytes), st.uuids()),
    st.builds(lambda digit: Frame(Kind.DTMF, digit.encode()), st.sampled_from("0123456789*#ABCD")),
    st.builds(
        lambda kind, data: Frame(kind, data * 2), st.sampled_from(list(FORMATS)), st.binary(min_size=1, max_size=400)
    ),
    st.builds(lambda data: Frame(Kind.ERROR, data), st.binary(max_size=20)),
    st.just(Frame(Kind.HANGUP)),
)


@given(frames=st.lists(valid_frames, max_size=8), cuts=st.lists(st.integers(1, 900), max_size=20))
def test_any_frames_in_any_pieces(frames: list[Frame], cuts: list[int]) -> None:
    stream = b"".join(encode(frame) for frame in frames)
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(stream[at : at + cut])
        at += cut
    assert decode(*pieces, stream[at:]) == frames


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_any_bytes_give_frames_or_a_frame_error(pieces: list[bytes]) -> None:
    decoder = Decoder()
    frames = []
    with suppress(FrameError):
        for piece in pieces:
            frames += decoder.feed(piece)
    assert b"".join(pieces).startswith(b"".join(encode(frame) for frame in frames))


MALFORMED = {
    "unknown kind": ("020000", 0x02, 0),
    "text": ("474554", 0x47, 0x4554),
    "short uuid": ("01000f", 0x01, 15),
    "long uuid": ("010011", 0x01, 17),
    "no digit": ("030000", 0x03, 0),
    "two digits": ("030002", 0x03, 2),
    "digit that is not ASCII": ("030001ff", 0x03, 1),
    "digit that is a control character": ("03000100", 0x03, 1),
    "half a sample": ("100141", 0x10, 321),
    "no sample": ("100000", 0x10, 0),
    "no sample of another rate": ("130000", 0x13, 0),
    "over-long audio": ("138002", 0x13, 32_770),
    "over-long error": ("ff8001", 0xFF, 32_769),
    "hangup with payload": ("000001", 0x00, 1),
}


@pytest.mark.parametrize(("data", "kind", "length"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_frames_are_named_by_kind_and_length(data: str, kind: int, length: int) -> None:
    decoder = Decoder()
    with pytest.raises(FrameError, match=f"kind 0x{kind:02x}, length {length}$") as caught:
        decoder.feed(bytes.fromhex(data))
    assert (caught.value.kind, caught.value.length) == (kind, length)
    assert caught.value.remedy


def test_a_fault_is_seen_in_the_header_before_the_payload_came() -> None:
    decoder = Decoder()
    assert decoder.feed(b"\x10\x01") == []
    with pytest.raises(FrameError):
        decoder.feed(b"\x41")


def test_frames_before_a_fault_are_not_lost() -> None:
    for cut in range(len(dtmf_frame("1")) + 3):
        stream = dtmf_frame("1") + b"\x99\x00\x00"
        decoder = Decoder()
        with pytest.raises(FrameError) as caught:  # noqa: PT012  (which of the two raises depends on the cut)
            before = decoder.feed(stream[:cut])
            decoder.feed(stream[cut:])
        assert before + caught.value.frames == [Frame(Kind.DTMF, b"1")]


def test_a_broken_decoder_stays_broken() -> None:
    decoder = Decoder()
    with pytest.raises(FrameError):
        decoder.feed(dtmf_frame("1") + b"\x99\x00\x00")
    with pytest.raises(FrameError) as caught:
        decoder.feed(dtmf_frame("1"))
    assert caught.value.frames == []


@given(
    frames=st.lists(valid_frames, max_size=30),
    cuts=st.lists(st.integers(0, 900), max_size=20),
    most=st.integers(1, 9),
    most_bytes=st.integers(1, 2000),
)
def test_some_frames_at_a_time_are_all_frames_in_the_end(
    frames: list[Frame], cuts: list[int], most: int, most_bytes: int
) -> None:
    stream = b"".join(encode(frame) for frame in frames)
    decoder, found = Decoder(), []
    for piece in [stream[a:b] for a, b in pairwise([0, *sorted(cuts), len(stream)])]:
        found += (some := decoder.feed(piece, most=most, most_bytes=most_bytes))
        assert len(some) <= most
        # The last one may reach over the limit.
        assert len(b"".join(encode(frame) for frame in some[:-1])) < most_bytes
    while decoder.more:
        found += decoder.feed(most=most, most_bytes=most_bytes)
    assert found == frames
    assert decoder.buffered_bytes == 0


def test_a_fault_is_found_in_its_turn() -> None:
    decoder = Decoder()
    assert decoder.feed(dtmf_frame("1") * 2 + b"\x99\x00\x00", most=1) == [Frame(Kind.DTMF, b"1")]
    assert decoder.more
    assert decoder.feed(most=1) == [Frame(Kind.DTMF, b"1")]
    with pytest.raises(FrameError) as caught:
        decoder.feed(most=1)
    assert caught.value.frames == []


def test_an_opening_cut_at_every_position() -> None:
    opening = uuid_frame(CALL)
    assert len(opening) == OPENING_BYTES
    for rest in (b"", b"\x10", b"anything"):
        for cut in range(len(opening) + len(rest) + 1):
            stream, reader = opening + rest, Opening()
            found = reader.feed(stream[:cut])
            if cut < OPENING_BYTES:
                assert found is None
                found = reader.feed(stream[cut:])
                assert found == (CALL, rest)
            else:
                assert found == (CALL, stream[OPENING_BYTES:cut])


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x10", 0x10),
        (b"\x10\x00\x00" * 85_000, 0x10),
        (b"G", 0x47),
        (b"\x01\x01", 0x01),
        (b"\x01\x00\x11", 0x01),
        (b"\x00\x00\x00", 0x00),
        (b"\x16\x03\x01\x02\x00\x01", 0x16),  # a TLS client
    ],
)
def test_an_opening_is_refused_at_its_first_wrong_byte(data: bytes, kind: int) -> None:
    with pytest.raises(FrameError) as caught:
        Opening().feed(data)
    assert (caught.value.kind, caught.value.frames) == (kind, [])


def test_the_limit_can_be_chosen() -> None:
    with pytest.raises(FrameError):
        Decoder(max_payload_bytes=320).feed(audio_frame(Kind.SLIN8, bytes(322)))
    assert len(Decoder(max_payload_bytes=320).feed(audio_frame(Kind.SLIN8, bytes(320)))) == 1


@pytest.mark.parametrize(("kind", "payload"), [(Kind.SLIN8, b""), (Kind.SLIN8, b"123"), (Kind.DTMF, b"12")])
def test_audio_that_would_end_the_channel_is_not_made(kind: Kind, payload: bytes) -> None:
    with pytest.raises(ValueError, match="cannot carry"):
        audio_frame(kind, payload)


@pytest.mark.parametrize("digit", ["", "12"])
def test_a_digit_is_one_character(digit: str) -> None:
    with pytest.raises(ValueError, match="one digit"):
        dtmf_frame(digit)


def test_kinds_and_formats() -> None:
    assert (kind_for(SLIN8), kind_for(SLIN16), kind_for(SLIN24)) == (0x10, 0x12, 0x13)
    with pytest.raises(ValueError, match="does not carry"):
        kind_for(AudioFormat(22_050))
    with pytest.raises(ValueError, match="not audio"):
        format_of(Kind.DTMF)
