"""The life of a call: the table, the times (literal seconds), and that every order of events comes to one end."""

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.call import commands as cmd
from ariagent.call import events as ev
from ariagent.call.commands import Command
from ariagent.call.machine import (
    ANSWER_TIMEOUT_S,
    GOODBYE_TIMEOUT_S,
    LONGEST_GOODBYE_S,
    MOVE_TIMEOUT_S,
    PREPARE_TIMEOUT_S,
    RELEASE_TIMEOUT_S,
    TRANSFER_TIMEOUT_S,
    TRANSITIONS,
    UNHEARD_ROOM_S,
    CallMachine,
    IllegalEventError,
    State,
    diagram,
)
from ariagent.config.handoff import DestinationSettings
from ariagent.dialogue.handoff import Handoff
from ariagent.dialogue.introduction import Party
from ariagent.termination import Result, Termination

HANDOFF = Handoff("humans", DestinationSettings(description="the human agents", queue="support"), "model")

HUMAN_AGENT, CALLER = Party("1001", "Anna"), Party("5551000")

EVENTS: dict[type[ev.Event], ev.Event] = {
    type(event): event
    for event in (
        ev.ModelReady(),
        ev.ModelFailed("refused"),
        ev.AgentFailed("refused", HANDOFF),
        ev.MediaReady(),
        ev.MediaFailed("no route"),
        ev.Answered(),
        ev.CallerLeft(),
        ev.LegReplaced("leg-2"),
        ev.PartyChanged(HUMAN_AGENT, CALLER),
        ev.DigitPressed("5"),
        ev.EndRequested("agent_ended"),
        ev.NobodyThere("fax"),
        ev.FallbackRequested("caller_pressed_person"),
        ev.TransferRequested(HANDOFF),
        ev.WarmTransferRequested(HANDOFF),
        ev.WarmTransferCancelled(),
        ev.Transferred(),
        ev.TransferFailed("refused"),
        ev.Stranded(),
        ev.CallerSpoke(),
        ev.StopRequested(),
        ev.LeaveRequested(),
        ev.SpeechFinished(),
        ev.Released(),
    )
}

WAY: dict[State, tuple[ev.Event, ...]] = {
    State.PREPARING: (),
    State.MODEL_READY: (ev.ModelReady(),),
    State.MEDIA_READY: (ev.MediaReady(),),
    State.ANSWERING: (ev.ModelReady(), ev.MediaReady()),
    State.TALKING: (ev.MediaReady(), ev.ModelReady(), ev.Answered()),
    State.SAYING_GOODBYE: (ev.MediaReady(), ev.ModelReady(), ev.Answered(), ev.EndRequested("agent_ended")),
    State.BEFORE_TRANSFER: (ev.MediaReady(), ev.ModelReady(), ev.Answered(), ev.TransferRequested(HANDOFF)),
    State.TRANSFERRING: (
        ev.MediaReady(),
        ev.ModelReady(),
        ev.Answered(),
        ev.TransferRequested(HANDOFF),
        ev.SpeechFinished(),
    ),
    State.ENDING: (ev.CallerLeft(),),
    State.ENDED: (ev.CallerLeft(), ev.Released()),
}
"""How each state is reached."""

BEFORE_TALKING = (State.PREPARING, State.MODEL_READY, State.MEDIA_READY, State.ANSWERING)
ALIVE = (*BEFORE_TALKING, State.TALKING, State.SAYING_GOODBYE, State.BEFORE_TRANSFER, State.TRANSFERRING)


def tick(machine: CallMachine, now: float, unheard_s: float = 0.0) -> list[cmd.Command]:
    """Commands that time brings, handled as the call does it."""
    due = machine.tick(now, unheard_s)
    return [] if due is None else machine.handle(due, now)


def machine_in(state: State, now: float = 0.0) -> CallMachine:
    machine = CallMachine(now)
    for event in WAY[state]:
        machine.handle(event, now)
    assert machine.state is state
    return machine


def shape(machine: CallMachine) -> tuple[object, ...]:
    """Everything that a machine remembers."""
    return tuple(vars(machine).items())


def test_every_event_has_an_example_here() -> None:
    assert set(EVENTS) == set(ev.Event.__args__)


class TestTable:
    @pytest.mark.parametrize("state", State, ids=lambda state: state.value)
    def test_each_pair_is_in_it_or_illegal_or_too_late(self, state: State) -> None:
        for event, example in EVENTS.items():
            machine = machine_in(state)
            before = shape(machine)
            over = state in (State.ENDING, State.ENDED) and event is not ev.Released
            if (state, event) in TRANSITIONS:
                machine.handle(example, 1.0)
                assert machine.state is TRANSITIONS[state, event][0], event
            elif over:
                assert machine.handle(example, 1.0) == [], event
                assert shape(machine) == before, event
            else:
                with pytest.raises(IllegalEventError, match=f"^{event.__name__} in state {state.value}$"):
                    machine.handle(example, 1.0)
                assert shape(machine) == before, event

    @pytest.mark.parametrize(
        "event",
        [
            ev.CallerLeft,
            ev.StopRequested,
            ev.LeaveRequested,
            ev.MediaFailed,
            ev.ModelFailed,
            ev.EndRequested,
            ev.LegReplaced,
            ev.PartyChanged,
            ev.DigitPressed,
        ],
    )
    def test_what_comes_from_outside_is_legal_as_long_as_the_call_lives(self, event: type[ev.Event]) -> None:
        for state in ALIVE:
            machine_in(state).handle(EVENTS[event], 1.0)

    def test_nothing_leaves_the_end(self) -> None:
        assert [state for state, _ in TRANSITIONS if state is State.ENDED] == []

    def test_the_only_way_to_the_end_is_through_release(self) -> None:
        ways = {(state, event) for (state, event), (following, _) in TRANSITIONS.items() if following is State.ENDED}
        assert ways == {(State.ENDING, ev.Released)}


