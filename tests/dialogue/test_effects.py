"""Results of the dialogue: effects for the call, events for observers."""

import dataclasses
import inspect
import typing
from types import ModuleType

import pytest

from ariagent.dialogue import effects, events
from ariagent.dialogue.handoff import Handoff


def kinds(module: ModuleType) -> set[type]:
    """The dataclasses that a module defines."""
    classes = [each for _, each in inspect.getmembers(module, inspect.isclass) if dataclasses.is_dataclass(each)]
    return {each for each in classes if each.__module__ == module.__name__}


@pytest.mark.parametrize(("module", "union"), [(effects, effects.Effect), (events, events.DialogueEvent)])
def test_every_kind_is_in_the_union_that_the_driver_matches(module: ModuleType, union: object) -> None:
    assert kinds(module) == {*typing.get_args(union)}


def test_no_effect_is_an_event() -> None:
    assert not {*typing.get_args(effects.Effect)} & {*typing.get_args(events.DialogueEvent)}


@pytest.mark.parametrize("kind", sorted(kinds(effects) | kinds(events), key=str))
def test_each_is_a_value_that_nobody_can_change(kind: type) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(kind)


def test_an_end_is_not_final_unless_it_is_said() -> None:
    assert effects.EndRequested("agent_ended") == effects.EndRequested("agent_ended", final=False)
    failed = effects.ModelFailed("cut off")
    assert (failed.reason, failed.no_seat_helps) == (effects.MODEL_LOST, False)


def test_a_transfer_carries_what_is_wanted() -> None:
    hints = typing.get_type_hints(effects.TransferRequested)
    assert hints == typing.get_type_hints(effects.WarmTransferRequested) == {"handoff": Handoff}
