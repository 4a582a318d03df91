"""Cutting what arrives: the pieces are the whole, in each at most one frame begins, and whole texts are told apart."""

import random
import struct

import pytest
from websockets.frames import OP_BINARY, OP_CONT, OP_PING, OP_TEXT

from ariagent.realtime.frames import FrameCutter
from lab.hostilemodel import frame

SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, 70_000)


def pieces(cutter: FrameCutter, data: bytes) -> list[tuple[bytes, int, bytes | None]]:
    """How one read is cut: each piece, how many frames begin in it, and the text of a whole message."""
    found, at = [], 0
    while at < len(data):
        end, begun, text = cutter.cut(data, at)
        assert end > at
        assert begun in (0, 1)
        found.append((data[at:end], begun, data[text:end] if text else None))
        at = end
    return found


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("opcode", [OP_TEXT, OP_BINARY])
def test_a_frame_alone_is_not_cut(size: int, opcode: int) -> None:
    whole = frame(bytes(size), opcode)
    assert [found[:2] for found in pieces(FrameCutter(), whole)] == [(whole, 1)]


def test_a_piece_ends_where_a_frame_does() -> None:
    frames = [frame(bytes(size)) for size in SIZES]
    assert [found[:2] for found in pieces(FrameCutter(), b"".join(frames))] == [(each, 1) for each in frames]


@pytest.mark.parametrize("size", [2, 125, 126, 127, 65_535])
def test_whole_texts_are_found_one_by_one(size: int) -> None:
    texts = [bytes([n]) * size for n in range(5)]
    assert [text for *_, text in pieces(FrameCutter(), b"".join(map(frame, texts)))] == texts


@pytest.mark.parametrize("size", [65_536, 70_000])
def test_long_texts_are_left_to_the_library(size: int) -> None:
    assert [text for *_, text in pieces(FrameCutter(), frame(bytes(size)))] == [None]


@pytest.mark.parametrize(
    "other",
    [
        frame(b"binary", OP_BINARY),
        frame(b"ping", OP_PING),
        frame(b"the first part", fin=False),
        frame(b"alone", OP_CONT),
        bytes([0x81 | 0x40, 4]) + b"rsv1",
        bytes([0x81, 0x80 | 3]) + b"mask" + b"abc",
    ],
    ids=["binary", "ping", "fragment", "continuation", "reserved", "masked"],
)
def test_anything_else_is_left_to_the_library(other: bytes) -> None:
    assert [text for *_, text in pieces(FrameCutter(), other)] == [None]


def test_within_a_fragmented_message_all_is_left_to_the_library() -> None:
    """A text there is against the protocol, which the library enforces."""
    stream = (
        frame(b"one, ", fin=False),
        frame(b"", OP_PING),
        frame(b"a text between"),
        frame(b"two, ", OP_CONT, fin=False),
        frame(b"end", OP_CONT),
        frame(b"a text behind"),
    )
    assert [text for *_, text in pieces(FrameCutter(), b"".join(stream))] == [None] * 5 + [b"a text behind"]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_reads_may_end_anywhere(step: int) -> None:
    frames = [frame(bytes(size)) for size in (0, 5, 126, 300, 65_536, 0, 0)]
    stream = b"".join(frames)
    cutter = FrameCutter()
    found = [piece for at in range(0, len(stream), step) for piece in pieces(cutter, stream[at : at + step])]
    assert b"".join(piece for piece, *_ in found) == stream
    assert sum(begun for _, begun, _ in found) == len(frames)
    # The rest of a text that the library has begun to read is the library's.
    texts = [text for *_, text in found if text is not None]
    assert all(text in (b"", bytes(5), bytes(126), bytes(300)) for text in texts)


def test_masked_frames_are_followed_too() -> None:
    masked = struct.pack("!BB", 0x81, 0x80 | 3) + b"mask" + b"abc"
    assert pieces(FrameCutter(), masked * 3) == [(masked, 1, None)] * 3


def test_nothing_that_arrives_is_lost_or_loops() -> None:
    rng = random.Random(1)
    for _ in range(200):
        cutter, data = FrameCutter(), rng.randbytes(rng.randrange(2_000))
        assert b"".join(piece for piece, *_ in pieces(cutter, data)) == data
