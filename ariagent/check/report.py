"""Results of checks, as values, as lines for a terminal and as JSON. No I/O."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """Severity of a result."""

    OK = "ok"
    WARNING = "warning"
    """Calls work, but something else does not or will not."""
    FAILED = "failed"
    """Calls do not work, or cannot be transferred as the settings say."""
    SKIPPED = "skipped"
    """Not tried, because a check that it needs has failed."""


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the report."""

    status: Status
    name: str
    """The thing that was checked, in two or three words."""
    found: str
    """The finding, with figures."""
    remedy: str = ""
    """The remedy; empty if there is nothing to do."""
    figures: dict[str, float] = field(default_factory=dict)
    """Measurements by name, the unit at its end (``connect_ms``)."""

    @property
    def line(self) -> str:
        """``status name - found; remedy``, always one line."""
        text = f"{self.found.rstrip(' .')}; {self.remedy}" if self.remedy else self.found
        return f"{self.status:<8} {self.name:<22} - {_plain(text)}"


INSTALL = "Run `ariagent install` (it shows first what it would change)"
"""The remedy if something is missing in Asterisk's configuration."""

Say = Callable[[Result], None]
"""Takes results, one at a time, as soon as they are known."""


def ok(name: str, found: str, **figures: float) -> Result:
    return Result(Status.OK, name, found, figures=figures)


def warning(name: str, found: str, remedy: str = "", **figures: float) -> Result:
    return Result(Status.WARNING, name, found, remedy, figures)


def failed(name: str, found: str, remedy: str = "") -> Result:
    return Result(Status.FAILED, name, found, remedy)


def skipped(name: str, needs: str) -> Result:
    """``needs``: what is missing, because its check failed."""
    return Result(Status.SKIPPED, name, f"needs {needs}")


class Report:
    """All results, in order."""

    def __init__(self) -> None:
        self.results: list[Result] = []

    def add(self, result: Result) -> None:
        self.results.append(result)

    def count(self, status: Status) -> int:
        return sum(result.status is status for result in self.results)

    @property
    def exit_code(self) -> int:
        """0 when nothing failed, else 1."""
        return 1 if self.count(Status.FAILED) else 0

    @property
    def summary(self) -> str:
        """The last line."""
        counts = [(self.count(status), status) for status in Status if self.count(status)]
        return (
            ", ".join(f"{n} {'warnings' if n > 1 and status is Status.WARNING else status}" for n, status in counts)
            or "nothing was checked"
        )

    def json(self, **head: Any) -> str:
        """One object: ``head``, ``passed``, ``counts`` by status, ``results``."""
        results = [
            {
                "status": result.status.value,
                "check": result.name,
                "found": _plain(result.found),
                "remedy": _plain(result.remedy),
                **({"figures": result.figures} if result.figures else {}),
            }
            for result in self.results
        ]
        counts = {status.value: self.count(status) for status in Status}
        body = {**head, "passed": not self.exit_code, "counts": counts, "results": results}
        return json.dumps(body, indent=2, ensure_ascii=False)


def _plain(text: str) -> str:
    # A peer's text may hold anything, also a terminal's control sequences.
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
