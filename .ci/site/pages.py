"""A hook of mkdocs: README.md and CHANGELOG.md of the checkout become pages of the site, links show titles instead of
files' names, and lists are indented as Python-Markdown wants them. A page with a diagram loads the site's own copy of
mermaid. Pictures that ``make pictures`` has made appear where a page has the comment ``<!-- picture NAME: text -->``.
They replace the checkout's files of the same name."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.utils import get_relative_url

ROOT = Path(__file__).parents[2]
OUTSIDE = {"README.md": "overview.md", "CHANGELOG.md": "changelog.md"}
"""File of the checkout -> page of the site."""
PICTURES = ROOT / ".site" / "pictures"
MADE = re.compile(r"^<!-- picture ([\w.-]+): (.+) -->$", re.MULTILINE)
DIAGRAMS = ROOT / ".site" / "mermaid" / "mermaid.min.js"
DRAWING = "assets/javascripts/mermaid.min.js"
"""Its place on the site."""
INDENT = 4
"""Columns of each level of a list. CommonMark wants the width of the marker, which is 2 or 3."""


def on_files(files: Files, config: Any) -> Files:
    for name, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text()))
    for picture in sorted((*PICTURES.glob("*.svg"), *PICTURES.glob("*.png"))):
        if (former := files.get_file_from_path(f"images/{picture.name}")) is not None:
            files.remove(former)
        files.append(File.generated(config, f"images/{picture.name}", abs_src_path=str(picture)))
    files.append(File.generated(config, DRAWING, abs_src_path=str(DIAGRAMS)))
    return files


def on_page_markdown(text: str, page: Any, **_: Any) -> str:
    if page.file.src_uri in OUTSIDE.values():
        text = text.replace("[docs/README.md]", "[Documentation by task]").replace("](docs/", "](")
    text = MADE.sub(r"[![\2](images/\1)](images/\1)", text)  # at full size with a click
    text = text.replace("[README.md](../", "[Introduction](../")
    text = re.sub(r"\]\(\.\./(\w+\.md)", lambda match: f"]({OUTSIDE[match[1]]}", text)
    return indented(re.sub(r"\[(?:docs/)?([\w-]+\.md)\]\(", lambda match: f"[{title(match[1])}](", text))


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Load the script here, before the theme's own: otherwise the theme fetches it from a public server."""
    source = get_relative_url(DRAWING, page.url)
    return f'{html}\n<script src="{source}"></script>' if 'class="mermaid"' in html else html


def title(name: str) -> str:
    """The first heading of a page."""
    file = ROOT / "docs" / name
    heading = re.search(r"^# (.+)$", (file if file.is_file() else ROOT / name).read_text(), re.MULTILINE)
    return heading[1] if heading else name


def indented(text: str) -> str:
    """The same text; what belongs to a list's item is indented by ``INDENT`` for each level."""
    levels: list[int] = []  # the column of each open item's text
    lines: list[str] = []
    fence = loose = False
    for line in text.splitlines():
        column = len(line) - len(line.lstrip())
        item = None if fence else re.match(r"( *)([*-]|\d+\.) +", line)
        if line.strip() and not fence:
            while levels and column < levels[-1]:
                levels.pop()
        if item and loose and lines[-1]:
            lines.append("")  # after a paragraph or a block, Python-Markdown sees an item only below an empty line
        loose = not item and (loose or not line)
        outer = levels[-1] if levels else 0
        lines.append(" " * (INDENT * len(levels)) + line[min(outer, column) :] if line.strip() else "")
        if item:
            levels.append(item.end())
        if re.match(r" *```", line):
            fence = not fence
    return "\n".join(lines) + "\n"
