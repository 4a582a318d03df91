"""ariagent's own tools: which an agent has, how their arguments are read, and what comes of a call."""

import json
import typing
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from ariagent.config import AgentSettings, HoursSettings
from ariagent.config.handoff import DestinationSettings
from ariagent.dialogue.builtin_tools import (
    LONGEST_ERROR,
    LONGEST_MESSAGE,
    MOST_MESSAGES,
    NAMES,
    BuiltinTools,
    CollectDigits,
    Handled,
    HoldOn,
    validated,
)
from ariagent.dialogue.destinations import Destinations
from ariagent.dialogue.effects import (
    EndRequested,
    TransferRequested,
    WarmTransferCancelled,
    WarmTransferRequested,
)
from ariagent.dialogue.events import MessageTaken, TransferDeclined
from ariagent.dialogue.handoff import Handoff
from ariagent.dialogue.keypad import Collect
from ariagent.pool.queues import QueueView
from ariagent.realtime.events import ToolCall

OFFICE = HoursSettings.model_validate({"timezone": "Europe/Berlin", "week": {"mon-fri": "08:00-17:00"}})
MONDAY, SUNDAY = (datetime(2026, 11, day, 12, tzinfo=ZoneInfo("Europe/Berlin")).timestamp() for day in (23, 22))
FREE = QueueView("support", 2, 2, 0, 0, 0, 0, 0.0, 100.0, 0.0)
DESK = DestinationSettings(description="the service desk", queue="support", timeout_s=45, hours="office")
BOSS = DestinationSettings(description="the boss", extension="1002", context="inside", alternatives=("callback",))
EXPERT = DestinationSettings(description="an expert", extension="1003", kind="warm")
PLACES = {"desk": DESK, "boss": BOSS}
STANDARD = ["end_call", "collect_digits", "hold_on"]


def tools(
    places: Mapping[str, DestinationSettings] = PLACES,
    *,
    number: str = "",
    has_queue: bool | None = None,
    view: QueueView | None = FREE,
    **agent: Any,
) -> BuiltinTools:
    """The tools of an agent with all of these destinations."""
    settings = AgentSettings.model_validate({"handoff": list(places), **agent})
    found = Destinations(settings, places, {"office": OFFICE}, lambda queue: view, lambda queue: has_queue)
    return BuiltinTools(settings, found, number)


