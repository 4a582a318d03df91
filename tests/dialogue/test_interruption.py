"""The detector of sounds, with a real uplink that is fed made sounds; times are literal seconds."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ariagent.audio.format import SLIN8
from ariagent.audio.uplink import Uplink
from ariagent.caller.noise import single_cough
from ariagent.config.agents import InterruptionSettings
from ariagent.dialogue.interruption import AGREEMENT, LONGEST_PAUSE_S, WORDS_WAIT_S, BargeInDecision, BargeInDetector
from tests.examples import examples

Wave = NDArray[np.float64]
_RNG = np.random.default_rng(7)


def hiss(ms: int, dbfs: float) -> Wave:
    """White noise of that level, 8 kHz."""
    return _RNG.normal(0, 32768 * 10 ** (dbfs / 20), 8 * ms)


def murmur(ms: int, dbfs: float) -> Wave:
    """Noise of about that level that swells and sinks by 4 dB, as people do who talk all at once."""
    swell = np.repeat(10 ** (_RNG.uniform(-4, 4, ms // 200 + 1) / 20), 1600)[: 8 * ms]
    return hiss(ms, dbfs) * swell


def cough(dbfs: float) -> Wave:
    """A fit of coughing whose loudest 60 ms have that level."""
    made = single_cough(3)[::2].astype(float)
    power = np.convolve(made**2, np.full(480, 1 / 480), "valid").max()
    return np.asarray(made * 32768 * 10 ** (dbfs / 20) / np.sqrt(power))


class Line:
    """A caller's line, and the detector that listens to it."""

    def __init__(self, *, transcribes: bool = True, language: str = "en", **given: object) -> None:
        self.uplink = Uplink(SLIN8)
        self.detector = BargeInDetector(InterruptionSettings(**given), self.uplink, language, transcribes=transcribes)  # type: ignore[arg-type]
        self.now = 0.0
        self.held: list[tuple[float, bool]] = []

    def hears(self, sound: Wave) -> BargeInDecision:
        """Frame by frame, judged after each, until there is a decision."""
        pcm = np.clip(sound, -32768, 32767).astype("<i2")
        for at in range(0, len(pcm) - 159, 160):
            self.now += 0.02
            self.uplink.received(pcm[at : at + 160].tobytes(), self.now)
            decision = self.detector.decide(self.now)
            self.held.append((self.now, self.detector.holds))
            if decision is not BargeInDecision.OPEN:
                return decision
        return BargeInDecision.OPEN

    def knows_the_caller(self, dbfs: float = -22, background: float = -70) -> "Line":
        """They spoke before, amid this background."""
        self.hears(hiss(2000, background))
        start = self.uplink.appended_ms
        self.hears(hiss(1000, dbfs))
        self.detector.turn_ended(start)
        self.hears(hiss(1000, background))
        return self

    def sound_begins(self, back_ms: float = 100) -> None:
        self.detector.sound_began("u", max(0.0, self.uplink.appended_ms - back_ms), self.now)

    @property
    def paused_s(self) -> float:
        return 0.02 * sum(holds for _, holds in self.held)


class TestPause:
    def test_is_at_once_where_the_sound_is_loud(self) -> None:
        line = Line().knows_the_caller()
        line.hears(hiss(80, -22))
        line.sound_begins()
        assert line.detector.holds

    def test_is_none_for_what_is_far_below_the_caller(self) -> None:
        line = Line().knows_the_caller(-22)
        line.hears(hiss(80, -40))
        line.sound_begins()
        assert not line.detector.holds
        assert line.hears(hiss(2000, -40)) is BargeInDecision.OPEN
        assert line.paused_s == 0

    def test_comes_when_the_sound_grows_loud(self) -> None:
        line = Line().knows_the_caller()
        line.hears(hiss(80, -40))
        line.sound_begins()
        line.hears(hiss(120, -22))
        assert line.detector.holds

    def test_is_over_soon_after_a_short_sound(self) -> None:
        line = Line().knows_the_caller()
        line.hears(hiss(200, -22))
        line.sound_begins(200)
        assert line.hears(hiss(1000, -70)) is BargeInDecision.OPEN
        assert not line.detector.holds
        assert line.paused_s == pytest.approx(0.3, abs=0.1)

    def test_is_never_longer_than_the_longest(self) -> None:
        line = Line(speech_ms=5000).knows_the_caller()
        line.hears(hiss(60, -22))
        line.sound_begins()
        line.hears(hiss(3000, -22))
        assert line.paused_s <= LONGEST_PAUSE_S
        assert not line.detector.holds


