"""How many of many alike lines are written."""

from ariagent.lograte import LineBudget


def test_lines_per_second() -> None:
    budget = LineBudget(2)
    assert [budget.take(0.0), budget.take(0.1), budget.take(0.2), budget.take(0.9)] == [0, 0, None, None]
    assert [budget.take(1.0), budget.take(1.5), budget.take(1.9)] == [2, 0, None]
    assert budget.take(60.0) == 1
