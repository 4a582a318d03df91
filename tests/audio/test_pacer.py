"""Simulations with literal times: spacing, rate, what lateness and early replies do."""

import random
from itertools import pairwise

import pytest

from ariagent.audio.pacer import MAX_DEBT_S, Pacer

TICK = 1e-9


def ms(seconds: float) -> float:
    return round(seconds * 1000, 6)


def run(pacer: Pacer, now: float, frames: int, *, late_s: float = 0.0, speech: bool = False) -> list[float]:
    """Send ``frames`` frames, each ``late_s`` after its deadline; returns when they went."""
    sent = []
    for _ in range(frames):
        now = max(now, pacer.next_deadline()) + late_s
        pacer.frame_sent(now, speech=speech)
        sent.append(now)
    return sent


def spacing(times: list[float]) -> list[float]:
    return [ms(after - before) for before, after in pairwise(times)]


@pytest.fixture
def pacer() -> Pacer:
    pacer = Pacer()
    pacer.start(100.0)
    return pacer


def test_the_first_frame_is_due_at_once(pacer: Pacer) -> None:
    assert pacer.next_deadline() == 100.0


def test_on_time_frames_are_20_ms_apart(pacer: Pacer) -> None:
    assert spacing(run(pacer, 100.0, 6)) == [20, 20, 20, 20, 20]


def test_constant_lateness_does_not_drift(pacer: Pacer) -> None:
    times = run(pacer, 100.0, 50_000, late_s=0.003)
    assert times[-1] == pytest.approx(100.0 + 49_999 * 0.020 + 0.003, abs=1e-6)


def test_one_late_frame_is_caught_up_without_bunching(pacer: Pacer) -> None:
    run(pacer, 100.0, 1)
    late = 100.020 + 0.052
    pacer.frame_sent(late, speech=True)
    times = [late, *run(pacer, late, 12, speech=True)]
    assert spacing(times)[:10] == [15] * 10
    assert spacing(times)[10:] == [18, 20]  # 52 ms were 10 times 5, and 2
    assert pacer.forgiven_s == 0


def test_debt_beyond_the_bound_is_forgiven_and_counted(pacer: Pacer) -> None:
    run(pacer, 100.0, 1)
    pacer.frame_sent(101.020, speech=False)
    assert ms(pacer.forgiven_s) == 800
    times = [101.020, *run(pacer, 101.020, 60)]
    assert min(spacing(times)) == 15
    # 200 ms of debt are worked off, 5 ms at a time; then the rate is even again.
    assert spacing(times)[-10:] == [20] * 10
    assert len([gap for gap in spacing(times) if gap < 20]) == 40
    assert times[-1] == pytest.approx(101.020 - MAX_DEBT_S + 60 * 0.020)


def test_a_reply_starts_at_once_on_a_silent_line(pacer: Pacer) -> None:
    silent = run(pacer, 100.0, 5)
    now = silent[-1] + 0.009
    pacer.speech_ready(now)
    assert pacer.next_deadline() == pytest.approx(now)
    assert ms(pacer.lead_s) == 11


def test_a_reply_waits_until_6_ms_after_the_last_frame(pacer: Pacer) -> None:
    last = run(pacer, 100.0, 5)[-1]
    pacer.speech_ready(last + 0.001)
    assert ms(pacer.next_deadline() - last) == 6


def test_a_reply_that_is_ready_twice_starts_once(pacer: Pacer) -> None:
    last = run(pacer, 100.0, 5)[-1]
    pacer.speech_ready(last + 0.010)
    pacer.speech_ready(last + 0.0105)
    assert ms(pacer.next_deadline() - last) == 10
    assert ms(pacer.lead_s) == 10


def test_a_call_can_start_with_a_reply(pacer: Pacer) -> None:
    pacer.speech_ready(100.0)
    assert pacer.next_deadline() == 100.0
    assert pacer.lead_s == 0


