"""What the model knows of people, whom it may not put callers through to now, and what callers can leave."""

import json
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.config import AgentSettings, HoursSettings
from ariagent.config.handoff import DestinationSettings
from ariagent.dialogue import builtin_tools as tools
from ariagent.dialogue.destinations import LONGEST_MESSAGE, MOST_MESSAGES, Message, People
from ariagent.dialogue.handoff import Handoff, parse
from ariagent.pool.queues import QueueView

OFFICE = HoursSettings.model_validate({"timezone": "Europe/Berlin", "week": {"mon-fri": "08:00-17:00"}})
MONDAY, SUNDAY = (datetime(2026, 11, day, 12, tzinfo=ZoneInfo("Europe/Berlin")).timestamp() for day in (23, 22))
FREE = QueueView("support", 2, 2, 0, 0, 0, 0, 0.0, 100.0, 0.0)
BUSY = replace(FREE, free=0, busy=2, waiting=3, next_wait_s=240.0)
BREAK = replace(FREE, free=0, paused=2, next_wait_s=None)
EMPTY = replace(FREE, logged_in=0, free=0, next_wait_s=None)
DESK = DestinationSettings(description="the service desk", queue="support", hours="office")
BOSS = DestinationSettings(description="the boss", extension="1002", alternatives=("callback",))
DESTINATIONS = {"desk": DESK, "boss": BOSS}


def people(
    view: QueueView | None = FREE, *, alternatives: tuple[str, ...] = ("wait", "message", "stay"), number: str = ""
) -> People:
    agent = AgentSettings.model_validate({"handoff": ["desk", "boss"], "alternatives": alternatives})
    return People(agent, DESTINATIONS, {"office": OFFICE}, {"support": view}.get, number)


def wish(destination: str = "desk", *, will_wait: bool = False) -> Handoff:
    return Handoff(destination, DESTINATIONS[destination], "model", will_wait=will_wait)


def status(found: People, at: float) -> dict[str, dict[str, object]]:
    output, message = found.answer("people_status", "{}", at)
    assert message is None
    told: dict[str, dict[str, object]] = json.loads(output)
    return told


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
    told = status(people(view), at)["desk"]
    assert told["state"] == words
    can = told.get("caller_can")
    assert (can if can is None else [text.split()[0] for text in can]) == offered  # type: ignore[attr-defined]
    # And so does a transfer, which is refused with the same words.
    refused = people(view).refusal(wish(), at)
    assert (refused is None) == (offered is None)
    if refused is not None:
        assert (refused["state"], refused["caller_can"]) == (words, can)


def test_an_extension_is_only_closed_by_its_hours() -> None:
    assert "not known" in str(status(people(EMPTY), SUNDAY)["boss"]["state"])
    assert people(EMPTY).refusal(wish("boss"), SUNDAY) is None


def test_a_queue_that_does_not_exist() -> None:
    agent = AgentSettings(handoff=("desk",))
    found = People(agent, DESTINATIONS, {"office": OFFICE}, lambda queue: None, "", lambda name: name == "frontline")
    refused = found.refusal(wish(will_wait=True), MONDAY)
    assert refused is not None
    assert refused["state"] == "cannot be reached: there is no such queue"


def test_a_destinations_own_alternatives_count() -> None:
    own = {"desk": DESK.model_copy(update={"alternatives": ("callback",)})}
    found = People(AgentSettings(handoff=("desk",)), own, {"office": OFFICE}, lambda queue: EMPTY)
    told = found.refusal(Handoff("desk", own["desk"], "model"), MONDAY)
    assert told is not None
    assert told["caller_can"] == ["be called back later: take_message, kind callback"]


def test_a_long_wait_is_refused_once() -> None:
    found = people(BUSY)
    assert found.refusal(wish(), MONDAY) is not None
    assert found.refusal(wish(), MONDAY) is None
    assert people(BUSY).refusal(wish(will_wait=True), MONDAY) is None


def test_who_wants_to_wait_where_nobody_is_waits_in_vain() -> None:
    for view, at in ((EMPTY, MONDAY), (FREE, SUNDAY)):
        found = people(view)
        for _ in range(3):
            assert found.refusal(wish(will_wait=True), at) is not None


