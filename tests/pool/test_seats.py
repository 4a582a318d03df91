"""Seats that are paused, the reasons, and seats that need no pause because their device state says it."""

from typing import Any

import pytest

from ariagent.ami.events import (
    AgentConnected,
    MemberChanged,
    MemberPaused,
    MemberRemoved,
    MemberState,
    QueuesListed,
)
from ariagent.pool.seats import (
    AUTO_PAUSE,
    BY_STATE,
    LASTING,
    Reason,
    Seats,
    SeatState,
    SetPause,
    has_hint,
    seat_context,
    seat_number,
)

S1, S2, S3 = (f"Local/0{n}@ariagent-seat/nm" for n in (1, 2, 3))
Q = "frontline"


def listed(*members: MemberState, seats: Seats | None = None, now: float = 100.0, serving: bool = True) -> Seats:
    made = seats or Seats()
    made.place("ariagent-seat", ours=True, now=now)
    if serving:
        made.set_reason(Reason.DOWN, False)
    made.begin()
    for member in members:
        made.handle(member, now)
    made.handle(QueuesListed(), now)
    return made


def obey(seats: Seats, now: float = 100.0) -> list[SetPause]:
    """Requests to Asterisk, and their effect."""
    commands = seats.commands(now)
    for command in commands:
        seats.applied(command)
    assert seats.commands(now) == []
    return commands


def states(seats: Seats) -> list[tuple[str, bool, str]]:
    return [(seat.number, seat.paused, seat.reason) for seat in seats.view()]


@pytest.mark.parametrize(
    ("interface", "number"),
    [
        ("Local/01@ariagent-seat/nm", "01"),
        ("Local/60@ariagent-seat/n", "60"),
        ("Local/120@ariagent-seat", "120"),
        ("Local/1@ariagent-seat/n", None),
        ("Local/01@ariagent-seats/n", None),
        ("Local/01@from-queue/n", None),
        ("PJSIP/1001", None),
        ("x-Local/01@ariagent-seat/n", None),
    ],
)
def test_what_is_a_seat(interface: str, number: str | None) -> None:
    assert seat_number(interface) == number


def test_human_agents_are_left_alone(member: Any) -> None:
    seats = listed(member("support", "PJSIP/1001", paused=AUTO_PAUSE), member("support", "PJSIP/1002"))
    assert seats.view() == []
    seats.set_reason(Reason.DRAINING, True)
    assert seats.commands(100) == []


def test_nothing_is_done_before_the_list_is_complete(member: Any) -> None:
    seats = Seats()
    seats.place("ariagent-seat", ours=True, now=100)
    seats.set_reason(Reason.DOWN, False)
    seats.handle(member(Q, S1, paused=AUTO_PAUSE), 100)
    assert (seats.commands(100), seats.next_deadline()) == ([], None)
    seats.handle(QueuesListed(), 100)
    assert (due := seats.next_deadline()) is not None
    assert due <= 100
    seats.lost()
    assert seats.next_deadline() is None


def test_auto_pause_is_lifted_at_the_start_and_others_pauses_stay(member: Any) -> None:
    seats = listed(member(Q, S1, paused=AUTO_PAUSE), member(Q, S2, paused="Lunch"), member(Q, S3))
    assert obey(seats) == [SetPause(S1, Q, False, AUTO_PAUSE)]
    assert states(seats) == [("01", False, ""), ("02", True, "Lunch"), ("03", False, "")]


def test_what_a_former_process_left_is_lifted(member: Any) -> None:
    seats = listed(member(Q, S1, paused="ariagent: draining"), member(Q, S2, paused="ariagent: down"))
    assert [(command.interface, command.paused) for command in obey(seats)] == [(S1, False), (S2, False)]


def test_but_not_what_a_person_asked_it_for(member: Any) -> None:
    seats = listed(member(Q, S1, paused="ariagent: manual"), member(Q, S2))
    assert obey(seats) == []
    assert seats.resume("01") == ["01"]
    assert obey(seats) == [SetPause(S1, Q, False, "ariagent: manual")]
    # A later list that was made before that changes nothing: it is read as a person's wish at the start only.
    listed(member(Q, S1, paused="ariagent: manual"), member(Q, S2), seats=seats)
    assert obey(seats) == [SetPause(S1, Q, False, "ariagent: manual")]


