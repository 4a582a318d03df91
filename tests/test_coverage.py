"""``make coverage``: the table of what the tests have run, and when it is too little."""

import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = runpy.run_path(str(ROOT / ".ci" / "coverage"))


def measured(run: int, statements: int, ways: int = 0, branches: int = 0) -> dict[str, Any]:
    """A file of coverage's JSON report."""
    summary = {"covered_lines": run, "num_statements": statements, "covered_branches": ways, "num_branches": branches}
    return {"summary": summary, "missing_lines": [3, 7], "missing_branches": [[3, -1], [5, 9]]}


def files(**changed: dict[str, Any]) -> dict[str, Any]:
    """Every package has a file of which all has run."""
    found = {f"ariagent/{package}/a.py": measured(10, 10, 10, 10) for package in SCRIPT["PACKAGES"]}
    return found | {path.replace("__", "/") + ".py": file for path, file in changed.items()}


def test_enough() -> None:
    lines, low = SCRIPT["table"](files(ariagent__call__b=measured(90, 100, 17, 20), ariagent__other__b=measured(0, 10)))
    assert low == []
    assert [" ".join(line.split()) for line in lines[1:3]] == [
        "ariagent/call 100/110 90.9 % 27/30 90.0 %",
        "b.py 90/100 90.0 % 17/20 85.0 %",
    ]
    assert lines[3].strip() == "did not run: 3, 7, 3->exit, 5->9"
    assert len(lines) == 8


@pytest.mark.parametrize("file", [measured(80, 100, 20, 20), measured(100, 100, 10, 20), measured(0, 0, 0, 5)])
def test_too_few_statements_or_branches_of_one_package_are_too_little(file: dict[str, Any]) -> None:
    assert SCRIPT["table"](files(ariagent__pool__b=file))[1] == ["ariagent/pool"]


def test_a_package_of_which_nothing_was_measured_is_too_little() -> None:
    there = files()
    del there["ariagent/call/a.py"]
    assert SCRIPT["table"](there)[1] == ["ariagent/call"]


def test_these_packages_are_measured() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["coverage"]["run"]
    assert settings["source"] == [f"ariagent/{package}" for package in SCRIPT["PACKAGES"]]
    assert settings["branch"] is True