class TestPreparing:
    @pytest.mark.parametrize("order", [(ev.ModelReady(), ev.MediaReady()), (ev.MediaReady(), ev.ModelReady())])
    def test_answers_when_both_are_ready(self, order: tuple[ev.Event, ...]) -> None:
        machine = CallMachine(0.0)
        first, second = order
        assert machine.handle(first, 1.0) == []
        assert machine.handle(second, 2.0) == [cmd.Answer()]

    def test_talks_when_it_is_answered(self) -> None:
        assert machine_in(State.ANSWERING).handle(ev.Answered(), 1.0) == [cmd.StartTalking()]

    @pytest.mark.parametrize("state", BEFORE_TALKING)
    def test_without_a_model_people_take_over(self, state: State) -> None:
        machine = machine_in(state)
        assert machine.handle(ev.ModelFailed("no answer"), 1.0) == [
            cmd.ReturnToDialplan(Result.NO_MODEL),
            cmd.Release(),
        ]
        assert machine.termination == Termination(Result.NO_MODEL, "model_unreachable", "no answer")

    @pytest.mark.parametrize("state", BEFORE_TALKING)
    def test_where_no_seat_could_serve_the_caller_the_queue_is_not_to_try_another(self, state: State) -> None:
        machine = machine_in(state)
        assert machine.handle(ev.ModelFailed("no voice", no_seat_helps=True), 1.0) == [
            cmd.LeaveQueue(),
            cmd.ReturnToDialplan(Result.NO_MODEL),
            cmd.Release(),
        ]

    @pytest.mark.parametrize("state", BEFORE_TALKING)
    def test_without_media_people_take_over(self, state: State) -> None:
        machine = machine_in(state)
        assert machine.handle(ev.MediaFailed("no route"), 1.0) == [cmd.ReturnToDialplan(Result.ERROR), cmd.Release()]
        assert machine.termination == Termination(Result.ERROR, "media_failed", "no route")

    @pytest.mark.parametrize("state", BEFORE_TALKING)
    def test_where_no_call_gets_any_audio_the_queue_is_not_to_try_another_seat(self, state: State) -> None:
        machine = machine_in(state)
        assert machine.handle(ev.MediaFailed("no route", for_all=True), 1.0) == [
            cmd.LeaveQueue(),
            cmd.ReturnToDialplan(Result.ERROR),
            cmd.Release(),
        ]
        assert machine.termination == Termination(Result.ERROR, "media_failed", "no route")

    @pytest.mark.parametrize("state", BEFORE_TALKING)
    def test_digits_before_the_conversation_are_not_for_the_model(self, state: State) -> None:
        machine = machine_in(state)
        deadline = machine.next_deadline()
        assert machine.handle(ev.DigitPressed("5"), 1.0) == []
        assert machine.handle(ev.DigitPressed("#"), 1.0) == []
        assert machine.next_deadline() == deadline

    @pytest.mark.parametrize(
        ("state", "result", "reason"),
        [
            (State.PREPARING, Result.NO_MODEL, "model_unreachable"),
            (State.MEDIA_READY, Result.NO_MODEL, "model_unreachable"),
            (State.MODEL_READY, Result.ERROR, "media_failed"),
        ],
    )
    def test_patience_has_an_end_and_blames_what_is_missing(self, state: State, result: Result, reason: str) -> None:
        machine = machine_in(state, now=100.0)
        assert machine.next_deadline() == 100.0 + PREPARE_TIMEOUT_S
        assert tick(machine, 100.0 + PREPARE_TIMEOUT_S - 0.001) == []
        assert tick(machine, 100.0 + PREPARE_TIMEOUT_S) == [cmd.ReturnToDialplan(result), cmd.Release()]
        assert machine.termination == Termination(result, reason, "not ready in time")

    def test_an_answer_that_never_comes_hands_the_caller_to_people(self) -> None:
        machine = machine_in(State.ANSWERING)
        assert tick(machine, ANSWER_TIMEOUT_S - 0.001) == []
        assert tick(machine, ANSWER_TIMEOUT_S) == [cmd.ReturnToDialplan(Result.ERROR), cmd.Release()]
        assert machine.termination == Termination(Result.ERROR, "media_failed", "not ready in time")

    @pytest.mark.parametrize("state", [State.TALKING, State.ENDED])
    def test_and_none_when_both_are_ready_or_all_is_over(self, state: State) -> None:
        machine = machine_in(state)
        assert machine.next_deadline() is None
        assert tick(machine, 1e6) == []
        assert machine.state is state


