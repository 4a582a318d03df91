"""Findings about the members of the AI's queues."""

import pytest

from ariagent.ami.events import MemberState, MemberStatus
from ariagent.check.queues import (
    judge_counts,
    judge_destinations,
    judge_human_queue,
    judge_no_seats,
    judge_queue,
    queues_of,
)
from ariagent.check.report import Result, Status
from ariagent.config import Settings

Q = "frontline"
IDLE, TALKING, CLOSED, INVALID = (
    MemberStatus.NOT_IN_USE,
    MemberStatus.IN_USE,
    MemberStatus.UNAVAILABLE,
    MemberStatus.INVALID,
)


def member(
    interface: str, status: MemberStatus = IDLE, paused: str | None = None, state_interface: str = ""
) -> MemberState:
    return MemberState(
        queue=Q,
        interface=interface,
        name="AI Agent",
        penalty=0,
        status=status,
        in_call=status is TALKING,
        paused=paused is not None,
        reason=paused or "",
        state_interface=state_interface or interface,
        last_call=0,
        wrapup_s=0,
        calls_taken=0,
    )


def seat(number: int, status: MemberStatus = IDLE, paused: str | None = None) -> MemberState:
    return member(f"Local/{number:02d}@ariagent-seat/nm", status, paused, f"hint:{number:02d}@ariagent-seat")


def judged(*members: MemberState, queue: str = Q, max_calls: int | None = 60) -> list[Result]:
    return judge_queue(queue, members, max_calls)


def one(*members: MemberState, queue: str = Q, max_calls: int | None = 60) -> Result:
    (result,) = judged(*members, queue=queue, max_calls=max_calls)
    return result


def test_members_are_counted_by_what_they_do_and_pauses_named_by_their_reasons() -> None:
    members = [seat(1), seat(2, TALKING), seat(3, paused="ariagent: manual"), seat(4, paused=""), seat(5, CLOSED)]
    result = one(*members, seat(6, paused="ariagent: manual"))
    assert result.status is Status.OK
    assert result.found == (
        "frontline has 6 members: 1 in calls, 1 unavailable, 3 paused (2 for ariagent: manual, 1 for no reason)"
    )


def test_all_paused() -> None:
    result = one(*(seat(number, paused="ariagent: hours") for number in range(1, 61)))
    assert result.status is Status.WARNING
    assert result.found == "all 60 members of frontline are paused (60 for ariagent: hours)"
    assert "ariagent resume" in result.remedy


def test_no_members() -> None:
    assert one().status is Status.WARNING
    assert "hint:01@ariagent-seat" in one().remedy


def test_all_seats_unavailable() -> None:
    result = one(seat(1, CLOSED), seat(2, CLOSED), member("PJSIP/1001"))
    assert (result.status, result.found) == (
        Status.WARNING,
        "frontline: all 2 seats are unavailable, because the AI takes no calls",
    )


def test_seats_wait_for_a_service_that_need_not_run_yet() -> None:
    [result] = judge_queue("frontline", [seat(1, CLOSED), seat(2, CLOSED)], None, serving=False)
    assert (result.status, result.found) == (
        Status.OK,
        "frontline has 2 seats; they take calls when the service does",
    )


def test_invalid_seats_fail_with_the_remedy() -> None:
    result = one(seat(8), *(seat(number, INVALID) for number in range(7, 0, -1)))
    assert result.status is Status.FAILED
    assert result.found.startswith("7 seats (01, 02, 03, 04, 05 .. 07) of frontline invalid: ")
    assert "ariagent install --apply" in result.remedy


def test_a_seat_without_a_hint_fails_with_the_line_to_write() -> None:
    result = one(member("Local/01@ariagent-seat/nm", INVALID), seat(2))
    assert result.status is Status.FAILED
    assert result.found.startswith("1 seat (01) of frontline without a hint: ")
    assert "member => Local/01@ariagent-seat/nm,0,AI Agent,hint:01@ariagent-seat" in result.remedy


