"""Keys at literal times (seconds)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.config import KeypadSettings
from ariagent.dialogue.keypad import (
    LONGEST_INPUT,
    LONGEST_QUESTION_S,
    Action,
    AskAgain,
    Collect,
    Collected,
    CollectFailed,
    Digits,
    Keypad,
    KeypadEvent,
)


def keypad(**settings: Any) -> Keypad:
    return Keypad(KeypadSettings(**settings))


def type_in(pad: Keypad, keys: str, start: float = 0.0, gap: float = 0.1) -> list[KeypadEvent]:
    return [event for n, key in enumerate(keys) for event in pad.press(key, start + n * gap)]


# -- inputs ---------------------------------------------------------------------------------------


def test_the_terminator_ends_an_input_and_is_given_with_it() -> None:
    pad = keypad()
    assert type_in(pad, "4711") == []
    assert pad.press("#", 0.5) == [Digits("4711#")]
    assert pad.next_deadline() is None


def test_a_pause_ends_an_input() -> None:
    pad = keypad(pause_ms=800)
    type_in(pad, "47")
    assert pad.next_deadline() == pytest.approx(0.9)
    assert pad.tick(0.89) == []
    assert pad.tick(0.9) == [Digits("47")]
    assert pad.tick(2.0) == []


def test_a_key_after_the_pause_begins_another_input_though_nobody_ticked() -> None:
    pad = keypad(pause_ms=800)
    type_in(pad, "47")
    assert pad.press("1", 1.0) == [Digits("47")]
    assert pad.tick(1.8) == [Digits("1")]


def test_without_a_terminator_its_key_is_like_any_other() -> None:
    pad = keypad(terminator="")
    assert type_in(pad, "47#1") == []
    assert pad.tick(5.0) == [Digits("47#1")]


def test_what_is_no_key_changes_nothing() -> None:
    pad = keypad()
    assert [pad.press(key, 0.0) for key in ("", "x", "12", "\n")] == [[]] * 4
    assert pad.next_deadline() is None


def test_an_endless_input_is_given_in_pieces() -> None:
    pad = keypad()
    assert type_in(pad, "1" * LONGEST_INPUT + "2") == [Digits("1" * LONGEST_INPUT)]
    assert pad.tick(100.0) == [Digits("2")]


# -- actions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", ["0", "0#"])
def test_an_action_is_a_whole_input(keys: str) -> None:
    pad = keypad(actions={"0": "person"})
    events = type_in(pad, keys)
    assert events + pad.tick(10.0) == [Action("person")]


@pytest.mark.parametrize("keys", ["4710#", "0471#", "00"])
def test_an_actions_key_within_an_input_is_a_digit(keys: str) -> None:
    pad = keypad(actions={"0": "person"})
    events = type_in(pad, keys)
    assert events + pad.tick(10.0) == [Digits(keys)]


def test_an_action_that_no_number_begins_with_is_done_at_once() -> None:
    pad = keypad(actions={"*9": "end_call", "*": "person"})
    assert pad.press("*", 0.0) == []
    assert pad.press("9", 0.1) == [Action("end_call")]
    assert pad.press("*", 1.0) == []
    assert pad.tick(1.8) == [Action("person")]


def test_an_action_that_a_longer_one_begins_with_waits_for_the_pause() -> None:
    pad = keypad(actions={"*1": "person", "*12": "end_call"})
    assert type_in(pad, "*1") == []
    assert pad.tick(0.9) == [Action("person")]
    assert type_in(pad, "*12", start=2.0) == [Action("end_call")]


def test_the_terminator_may_begin_an_action_or_be_one() -> None:
    assert keypad(actions={"#": "person"}).press("#", 0.0) == [Action("person")]
    pad = keypad(actions={"#1": "person"})
    assert type_in(pad, "#1") == [Action("person")]
    assert pad.press("#", 1.0) == []
    assert pad.tick(1.8) == [Digits("#")]


def test_an_ignored_key_does_nothing() -> None:
    pad = keypad(actions={"5": "ignore"})
    assert type_in(pad, "5") == []
    assert pad.tick(0.8) == []
    assert pad.next_deadline() is None


# -- collections ----------------------------------------------------------------------------------


def test_a_collection_ends_at_its_length() -> None:
    pad = keypad(actions={"0": "person"})
    assert pad.collect(Collect(min_length=4, max_length=4), 0.0) == []
    assert type_in(pad, "0710") == [Collected("0710", complete=True)]
    assert not pad.collecting
    assert pad.next_deadline() is None


def test_a_collection_ends_at_its_terminator() -> None:
    pad = keypad()
    pad.collect(Collect(min_length=2, max_length=8, terminator="*"), 0.0)
    assert type_in(pad, "47#*") == [Collected("47#", complete=True)]


def test_a_terminator_after_the_last_digit_is_not_an_input_of_its_own() -> None:
    pad = keypad()
    pad.collect(Collect(min_length=4, max_length=4), 0.0)
    type_in(pad, "4711")
    assert pad.press("#", 1.0) == []
    assert pad.press("#", 1.1) == [Digits("#")]


def test_a_terminator_much_later_is() -> None:
    pad = keypad()
    pad.collect(Collect(min_length=4, max_length=4, digit_timeout_s=5.0), 0.0)
    type_in(pad, "4711")
    assert pad.press("#", 6.0) == [Digits("#")]


@pytest.mark.parametrize(("terminator", "complete"), [("", True), ("#", False)])
def test_enough_digits_and_a_pause_are_a_number(terminator: str, complete: bool) -> None:
    pad = keypad()
    pad.collect(Collect(min_length=2, max_length=8, terminator=terminator, digit_timeout_s=3.0), 0.0)
    type_in(pad, "471")
    assert pad.next_deadline() == pytest.approx(3.2)
    assert pad.tick(3.2) == [Collected("471", complete)]


def test_too_few_digits_are_asked_for_again_until_the_tries_are_used() -> None:
    pad = keypad()
    pad.collect(Collect(min_length=4, max_length=8, tries=3), 0.0)
    assert type_in(pad, "47#") == [AskAgain("too_short", 2)]
    type_in(pad, "12", start=1.0)
    assert pad.tick(7.0) == [AskAgain("too_short", 1)]
    assert pad.press("#", 8.0) == [CollectFailed("too_short")]
    assert not pad.collecting


def test_nothing_typed_is_a_timeout() -> None:
    pad = keypad()
    pad.collect(Collect(first_timeout_s=10.0, tries=2), 0.0)
    assert pad.next_deadline() == 10.0
    assert pad.tick(10.0) == [AskAgain("timeout", 1)]
    assert pad.next_deadline() == 20.0
    assert pad.tick(20.0) == [CollectFailed("timeout")]
    assert pad.next_deadline() is None


def test_the_first_key_is_waited_for_once_the_question_was_heard() -> None:
    pad = keypad()
    pad.agent_speaks(0.0)
    pad.collect(Collect(first_timeout_s=10.0), 1.0)
    assert pad.tick(11.0) == []
    pad.agent_fell_silent(12.0)
    assert pad.next_deadline() == 22.0


def test_a_question_without_end_is_not_waited_for() -> None:
    pad = keypad()
    pad.agent_speaks(0.0)
    pad.collect(Collect(first_timeout_s=10.0, tries=1), 0.0)
    assert pad.tick(LONGEST_QUESTION_S + 10.0) == [CollectFailed("timeout")]


def test_the_agents_voice_does_not_hold_up_a_number_begun() -> None:
    pad = keypad()
    pad.collect(Collect(digit_timeout_s=5.0), 0.0)
    pad.press("4", 1.0)
    pad.agent_speaks(2.0)
    pad.agent_fell_silent(3.0)
    assert pad.next_deadline() == 6.0


def test_digits_typed_ahead_belong_to_the_collection() -> None:
    pad = keypad(pause_ms=800)
    type_in(pad, "47")
    assert pad.collect(Collect(min_length=4, max_length=4), 0.5) == []
    assert type_in(pad, "11", start=2.0) == [Collected("4711", complete=True)]


def test_an_input_that_ended_before_does_not_belong_to_it() -> None:
    pad = keypad(pause_ms=800)
    type_in(pad, "47")
    assert pad.collect(Collect(), 1.0) == [Digits("47")]
    assert pad.press("#", 1.1) == [AskAgain("too_short", 2)]


def test_a_whole_number_typed_ahead_is_collected_at_once_and_the_rest_is_an_input() -> None:
    pad = keypad()
    type_in(pad, "47115")
    assert pad.collect(Collect(min_length=4, max_length=4), 0.5) == [Collected("4711", complete=True)]
    assert pad.tick(2.0) == [Digits("5")]


def test_another_collection_replaces_the_one_that_runs() -> None:
    pad = keypad()
    pad.collect(Collect(), 0.0)
    pad.press("4", 0.1)
    assert pad.collect(Collect(min_length=1, max_length=1), 0.2) == [CollectFailed("replaced")]
    assert pad.press("7", 0.3) == [Collected("7", complete=True)]


def test_a_cancelled_collection_leaves_nothing() -> None:
    pad = keypad()
    pad.collect(Collect(), 0.0)
    pad.press("4", 0.1)
    pad.cancel()
    assert pad.next_deadline() is None
    assert pad.press("#", 0.2) == [Digits("#")]


def test_cancelling_nothing_keeps_what_is_being_typed() -> None:
    pad = keypad()
    pad.press("4", 0.0)
    pad.cancel()
    assert pad.press("#", 0.1) == [Digits("4#")]


@pytest.mark.parametrize(
    "wrong", [{"min_length": 0}, {"min_length": 5, "max_length": 4}, {"tries": 0}, {"first_timeout_s": 0}]
)
def test_a_collection_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Collect(**wrong)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["press", "tick", "collect", "cancel", "agent_speaks", "agent_fell_silent"]),
        st.sampled_from("0123456789*#Ax"),
        st.floats(0, 12),
    ),
    max_size=60,
)
SETTINGS = st.builds(
    KeypadSettings,
    terminator=st.sampled_from(["#", "*", "", "0"]),
    actions=st.dictionaries(
        st.text("0*#12", min_size=1, max_size=3), st.sampled_from(["person", "end_call", "ignore"]), max_size=4
    ),
)
WANTED = st.builds(Collect, st.integers(1, 3), st.integers(3, 6), st.sampled_from(["#", ""]), tries=st.integers(1, 3))


@given(SETTINGS, WANTED, STEPS)
def test_in_any_order_each_collection_ends_once(
    settings: KeypadSettings, wanted: Collect, steps: list[tuple[str, str, float]]
) -> None:
    pad = Keypad(settings)
    now, begun, cancelled = 0.0, 0, 0
    events: list[KeypadEvent] = []
    for what, key, wait_s in [*steps, *[("tick", "", 100.0)] * 4]:
        now += wait_s
        if what == "press":
            events += pad.press(key, now)
        elif what == "tick":
            events += pad.tick(now)
        elif what == "collect":
            begun += 1
            events += pad.collect(wanted, now)
        elif what == "cancel":
            cancelled += pad.collecting
            pad.cancel()
        else:
            getattr(pad, what)(now)
        deadline = pad.next_deadline()
        assert what in ("agent_speaks", "agent_fell_silent", "cancel") or deadline is None or deadline > now
        over = sum(isinstance(event, Collected | CollectFailed) for event in events)
        assert begun - cancelled - over == pad.collecting
    assert not pad.collecting
    assert all(1 <= event.tries_left < wanted.tries for event in events if isinstance(event, AskAgain))
    assert all(wanted.min_length <= len(e.digits) <= wanted.max_length for e in events if isinstance(e, Collected))
