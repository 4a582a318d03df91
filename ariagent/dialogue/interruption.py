"""Whether a sound in the middle of a reply is the caller interrupting. CORE.

The model's server takes many a sound for speech: a cough, "uh-huh", the phone's echo, people talking in the background.
The agent falls silent at once all the same, as if it were an interruption, and the sound is judged while it lasts: by
its level beside the caller's own and the background's, by its length, and if it is short by its words. Positions are
milliseconds of the uplink, times monotonic seconds.
"""

import re
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import numpy.typing as npt

from ariagent.audio.uplink import LOUD_BLOCK_MS, Uplink
from ariagent.config import InterruptionSettings
from ariagent.dialogue.politeness import is_only_polite
from ariagent.text import unaccented

Levels = npt.NDArray[np.floating]

BACKGROUND_MS = 8_000
ABOVE_BACKGROUND_DB = 10.0
LEAST_DBFS = -45.0
"""Quieter sounds are nobody's who speaks into a telephone."""
LEAST_BELOW_USUAL_DB = 6.0
UNKNOWN_MOST_DBFS = -20.0
"""No more is asked of a caller who has not spoken yet, however loud the background is."""
ABOVE_SOFTEST_DB = 8.0
"""Decibels above the softest tenth. In babble, 1 to 2 % of the levels are higher."""
SOFTEST_PART = 0.1
"""The quantile of the levels that is taken for the background: at least this part of any speech is pauses."""
LEVELS_LEAST = 20
"""Levels of 10 ms; fewer tell nothing about the background."""
SMOOTH_MS = 60
RECENT_MS = 1_500
"""Only what is loud within this time adds up: a background that is loud now and then is no speech."""
QUIET_MS = 300
"""Milliseconds of silence that end a short sound."""
JUDGE_EVERY_S = 0.02
"""Seconds between two looks at a sound that is not judged yet."""
THRESHOLD_EVERY_S = 0.1
"""Seconds for which a threshold holds that comes from the last 8 s: in this time the background hardly changes."""
LONGEST_PAUSE_S = 0.9
"""Seconds of pause after which the reply continues although the sound is not judged yet."""
UNLIKELY_PAUSE_S = 0.7
"""The limit if less than half of the sound that would make it speech was loud."""
BETWEEN_PAUSES_S = 0.3
"""Pauses with less than this of the reply between them are one."""
USUAL_LEAST_MS = 400
"""Loud milliseconds of a turn that tell how loud the caller is; fewer may be a cough."""
WORDS_WAIT_S = 2.5
WORDS_LEAST_MS = 120
"""Milliseconds of loud sound. Words that the server made out of less were not said by the caller."""
UNHEARD_LEAST_MS = 350
"""Milliseconds of loud sound that count as speech even if the server found no words in it."""

UNNOTICED_S, UNNOTICED_BEYOND_S = 1.2, 0.7
"""A sound that is over for this long, and for this much longer than the server waits to end a turn, is not waited
for."""
UNNOTICED_SEMANTIC_S = 2.0
"""Seconds until a sound counts as unnoticed, if the server ends turns by their meaning, after no fixed time."""
NO_SPEECH_DBFS = -50.0
"""Nobody speaks where nothing is louder."""

AGREEMENT = {
    "en": "uh-huh uhuh mm-hmm mhm mhmm mm hm hmm huh aha ah oh yeah yes yep ok okay right sure good fine i see got it",
    "es": "aja ah eh mm mhm hm si ya vale bueno claro bien ok okay de acuerdo entiendo",
    "de": "aha ah mhm hm hmm mm ja jo genau okay ok gut richtig klar ach so verstehe",
    "fr": "ah hm mhm mm oui ouais ok okay d'accord bien voila je vois",
    "it": "ah eh mm mhm hm si ok okay va bene certo bene giusto capisco",
    "pt": "ah hm mhm mm sim ok okay certo claro bem entendo ta",
    "nl": "aha ah mhm hm mm ja jo oke okay ok goed precies juist ik snap het",
}
"""Words by which listeners say that they listen."""


class BargeInDecision(Enum):
    OPEN = "open"
    INTERRUPTION = "interruption"
    AGREEMENT = "agreement"
    """The caller said that they listen."""
    NOISE = "noise"


