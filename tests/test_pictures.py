"""Every picture that a page shows is in the checkout, or one that ``make site`` makes (``lab/pictures.py``)."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.pictures import MARK, PICTURES, ROOT, SHOWN_ROOT, draw

PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
SHOWN = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
COMMENT = re.compile(r"<!--\s*picture\b.*?-->", re.DOTALL)


def missing(text: str, folder: Path) -> Iterator[str]:
    """The pictures of a page that neither the checkout nor the build has."""
    yield from (name for _, name in SHOWN.findall(text) if not (folder / name).is_file())
    yield from (name for name, _ in MARK.findall(text) if name not in PICTURES)
    yield from (comment for comment in COMMENT.findall(text) if not MARK.fullmatch(comment))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_picture_of_a_page_exists_or_is_made(page: Path) -> None:
    text = page.read_text()
    assert list(missing(text, page.parent)) == []
    assert [name for alt, name in SHOWN.findall(text) if not alt.strip()] == [], "a picture needs a text"


@pytest.mark.parametrize(
    "text",
    [
        "![A page](images/none.png)",
        "<!-- picture none.svg: Output of a command -->",
        "<!-- picture calls.svg -->",
        "<!-- picture calls.svg:\nOutput of a command -->",
    ],
)
def test_a_missing_picture_is_found(text: str) -> None:
    assert len(list(missing(f"# Title\n\n{text}\n", ROOT / "docs"))) == 1


def test_every_picture_that_is_made_is_shown() -> None:
    texts = [page.read_text() for page in PAGES]
    shown = {Path(name).name for text in texts for _, name in SHOWN.findall(text)}
    asked_for = {name for text in texts for name, _ in MARK.findall(text)}
    assert shown | asked_for == set(PICTURES)


def test_the_site_has_the_pictures_and_finds_their_places() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^site: .*\.site/pictures/made", makefile, re.MULTILINE)
    hook = (ROOT / ".ci" / "site" / "pages.py").read_text()
    found = re.search(r"^MADE = re\.compile\(r\"(.+)\", re\.MULTILINE\)$", hook, re.MULTILINE)
    assert found is not None
    places = [match for page in PAGES for match in MARK.findall(page.read_text())]
    assert places == [match for page in PAGES for match in re.findall(found[1], page.read_text(), re.MULTILINE)]


def test_output_becomes_a_picture_that_loads_nothing(tmp_path: Path) -> None:
    draw(f"\x1b[1mcalls\x1b[0m of {ROOT}/.lab <&>", "ariagent calls", tmp_path / "calls.svg")
    picture = (tmp_path / "calls.svg").read_text()
    assert "calls" in picture
    assert SHOWN_ROOT in picture
    assert str(ROOT) not in picture
    assert re.findall(r"https?://[^\"]+", picture) == ["http://www.w3.org/2000/svg"]
