"""The party that answered: from the messages that Asterisk 22.10.1 sends about the half of a call that runs the
dialplan."""

from typing import Any

import pytest

from ariagent.ami.events import MemberState, MemberStatus
from ariagent.caller.answerer import Answerer
from ariagent.caller.plan import CallPlan, no_extension
from ariagent.caller.script import HangUp, Script
from ariagent.caller.whynot import told_by_health, told_by_seats

Message = dict[str, Any]


def step(app: str, data: str = "", context: str = "ariagent-internal", extension: str = "7000") -> Message:
    place = {"context": context, "exten": extension, "priority": 3, "app_name": app, "app_data": data}
    channel = {"id": "caller-1;2", "state": "Ring", "dialplan": place}
    return {"type": "ChannelDialplan", "channel": channel, "dialplan_app": app, "dialplan_app_data": data}


def variable(name: str, value: str) -> Message:
    return {"type": "ChannelVarset", "channel": {"id": "caller-1;2"}, "variable": name, "value": value}


UP: Message = {"type": "ChannelStateChange", "channel": {"id": "caller-1;2", "state": "Up"}}


def after(*messages: Message, app: str = "ariagent") -> Answerer:
    found = Answerer(app)
    for message in messages:
        found.take(message)
    return found


DIRECT = (
    variable("ARIAGENT_RESULT", ""),
    variable("__ARIAGENT_QUEUE", ""),
    step("Ringing"),
    step("Stasis", "ariagent"),
)
QUEUED = (variable("__ARIAGENT_QUEUE", "frontline"), step("Queue", "frontline,tcr,,,30"))
TO_HUMAN_AGENTS = (step("GotoIf", "0?done"), step("Answer"), UP, step("Queue", "support,tc,,,300"))
SERVED = (variable("STASISSTATUS", ""), variable("BRIDGEPEER", "AudioSocket/127.0.0.1:9092-uuid"))


def test_the_ai_takes_a_direct_call() -> None:
    found = after(*DIRECT, *SERVED)
    assert (found.who, found.gave_up) == ("unknown", False)  # its media is there, the caller is not answered
    found.take(UP)
    assert (found.who, found.answered, found.gave_up) == ("ai", "the AI answered", False)


def test_a_seat_takes_a_queue_call() -> None:
    found = after(*QUEUED, variable("MEMBERINTERFACE", "Local/01@ariagent-seat/nm"), variable("MEMBERNAME", "AI"), UP)
    assert (found.who, found.gave_up) == ("ai", False)
    # A human agent to whom the AI transfers the caller changes nothing.
    found.take(step("Queue", "support,tcb"))
    found.take(variable("MEMBERINTERFACE", "PJSIP/1001"))
    found.take(variable("MEMBERNAME", "Anna"))
    assert (found.who, found.gave_up) == ("ai", False)


def test_a_site_that_answers_first_and_then_asks_the_ai() -> None:
    found = after(step("Answer"), UP, step("Playback", "welcome"), step("Stasis", "ariagent,sales"))
    assert (found.who, found.answered) == ("other", "the dialplan answered with Stasis(ariagent,sales)")
    for message in SERVED:
        found.take(message)
    assert found.who == "ai"


@pytest.mark.parametrize(
    ("app", "serves"),
    [("ariagent", True), ("ariagent-1", True), ("ariagent-caller-1a2b", False), ("other", False), ("ariagent2", False)],
)
def test_the_services_applications(app: str, serves: bool) -> None:
    assert after(step("Stasis", app), UP, *SERVED).who == ("ai" if serves else "other")


def test_without_a_service_the_human_queue_answers() -> None:
    found = after(*DIRECT, variable("STASISSTATUS", ""), variable("STASISSTATUS", "FAILED"), *TO_HUMAN_AGENTS[:3])
    assert not found.gave_up  # it is answered, but nobody has got it yet
    found.take(TO_HUMAN_AGENTS[3])
    assert (found.who, found.answered, found.gave_up) == ("queue", "queue support answered", True)
    assert found.why_not == ["no service is connected to Asterisk as the application ariagent"]


