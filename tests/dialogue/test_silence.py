"""Silence and length at literal times (seconds)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.config import LengthSettings, SilenceSettings
from ariagent.dialogue.silence import Ask, EndLength, Goodbye, Silence, SilenceEvent, WarnLength

SETTINGS = SilenceSettings(ask_after_s=10, ask_again_after_s=8, goodbye_after_s=6, hold_on_s=180)
LENGTH = LengthSettings(longest_s=3600, warn_before_s=60)


@pytest.fixture
def silence() -> Silence:
    return Silence(SETTINGS, LENGTH, 0.0)


def until(silence: Silence, end: float) -> list[tuple[float, SilenceEvent]]:
    """Ticks at each deadline up to ``end``, which says nothing itself."""
    events = []
    while (due := silence.next_deadline()) is not None and due <= end:
        events += [(due, event) for event in silence.tick(due)]
    return events


def test_a_silent_caller_is_asked_twice_and_told_goodbye_once(silence: Silence) -> None:
    assert until(silence, 1000.0) == [(10.0, Ask(1)), (18.0, Ask(2)), (24.0, Goodbye())]


def test_nothing_comes_before_its_time(silence: Silence) -> None:
    assert silence.next_deadline() == 10.0
    assert silence.tick(9.99) == []
    assert silence.tick(10.0) == [Ask(1)]
    assert silence.tick(10.0) == []


def test_silence_is_counted_from_the_agents_last_word(silence: Silence) -> None:
    silence.agent_speaks(1.0)
    assert until(silence, 100.0) == []
    silence.agent_fell_silent(100.0)
    assert silence.tick(110.0) == [Ask(1)]
    silence.agent_speaks(111.0)
    silence.agent_fell_silent(113.0)
    assert until(silence, 1000.0) == [(121.0, Ask(2)), (127.0, Goodbye())]


@pytest.mark.parametrize("word", ["voice", "key"])
def test_the_caller_begins_it_anew(silence: Silence, word: str) -> None:
    assert silence.tick(10.0) == [Ask(1)]
    if word == "voice":
        silence.caller_speaks(12.0)
        assert until(silence, 14.0) == []
        silence.caller_fell_silent(15.0)
    else:
        silence.key_pressed(15.0)
    assert until(silence, 1000.0) == [(25.0, Ask(1)), (33.0, Ask(2)), (39.0, Goodbye())]


def test_a_caller_who_speaks_is_not_silent(silence: Silence) -> None:
    silence.caller_speaks(1.0)
    assert until(silence, 500.0) == []


def test_what_is_busy_is_not_silent(silence: Silence) -> None:
    silence.busy(True, 1.0, "tool")
    silence.busy(True, 2.0, "keypad")
    silence.busy(False, 3.0, "tool")
    assert until(silence, 500.0) == []
    silence.busy(False, 500.0, "keypad")
    assert silence.tick(510.0) == [Ask(1)]


def test_hold_is_a_long_wait(silence: Silence) -> None:
    silence.hold_on(5.0)
    assert until(silence, 1000.0) == [(185.0, Ask(1)), (193.0, Ask(2)), (199.0, Goodbye())]


def test_hold_ends_with_the_callers_voice(silence: Silence) -> None:
    silence.hold_on(5.0)
    silence.caller_speaks(20.0)
    silence.caller_fell_silent(20.0)
    assert silence.tick(30.0) == [Ask(1)]


def test_a_phone_on_hold_has_the_long_wait_and_begins_silence_anew(silence: Silence) -> None:
    assert until(silence, 18.0) == [(10.0, Ask(1)), (18.0, Ask(2))]
    silence.line_held(True, 20.0)
    assert until(silence, 199.0) == []
    silence.line_held(False, 199.0)
    assert until(silence, 217.0) == [(209.0, Ask(1)), (217.0, Ask(2))]
    silence.line_held(True, 220.0)
    assert until(silence, 420.0) == [(400.0, Ask(1)), (408.0, Ask(2)), (414.0, Goodbye())]


def test_a_reason_that_is_told_again_begins_nothing_anew(silence: Silence) -> None:
    silence.busy(False, 5.0)
    assert silence.tick(10.0) == [Ask(1)]


def test_the_callers_words_begin_the_long_wait(silence: Silence) -> None:
    silence.caller_speaks(1.0)
    silence.caller_fell_silent(2.0)
    assert silence.caller_said("Hold on, please.", "en")
    silence.agent_speaks(3.0)
    silence.agent_fell_silent(4.0)
    assert until(silence, 183.0) == []
    assert silence.tick(184.0) == [Ask(1)]


def test_other_words_do_not(silence: Silence) -> None:
    assert not silence.caller_said("I want to know where my order is.", "en")
    assert silence.tick(10.0) == [Ask(1)]


def test_words_of_an_earlier_turn_do_not_either(silence: Silence) -> None:
    silence.caller_speaks(1.0)
    assert not silence.caller_said("Hold on.", "en")
    silence.caller_fell_silent(2.0)
    assert silence.tick(12.0) == [Ask(1)]


def test_without_settings_a_silent_caller_is_left_alone() -> None:
    silence = Silence(None, LENGTH, 0.0)
    assert until(silence, 10_000.0) == [(3540.0, WarnLength(60.0)), (3600.0, EndLength())]
    assert silence.next_deadline() is None


def test_a_call_is_warned_and_ends_once(silence: Silence) -> None:
    silence.caller_speaks(0.0)
    silence.caller_fell_silent(3535.0)
    assert until(silence, 3549.0) == [(3540.0, WarnLength(60.0))]
    assert silence.tick(3600.0) == [EndLength()]
    assert silence.tick(4000.0) == []


def test_a_warning_waits_for_a_pause_in_the_talk(silence: Silence) -> None:
    silence.caller_speaks(1.0)
    assert silence.tick(3545.0) == []
    silence.caller_fell_silent(3550.0)
    assert silence.next_deadline() == 3540.0
    assert silence.tick(3550.0) == [WarnLength(50.0)]


def test_a_warning_waits_half_the_time_that_is_left(silence: Silence) -> None:
    silence.agent_speaks(1.0)
    assert until(silence, 3599.0) == [(3570.0, WarnLength(30.0))]


def test_a_warning_is_the_agents_word_too() -> None:
    silence = Silence(SETTINGS, LengthSettings(longest_s=100, warn_before_s=90), 0.0)
    assert silence.tick(10.0) == [WarnLength(90.0)]
    assert silence.next_deadline() == 20.0


def test_a_call_shorter_than_its_warning_gets_none() -> None:
    silence = Silence(None, LengthSettings(longest_s=30, warn_before_s=60), 0.0)
    assert until(silence, 100.0) == [(30.0, EndLength())]


def test_a_late_tick_after_the_end_only_ends(silence: Silence) -> None:
    assert silence.tick(5000.0) == [EndLength()]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("agent_speaks", "agent_fell_silent", "caller_speaks", "caller_fell_silent", "key_pressed"),
                *("busy", "not_busy", "hold_on", "hold", "unhold", "said", "tick"),
            ]
        ),
        st.floats(0, 40),
    ),
    max_size=80,
)
ORDER: dict[SilenceEvent, int] = {Ask(1): 1, Ask(2): 2, Goodbye(): 3}


@given(STEPS)
def test_in_any_order_each_step_comes_once_and_in_turn(steps: list[tuple[str, float]]) -> None:
    silence = Silence(SETTINGS, LengthSettings(longest_s=600, warn_before_s=60), 0.0)
    inputs: dict[str, Any] = {
        "busy": lambda now: silence.busy(True, now),
        "not_busy": lambda now: silence.busy(False, now),
        "hold": lambda now: silence.line_held(True, now),
        "unhold": lambda now: silence.line_held(False, now),
        "said": lambda now: silence.caller_said("one moment", "en"),
        "tick": lambda now: None,
    }
    now, step = 0.0, 0
    length: list[SilenceEvent] = []
    for what, wait_s in [*steps, ("tick", 700.0)]:
        now += wait_s
        inputs.get(what, getattr(silence, what, None))(now)  # type: ignore[misc]
        if what in ("caller_speaks", "key_pressed", "hold", "unhold"):
            step = 0
        for event in silence.tick(now):
            if event in ORDER:
                step += 1
                assert ORDER[event] == step
                assert not length or isinstance(length[-1], WarnLength)
            else:
                length.append(event)
        deadline = silence.next_deadline()
        assert deadline is None or deadline > now
    assert isinstance(length[-1], EndLength)
    assert [type(event) for event in length] in ([EndLength], [WarnLength, EndLength])
    assert silence.next_deadline() is None
