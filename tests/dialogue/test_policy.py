"""Keys, silence, length and machines of one call at literal times (seconds)."""

import json
from typing import Any

import numpy as np
import pytest

from ariagent.audio.format import SLIN8
from ariagent.config import AgentSettings
from ariagent.dialogue import events
from ariagent.dialogue.background import Background
from ariagent.dialogue.effects import EndRequested, NobodyThere
from ariagent.dialogue.keypad import Collect
from ariagent.dialogue.notes import NOTE_ASK, NOTE_ASK_AGAIN, NOTE_GOODBYE, NOTE_LENGTH
from ariagent.dialogue.policy import (
    MACHINES_FIRST_S,
    Action,
    CallPolicy,
    DigitsCollected,
    GiveDigits,
    HumanWanted,
    TellModel,
)

SETTINGS = AgentSettings.model_validate(
    {
        "silence": {"ask_after_s": 10, "ask_again_after_s": 8, "goodbye_after_s": 6, "hold_on_s": 100},
        "length": {"longest_s": 600, "warn_before_s": 60},
        "keypad": {"pause_ms": 800, "actions": {"0": "person", "*9": "end_call", "1": "ignore"}},
    }
)


def policy(**changes: Any) -> CallPolicy:
    return CallPolicy(SETTINGS.model_copy(update=changes), "en", SLIN8, 0.0, Background())


def actions(of: CallPolicy, start: float, end: float) -> list[tuple[float, Action]]:
    """Results of ticks every 20 ms."""
    found = []
    for step in range(round(start * 50), round(end * 50) + 1):
        found += [(step / 50, action) for action in of.tick(step / 50)]
    return found


class TestSilence:
    def test_asked_asked_again_told_goodbye_and_ended(self) -> None:
        assert actions(policy(), 0, 60) == [
            (10.0, TellModel(NOTE_ASK)),
            (18.0, TellModel(NOTE_ASK_AGAIN)),
            (24.0, TellModel(NOTE_GOODBYE)),
            (24.0, EndRequested("caller_silent")),
        ]

    def test_counted_from_the_end_of_what_the_agent_says(self) -> None:
        one = policy()
        one.happened(events.AgentBegan(), 1.0)
        assert actions(one, 1, 14) == []
        one.happened(events.AgentEnded(), 14.0)
        assert actions(one, 14, 24) == [(24.0, TellModel(NOTE_ASK))]

    def test_from_the_moment_at_which_the_agent_was_cut_off(self) -> None:
        one = policy()
        one.happened(events.AgentBegan(), 1.0)
        one.happened(events.Interrupted("i", 100, 100), 3.0)
        assert actions(one, 3, 13) == [(13.0, TellModel(NOTE_ASK))]

    @pytest.mark.parametrize("by", ["voice", "key"])
    def test_what_the_caller_does_begins_it_anew(self, by: str) -> None:
        one = policy(keypad=SETTINGS.keypad.model_copy(update={"actions": {"5": "ignore"}}))
        assert len(actions(one, 0, 19)) == 2
        if by == "key":
            assert one.pressed("5", 20.0) == []
        else:
            one.happened(events.CallerBegan(), 19.0)
            assert actions(one, 19, 20) == []
            one.happened(events.CallerEnded(), 20.0)
        assert actions(one, 20, 30) == [(30.0, TellModel(NOTE_ASK))]

    def test_a_tool_that_runs_is_no_silence(self) -> None:
        one = policy()
        one.busy(True, 1.0)
        assert actions(one, 1, 40) == []
        one.busy(False, 40.0)
        assert actions(one, 40, 50) == [(50.0, TellModel(NOTE_ASK))]

    def test_asked_to_wait_by_tool_or_by_words(self) -> None:
        by_tool, by_words = policy(), policy()
        by_tool.hold_on(5.0)
        by_words.happened(events.CallerBegan(), 3.0)
        by_words.happened(events.CallerEnded(), 5.0)
        by_words.happened(events.CallerSaid("i", "Hold on a moment, please."), 5.5)
        for one in (by_tool, by_words):
            assert actions(one, 6, 105) == [(105.0, TellModel(NOTE_ASK))]

    def test_words_that_nobody_understood_are_no_request(self) -> None:
        one = policy()
        one.happened(events.CallerSaid("i", None), 5.0)
        assert actions(one, 5, 10) == [(10.0, TellModel(NOTE_ASK))]

    def test_none_where_the_site_wants_none(self) -> None:
        assert actions(policy(silence=None), 0, 300) == []


class TestDeadlines:
    """The driver sets one timer by them: what ticks at the deadlines bring comes as early as with ticks at any time."""

    def at_deadlines(self, one: CallPolicy, end: float) -> list[tuple[float, Action]]:
        found: list[tuple[float, Action]] = []
        while (due := one.next_deadline()) is not None and due <= end:
            found += [(due, action) for action in one.tick(due)]
        return found

    def test_of_silence_and_length(self) -> None:
        assert self.at_deadlines(policy(), 700) == actions(policy(), 0, 700)

    def test_of_keys_and_collections(self) -> None:
        one, other = policy(), policy()
        for each in (one, other):
            each.pressed("4", 1.0)
        assert one.next_deadline() == pytest.approx(1.8)
        assert self.at_deadlines(one, 5) == [(1.8, GiveDigits("4"))] == actions(other, 1, 5)
        one.collect("c1", Collect(first_timeout_s=5, tries=1), 6.0)
        assert one.next_deadline() == 11.0


