"""Hand-off: what the model is told, and how its wish is read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.call.handoff import LONGEST_TEXT, Handoff, clean, declaration, parse, returned_note
from ariagent.config import AgentSettings
from ariagent.config.handoff import DestinationSettings

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


def test_who_waits_on_the_line_is_told_to_the_dialplan_and_nobody_is_called() -> None:
    phone = DestinationSettings(extension="1004", description="x")
    wanted = Handoff("supervisor", phone, "phone 1004", joins="PJSIP/1")
    assert wanted.place == ("ariagent-join", "1004")
    assert wanted.screen_pop("1.2", "en")["ARIAGENT_JOIN"] == "PJSIP/1"
    assert wanted.final


def test_the_screen_pop() -> None:
    pop = Handoff("boss", BOSS, "model", "why", "what").screen_pop("17.4", "es")
    assert pop == {
        "__ARIAGENT_CALL": "17.4",
        "__ARIAGENT_REASON": "why",
        "__ARIAGENT_SUMMARY": "what",
        "__ARIAGENT_LANGUAGE": "es",
        "ARIAGENT_JOIN": "",
        "ARIAGENT_TIMEOUT": "60",
        "ARIAGENT_DIAL_CONTEXT": "inside",
    }


@given(st.one_of(st.text(), st.integers(), st.none()))
def test_variables_are_one_line_of_bounded_length(text: object) -> None:
    cleaned = clean(text)
    assert len(cleaned) <= LONGEST_TEXT
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
