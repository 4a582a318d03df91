"""The rows of a bench: a figure beside its budget, a run as a file, and two runs side by side."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ariagent.errors import ConfigurationError

NOISE: Mapping[str, tuple[float, float]] = {
    "ms": (2.0, 0.15),
    "s": (0.2, 0.15),
    "x": (0.05, 0.1),
    "MB": (0.1, 0.15),
    "%": (2.0, 0.15),
}
"""By unit, what two runs of the same code on a quiet machine differ by: so much, or this share of the old figure,
whichever is more. A count has no unit: its noise is its budget, so one more counts where none is allowed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One budget and what was measured."""

    name: str
    measured: float
    budget: float
    unit: str
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.measured <= self.budget

    @property
    def noise(self) -> float:
        """A later figure may be higher by so much and is no worse."""
        if self.unit not in NOISE:
            return self.budget
        least, share = NOISE[self.unit]
        return max(least, share * abs(self.measured)) if math.isfinite(self.measured) else least

    def __str__(self) -> str:
        mark = "ok  " if self.ok else "MISS"
        return f"{mark} {self.name:<66} {self.measured:8.2f} {self.unit:<4} of {self.budget:g}"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the bench, as its file has it."""

    machine: str
    asterisk: str
    rows: tuple[Row, ...]

    @property
    def missed(self) -> list[str]:
        """The names of the rows above their budgets."""
        return [row.name for row in self.rows if not row.ok]

    def write(self, path: Path) -> None:
        """Write the file; a former one becomes ``NAME.previous.json``."""
        report = {
            "machine": self.machine,
            "asterisk": self.asterisk,
            "ok": not self.missed,
            "rows": [{**asdict(row), "ok": row.ok} for row in self.rows],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            path.replace(previous(path))
        path.write_text(json.dumps(report, indent=1, default=float))

    @classmethod
    def read(cls, path: Path) -> Run:
        """Read a file of ``write``. Raises ConfigurationError for one that cannot be read or is no such file."""
        try:
            report = json.loads(path.read_text())
            rows = [
                Row(str(row["name"]), float(row["measured"]), float(row["budget"]), str(row["unit"]), row["detail"])
                for row in report["rows"]
            ]
            return cls(str(report["machine"]), str(report["asterisk"]), tuple(rows))
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}", remedy="Name a file that make bench wrote.") from None
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{path}: no run of the bench ({type(error).__name__}: {error})",
                remedy="Name a file that make bench wrote.",
            ) from None


def previous(path: Path) -> Path:
    """Where the run before that in ``path`` is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


@dataclass(frozen=True, slots=True)
class Change:
    """One row of two runs; at least one of them has it."""

    old: Row | None
    new: Row | None

    @property
    def name(self) -> str:
        row = self.new or self.old
        assert row is not None
        return row.name

    @property
    def verdict(self) -> str:
        """``worse`` and ``better`` by more than noise, ``same``, ``added`` or ``gone``."""
        if self.old is None:
            return "added"
        if self.new is None:
            return "gone"
        if self.new.measured - self.old.measured > self.old.noise:
            return "worse"
        return "better" if self.old.measured - self.new.measured > self.new.noise else "same"

    def __str__(self) -> str:
        row = self.new or self.old
        assert row is not None
        old, new = (f"{'-' if one is None else f'{one.measured:.2f}':>9}" for one in (self.old, self.new))
        budget = f"{row.unit:<3} of {row.budget:g}"
        missed = "" if self.new is None or self.new.ok else " MISS" if self.old and not self.old.ok else " now MISS"
        kept = " now ok" if self.old and self.new and self.new.ok and not self.old.ok else ""
        shown = "" if self.verdict == "same" else self.verdict
        return f"{shown:<6} {self.name:<72} {old} {new} {budget:<12}{missed}{kept}".rstrip()


def compare(old: Iterable[Row], new: Iterable[Row]) -> list[Change]:
    """The rows of two runs by name, in the order of the new run; rows that it does not have come last."""
    before = {row.name: row for row in old}
    changes = [Change(before.pop(row.name, None), row) for row in new]
    return changes + [Change(row, None) for row in before.values()]


def side_by_side(old: Run, new: Run, names: tuple[str, str]) -> tuple[list[str], bool]:
    """The lines that show two runs, and whether no row got worse by more than noise."""
    lines = [f"{kind}: {name} ({run.machine}, Asterisk {run.asterisk}, {len(run.rows)} rows)"
             for kind, name, run in (("old", names[0], old), ("new", names[1], new))]  # fmt: skip
    if (old.machine, old.asterisk) != (new.machine, new.asterisk):
        lines.append("These runs are of different machines or versions: only the ratios can be compared.")
    changes = compare(old.rows, new.rows)
    lines += [f"{'':<6} {'row':<72} {'old':>9} {'new':>9}", *(str(change) for change in changes)]
    worse = _named(changes, "worse")
    lines.append(
        f"{len(changes)} rows: {len(worse)} worse, {len(_named(changes, 'better'))} better by more than noise, "
        f"{len(_named(changes, 'added'))} added, {len(_named(changes, 'gone'))} gone"
    )
    if worse:
        lines.append(f"worse: {'; '.join(worse)}")
    return lines, not worse


def _named(changes: Sequence[Change], verdict: str) -> list[str]:
    return [change.name for change in changes if change.verdict == verdict]