class TestGoodbye:
    def test_a_caller_who_speaks_into_it_is_not_hung_up_on(self) -> None:
        machine = machine_in(State.TALKING)
        machine.handle(ev.EndRequested("agent_ended"), 1.0)
        assert machine.handle(ev.CallerSpoke(), 2.0) == [cmd.TellNotDone(None)]
        assert machine.state is State.TALKING
        assert machine.termination is None
        assert machine.next_deadline() is None
        assert not machine.finishing

    def test_a_final_one_goes_on_whatever_the_caller_says(self) -> None:
        machine = machine_in(State.TALKING)
        machine.handle(ev.EndRequested("caller_silent", final=True), 1.0)
        assert machine.handle(ev.CallerSpoke(), 2.0) == []
        assert machine.state is State.SAYING_GOODBYE
        assert machine.termination == Termination(Result.DONE, "caller_silent")

    def test_the_last_wish_decides_whether_the_caller_can_prevent_it(self) -> None:
        machine = machine_in(State.SAYING_GOODBYE)
        machine.handle(ev.EndRequested("too_long", final=True), 2.0)
        machine.handle(ev.CallerSpoke(), 3.0)
        assert machine.state is State.SAYING_GOODBYE
        assert machine.termination == Termination(Result.DONE, "agent_ended")

    def test_is_told_by_the_state_alone(self) -> None:
        finishing = {state for state in State if machine_in(state).finishing}
        assert finishing == {State.SAYING_GOODBYE, State.BEFORE_TRANSFER}


class TestTalking:
    def test_a_lost_model_hands_the_caller_to_people(self) -> None:
        machine = machine_in(State.TALKING)
        assert machine.handle(ev.ModelFailed("cut off"), 1.0) == [cmd.ReturnToDialplan(Result.ERROR), cmd.Release()]
        assert machine.termination == Termination(Result.ERROR, "model_lost", "cut off")

    @pytest.mark.parametrize("state", [*BEFORE_TALKING, State.TALKING])
    def test_a_stop_hands_the_caller_to_people(self, state: State) -> None:
        machine = machine_in(state)
        assert machine.handle(ev.StopRequested(), 1.0) == [cmd.ReturnToDialplan(Result.ERROR), cmd.Release()]
        assert machine.termination == Termination(Result.ERROR, "stopped")

    @pytest.mark.parametrize("state", [*BEFORE_TALKING, State.TALKING, State.SAYING_GOODBYE])
    def test_who_is_left_to_the_next_process_stays_in_asterisk(self, state: State) -> None:
        machine = machine_in(state)
        assert machine.handle(ev.LeaveRequested(), 1.0) == [cmd.Leave()]
        assert machine.handle(ev.MediaFailed("the audio connection ended"), 1.1) == []
        left = Termination(Result.LEFT, "next_process")
        assert machine.handle(ev.Released(), 1.2) == [cmd.Finish(left)]

    @pytest.mark.parametrize("state", [state for state in ALIVE if state is not State.TRANSFERRING])
    def test_a_caller_who_leaves_is_not_hung_up_on(self, state: State) -> None:
        machine = machine_in(state)
        assert machine.handle(ev.CallerLeft(), 1.0) == [cmd.Release()]
        assert machine.termination == Termination(Result.DONE, "caller_hung_up")

    @pytest.mark.parametrize("state", ALIVE)
    def test_a_replaced_leg_is_followed_and_nothing_else_changes(self, state: State) -> None:
        machine = machine_in(state)
        deadline = machine.next_deadline()
        assert machine.handle(ev.LegReplaced("leg-2"), 1.0) == [cmd.FollowLeg("leg-2")]
        assert (machine.state, machine.next_deadline()) == (state, deadline)


class TestNewcomers:
    @pytest.mark.parametrize("state", [State.TALKING, State.SAYING_GOODBYE, State.BEFORE_TRANSFER])
    def test_are_met_whatever_was_about_to_be_done_for_the_human_agent(self, state: State) -> None:
        machine = machine_in(state)
        assert machine.handle(ev.PartyChanged(HUMAN_AGENT, CALLER), 1.0) == [cmd.GreetCaller(HUMAN_AGENT, CALLER)]
        assert (machine.state, machine.termination, machine.next_deadline()) == (State.TALKING, None, None)

    @pytest.mark.parametrize("state", BEFORE_TALKING)
    def test_before_the_first_word_hear_the_opening_anyway(self, state: State) -> None:
        machine = machine_in(state)
        deadline = machine.next_deadline()
        assert machine.handle(ev.PartyChanged(HUMAN_AGENT, CALLER), 1.0) == []
        assert (machine.state, machine.next_deadline()) == (state, deadline)

    def test_go_where_a_supervisor_wants_the_call(self) -> None:
        machine = machine_in(State.TALKING)
        machine.handle(ev.TransferRequested(replace(HANDOFF, by="Sam")), 1.0)
        assert machine.handle(ev.PartyChanged(HUMAN_AGENT, CALLER), 1.5) == []
        assert machine.state is State.BEFORE_TRANSFER