@pytest.mark.parametrize("reason", [Reason.HOURS, Reason.CAPPED, Reason.OVERLOADED])
def test_a_reason_to_show_pauses_all_and_its_end_lifts_what_it_paused(member: Any, reason: Reason) -> None:
    seats = listed(member(Q, S1), member(Q, S2, paused="Lunch"), member(Q, S3, "talking"))
    seats.set_reason(reason, True)
    assert obey(seats) == [SetPause(S1, Q, True, f"ariagent: {reason}"), SetPause(S3, Q, True, f"ariagent: {reason}")]
    seats.set_reason(reason, False)
    assert [(command.interface, command.paused) for command in obey(seats)] == [(S1, False), (S3, False)]


def test_one_reason_of_several_is_enough_and_the_first_is_shown(member: Any) -> None:
    seats = listed(member(Q, S1))
    seats.set_reason(Reason.OVERLOADED, True)
    seats.set_reason(Reason.HOURS, True)
    assert obey(seats) == [SetPause(S1, Q, True, "ariagent: hours")]
    seats.set_reason(Reason.CAPPED, True)
    assert obey(seats) == []  # what is shown still holds; another row in queue_log would say nothing new
    seats.set_reason(Reason.HOURS, False)
    assert obey(seats) == [SetPause(S1, Q, True, "ariagent: capped")]
    seats.set_reason(Reason.CAPPED, False)
    seats.set_reason(Reason.OVERLOADED, False)
    assert obey(seats) == [SetPause(S1, Q, False, "ariagent: capped")]


def test_a_seat_that_comes_in_while_a_reason_holds_is_paused(member: Any) -> None:
    seats = listed()
    seats.set_reason(Reason.HOURS, True)
    seats.handle(MemberPaused(member(Q, S1)), 100)
    assert obey(seats) == [SetPause(S1, Q, True, "ariagent: hours")]


def test_somebody_who_lifts_our_pause_is_overruled_while_the_reason_holds(member: Any) -> None:
    seats = listed(member(Q, S1))
    seats.set_reason(Reason.HOURS, True)
    obey(seats)
    seats.handle(MemberPaused(member(Q, S1)), 101)
    assert obey(seats) == [SetPause(S1, Q, True, "ariagent: hours")]


def test_a_seat_in_several_queues_is_told_for_each_which_is_a_row_less(member: Any) -> None:
    seats = listed(member(Q, S1), member("sales", S1, paused="Lunch"), member("night", S1))
    seats.set_reason(Reason.HOURS, True)
    assert obey(seats) == [SetPause(S1, Q, True, "ariagent: hours"), SetPause(S1, "night", True, "ariagent: hours")]


# -- the device state --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", sorted(BY_STATE))
def test_an_idle_seat_with_a_hint_needs_no_pause_for_what_the_device_state_says(member: Any, reason: Reason) -> None:
    seats = listed(member(Q, S1), member(Q, S2, "ringing"), member(Q, S3, state_interface=S3))
    seats.set_reason(reason, True)
    assert obey(seats) == [SetPause(S3, Q, True, f"ariagent: {reason}")]
    seats.set_reason(reason, False)
    assert obey(seats) == [SetPause(S3, Q, False, f"ariagent: {reason}")]


@pytest.mark.parametrize("reason", sorted(LASTING))
def test_a_seat_in_a_call_is_paused_so_that_nobody_waits_for_it(member: Any, reason: Reason) -> None:
    seats = listed(member(Q, S1, "talking"), member(Q, S2, "ringing"))
    seats.set_reason(reason, True)
    assert obey(seats) == [SetPause(S1, Q, True, f"ariagent: {reason}")]
    # One that rang when the reason came, and is answered after that.
    seats.handle(AgentConnected(Q, S2, "AI", "1.1", "1.1", "", "", 0, 0), 101)
    assert obey(seats) == [SetPause(S2, Q, True, f"ariagent: {reason}")]
    # The call ends: from now on the device state says it, and whoever comes after us finds no pause.
    seats.handle(MemberChanged(member(Q, S1, "gone", paused=f"ariagent: {reason}")), 102)
    assert obey(seats) == [SetPause(S1, Q, False, f"ariagent: {reason}")]
    seats.set_reason(reason, False)
    assert obey(seats) == [SetPause(S2, Q, False, f"ariagent: {reason}")]


