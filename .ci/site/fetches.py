"""A hook of mkdocs: the build fails if a reader's browser would fetch anything from another server.

A link that a reader clicks may lead elsewhere. A script, a style, a font, a picture or a frame may not.
"""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

EXTERNAL = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
SOURCES = ("src", "srcset", "poster", "data", "background", "code")
"""Attributes that a browser fetches, of any element."""
FETCHED_LINKS = re.compile(r"\b(stylesheet|preload|prefetch|modulepreload|preconnect|dns-prefetch|icon|manifest)\b")
"""Kinds of ``<link>`` that a browser fetches, or opens a connection for."""
STYLES = re.compile(r"(?:@import\s+|url\()\s*[\"']?((?:[a-z][a-z0-9+.-]*:)?//[^\"')\s;]+)", re.IGNORECASE)
DIAGRAM = "mermaid"
"""The class of a diagram. The theme fetches the script of that name from a public server, unless the page has it."""


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.diagrams = 0
        self.scripts: list[str] = []
        self._style = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        addresses = [values[name] for name in SOURCES if name in values]
        if tag == "link" and FETCHED_LINKS.search(values.get("rel", "")):
            addresses.append(values.get("href", ""))
        if tag in ("image", "use"):
            addresses += [values.get("href", ""), values.get("xlink:href", "")]
        self.fetched += [f"<{tag}> {address}" for address in addresses if EXTERNAL.match(address)]
        self.fetched += [f"<{tag}> {address}" for address in STYLES.findall(values.get("style", ""))]
        self.diagrams += DIAGRAM in values.get("class", "").split()
        if tag == "script":
            self.scripts.append(values.get("src", ""))
        self._style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._style = False

    def handle_data(self, data: str) -> None:
        if self._style:
            self.fetched += [f"<style> {address}" for address in STYLES.findall(data)]


def of_page(html: str) -> list[str]:
    """The things on a page that a browser would fetch from another server."""
    page = _Page()
    page.feed(html)
    drawn = any(script.endswith(f"/{DIAGRAM}.min.js") for script in page.scripts)
    return page.fetched + ([f"diagrams without {DIAGRAM}.min.js"] if page.diagrams and not drawn else [])


def of_style(css: str) -> list[str]:
    """The things that a style sheet would fetch from another server."""
    return STYLES.findall(css)


def of_site(folder: Path) -> Iterator[str]:
    """The same for all pages, pictures and style sheets of a folder, each with its file's name."""
    for file in sorted(folder.rglob("*")):
        judge = {".html": of_page, ".svg": of_page, ".css": of_style}.get(file.suffix)
        if judge is not None:
            yield from (f"{file.relative_to(folder)}: {found}" for found in judge(file.read_text()))


def on_post_build(config: Any) -> None:
    from mkdocs.exceptions import PluginError  # the tests of the functions above run without mkdocs

    if found := list(of_site(Path(config.site_dir))):
        raise PluginError("a reader's browser would fetch from another server:\n" + "\n".join(found))
