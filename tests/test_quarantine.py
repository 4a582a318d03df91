"""Known flaky tests do not make a run red, are counted, and are not forgotten."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.parsing import parsed

ROOT = Path(__file__).parents[1]
LONGEST = timedelta(days=30)
FLAKY = """
import pytest

flaky = pytest.mark.quarantined(reason="the port is late", since="2026-11-30")

@flaky
def test_bad(): assert False

@flaky
def test_good(): pass

@pytest.fixture
def broken():
    yield
    raise OSError("teardown")

@flaky
def test_end(broken): pass

@flaky
def test_skipped(): pytest.skip("no network")

def test_other(): assert not BAD
"""


def pytest_run(folder: Path, text: str, *options: str) -> tuple[int, list[str]]:
    """Exit code and output of pytest for a file of tests."""
    (folder / "test_it.py").write_text(text)
    argv = [sys.executable, "-m", "pytest", "-p", "tests.quarantine", "-p", "no:cacheprovider", *options, "test_it.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("options", [(), ("-p", "xdist", "-n", "1")], ids=["alone", "xdist"])
def test_a_quarantined_test_that_fails_is_counted_and_the_run_is_green(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    code, out = pytest_run(tmp_path, FLAKY.replace("BAD", "False"), *options)
    assert code == 0, out
    at = out.index("quarantined tests: 3")
    assert sorted(line.strip() for line in out[at + 1 : at + 4]) == [
        "test_it.py::test_bad failed: the port is late",
        "test_it.py::test_end failed: the port is late",
        "test_it.py::test_good passed: the port is late",
    ]


def test_another_test_that_fails_makes_the_run_red(tmp_path: Path) -> None:
    code, out = pytest_run(tmp_path, FLAKY.replace("BAD", "True"))
    assert code == 1
    assert [line for line in out if line.startswith("FAILED")] == ["FAILED test_it.py::test_other - assert not True"]


def test_without_quarantined_tests_the_run_says_so(tmp_path: Path) -> None:
    code, out = pytest_run(tmp_path, "def test(): pass")
    assert (code, "quarantined tests: 0" in out) == (0, True)


def complaints(text: str, today: date) -> Iterator[str]:
    """The faults of the quarantined tests of a file."""
    tree = parsed(text)
    called = {call.func: call for call in ast.walk(tree) if isinstance(call, ast.Call)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or node.attr != "quarantined":
            continue
        given = called[node].keywords if node in called else []
        words = {word.arg: word.value.value for word in given if isinstance(word.value, ast.Constant)}
        try:
            since = date.fromisoformat(str(words.get("since")))
        except ValueError:
            yield f"line {node.lineno}: say since when, as in since='2026-11-30'"
            continue
        if not str(words.get("reason", "")).strip():
            yield f"line {node.lineno}: give the reason"
        if not timedelta(0) <= today - since <= LONGEST:
            yield f"line {node.lineno}: since {since}: mend it or delete it within {LONGEST.days} days"


def test_every_quarantined_test_has_a_reason_and_is_not_old() -> None:
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)]
    marked = {path: text for path in files if "quarantined" in (text := path.read_text())}
    told = {str(path): list(complaints(text, date.today())) for path, text in marked.items()}
    assert {path: wrong for path, wrong in told.items() if wrong} == {}


@pytest.mark.parametrize(
    ("mark", "wrong"),
    [
        ("quarantined(reason='late', since='2026-11-01')", ""),
        ("quarantined", "since when"),
        ("quarantined(reason='late')", "since when"),
        ("quarantined(reason='late', since='soon')", "since when"),
        ("quarantined(reason=' ', since='2026-11-01')", "the reason"),
        ("quarantined(since='2026-11-01')", "the reason"),
        ("quarantined(reason='late', since='2026-10-31')", "30 days"),
        ("quarantined(reason='late', since='2026-12-02')", "30 days"),
    ],
)
def test_what_is_wrong_with_a_mark(mark: str, wrong: str) -> None:
    found = list(complaints(f"import pytest\n\n@pytest.mark.{mark}\ndef test(): pass\n", date(2026, 12, 1)))
    assert [wrong in each for each in found] == [True] * bool(wrong), found
