"""Both sides of a call, drawn where they belong."""

import itertools
import logging
import time

import pytest
from ariagent.call.waves import KEEP_EVERY_LOOKS, LOOK_FRAMES, Waves

from ariagent.audio.format import SLIN8, SLIN24
from ariagent.audio.peaks import BLOCK_MS
from ariagent.logs import CallLog, Side


class Kept:
    """A call's record."""

    def __init__(self) -> None:
        self.waves: list[tuple[Side, float, bytes]] = []

    def event(self, name: str, at: float, fields: object) -> None:
        raise AssertionError("no events here")

    def wave(self, side: Side, start_s: float, peaks: bytes) -> None:
        self.waves.append((side, start_s, peaks))


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def log(kept: Kept) -> CallLog:
    made = CallLog(logging.getLogger("test"), "c")
    made.record = kept
    return made


LOUD = b"\xff\x7f" * 160


def test_sides_begin_when_their_first_audio_came_counted_from_the_calls_beginning(log: CallLog, kept: Kept) -> None:
    now = time.monotonic()
    waves = Waves(SLIN8, log, now - 7.0)
    waves.agent_sent(None)
    waves.caller_sent(LOUD, now - 2.0)
    waves.caller_sent(LOUD, now)
    waves.close()
    found = {side: (start_s, peaks) for side, start_s, peaks in kept.waves}
    assert set(found) == {"caller", "agent"}
    assert found["caller"][0] == pytest.approx(5.0)
    assert 7.0 - 0.02 <= found["agent"][0] < 9.0
    assert found["caller"][1] == b"\xff"
    assert found["agent"][1] == b"\x00"


def test_audio_from_before_the_call_begins_with_it(log: CallLog, kept: Kept) -> None:
    waves = Waves(SLIN8, log, 100.0)
    waves.caller_sent(LOUD, 99.5)
    waves.close()
    assert next(start_s for side, start_s, _ in kept.waves if side == "caller") == 0.0


@pytest.mark.parametrize("spoken", ["always", "never", "now and then"])
def test_kept_every_ten_seconds_and_without_a_gap(spoken: str, log: CallLog, kept: Kept) -> None:
    waves = Waves(SLIN24, log, time.monotonic())
    frames = 2 * KEEP_EVERY_LOOKS * LOOK_FRAMES + 5

    def loud(number: int) -> bool:
        return spoken == "always" or (spoken == "now and then" and number // 30 % 2 == 1)

    for number in range(frames):
        waves.agent_sent(b"\xff\x7f" * 480 if loud(number) else None)
    assert len([wave for wave in kept.waves if wave[0] == "agent"]) == 2
    waves.close()
    agent = [wave for wave in kept.waves if wave[0] == "agent"]
    assert sum(len(peaks) for _, _, peaks in agent) * BLOCK_MS == pytest.approx(frames * 20, abs=BLOCK_MS)
    for (_, start_s, peaks), (_, following_s, _) in itertools.pairwise(agent):
        assert following_s == pytest.approx(start_s + len(peaks) * BLOCK_MS / 1000)
    # Each block of 50 ms at its place: 0 where none of its audio is loud.
    drawn = b"".join(peaks for _, _, peaks in agent)
    for block, peak in enumerate(drawn):
        covered = range(block * 5 // 2, min(frames, -(-(block + 1) * 5 // 2)))
        assert (peak > 0) == any(loud(n) for n in covered)


def test_without_a_record_nothing_is_needed() -> None:
    waves = Waves(SLIN8, CallLog(logging.getLogger("test"), "c"), 0.0)
    waves.caller_sent(LOUD, 1.0)
    waves.close()
