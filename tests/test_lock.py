"""The lock file fits pyproject.toml and can be used anywhere; ranges are bounded where we rely on private parts."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / ".ci" / "lock.txt").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
WANTED = [
    Requirement(line)
    for line in (*PROJECT["dependencies"], *EXTRAS["rehearsal"], *EXTRAS["sandbox"], *EXTRAS["turns"], *EXTRAS["dev"])
    if not line.startswith("ariagent[")
]
PRIVATE = ("aioari", "aiohttp", "aioswagger11", "websockets")
"""Packages of which we use parts that they do not document."""


def entries() -> list[str]:
    """Each package's lines, as one."""
    return [line for line in LOCK.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]


def locked() -> dict[str, list[Version]]:
    """Package -> its versions; there may be one for each of several Pythons."""
    found: dict[str, list[Version]] = {}
    for entry in entries():
        name, version = entry.split(";")[0].split()[0].split("==")
        found.setdefault(canonicalize_name(name), []).append(Version(version))
    return found


@pytest.mark.parametrize("requirement", WANTED, ids=lambda requirement: requirement.name)
def test_it_has_what_the_project_wants(requirement: Requirement) -> None:
    versions = locked()[canonicalize_name(requirement.name)]
    assert all(version in requirement.specifier for version in versions), "make lock makes it again"


def test_every_package_has_hashes() -> None:
    assert not [entry for entry in entries() if not re.search(r" --hash=sha256:[0-9a-f]{64}( |$)", entry)]


def test_it_names_no_index_and_no_machine() -> None:
    assert not re.search(r"://|index|find-links|(^|[\s=])/", LOCK)


@pytest.mark.parametrize("name", PRIVATE)
def test_what_we_know_from_inside_has_an_upper_bound(name: str) -> None:
    (requirement,) = (each for each in WANTED if each.name == name)
    assert "<" in {bound.operator for bound in requirement.specifier}
    assert name in (ROOT / "docs" / "dependencies.md").read_text().partition("## Private parts")[2]
