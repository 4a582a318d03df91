"""A reader's browser fetches nothing from another server when it shows the documentation site (``make site``)."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.loading import loaded

ROOT = Path(__file__).parents[1]
SITE = ROOT / ".ci" / "site"


@pytest.fixture(scope="module")
def fetches() -> ModuleType:
    """The hook, which is no module of a package."""
    return loaded("fetches", SITE / "fetches.py")


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example.com/mermaid.min.js"></script>',
        '<script src="//cdn.example.com/a.js"></script>',
        '<link rel="stylesheet" href="https://fonts.example.com/css?family=Roboto">',
        '<link rel="preconnect" href="https://fonts.example.com" crossorigin>',
        '<link rel="shortcut icon" href="http://example.com/a.ico">',
        '<img alt="" srcset="https://example.com/2x.png 2x">',
        '<iframe src="https://example.com/"></iframe>',
        '<style>@import "https://example.com/a.css";</style>',
        "<style>@font-face{src:url(//example.com/a.woff2)}</style>",
        "<p style=\"background: url('https://example.com/a.png')\">text</p>",
        '<svg><image xlink:href="https://example.com/a.png"/></svg>',
        '<pre class="mermaid"><code>sequenceDiagram</code></pre>',
    ],
)
def test_a_page_that_fetches_is_found(fetches: ModuleType, html: str) -> None:
    assert len(fetches.of_page(f"<html><body>{html}</body></html>")) == 1


@pytest.mark.parametrize(
    "html",
    [
        '<a href="https://www.asterisk.org/downloads/">Asterisk</a>',
        '<link rel="canonical" href="https://docs.example.com/">',
        '<script src="assets/javascripts/bundle.js"></script><img src="images/a.png" alt="">',
        '<svg xmlns="http://www.w3.org/2000/svg"><use href="#a"/></svg>',
        '<code>@import "https://example.com/a.css"; url(https://example.com)</code>',
        '<pre class="mermaid"><code>x</code></pre><script src="../assets/javascripts/mermaid.min.js"></script>',
    ],
)
def test_a_page_that_fetches_nothing_is_not(fetches: ModuleType, html: str) -> None:
    assert fetches.of_page(f"<html><body>{html}</body></html>") == []


def test_files_of_a_site_are_read(fetches: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "css").mkdir()
    (tmp_path / "css" / "a.css").write_text("@import url('https://example.com/b.css');\nb{src:url(../a.woff2)}")
    (tmp_path / "a.svg").write_text('<svg><image href="http://example.com/a.png"/></svg>')
    (tmp_path / "a.html").write_text('<link rel="stylesheet" href="css/a.css">')
    assert list(fetches.of_site(tmp_path)) == [
        "a.svg: <image> http://example.com/a.png",
        "css/a.css: https://example.com/b.css",
    ]


def test_the_build_runs_this_check_and_has_a_copy_of_mermaid() -> None:
    settings = (SITE / "mkdocs.yml").read_text()
    assert re.search(r"^hooks:\n  - pages\.py\n  - fetches\.py\n", settings, re.MULTILINE)
    assert re.search(r"^  font: false$", settings, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^site: .*\.site/mermaid/mermaid\.min\.js", makefile, re.MULTILINE)
    assert re.search(r"^integrity=[\w+/]{86}==$", (SITE / "mermaid").read_text(), re.MULTILINE)