@pytest.mark.parametrize("reason", [Reason.FULL, Reason.DOWN])
def test_but_not_for_what_is_soon_over(member: Any, reason: Reason) -> None:
    seats = listed(member(Q, S1, "talking"), member(Q, S2))
    seats.set_reason(reason, True)
    assert obey(seats) == []


def test_a_reason_to_show_comes_through_beside_one_that_the_device_state_says(member: Any) -> None:
    seats = listed(member(Q, S1))
    seats.set_reason(Reason.MODEL, True)
    seats.set_reason(Reason.HOURS, True)
    assert obey(seats) == [SetPause(S1, Q, True, "ariagent: hours")]
    seats.set_reason(Reason.HOURS, False)
    assert obey(seats) == [SetPause(S1, Q, False, "ariagent: hours")]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("idle", SeatState.IDLE),
        ("unknown", SeatState.IDLE),
        ("ringing", SeatState.BUSY),
        ("talking", SeatState.BUSY),
        ("held", SeatState.BUSY),
        ("gone", SeatState.UNAVAILABLE),
        ("invalid", SeatState.INVALID),
    ],
)
def test_what_a_seat_is_to_its_queue(member: Any, status: str, state: SeatState) -> None:
    (seat,) = listed(member(Q, S1, status)).view()
    assert (seat.state, seat.busy) == (state, state is SeatState.BUSY)


def test_seats_that_are_invalid_and_seats_without_a_hint_are_named(member: Any) -> None:
    seats = listed(
        member(Q, S1, "invalid"),
        member("sales", S1, "invalid"),
        member(Q, S2, state_interface="hint:01@ariagent-seat"),
        member(Q, S3, state_interface="HINT:03@ariagent-seat"),
    )
    assert seats.invalid == ["01"]
    assert seats.without_hint == ["02"]
    seats.handle(MemberChanged(member(Q, S1)), 101)
    seats.handle(MemberChanged(member("sales", S1)), 101)
    assert seats.invalid == []


@pytest.mark.parametrize(
    ("status", "paused", "idle"),
    [("idle", None, True), ("gone", None, True), ("idle", "Lunch", False), ("talking", None, False)],
)
def test_whether_a_caller_could_be_sent_to_a_seat(member: Any, status: str, paused: str | None, idle: bool) -> None:
    assert listed(member(Q, S1, status, paused=paused)).any_idle is idle


def test_seats_are_counted_by_state_and_reason(member: Any) -> None:
    seats = listed(
        member(Q, S1, "talking", paused="ariagent: draining"),
        member(Q, S2, "gone"),
        member(Q, S3, "gone", paused="Lunch"),
        member("sales", S1, paused="ariagent: manual"),
        member("sales", S2, paused=AUTO_PAUSE),
        member("sales", S3, paused="ariagent: no reason of ours"),
        member("night", S1, "invalid"),
        member("night", S2),
    )
    assert {key: count for key, count in seats.counts(Reason.MODEL).items() if count} == {
        ("busy", "draining"): 1,
        ("unavailable", "model"): 1,
        ("unavailable", "other"): 1,
        ("paused", "manual"): 1,
        ("paused", "auto-pause"): 1,
        ("paused", "other"): 1,
        ("invalid", ""): 1,
        ("idle", ""): 1,
    }
    assert set(Seats().counts(None).values()) == {0}


def test_a_reload_of_the_queue_forgets_reasons_but_we_do_not(member: Any) -> None:
    seats = listed(member(Q, S1), member(Q, S2, paused="Lunch"))
    seats.set_reason(Reason.HOURS, True)
    obey(seats)
    listed(member(Q, S1, paused=""), member(Q, S2, paused=""), seats=seats)
    assert states(seats) == [("01", True, "ariagent: hours"), ("02", True, "Lunch")]
    seats.set_reason(Reason.HOURS, False)
    assert obey(seats) == [SetPause(S1, Q, False, "ariagent: hours")]
    # Somebody who pauses without a reason does mean it.
    seats.handle(MemberPaused(member(Q, S2, paused="")), 102)
    assert states(seats) == [("01", False, ""), ("02", True, "")]


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_one_seat_by_hand(member: Any) -> None:
    seats = listed(member(Q, S1), member(Q, S2))
    assert seats.pause("02") == ["02"]
    assert obey(seats) == [SetPause(S2, Q, True, "ariagent: manual")]
    assert seats.pause("09") == []
    assert seats.resume("02") == ["02"]
    assert obey(seats) == [SetPause(S2, Q, False, "ariagent: manual")]