class TestSpeech:
    @pytest.mark.parametrize("background", [-70, -32])
    def test_of_some_length_is_an_interruption_before_it_ends(self, background: float) -> None:
        line = Line().knows_the_caller(-22, background)
        line.hears(hiss(80, -22))
        line.sound_begins(80)
        assert line.hears(hiss(1000, -22)) is BargeInDecision.INTERRUPTION
        assert line.now - 4.0 == pytest.approx(0.66, abs=0.08)

    def test_of_a_caller_who_was_not_heard_before_counts(self) -> None:
        line = Line()
        line.hears(hiss(2000, -60))
        line.hears(hiss(80, -30))
        line.sound_begins()
        assert line.hears(hiss(1000, -30)) is BargeInDecision.INTERRUPTION

    def test_as_long_as_the_settings_say(self) -> None:
        line = Line(speech_ms=1200).knows_the_caller()
        line.hears(hiss(80, -22))
        line.sound_begins()
        assert line.hears(hiss(1000, -22)) is BargeInDecision.OPEN
        assert line.hears(hiss(300, -22)) is BargeInDecision.INTERRUPTION

    def test_amid_noise_that_the_server_took_for_speech_before(self) -> None:
        line = Line().knows_the_caller(-22, -36)
        line.sound_begins()
        assert line.hears(hiss(3000, -36)) is BargeInDecision.OPEN
        assert line.hears(hiss(1000, -22)) is BargeInDecision.INTERRUPTION

    def test_what_is_loud_now_and_then_does_not_add_up(self) -> None:
        line = Line().knows_the_caller()
        line.sound_begins()
        for _ in range(12):
            assert line.hears(np.concatenate([hiss(100, -22), hiss(500, -70)])) is BargeInDecision.OPEN


class TestAnUnknownCaller:
    """One who has not spoken yet, amid noise about as loud as speech."""

    def test_is_not_the_noise_that_began_with_the_call(self) -> None:
        line = Line()
        line.hears(murmur(100, -32))
        line.sound_begins()
        assert line.hears(murmur(20_000, -32)) is BargeInDecision.OPEN
        assert line.paused_s <= LONGEST_PAUSE_S
        assert line.hears(hiss(1000, -20)) is BargeInDecision.INTERRUPTION

    @pytest.mark.parametrize("turn_ms", [2000, 12_000])
    def test_stays_unknown_when_noise_is_taken_for_a_turn(self, turn_ms: int) -> None:
        line = Line()
        line.hears(murmur(12_000, -32))
        line.detector.turn_ended(line.uplink.appended_ms - turn_ms)
        line.hears(murmur(500, -32))
        line.sound_begins()
        assert line.hears(murmur(20_000, -32)) is BargeInDecision.OPEN

    def test_becomes_known_amid_it(self) -> None:
        line = Line()
        line.hears(murmur(9000, -32))
        line.hears(hiss(1000, -20))
        line.hears(murmur(300, -32))
        line.detector.turn_ended(line.uplink.appended_ms - 1300)
        line.hears(hiss(9000, -70))
        line.sound_begins()
        assert line.hears(hiss(2000, -32)) is BargeInDecision.OPEN  # 12 dB below them, though far above the background
        assert line.hears(hiss(800, -22)) is BargeInDecision.INTERRUPTION

    def test_is_confused_with_noise_that_begins_suddenly_until_it_has_lasted(self) -> None:
        """A limit, not a wish: their first words would begin in the same way."""
        for lasted_ms, decision in ((1000, BargeInDecision.INTERRUPTION), (7500, BargeInDecision.OPEN)):
            line = Line()
            line.hears(hiss(9000, -70))
            line.hears(murmur(lasted_ms, -32))
            line.sound_begins()
            assert line.hears(murmur(3000, -32)) is decision

    def test_need_not_shout_where_it_is_loud(self) -> None:
        line = Line()
        line.hears(hiss(9000, -24))
        line.sound_begins()
        assert line.hears(hiss(2000, -24)) is BargeInDecision.OPEN
        assert line.hears(hiss(1000, -18)) is BargeInDecision.INTERRUPTION


