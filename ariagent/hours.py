"""CORE: opening hours. Whether a calendar is open at a moment, when that changes, and that in words.

Moments are seconds since the epoch, given by who asks. Hours are the wall clock's of the calendar's time zone, so they
stay the same hours when clocks are changed; of an hour that comes twice the first counts. A range that goes past
midnight belongs to the day that it begins on: a holiday keeps it from beginning, not from ending.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
AHEAD_DAYS = 400
"""How far openings are looked for: a calendar that is closed for longer is just closed."""

_RANGE = re.compile(r"([01]?\d|2[0-3]):([0-5]\d) ?- ?([01]?\d|2[0-4]):([0-5]\d)")
_DATE = re.compile(r"(?:(\d{4})-)?(\d\d)-(\d\d)")


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """Part of a day, in minutes after its midnight; ``end`` may lie in the next day."""

    start: int
    end: int


Ranges = tuple[Range, ...]
Day = date | tuple[int, int]
"""A date, or month and day of every year."""


def parse_range(text: str) -> Range:
    """``08:00-12:00``; ``22:00-06:00`` ends on the next day, ``00:00-24:00`` is all day. Raises ValueError."""
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text or 'empty text'} is not a range of hours; write for example 08:00-12:00")
    first_hour, first_minute, last_hour, last_minute = map(int, found.groups())
    start, end = 60 * first_hour + first_minute, 60 * last_hour + last_minute
    if end > 24 * 60:
        raise ValueError(f"{text} ends after 24:00; write hours past midnight for example as 22:00-06:00")
    if end == start:
        raise ValueError(f"{text} begins and ends at the same time; write all day as 00:00-24:00")
    return Range(start, end if end > start else end + 24 * 60)


def parse_days(text: str) -> range | tuple[int, ...]:
    """``monday``, ``mon``, ``mon-fri``, ``fri-mon``: the weekdays, Monday is 0. Raises ValueError."""
    first, dash, last = (part.strip().lower() for part in text.partition("-"))
    start, end = _weekday(first), _weekday(last) if dash else _weekday(first)
    return range(start, end + 1) if end >= start else (*range(start, 7), *range(end + 1))


def _weekday(name: str) -> int:
    for number, day in enumerate(DAYS):
        if name in (day, day[:3]):
            return number
    raise ValueError(f"{name or 'empty text'} is not a day of the week; they are {', '.join(day[:3] for day in DAYS)}")


def parse_date(text: str) -> Day:
    """``2026-12-24``, or ``12-25`` of every year. Raises ValueError."""
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text or 'empty text'} is not a date; write for example 2026-12-24, or 12-25 for every year")
    year, month, day = found.groups()
    try:
        when = date(int(year or 2000), int(month), int(day))  # 2000: a leap year
    except ValueError:
        raise ValueError(f"there is no day {text}") from None
    return when if year else (when.month, when.day)


def overlapping(ranges: Iterable[Range]) -> bool:
    """Whether two ranges of one day have time in common."""
    placed = sorted(ranges)
    return any(one.end > other.start for one, other in itertools.pairwise(placed))


@dataclass(frozen=True, slots=True)
class Calendar:
    """One place's hours."""

    zone: ZoneInfo
    week: tuple[Ranges, ...]
    """Opening hours by weekday, Monday first."""
    holidays: Mapping[Day, Ranges] = field(default_factory=dict)
    """Instead of the weekday's; a date counts before the same day of every year."""

    def open_at(self, at: float) -> bool:
        """Whether it is open at ``at``."""
        return any(start <= at < end for start, end in self._around(at, 1))

    def opens_next(self, at: float) -> float | None:
        """``at`` when it is open then, else when it opens; None: not within a year."""
        if self.open_at(at):
            return at
        return next((start for start, _ in self._around(at, AHEAD_DAYS) if start > at), None)

    def closes_next(self, at: float) -> float | None:
        """``at`` when it is closed then, else when it closes; None: not within a year."""
        until = at
        for start, end in self._around(at, AHEAD_DAYS):
            if start > until:
                return until
            until = max(until, end)
        return at if until == at else None

    def in_words(self, at: float) -> str:
        """The opening hours in words, for the model to tell the caller: ``open until 17:00``, ``closed until Monday,
        8:00``."""
        now = self._local(at)
        if self.open_at(at):
            closes = self.closes_next(at)
            return "open" if closes is None else f"open until {_when(self._local(closes), now)}"
        opens = self.opens_next(at)
        return "closed" if opens is None else f"closed until {_when(self._local(opens), now)}"

    def _local(self, at: float) -> datetime:
        return datetime.fromtimestamp(at, self.zone)

    def _around(self, at: float, days: int) -> Iterator[tuple[float, float]]:
        """The openings of the day before ``at`` and of ``days`` from its own on, in seconds, as they begin."""
        today = self._local(at).date()
        for ahead in range(-1, days):
            day = today + timedelta(days=ahead)
            for hours in sorted(self._of(day)):
                start, end = self._moment(day, hours.start), self._moment(day, hours.end)
                if start < end:  # else it lay in the hour that was left out
                    yield start, end

    def _of(self, day: date) -> Ranges:
        for key in (day, (day.month, day.day)):
            if (special := self.holidays.get(key)) is not None:
                return special
        return self.week[day.weekday()]

    def _moment(self, day: date, minutes: int) -> float:
        days, left = divmod(minutes, 24 * 60)
        there = day + timedelta(days=days)
        hour, minute = divmod(left, 60)
        return datetime(there.year, there.month, there.day, hour, minute, tzinfo=self.zone).timestamp()


def _when(then: datetime, now: datetime) -> str:
    """A time as one says it on the telephone."""
    clock = f"{then.hour}:{then.minute:02d}"
    days = (then.date() - now.date()).days
    if days == 0:
        return clock
    if days == 1:
        return f"tomorrow, {clock}"
    weekday = DAYS[then.weekday()].capitalize()
    if days < 7:
        return f"{weekday}, {clock}"
    return f"{weekday}, {then.day} {MONTHS[then.month - 1]}, {clock}"
