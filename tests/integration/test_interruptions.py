"""What cuts the agent off and what does not, through real SIP and RTP, judged by a model's ears (Silero, a recogniser).

The measurement with 50 replies of each noise is a part of ``make bench``.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ariagent.lab import noisebench
from ariagent.lab.asterisk import AsteriskInstance
from ariagent.lab.noise import Kind
from ariagent.lab.noisebench import AGREEMENT, LONG, SHORT, Cut, NoiseBench, Replies

pytestmark = pytest.mark.asterisk

SNR_DB = 10.0
LONGEST_GAP_MS = 1000
STORY_OFF_MS = 120
"""Frames that are loud or not as the 20 ms raster falls."""
STOPPED_MS = 45
"""After the server's notice."""
SILENT_MS = 200
"""After the caller's first sound, of which the server's turn detection takes about 100."""
BUSY_MS = 60
"""What a loaded machine adds now and then; ``make bench`` has the budget itself."""
LATE_MS = 600
"""Phones and sandbox are one process: on a busy machine it stands still now and then, and what it measures with it."""


@pytest.fixture
async def bench(asterisk: AsteriskInstance, tmp_path: Path) -> AsyncIterator[NoiseBench]:
    async with noisebench.opened(asterisk, tmp_path) as opened:
        yield opened


@pytest.fixture
async def deaf_bench(asterisk: AsteriskInstance, tmp_path: Path) -> AsyncIterator[NoiseBench]:
    """One whose model makes no words of anything: for many calls at once."""
    async with noisebench.opened(asterisk, tmp_path, recogniser=False) as opened:
        yield opened


def whole(replies: Replies, count: int) -> None:
    """Every reply was heard, to its end, nothing of it twice, and nothing was silent for long."""
    assert (replies.heard, replies.missing, replies.cut, replies.whole) == (count, 0, 0, count)
    assert max(replies.longest_gap_ms) <= LONGEST_GAP_MS
    assert replies.loud_ms == pytest.approx([replies.story_ms] * count, abs=STORY_OFF_MS)


def stopped(cuts: list[Cut], *, told: int) -> None:
    """Each was heard soon, and at once where the server told of it: of ``told`` at least. One of each may be late.

    Where noise had begun a turn before, the server says nothing of the words.
    """
    after_notice = [cut.stopped_ms for cut in cuts if cut.stopped_ms is not None]
    assert len(after_notice) >= told, cuts
    for measured, limit_ms in ((after_notice, STOPPED_MS), ([cut.silent_ms for cut in cuts], SILENT_MS)):
        assert sum(ms > limit_ms + BUSY_MS for ms in measured) <= 1, cuts
        assert max(measured) <= LATE_MS, cuts


@pytest.mark.parametrize("kind", ["street", "cough", "babble"])
async def test_noise_does_not_cut_the_agent_off(deaf_bench: NoiseBench, kind: Kind) -> None:
    replies = await deaf_bench.replies(await deaf_bench.noise(kind, SNR_DB), count=6, rounds=1)
    whole(replies, 6)


async def test_nor_do_people_who_talk_before_the_caller_ever_spoke(deaf_bench: NoiseBench) -> None:
    """Nobody knows how loud the caller is; they press keys. Noise of the first seconds is a turn to the server."""
    replies = await deaf_bench.replies(await deaf_bench.noise("babble", SNR_DB), count=6, rounds=2, by_key=True)
    assert (replies.heard, replies.cut, replies.whole) == (12, 0, 12)


@pytest.mark.parametrize("words", AGREEMENT)
async def test_a_caller_who_agrees_does_not_end_the_reply(bench: NoiseBench, words: str) -> None:
    replies = await bench.replies(None, count=2, rounds=1, say=words)
    assert replies.sounds == 2
    whole(replies, 2)


async def test_the_agents_own_voice_does_not_cut_it_off(bench: NoiseBench) -> None:
    """It comes back from the phone 150 ms later, 20 dB weaker."""
    replies = await bench.replies(None, count=3, rounds=1, echo_db=-20)
    whole(replies, 3)


async def test_a_caller_who_interrupts_is_heard_at_once(bench: NoiseBench) -> None:
    cuts = await bench.interruptions(None, LONG, count=3)
    assert [(cut.confirmed, cut.answered) for cut in cuts] == [(True, True)] * 6, cuts
    stopped(cuts, told=6)


@pytest.mark.parametrize("kind", ["street", "babble"])
async def test_also_amid_noise(deaf_bench: NoiseBench, kind: Kind) -> None:
    cuts = await deaf_bench.interruptions(await deaf_bench.noise(kind, SNR_DB), LONG, count=3)
    assert [cut.confirmed for cut in cuts] == [True] * 6, cuts
    stopped(cuts, told=1)


async def test_a_short_word_interrupts_too(bench: NoiseBench) -> None:
    cuts = await bench.interruptions(None, SHORT, count=3)
    assert all(cut.confirmed and cut.answered for cut in cuts), cuts
    stopped(cuts, told=len(cuts))
