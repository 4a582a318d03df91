"""Cutting what arrives: the parts are the whole, and few frames begin in each."""

import random
import struct

import pytest

from ariagent.realtime.frames import FrameCutter
from lab.hostilemodel import frame

SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, 70_000)


def parts(cutter: FrameCutter, data: bytes, most: int) -> list[tuple[bytes, int]]:
    """How one read is cut, and how many frames begin in each part."""
    found, at = [], 0
    while at < len(data):
        end, begun = cutter.cut(data, at, most)
        assert end > at
        found.append((data[at:end], begun))
        at = end
    return found


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_alone_is_not_cut(size: int) -> None:
    whole = frame(bytes(size))
    assert parts(FrameCutter(), whole, 1) == [(whole, 1)]


def test_at_most_so_many_begin_in_a_part() -> None:
    found = parts(FrameCutter(), frame(b"") * 45, 20)
    assert [begun for _, begun in found] == [20, 20, 5]


def test_a_part_ends_where_a_frame_does() -> None:
    frames = [frame(bytes(size)) for size in SIZES]
    assert parts(FrameCutter(), b"".join(frames), 1) == [(each, 1) for each in frames]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_reads_may_end_anywhere(step: int) -> None:
    frames = [frame(bytes(size)) for size in (0, 5, 126, 300, 65_536, 0, 0)]
    stream = b"".join(frames)
    cutter = FrameCutter()
    found = [part for at in range(0, len(stream), step) for part in parts(cutter, stream[at : at + step], 2)]
    assert b"".join(part for part, _ in found) == stream
    assert sum(begun for _, begun in found) == len(frames)
    assert max(begun for _, begun in found) <= 2


def test_masked_frames_are_followed_too() -> None:
    masked = struct.pack("!BB", 0x81, 0x80 | 3) + b"mask" + b"abc"
    assert parts(FrameCutter(), masked * 3, 1) == [(masked, 1)] * 3


def test_nothing_that_arrives_is_lost_or_loops() -> None:
    rng = random.Random(1)
    for _ in range(200):
        cutter, data = FrameCutter(), rng.randbytes(rng.randrange(2_000))
        assert b"".join(part for part, _ in parts(cutter, data, 20)) == data
