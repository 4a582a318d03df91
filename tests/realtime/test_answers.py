"""Which response answers which turn, and which turns were none."""

from ariagent.realtime.answers import KEPT, MOST_ITEMS, Answers


def test_a_response_answers_the_turn_before_it() -> None:
    answers = Answers()
    assert not answers.turn_ended("u")
    assert answers.awaits("u")
    assert answers.response_started("r", asked_otherwise=False) == "u"
    assert not answers.awaits("u")
    assert not answers.discarded("r")


def test_a_turn_is_answered_once() -> None:
    answers = Answers()
    answers.turn_ended("u")
    answers.response_started("r1", asked_otherwise=False)
    assert answers.response_started("r2", asked_otherwise=False) is None


def test_what_was_asked_for_otherwise_answers_no_turn() -> None:
    answers = Answers()
    answers.turn_ended("u")
    assert answers.response_started("r1", asked_otherwise=True) is None
    assert answers.awaits("u")
    assert answers.response_started("r2", asked_otherwise=False) == "u"


def test_dismissed_before_it_ends() -> None:
    answers = Answers()
    assert answers.dismiss("u") == (False, None)
    assert answers.turn_ended("u")
    assert answers.response_started("r", asked_otherwise=False) == "u"
    assert answers.discarded("r")


def test_dismissed_before_it_is_answered() -> None:
    answers = Answers()
    answers.turn_ended("u")
    assert answers.dismiss("u") == (True, None)
    answers.response_started("r", asked_otherwise=False)
    assert answers.discarded("r")


def test_dismissed_while_it_is_answered() -> None:
    answers = Answers()
    answers.turn_ended("u")
    answers.response_started("r", asked_otherwise=False)
    answers.item_added("r", "a")
    answers.item_added("r", "b")
    answers.item_added("r", "a")
    assert answers.dismiss("u") == (True, "r")
    assert answers.discarded("r")
    assert answers.items("r") == ["a", "b"]


def test_other_turns_keep_their_answers() -> None:
    answers = Answers()
    answers.turn_ended("u1")
    answers.response_started("r1", asked_otherwise=False)
    answers.turn_ended("u2")
    answers.dismiss("u2")
    answers.response_started("r2", asked_otherwise=False)
    assert not answers.discarded("r1")
    assert answers.discarded("r2")


def test_nothing_is_kept_for_ever() -> None:
    answers = Answers()
    for number in range(3 * KEPT):
        answers.turn_ended(f"u{number}")
        answers.response_started(f"r{number}", asked_otherwise=False)
        answers.item_added(f"r{number}", "a")
        answers.dismiss(f"u{number}")
    assert answers.dismiss("u0") == (False, None)
    assert answers.items("r0") == []
    assert answers.items(f"r{3 * KEPT - 1}") == ["a"]
    assert not answers.discarded("r0")


def test_items_of_one_response_are_bounded_and_each_is_known_once() -> None:
    answers = Answers()
    for number in range(2 * MOST_ITEMS):
        answers.item_added("r", f"i{number // 2}")
    assert answers.items("r") == [f"i{number}" for number in range(MOST_ITEMS)]
    answers.item_added("r", "one more")
    assert len(answers.items("r")) == MOST_ITEMS


def test_items_of_responses_that_never_began_are_bounded_too() -> None:
    answers = Answers()
    for number in range(2 * KEPT):
        answers.item_added(f"r{number}", "i")
    assert answers.items("r0") == []
    assert answers.items(f"r{2 * KEPT - 1}") == ["i"]
