"""The answer to a sound waits, whole and in order, until the sound is judged."""

from ariagent.dialogue.held_answer import MOST_HELD, HeldAnswer
from ariagent.realtime import events as rt

AUDIO = rt.AudioArrived("a1", bytes(480), "r1")
WORDS = rt.AgentTranscribed("a1", "Good day.", "r1")


def test_nothing_is_held_before_an_answer_is_known() -> None:
    held = HeldAnswer()
    assert not held.takes(AUDIO, 1.0)
    assert not held.takes(rt.AudioArrived("a1", b"", ""), 1.0), "no response is not the one that is held"
    assert held.end() == []


def test_only_the_events_of_the_answer_are_held_with_their_times() -> None:
    held = HeldAnswer()
    held.begin("r1")
    assert held.takes(AUDIO, 1.0)
    assert held.takes(WORDS, 2.0)
    assert not held.takes(rt.AudioArrived("b", bytes(480), "r2"), 3.0)
    assert not held.takes(rt.SpeechStopped("u", 900.0), 3.0)
    assert held.audio_bytes == 480
    assert held.end() == [(AUDIO, 1.0), (WORDS, 2.0)]


def test_afterwards_nothing_is_held_any_more() -> None:
    held = HeldAnswer()
    held.begin("r1")
    held.takes(AUDIO, 1.0)
    held.end()
    assert (held.response_ids, held.audio_bytes) == ((), 0)
    assert not held.takes(AUDIO, 2.0)


def test_a_server_cannot_fill_the_memory() -> None:
    held = HeldAnswer()
    held.begin("r1")
    for _ in range(MOST_HELD):
        held.takes(WORDS, 1.0)
    assert not held.overfull
    held.takes(WORDS, 1.0)
    assert held.overfull


def test_responses_that_follow_are_held_in_their_order() -> None:
    held = HeldAnswer()
    held.begin("r1")
    held.takes(AUDIO, 1.0)
    held.begin("r2")
    second = rt.AudioArrived("b", bytes(480), "r2")
    assert held.takes(second, 2.0)
    assert (held.response_ids, held.audio_bytes) == (("r1", "r2"), 960)
    assert held.end() == [(AUDIO, 1.0), (second, 2.0)]


def test_events_without_their_response_are_of_the_one_that_is_held() -> None:
    held, ended = HeldAnswer(), rt.AudioEnded("a")
    assert not held.takes(ended, 1.0)
    held.begin("r1")
    assert held.takes(ended, 1.0)
