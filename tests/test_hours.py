"""Opening hours: ranges, holidays, nights, clock changes, and what is said of them."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.config import Settings
from ariagent.hours import Calendar, Day, Range, Ranges, overlapping, parse_date, parse_days, parse_range

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [BERLIN, *map(ZoneInfo, ("UTC", "America/New_York", "Australia/Lord_Howe", "America/St_Johns", "Asia/Beirut"))]


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def week(others: Ranges = (), **days: str) -> tuple[Ranges, ...]:
    names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    return tuple(
        tuple(parse_range(part) for part in days[name].split(",")) if name in days else others for name in names
    )


OFFICE = Calendar(
    BERLIN,
    (*[(parse_range("08:00-12:00"), parse_range("13:00-17:30"))] * 5, (), ()),
    {
        (12, 25): (),
        parse_date("2026-12-24"): (parse_range("08:00-10:00"),),
        (12, 24): (),
    },
)
NIGHT = Calendar(BERLIN, week(fri="22:00-06:00", sat="05:00-07:00"), {parse_date("2026-11-28"): ()})


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        ("2026-11-23T08:00:00", "open until 12:00"),
        ("2026-11-23T11:59:59", "open until 12:00"),
        ("2026-11-23T12:00:00", "closed until 13:00"),
        ("2026-11-23T17:30:00", "closed until tomorrow, 8:00"),
        ("2026-11-23T03:00:00", "closed until 8:00"),
        ("2026-11-27T18:00:00", "closed until Monday, 8:00"),
        ("2026-12-24T09:00:00", "open until 10:00"),  # a date counts before the day of every year
        ("2026-12-24T10:00:00", "closed until Monday, 8:00"),
        ("2027-12-24T09:00:00", "closed until Monday, 8:00"),
    ],
)
def test_an_office_with_holidays(moment: str, words: str) -> None:
    assert OFFICE.in_words(at(moment)) == words
    assert OFFICE.open_at(at(moment)) == words.startswith("open")


def test_a_night_belongs_to_the_day_that_it_begins_on() -> None:
    assert NIGHT.in_words(at("2026-11-21T02:00")) == "open until 7:00"  # Friday's night and Saturday morning
    # Saturday the 28th is a holiday: Friday's night continues, Saturday's own morning does not come.
    assert NIGHT.in_words(at("2026-11-28T02:00")) == "open until 6:00"
    assert NIGHT.in_words(at("2026-11-28T06:30")) == "closed until Friday, 22:00"


def test_always_and_never() -> None:
    always, never = (Calendar(BERLIN, week(others=ranges)) for ranges in ((parse_range("00:00-24:00"),), ()))
    moment = at("2026-11-23T12:00")
    assert (always.in_words(moment), always.opens_next(moment), always.closes_next(moment)) == ("open", moment, None)
    assert (never.in_words(moment), never.opens_next(moment), never.closes_next(moment)) == ("closed", None, moment)


def test_far_ahead_the_date_is_said() -> None:
    yearly = Calendar(BERLIN, week(), {(7, 1): (parse_range("09:00-10:00"),)})
    assert yearly.in_words(at("2026-11-23T12:00")) == "closed until Thursday, 1 July, 9:00"


def test_hours_are_the_walls_when_clocks_are_changed() -> None:
    daily = Calendar(BERLIN, week(others=(parse_range("08:00-12:00"),)))
    for day in ("2026-03-28", "2026-03-29", "2026-10-24", "2026-10-25", "2026-10-26"):
        assert not daily.open_at(at(f"{day}T07:59"))
        assert daily.open_at(at(f"{day}T08:00"))
        assert daily.closes_next(at(f"{day}T08:00")) == at(f"{day}T12:00")
    night = Calendar(BERLIN, week(sat="22:00-06:00"))
    for sunday, hours in (("2026-03-29", 7), ("2026-10-25", 9), ("2026-11-01", 8)):
        closes = at(f"{sunday}T06:00")
        assert night.closes_next(closes - 1) == closes
        assert night.opens_next(closes - 9.5 * 3600) == closes - hours * 3600


def test_the_hour_that_is_left_out_and_the_one_that_comes_twice() -> None:
    short = Calendar(BERLIN, week(sun="02:15-02:45"))
    for sunday in ("2026-03-29", "2026-10-25"):
        opens = short.opens_next(at(f"{sunday}T00:00"))
        assert opens is not None
        assert short.closes_next(opens) == opens + 1800


minutes = st.integers(0, 24 * 60 - 1)


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    def ranges() -> Ranges:
        found = [Range(s, e if e > s else e + 1440) for s, e in draw(st.lists(st.tuples(minutes, minutes), max_size=3))]
        return tuple(found) if not overlapping(found) else tuple(found[:1])

    dates: st.SearchStrategy[Day] = st.dates(datetime(2025, 12, 1).date(), datetime(2028, 1, 1).date())
    yearly: st.SearchStrategy[Day] = st.tuples(st.integers(1, 12), st.integers(1, 28))
    special = {day: ranges() for day in draw(st.lists(st.one_of(dates, yearly), max_size=8, unique=True))}
    return Calendar(draw(st.sampled_from(ZONES)), tuple(ranges() for _ in range(7)), special)


moments = st.one_of(
    st.integers(int(at("2026-01-01")), int(at("2027-12-31"))),
    st.sampled_from([int(at("2026-03-29T01:59")), int(at("2026-10-25T00:30")), int(at("2026-04-05T00:00"))]).flatmap(
        lambda near: st.integers(near - 7200, near + 14_400)
    ),
)


@given(calendars(), moments)
def test_the_next_opening_is_open_and_nothing_is_before_it(calendar: Calendar, moment: int) -> None:
    opens = calendar.opens_next(moment)
    if opens is None:
        assert not calendar.open_at(moment)
        return
    assert calendar.open_at(opens)
    if opens > moment:
        assert not calendar.open_at(moment)
        assert not calendar.open_at(opens - 1)
        assert not calendar.open_at((moment + opens) / 2)
    assert calendar.in_words(moment).startswith("closed until" if opens > moment else "open")


@given(calendars(), moments)
def test_the_next_closing_is_closed_and_open_until_then(calendar: Calendar, moment: int) -> None:
    closes = calendar.closes_next(moment)
    if closes is None:
        assert calendar.open_at(moment)
        return
    assert not calendar.open_at(closes)
    if closes > moment:
        assert calendar.open_at(moment)
        assert calendar.open_at(closes - 1)
        assert calendar.open_at((moment + closes) / 2)


@pytest.mark.parametrize("text", ["", "8-12", "08:00", "08:00-08:00", "25:00-26:00", "08:60-09:00", "08:00-24:30"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(ValueError, match="08:00"):
        parse_range(text)


@pytest.mark.parametrize(
    ("text", "days"),
    [("mon", [0]), ("Monday", [0]), ("mon-fri", [0, 1, 2, 3, 4]), ("fri-mon", [4, 5, 6, 0]), ("sat - sunday", [5, 6])],
)
def test_weekdays(text: str, days: list[int]) -> None:
    assert list(parse_days(text)) == days


@pytest.mark.parametrize("text", ["", "m", "mon-", "-fri", "montag", "mon-fri-sat"])
def test_what_is_no_weekday(text: str) -> None:
    with pytest.raises(ValueError, match="not a day of the week"):
        parse_days(text)


@pytest.mark.parametrize("text", ["", "12-32", "2026-02-29", "24.12.", "2026-12-24T00:00"])
def test_what_is_no_date(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a da|no day"):
        parse_date(text)


@pytest.mark.parametrize(("key", "day", "night"), [("calls_outside", False, True), ("calls_during", True, False)])
def test_when_seats_take_calls(key: str, day: bool, night: bool) -> None:
    office = {"timezone": "Europe/Berlin", "week": {"mon-fri": "08:00-17:00"}}
    settings = Settings.model_validate({"hours": {"office": office}, "pool": {key: "office"}})
    assert settings.seats_wanted(at("2026-11-23T12:00")) is day
    assert settings.seats_wanted(at("2026-11-23T20:00")) is night
    assert Settings().seats_wanted(0.0)
