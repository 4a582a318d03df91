"""Failures drawn by a seed, and for how long a caller may hear nothing because of them.

A caller's silence is measured from the end of a question to the next sound. The limit is the time that failures took
meanwhile, no second counted twice, and a little more.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to fail."""

    lasts_s: tuple[float, float]
    """Its duration is drawn from between these."""
    noticed_s: float = 0.0
    """How long after its end it may still be felt: until it is noticed, or until what was asked is asked again."""


KINDS: Mapping[str, Kind] = {
    "model reset": Kind((0.0, 0.0)),
    "model connection stalls": Kind((0.0, 0.0), 3.0),
    "model falls silent": Kind((0.5, 1.5), 3.0),
    "model closes (1001)": Kind((0.0, 0.0)),
    "model answers 429": Kind((0.5, 2.5)),
    "model out of quota": Kind((0.5, 2.5)),
    "model unreachable": Kind((1.0, 3.0)),
    "responses fail": Kind((0.3, 1.0), 1.0),
    "slow network": Kind((2.0, 5.0)),
    "events cut": Kind((0.0, 3.0), 1.0),
    "HTTP hangs": Kind((1.0, 6.0), 1.0),
    "manager cut": Kind((0.0, 4.0)),
    "service killed": Kind((0.0, 0.0)),
    "settings reloaded": Kind((0.0, 0.0)),
}
"""The kinds of faults by name. ``noticed_s`` of a stall: two pings of ``realtime.ping_interval_s``, or
``stall_timeout_s``; what is cut off from events misses a key."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One that is to happen."""

    kind: str
    at_s: float
    """After the begin of the run."""
    lasts_s: float


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, in seconds of one clock."""

    since: float
    until: float

    @property
    def s(self) -> float:
        return self.until - self.since

    def touches(self, other: "Span") -> bool:
        return self.since <= other.until and other.since <= self.until


@dataclass(frozen=True, slots=True)
class Outage:
    """A failure that has happened, and when it was felt."""

    failure: Failure
    span: Span


def draw(seed: int, count: int, within_s: float) -> list[Failure]:
    """Draw this many failures of different kinds, in the order in which they begin, all within ``within_s``."""
    dice = Random(seed)
    found = []
    for kind in dice.sample(list(KINDS), count):
        lasts_s = dice.uniform(*KINDS[kind].lasts_s)
        found.append(Failure(kind, dice.uniform(0.0, max(0.0, within_s - lasts_s)), lasts_s))
    return sorted(found, key=lambda failure: failure.at_s)


def allowed_s(silence: Span, outages: Iterable[Outage]) -> float:
    """How much of the time around ``silence`` was taken by the failures that touch it."""
    spans = sorted((o.span for o in outages if o.span.touches(silence)), key=lambda span: span.since)
    taken, end = 0.0, float("-inf")
    for span in spans:
        taken += max(0.0, span.until - max(span.since, end))
        end = max(end, span.until)
    return taken


def table(outages: Iterable[Outage], silences: Iterable[Span], moved: Iterable[float], began: float) -> list[str]:
    """One line for each failure: its kind, the longest silence that touches it, and the number of callers who went to
    the human queue meanwhile. Failures that overlap share their silences; ``beside`` says with how many others."""
    outages, silences, moved = list(outages), list(silences), list(moved)
    lines = [f"  {'failure':<24}{'at s':>7}{'felt s':>8}{'beside':>8}{'silence s':>11}{'to humans':>11}"]
    for outage in sorted(outages, key=lambda o: o.span.since):
        span = outage.span
        beside = sum(span.touches(other.span) for other in outages) - 1
        longest = max((silence.s for silence in silences if silence.touches(span)), default=0.0)
        people = sum(span.since <= at <= span.until + 1.0 for at in moved)
        at_s, kind = span.since - began, outage.failure.kind
        lines.append(f"  {kind:<24}{at_s:>7.1f}{span.s:>8.1f}{beside:>8}{longest:>11.2f}{people:>11}")
    return lines