class TestLength:
    def test_warned_and_ended_for_good(self) -> None:
        told = actions(policy(silence=None), 0, 700)
        assert [at for at, _ in told] == [540.0, 600.0, 600.0]
        assert isinstance(told[0][1], TellModel)
        assert "about a minute longer" in told[0][1].note
        assert told[1:] == [(600.0, TellModel(NOTE_LENGTH)), (600.0, EndRequested("too_long", final=True))]


class TestKeys:
    def test_text_after_the_pause_or_the_terminator(self) -> None:
        one = policy()
        assert [one.pressed(digit, 1.0 + n / 10) for n, digit in enumerate("4711")] == [[]] * 4
        assert actions(one, 1.3, 2.2) == [(2.1, GiveDigits("4711"))]
        assert [one.pressed(digit, 3.0) for digit in "47#"] == [[], [], [GiveDigits("47#")]]

    def test_actions(self) -> None:
        one = policy()
        assert one.pressed("0", 1.0) == []
        assert actions(one, 1, 2) == [(1.8, HumanWanted())]
        assert one.pressed("*", 3.0) + one.pressed("9", 3.2) == [EndRequested("caller_pressed_end", final=True)]
        assert one.pressed("1", 5.0) == []
        assert actions(one, 5, 6) == []


class TestCollecting:
    def done(self, action: Action) -> tuple[str, dict[str, Any]]:
        assert isinstance(action, DigitsCollected)
        return action.call_id, json.loads(action.output)

    def test_the_digits_are_the_calls_result(self) -> None:
        one = policy()
        assert one.collect("c1", Collect(3, 3), 1.0) == []
        assert [one.pressed(digit, 2.0) for digit in "40"] == [[], []]
        [action] = one.pressed("1", 2.5)
        assert self.done(action) == ("c1", {"digits": "401"})

    def test_digits_typed_ahead_count(self) -> None:
        one = policy()
        one.pressed("4", 1.0)
        one.pressed("0", 1.1)
        [action] = one.collect("c1", Collect(2, 2), 1.2)
        assert self.done(action) == ("c1", {"digits": "40"})
        assert actions(one, 1.2, 5) == []

    def test_asked_again_then_given_up_and_nobody_is_asked_whether_they_are_there(self) -> None:
        one = policy()
        one.collect("c1", Collect(first_timeout_s=30, tries=2), 1.0)
        told = actions(one, 1, 61)
        assert [at for at, _ in told] == [31.0, 61.0]
        assert isinstance(told[0][1], TellModel)
        assert "typed nothing" in told[0][1].note
        assert "typed nothing" in self.done(told[1][1])[1]["error"]
        # Then silence counts again.
        assert actions(one, 61.02, 71) == [(71.0, TellModel(NOTE_ASK))]

    def test_the_question_does_not_use_up_the_time(self) -> None:
        one = policy()
        one.happened(events.AgentBegan(), 0.5)
        one.collect("c1", Collect(first_timeout_s=5, tries=1), 1.0)
        assert actions(one, 1, 20) == []
        one.happened(events.AgentEnded(), 20.0)
        [(at, action)] = actions(one, 20, 26)
        assert (at, "error" in self.done(action)[1]) == (25.0, True)

    def test_a_second_one_replaces_the_first(self) -> None:
        one = policy()
        one.collect("c1", Collect(), 1.0)
        one.pressed("4", 1.5)
        [action] = one.collect("c2", Collect(2, 2), 2.0)
        assert self.done(action)[0] == "c1"
        assert "error" in self.done(action)[1]
        # Digits typed for the first tool are not the second's.
        assert one.pressed("7", 2.5) == []
        [action] = one.pressed("8", 3.0)
        assert self.done(action) == ("c2", {"digits": "78"})
        # Nothing keeps the watch over silence busy any more.
        assert actions(one, 3.02, 13) == [(13.0, TellModel(NOTE_ASK))]

    def test_keys_that_do_something_are_digits_meanwhile(self) -> None:
        one = policy()
        one.collect("c1", Collect(1, 1), 1.0)
        [action] = one.pressed("0", 1.5)
        assert self.done(action) == ("c1", {"digits": "0"})


def tone(hz: float, seconds: float) -> bytes:
    at = np.arange(int(8000 * seconds)) / 8000
    return (4000 * np.sin(2 * np.pi * hz * at)).astype("<i2").tobytes()


class TestMachines:
    FAX = tone(1100, 0.5) + bytes(2 * 8000 * 3)

    def hears(self, one: CallPolicy, audio: bytes, start: float) -> list[Action]:
        found: list[Action] = []
        for at in range(0, len(audio), 320):
            found += one.hears(audio[at : at + 320], start + at / 16_000)
        return found

    def test_a_fax_ends_the_call_at_once(self) -> None:
        assert self.hears(policy(), self.FAX, 1.0) == [NobodyThere("fax")]

    def test_ignored_where_the_site_wants_that(self) -> None:
        assert self.hears(policy(machines="ignore"), self.FAX, 1.0) == []

    def test_nobody_listens_for_them_any_more_after_the_first_minute(self) -> None:
        assert self.hears(policy(), self.FAX, MACHINES_FIRST_S + 0.1) == []
