"""Playout: whole frames, exact accounts, what a barge-in finds."""

import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ariagent.audio.format import SLIN8, SLIN24
from ariagent.audio.playout import (
    LONGEST_WAIT_MS,
    MOST_ITEMS,
    REMEMBERED_ITEMS,
    Cleared,
    ItemEnded,
    ItemStarted,
    Playout,
)
from tests.examples import examples

FRAME = SLIN8.frame_bytes  # 320


def audio(n_bytes: int, seed: int = 1) -> bytes:
    """Bytes that tell their place, none of them zero."""
    return bytes((seed + i) % 255 + 1 for i in range(n_bytes))


def drain(playout: Playout) -> list[bytes]:
    frames = []
    while (frame := playout.next_frame()) is not None:
        frames.append(frame)
    return frames


@pytest.fixture
def playout() -> Playout:
    return Playout(SLIN8)


def test_nothing_to_say(playout: Playout) -> None:
    assert playout.next_frame() is None
    assert playout.idle
    assert not playout.ready
    assert playout.clear() == []
    assert playout.underruns == 0


def test_audio_comes_out_in_order_however_it_was_pushed(playout: Playout) -> None:
    whole = audio(10 * FRAME)
    for start, end in [(0, 1), (1, 700), (700, 702), (702, 703), (703, 3000), (3000, len(whole))]:
        playout.push("a", whole[start:end])
    assert b"".join(drain(playout)) == whole
    assert playout.sent_ms("a") == playout.pushed_ms("a") == 200


def test_a_part_of_a_frame_waits_while_more_may_come(playout: Playout) -> None:
    playout.push("a", audio(FRAME + 100))
    assert playout.ready
    assert playout.next_frame() == audio(FRAME + 100)[:FRAME]
    assert not playout.ready
    assert playout.next_frame() is None
    playout.push("a", audio(220))
    assert playout.next_frame() == audio(FRAME + 100)[FRAME:] + audio(220)


def test_the_end_of_a_finished_item_is_padded_and_not_counted(playout: Playout) -> None:
    playout.push("a", audio(100))
    playout.finish("a")
    assert playout.ready
    assert playout.next_frame() == audio(100) + bytes(220)
    assert playout.sent_ms("a") == 6.25
    assert playout.idle


def test_the_end_of_an_item_is_joined_with_the_next(playout: Playout) -> None:
    playout.push("a", audio(100))
    playout.finish("a")
    playout.push("b", audio(500, seed=7))
    assert playout.next_frame() == audio(100) + audio(500, seed=7)[:220]
    assert playout.take_events() == [ItemStarted("a"), ItemEnded("a", 6.25), ItemStarted("b")]


def test_items_keep_their_order_when_pushes_interleave(playout: Playout) -> None:
    playout.push("a", audio(FRAME, seed=1))
    playout.push("b", audio(FRAME, seed=100))
    playout.push("a", audio(FRAME, seed=50))
    assert drain(playout) == [audio(FRAME, seed=1), audio(FRAME, seed=50), audio(FRAME, seed=100)]


def test_a_lost_finish_does_not_block_the_next_item(playout: Playout) -> None:
    playout.push("a", audio(FRAME + 20))
    playout.push("b", audio(300))
    assert len(drain(playout)) == 2
    assert [event.item_id for event in playout.take_events() if isinstance(event, ItemEnded)] == ["a"]
    playout.push("a", audio(10))
    assert playout.muted_bytes == 10


def test_events_tell_the_first_frame_and_the_end(playout: Playout) -> None:
    playout.push("a", audio(2 * FRAME))
    assert playout.take_events() == []
    playout.next_frame()
    assert playout.take_events() == [ItemStarted("a")]
    playout.next_frame()
    assert playout.take_events() == []  # more may come
    playout.finish("a")
    assert playout.take_events() == [ItemEnded("a", 40)]
    assert playout.take_events() == []


