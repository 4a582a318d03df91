"""Events of a call: each has its place in the table, the dialogue's effects among them."""

from typing import get_args

from ariagent.call import events as ev
from ariagent.call.machine import TRANSITIONS, State
from ariagent.dialogue import effects as fx

EVENTS = set(get_args(ev.Event))
CARRIED_OUT = {fx.RunTool, fx.JudgeTurn, fx.StopJudging, fx.SpeechReady, fx.GiveUpSession}
"""Effects of the dialogue that the call carries out itself; all others happen to its state machine."""


def test_each_has_a_row_in_the_table() -> None:
    assert {event for _, event in TRANSITIONS} == EVENTS


def test_the_dialogues_effects_are_events_but_for_those_that_the_call_carries_out() -> None:
    assert set(get_args(fx.Effect)) - EVENTS == CARRIED_OUT
    assert CARRIED_OUT.isdisjoint(EVENTS)


def test_what_the_dialogue_asks_for_is_legal_while_it_talks() -> None:
    """Whatever a conversation decides, its call is not ended by it as by a fault."""
    finishing = {State.SAYING_GOODBYE, State.BEFORE_TRANSFER}
    wanted = set(get_args(fx.Effect)) - CARRIED_OUT
    for state in (State.TALKING, *finishing):
        # The caller's voice is told to a call that is finishing, and to no other.
        legal = wanted if state in finishing else wanted - {fx.CallerSpoke}
        assert {event for event in legal if (state, event) not in TRANSITIONS} == set()


def test_and_while_asterisk_takes_the_caller() -> None:
    wanted = set(get_args(fx.Effect)) - CARRIED_OUT - {fx.CallerSpoke}
    assert {event for event in wanted if (State.TRANSFERRING, event) not in TRANSITIONS} == set()


def test_what_is_told_of_an_unwell_peer_has_a_cause() -> None:
    assert ev.MediaFailed("no route").for_all is False
    assert ev.ModelFailed("refused").reason == ev.MODEL_LOST