def run(of: BuiltinTools, name: str, arguments: object = None, at: float = MONDAY) -> Handled:
    """The outcome of a call; ``arguments``: a text as it is, anything else as JSON."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    handled = of.run(ToolCall("c1", name, text), at)
    assert handled is not None
    return handled


def told(handled: Handled) -> dict[str, Any]:
    """The result that the model gets."""
    assert handled.result is not None
    result: dict[str, Any] = json.loads(handled.result)
    return result


def names(of: BuiltinTools) -> list[str]:
    return [declared["name"] for declared in of.declarations]


class TestWhichThereAre:
    def test_all_are_there_unless_the_site_says_otherwise(self) -> None:
        assert names(tools({})) == STANDARD
        assert names(tools({}, builtin_tools=["hold_on"])) == ["hold_on"]
        assert tools({}, builtin_tools=[]).declarations == ()

    def test_each_tells_the_model_what_it_is_for(self) -> None:
        every = tools({**PLACES, "expert": EXPERT}).declarations
        assert sorted(declared["name"] for declared in every) == sorted(NAMES)
        for declared in every:
            assert declared["type"] == "function"
            assert declared["description"]
            assert declared["parameters"]["type"] == "object"

    @pytest.mark.parametrize("name", ["", "hang_up", "END_CALL", "x" * 1000])
    def test_other_names_are_not_ours(self, name: str) -> None:
        assert tools().run(ToolCall("c1", name, "{}"), MONDAY) is None

    def test_one_that_the_agent_does_not_have_is_not_run(self) -> None:
        assert tools(builtin_tools=[]).run(ToolCall("c1", "end_call", "{}"), MONDAY) is None
        assert tools().run(ToolCall("c1", "end_call", "{}"), MONDAY) is not None

    @pytest.mark.parametrize(
        ("alternatives", "places", "found"),
        [
            ((), {}, []),
            (("wait", "stay"), {"desk": DESK}, ["transfer_call", "transfer_status"]),
            (("message",), {}, ["take_message"]),
            ((), PLACES, ["transfer_call", "transfer_status", "take_message"]),
            ((), {"expert": EXPERT}, ["transfer_call", "cancel_transfer", "transfer_status"]),
        ],
    )
    def test_an_agent_has_what_its_site_offers(
        self, alternatives: tuple[str, ...], places: dict[str, DestinationSettings], found: list[str]
    ) -> None:
        own = tools(places, builtin_tools=[], alternatives=alternatives)
        assert names(own) == found
        for name in NAMES:
            assert (own.run(ToolCall("c1", name, "{}"), MONDAY) is not None) == (name in found)

    def test_the_names_that_agents_can_choose_are_ours(self) -> None:
        annotation = AgentSettings.model_fields["builtin_tools"].annotation
        assert [*typing.get_args(typing.get_args(annotation)[0])] == STANDARD


class TestArguments:
    class Wanted(BaseModel):
        number: int = 0

    @pytest.mark.parametrize("text", ["", "  ", "{}", '{"other": 1}'])
    def test_nothing_is_the_default(self, text: str) -> None:
        assert validated(self.Wanted, text) == self.Wanted()

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("{", "JSON"),
            ("[]", "arguments"),
            ("null", "arguments"),
            ('{"number": "x"}', "number"),
            ("[" * 100_000, "JSON"),
        ],
    )
    def test_what_is_wrong_is_told_in_few_words(self, text: str, said: str) -> None:
        wrong = validated(self.Wanted, text)
        assert isinstance(wrong, str)
        assert said in wrong
        assert len(wrong) <= LONGEST_ERROR

    @pytest.mark.parametrize("text", ["", "[", "null", "[]", '{"reason": "they are done"}'])
    @pytest.mark.parametrize("name", ["end_call", "hold_on", "cancel_transfer", "transfer_status"])
    def test_a_tool_that_takes_none_ignores_what_the_model_writes_there(self, name: str, text: str) -> None:
        places = {"expert": EXPERT}
        assert run(tools(places), name, text) == run(tools(places), name)
        assert "error" not in told(run(tools(places), name, text))


class TestWithoutArguments:
    """Tools about which the model has nothing to say."""

    def test_the_call_ends(self) -> None:
        assert run(tools(), "end_call") == Handled('{"ok": true}', False, (EndRequested("agent_ended"),))

    def test_the_caller_asked_to_wait(self) -> None:
        assert run(tools(), "hold_on") == Handled('{"ok": true}', False, (HoldOn(),))

    def test_nobody_is_looked_for_any_more(self) -> None:
        handled = run(tools({"expert": EXPERT}), "cancel_transfer")
        assert handled == Handled('{"ok": true}', False, (WarmTransferCancelled(),))


class TestDigits:
    def test_come_later(self) -> None:
        handled = run(tools(), "collect_digits", {"length": 4})
        assert handled == Handled(None, effects=(CollectDigits("c1", Collect(4, 4)),))

    def test_wrong_arguments_are_told_at_once_and_collect_nothing(self) -> None:
        handled = run(tools(), "collect_digits", {"length": 0})
        assert "length" in told(handled)["error"]
        assert (handled.needs_response, handled.effects) == (True, ())


class TestTransfer:
    def wish(self, of: BuiltinTools | None = None, **arguments: object) -> Handoff | None:
        """The transfer that comes of a call; None: it was refused, with a reason."""
        handled = run(of or tools(), "transfer_call", arguments)
        if not handled.effects:
            assert told(handled)["error"]
            assert handled.needs_response
            return None
        assert (told(handled), handled.needs_response) == ({"ok": True}, False)
        [effect] = handled.effects
        assert isinstance(effect, TransferRequested | WarmTransferRequested)
        return effect.handoff

    def test_the_model_sees_names_and_descriptions_but_no_numbers(self) -> None:
        text = json.dumps(tools().declarations)
        assert "desk: the service desk" in text
        assert '"enum": ["desk", "boss"]' in text
        assert "1002" not in text
        assert "support" not in text

    def test_a_wish(self) -> None:
        wanted = self.wish(destination="desk", reason="a bill", summary="They want a copy of a bill.")
        assert wanted == Handoff("desk", DESK, "model", "a bill", "They want a copy of a bill.")

    @pytest.mark.parametrize(
        "arguments", ["", "{", "[]", "null", "{}", '{"destination": 7}', '{"destination": "0190"}', "[" * 100_000]
    )
    def test_what_cannot_be_read_or_is_not_allowed_leads_nowhere(self, arguments: str) -> None:
        handled = run(tools(), "transfer_call", arguments)
        assert told(handled)["error"]
        assert (handled.needs_response, handled.effects) == (True, ())

    @given(st.text())
    def test_no_text_leads_anywhere_else(self, text: str) -> None:
        wanted = self.wish(destination=text)
        assert wanted is None or wanted.name in PLACES

    def test_only_the_fields_of_the_destination_are_passed_on(self) -> None:
        desk = DESK.model_copy(update={"fields": {"order": "number of the order", "city": "where they live"}})
        of = tools({"desk": desk})
        wanted = self.wish(of, destination="desk", fields={"order": 17, "city": None, "SECRET": "x"})
        assert wanted is not None
        assert wanted.fields == {"order": "17"}
        assert "number of the order" in json.dumps(of.declarations)
        assert "fields" not in json.dumps(tools().declarations)

    @pytest.mark.parametrize("wrong", [7, None, ["x"], {"order": 1}])
    def test_a_reason_that_is_no_text_is_none(self, wrong: object) -> None:
        wanted = self.wish(destination="desk", reason=wrong, summary=wrong, fields=["order"])
        assert wanted == Handoff("desk", DESK, "model")

    @pytest.mark.parametrize(
        ("said", "waits"), [(True, True), (False, False), ("true", False), (1, False), (None, False)]
    )
    def test_what_the_model_says_of_waiting(self, said: object, waits: bool) -> None:
        wanted = self.wish(destination="desk", caller_will_wait=said)
        assert wanted is not None
        assert wanted.will_wait is waits

    def test_to_a_warm_one_the_caller_stays_meanwhile(self) -> None:
        of = tools({"expert": EXPERT})
        [effect] = run(of, "transfer_call", {"destination": "expert"}).effects
        assert effect == WarmTransferRequested(Handoff("expert", EXPERT, "model"))
        assert "With expert, say that you are calling a human agent" in json.dumps(of.declarations)
        assert "calling a human agent" not in json.dumps(tools().declarations)

    def test_one_that_is_of_no_use_now_is_declined_with_the_state_and_what_the_caller_can_do(self) -> None:
        handled = run(tools(), "transfer_call", {"destination": "desk"}, SUNDAY)
        assert handled.needs_response
        result = told(handled)
        assert "not transferred" in result["error"]
        assert result["state"] == "closed until tomorrow, 8:00"
        assert result["caller_can"] == ["stay with you: help them yourself as far as you can"]
        assert handled.effects == (TransferDeclined("desk", "briefed", result["state"], wrong=False),)

    def test_one_to_a_queue_that_does_not_exist_is_a_fault_of_the_settings(self) -> None:
        of = tools(view=None, has_queue=False)
        [declined] = run(of, "transfer_call", {"destination": "desk"}).effects
        assert isinstance(declined, TransferDeclined)
        assert declined.wrong

    def test_the_model_can_look_first(self) -> None:
        handled = run(tools(), "transfer_status", at=SUNDAY)
        assert told(handled)["desk"]["state"] == "closed until tomorrow, 8:00"
        assert "not known" in told(handled)["boss"]["state"]
        assert (handled.needs_response, handled.effects) == (True, ())


class TestMessages:
    def leave(self, of: BuiltinTools, **arguments: object) -> tuple[dict[str, Any], MessageTaken | None]:
        handled = run(of, "take_message", arguments)
        assert handled.needs_response
        taken = [effect for effect in handled.effects if isinstance(effect, MessageTaken)]
        assert len(taken) == len(handled.effects)
        assert ("error" in told(handled)) == (not taken)
        return told(handled), next(iter(taken), None)

    def desk(self, *, number: str = "") -> BuiltinTools:
        return tools(number=number, alternatives=["wait", "message", "stay"])

    def test_a_message_and_a_callback(self) -> None:
        of = self.desk(number="+49 30 5551")
        result, message = self.leave(of, kind="message", text="Mr Field \n wants his bill.")
        assert result == {"ok": True, "noted": "message"}
        assert message == MessageTaken("message", "Mr Field wants his bill.", "+49 30 5551", "")
        _, message = self.leave(of, kind="callback", text="About the bill.", number="0177 1", when="after six")
        assert message == MessageTaken("callback", "About the bill.", "0177 1", "after six")

    def test_the_number_is_that_of_who_is_on_the_line_now(self) -> None:
        of = self.desk(number="5551000")
        of.caller_number = "5552000"
        assert self.leave(of, kind="callback", text="Call me.")[1] == MessageTaken(
            "callback", "Call me.", "5552000", ""
        )

    @pytest.mark.parametrize("number", ["", "anonymous", "unknown"])
    def test_a_callback_needs_a_number(self, number: str) -> None:
        result, message = self.leave(self.desk(number=number), kind="callback", text="Call me.")
        assert message is None
        assert "ask for it" in result["error"]

    @pytest.mark.parametrize(
        "arguments",
        ["", "[", "null", "[]", "{}", '{"kind": "fax"}', '{"kind": "message"}', '{"kind":"message","text":7}'],
    )
    def test_what_is_no_message(self, arguments: str) -> None:
        handled = run(self.desk(), "take_message", arguments)
        assert handled.effects == ()
        assert "error" in told(handled)

    def test_not_without_end(self) -> None:
        of = self.desk()
        taken = [self.leave(of, kind="message", text=str(n))[1] for n in range(MOST_MESSAGES + 1)]
        assert [message is not None for message in taken] == [True] * MOST_MESSAGES + [False]

    @given(st.text())
    def test_text_is_bounded_and_can_be_shown(self, text: str) -> None:
        _, message = self.leave(self.desk(), kind="message", text=text)
        if message is not None:
            assert 0 < len(message.text) <= LONGEST_MESSAGE
            assert message.text.isprintable()

    def test_only_what_the_site_offers_can_be_noted(self) -> None:
        of = tools({}, alternatives=["callback"], number="1")
        (declared,) = (each for each in of.declarations if each["name"] == "take_message")
        assert declared["parameters"]["properties"]["kind"]["enum"] == ["callback"]
        assert self.leave(of, kind="message", text="x")[1] is None