@dataclass(slots=True)
class _Sound:
    item_ids: tuple[str, ...]
    """The server may tell it in parts."""
    start_ms: float
    threshold_db: float
    threshold_at: float
    """The time at which ``threshold_db`` was found."""
    paused_at: float | None = None
    resumed: bool = False
    most_ms: float = 0.0
    """The most that was loud within RECENT_MS."""
    quiet_since: float | None = None
    """The time at which the sound ended, by its level."""
    ended: tuple[float, float] | None = None
    """When it fell silent, and when the server said so."""
    judge_at: float = 0.0
    told: dict[str, str | None] = field(default_factory=dict)
    """The words by part, as far as they are known."""

    @property
    def words(self) -> str | None:
        """None: no words are known."""
        known = [text for item_id in self.item_ids if (text := self.told.get(item_id)) is not None]
        return " ".join(known) if known else None

    @property
    def transcribed(self) -> bool:
        return len(self.told) == len(self.item_ids)


@dataclass(slots=True)
class BargeInDetector:
    """Judges one sound at a time. ``holds``: the agent is to be silent meanwhile."""

    settings: InterruptionSettings
    uplink: Uplink
    language: str = "en"
    transcribes: bool = True
    """The words of a short sound will be told."""
    _usual_db: float | None = None
    _held_since: float = float("-inf")
    _held_last: float = float("-inf")
    _sound: _Sound | None = field(default=None, init=False)

    @property
    def item_id(self) -> str | None:
        """The turn that is being judged; its newest part, if it has several."""
        return self._sound.item_ids[-1] if self._sound else None

    @property
    def item_ids(self) -> tuple[str, ...]:
        """All parts of the turn that is being judged."""
        return self._sound.item_ids if self._sound else ()

    @property
    def start_ms(self) -> float:
        """The position where the sound that is being judged began."""
        return 0.0 if self._sound is None else self._sound.start_ms

    @property
    def ended(self) -> tuple[float, float] | None:
        """When the sound that is being judged fell silent, and when the server said so; None: it continues."""
        return None if self._sound is None else self._sound.ended

    @property
    def holds(self) -> bool:
        """The agent is to be silent, because of a sound that is not judged yet."""
        sound = self._sound
        return sound is not None and sound.paused_at is not None and not sound.resumed

    def turn_ended(self, start_ms: float) -> None:
        """The caller spoke from there to now while the agent was silent: that is how loud they are.

        Noise that was taken for a turn teaches nothing: too little of it stands out from its own softest moments.
        """
        levels = self._lately(start_ms - QUIET_MS)
        if not levels.size:
            return
        voiced = levels[levels > max(LEAST_DBFS, _quantile(levels, SOFTEST_PART) + ABOVE_SOFTEST_DB)]
        if voiced.size * LOUD_BLOCK_MS < USUAL_LEAST_MS:
            return
        level = _quantile(voiced, 0.5)
        if self._usual_db is None:
            self._usual_db = level
        else:
            # Noise that was taken for a turn is weaker than the caller more often than it is louder.
            weight = 0.5 if level > self._usual_db else 0.2
            self._usual_db += weight * (level - self._usual_db)

    def sound_began(self, item_id: str, start_ms: float, now: float) -> None:
        """The server took something for speech while the agent was being heard."""
        if self._usual_db is None:
            threshold = self._unknown_caller_db()
        else:
            threshold = max(LEAST_DBFS, self._background_db(start_ms) + ABOVE_BACKGROUND_DB)
            # Never so high that the caller's own voice would not pass.
            highest, lowest = self._usual_db - LEAST_BELOW_USUAL_DB, self._usual_db - self.settings.level_db
            threshold = max(min(threshold, highest), lowest)
        self._sound = _Sound((item_id,), start_ms, threshold, now, judge_at=now + JUDGE_EVERY_S)
        # This comes before smoothing and counting: in a true interruption the caller hears every millisecond of delay.
        levels = self.uplink.levels(self.uplink.appended_ms - QUIET_MS)
        if levels.size and levels.max() >= threshold:
            self._pause(self._sound, now)

    def continues(self, item_id: str) -> None:
        """The sound that has ended continues, as another part."""
        if self._sound is not None:
            self._sound.item_ids, self._sound.ended = (*self._sound.item_ids, item_id), None

    def sound_ended(self, item_id: str, fell_silent: float, now: float) -> None:
        """The server says that the turn is over: the caller ``fell_silent`` at that time."""
        if self._sound is not None and self.item_id == item_id:
            self._sound.ended = fell_silent, now

    def said(self, item_id: str, words: str | None) -> None:
        """Take the server's transcript of the turn; None: it found no words."""
        if self._sound is not None and item_id in self._sound.item_ids:
            self._sound.told[item_id] = words

    def close(self) -> None:
        """The sound is judged, or matters no longer."""
        self._sound = None

    def next_deadline(self) -> float | None:
        """The time of the next ``decide``; None: there is no sound to judge."""
        return None if self._sound is None else self._sound.judge_at

    def decide(self, now: float, *, leaving: bool = False, silence_wait_ms: float = 0.0) -> BargeInDecision:
        """Judge the sound so far. ``leaving``: what is interrupted is a goodbye, or precedes a transfer, and thanks are
        agreement, too. ``silence_wait_ms``: how long the server waits in silence before it ends a turn; 0: no fixed
        time."""
        sound = self._sound
        if sound is None:
            return BargeInDecision.OPEN
        sound.judge_at = now + JUDGE_EVERY_S
        if self._usual_db is None and now - sound.threshold_at >= THRESHOLD_EVERY_S:
            # The noise may have begun with the call, or with this sound.
            sound.threshold_db, sound.threshold_at = self._unknown_caller_db(), now
        loud_ms, quiet_ms = self._loud(sound)
        sound.most_ms = max(sound.most_ms, loud_ms)
        if quiet_ms < QUIET_MS:
            sound.quiet_since = None
        elif sound.quiet_since is None:
            sound.quiet_since = now - quiet_ms / 1000
        if sound.paused_at is None and loud_ms >= SMOOTH_MS:
            self._pause(sound, now)
        if loud_ms >= self.settings.speech_ms:
            return BargeInDecision.INTERRUPTION
        if self.holds and sound.paused_at is not None:
            likely = sound.most_ms >= self.settings.speech_ms / 2
            longest_s = LONGEST_PAUSE_S if likely else UNLIKELY_PAUSE_S
            sound.resumed = quiet_ms >= QUIET_MS or now - sound.paused_at >= longest_s
            self._held_last = now
        if sound.ended is None and not sound.transcribed:
            # The server hears nothing of its end: some tell it only when they have an answer.
            unnoticed = self._unnoticed(sound, now, silence_wait_ms)
            return BargeInDecision.INTERRUPTION if unnoticed else BargeInDecision.OPEN
        return self._by_words(sound, now, leaving=leaving)

    def _pause(self, sound: _Sound, now: float) -> None:
        if now - self._held_last > BETWEEN_PAUSES_S:
            self._held_since = now
        self._held_last = now
        sound.paused_at = self._held_since
        sound.resumed = now - self._held_since >= UNLIKELY_PAUSE_S

    def settle(self, *, leaving: bool = False) -> BargeInDecision:
        """The decision on a sound that is over and has no time left for its words."""
        sound = self._sound
        if sound is None:
            return BargeInDecision.OPEN
        if sound.transcribed:
            return self._by_words(sound, 0.0, leaving=leaving)
        return self._unheard(sound)

    def _by_words(self, sound: _Sound, now: float, *, leaving: bool) -> BargeInDecision:
        if sound.transcribed and sound.words is not None:
            spoken = _spoken(sound.words)
            if not spoken or sound.most_ms < WORDS_LEAST_MS:
                return BargeInDecision.NOISE
            agrees = self._agrees(spoken)
            if leaving and is_only_polite(sound.words, self.language, self.settings.agreement):
                agrees = True
            return BargeInDecision.AGREEMENT if agrees else BargeInDecision.INTERRUPTION
        waited = sound.ended is not None and now - sound.ended[1] >= WORDS_WAIT_S
        if self.transcribes and not sound.transcribed and not waited:
            return BargeInDecision.OPEN
        return self._unheard(sound)

    @staticmethod
    def _unnoticed(sound: _Sound, now: float, silence_wait_ms: float) -> bool:
        if sound.quiet_since is None or sound.most_ms < UNHEARD_LEAST_MS:
            return False
        limit_s = UNNOTICED_SEMANTIC_S
        if silence_wait_ms:
            limit_s = max(UNNOTICED_S, silence_wait_ms / 1000 + UNNOTICED_BEYOND_S)
        return now - sound.quiet_since >= limit_s

    @staticmethod
    def _unheard(sound: _Sound) -> BargeInDecision:
        """Decide about a sound without a transcript: only a long one is taken for speech."""
        return BargeInDecision.INTERRUPTION if sound.most_ms >= UNHEARD_LEAST_MS else BargeInDecision.NOISE

    def _agrees(self, spoken: str) -> bool:
        given = self.settings.agreement
        known = " ".join(given) if given is not None else AGREEMENT.get(self.language[:2], AGREEMENT["en"])
        words = set(_spoken(known).split())
        return len(spoken.split()) <= 4 and set(spoken.split()) <= words

    def _loud(self, sound: _Sound) -> tuple[float, float]:
        """How much of the sound was loud lately, and for how long it has not been."""
        since = max(sound.start_ms, self.uplink.appended_ms - RECENT_MS)
        levels = _smooth(self.uplink.levels(since))
        loud = np.flatnonzero(levels >= sound.threshold_db)
        if not loud.size:
            return 0.0, self.uplink.appended_ms - since
        return float(loud.size * LOUD_BLOCK_MS), float((len(levels) - 1 - loud[-1]) * LOUD_BLOCK_MS)

    def _unknown_caller_db(self) -> float:
        """The level that counts as speech while the caller's usual level is not known: from the softest moments of the
        last 8 s."""
        levels = self._lately(0.0)
        if levels.size < LEVELS_LEAST:
            return LEAST_DBFS
        return max(LEAST_DBFS, min(UNKNOWN_MOST_DBFS, _quantile(levels, SOFTEST_PART) + ABOVE_SOFTEST_DB))

    def _lately(self, since_ms: float) -> Levels:
        """Smooth levels from there to now, of the last 8 s at most."""
        return _smooth(self.uplink.levels(max(since_ms, self.uplink.appended_ms - BACKGROUND_MS)))

    def _background_db(self, before_ms: float) -> float:
        levels = self.uplink.levels(before_ms - BACKGROUND_MS)
        n = int((self.uplink.appended_ms - before_ms) / LOUD_BLOCK_MS)
        levels = levels[: max(0, len(levels) - n)]
        return _quantile(levels, 0.3) if levels.size >= LEVELS_LEAST else LEAST_DBFS - ABOVE_BACKGROUND_DB


