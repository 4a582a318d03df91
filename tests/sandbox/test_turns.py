"""Turn tracking and the detectors behind it."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.sandbox import audio as sound
from ariagent.sandbox.turns import SpeechStarted, SpeechStopped, TurnTracker, Verdict
from ariagent.sandbox.vad import Energy, ReflexGate, Silero

STEP = 32 * sound.TICKS_PER_MS


def feed(tracker: TurnTracker, probabilities: list[float]) -> list[Any]:
    events = []
    for number, speech in enumerate(probabilities, 1):
        event = tracker.feed(Verdict(number * STEP, STEP, speech))
        if event is not None:
            events.append(event)
    return events


def test_a_turn_starts_after_enough_speech_and_ends_after_enough_silence() -> None:
    tracker = TurnTracker(min_speech_ticks=2 * STEP, prefix_ticks=3 * STEP, silence_ticks=4 * STEP)
    events = feed(tracker, [0] * 10 + [0.9] * 5 + [0] * 10)
    assert events == [SpeechStarted(7 * STEP), SpeechStopped(7 * STEP, 19 * STEP)]


def test_a_click_is_not_a_turn_and_a_dip_does_not_end_one() -> None:
    tracker = TurnTracker(min_speech_ticks=2 * STEP, silence_ticks=4 * STEP)
    assert feed(tracker, [0, 0.9, 0, 0.9, 0, 0]) == []
    tracker = TurnTracker(min_speech_ticks=STEP, silence_ticks=2 * STEP)
    wavering = [0.9, 0.4, 0.4, 0.4, 0.4, 0.9]  # above threshold - 0.15 once the turn is on
    assert len(feed(tracker, wavering)) == 1


def test_padding_does_not_reach_into_the_turn_before() -> None:
    tracker = TurnTracker(prefix_ticks=100 * STEP, silence_ticks=STEP)
    events = feed(tracker, [0.9, 0, 0, 0.9, 0, 0])
    starts = [event.start_tick for event in events if isinstance(event, SpeechStarted)]
    ends = [event.end_tick for event in events if isinstance(event, SpeechStopped)]
    assert starts == [0, ends[0]]


@given(
    st.lists(st.sampled_from([0.0, 0.4, 0.6, 1.0]), max_size=120),
    st.integers(0, 10),
    st.integers(0, 10),
    st.integers(0, 3),
)
def test_turns_alternate_and_never_overlap(speech: list[float], prefix: int, silence: int, least: int) -> None:
    tracker = TurnTracker(
        prefix_ticks=prefix * STEP, silence_ticks=silence * STEP, min_speech_ticks=least * STEP, threshold=0.5
    )
    events = feed(tracker, speech)
    for one, other in itertools.pairwise(events):
        assert type(one) is not type(other)
        if isinstance(one, SpeechStarted):
            assert other.start_tick == one.start_tick < other.end_tick
        else:
            assert other.start_tick >= one.end_tick


def test_energy_and_the_reflex_gate() -> None:
    tone, quiet = sound.tone(20, 8000), np.zeros(160, np.int16)
    assert [v.speech for v in Energy().feed(tone, 8000, 480)] == [1.0]
    assert Energy().feed(quiet, 8000, 960) == [Verdict(960, 480, 0.0)]
    gate = ReflexGate(quiet_ms=60)
    fired = [gate.fires(samples, 480) for samples in (tone, tone, quiet, quiet, tone, quiet, quiet, quiet, tone)]
    assert fired == [True, False, False, False, False, False, False, False, True]


@pytest.mark.parametrize("fmt", [sound.PCM, sound.PCMU])
async def test_silero_tells_speech_from_silence_noise_and_tones(fmt: Any, flite_clip: Any) -> None:
    clip = await flite_clip("What are your opening hours on Saturday?", fmt)
    rng = np.random.default_rng(3)
    second = fmt.rate_hz
    noise = fmt.encode(rng.normal(0, 60, second).astype(np.int16))
    audio = noise + clip + noise
    detector = Silero()
    verdicts = []
    tick = 0
    for at in range(0, len(audio), fmt.n_bytes(20)):
        piece = audio[at : at + fmt.n_bytes(20)]
        tick += fmt.ticks(len(piece))
        verdicts += detector.feed(fmt.decode(piece), fmt.rate_hz, tick)
    assert all(one.end_tick - other.end_tick == other.length_ticks for other, one in itertools.pairwise(verdicts))
    assert tick - 768 < verdicts[-1].end_tick <= tick
    speaking = [(v.end_tick / 24, v.speech > 0.5) for v in verdicts]
    clip_ms = fmt.ms(len(clip))
    inside = [loud for ms, loud in speaking if 1200 < ms < 900 + clip_ms]
    assert sum(inside) / len(inside) > 0.7
    assert not any(loud for ms, loud in speaking if ms < 950 or ms > 1400 + clip_ms)
    detector.reset()
    assert not any(v.speech > 0.5 for v in detector.feed(np.zeros(second, np.int16), fmt.rate_hz, second))


def test_detectors_share_the_network_but_not_their_state() -> None:
    one, other = Silero(), Silero()
    silence = np.zeros(24_000, np.int16)
    before = [verdict.speech for verdict in other.feed(silence, 24_000, 24_000)]
    one.feed(np.random.default_rng(4).normal(0, 9000, 24_000).astype(np.int16), 24_000, 24_000)
    third = Silero()
    assert [verdict.speech for verdict in third.feed(silence, 24_000, 24_000)] == before
