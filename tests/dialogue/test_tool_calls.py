"""Tool calls without a result, and what a caller hears who waits; times are literal seconds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.dialogue.tool_calls import PROMPT_AFTER_S, PROMPT_AGAIN_S, OpenToolCalls, WaitingPrompts
from ariagent.realtime.events import ToolCall


def calls(*names: str) -> tuple[ToolCall, ...]:
    return tuple(ToolCall(name, "order", "{}") for name in names)


class TestOpenToolCalls:
    def test_the_model_goes_on_after_the_last_answer_of_a_response(self) -> None:
        opened = OpenToolCalls()
        opened.add(calls("a", "b", "c"), 10.0)
        assert len(opened) > 0
        assert [opened.answered(name) for name in "bca"] == [False, False, True]
        assert len(opened) == 0

    def test_an_answer_that_wants_nothing_more_does_not_make_it_go_on(self) -> None:
        opened = OpenToolCalls()
        opened.add(calls("end"), 10.0)
        assert opened.answered("end", needs_response=False) is False
        assert len(opened) == 0

    @pytest.mark.parametrize("order", ["ab", "ba"])
    def test_one_that_does_is_enough(self, order: str) -> None:
        opened = OpenToolCalls()
        opened.add(calls("a", "b"), 10.0)
        assert [opened.answered(name, needs_response=name == "a") for name in order] == [False, True]

    def test_nothing_is_answered_twice(self) -> None:
        opened = OpenToolCalls()
        opened.add(calls("a"), 10.0)
        assert opened.answered("a") is True
        assert opened.answered("a") is None
        assert opened.answered("never asked") is None

    def test_responses_do_not_wait_for_each_other(self) -> None:
        opened = OpenToolCalls()
        opened.add(calls("slow"), 10.0)
        opened.add(calls("quick"), 10.0)
        assert opened.answered("quick") is True
        assert len(opened) > 0
        assert opened.answered("slow") is True
        assert len(opened) == 0

    @given(st.lists(st.integers(1, 4), max_size=4), st.randoms(use_true_random=False))
    def test_each_response_goes_on_once_in_any_order(self, sizes: list[int], random: Any) -> None:
        opened = OpenToolCalls()
        names = [[f"{batch}.{n}" for n in range(size)] for batch, size in enumerate(sizes)]
        for batch in names:
            opened.add(calls(*batch), 10.0)
        order = [name for batch in names for name in batch]
        random.shuffle(order)
        assert sum(opened.answered(name) is True for name in order) == len(sizes)
        assert len(opened) == 0

    def test_since_when_one_is_waited_for(self) -> None:
        opened = OpenToolCalls()
        opened.add(calls("a"), 10.0)
        opened.add(calls("b"), 12.0)
        assert (opened.since("a"), opened.since("b"), opened.since("c")) == (10.0, 12.0, None)
        opened.answered("a")
        assert opened.since("a") is None


def heard(prompts: WaitingPrompts, start: float, end: float) -> list[tuple[float, str]]:
    """Prompts that the caller hears from ``start`` until before ``end``, asked for at each deadline."""
    found = []
    while (due := prompts.next_deadline()) is not None and (at := max(due, start)) < end:
        if prompt := prompts.due(at):
            found.append((at, prompt))
    return found


class TestWaitingPrompts:
    def test_nobody_waits(self) -> None:
        prompts = WaitingPrompts()
        assert prompts.next_deadline() is None
        assert prompts.due(1000.0) == ""

    def test_a_caller_who_waits_is_given_one_again_and_again(self) -> None:
        prompts = WaitingPrompts()
        prompts.begin("a", "One moment.", 10.0)
        assert prompts.due(10.0 + PROMPT_AFTER_S - 0.01) == ""
        first = 10.0 + PROMPT_AFTER_S
        assert heard(prompts, 10.0, first + 2 * PROMPT_AGAIN_S) == [
            (first, "One moment."),
            (first + PROMPT_AGAIN_S, "One moment."),
        ]
        prompts.end("a")
        assert prompts.next_deadline() is None
        assert prompts.due(1000.0) == ""

    def test_one_without_a_prompt_gives_none(self) -> None:
        prompts = WaitingPrompts()
        prompts.begin("a", "", 10.0)
        assert prompts.next_deadline() is None
        prompts.end("a")

    def test_with_times_of_its_own(self) -> None:
        prompts = WaitingPrompts()
        prompts.begin("session", "tone", 10.0, 0.7, 3.0)
        assert [at for at, _ in heard(prompts, 10.0, 17.0)] == pytest.approx([10.7, 13.7, 16.7])

    def test_who_waits_for_several_things_is_not_given_more_of_them(self) -> None:
        prompts = WaitingPrompts()
        prompts.begin("a", "tone", 10.0)
        prompts.begin("b", "tone", 10.9)
        prompts.begin("c", "One moment.", 11.5)
        assert [at for at, _ in heard(prompts, 10.0, 16.0)] == [11.0, 15.0]
        # One is over; the rhythm stays that of the wait.
        prompts.end("a")
        assert [at for at, _ in heard(prompts, 16.0, 20.0)] == [19.0]

    def test_each_gets_its_turn(self) -> None:
        prompts = WaitingPrompts()
        prompts.begin("a", "tone", 10.0)
        prompts.begin("b", "One moment.", 10.9)
        assert {prompt for _, prompt in heard(prompts, 10.0, 40.0)} == {"tone", "One moment."}

    def test_a_wait_after_a_wait_begins_anew(self) -> None:
        prompts = WaitingPrompts()
        prompts.begin("a", "tone", 10.0)
        assert prompts.due(11.0) == "tone"
        prompts.end("a")
        prompts.begin("b", "tone", 11.5)
        assert prompts.next_deadline() == 12.5