def test_the_phase_gained_is_kept_in_speech_and_given_back_in_silence(pacer: Pacer) -> None:
    last = run(pacer, 100.0, 5)[-1]
    pacer.speech_ready(last + 0.009)
    speech = run(pacer, last, 50, speech=True)
    assert ms(speech[0] - last) == 9
    assert spacing(speech) == [20] * 49
    silence = run(pacer, speech[-1], 8)
    assert spacing([speech[-1], *silence]) == [20, 25, 25, 21, 20, 20, 20, 20]
    assert pacer.lead_s == pytest.approx(0)
    assert silence[-1] == pytest.approx(100.0 + 62 * 0.020)  # the 63rd frame, where it would have been anyway


def test_speech_does_not_hurry_in_mid_speech(pacer: Pacer) -> None:
    last = run(pacer, 100.0, 5, speech=True)[-1]
    pacer.speech_ready(last + 0.006)
    assert ms(pacer.next_deadline() - last) == 20


def test_many_short_replies_gain_at_most_one_interval(pacer: Pacer) -> None:
    now = 100.0
    for _ in range(100):
        now = run(pacer, now, 1)[-1]
        pacer.speech_ready(now)
        now = run(pacer, now, 1, speech=True)[-1]
        assert pacer.lead_s <= 0.020 + TICK
    assert now >= 100.0 + 199 * 0.020 - 0.020 - TICK


def test_lateness_gives_phase_back_too(pacer: Pacer) -> None:
    last = run(pacer, 100.0, 5)[-1]
    pacer.speech_ready(last + 0.010)
    run(pacer, last, 3, speech=True)
    late = pacer.next_deadline() + 0.008
    pacer.frame_sent(late, speech=False)
    assert ms(pacer.lead_s) == 2
    assert ms(pacer.next_deadline() - late) == 20


def test_a_reply_may_start_while_catching_up(pacer: Pacer) -> None:
    run(pacer, 100.0, 1)
    pacer.frame_sent(100.120, speech=False)
    pacer.speech_ready(100.121)
    assert pacer.next_deadline() == pytest.approx(100.126)
    assert pacer.lead_s == 0  # it owed that frame anyway


@pytest.mark.parametrize("seed", range(5))
def test_a_jittery_loop_keeps_rate_and_spacing(seed: int) -> None:
    """Ten minutes of replies and silences on a loop that is 0-2 ms late, now and then 30 ms, replies at any time."""
    dice = random.Random(seed)
    pacer = Pacer()
    now = 5000.0
    pacer.start(now)
    times: list[float] = []
    kicks: set[int] = set()
    stalls: set[int] = set()
    speech_left = 0
    next_reply = now + 1.0
    while now < 5600.0:
        deadline = pacer.next_deadline()
        if not speech_left and next_reply < deadline:
            now = max(now, next_reply)
            speech_left = dice.randrange(1, 300)
            pacer.speech_ready(now)
            kicks.add(len(times))
            deadline = pacer.next_deadline()
        stall = 0.030 if dice.random() < 0.002 else 0.0
        if stall:
            stalls.update({len(times), len(times) + 1})
        now = max(now, deadline) + dice.random() * 0.002 + stall
        pacer.frame_sent(now, speech=speech_left > 0)
        times.append(now)
        if speech_left:
            speech_left -= 1
            next_reply = now + dice.random() * 3
    assert pacer.forgiven_s == 0
    assert abs(len(times) - (now - 5000.0) / 0.020) <= 1 + 0.030 / 0.020
    for at, gap in enumerate(spacing(times), start=1):
        low = 5 if at in kicks else 15
        high = 27 if at not in stalls else 60
        assert low - 1e-3 <= gap <= high, (at, gap)
    assert kicks
    assert stalls


def test_a_restart_forgets_everything(pacer: Pacer) -> None:
    run(pacer, 100.0, 3)
    pacer.speech_ready(100.041)
    pacer.frame_sent(105.0, speech=True)
    pacer.start(200.0)
    assert pacer.next_deadline() == 200.0
    assert pacer.lead_s == pacer.forgiven_s == 0