class TestKeys:
    @pytest.mark.parametrize("state", [State.TALKING, State.SAYING_GOODBYE])
    def test_are_for_the_keypad_also_while_the_agent_says_goodbye(self, state: State) -> None:
        machine = machine_in(state)
        assert machine.handle(ev.DigitPressed("4"), 1.0) == [cmd.PressKey("4")]
        assert machine.state is state


class TestWhoCalls:
    @pytest.mark.parametrize("state", [State.TALKING, State.SAYING_GOODBYE])
    def test_a_machine_is_hung_up_on(self, state: State) -> None:
        machine = machine_in(state)
        assert machine.handle(ev.NobodyThere("fax"), 1.0) == [cmd.HangUp(), cmd.Release()]
        assert machine.termination == Termination(Result.DONE, "fax")

    @pytest.mark.parametrize("state", [State.TALKING, State.SAYING_GOODBYE])
    def test_who_wants_a_person_goes_to_people(self, state: State) -> None:
        machine = machine_in(state)
        assert machine.handle(ev.FallbackRequested("caller_pressed_person"), 1.0) == [
            cmd.ReturnToDialplan(Result.PERSON),
            cmd.Release(),
        ]
        assert machine.termination == Termination(Result.PERSON, "caller_pressed_person")


class TestSayingGoodbye:
    def test_begins_by_waiting_for_what_is_being_said(self) -> None:
        machine = machine_in(State.TALKING)
        assert machine.handle(ev.EndRequested("agent_ended"), 1.0) == []
        assert machine.state is State.SAYING_GOODBYE
        assert machine.termination == Termination(Result.DONE, "agent_ended")

    @pytest.mark.parametrize("state", BEFORE_TALKING)
    def test_is_not_for_a_call_that_has_not_begun(self, state: State) -> None:
        machine = machine_in(state)
        commands = machine.handle(ev.EndRequested("agent_ended"), 1.0)
        assert commands == [cmd.ReturnToDialplan(Result.ERROR), cmd.Release()]

    def test_hangs_up_when_the_goodbye_was_heard(self) -> None:
        machine = machine_in(State.SAYING_GOODBYE)
        assert machine.handle(ev.SpeechFinished(), 2.0) == [cmd.HangUp(), cmd.Release()]
        assert machine.termination == Termination(Result.DONE, "agent_ended")

    def test_does_not_wait_for_ever(self) -> None:
        machine = machine_in(State.SAYING_GOODBYE, now=50.0)
        assert machine.next_deadline() == 50.0 + GOODBYE_TIMEOUT_S
        assert tick(machine, 50.0 + GOODBYE_TIMEOUT_S - 0.001) == []
        assert tick(machine, 50.0 + GOODBYE_TIMEOUT_S) == [cmd.HangUp(), cmd.Release()]
        assert machine.termination == Termination(Result.DONE, "agent_ended")

    def test_a_second_wish_does_not_prolong_it(self) -> None:
        machine = machine_in(State.SAYING_GOODBYE, now=50.0)
        assert machine.handle(ev.EndRequested("again"), 60.0) == []
        assert machine.next_deadline() == 50.0 + GOODBYE_TIMEOUT_S
        machine.handle(ev.SpeechFinished(), 61.0)
        assert machine.termination == Termination(Result.DONE, "agent_ended")

    def test_a_lost_model_does_not_cut_the_goodbye_short(self) -> None:
        machine = machine_in(State.SAYING_GOODBYE)
        assert machine.handle(ev.ModelFailed("closed"), 1.0) == []
        assert machine.state is State.SAYING_GOODBYE

    @pytest.mark.parametrize(
        "event", [ev.CallerSpoke(), ev.WarmTransferRequested(HANDOFF), ev.PartyChanged(HUMAN_AGENT, CALLER)]
    )
    def test_who_calls_it_off_when_the_model_is_lost_goes_to_people(self, event: ev.Event) -> None:
        machine = machine_in(State.SAYING_GOODBYE)
        machine.handle(ev.ModelFailed("closed"), 1.0)
        assert machine.handle(event, 2.0) == [cmd.ReturnToDialplan(Result.ERROR), cmd.Release()]
        assert machine.termination == Termination(Result.ERROR, "model_lost", "closed")
        machine = machine_in(State.SAYING_GOODBYE)
        machine.handle(ev.AgentFailed("closed", HANDOFF), 1.0)
        assert machine.handle(event, 2.0)[-1] == cmd.Transfer(HANDOFF)
        assert machine.handle(ev.TransferFailed("no"), 3.0) == [cmd.ReturnToDialplan(Result.ERROR), cmd.Release()]
        assert machine.termination == Termination(Result.ERROR, "model_lost", "closed")

    def test_nor_does_one_whose_transfer_is_called_off_or_fails_then_stay(self) -> None:
        for event in (ev.CallerSpoke(), ev.PartyChanged(HUMAN_AGENT, CALLER)):
            machine = machine_in(State.SAYING_GOODBYE)
            machine.handle(ev.ModelFailed("closed"), 1.0)
            machine.handle(ev.TransferRequested(HANDOFF), 2.0)
            assert machine.handle(event, 3.0) == [cmd.ReturnToDialplan(Result.ERROR), cmd.Release()]
        machine = machine_in(State.SAYING_GOODBYE)
        machine.handle(ev.ModelFailed("closed"), 1.0)
        machine.handle(ev.TransferRequested(HANDOFF), 2.0)
        machine.handle(ev.SpeechFinished(), 3.0)
        assert machine.handle(ev.TransferFailed("no"), 4.0) == [cmd.ReturnToDialplan(Result.ERROR), cmd.Release()]

    @pytest.mark.parametrize("event", [ev.MediaFailed("lost"), ev.StopRequested()])
    def test_lost_media_or_a_stop_do(self, event: ev.Event) -> None:
        machine = machine_in(State.SAYING_GOODBYE)
        assert machine.handle(event, 1.0) == [cmd.HangUp(), cmd.Release()]
        assert machine.termination == Termination(Result.DONE, "agent_ended")


