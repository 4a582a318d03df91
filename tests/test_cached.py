"""A value that is made at most once in an interval."""

import pytest

from ariagent.cached import Cached


def test_it_is_made_when_it_is_asked_for_and_too_old() -> None:
    made: list[int] = []
    kept = Cached(lambda: made.append(len(made)) or len(made), 1.0)
    assert made == []
    assert [kept.get(now) for now in (10.0, 10.5, 10.999, 11.0, 11.9, 20.0)] == [1, 1, 1, 2, 2, 3]
    assert len(made) == 3


def test_a_failure_is_not_kept() -> None:
    answers = iter([ZeroDivisionError(), 7])

    def make() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    kept = Cached(make, 1.0)
    with pytest.raises(ZeroDivisionError):
        kept.get(0.0)
    assert kept.get(0.0) == 7
