"""The pages that are made from the code say what the code says."""

import re
from pathlib import Path

import pytest

from ariagent.check import versionspage
from ariagent.config import Settings
from ariagent.config.agents import HOLD_DEFAULTS, OTHER_LANGUAGES
from ariagent.configfile.reference import reference, schema_text

DOCS = Path(__file__).parents[1] / "docs"


PARTS = ("", "agents", "tools")
"""The pages of the configuration reference."""


@pytest.mark.parametrize("part", PARTS)
def test_the_configuration_reference_is_up_to_date(part: str) -> None:
    page = f"configuration-{part}.md" if part else "configuration.md"
    assert (DOCS / page).read_text() == reference(part), "run make docs"


def test_every_section_of_the_settings_is_on_one_page() -> None:
    text = "\n".join(map(reference, PARTS))
    titles = re.findall(r"^## ([a-z_]+)", text, re.MULTILINE)
    simple = re.findall(r"^\| `(\w+)` \|", reference().partition("\n## asterisk")[0], re.MULTILINE)
    assert {*titles, *simple} == set(Settings.model_fields)
    assert len(re.findall(r"^## .*$", text, re.MULTILINE)) == len(set(re.findall(r"^## .*$", text, re.MULTILINE)))


def test_the_schema_is_up_to_date() -> None:
    assert (DOCS / "ariagent.schema.json").read_text() == schema_text(), "run make docs"


def test_the_page_about_asterisks_versions_is_up_to_date() -> None:
    assert (DOCS / "asterisk-versions.md").read_text() == versionspage.page(), "run make docs"


def test_the_defaults_of_fast_turns_by_language_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (\w+) \| (\d+) \| ([\d.]+) \|$", (DOCS / "turn-taking.md").read_text(), re.MULTILINE)
    shown = {language: (int(hold_ms), float(threshold)) for language, hold_ms, threshold in rows}
    assert shown == {**HOLD_DEFAULTS, "others": OTHER_LANGUAGES}


def test_every_key_of_the_configuration_is_explained() -> None:
    rows = [line for part in PARTS for line in reference(part).splitlines() if line.startswith("| `")]
    assert len(rows) > 150
    assert [row for row in rows if row.rstrip().endswith("|  |") and "`type`" not in row] == []


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text()
    pages = {path.name for path in DOCS.iterdir() if path.suffix in (".md", ".json")} - {"README.md"}
    assert {page for page in pages if f"]({page})" not in index} == set()


def test_every_page_is_on_the_site() -> None:
    """In the navigation of ``make site``, which itself needs a network once."""
    text = (DOCS.parent / ".ci" / "site" / "mkdocs.yml").read_text()
    listed = re.findall(r"^ +- (?:[\w ]+: )?([\w-]+\.md)$", text.partition("\nnav:\n")[2], re.MULTILINE)
    pages = [path.name for path in DOCS.glob("*.md")]
    assert sorted(listed) == sorted((*pages, "overview.md", "changelog.md"))
