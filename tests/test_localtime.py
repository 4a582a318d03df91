"""Local dates and times."""

import os
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from ariagent.localtime import day, local, midnight

AUCKLAND, CAIRO, HAVANA, UTC = map(ZoneInfo, ("Pacific/Auckland", "Africa/Cairo", "America/Havana", "UTC"))


def moment(text: str) -> float:
    """An ISO time with its offset."""
    return datetime.fromisoformat(text).timestamp()


@pytest.fixture
def machine() -> Iterator[None]:
    """The machine is in Berlin."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    yield
    os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
    time.tzset()


@pytest.mark.parametrize(
    ("at", "zone", "clock", "begins"),
    [
        # The day boundary: the same moment is another day.
        ("2026-11-29T10:59:59+00:00", AUCKLAND, "2026-11-29 23:59", "2026-11-28T11:00:00+00:00"),
        ("2026-11-29T11:00:00+00:00", AUCKLAND, "2026-11-30 00:00", "2026-11-29T11:00:00+00:00"),
        ("2026-11-29T11:00:00+00:00", UTC, "2026-11-29 11:00", "2026-11-29T00:00:00+00:00"),
        # Clocks go forward at 2:00 and back at 3:00: such a day has 23 or 25 hours.
        ("2026-09-26T13:59:59+00:00", AUCKLAND, "2026-09-27 01:59", "2026-09-26T12:00:00+00:00"),
        ("2026-09-26T14:00:00+00:00", AUCKLAND, "2026-09-27 03:00", "2026-09-26T12:00:00+00:00"),
        ("2026-04-04T14:30:00+00:00", AUCKLAND, "2026-04-05 02:30", "2026-04-04T11:00:00+00:00"),
        ("2026-04-05T11:30:00+00:00", AUCKLAND, "2026-04-05 23:30", "2026-04-04T11:00:00+00:00"),
        # Clocks skip midnight; midnight comes twice.
        ("2026-04-24T12:00:00+00:00", CAIRO, "2026-04-24 15:00", "2026-04-23T22:00:00+00:00"),
        ("2026-11-01T05:30:00+00:00", HAVANA, "2026-11-01 00:30", "2026-11-01T04:00:00+00:00"),
    ],
)
def test_in_a_zone(at: str, zone: ZoneInfo, clock: str, begins: str) -> None:
    assert local(moment(at), zone).strftime("%Y-%m-%d %H:%M") == clock
    assert day(moment(at), zone) == clock[:10]
    assert midnight(moment(at), zone) == moment(begins)


@pytest.mark.usefixtures("machine")
def test_on_the_machine() -> None:
    at = moment("2026-10-25T22:30:00+00:00")  # the day has 25 hours there
    assert local(at).strftime("%Y-%m-%d %H:%M") == "2026-10-25 23:30"
    assert local(at).utcoffset() == timedelta(hours=1)
    assert day(at) == "2026-10-25"
    assert midnight(at) == datetime(2026, 10, 25, tzinfo=timezone(timedelta(hours=2))).timestamp()