class TestEnd:
    def test_is_told_once_when_all_is_given_back(self) -> None:
        machine = machine_in(State.TALKING)
        machine.handle(ev.ModelFailed("cut off"), 1.0)
        assert machine.handle(ev.Released(), 2.0) == [cmd.Finish(Termination(Result.ERROR, "model_lost", "cut off"))]
        with pytest.raises(IllegalEventError):
            machine.handle(ev.Released(), 3.0)

    def test_the_first_reason_stays(self) -> None:
        machine = machine_in(State.TALKING)
        machine.handle(ev.CallerLeft(), 1.0)
        machine.handle(ev.ModelFailed("late news"), 1.1)
        assert machine.handle(ev.Released(), 2.0) == [cmd.Finish(Termination(Result.DONE, "caller_hung_up"))]


class TestLimits:
    """No state lasts for ever."""

    def test_a_conversation_that_nothing_ends_goes_to_people(self) -> None:
        machine = CallMachine(0.0)
        machine.talks_until = 100.0
        assert machine.next_deadline() == PREPARE_TIMEOUT_S
        for event in WAY[State.TALKING]:
            machine.handle(event, 1.0)
        assert machine.next_deadline() == 100.0
        assert tick(machine, 99.9) == []
        assert tick(machine, 100.0) == [cmd.ReturnToDialplan(Result.PERSON), cmd.Release()]
        assert machine.termination == Termination(Result.PERSON, "too_long")

    def test_a_goodbye_and_a_transfer_have_times_of_their_own(self) -> None:
        for state in (State.SAYING_GOODBYE, State.BEFORE_TRANSFER):
            machine = machine_in(state, 1.0)
            machine.talks_until = 2.0
            assert machine.next_deadline() == 1.0 + GOODBYE_TIMEOUT_S

    def test_a_transfer_that_asterisk_was_asked_for_has_its_limit_where_it_is_made(self) -> None:
        machine = machine_in(State.TRANSFERRING, 1.0)
        machine.talks_until = 2.0
        assert machine.next_deadline() is None
        assert tick(machine, 1e6) == []
        assert machine.state is State.TRANSFERRING

    def test_what_is_not_given_back_does_not_keep_the_end_back(self) -> None:
        machine = machine_in(State.ENDING, 50.0)
        assert machine.next_deadline() == 50.0 + RELEASE_TIMEOUT_S
        assert tick(machine, 50.0 + RELEASE_TIMEOUT_S) == [cmd.Finish(Termination(Result.DONE, "caller_hung_up"))]
        assert machine.state is State.ENDED


STEPS = st.tuples(
    st.sampled_from([event for kind, event in EVENTS.items() if kind is not ev.Released]), st.floats(0, 15)
)


@given(st.lists(STEPS, max_size=30))
def test_any_order_of_events_comes_to_one_end(steps: list[tuple[ev.Event, float]]) -> None:
    machine, now = CallMachine(0.0), 0.0
    done: list[Command] = []
    for event, pause in steps:
        now += pause
        if (deadline := machine.next_deadline()) is not None and deadline <= now:
            done += tick(machine, now)
            assert machine.next_deadline() is None or machine.next_deadline() > now  # type: ignore[operator]
        before = shape(machine)
        try:
            done += machine.handle(event, now)
        except IllegalEventError:
            assert shape(machine) == before
        if machine.state is State.TALKING:
            assert (machine.termination, machine.moving) == (None, None)
            assert not machine._final
    done += machine.handle(ev.CallerLeft(), now)
    if machine.state is State.ENDING:  # it may have been too long for that
        done += machine.handle(ev.Released(), now)
    assert machine.state is State.ENDED
    assert machine.next_deadline() is None
    kinds = [type(command) for command in done]
    assert kinds.count(cmd.Release) + kinds.count(cmd.Leave) == kinds.count(cmd.Finish) == 1
    assert kinds[-1] is cmd.Finish
    assert kinds.count(cmd.Answer) <= 1
    assert kinds.count(cmd.StartTalking) <= 1
    assert kinds.count(cmd.ReturnToDialplan) + kinds.count(cmd.HangUp) + kinds.count(cmd.Leave) <= 1
    ended = next(place for place, kind in enumerate(kinds) if kind in (cmd.Release, cmd.Leave))
    assert set(kinds[ended + 1 :]) == {cmd.Finish}