def test_all_by_hand(member: Any) -> None:
    seats = listed(member(Q, S1), member(Q, S2), member("sales", S2))
    seats.set_reason(Reason.MANUAL, True)
    obey(seats)
    assert {reason for _, _, reason in states(seats)} == {"ariagent: manual"}
    seats.set_reason(Reason.MANUAL, False)
    obey(seats)
    assert not any(paused for _, paused, _ in states(seats))


def test_by_hand_shows_before_the_services_reasons_and_outlives_them(member: Any) -> None:
    seats = listed(member(Q, S1), member(Q, S2))
    seats.set_reason(Reason.HOURS, True)
    obey(seats)
    seats.pause("01")
    assert obey(seats) == [SetPause(S1, Q, True, "ariagent: manual")]
    seats.set_reason(Reason.HOURS, False)
    assert obey(seats) == [SetPause(S2, Q, False, "ariagent: hours")]
    seats.set_reason(Reason.CAPPED, True)
    seats.resume("01")
    assert SetPause(S1, Q, True, "ariagent: capped") in obey(seats)


def test_resume_lifts_others_pauses_too_but_only_once(member: Any) -> None:
    seats = listed(member(Q, S1, paused="Lunch"), member(Q, S2, paused="Lunch"))
    seats.resume("01")
    assert obey(seats) == [SetPause(S1, Q, False, "Lunch")]
    seats.handle(MemberPaused(member(Q, S1)), 101)
    seats.handle(MemberPaused(member(Q, S1, paused="Lunch")), 102)
    assert obey(seats, 102) == []


# -- Asterisk's own pauses while the service runs ----------------------------------------------------------------------


def test_a_seat_that_fails_is_left_longer_each_time_until_it_takes_a_call(member: Any) -> None:
    seats, now = listed(member(Q, S1)), 1000.0
    waits = []
    for _ in range(7):
        seats.handle(MemberPaused(member(Q, S1, paused=AUTO_PAUSE)), now)
        assert seats.commands(now) == []
        deadline = seats.next_deadline()
        assert deadline is not None
        waits.append(deadline - now)
        assert seats.commands(deadline - 0.01) == []
        assert obey(seats, deadline) == [SetPause(S1, Q, False, AUTO_PAUSE)]
        now = deadline
    assert waits == [10, 20, 40, 80, 160, 300, 300]
    seats.handle(AgentConnected(Q, S1, "AI", "1.1", "1.1", "", "", 0, 0), now)
    seats.handle(MemberPaused(member(Q, S1, paused=AUTO_PAUSE)), now)
    assert seats.next_deadline() == now + 10


def test_told_again_the_while_does_not_begin_anew(member: Any) -> None:
    seats = listed(member(Q, S1))
    seats.handle(MemberPaused(member(Q, S1, paused=AUTO_PAUSE)), 100)
    for event in (MemberPaused(member(Q, S1, paused=AUTO_PAUSE)), member(Q, S1, paused=AUTO_PAUSE), QueuesListed()):
        seats.handle(event, 105)
    assert seats.next_deadline() == 110


def test_a_new_connection_and_the_end_of_an_outage_lift_them_at_once(member: Any) -> None:
    seats = listed(member(Q, S1))
    seats.handle(MemberPaused(member(Q, S1, paused=AUTO_PAUSE)), 100)
    seats.lost()
    listed(member(Q, S1, paused=AUTO_PAUSE), seats=seats, now=101)
    assert obey(seats, 101) == [SetPause(S1, Q, False, AUTO_PAUSE)]
    seats.set_reason(Reason.DOWN, True)
    seats.handle(MemberPaused(member(Q, S1, paused=AUTO_PAUSE)), 102)
    assert seats.commands(1000) == []
    seats.set_reason(Reason.DOWN, False)
    assert obey(seats, 103) == [SetPause(S1, Q, False, AUTO_PAUSE)]


def test_a_refused_command_is_tried_again_later(member: Any) -> None:
    seats = listed(member(Q, S1))
    seats.set_reason(Reason.HOURS, True)
    (command,) = seats.commands(100)
    seats.refused(command, 100)
    assert seats.commands(129) == []
    assert seats.next_deadline() == 130
    assert obey(seats, 130) == [command]
    assert seats.next_deadline() is None


