"""How the bench amid noise judges what a phone heard."""

import pytest

from lab.noisebench import Replies, stopped_after

TALK = [at / 50 for at in range(500)]
"""Loud frames of an agent who talks from 0 to 10 s."""


def test_a_stop_is_counted_from_the_notice_to_the_last_loud_frame() -> None:
    assert stopped_after([at for at in TALK if at <= 4.02], 4.0) == pytest.approx(20)


def test_a_moment_more_before_the_end_does_not_count() -> None:
    spoke = [at for at in TALK if at <= 4.02 or 4.7 < at < 5.0]
    assert stopped_after(spoke, 4.0) == pytest.approx(20)


def test_a_short_pause_is_no_stop() -> None:
    spoke = [at for at in TALK if at <= 4.02 or 4.2 < at < 5.0]
    assert stopped_after(spoke, 4.0) == pytest.approx(980)


def test_an_agent_who_goes_on_did_not_stop_in_time() -> None:
    assert stopped_after(TALK, 4.0) == pytest.approx(5980)


def test_one_who_was_just_pausing_stopped_at_once() -> None:
    assert stopped_after([at for at in TALK if at <= 3.9], 4.0) == 0


def test_one_who_was_silent_cannot_have_stopped() -> None:
    assert stopped_after([at for at in TALK if at <= 2.0], 4.0) == float("inf")
    assert stopped_after([], 4.0) == float("inf")


def test_replies_are_whole_when_the_story_was_heard_to_its_end() -> None:
    seen = Replies(7000.0, loud_ms=[7000, 7020, 6980, 3000, 7000])
    assert (seen.whole, seen.again) == (4, 0)


def test_most_being_cut_makes_none_of_them_whole() -> None:
    assert Replies(7000.0, loud_ms=[3000, 3000, 3000, 7000]).whole == 1
    assert Replies(7000.0).whole == 0


def test_a_story_that_is_told_twice_is_whole_and_counted() -> None:
    seen = Replies(7000.0, loud_ms=[14_000, 14_000, 14_000, 7000])
    assert (seen.whole, seen.again) == (4, 3)
