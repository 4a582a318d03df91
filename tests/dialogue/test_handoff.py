"""A transfer: where it leads, and what the human agent is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.config import AgentSettings
from ariagent.config.handoff import DestinationSettings
from ariagent.dialogue.handoff import LONGEST_TEXT, Handoff, caller_id, clean

QUEUE = DestinationSettings(description="the service desk", queue="support", timeout_s=45)
BOSS = DestinationSettings(description="the boss", extension="1002", context="inside")


def test_places_in_the_dialplan() -> None:
    assert Handoff("desk", QUEUE, "model").place == ("ariagent-handoff", "support")
    assert Handoff("boss", BOSS, "model").place == ("ariagent-dial", "1002")


def test_a_key_takes_the_call_by_a_place_that_an_older_dialplan_does_not_have() -> None:
    desk, boss = (place.model_copy(update={"accept": "5"}) for place in (QUEUE, BOSS))
    assert Handoff("desk", desk, "model").place == ("ariagent-accept-queue", "support")
    assert Handoff("boss", boss, "model").place == ("ariagent-accept-dial", "1002")
    assert Handoff("desk", desk, "model", joins="Local/x;1").place == ("ariagent-join", "support")
    assert Handoff("desk", desk, "model").screen_pop("17.4", "es")["ARIAGENT_ACCEPT"] == "5"


def test_the_screen_pop() -> None:
    fields = {"order": "17", "city": "Ulm"}
    pop = Handoff("boss", BOSS, "model", "why", "what", fields).screen_pop("17.4", "es", "/b")
    assert pop == {
        "__ARIAGENT_CALL": "17.4",
        "__ARIAGENT_AGENT": "",
        "__ARIAGENT_RETURNED": "",
        "__ARIAGENT_REASON": "why",
        "__ARIAGENT_SUMMARY": "what",
        "__ARIAGENT_LANGUAGE": "es",
        "__ARIAGENT_FIELDS": "order=17; city=Ulm",
        "__ARIAGENT_FIELD_ORDER": "17",
        "__ARIAGENT_FIELD_CITY": "Ulm",
        "__ARIAGENT_PREFIX": "",
        "ARIAGENT_ANNOUNCEMENT": "/b",
        "ARIAGENT_JOIN": "",
        "ARIAGENT_ACCEPT": "",
        "ARIAGENT_TIMEOUT": "60",
        "ARIAGENT_DIAL_CONTEXT": "inside",
    }


def test_a_place_to_join() -> None:
    assert Handoff("desk", QUEUE, "model", joins="Local/support@ariagent-warm-1;1").place == (
        "ariagent-join",
        "support",
    )


@given(st.one_of(st.text(), st.integers(), st.none()))
def test_variables_are_one_line_of_bounded_length(text: object) -> None:
    cleaned = clean(text)
    assert len(cleaned.encode()) <= LONGEST_TEXT
    assert cleaned == "" or cleaned.isprintable()


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


def test_only_what_the_model_wants_can_be_prevented_by_speaking() -> None:
    assert not Handoff("desk", QUEUE, "model").final
    for wanted in (Handoff("desk", QUEUE, "caller"), Handoff("desk", QUEUE, "model", joins="Local/1")):
        assert wanted.final