def test_a_seat_that_is_taken_out_is_forgotten(member: Any) -> None:
    seats = listed(member(Q, S1), member(Q, S2), member(Q, S3))
    seats.handle(MemberRemoved(Q, S1), 100)
    listed(member(Q, S3), seats=seats)
    assert [seat.number for seat in seats.view()] == ["03"]


def test_down_until_told_otherwise(member: Any) -> None:
    seats = listed(member(Q, S1, paused=AUTO_PAUSE), member(Q, S2, paused="ariagent: hours"), serving=False)
    assert obey(seats) == [SetPause(S2, Q, False, "ariagent: hours")]


# -- several services on one Asterisk ----------------------------------------------------------------------------------

THEIRS = "Local/01@ariagent-staging-seat/nm"


@pytest.mark.parametrize(
    ("interface", "context"),
    [
        ("Local/01@ariagent-seat/nm", "ariagent-seat"),
        ("Local/01@ariagent-staging-seat/nm", "ariagent-staging-seat"),
        ("Local/01@ariagent-brand_b-2-seat", "ariagent-brand_b-2-seat"),
        ("Local/01@ariagent-seat-staging/nm", None),
        ("Local/01@staging-seat/nm", None),
        ("PJSIP/1001", None),
    ],
)
def test_the_context_of_a_seat(interface: str, context: str | None) -> None:
    assert seat_context(interface) == context


def test_the_seats_of_another_service_are_left_alone(member: Any) -> None:
    seats = Seats()
    seats.place("ariagent-seat", ours=False, now=100)
    seats.place("ariagent-staging-seat", ours=True, now=100)
    listed(member(Q, S1, paused="ariagent: hours"), member("staging", THEIRS), seats=seats)
    # ``listed`` takes the other context for its own.
    seats.place("ariagent-seat", ours=False, now=100)
    assert [(seat.number, seat.queue) for seat in seats.view()] == [("01", "staging")]
    seats.set_reason(Reason.HOURS, True)
    assert obey(seats) == [SetPause(THEIRS, "staging", True, "ariagent: hours")]
    assert seats.pause() == ["01"]
    assert seats.pause("02") == []
    assert seats.other_queues == [Q]
    seats.handle(MemberPaused(member(Q, S1, paused="Lunch")), 101)
    seats.handle(MemberChanged(member(Q, S2)), 101)
    assert [seat.interface for seat in seats.view()] == [THEIRS]
    seats.handle(MemberRemoved(Q, S1), 101)
    seats.handle(MemberRemoved(Q, S2), 101)
    assert seats.other_queues == []


def test_nothing_is_done_before_it_is_known_whose_seats_they_are(member: Any) -> None:
    seats = Seats()
    seats.set_reason(Reason.DOWN, False)
    seats.handle(member(Q, S1, paused="ariagent: down"), 100)
    seats.handle(QueuesListed(), 100)
    assert (seats.known, seats.unplaced, seats.contexts) == (False, ["ariagent-seat"], {"ariagent-seat": "01"})
    assert (seats.commands(100), seats.view()) == ([], [])
    seats.place("ariagent-seat", ours=True, now=100)
    assert seats.known
    assert obey(seats) == [SetPause(S1, Q, False, "ariagent: down")]


def test_a_pause_by_hand_is_adopted_when_the_seats_turn_out_to_be_ours(member: Any) -> None:
    seats = Seats()
    seats.set_reason(Reason.DOWN, False)
    seats.handle(member(Q, S1, paused="ariagent: manual"), 100)
    seats.handle(QueuesListed(), 100)
    seats.place("ariagent-seat", ours=True, now=100)
    assert obey(seats) == []


def test_seats_that_a_changed_dialplan_leads_elsewhere_are_let_go(member: Any) -> None:
    seats = listed(member(Q, S1))
    seats.place("ariagent-seat", ours=False, now=101)
    seats.set_reason(Reason.HOURS, True)
    assert (seats.view(), seats.commands(101)) == ([], [])
    seats.place("ariagent-seat", ours=True, now=102)
    assert obey(seats, 102) == [SetPause(S1, Q, True, "ariagent: hours")]


def test_the_hint_of_a_seat_is_its_own_contexts(member: Any) -> None:
    own = member("staging", THEIRS, state_interface="hint:01@ariagent-staging-seat")
    assert has_hint(own)
    assert not has_hint(member("staging", THEIRS, state_interface="hint:01@ariagent-seat"))