LONGEST_S = 600.0
MOST_TICKS = 6
"""Each state's end leads to another state or to the end; the longest way is by a transfer that fails."""


@given(st.lists(STEPS, max_size=30))
def test_whatever_has_happened_time_alone_ends_the_call_once(steps: list[tuple[ev.Event, float]]) -> None:
    machine, now = CallMachine(0.0), 0.0
    machine.talks_until = LONGEST_S
    done: list[Command] = []
    for event, pause in steps:
        now += pause
        done += tick(machine, now)
        with suppress(IllegalEventError):
            done += machine.handle(event, now)
    last = now
    for _ in range(MOST_TICKS):
        if machine.state is State.TRANSFERRING:  # that has its limit where it is made
            now += TRANSFER_TIMEOUT_S
            done += machine.handle(ev.TransferFailed("not in time"), now)
        if (deadline := machine.next_deadline()) is None:
            break
        now = max(now, deadline)
        done += tick(machine, now)
    assert machine.state is State.ENDED
    assert now <= max(last, LONGEST_S) + GOODBYE_TIMEOUT_S + TRANSFER_TIMEOUT_S + RELEASE_TIMEOUT_S
    kinds = [type(command) for command in done]
    assert kinds.count(cmd.Finish) == kinds.count(cmd.Release) + kinds.count(cmd.Leave) == 1
    assert kinds[-1] is cmd.Finish


def test_every_state_has_an_end_but_the_last_and_the_one_that_asterisk_is_asked_in() -> None:
    for state in set(State) - {State.ENDED, State.TRANSFERRING}:
        machine = machine_in(state, 1.0)
        machine.talks_until = LONGEST_S
        deadline = machine.next_deadline()
        assert deadline is not None
        tick(machine, deadline)
        assert machine.state is not state


class TestDiagram:
    def test_has_each_change_of_state(self) -> None:
        drawn = re.findall(r"^    (\w+) --> (\w+): (.+)$", diagram(), re.MULTILINE)
        arrows = {(a, event, b) for a, b, names in drawn for event in names.split(", ")}
        assert arrows == {
            (state.value, event.__name__, following.value)
            for (state, event), (following, _) in TRANSITIONS.items()
            if state is not following
        }

    def test_the_one_in_the_documentation_is_made_from_the_table(self) -> None:
        page = Path(__file__).parents[2] / "docs" / "call-states.md"
        if not page.exists():
            pytest.skip("the page is not written yet")
        assert diagram() in page.read_text()