def loudest_db(levels: Levels) -> float:
    """The level (dBFS) of the loudest 60 ms in these levels, of 10 ms each."""
    smooth = _smooth(levels)
    return float(smooth.max()) if smooth.size else float("-inf")


def anybody_speaks(levels: Levels, voice_db: float) -> bool:
    """Whether there is speech in these levels: it stands out from its own softest moments, or is about as loud as the
    voice that was heard before (``voice_db``)."""
    smooth = _smooth(levels)
    if smooth.size < LEVELS_LEAST:
        return False
    loud = _quantile(smooth, 0.95)
    stands_out = loud >= _quantile(smooth, SOFTEST_PART) + ABOVE_SOFTEST_DB
    return loud >= NO_SPEECH_DBFS and (stands_out or loud >= voice_db - LEAST_BELOW_USUAL_DB)


def _quantile(levels: Levels, part: float) -> float:
    """About what ``np.quantile`` gives, in a twentieth of the time; every turn of every call comes by here."""
    place = int(part * len(levels))
    return float(np.partition(levels, place)[place])


def _smooth(levels: Levels) -> Levels:
    """Running mean of the power over SMOOTH_MS."""
    n = SMOOTH_MS // LOUD_BLOCK_MS
    if levels.size < n:
        return levels
    power = np.convolve(10 ** (levels / 10), np.full(n, 1 / n), "valid")
    smooth: Levels = 10 * np.log10(power)
    return smooth


def _spoken(words: str) -> str:
    """Lower case without accents and signs; "uh-huh" is two words, as some write it."""
    return " ".join(re.findall(r"[^\W_]+(?:'[^\W_]+)*", unaccented(words.casefold())))
