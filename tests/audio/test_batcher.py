"""Quiet audio between turns goes in larger pieces; nothing that matters waits."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ariagent.audio.batcher import BATCH_MS, Batcher
from ariagent.audio.format import SLIN24

QUIET = np.full(480, 100, "<i2").tobytes()
LOUD = np.full(480, -3000, "<i2").tobytes()


def test_in_a_turn_every_frame_goes_at_once() -> None:
    batcher = Batcher(SLIN24)
    assert [batcher.add(frame) for frame in (QUIET, LOUD, QUIET)] == [QUIET, LOUD, QUIET]


def test_between_turns_eight_quiet_frames_go_together() -> None:
    batcher = Batcher(SLIN24)
    batcher.in_turn = False
    assert [len(batcher.add(QUIET)) for _ in range(17)] == [*[0] * 7, 7680, *[0] * 7, 7680, 0]


def test_a_loud_frame_goes_at_once_with_what_was_held_before_it() -> None:
    batcher = Batcher(SLIN24)
    batcher.in_turn = False
    assert batcher.add(QUIET) == b""
    assert batcher.add(LOUD) == QUIET + LOUD
    assert batcher.add(LOUD) == LOUD


def test_loud_is_from_256_on() -> None:
    for level, held in ((255, True), (-256, True), (256, False), (-257, False)):
        batcher = Batcher(SLIN24)
        batcher.in_turn = False
        frame = np.zeros(480, "<i2")
        frame[200] = level
        assert (batcher.add(frame.tobytes()) == b"") is held


def test_a_turn_that_begins_sends_what_was_held_with_its_first_frame() -> None:
    batcher = Batcher(SLIN24)
    batcher.in_turn = False
    batcher.add(QUIET)
    batcher.in_turn = True
    assert batcher.add(QUIET) == QUIET + QUIET


@given(st.lists(st.tuples(st.booleans(), st.integers(-32768, 32767), st.integers(1, 960))))
def test_nothing_is_lost_or_reordered(frames: list[tuple[bool, int, int]]) -> None:
    batcher = Batcher(SLIN24)
    given_, sent = b"", b""
    for in_turn, level, samples in frames:
        batcher.in_turn = in_turn
        frame = np.full(samples, level, "<i2").tobytes()
        given_ += frame
        sent += batcher.add(frame)
        assert given_.startswith(sent)
        assert len(given_) - len(sent) < SLIN24.n_bytes(BATCH_MS - 20) + 2 * 960
    batcher.in_turn = True
    assert sent + batcher.add(QUIET) == given_ + QUIET
