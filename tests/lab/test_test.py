"""The summary of ``python -m lab test``."""

import subprocess
import sys
from pathlib import Path

from lab.test import failures

TESTS = """
import pytest

@pytest.fixture
def faulty():
    yield
    assert "left" == "right"

def test_whose_fixture_fails(faulty): pass

class TestOne:
    def test_that_fails(self): raise ValueError("two\\nlines")

def test_that_passes(): pass
"""


def test_each_failure_has_its_name_its_line_and_its_cause(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_some.py").write_text(TESTS)
    argv = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=results.xml", "tests")
    subprocess.run(argv, cwd=tmp_path, stdout=subprocess.DEVNULL, check=False)
    fixture, method = failures((tmp_path / "results.xml").read_text())
    name, place, cause = (line.strip() for line in fixture.splitlines())
    assert name == "failed  tests.test_some::test_whose_fixture_fails"
    assert place == "tests/test_some.py:7"
    assert "assert 'left' == 'right'" in cause
    name, place, cause = (line.strip() for line in method.splitlines())
    assert name == "failed  tests.test_some.TestOne::test_that_fails"
    assert (place, cause) == ("tests/test_some.py:12", "ValueError: two lines")
