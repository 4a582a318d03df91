"""Hand-off: what the model is told, and how its wish is read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.config import AgentSettings
from ariagent.config.handoff import DestinationSettings
from ariagent.dialogue.handoff import (
    LONGEST_TEXT,
    Handoff,
    brief_request,
    caller_id,
    clean,
    declaration,
    parse,
    returned_note,
)

QUEUE = DestinationSettings(description="the service desk", queue="support", timeout_s=45)
BOSS = DestinationSettings(description="the boss", extension="1002", context="inside")
DESTINATIONS = {"desk": QUEUE, "boss": BOSS}


def asked(**arguments: object) -> Handoff | str:
    return parse(json.dumps(arguments), DESTINATIONS)


def test_the_model_sees_names_and_descriptions_but_no_numbers() -> None:
    text = json.dumps(declaration(DESTINATIONS))
    assert "desk: the service desk" in text
    assert '"enum": ["desk", "boss"]' in text
    assert "1002" not in text
    assert "support" not in text


def test_a_wish() -> None:
    wanted = asked(destination="desk", reason="a bill", summary="They want a copy of a bill.")
    assert wanted == Handoff("desk", QUEUE, "model", "a bill", "They want a copy of a bill.")


@pytest.mark.parametrize(
    "arguments", ["", "{", "[]", "null", "{}", '{"destination": 7}', '{"destination": "0190123456"}', "[" * 100_000]
)
def test_what_cannot_be_read_or_is_not_allowed_leads_nowhere(arguments: str) -> None:
    assert isinstance(parse(arguments, DESTINATIONS), str)


@given(st.text())
def test_no_text_leads_anywhere_else(text: str) -> None:
    wanted = asked(destination=text)
    assert isinstance(wanted, str) or wanted.name in DESTINATIONS


def test_places_in_the_dialplan() -> None:
    assert Handoff("desk", QUEUE, "model").place == ("ariagent-handoff", "support")
    assert Handoff("boss", BOSS, "model").place == ("ariagent-dial", "1002")


def test_the_screen_pop() -> None:
    fields = {"order": "17", "city": "Ulm"}
    pop = Handoff("boss", BOSS, "model", "why", "what", fields).screen_pop("17.4", "es", "/b")
    assert pop == {
        "__ARIAGENT_CALL": "17.4",
        "__ARIAGENT_REASON": "why",
        "__ARIAGENT_SUMMARY": "what",
        "__ARIAGENT_LANGUAGE": "es",
        "__ARIAGENT_FIELDS": "order=17; city=Ulm",
        "__ARIAGENT_FIELD_ORDER": "17",
        "__ARIAGENT_FIELD_CITY": "Ulm",
        "__ARIAGENT_PREFIX": "",
        "ARIAGENT_BRIEF": "/b",
        "ARIAGENT_JOIN": "",
        "ARIAGENT_TIMEOUT": "60",
        "ARIAGENT_DIAL_CONTEXT": "inside",
    }


def test_a_place_to_join() -> None:
    assert Handoff("desk", QUEUE, "model", joins="Local/support@ariagent-warm-1;1").place == (
        "ariagent-join",
        "support",
    )


def test_only_the_fields_of_the_destination_are_passed_on() -> None:
    desk = QUEUE.model_copy(update={"fields": {"order": "number of the order"}})
    text = json.dumps({"destination": "desk", "fields": {"order": 17, "SECRET": "x"}})
    wanted = parse(text, {"desk": desk})
    assert isinstance(wanted, Handoff)
    assert wanted.fields == {"order": "17"}
    assert "number of the order" in json.dumps(declaration({"desk": desk}))
    assert "fields" not in declaration(DESTINATIONS)["parameters"]["properties"]


def test_a_summary_is_read_out_as_it_is_or_made_of_the_conversation() -> None:
    assert brief_request(Handoff("desk", QUEUE, "model", "why", "what"), "en") == ("Say exactly: what", True)
    assert brief_request(Handoff("desk", QUEUE, "model", "why"), "en") == ("Say exactly: why", True)
    instructions, alone = brief_request(Handoff("desk", QUEUE, "anna"), "de")
    assert "language de" in instructions
    assert not alone


@given(st.one_of(st.text(), st.integers(), st.none()))
def test_variables_are_one_line_of_bounded_length(text: object) -> None:
    cleaned = clean(text)
    assert len(cleaned.encode()) <= LONGEST_TEXT
    assert cleaned == "" or cleaned.isprintable()


@pytest.mark.parametrize(
    ("status", "why"), [("TIMEOUT", "in time"), ("BUSY", "busy"), ("", "could not"), ("?", "could not")]
)
def test_the_model_knows_why_the_caller_is_back(status: str, why: str) -> None:
    assert why in returned_note("desk", status)


def test_a_destination_is_a_queue_or_an_extension() -> None:
    with pytest.raises(ValueError, match="not both"):
        DestinationSettings(description="x", queue="a", extension="1")
    with pytest.raises(ValueError, match="not both"):
        DestinationSettings(description="x")


def test_an_agent_hands_nobody_on_unless_it_may() -> None:
    assert AgentSettings().handoff == ()


@pytest.mark.parametrize(
    ("name", "number", "shown"),
    [
        ("Ann Lee", "5551000", '"Ann Lee" <5551000>'),
        ("", "", '"" <>'),
        ('Ann" <110> "', "5551000", '"Ann 110" <5551000>'),
        ("a\\", '1> "x" <2', '"a" <1 x 2>'),
        ("a\r\nb", "5\x00", '"a b" <5>'),
    ],
)
def test_whoever_calls_cannot_be_shown_as_somebody_else(name: str, number: str, shown: str) -> None:
    assert caller_id(name, number) == shown