@pytest.mark.parametrize(
    ("seats", "paused", "max_calls", "status"),
    [
        (60, 0, 60, Status.OK),
        (61, 0, 60, Status.WARNING),
        (61, 1, 60, Status.OK),
        (100, 0, None, Status.OK),  # another queue than the AI's
    ],
)
def test_more_seats_than_calls(seats: int, paused: int, max_calls: int | None, status: Status) -> None:
    members = [seat(number, paused="x" if number <= paused else None) for number in range(1, seats + 1)]
    assert one(*members, max_calls=max_calls).status is status


def test_human_agents_are_no_seats() -> None:
    assert one(*(member(f"PJSIP/{number}") for number in range(100)), queue="support").status is Status.OK


@pytest.mark.parametrize(
    ("members", "ready", "status", "found"),
    [
        (60, 60, Status.OK, "frontline has 60 members, 60 can take a call now"),
        (60, 0, Status.WARNING, "none of the 60 members of frontline can take a call now"),
        (0, 0, Status.WARNING, "frontline has no members"),
        (61, 1, Status.WARNING, "frontline has 61 seats, but max_calls is 60: the seats beyond it never get a call"),
    ],
)
def test_what_can_be_said_without_the_manager_interface(members: int, ready: int, status: Status, found: str) -> None:
    result = judge_counts(Q, members, ready, max_calls=60)
    assert (result.status, result.found) == (status, found)


def test_the_queues_of_routes_are_looked_at_too() -> None:
    routes = [{"agent": "default", "queue": queue} for queue in ("sales", "frontline", "night*")]
    settings = Settings.model_validate({"agents": {"default": {}}, "routes": routes})
    assert queues_of(settings, ["frontline"]) == ["frontline", "sales"]
    assert queues_of(settings, ["ai"]) == ["ai", "sales", "frontline"]
    assert queues_of(settings, ["FrontLine", "SALES"]) == ["FrontLine", "SALES"]


@pytest.mark.parametrize(
    ("queue", "members", "usable", "found"),
    [
        ("", None, 0, "no human queue is set"),
        ("suport", None, 0, "there is no queue suport"),
        ("support", 0, 0, "support has no members"),
        ("support", 2, 0, "Asterisk can ring none of the 2 members of support (Invalid)"),
    ],
)
def test_a_human_queue_that_answers_nobody(queue: str, members: int | None, usable: int, found: str) -> None:
    result = judge_human_queue(queue, members, usable, "")
    assert (result.status, result.found) == (
        Status.FAILED,
        f"{found}: callers that the AI cannot help are turned away",
    )
    assert "ariagent install" in result.remedy or "human agents" in result.remedy
    with_resort = judge_human_queue(queue, members, usable, "from-internal,500,1")
    assert with_resort.status is Status.WARNING
    assert with_resort.found.endswith("go to the last resort, from-internal,500,1")


def test_a_human_queue_with_somebody() -> None:
    result = judge_human_queue("support", 4, 1, "")
    assert (result.status, result.found) == (Status.OK, "support has 4 members")


def test_queues_of_destinations() -> None:
    places = {
        "a": {"queue": "support", "description": "x"},
        "b": {"queue": "sales", "description": "x"},
        "c": {"extension": "1", "description": "x"},
    }
    settings = Settings.model_validate({"destinations": places})
    missing, there = judge_destinations(settings, ["sales"], ["support", "frontline"])
    assert (missing.status, there.status) == (Status.FAILED, Status.OK)
    assert missing.found == "b: there is no queue sales; Asterisk has frontline, support"
    assert there.found == "these queues exist: support"
    assert [result.found for result in judge_destinations(settings, ["support", "sales"], [])] == [
        "a: there is no queue support; Asterisk has no queues",
        "b: there is no queue sales; Asterisk has no queues",
    ]
    assert judge_destinations(Settings(), [], []) == []


def test_no_seat_leads_to_this_service() -> None:
    result = judge_no_seats("staging", {"ariagent-seat": {"ariagent"}, "ariagent-b-seat": {"b"}})
    assert result.status is Status.WARNING
    assert result.found == (
        "no queue has a seat that leads to the application staging; the seats of this Asterisk lead to ariagent, b"
    )
    assert judge_no_seats("staging", {}).found == "no queue has a seat that leads to the application staging"
