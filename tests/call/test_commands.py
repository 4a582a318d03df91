"""The commands of a call's state machine: each is given in some state, and each is carried out in one place."""

import itertools
from typing import get_args

import pytest

from ariagent.call import commands as cmd
from ariagent.call import events as ev
from ariagent.call.machine import CallMachine, IllegalEventError, State
from tests.call.test_machine import EVENTS, WAY, machine_in

COMMANDS = get_args(cmd.Command)


def given() -> set[type[cmd.Command]]:
    """The kinds of command that some event brings in some state, or that the way to a state brings."""
    found: set[type[cmd.Command]] = set()
    special = (ev.ModelFailed("full", no_seat_helps=True), ev.MediaFailed("no route", for_all=True))
    for state, event in itertools.product(State, (*EVENTS.values(), *special)):
        machine = machine_in(state)
        try:
            found |= {type(command) for command in machine.handle(event, 1.0)}
        except IllegalEventError:
            continue
    for way in WAY.values():
        machine = CallMachine(0.0)
        found |= {type(command) for event in way for command in machine.handle(event, 0.0)}
    return found


def test_each_is_given_in_some_state() -> None:
    assert given() == set(COMMANDS)


@pytest.mark.parametrize("kind", COMMANDS)
def test_cannot_be_changed_once_it_is_given(kind: type[cmd.Command]) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[union-attr]