class TestHandoff:
    def test_a_service_that_leaves_lets_who_was_about_to_go_to_people_go(self) -> None:
        machine = machine_in(State.BEFORE_TRANSFER)
        assert machine.handle(ev.LeaveRequested(), 1.0) == [cmd.Transfer(HANDOFF)]
        assert machine.handle(ev.LeaveRequested(), 1.1) == []
        assert machine.handle(ev.TransferFailed("refused"), 1.2) == [cmd.ReturnToDialplan(Result.ERROR), cmd.Release()]

    def test_waits_until_the_sentence_was_heard(self) -> None:
        machine = machine_in(State.TALKING)
        assert machine.handle(ev.TransferRequested(HANDOFF), 1.0) == [cmd.PrepareAnnouncement(HANDOFF)]
        assert machine.finishing
        assert machine.handle(ev.SpeechFinished(), 2.0) == [cmd.Transfer(HANDOFF)]
        assert machine.handle(ev.Transferred(), 2.1) == [cmd.Release()]
        assert machine.termination == Termination(Result.TRANSFERRED, "handed_over")

    def test_who_moves_a_call_waits_for_no_story(self) -> None:
        machine = machine_in(State.TALKING)
        moved = replace(HANDOFF, by="anna")
        assert machine.handle(ev.TransferRequested(moved), 1.0) == [cmd.PrepareAnnouncement(moved)]
        assert machine.moving is moved
        machine.handle(ev.CallerSpoke(), 1.5)
        assert machine.state is State.BEFORE_TRANSFER
        assert tick(machine, 1.0 + MOVE_TIMEOUT_S) == [cmd.Transfer(moved)]

    def test_a_human_agent_is_called_while_the_caller_talks_on(self) -> None:
        machine = machine_in(State.TALKING)
        assert machine.handle(ev.WarmTransferRequested(HANDOFF), 1.0) == [cmd.StartWarmTransfer(HANDOFF)]
        assert machine.state is State.TALKING
        warm = HANDOFF.destination.model_copy(update={"kind": "warm"})
        joined = replace(HANDOFF, destination=warm, joins="Local/x;1")
        # The human agent knows the reason already, and the caller is not asked again.
        assert machine.handle(ev.TransferRequested(joined), 2.0) == []
        machine.handle(ev.CallerSpoke(), 2.5)
        assert machine.state is State.BEFORE_TRANSFER
        assert machine.handle(ev.SpeechFinished(), 3.0) == [cmd.Transfer(joined)]

    def test_nobody_waits_for_a_caller_whom_a_supervisor_takes(self) -> None:
        machine = machine_in(State.TALKING)
        machine.handle(ev.WarmTransferRequested(HANDOFF), 1.0)
        taken = replace(HANDOFF, joins="PJSIP/1001-1")
        assert machine.handle(ev.TransferRequested(taken), 2.0) == [cmd.CancelWarmTransfer()]

    def test_a_caller_whose_agent_is_gone_goes_to_people(self) -> None:
        machine = machine_in(State.TALKING)
        assert machine.handle(ev.AgentFailed("lost", HANDOFF), 1.0) == [
            cmd.PrepareAnnouncement(HANDOFF),
            cmd.Transfer(HANDOFF),
        ]
        assert machine.handle(ev.TransferFailed("no"), 2.0) == [cmd.ReturnToDialplan(Result.ERROR), cmd.Release()]
        assert machine.termination == Termination(Result.ERROR, "model_lost", "lost")

    def test_a_goodbye_is_off_when_a_human_agent_is_wanted(self) -> None:
        machine = machine_in(State.SAYING_GOODBYE)
        machine.handle(ev.WarmTransferRequested(HANDOFF), 1.0)
        assert machine.state is State.TALKING
        assert machine.next_deadline() is None

    def test_a_human_agent_who_is_not_wanted_any_more_is_dropped(self) -> None:
        machine = machine_in(State.TALKING)
        assert machine.handle(ev.WarmTransferCancelled(), 1.0) == [cmd.CancelWarmTransfer()]

    def test_does_not_wait_for_ever(self) -> None:
        machine = machine_in(State.BEFORE_TRANSFER)
        assert tick(machine, GOODBYE_TIMEOUT_S) == [cmd.Transfer(HANDOFF)]

    def test_a_caller_who_speaks_first_stays(self) -> None:
        machine = machine_in(State.BEFORE_TRANSFER)
        machine.handle(ev.CallerSpoke(), 1.0)
        assert machine.state is State.TALKING

    def test_a_channel_that_goes_while_it_is_transferred_was_taken(self) -> None:
        machine = machine_in(State.TRANSFERRING)
        assert machine.handle(ev.CallerLeft(), 1.0) == [cmd.Release()]
        assert machine.termination == Termination(Result.TRANSFERRED, "handed_over")

    def test_a_caller_who_hangs_up_while_they_are_transferred_was_not(self) -> None:
        machine = machine_in(State.TRANSFERRING)
        assert machine.handle(ev.CallerLeft(hung_up=True), 1.0) == [cmd.Release()]
        assert machine.termination == Termination(Result.DONE, "caller_hung_up")

    @pytest.mark.parametrize("lost", [False, True])
    def test_one_who_leaves_and_was_not_taken_has_hung_up(self, lost: bool) -> None:
        machine = machine_in(State.TRANSFERRING)
        if lost:
            machine.handle(ev.ModelFailed("gone"), 0.5)
        machine.handle(ev.CallerLeft(), 1.0)
        assert machine.handle(ev.TransferFailed("no such channel"), 1.1) == []
        assert machine.termination == Termination(Result.DONE, "caller_hung_up")

    @pytest.mark.parametrize("state", [State.TALKING, State.SAYING_GOODBYE, State.BEFORE_TRANSFER, State.TRANSFERRING])
    def test_one_that_was_not_answered_may_be_carried_out_later(self, state: State) -> None:
        machine = machine_in(state)
        assert machine.handle(ev.Transferred(), 1.0) == [cmd.Release()]
        assert machine.handle(ev.Transferred(), 1.1) == []
        assert machine.termination == Termination(Result.TRANSFERRED, "handed_over")

    def test_one_that_fails_leaves_the_caller_with_the_agent(self) -> None:
        machine = machine_in(State.TRANSFERRING)
        assert machine.handle(ev.TransferFailed("no"), 1.0) == [cmd.TellTransferFailed(HANDOFF)]
        assert machine.state is State.TALKING

    def test_one_that_fails_late_leaves_the_caller_with_the_agent_too(self) -> None:
        """Whatever a transfer's requests take together, its failure ends no call."""
        machine = machine_in(State.TRANSFERRING)
        tick(machine, 1e3)
        assert machine.handle(ev.TransferFailed("not in time"), 1e3) == [cmd.TellTransferFailed(HANDOFF)]
        assert machine.state is State.TALKING

    def test_a_goodbye_before_one_that_fails_is_forgotten(self) -> None:
        machine = machine_in(State.SAYING_GOODBYE)
        machine.handle(ev.TransferRequested(HANDOFF), 1.0)
        machine.handle(ev.SpeechFinished(), 2.0)
        machine.handle(ev.TransferFailed("no"), 3.0)
        assert machine.termination is None
        machine.handle(ev.EndRequested("caller_silent", final=True), 4.0)
        machine.handle(ev.SpeechFinished(), 5.0)
        assert machine.termination == Termination(Result.DONE, "caller_silent")

    def test_nobody_else_takes_a_caller_who_is_on_their_way(self) -> None:
        machine = machine_in(State.TALKING)
        first, second = replace(HANDOFF, by="anna"), replace(HANDOFF, by="ben")
        machine.handle(ev.TransferRequested(first), 1.0)
        assert machine.handle(ev.TransferRequested(second), 1.1) == []
        assert machine.handle(ev.SpeechFinished(), 1.2) == [cmd.Transfer(first)]

    @pytest.mark.parametrize(
        ("loss", "reason"),
        [
            (ev.ModelFailed("gone"), "model_lost"),
            (ev.MediaFailed("gone"), "media_failed"),
            (ev.StopRequested(), "stopped"),
        ],
    )
    @pytest.mark.parametrize("state", [State.BEFORE_TRANSFER, State.TRANSFERRING])
    def test_one_that_fails_when_the_agent_is_gone_too_hands_the_caller_to_people(
        self, state: State, loss: ev.Event, reason: str
    ) -> None:
        machine = machine_in(state)
        machine.handle(loss, 1.0)
        assert machine.state is State.TRANSFERRING
        assert machine.handle(ev.TransferFailed("no"), 2.0) == [cmd.ReturnToDialplan(Result.ERROR), cmd.Release()]
        assert machine.termination is not None
        assert machine.termination.reason == reason


