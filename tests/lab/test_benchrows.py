"""The rows of a bench: kept or missed, as a file, and two runs side by side."""

from pathlib import Path

import pytest

from ariagent.errors import ConfigurationError
from lab.benchrows import Change, Row, Run, compare, previous, side_by_side


def ms(measured: float, name: str = "a delay", budget: float = 30) -> Row:
    return Row(name, measured, budget, "ms")


def run(*rows: Row, machine: str = "x86_64, Python 3.11.7") -> Run:
    return Run(machine, "22.10.1", rows)


def verdict(old: Row, new: Row) -> str:
    return Change(old, new).verdict


def test_a_row_is_kept_up_to_its_budget() -> None:
    assert ms(30).ok
    assert not ms(30.01).ok
    assert not ms(float("nan")).ok
    assert str(ms(31)).startswith("MISS a delay")


@pytest.mark.parametrize(
    ("unit", "old", "noise"),
    [
        ("ms", 4.0, 2.0),
        ("ms", 100.0, 15.0),
        ("s", 2.0, 0.3),
        ("x", 0.8, 0.08),
        ("x", 0.1, 0.05),
        ("MB", 0.2, 0.1),
        ("%", 10.0, 2.0),
    ],
)
def test_a_figure_is_worse_beyond_the_noise_of_its_unit(unit: str, old: float, noise: float) -> None:
    row = Row("one", old, 1000, unit)
    assert verdict(row, Row("one", old + noise - 0.001, 1000, unit)) == "same"
    assert verdict(row, Row("one", old + noise + 0.001, 1000, unit)) == "worse"


def test_better_needs_as_much() -> None:
    assert verdict(ms(10), ms(8.5)) == "same"
    assert verdict(ms(10), ms(7.5)) == "better"
    # From both sides alike: what is worse one way is better the other way.
    assert verdict(ms(100), ms(116)) == "worse"
    assert verdict(ms(116), ms(100)) == "better"


def test_of_a_count_one_more_is_worse_where_none_is_allowed() -> None:
    assert verdict(Row("frames lost", 0, 0, ""), Row("frames lost", 1, 0, "")) == "worse"
    assert verdict(Row("false interruptions", 0, 1, ""), Row("false interruptions", 1, 1, "")) == "same"
    assert verdict(Row("false interruptions", 0, 1, ""), Row("false interruptions", 2, 1, "")) == "worse"


def test_what_never_came_is_worse_than_any_time() -> None:
    never = float("inf")
    assert verdict(ms(10), ms(never)) == "worse"
    assert verdict(ms(never), ms(10)) == "better"
    assert verdict(ms(never), ms(never)) == "same"


def test_rows_are_matched_by_name_and_those_of_one_run_are_told() -> None:
    changes = compare([ms(1, "both"), ms(2, "old only")], [ms(3, "new only"), ms(1, "both")])
    assert [(change.name, change.verdict) for change in changes] == [
        ("new only", "added"),
        ("both", "same"),
        ("old only", "gone"),
    ]


def test_both_figures_are_shown_and_what_happened_to_the_budget() -> None:
    missed, kept = str(Change(ms(29.5), ms(31))), str(Change(ms(31), ms(29.5)))
    assert missed.split() == ["a", "delay", "29.50", "31.00", "ms", "of", "30", "now", "MISS"]
    assert kept.endswith("now ok")
    assert str(Change(ms(31), ms(31))).endswith("of 30    MISS")
    assert str(Change(None, ms(31))).startswith("added  a delay")
    assert str(Change(None, ms(31))).endswith("now MISS")
    assert str(Change(ms(31), None)).startswith("gone   a delay")


def test_side_by_side_names_what_got_worse() -> None:
    lines, good = side_by_side(run(ms(10), ms(10, "other")), run(ms(20), ms(10, "other")), ("a.json", "b.json"))
    assert not good
    assert lines[0] == "old: a.json (x86_64, Python 3.11.7, Asterisk 22.10.1, 2 rows)"
    assert lines[-2].startswith("2 rows: 1 worse, 0 better by more than noise")
    assert lines[-1] == "worse: a delay"


def test_side_by_side_of_the_same_is_good_and_warns_of_another_machine() -> None:
    lines, good = side_by_side(run(ms(10)), run(ms(10), machine="aarch64, Python 3.13.1"), ("a", "b"))
    assert good
    assert any("different machines" in line for line in lines)
    lines, _ = side_by_side(run(ms(10)), run(ms(10)), ("a", "b"))
    assert not any("different machines" in line for line in lines)


def test_a_run_is_read_as_it_was_written_and_the_one_before_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "new" / "bench.json"
    first = run(Row("one", 1.5, 2, "x", {"of": 3}), ms(float("inf"), "never"))
    first.write(path)
    assert Run.read(path) == first
    assert first.missed == ["never"]
    second = run(ms(1))
    second.write(path)
    assert Run.read(path) == second
    assert Run.read(previous(path)) == first


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"machine": "m", "asterisk": "a", "rows": [{"name": "x"}]}'])
def test_another_file_is_refused_with_what_to_do(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"other\.json: no run of the bench") as caught:
        Run.read(path)
    assert "make bench" in caught.value.remedy


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        Run.read(tmp_path / "missing.json")