@pytest.mark.parametrize(("result", "word"), [("no_model", "model"), ("busy", "capacity"), ("error", "conversation")])
def test_the_service_gives_a_direct_call_back(result: str, word: str) -> None:
    found = after(*DIRECT, variable("ARIAGENT_RESULT", result), variable("STASISSTATUS", "SUCCESS"), *TO_HUMAN_AGENTS)
    assert (found.who, found.gave_up, found.broke_off) == ("queue", True, "")
    assert len(found.why_not) == 1
    assert word in found.why_not[0]


@pytest.mark.parametrize(
    ("status", "word"),
    [("JOINEMPTY", "takes calls"), ("LEAVEEMPTY", "takes calls"), ("TIMEOUT", "in time"), ("FULL", "full")],
)
def test_no_seat_takes_the_call(status: str, word: str) -> None:
    found = after(*QUEUED, variable("QUEUESTATUS", status))
    assert not found.gave_up
    for message in TO_HUMAN_AGENTS:
        found.take(message)
    assert (found.who, found.answered, found.gave_up) == ("queue", "queue support answered", True)
    assert found.why_not == [f"queue frontline: {found.why_not[0].partition(': ')[2]}"]
    assert word in found.why_not[0]


def test_a_dialplan_that_knows_beforehand_that_no_seat_takes_calls() -> None:
    """It names the queue of AI seats, and does not even try it."""
    found = after(variable("__ARIAGENT_QUEUE", "frontline"), *TO_HUMAN_AGENTS)
    assert (found.who, found.gave_up, found.why_not) == ("queue", True, [])


def test_the_ai_breaks_the_call_off() -> None:
    found = after(*QUEUED, variable("MEMBERINTERFACE", "Local/01@ariagent-seat/nm"), UP)
    found.take(variable("SHARED(ARIAGENT_RESULT)", "error"))
    assert (found.who, found.broke_off, found.gave_up) == ("ai", "the conversation failed in the service", False)


@pytest.mark.parametrize("done", ["done", "transferred", "person", ""])
def test_a_call_that_the_ai_ended_was_not_broken_off(done: str) -> None:
    assert after(*DIRECT, UP, variable("ARIAGENT_RESULT", done)).broke_off == ""


def test_a_human_agent_is_not_talked_to_by_a_machine() -> None:
    found = after(step("Answer"), UP, step("Queue", "support"))
    assert (found.who, found.gave_up) == ("queue", False)  # there may be AI seats in it
    found.take(variable("MEMBERINTERFACE", "PJSIP/1001"))
    found.take(variable("MEMBERNAME", "Anna"))
    assert (found.who, found.answered, found.gave_up) == ("member", "Anna of queue support answered", True)

    found = after(step("Dial", "PJSIP/1001,30"), UP)
    assert (found.answered, found.gave_up) == ("the dialplan answered with Dial(PJSIP/1001,30)", False)
    found.take(variable("BRIDGEPEER", "Local/7001@ariagent-internal-00000001;1"))
    assert not found.gave_up  # the AI may be behind it
    found.take(variable("BRIDGEPEER", "PJSIP/1001-00000003"))
    assert (found.who, found.answered, found.gave_up) == ("other", "PJSIP/1001 answered", True)


def test_something_else_than_people_answers() -> None:
    found = after(step("Answer"), UP, step("Echo"))
    assert (found.who, found.answered, found.gave_up, found.why_not) == (
        "other", "the dialplan answered with Echo()", False, []
    )  # fmt: skip


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": "ChannelDialplan"},
        {"type": "ChannelDialplan", "channel": "x"},
        {"type": "ChannelDialplan", "channel": {"dialplan": None}},
        {"type": "ChannelStateChange", "channel": None},
        {"type": "ChannelVarset"},
        {"type": "ChannelVarset", "variable": None, "value": None},
        {"type": "ChannelVarset", "variable": "QUEUESTATUS", "value": "JOINEMPTY"},
        {"type": "ChannelVarset", "variable": "MEMBERINTERFACE", "value": 7},
    ],
)
def test_what_makes_no_sense_says_nothing(message: Message) -> None:
    found = after(message)
    assert (found.who, found.gave_up, found.answered, found.why_not) == ("unknown", False, "", [])


