"""The recogniser of the caller's words: pocketsphinx with the scenario's phrases as its grammar.

A stand-in for a model's hearing. It knows the scenario's phrases and nothing else, and forces other speech onto the
nearest of them.
"""

import asyncio
import logging
import re
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np

from ariagent import extras
from ariagent.errors import ConfigurationError
from ariagent.sandbox.audio import Samples
from ariagent.sandbox.speech import resampled

log = logging.getLogger(__name__)

_HZ = 16_000
_STEP_BYTES = _HZ // 10 * 2
_PAD = bytes(_HZ // 5 * 2)
"""Quiet around the words, which the decoder needs to find their ends."""
_NARROW_HZ = 8_000
_LEVEL = 9_000.0
"""The 95th percentile of the samples' magnitude that the means below belong to."""
_MEANS = "50.5,31.3,-29.4,60.8,-16.2,1.5,20.6,-22.7,14.2,-18.2,4.9,8.8,-17.4"
"""Cepstral means of speech on a telephone (flite's three voices, 8 kHz u-law, at that level)."""
_WORKERS = 2
_LONGEST_WHOLE_BYTES = 6 * _HZ * 2
_QUIET = "quiet_around"
_HEAD = """#JSGF V1.0;
grammar scenario;
<digit> = zero | oh | one | two | three | four | five | six | seven | eight | nine;
<digits> = <digit>+;
"""


def _decoder(**options: Any) -> Any:
    try:
        from pocketsphinx import Decoder
    except ImportError as error:
        raise ConfigurationError(
            f"recognition needs the extra sandbox ({error})",
            remedy=f"Run: {extras.install('sandbox')}, or give --no-recogniser",
        ) from error
    return Decoder(lm=None, samprate=float(_HZ), loglevel="FATAL", **options)


@cache
def _dictionary() -> Any:
    return _decoder()


def known_word(word: str) -> bool:
    """Whether the recogniser's dictionary has this word (lower case)."""
    return _dictionary().lookup_word(word) is not None


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_WORKERS, thread_name_prefix="sandbox-recogniser")


class Recogniser:
    """Recognises the phrases of one grammar; any number of sessions share it. ``phrases`` are JSGF expansions.

    ``pronunciations``: phones (``M AA N Y AA N AH``) of words that the dictionary lacks or has otherwise.
    """

    def __init__(self, phrases: Sequence[str], pronunciations: Mapping[str, str] | None = None) -> None:
        self._whole_phrases = tuple(_as_regular_expression(phrase) for phrase in phrases)
        self._pronunciations = dict(pronunciations or {})
        self._grammar = f"{_HEAD}public <said> = {' | '.join(phrases)};\n" if phrases else ""
        self._of_thread = threading.local()

    async def warm_up(self) -> None:
        """Load the acoustic model, so that the first turn need not wait for it."""
        if self._grammar:
            await asyncio.get_running_loop().run_in_executor(_pool(), self._decoders)

    async def recognise(self, samples: Samples, rate_hz: int) -> str:
        """The phrase that was said, or nothing."""
        if not self._grammar or not len(samples):
            return ""
        return await asyncio.get_running_loop().run_in_executor(_pool(), self._recognise, samples, rate_hz)

    def _decoders(self) -> tuple[Any, ...]:
        """The decoders of this thread: the usual one, and for words of another language one that gives up less
        easily."""
        decoders: tuple[Any, ...] | None = getattr(self._of_thread, "decoders", None)
        if decoders is None:
            decoders = (self._prepared(_decoder(), self._grammar),)
            if self._pronunciations:
                # Their sounds are not those of the acoustic model. Noise, which may stand anywhere in a phrase, would
                # win against them: so only quiet is known, and only around the phrase.
                patient = _decoder(fsgusefiller=False, beam=1e-80, wbeam=1e-60, pbeam=1e-80)
                patient.add_word(_QUIET, "SIL", True)
                around = re.sub("= (.*);\n$", f"= {_QUIET} (\\1) {_QUIET};\n", self._grammar)
                decoders += (self._prepared(patient, around),)
            self._of_thread.decoders = decoders
        return decoders

    def _prepared(self, decoder: Any, grammar: str) -> Any:
        for word, phones in self._pronunciations.items():
            name, number = word, 1
            while decoder.lookup_word(name) is not None:  # one pronunciation more
                number += 1
                name = f"{word}({number})"
            decoder.add_word(name, phones, True)
        decoder.add_jsgf_string("scenario", grammar)
        decoder.activate_search("scenario")
        return decoder

    def _recognise(self, samples: Samples, rate_hz: int) -> str:
        audio = _PAD + _as_on_the_telephone(samples, rate_hz).tobytes() + _PAD
        # In steps, because the decoder holds the interpreter's lock while it works; if that finds no whole phrase, once
        # more as one utterance, over whose whole length its features are then normalised. A sound too long for a phrase
        # is noise, and would stop everything for seconds.
        usual, *others = self._decoders()
        tries = [*((decoder, len(audio)) for decoder in others), (usual, _STEP_BYTES), (usual, len(audio))]
        if len(audio) > _LONGEST_WHOLE_BYTES:
            tries = [(usual, _STEP_BYTES)]
        found = ""
        for decoder, step in tries:
            text = _decode(decoder, audio, step)
            if self._whole(text):
                return text
            found = found or text
        return found

    def _whole(self, text: str) -> bool:
        """Whether this is a phrase and not, as where the decoder has lost its way, the beginning of one."""
        return any(phrase.fullmatch(f"{text} ") for phrase in self._whole_phrases)


def _decode(decoder: Any, audio: bytes, step: int) -> str:
    decoder.set_cmn(_MEANS)  # not what the utterance before left behind: each is heard in the same way
    decoder.start_utt()
    for at in range(0, len(audio), step):
        decoder.process_raw(audio[at : at + step], full_utt=step == len(audio))
    decoder.end_utt()
    found = decoder.hyp()
    return str(found.hypstr).replace(_QUIET, "").strip() if found else ""


_DIGIT = "(?:zero|oh|one|two|three|four|five|six|seven|eight|nine) "
_JSGF = {"[": "(?:", "]": ")?", "(": "(?:", ")": ")", "|": "|", "*": "*", "+": "+"}


def _as_regular_expression(expansion: str) -> re.Pattern[str]:
    """Matches what a JSGF expansion matches: words, each with a space behind it."""
    parts = []
    for token in re.findall(r"<[^>]*>|[\[\]()|*+]|[^\s\[\]()|*+<>]+", expansion):
        if token in ("<digit>", "<digits>"):
            parts.append(f"(?:{_DIGIT})" + ("+" if token == "<digits>" else ""))
        else:
            parts.append(_JSGF.get(token) or f"(?:{re.escape(token)} )")
    return re.compile("".join(parts))


def _as_on_the_telephone(samples: Samples, rate_hz: int) -> Samples:
    """The audio at 16 kHz, but with the band of a telephone and at the usual level, whatever the line was."""
    narrow = resampled(samples, rate_hz, _NARROW_HZ).astype(np.float32)
    level = float(np.percentile(np.abs(narrow), 95)) if len(narrow) else 0.0
    gain = min(_LEVEL / level, 20.0) if level > 0 else 1.0
    return resampled(np.clip(narrow * gain, -32768, 32767).astype(np.int16), _NARROW_HZ, _HZ)
