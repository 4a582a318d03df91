"""The pages that are made from the code say what the code says."""

from pathlib import Path

from ariagent.check import versionspage
from ariagent.configfile.reference import reference, schema_text

DOCS = Path(__file__).parents[1] / "docs"


def test_the_configuration_reference_is_up_to_date() -> None:
    assert (DOCS / "configuration.md").read_text() == reference(), "run make docs"


def test_the_schema_is_up_to_date() -> None:
    assert (DOCS / "ariagent.schema.json").read_text() == schema_text(), "run make docs"


def test_the_page_about_asterisks_versions_is_up_to_date() -> None:
    assert (DOCS / "asterisk-versions.md").read_text() == versionspage.page(), "run make docs"


def test_every_key_of_the_configuration_is_explained() -> None:
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    assert [row for row in rows if row.rstrip().endswith("|  |") and "`type`" not in row] == []


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text()
    pages = {path.name for path in DOCS.iterdir() if path.suffix in (".md", ".json")} - {"README.md"}
    assert {page for page in pages if f"]({page})" not in index} == set()
