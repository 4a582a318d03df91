"""Failures drawn by a seed, and what of a silence they explain."""

import pytest

from lab.faultinjection import KINDS, Failure, Outage, Span, allowed_s, draw, table


def outage(since: float, until: float) -> Outage:
    return Outage(Failure("model reset", since, 0.0), Span(since, until))


def test_a_seed_draws_the_same_failures_again() -> None:
    drawn = draw(7, 8, 20.0)
    assert drawn == draw(7, 8, 20.0)
    assert drawn != draw(8, 8, 20.0)
    assert len({failure.kind for failure in drawn}) == 8
    for failure in drawn:
        shortest, longest = KINDS[failure.kind].lasts_s
        assert shortest <= failure.lasts_s <= longest
        assert 0 <= failure.at_s <= 20.0 - failure.lasts_s


@pytest.mark.parametrize(
    ("outages", "allowed"),
    [
        ([], 0.0),
        ([(1.0, 4.0)], 0.0),  # over before
        ([(3.0, 7.0)], 4.0),
        ([(3.0, 7.0), (6.0, 8.0), (6.5, 7.5)], 5.0),  # no second twice
        ([(3.0, 6.0), (9.0, 12.0), (13.0, 14.0)], 6.0),
    ],
)
def test_failures_that_touch_a_silence_explain_it(outages: list[tuple[float, float]], allowed: float) -> None:
    found = allowed_s(Span(5.0, 10.0), [outage(*times) for times in outages])
    assert found == pytest.approx(allowed)


def test_the_table_has_a_line_for_each_failure() -> None:
    _, first, second = table([outage(13.0, 14.0), outage(11.0, 12.0)], [Span(11.5, 13.2)], [12.5], 10.0)
    assert first.split() == ["model", "reset", "1.0", "1.0", "0", "1.70", "1"]
    assert second.split() == ["model", "reset", "3.0", "1.0", "0", "1.70", "0"]
