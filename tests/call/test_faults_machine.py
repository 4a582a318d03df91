"""What the state machine does about callers who speak over the end, and about long last sentences."""

import pytest

from ariagent.call import commands as cmd
from ariagent.call import events as ev
from ariagent.call.machine import (
    GOODBYE_TIMEOUT_S,
    LONGEST_GOODBYE_S,
    MOVE_TIMEOUT_S,
    UNHEARD_ROOM_S,
    CallMachine,
    State,
)
from ariagent.config.handoff import DestinationSettings
from ariagent.dialogue.effects import CallerSpoke, EndRequested, TransferRequested
from ariagent.dialogue.handoff import Handoff

DESK = Handoff("desk", DestinationSettings(description="people", queue="support", kind="blind"), "model")
MOVED = Handoff("desk", DESK.destination, "anna")


def tick(machine: CallMachine, now: float, unheard_s: float = 0.0) -> list[cmd.Command]:
    """What time brings, handled as the call does it."""
    due = machine.tick(now, unheard_s)
    return [] if due is None else machine.handle(due, now)


@pytest.fixture
def machine() -> CallMachine:
    made = CallMachine(0.0)
    for event in (ev.ModelReady(), ev.MediaReady(), ev.Answered()):
        made.handle(event, 0.0)
    return made


def test_a_transfer_that_is_called_off_is_told_and_forgotten(machine: CallMachine) -> None:
    machine.handle(TransferRequested(DESK), 1.0)
    assert machine.handle(CallerSpoke(), 2.0) == [cmd.TellNotDone(DESK)]
    assert machine.state is State.TALKING
    machine.handle(EndRequested("agent_ended"), 3.0)
    assert machine.handle(CallerSpoke(), 4.0) == [cmd.TellNotDone(None)]


@pytest.mark.parametrize("event", [EndRequested("agent_ended"), EndRequested("too_long", final=True)])
def test_the_limit_counts_from_what_is_unheard(machine: CallMachine, event: EndRequested) -> None:
    machine.handle(event, 100.0)
    assert tick(machine, 100.0 + GOODBYE_TIMEOUT_S, 30.0) == []
    due = 100.0 + GOODBYE_TIMEOUT_S + 30.0 + UNHEARD_ROOM_S
    assert machine.next_deadline() == due
    assert tick(machine, due, 0.0)
    assert machine.state is State.ENDING


def test_but_not_for_ever(machine: CallMachine) -> None:
    machine.handle(TransferRequested(DESK), 100.0)
    now = 100.0
    while machine.state is State.BEFORE_TRANSFER:
        due = machine.next_deadline()
        assert due is not None
        now = due
        tick(machine, now, 60.0)
    assert machine.state is State.TRANSFERRING
    assert now == 100.0 + LONGEST_GOODBYE_S


def test_a_supervisor_does_not_wait_for_a_long_sentence(machine: CallMachine) -> None:
    machine.handle(TransferRequested(MOVED), 100.0)
    assert tick(machine, 100.0 + MOVE_TIMEOUT_S, 30.0) == [cmd.Transfer(MOVED)]


def test_nothing_unheard_ends_at_the_limit(machine: CallMachine) -> None:
    machine.handle(EndRequested("agent_ended"), 100.0)
    tick(machine, 100.0 + GOODBYE_TIMEOUT_S, 0.0)
    assert machine.state is State.ENDING
