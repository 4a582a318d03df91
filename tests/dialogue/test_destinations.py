"""Destinations that the model knows, and those to which it may not transfer callers now."""

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from ariagent.config import AgentSettings, HoursSettings
from ariagent.config.handoff import DestinationSettings
from ariagent.dialogue.destinations import Destinations
from ariagent.dialogue.handoff import Handoff
from ariagent.pool.queues import QueueView

OFFICE = HoursSettings.model_validate({"timezone": "Europe/Berlin", "week": {"mon-fri": "08:00-17:00"}})
MONDAY, SUNDAY = (datetime(2026, 11, day, 12, tzinfo=ZoneInfo("Europe/Berlin")).timestamp() for day in (23, 22))
FREE = QueueView("support", 2, 2, 0, 0, 0, 0, 0.0, 100.0, 0.0)
BUSY = replace(FREE, free=0, busy=2, waiting=3, next_wait_s=240.0)
BREAK = replace(FREE, free=0, paused=2, next_wait_s=None)
EMPTY = replace(FREE, logged_in=0, free=0, next_wait_s=None)
DESK = DestinationSettings(description="the service desk", queue="support", hours="office")
BOSS = DestinationSettings(description="the boss", extension="1002", alternatives=("callback",))
PLACES = {"desk": DESK, "boss": BOSS}


def destinations(
    view: QueueView | None = FREE, *, alternatives: tuple[str, ...] = ("wait", "message", "stay")
) -> Destinations:
    agent = AgentSettings.model_validate({"handoff": ["desk", "boss"], "alternatives": alternatives})
    return Destinations(agent, PLACES, {"office": OFFICE}, {"support": view}.get)


def wish(destination: str = "desk", *, will_wait: bool = False) -> Handoff:
    return Handoff(destination, PLACES[destination], "model", will_wait=will_wait)


@pytest.mark.parametrize(
    ("view", "at", "words", "offered"),
    [
        (FREE, MONDAY, "somebody is free", None),
        (FREE, SUNDAY, "closed until tomorrow, 8:00", ["leave", "stay"]),
        (EMPTY, MONDAY, "nobody is logged in", ["leave", "stay"]),
        (BREAK, MONDAY, "everybody is on a break", ["wait:", "leave", "stay"]),
        (
            BUSY,
            MONDAY,
            "everybody is busy, 3 callers are waiting, the wait is about 4 minutes",
            ["wait:", "leave", "stay"],
        ),
        (
            replace(BUSY, next_wait_s=90.0),
            MONDAY,
            "everybody is busy, 3 callers are waiting, the wait is about 2 minutes",
            None,
        ),
        (
            replace(BUSY, next_wait_s=None),
            MONDAY,
            "everybody is busy, 3 callers are waiting, how long it takes is not known",
            None,
        ),
        (None, MONDAY, "can be tried; whether somebody is free is not known", None),
        (None, SUNDAY, "closed until tomorrow, 8:00", ["leave", "stay"]),
    ],
)
def test_how_a_queue_stands(view: QueueView | None, at: float, words: str, offered: list[str] | None) -> None:
    told = destinations(view).status(at)["desk"]
    assert told["state"] == words
    can = told.get("caller_can")
    assert (can if can is None else [text.split()[0] for text in can]) == offered  # type: ignore[attr-defined]
    # And so does a transfer, which is refused with the same words.
    refused = destinations(view).refusal(wish(), at)
    assert (refused is None) == (offered is None)
    if refused is not None:
        assert (refused["state"], refused["caller_can"]) == (words, can)


def test_an_extension_is_only_closed_by_its_hours() -> None:
    assert "not known" in str(destinations(EMPTY).status(SUNDAY)["boss"]["state"])
    assert destinations(EMPTY).refusal(wish("boss"), SUNDAY) is None


def test_a_queue_that_does_not_exist() -> None:
    agent = AgentSettings(handoff=("desk",))
    found = Destinations(agent, PLACES, {"office": OFFICE}, lambda queue: None, lambda name: name == "frontline")
    refused = found.refusal(wish(will_wait=True), MONDAY)
    assert refused is not None
    assert refused["state"] == "cannot be reached: there is no such queue"
    assert found.state("desk", MONDAY).wrong
    assert not destinations(None).state("desk", MONDAY).wrong


def test_a_destinations_own_alternatives_count() -> None:
    own = {"desk": DESK.model_copy(update={"alternatives": ("callback",)})}
    found = Destinations(AgentSettings(handoff=("desk",)), own, {"office": OFFICE}, lambda queue: EMPTY)
    told = found.refusal(Handoff("desk", own["desk"], "model"), MONDAY)
    assert told is not None
    assert told["caller_can"] == ["be called back later: take_message, kind callback"]


def test_a_long_wait_is_refused_once() -> None:
    found = destinations(BUSY)
    assert found.refusal(wish(), MONDAY) is not None
    assert found.refusal(wish(), MONDAY) is None
    assert destinations(BUSY).refusal(wish(will_wait=True), MONDAY) is None


def test_who_wants_to_wait_where_nobody_is_waits_in_vain() -> None:
    for view, at in ((EMPTY, MONDAY), (FREE, SUNDAY)):
        found = destinations(view)
        for _ in range(3):
            assert found.refusal(wish(will_wait=True), at) is not None


def test_a_site_that_does_not_ask() -> None:
    place = {"desk": DESK.model_copy(update={"ask_above_s": None})}
    for view in (BUSY, BREAK, EMPTY):
        found = Destinations(AgentSettings(handoff=("desk",)), place, {"office": OFFICE}, {"support": view}.get)
        assert found.refusal(Handoff("desk", place["desk"], "model"), MONDAY) is None
        assert found.status(MONDAY)["desk"]["state"] != "somebody is free"
        assert found.refusal(Handoff("desk", place["desk"], "model"), SUNDAY) is not None


def test_the_first_one_is_for_callers_who_ask_by_key() -> None:
    found = Destinations(AgentSettings(handoff=("boss", "desk")), PLACES, {"office": OFFICE}, lambda queue: None)
    assert found.first == ("boss", BOSS)
    assert Destinations(AgentSettings(), PLACES, {}, lambda queue: None).first is None


def test_an_agent_has_only_the_destinations_that_its_settings_name() -> None:
    assert list(Destinations(AgentSettings(handoff=("boss",)), PLACES, {}, lambda queue: None).places) == ["boss"]


@pytest.mark.parametrize(
    ("alternatives", "handoff", "kinds"),
    [
        (("wait", "stay"), (), []),
        (("callback", "message"), (), ["message", "callback"]),
        ((), ("boss",), ["callback"]),
        (("message",), ("desk", "boss"), ["message", "callback"]),
    ],
)
def test_what_callers_may_leave(alternatives: tuple[str, ...], handoff: tuple[str, ...], kinds: list[str]) -> None:
    agent = AgentSettings.model_validate({"handoff": handoff, "alternatives": alternatives})
    assert Destinations(agent, PLACES, {"office": OFFICE}, lambda queue: None).message_kinds == kinds
