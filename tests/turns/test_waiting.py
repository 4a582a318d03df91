"""Requests for judgements: the newest first, a bound, deadlines, a share of one core."""

import pytest

from ariagent.turns.waiting import Request, Waiting


def request(deadline: float) -> Request:
    return Request(b"", 8000, deadline)


def waiting(*, most: int = 4, share: float = 0.5, cost_s: float = 0.1) -> Waiting:
    return Waiting(most=most, share=share, cost_s=cost_s)


def test_the_newest_comes_first() -> None:
    queue, first, second = waiting(), request(9.0), request(9.0)
    assert queue.add(first) is None
    assert queue.add(second) is None
    assert queue.take(0.0) is second
    queue.done(0.1, 0.1, 0.1)
    assert queue.take(0.1) is first


def test_one_at_a_time() -> None:
    queue = waiting()
    queue.add(request(9.0))
    queue.add(request(9.0))
    assert queue.take(0.0) is not None
    assert queue.take(0.0) is None
    assert queue.next_at(0.0) is None
    queue.done(0.1, 0.1, 0.1)
    assert queue.next_at(0.1) == 0.1
    assert queue.take(0.1) is not None
    queue.done(0.1, 0.1, 0.2)
    assert queue.next_at(0.2) is None
    assert queue.take(0.2) is None


def test_the_oldest_gives_way() -> None:
    queue = waiting(most=2)
    first, second, third = (request(9.0) for _ in range(3))
    assert [queue.add(each) for each in (first, second, third)] == [None, None, first]
    assert len(queue) == 2


def test_what_runs_has_no_place_among_those_that_wait() -> None:
    queue = waiting(most=1)
    queue.add(request(9.0))
    queue.take(0.0)
    assert queue.add(request(9.0)) is None


def test_a_request_is_late_as_soon_as_its_answer_would_be() -> None:
    queue, hasty, patient = waiting(cost_s=0.1), request(1.0), request(2.0)
    queue.add(hasty)
    queue.add(patient)
    assert list(queue.late(0.9)) == []
    assert list(queue.late(0.91)) == [hasty]
    assert list(queue.late(0.91)) == []
    assert queue.take(0.91) is patient


def test_a_cancelled_one_is_not_judged() -> None:
    queue, first, second = waiting(), request(9.0), request(9.0)
    queue.add(first)
    queue.add(second)
    assert queue.cancel(second)
    assert not queue.cancel(second)
    assert queue.take(0.0) is first
    assert not queue.cancel(first)  # it runs
    assert queue.take(0.0) is None


def test_the_usual_cost_is_learnt() -> None:
    queue = waiting(cost_s=0.1)
    for _ in range(30):
        queue.add(request(9.0))
        queue.take(0.0)
        queue.done(0.3, 0.0, 0.0)
    assert queue.cost_s == pytest.approx(0.3, rel=0.01)


def test_one_standstill_does_not_end_all_judgements() -> None:
    queue = waiting(cost_s=0.1)
    queue.add(request(1000.0))
    queue.take(0.0)
    queue.done(100.0, 0.1, 100.0)
    refused, now = 0, 101.0
    while True:
        queue.add(request(now + 0.5))
        late = list(queue.late(now))
        if not late:
            break
        refused, now = refused + len(late), now + 1.0
        assert refused < 100
    assert refused > 0
    assert queue.take(now) is not None


def test_judgements_use_a_share_of_one_core() -> None:
    """After the first second, which a quiet time saved up."""
    queue, now, spent = waiting(share=0.25), 0.0, 0.0
    while now < 100.0:
        queue.add(request(now + 1000.0))
        if queue.take(now) is None:
            at = queue.next_at(now)
            assert at is not None
            assert at > now
            now = at
            continue
        now += 0.1
        spent += 0.1
        queue.done(0.1, 0.1, now)
    assert spent == pytest.approx(25.0, abs=1.5)


def test_a_quiet_hour_saves_up_no_more_than_a_second() -> None:
    queue = waiting(share=0.5)
    queue.add(request(9999.0))
    queue.take(0.0)
    queue.done(0.1, 0.1, 0.1)
    judged, now = 0, 3600.0
    queue.add(request(9999.0))
    while queue.take(now) is not None:
        queue.done(0.0, 0.1, now)
        judged += 1
        queue.add(request(9999.0))
    assert judged == 11  # a second, and the one that overdraws it


def test_a_request_is_late_if_the_share_allows_it_only_then() -> None:
    queue = waiting(share=0.5, cost_s=0.1)
    queue.add(request(9.0))
    queue.take(0.0)
    queue.done(0.1, 2.0, 2.0)  # a second was saved up, so a second is overdrawn: two seconds at this share
    queue.add(early := request(2.5))
    queue.add(later := request(9.0))
    assert list(queue.late(2.0)) == [early]
    at = queue.next_at(2.0)
    assert at == pytest.approx(4.0)
    assert queue.take(2.0) is None
    assert queue.take(4.01) is later


@pytest.mark.parametrize(("most", "share"), [(0, 0.5), (1, 0.0), (1, 1.5)])
def test_bounds_that_make_no_sense_are_refused(most: int, share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        waiting(most=most, share=share)