def test_a_site_that_does_not_ask() -> None:
    place = {"desk": DESK.model_copy(update={"ask_above_s": None})}
    for view in (BUSY, BREAK, EMPTY):
        found = People(AgentSettings(handoff=("desk",)), place, {"office": OFFICE}, {"support": view}.get)
        assert found.refusal(Handoff("desk", place["desk"], "model"), MONDAY) is None
        assert status(found, MONDAY)["desk"]["state"] != "somebody is free"
        assert found.refusal(Handoff("desk", place["desk"], "model"), SUNDAY) is not None


@pytest.mark.parametrize(("said", "waits"), [(True, True), (False, False), ("true", False), (1, False), (None, False)])
def test_what_the_model_says_of_waiting(said: object, waits: bool) -> None:
    wanted = parse(json.dumps({"destination": "desk", "caller_will_wait": said}), DESTINATIONS)
    assert isinstance(wanted, Handoff)
    assert wanted.will_wait is waits


# -- messages ----------------------------------------------------------------------------------------------------------


def leave(found: People, **arguments: object) -> tuple[dict[str, object], Message | None]:
    output, message = found.answer("take_message", json.dumps(arguments), MONDAY)
    return json.loads(output), message


def test_a_message_and_a_callback() -> None:
    found = people(number="+49 30 5551")
    told, message = leave(found, kind="message", text="Mr Field \n wants his bill.")
    assert told == {"ok": True, "noted": "message"}
    assert message == Message("message", "Mr Field wants his bill.", "+49 30 5551", "")
    _, message = leave(found, kind="callback", text="About the bill.", number="0177 1", when="after six")
    assert message == Message("callback", "About the bill.", "0177 1", "after six")


@pytest.mark.parametrize("number", ["", "anonymous", "unknown"])
def test_a_callback_needs_a_number(number: str) -> None:
    told, message = leave(people(number=number), kind="callback", text="Call me.")
    assert message is None
    assert "ask for it" in str(told["error"])


@pytest.mark.parametrize(
    "arguments", ["", "[", "null", "[]", "{}", '{"kind": "fax"}', '{"kind": "message"}', '{"kind":"message","text":7}']
)
def test_what_is_no_message(arguments: str) -> None:
    output, message = people().answer("take_message", arguments, MONDAY)
    assert message is None
    assert "error" in json.loads(output)


def test_not_without_end() -> None:
    found = people()
    taken = [leave(found, kind="message", text=str(n))[1] for n in range(MOST_MESSAGES + 1)]
    assert [message is not None for message in taken] == [True] * MOST_MESSAGES + [False]


@given(st.text())
def test_text_is_bounded_and_can_be_shown(text: str) -> None:
    _, message = leave(people(), kind="message", text=text)
    if message is not None:
        assert 0 < len(message.text) <= LONGEST_MESSAGE
        assert message.text.isprintable()


# -- which functions there are -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alternatives", "destinations", "names"),
    [
        ((), {}, []),
        (("wait", "stay"), {"desk": DESK}, ["transfer_call", "people_status"]),
        (("message",), {}, ["take_message"]),
        ((), DESTINATIONS, ["transfer_call", "people_status", "take_message"]),
    ],
)
def test_an_agent_has_what_its_site_offers(
    alternatives: tuple[str, ...], destinations: dict[str, DestinationSettings], names: list[str]
) -> None:
    agent = AgentSettings.model_validate({"builtin_tools": [], "alternatives": alternatives})
    declared = tools.declarations(agent, destinations)
    assert [each["name"] for each in declared] == names
    for name in ("transfer_call", "people_status", "take_message"):
        assert (tools.own(agent, name, destinations) is not None) == (name in names)


def test_only_what_the_site_offers_can_be_noted() -> None:
    agent = AgentSettings(alternatives=("callback",))
    (declared,) = (each for each in tools.declarations(agent) if each["name"] == "take_message")
    assert declared["parameters"]["properties"]["kind"]["enum"] == ["callback"]
    _, message = leave(People(agent, {}, {}, lambda queue: None, "1"), kind="message", text="x")
    assert message is None