# -- why, and what to do ---------------------------------------------------------------------------------------------


def seat(
    number: int, *, paused: bool = False, reason: str = "", invalid: bool = False, closed: bool = False
) -> MemberState:
    status = MemberStatus.INVALID if invalid else MemberStatus.UNAVAILABLE if closed else MemberStatus.NOT_IN_USE
    name = f"Local/{number:02d}@ariagent-seat/nm"
    return MemberState("frontline", name, "AI Agent", 0, status, False, paused, reason, name, 0, 0, 0)


HUMAN = MemberState(
    "frontline", "PJSIP/1001", "Anna", 10, MemberStatus.NOT_IN_USE, False, False, "", "PJSIP/1001", 0, 0, 0
)


def test_what_the_seats_tell() -> None:
    model = "ariagent: model"
    assert told_by_seats("frontline", [seat(1), seat(2, paused=True, reason=model)]) == ""
    paused = [seat(1, paused=True, reason=model), seat(2, paused=True, reason=model), HUMAN]
    assert told_by_seats("frontline", paused) == "all 2 seats of queue frontline are paused (ariagent: model)"
    mixed = [seat(1, paused=True, reason=model), seat(2, paused=True), seat(3, paused=True, reason="Auto-Pause")]
    told = told_by_seats("frontline", mixed)
    assert told.startswith(
        "all 3 seats of queue frontline are paused (ariagent: model, no reason given, Auto-Pause: by"
    )
    assert told_by_seats("frontline", [HUMAN]) == "queue frontline has no AI seats"
    assert "are Invalid" in told_by_seats("frontline", [seat(1, invalid=True), seat(2, invalid=True)])
    closed = [seat(1, closed=True), seat(2, closed=True)]
    assert "are Unavailable: the service does not take calls" in told_by_seats("frontline", closed)
    assert told_by_seats("frontline", [*closed, seat(3)]) == ""
    told = told_by_seats("frontline", [closed[0], seat(2, paused=True, reason="ariagent: hours")])
    assert told == (
        "no seat of queue frontline takes a call: "
        "1 Unavailable: the service does not take calls; 1 paused (ariagent: hours)"
    )


def test_what_the_services_health_tells() -> None:
    well = {"status": "ok", "asterisk": "connected", "manager": "connected", "model": "ok", "draining": False}
    assert told_by_health(well) == []
    assert told_by_health({**well, "model": "HTTP 401"}) == ["model: HTTP 401"]
    assert told_by_health({**well, "draining": True}) == ["the service is draining: it takes no new calls"]
    assert told_by_health({**well, "asterisk": "not connected"}) == ["the service is not connected to Asterisk"]
    lost = {**well, "asterisk": "not connected: http://x refused user a", "model": "not tried yet", "audio": "ok"}
    assert told_by_health(lost) == ["the service is not connected to Asterisk: http://x refused user a"]
    assert told_by_health({"model": 3, "x": None}) == []
    closed = {**well, "seats": {"open": False, "reason": "full"}}
    assert told_by_health(closed) == ["the AI's seats take no calls: full"]
    assert told_by_health({**closed, "model": "HTTP 401"}) == ["model: HTTP 401"]


def test_an_extension_that_is_not_there_is_looked_for_elsewhere() -> None:
    plan = CallPlan("7002", Script((HangUp(),)))
    told = no_extension(plan, ["from-internal", "main"])
    assert told == (
        "the dialplan has no extension 7002 in context ariagent-internal; from-internal, main have it. "
        "Give --context from-internal"
    )
    assert "`dialplan show 7002@`" in no_extension(plan, [])
