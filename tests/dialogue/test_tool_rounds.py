"""How often the model may call functions without the caller."""

import json

from ariagent.dialogue.tool_rounds import MOST_CALLS, MOST_REFUSED, MOST_REMINDERS, MOST_ROUNDS, Rounds
from ariagent.realtime.events import ToolCall


def calls(count: int = 1, name: str = "order") -> tuple[ToolCall, ...]:
    return tuple(ToolCall(f"c{number}", name, "{}") for number in range(count))


def worn_out() -> Rounds:
    """The model has used its rounds."""
    rounds = Rounds()
    for _ in range(MOST_ROUNDS):
        assert not rounds.must_speak
        assert rounds.called(calls(), 0).run == calls()
    return rounds


def test_a_response_has_no_more_than_eight() -> None:
    share = Rounds().called(calls(3000), 0)
    assert share.run == calls(3000)[:MOST_CALLS]
    assert share.refused == calls(3000)[MOST_CALLS:]
    assert "no more than 8" in json.loads(share.why)["error"]


def test_those_without_a_result_count() -> None:
    assert len(Rounds().called(calls(8), 5).run) == 3
    assert len(Rounds().called(calls(8), 9).run) == 0


def test_after_ten_rounds_the_model_has_to_speak() -> None:
    rounds = worn_out()
    assert rounds.must_speak
    share = rounds.called(calls(2), 0)
    assert (share.run, len(share.refused), share.reminds) == ((), 2, True)
    assert "speak to the caller" in json.loads(share.why)["error"]


def test_the_caller_gives_it_new_rounds() -> None:
    rounds = worn_out()
    rounds.called(calls(), 0)
    rounds.caller_heard()
    assert not rounds.must_speak
    assert rounds.called(calls(), 0).run


def test_a_model_that_never_speaks_is_given_up() -> None:
    rounds = worn_out()
    reminded = [rounds.called(calls(), 0).reminds for _ in range(MOST_REMINDERS)]
    assert (reminded, rounds.hopeless) == ([True] * MOST_REMINDERS, False)
    assert not rounds.called(calls(), 0).reminds
    assert rounds.hopeless


def test_one_that_spoke_waits_for_the_caller() -> None:
    rounds = worn_out()
    rounds.agent_heard()
    for _ in range(MOST_REFUSED):
        assert not rounds.called(calls(), 0).reminds
        assert not rounds.hopeless
    rounds.called(calls(), 0)
    assert rounds.hopeless


def test_what_it_said_before_does_not_count() -> None:
    rounds = Rounds()
    rounds.agent_heard()
    for _ in range(MOST_ROUNDS + MOST_REMINDERS + 1):
        rounds.called(calls(), 0)
    assert rounds.hopeless


def test_it_may_always_say_goodbye() -> None:
    share = worn_out().called((*calls(1), *calls(1, "end_call")), 0)
    assert [call.name for call in share.run] == ["end_call"]
