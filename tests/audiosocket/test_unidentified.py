"""Connections without an id: the ones that wait, and the ones that give way."""

from hypothesis import given
from hypothesis import strategies as st

from ariagent.audiosocket.unidentified import Waiting


def test_the_oldest_of_a_crowded_address_gives_way() -> None:
    waiting: Waiting[str] = Waiting(2)
    assert waiting.add("a1", "a") is None
    assert waiting.add("a2", "a") is None
    assert waiting.add("b1", "b") is None
    assert waiting.add("a3", "a") == "a1"
    waiting.remove("a1")
    assert waiting.add("b2", "b") is None
    assert waiting.longest() == "a2"
    assert list(waiting) == ["a2", "b1", "a3", "b2"]


def test_who_does_not_wait_can_be_removed() -> None:
    waiting: Waiting[str] = Waiting(2)
    waiting.remove("nobody")
    assert waiting.longest() is None
    assert len(waiting) == 0


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from("abc"), st.booleans()), max_size=200))
def test_no_address_has_more_than_it_may_and_nothing_is_left(steps: list[tuple[int, str, bool]]) -> None:
    waiting: Waiting[int] = Waiting(3)
    here: dict[int, str] = {}
    for stranger, address, comes in steps:
        if comes and stranger not in here:
            here[stranger] = address
            if (gone := waiting.add(stranger, address)) is not None:
                assert here.pop(gone) == address
                waiting.remove(gone)
        else:
            here.pop(stranger, None)
            waiting.remove(stranger)
        assert list(waiting) == list(here)
        assert all(list(here.values()).count(each) <= 3 for each in "abc")
    for stranger in list(here):
        waiting.remove(stranger)
    assert len(waiting) == 0
    assert waiting._by_address == {}