class TestWords:
    def short(self, line: Line, loud_ms: int = 300) -> None:
        line.knows_the_caller()
        line.hears(hiss(loud_ms, -22))
        line.sound_begins(loud_ms)
        assert line.hears(hiss(300, -70)) is BargeInDecision.OPEN
        line.detector.sound_ended("u", line.now, line.now)

    @pytest.mark.parametrize(
        ("words", "decision"),
        [
            ("Stop.", BargeInDecision.INTERRUPTION),
            ("No, wait!", BargeInDecision.INTERRUPTION),
            ("no", BargeInDecision.INTERRUPTION),
            ("Okay, but stop.", BargeInDecision.INTERRUPTION),
            ("Uh-huh.", BargeInDecision.AGREEMENT),
            ("uh huh", BargeInDecision.AGREEMENT),
            ("Mm-hmm", BargeInDecision.AGREEMENT),
            ("Okay.", BargeInDecision.AGREEMENT),
            ("I see, okay.", BargeInDecision.AGREEMENT),
            ("", BargeInDecision.NOISE),
            (" ... ", BargeInDecision.NOISE),
        ],
    )
    def test_tell_what_a_short_sound_was(self, words: str, decision: BargeInDecision) -> None:
        line = Line()
        self.short(line)
        assert line.detector.decide(line.now) is BargeInDecision.OPEN
        line.detector.said("u", words)
        assert line.detector.decide(line.now) is decision

    def test_are_those_of_the_agents_language(self) -> None:
        line = Line(language="es-419")
        self.short(line)
        line.detector.said("u", "Sí, ajá.")
        assert line.detector.decide(line.now) is BargeInDecision.AGREEMENT

    def test_or_those_of_the_settings(self) -> None:
        line = Line(agreement=("weiter",))
        self.short(line)
        line.detector.said("u", "Weiter!")
        assert line.detector.decide(line.now) is BargeInDecision.AGREEMENT

    def test_that_nobody_can_have_said_are_noise(self) -> None:
        """Transcribers make words of a click."""
        line = Line().knows_the_caller()
        line.hears(hiss(40, -22))
        line.sound_begins()
        line.hears(hiss(300, -70))
        line.detector.sound_ended("u", line.now, line.now)
        line.detector.said("u", "Thank you for watching.")
        assert line.detector.decide(line.now) is BargeInDecision.NOISE

    @pytest.mark.parametrize(
        ("loud_ms", "decision"), [(200, BargeInDecision.NOISE), (500, BargeInDecision.INTERRUPTION)]
    )
    def test_that_do_not_come_in_time_leave_the_length(self, loud_ms: int, decision: BargeInDecision) -> None:
        line = Line()
        self.short(line, loud_ms)
        ended = line.now
        assert line.detector.decide(ended + WORDS_WAIT_S - 0.1) is BargeInDecision.OPEN
        assert line.detector.decide(ended + WORDS_WAIT_S) is decision

    @pytest.mark.parametrize(
        ("loud_ms", "decision"), [(200, BargeInDecision.NOISE), (500, BargeInDecision.INTERRUPTION)]
    )
    def test_that_failed_do_too(self, loud_ms: int, decision: BargeInDecision) -> None:
        line = Line()
        self.short(line, loud_ms)
        line.detector.said("u", None)
        assert line.detector.decide(line.now) is decision

    def test_are_not_waited_for_without_transcription(self) -> None:
        line = Line(transcribes=False).knows_the_caller()
        line.hears(hiss(200, -22))
        line.sound_begins(200)
        line.hears(hiss(300, -70))
        assert line.detector.decide(line.now) is BargeInDecision.OPEN
        line.detector.sound_ended("u", line.now, line.now)
        assert line.detector.decide(line.now) is BargeInDecision.NOISE

    def test_of_another_turn_mean_nothing(self) -> None:
        line = Line()
        self.short(line)
        line.detector.said("another", "Stop")
        assert line.detector.decide(line.now) is BargeInDecision.OPEN

    @pytest.mark.parametrize(
        ("loud_ms", "decision"), [(200, BargeInDecision.NOISE), (500, BargeInDecision.INTERRUPTION)]
    )
    def test_have_no_time_when_the_next_sound_begins(self, loud_ms: int, decision: BargeInDecision) -> None:
        line = Line()
        self.short(line, loud_ms)
        assert line.detector.settle() is decision


@pytest.mark.parametrize("dbfs", [-38.0, -30.0, -22.0])
def test_a_fit_of_coughing_no_louder_than_the_caller_is_no_speech(dbfs: float) -> None:
    line = Line().knows_the_caller(-22)
    fit = cough(dbfs)
    line.hears(fit[:800])
    line.sound_begins()
    assert line.hears(fit[800:]) is BargeInDecision.OPEN
    assert line.hears(hiss(600, -70)) is BargeInDecision.OPEN
    assert not line.detector.holds
    line.detector.sound_ended("u", line.now, line.now)
    line.detector.said("u", "")
    assert line.detector.decide(line.now) is BargeInDecision.NOISE


def test_without_a_sound_nothing_is_judged() -> None:
    detector = Line().detector
    assert (detector.decide(1.0), detector.settle(), detector.holds, detector.item_id, detector.ended) == (
        BargeInDecision.OPEN,
        BargeInDecision.OPEN,
        False,
        None,
        None,
    )


def test_every_language_knows_how_to_agree() -> None:
    assert all("ok" in words.split() for words in AGREEMENT.values())


Step = Callable[[Line], object]
STEPS: dict[str, Step] = {
    "loud": lambda line: line.hears(hiss(200, -20)),
    "quiet": lambda line: line.hears(hiss(200, -70)),
    "began": Line.sound_begins,
    "ended": lambda line: line.detector.sound_ended("u", line.now, line.now),
    "said": lambda line: line.detector.said("u", "okay"),
    "failed": lambda line: line.detector.said("u", None),
    "turn": lambda line: line.detector.turn_ended(max(0.0, line.uplink.appended_ms - 500)),
}


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=25))
def test_nothing_holds_the_agent_for_ever(steps: list[str]) -> None:
    line = Line()
    for step in steps:
        STEPS[step](line)
        if line.detector.decide(line.now) is not BargeInDecision.OPEN:
            line.detector.close()
    if line.detector.item_id is not None:
        line.detector.sound_ended("u", line.now, line.now)
        assert line.hears(hiss(6000, -70)) is not BargeInDecision.OPEN or line.detector.item_id is None
        line.detector.close()
    assert not line.detector.holds
