"""Sounds that cut the agent off and sounds that do not, through real SIP and RTP, judged by a model's ears (Silero, a
recogniser).

``make test`` runs one of each kind, ``make noise`` all; the measurement with 50 replies of each noise is a part of
``make bench``.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from ariagent.caller.noise import Kind
from lab import noisebench
from lab.asterisk import AsteriskInstance
from lab.noisebench import AGREEMENT, LONG, SHORT, Cut, NoiseBench, Replies

pytestmark = pytest.mark.asterisk

SNR_DB = 10.0
LONGEST_GAP_MS = 1000
STORY_OFF_MS = 120
"""Frames that are loud or not as the 20 ms raster falls."""
STOPPED_MS = 45
"""After the server's notice."""
SILENT_MS = 300
"""After the caller's first sound, of which the server's turn detection takes 60 to 250: "stop" begins with a hiss."""
BUSY_MS = 60
"""Delay that a loaded machine adds now and then, beside the time for which this process, phones and sandbox with it,
stood still; ``make bench`` has the budget itself."""
LONG_ONE = pytest.mark.noise

SHORT_STORY = "The old lighthouse stands on a rock outside the harbour, and its lamp is lit every evening."
"""The story of ``make test``."""

Measured = TypeVar("Measured")


@pytest.fixture(autouse=True)
def story(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers of ``make test`` listen to a shorter one."""
    if request.node.get_closest_marker("noise") is None:
        monkeypatch.setattr(noisebench, "_SCENARIO", noisebench._SCENARIO.replace(noisebench.STORY, SHORT_STORY))
        monkeypatch.setattr(noisebench, "STORY", SHORT_STORY)


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


def stopped(cuts: list[Cut], still_ms: float, *, told: int) -> None:
    """Each was heard soon, and at once where the server told of it: of ``told`` at least.

    Where noise had begun a turn before, the server says nothing of the words.
    """
    after_notice = [cut.stopped_ms for cut in cuts if cut.stopped_ms is not None]
    assert len(after_notice) >= told, cuts
    assert max(after_notice) <= STOPPED_MS + BUSY_MS + still_ms, cuts
    assert max(cut.silent_ms for cut in cuts) <= SILENT_MS + BUSY_MS + still_ms, cuts


async def judged(measure: Callable[[], Awaitable[Measured]], check: Callable[[Measured, float], None]) -> None:
    """Check what it measures, with the milliseconds for which this process was not let run meanwhile."""
    loop = asyncio.get_running_loop()
    still_s = 0.0

    async def watch() -> None:
        nonlocal still_s
        while True:
            began = loop.time()
            await asyncio.sleep(0.01)
            still_s = max(still_s, loop.time() - began - 0.01)

    watching = asyncio.ensure_future(watch())
    try:
        measured = await measure()
    finally:
        watching.cancel()
    check(measured, 1000 * still_s)


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        pytest.param("babble", 2, marks=pytest.mark.long),
        *(pytest.param(kind, 6, marks=LONG_ONE) for kind in ("street", "cough", "babble")),
    ],
)
async def test_noise_does_not_cut_the_agent_off(deaf_bench: NoiseBench, kind: Kind, count: int) -> None:
    noise = await deaf_bench.noise(kind, SNR_DB)
    await judged(lambda: deaf_bench.replies(noise, count=count, rounds=1), lambda seen, _: whole(seen, count))


@LONG_ONE
async def test_nor_do_people_who_talk_before_the_caller_ever_spoke(deaf_bench: NoiseBench) -> None:
    """Nobody knows how loud the caller is; they press keys. Noise of the first seconds is a turn to the server."""

    def check(seen: Replies, still_ms: float) -> None:
        assert (seen.heard, seen.cut, seen.whole, seen.again) == (12, 0, 12, 0), seen

    babble = await deaf_bench.noise("babble", SNR_DB)
    await judged(lambda: deaf_bench.replies(babble, count=6, rounds=2, by_key=True), check)


@pytest.mark.parametrize("words", [AGREEMENT[0], *(pytest.param(words, marks=LONG_ONE) for words in AGREEMENT[1:])])
async def test_a_caller_who_agrees_does_not_end_the_reply(bench: NoiseBench, words: str) -> None:
    def check(seen: Replies, still_ms: float) -> None:
        assert seen.sounds == 2
        whole(seen, 2)

    await judged(lambda: bench.replies(None, count=2, rounds=1, say=words), check)


@LONG_ONE
async def test_the_agents_own_voice_does_not_cut_it_off(bench: NoiseBench) -> None:
    """It comes back from the phone 150 ms later, 20 dB weaker."""
    await judged(lambda: bench.replies(None, count=2, rounds=1, echo_db=-20), lambda seen, _: whole(seen, 2))


@pytest.mark.parametrize(
    ("texts", "count"),
    [(LONG[:1], 2), pytest.param(LONG, 3, marks=LONG_ONE), pytest.param(SHORT, 3, marks=LONG_ONE)],
    ids=["one long", "long", "short"],
)
async def test_a_caller_who_interrupts_is_heard_at_once(bench: NoiseBench, texts: tuple[str, ...], count: int) -> None:
    total = len(texts) * count

    def check(cuts: list[Cut], still_ms: float) -> None:
        assert [(cut.confirmed, cut.answered) for cut in cuts] == [(True, True)] * total, cuts
        stopped(cuts, still_ms, told=total)

    await judged(lambda: bench.interruptions(None, texts, count=count), check)


@LONG_ONE
@pytest.mark.parametrize("kind", ["street", "babble"])
async def test_also_amid_noise(deaf_bench: NoiseBench, kind: Kind) -> None:
    def check(cuts: list[Cut], still_ms: float) -> None:
        assert [cut.confirmed for cut in cuts] == [True] * 6, cuts
        stopped(cuts, still_ms, told=1)

    noise = await deaf_bench.noise(kind, SNR_DB)
    await judged(lambda: deaf_bench.interruptions(noise, LONG, count=3), check)