def test_clear_tells_what_was_heard_of_everything_unsaid(playout: Playout) -> None:
    playout.push("over", audio(FRAME))
    playout.finish("over")
    playout.push("cut", audio(5 * FRAME))
    playout.finish("cut")
    playout.push("unheard", audio(FRAME))
    for _ in range(3):
        playout.next_frame()
    assert playout.clear() == [Cleared("cut", 40, 100, True), Cleared("unheard", 0, 20, False)]
    assert playout.idle
    assert playout.pending_ms == 0
    assert playout.next_frame() is None
    assert playout.clear() == []


def test_what_comes_late_for_a_cleared_item_is_muted(playout: Playout) -> None:
    playout.push("a", audio(FRAME))
    playout.clear()
    playout.push("a", audio(2 * FRAME))
    playout.finish("a")
    playout.push("b", audio(FRAME))
    assert drain(playout) == [audio(FRAME)]
    assert playout.muted_bytes == 2 * FRAME
    assert playout.pushed_ms("a") == 20


def test_an_item_that_is_dry_but_unfinished_can_be_cleared(playout: Playout) -> None:
    playout.push("a", audio(FRAME))
    playout.next_frame()
    assert not playout.idle
    assert playout.clear() == [Cleared("a", 20, 20, False)]
    playout.push("a", audio(FRAME))
    assert playout.next_frame() is None


def test_a_gap_inside_an_item_is_one_underrun(playout: Playout) -> None:
    playout.push("a", audio(FRAME))
    playout.next_frame()
    for _ in range(5):
        assert playout.next_frame() is None
    playout.push("a", audio(FRAME))
    playout.next_frame()
    playout.next_frame()
    playout.finish("a")
    assert playout.underruns == 1


def test_a_finish_after_the_last_audio_is_no_underrun(playout: Playout) -> None:
    playout.push("a", audio(FRAME))
    drain(playout)
    playout.finish("a")
    playout.push("b", audio(FRAME))
    drain(playout)
    playout.finish("b")
    assert playout.underruns == 0


def test_waiting_for_the_first_frame_is_no_underrun(playout: Playout) -> None:
    playout.push("a", audio(100))
    assert playout.next_frame() is None
    playout.push("a", audio(FRAME))
    assert playout.next_frame() is not None
    assert playout.underruns == 0


def test_an_item_without_audio_leaves_no_trace(playout: Playout) -> None:
    playout.push("a", b"")
    playout.finish("a")
    playout.finish("never heard of")
    assert playout.idle
    assert playout.take_events() == []


def test_half_a_sample_at_the_end_of_an_item_does_not_shift_the_next(playout: Playout) -> None:
    playout.push("a", audio(FRAME + 1))
    playout.finish("a")
    playout.push("b", audio(FRAME, seed=9))
    playout.finish("b")
    assert drain(playout) == [audio(FRAME), audio(FRAME, seed=9)]


def test_accounts_of_old_items_are_kept_for_a_while_only(playout: Playout) -> None:
    for number in range(REMEMBERED_ITEMS + 10):
        playout.push(str(number), audio(FRAME))
        playout.finish(str(number))
        playout.next_frame()
    assert playout.sent_ms("9") == 0
    assert playout.sent_ms("10") == 20
    assert playout.sent_ms(str(REMEMBERED_ITEMS + 9)) == 20


def test_accounts_of_what_is_still_queued_are_never_dropped(playout: Playout) -> None:
    for number in range(3 * REMEMBERED_ITEMS):
        playout.push(str(number), audio(FRAME))
        playout.finish(str(number))
    assert len(drain(playout)) == 3 * REMEMBERED_ITEMS
    assert playout.sent_ms("0") == 0
    assert playout.sent_ms(str(3 * REMEMBERED_ITEMS - 1)) == 20


def test_five_minutes_at_once_cost_no_more_per_frame_than_five_seconds() -> None:
    def cost_s(seconds: int) -> float:
        playout = Playout(SLIN24)
        for _ in range(seconds * 5):
            playout.push("a", bytes(SLIN24.n_bytes(200)))
        playout.finish("a")
        start = time.process_time()
        assert len(drain(playout)) == seconds * 50
        return (time.process_time() - start) / (seconds * 50)

    # Quadratic slicing would be 60 times dearer; a busy machine is not.
    assert cost_s(300) < 12 * max(cost_s(5), 1e-6)


