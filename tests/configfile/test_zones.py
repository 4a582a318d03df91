"""The time zones of an agent, the site and its hours."""

from datetime import datetime
from typing import Any

import pytest

from ariagent.config import Settings
from ariagent.config.hours import HoursSettings

AUCKLAND, BERLIN, LISBON = "Pacific/Auckland", "Europe/Berlin", "Europe/Lisbon"
WEEK = {"mon-fri": "08:00-17:00"}


def hours(zone: str | None = None) -> dict[str, Any]:
    return {"week": WEEK, **({"timezone": zone} if zone else {})}


def desk(name: str) -> dict[str, Any]:
    return {"queue": "support", "description": "human agents", "hours": name}


def zones(**tree: Any) -> tuple[str, str]:
    """The agent's zone, and the site's."""
    settings = Settings.model_validate(tree)
    agent = settings.zone_of(next(iter(settings.agents.values())))
    return str(agent), str(settings.zone)


@pytest.mark.parametrize(
    ("tree", "agent", "site"),
    [
        ({}, "None", "None"),
        ({"timezone": AUCKLAND}, AUCKLAND, AUCKLAND),
        ({"agents": {"a": {"timezone": LISBON}}, "timezone": AUCKLAND}, LISBON, AUCKLAND),
        # The hours' own zone, as far as it is clear.
        ({"hours": {"office": hours(AUCKLAND)}}, AUCKLAND, AUCKLAND),
        ({"hours": {"a": hours(AUCKLAND), "b": hours(AUCKLAND)}}, AUCKLAND, AUCKLAND),
        ({"hours": {"a": hours(AUCKLAND), "b": hours(BERLIN)}}, "None", "None"),
        ({"hours": {"a": hours(AUCKLAND)}, "timezone": BERLIN}, BERLIN, BERLIN),
        (
            {
                "hours": {"a": hours(AUCKLAND), "b": hours(BERLIN)},
                "destinations": {"desk": desk("b")},
                "agents": {"x": {"handoff": ["desk"]}},
            },
            BERLIN,
            "None",
        ),
        (
            {
                "hours": {"a": hours(AUCKLAND), "b": hours(BERLIN)},
                "destinations": {"desk": desk("b"), "other": desk("a")},
                "agents": {"x": {"handoff": ["desk", "other"]}},
            },
            "None",
            "None",
        ),
    ],
)
def test_the_zone_of_an_agent_and_of_the_site(tree: dict[str, Any], agent: str, site: str) -> None:
    assert zones(**tree) == (agent, site)


@pytest.mark.parametrize("given", [hours(), HoursSettings.model_validate(hours())])
def test_hours_without_a_zone_have_the_sites(given: Any) -> None:
    settings = Settings.model_validate({"timezone": AUCKLAND, "hours": {"office": given, "berlin": hours(BERLIN)}})
    assert settings.hours["office"].timezone == AUCKLAND
    assert settings.hours["berlin"].timezone == BERLIN
    # Monday, 8:00 in Auckland.
    opens = datetime.fromisoformat("2026-11-29T19:00:00+00:00").timestamp()
    assert settings.hours["office"].calendar.open_at(opens)
    assert not settings.hours["office"].calendar.open_at(opens - 1)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "Europe", "+02:00"])
def test_what_is_no_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="there is no time zone"):
        Settings.model_validate({"timezone": zone})
