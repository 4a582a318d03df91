"""The parts of a turn are told as one. Times are literal seconds."""

from ariagent.dialogue.effects import Happened
from ariagent.dialogue.events import (
    AgentSaid,
    CallerBegan,
    CallerEnded,
    CallerSaid,
    CallerSaidSoFar,
    SoundDismissed,
    TurnTranscribed,
)
from ariagent.dialogue.turn_parts import TurnParts

BEGAN, ENDED = CallerBegan(), CallerEnded()


def length(item_id: str, seconds: float = 1.0, ago_s: float = 0.0, *, believed: bool = True) -> TurnTranscribed:
    return TurnTranscribed(item_id, seconds, True, believed, ago_s)


def told(parts: TurnParts, *happened: Happened, now: float = 10.0) -> list[Happened]:
    return list(parts.joined(happened, now))


def test_a_turn_of_one_part_is_told_as_it_comes() -> None:
    parts = TurnParts()
    assert told(parts, BEGAN) == [BEGAN]
    assert told(parts, length("u1")) == []
    assert told(parts, ENDED) == [length("u1"), ENDED]
    assert told(parts, CallerSaid("u1", "Yes.")) == [CallerSaid("u1", "Yes.")]
    assert list(parts.over(11.0)) == []


def test_two_parts_are_one_turn_with_the_id_of_the_last() -> None:
    parts = TurnParts()
    assert told(parts, BEGAN, length("u1", 1.0), now=10.0) == [BEGAN]
    assert told(parts, CallerSaid("u1", "I would like")) == [CallerSaidSoFar("u1", "I would like")]
    assert told(parts, length("u2", 2.0), now=12.0) == []
    assert told(parts, ENDED, now=12.5) == [length("u2", 3.0, 0.5), ENDED]
    assert told(parts, CallerSaid("u2", "a pizza.")) == [CallerSaid("u2", "I would like a pizza.")]


def test_words_come_in_any_order_and_are_told_in_that_of_the_parts() -> None:
    parts = TurnParts()
    told(parts, BEGAN, length("u1"), length("u2"), CallerSaid("u2", "two"))
    assert told(parts, ENDED)[-1] == ENDED
    assert told(parts, CallerSaid("u1", "one")) == [CallerSaid("u2", "one two")]


def test_the_words_of_an_open_turn_are_told_as_they_come() -> None:
    parts = TurnParts()
    told(parts, BEGAN, length("u1"), length("u2"))
    assert told(parts, CallerSaid("u2", "two")) == [CallerSaidSoFar("u2", "two")]
    assert told(parts, CallerSaid("u1", "one")) == [CallerSaidSoFar("u2", "one two")]
    assert told(parts, length("u3"), CallerSaid("u3", None), length("u4"), CallerSaid("u4", "")) == []


def test_words_that_are_complete_before_the_end_are_told_behind_it() -> None:
    parts = TurnParts()
    told(parts, BEGAN, length("u1"), CallerSaid("u1", "one"))
    assert told(parts, ENDED) == [length("u1"), ENDED, CallerSaid("u1", "one")]


def test_a_part_that_could_not_be_transcribed_is_left_out() -> None:
    parts = TurnParts()
    told(parts, BEGAN, length("u1"), length("u2"), ENDED)
    told(parts, CallerSaid("u1", None))
    assert told(parts, CallerSaid("u2", "two")) == [CallerSaid("u2", "two")]
    told(parts, BEGAN, length("u3"), ENDED)
    assert told(parts, CallerSaid("u3", None)) == [CallerSaid("u3", None)]


def test_a_part_that_cannot_be_believed_makes_the_turn_so() -> None:
    parts = TurnParts()
    told(parts, BEGAN, length("u1", believed=False), length("u2"))
    assert told(parts, ENDED)[0] == length("u2", 2.0, believed=False)


def test_words_that_never_come_are_not_waited_for_beyond_the_next_turn() -> None:
    parts = TurnParts()
    told(parts, BEGAN, length("u1"), CallerSaid("u1", "one"), length("u2"), ENDED)
    assert told(parts, BEGAN, length("u3")) == [BEGAN]
    assert told(parts, ENDED) == [CallerSaid("u2", "one"), length("u3"), ENDED]


def test_the_end_of_the_call_tells_what_is_known() -> None:
    parts = TurnParts()
    told(parts, BEGAN, length("u1"), CallerSaid("u1", "one"), now=10.0)
    assert list(parts.over(10.5)) == [length("u1", ago_s=0.5), CallerSaid("u1", "one")]
    assert list(parts.over(11.0)) == []
    told(parts, BEGAN, length("u2"), ENDED)
    assert list(parts.over(11.0)) == [], "nobody knows its words"


def test_an_end_that_is_told_twice_is_one() -> None:
    parts = TurnParts()
    told(parts, BEGAN, length("u1"), length("u1", 0.0), CallerSaid("u1", "one"))
    assert told(parts, ENDED) == [length("u1"), ENDED, CallerSaid("u1", "one")]


def test_a_sound_that_was_none_is_told_for_itself() -> None:
    parts = TurnParts()
    noise = SoundDismissed("u1", "agreement", 0.0)
    told(parts, length("u1"), CallerSaid("u1", "uh-huh"))
    assert told(parts, noise) == [length("u1"), noise, CallerSaid("u1", "uh-huh")]
    assert told(parts, CallerSaid("u1", "uh-huh")) == [CallerSaid("u1", "uh-huh")]


def test_an_interruption_is_told_with_its_turn() -> None:
    """The end of the sound is known before it is known to be speech."""
    parts = TurnParts()
    assert told(parts, length("u1")) == []
    assert told(parts, BEGAN, CallerSaid("u1", "No."), ENDED) == [
        BEGAN,
        CallerSaidSoFar("u1", "No."),
        length("u1"),
        ENDED,
        CallerSaid("u1", "No."),
    ]


def test_the_rest_passes() -> None:
    said = AgentSaid("a", "Hello.")
    assert told(TurnParts(), said, CallerSaid("u", "of another time"), ENDED) == [
        said,
        CallerSaid("u", "of another time"),
        ENDED,
    ]
