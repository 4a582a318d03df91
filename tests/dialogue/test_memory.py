"""The memory of callers who were transferred to human agents."""

from ariagent.dialogue.history import Said
from ariagent.dialogue.memory import KEPT, KEPT_S, Memories, Memory

MEMORY = Memory((Said("caller", "hello"), Said("agent", "good day")), "desk")


def test_is_there_once() -> None:
    memories = Memories()
    memories.keep("1.1", MEMORY, 0.0)
    assert memories.take("1.2", 1.0) is None
    assert memories.take("1.1", 1.0) is MEMORY
    assert memories.take("1.1", 1.0) is None


def test_can_be_looked_at_and_stays() -> None:
    memories = Memories()
    memories.keep("1.1", MEMORY, 0.0)
    assert (memories.knows("1.1", 1.0), memories.knows("1.2", 1.0)) == (True, False)
    assert memories.of("1.1", 1.0) is memories.of("1.1", 1.0) is MEMORY
    assert memories.of("1.2", 1.0) is None
    assert not memories.knows("1.1", KEPT_S + 1)
    assert memories.of("1.1", KEPT_S + 1) is None


def test_the_last_one_counts() -> None:
    memories = Memories()
    memories.keep("1.1", MEMORY, 0.0)
    later = Memory((), "boss")
    memories.keep("1.1", later, KEPT_S)
    assert memories.take("1.1", KEPT_S + 1) is later
    assert len(memories) == 0


def test_is_not_there_for_ever() -> None:
    memories = Memories()
    memories.keep("1.1", MEMORY, 0.0)
    assert memories.take("1.1", KEPT_S + 1) is None


def test_does_not_grow_without_end() -> None:
    memories = Memories()
    for number in range(2 * KEPT):
        memories.keep(str(number), MEMORY, float(number) / 1000)
    assert len(memories) == KEPT
    assert memories.take("0", 1.0) is None
    memories.keep("late", MEMORY, 3 * KEPT_S)
    assert len(memories) == 1