class Accounts(RuleBasedStateMachine):
    """Whatever happens in whatever order: pushed = sent + cleared + pending, and the audio is the audio pushed."""

    IDS = st.sampled_from(["a", "b", "c", "d"])

    def __init__(self) -> None:
        super().__init__()
        self.playout = Playout(SLIN8)
        self.generation = dict.fromkeys("abcd", 0)
        self.pushed = 0
        self.sent = 0
        self.cleared = 0
        self.ended: set[str] = set()

    def key(self, item_id: str) -> str:
        return f"{item_id}{self.generation[item_id]}"

    @rule(item_id=IDS, n_bytes=st.integers(0, 900))
    def push(self, item_id: str, n_bytes: int) -> None:
        before, muted = self.playout.pushed_ms(self.key(item_id)), self.playout.muted_bytes
        self.playout.push(self.key(item_id), audio(n_bytes))
        gained = round((self.playout.pushed_ms(self.key(item_id)) - before) * SLIN8.bytes_per_ms)
        assert self.playout.muted_bytes - muted == n_bytes or abs(gained - n_bytes) <= 1
        self.pushed += gained

    @rule(item_id=IDS)
    def finish(self, item_id: str) -> None:
        self.playout.finish(self.key(item_id))
        self.generation[item_id] += 1

    @rule(times=st.integers(1, 4))
    def play(self, times: int) -> None:
        for _ in range(times):
            ready, pending = self.playout.ready, self.playout.pending_ms
            frame = self.playout.next_frame()
            assert (frame is not None) == ready
            if frame is not None:
                assert len(frame) == FRAME
                gone = round((pending - self.playout.pending_ms) * SLIN8.bytes_per_ms)
                assert frame.rstrip(b"\0") == frame[:gone]
                self.sent += gone
            else:
                assert self.playout.pending_ms == pending

    @rule()
    def clear(self) -> None:
        pending = self.playout.pending_ms
        cleared = self.playout.clear()
        unsaid = sum(item.pushed_ms - item.sent_ms for item in cleared)
        assert unsaid == pending
        self.cleared += round(unsaid * SLIN8.bytes_per_ms)
        for item in cleared:
            assert item.sent_ms == self.playout.sent_ms(item.item_id)

    @rule()
    def take_events(self) -> None:
        for event in self.playout.take_events():
            assert event.item_id not in self.ended
            if isinstance(event, ItemEnded):
                self.ended.add(event.item_id)
                assert event.sent_ms == self.playout.pushed_ms(event.item_id)

    @invariant()
    def accounts_agree(self) -> None:
        assert self.pushed == self.sent + self.cleared + round(self.playout.pending_ms * SLIN8.bytes_per_ms)
        if self.playout.pending_ms >= 20:
            assert self.playout.ready
        if self.playout.ready:
            assert not self.playout.idle


Accounts.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=40, deadline=None)
TestAccounts = Accounts.TestCase


def test_what_waits_is_too_much_by_its_duration(playout: Playout) -> None:
    playout.push("a", bytes(int(SLIN8.frame_bytes * LONGEST_WAIT_MS / 20)))
    assert not playout.overfull
    playout.push("a", bytes(2))
    assert playout.overfull
    playout.clear()
    assert not playout.overfull


def test_what_waits_is_too_much_by_its_items(playout: Playout) -> None:
    for number in range(MOST_ITEMS):
        playout.push(f"i{number}", bytes(2))
    assert not playout.overfull
    playout.push("one more", bytes(2))
    assert playout.overfull


def test_many_tiny_pieces_are_joined(playout: Playout) -> None:
    for number in range(1_000):
        playout.push("a", bytes([number % 251, 0]))
    (item,) = playout._queue
    assert len(item.chunks) <= 2
    expected = b"".join(bytes([number % 251, 0]) for number in range(1_000))
    assert b"".join(playout.next_frame() or b"" for _ in range(6)) == expected[: 6 * SLIN8.frame_bytes]
