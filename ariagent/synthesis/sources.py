"""CORE: the machine's apt sources, in both of their written forms, and which of them is a Debian mirror.

Sources: sources.list(5), deb822-style and one-line-style format.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

DEBIAN_SUITES = frozenset(
    (
        "buster",
        "bullseye",
        "bookworm",
        "trixie",
        "forky",
        "sid",
        "oldoldstable",
        "oldstable",
        "stable",
        "testing",
        "unstable",
    )
)
_KEPT = {"signed-by": "Signed-By", "check-valid-until": "Check-Valid-Until"}
"""Not ``Trusted``: what the machine's owner allows for their own packages is no reason to run unsigned ones here."""


@dataclass(frozen=True, slots=True)
class AptSource:
    """One repository: where it is, which suites the machine takes from it, and the options about its signature."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()


def parse_one_line(text: str) -> Iterator[AptSource]:
    """Sources of a ``sources.list`` text: ``deb [ option=value ... ] uri suite component...``."""
    for line in text.splitlines():
        found = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s*([^#]*)", line)
        if found is None:
            continue
        options = []
        for word in (found[1] or "").split():
            key, _, value = word.partition("=")
            if key.lower() in _KEPT:
                options.append((_KEPT[key.lower()], value.replace(",", " ")))
        yield AptSource(found[2], (found[3],), tuple(found[4].split()), tuple(options))


def parse_deb822(text: str) -> Iterator[AptSource]:
    """Sources of a ``*.sources`` text: stanzas of ``Key: value`` with continuation lines."""
    for stanza in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")):
        fields: dict[str, str] = {}
        last = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in {" ", "\t"} and last:
                fields[last] += "\n" + line
            elif ":" in line:
                key, _, value = line.partition(":")
                last = key.strip().lower()
                fields[last] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in {"no", "false"}:
            continue
        options = tuple((_KEPT[key], value) for key, value in fields.items() if key in _KEPT)
        suites, components = fields.get("suites", "").split(), fields.get("components", "").split()
        for uri in fields.get("uris", "").split():
            yield AptSource(uri, tuple(suites), tuple(components), options)


def system_sources(etc: Path = Path("/etc/apt")) -> list[AptSource]:
    """Every source apt itself would read below ``etc``; unreadable files are passed over, as apt does."""
    found: list[AptSource] = []
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    for path in files:
        parse = {".list": parse_one_line, ".sources": parse_deb822}.get(path.suffix)
        if parse is None or not path.is_file():
            continue
        try:
            found.extend(parse(path.read_text(encoding="utf-8", errors="replace")))
        except OSError:
            continue
    return found


def candidates(sources: Iterable[AptSource]) -> list[AptSource]:
    """The sources that can be Debian's main archive, best first, one per address.

    A mirror is known by the suites the machine takes from it, because its host may have any name; security and
    third-party archives are told apart by suite, component and path.
    """
    found: dict[str, AptSource] = {}
    for source in sources:
        suites = {suite.partition("/")[0] for suite in source.suites if "security" not in suite}
        if suites & DEBIAN_SUITES and "main" in source.components and "security" not in urlsplit(source.uri).path:
            found.setdefault(source.uri.rstrip("/"), source)
    return sorted(found.values(), key=lambda source: not source.uri.rstrip("/").endswith("debian"))


def render(source: AptSource, suite: str) -> str:
    """The text of a ``.sources`` file for ``suite`` at this source's address, with its options about its signature."""
    lines = ["Types: deb", f"URIs: {source.uri}", f"Suites: {suite}", "Components: main"]
    lines += ["Targets: Packages", "Languages: none", "PDiffs: no"]
    lines += [f"{key}: {value}" if not value.startswith("\n") else f"{key}:{value}" for key, value in source.options]
    return "\n".join(lines) + "\n"
