"""The conversation so far, for a new session of the model."""

from hypothesis import given
from hypothesis import strategies as st

from ariagent.dialogue.history import KEPT, History, Said, Used
from ariagent.text import heard_words


def test_what_was_said_in_its_order() -> None:
    history = History()
    history.said("agent", "hello", "i1")
    history.said("caller", "my order", "i2")
    history.said("note", "be brief")
    history.used("c1", "lookup", "{}")
    history.answered("c1", '{"ok": true}')
    assert history.entries == (
        Said("agent", "hello"),
        Said("caller", "my order"),
        Said("note", "be brief"),
        Used("c1", "lookup", "{}", '{"ok": true}'),
    )
    assert history.last_said == ("caller", "my order")
    assert history.digest() == "agent: hello / caller: my order"


def test_what_was_not_heard_was_not_said() -> None:
    history = History()
    history.said("agent", "one two three four", "i1")
    history.cut("i1", 0.4)
    assert history.entries == (Said("agent", "one two ..."),)
    history.cut("i1", 0.0)
    assert history.entries == ()


def test_the_words_may_come_after_the_cut() -> None:
    history = History()
    history.cut("i1", 0.4)
    history.said("agent", "one two three four", "i1")
    assert history.entries == (Said("agent", "one two ..."),)


def test_the_caller_is_heard_whole() -> None:
    history = History()
    history.cut("i1", 0.1)
    history.said("caller", "one two three", "i1")
    assert history.entries == (Said("caller", "one two three"),)


def test_a_call_that_goes_on() -> None:
    history = History()
    history.resume((Said("caller", "before"), Used("c1", "f", "{}")))
    history.said("agent", "after")
    assert history.entries == (Said("caller", "before"), Used("c1", "f", "{}"), Said("agent", "after"))


def test_results_of_unknown_calls_are_nobodys() -> None:
    history = History()
    history.answered("c9", "{}")
    assert history.entries == ()


@given(st.lists(st.sampled_from(["said", "cut", "used"]), max_size=3 * KEPT))
def test_it_does_not_grow_for_ever(happened: list[str]) -> None:
    history = History()
    for number, what in enumerate(happened):
        if what == "said":
            history.said("agent", "words", f"i{number}")
        elif what == "cut":
            history.cut(f"x{number}", 0.5)
        else:
            history.used(f"c{number}", "f", "{}")
    assert len(history.entries) <= KEPT
    assert len(history._parts) <= KEPT


@given(st.text(), st.floats(0, 1))
def test_heard_words_are_the_first_ones(text: str, part: float) -> None:
    heard = heard_words(text, part).removesuffix(" ...")
    assert " ".join(text.split()).startswith(heard)