class TestLongSentences:
    """The last sentence of the agent, and the one before a transfer: how long they may last."""

    @pytest.mark.parametrize("event", [ev.EndRequested("agent_ended"), ev.EndRequested("too_long", final=True)])
    def test_the_limit_counts_from_what_is_unheard(self, event: ev.EndRequested) -> None:
        machine = machine_in(State.TALKING)
        machine.handle(event, 100.0)
        assert tick(machine, 100.0 + GOODBYE_TIMEOUT_S, 30.0) == []
        due = 100.0 + GOODBYE_TIMEOUT_S + 30.0 + UNHEARD_ROOM_S
        assert machine.next_deadline() == due
        assert tick(machine, due, 0.0)
        assert machine.state is State.ENDING

    def test_but_not_for_ever(self) -> None:
        machine = machine_in(State.TALKING)
        machine.handle(ev.TransferRequested(HANDOFF), 100.0)
        now = 100.0
        while machine.state is State.BEFORE_TRANSFER:
            due = machine.next_deadline()
            assert due is not None
            now = due
            tick(machine, now, 60.0)
        assert machine.state is State.TRANSFERRING
        assert now == 100.0 + LONGEST_GOODBYE_S

    def test_a_supervisor_does_not_wait_for_one(self) -> None:
        machine = machine_in(State.TALKING)
        moved = replace(HANDOFF, by="anna")
        machine.handle(ev.TransferRequested(moved), 100.0)
        assert tick(machine, 100.0 + MOVE_TIMEOUT_S, 30.0) == [cmd.Transfer(moved)]

    def test_nor_if_it_precedes_another_transfer_already(self) -> None:
        machine = machine_in(State.BEFORE_TRANSFER)
        assert tick(machine, GOODBYE_TIMEOUT_S, 60.0) == []
        moved = replace(HANDOFF, by="anna")
        machine.handle(ev.TransferRequested(moved), 30.0)
        machine.handle(ev.DigitPressed("1"), 32.0)
        assert machine.next_deadline() == 30.0 + MOVE_TIMEOUT_S
        assert tick(machine, 30.0 + MOVE_TIMEOUT_S, 60.0) == [cmd.Transfer(moved)]

    def test_who_orders_one_shortly_before_the_limit_does_not_prolong_it(self) -> None:
        machine = machine_in(State.BEFORE_TRANSFER)
        machine.handle(ev.TransferRequested(replace(HANDOFF, by="anna")), GOODBYE_TIMEOUT_S - 1.0)
        assert machine.next_deadline() == GOODBYE_TIMEOUT_S

    def test_nothing_unheard_ends_at_the_limit(self) -> None:
        machine = machine_in(State.TALKING)
        machine.handle(ev.EndRequested("agent_ended"), 100.0)
        tick(machine, 100.0 + GOODBYE_TIMEOUT_S, 0.0)
        assert machine.state is State.ENDING

    def test_what_is_called_off_is_told_and_forgotten(self) -> None:
        machine = machine_in(State.TALKING)
        machine.handle(ev.TransferRequested(HANDOFF), 1.0)
        assert machine.handle(ev.CallerSpoke(), 2.0) == [cmd.TellNotDone(HANDOFF)]
        assert machine.state is State.TALKING
        machine.handle(ev.EndRequested("agent_ended"), 3.0)
        assert machine.handle(ev.CallerSpoke(), 4.0) == [cmd.TellNotDone(None)]
