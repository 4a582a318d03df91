"""A turn whose end the server misses is found by our own ears. Times are literal seconds."""

import numpy as np
import pytest

from ariagent.audio.format import SLIN8
from ariagent.audio.uplink import Uplink
from ariagent.dialogue.caller_turn import LISTEN_EVERY_S, CallerTurn

OVERDUE_S = 3.5


def sine(dbfs: float) -> bytes:
    """20 ms of a 500 Hz sine."""
    at = np.arange(160) / 8000
    return (32768 * 10 ** (dbfs / 20) * np.sqrt(2) * np.sin(2 * np.pi * 500 * at)).astype("<i2").tobytes()


class Line:
    """A caller's line that has been quiet for a second."""

    def __init__(self) -> None:
        self.uplink = Uplink(SLIN8)
        self.turn = CallerTurn(self.uplink)
        self.now = 0.0
        self.hears(1.0, -70)

    def hears(self, seconds: float, dbfs: float) -> bool:
        """Returns whether the turn was found to be over meanwhile."""
        found = False
        for _ in range(round(seconds / 0.02)):
            self.now += 0.02
            self.uplink.received(sine(dbfs), self.now)
            found |= self.turn.missed_end(self.now, OVERDUE_S)
        return found

    def begins(self) -> None:
        self.turn.began(self.uplink.appended_ms, self.now, OVERDUE_S)


@pytest.fixture
def line() -> Line:
    return Line()


def test_without_a_turn_nothing_is_looked_for(line: Line) -> None:
    assert not line.hears(10, -70)
    assert (line.turn.open, line.turn.start_ms, line.turn.next_deadline()) == (False, None, None)


def test_silence_for_the_whole_limit_ends_the_turn(line: Line) -> None:
    line.begins()
    assert not line.hears(2, -20)
    assert line.turn.open
    assert not line.hears(3.0, -70)
    assert line.hears(1.0, -70)
    assert not line.turn.open
    assert line.turn.next_deadline() is None


def test_a_caller_who_goes_on_speaking_is_not_cut_short(line: Line) -> None:
    line.begins()
    for _ in range(5):
        assert not line.hears(1, -20)
        assert not line.hears(1, -70)


def test_it_is_looked_first_when_the_limit_is_over_and_then_now_and_again(line: Line) -> None:
    line.begins()
    began = line.now
    assert line.turn.next_deadline() == began + OVERDUE_S
    line.hears(4, -20)
    due = line.turn.next_deadline()
    assert due is not None
    assert line.now < due <= line.now + LISTEN_EVERY_S


@pytest.mark.parametrize("over", ["ended", "dismissed"])
def test_the_end_of_a_turn_that_is_over_cannot_be_missed(line: Line, over: str) -> None:
    line.begins()
    getattr(line.turn, over)()
    assert not line.hears(10, -70)
    assert line.turn.open == (over == "dismissed"), "the server still has to end the turn that was none"
