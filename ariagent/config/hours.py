"""Opening hours, and when the AI takes calls from its queues."""

from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from ariagent import hours
from ariagent.config.base import Form, Section


def _range(text: str) -> str:
    hours.parse_range(text)
    return text


def _ranges(value: object) -> object:
    if not isinstance(value, str | list | tuple) or not all(isinstance(each, str) for each in value):
        raise ValueError("must be hours, for example 08:00-12:00, or a list of them")
    return (value,) if isinstance(value, str) else value


def _apart(ranges: tuple[str, ...]) -> tuple[str, ...]:
    if hours.overlapping(_parsed(ranges)):
        raise ValueError(f"{', '.join(ranges)} overlap")
    return ranges


def _days(text: str) -> str:
    hours.parse_days(text)
    return text


def _date(value: object) -> object:
    if hasattr(value, "isoformat"):  # YAML reads 2026-12-24 as a date
        value = value.isoformat()
    if not isinstance(value, str):
        raise ValueError('is not a date; write 2026-12-24, or "12-25" (in quotes) for every year')
    hours.parse_date(value)
    return value


def _holiday(value: object) -> object:
    return value if isinstance(value, dict | Holiday) else {"date": value}


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"there is no time zone {name}; write for example Europe/Berlin (is the package tzdata installed?)"
        ) from None
    return name


Zone = Annotated[str, AfterValidator(_zone)]
"""The name of a time zone."""


def _parsed(ranges: Iterable[str]) -> hours.Ranges:
    return tuple(hours.parse_range(text) for text in ranges)


class _OrText:
    """An annotation: the editors' schema also allows text here."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, handler(core)]}


_RANGE = r"^\s*([01]?\d|2[0-3]):[0-5]\d ?- ?([01]?\d|2[0-4]):[0-5]\d\s*$"
Range = Annotated[str, AfterValidator(_range), Field(json_schema_extra={"pattern": _RANGE})]
Ranges = Annotated[tuple[Range, ...], BeforeValidator(_ranges), AfterValidator(_apart), _OrText()]
Days = Annotated[str, AfterValidator(_days)]
CalendarName = Annotated[
    str,
    Form(r"^[A-Za-z0-9_-]{1,64}$", "must be a name of letters, digits, _ and -, at most 64 of them, as office"),
]


class Holiday(Section):
    """A holiday."""

    date: Annotated[str, BeforeValidator(_date)]
    """``2026-12-24``, or ``"12-25"`` (in quotes) for every year."""
    hours: Ranges = ()
    """The opening hours of that day. Without them it is closed all day."""


class HoursSettings(Section):
    """Opening hours of one place or team."""

    timezone: Zone | None = None
    """The time zone: an IANA name, for example ``Europe/Berlin``. null: the setting ``timezone``, which is then
    needed."""
    week: Annotated[dict[Days, Ranges], Field(min_length=1)]
    """One or more ranges (``08:00-12:00``) for each weekday (``mon``, ``mon-fri``). ``22:00-06:00`` ends on the next
    day. Days that are not listed are closed."""
    holidays: tuple[Annotated[Holiday, BeforeValidator(_holiday), _OrText()], ...] = ()
    """Dates that are closed, or have other ``hours``: ``2026-12-24``, ``"12-25"`` for every year, or
    ``{date: "12-31", hours: 08:00-12:00}``."""

    @model_validator(mode="after")
    def _each_day_once(self) -> Self:
        seen: set[int] = set()
        for text in self.week:
            for day in hours.parse_days(text):
                if day in seen:
                    raise ValueError(f"week: {hours.DAYS[day]} is listed twice")
                seen.add(day)
        dates = [holiday.date for holiday in self.holidays]
        for text in dates:
            if dates.count(text) > 1:
                raise ValueError(f"holidays: {text} is listed twice")
        return self

    @cached_property
    def calendar(self) -> hours.Calendar:
        """These hours as a Calendar."""
        week: list[hours.Ranges] = [()] * 7
        for text, ranges in self.week.items():
            for day in hours.parse_days(text):
                week[day] = _parsed(ranges)
        holidays = {hours.parse_date(holiday.date): _parsed(holiday.hours) for holiday in self.holidays}
        if self.timezone is None:
            raise ValueError("these hours have no time zone")  # the whole tree gives them one
        return hours.Calendar(ZoneInfo(self.timezone), tuple(week), holidays)


class PoolSettings(Section):
    """The times when the AI's seats take calls. At other times they are paused. Needs ``ami``. Without either key the
    seats always take calls."""

    calls_outside: CalendarName | None = None
    """The seats take calls only while these ``hours`` are closed: human agents by day, the AI at night."""
    calls_during: CalendarName | None = None
    """The seats take calls only while these ``hours`` are open."""

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.calls_outside is not None and self.calls_during is not None:
            raise ValueError("calls_outside and calls_during exclude each other; give one of them")
        return self

    @property
    def calendar(self) -> str | None:
        """The name of the hours; None: they always take calls."""
        return self.calls_outside or self.calls_during
