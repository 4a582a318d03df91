"""``python -m lab judging [LANGUAGE ...]``: how well the end-of-turn judge hears the end of human speech, and its cost.

The speech is that of Debian's ``asterisk-core-sounds-LANGUAGE-wav``: human voices that nobody here synthesised. Each
prompt counts once as a complete turn, and once cut in a pause in its middle. Many prompts are fragments of sentences
themselves, so not every "complete" turn sounds complete. The curve is that of the sentences that the bench plays.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ariagent.audio import g711
from ariagent.turns import modelfile
from ariagent.turns.features import features
from ariagent.turns.judge import Judge, Judging
from lab.packages import default_lab_dir, ensure_judge, ensure_package
from lab.sentences import RATE_HZ, STEP, Samples, levels_of, pause, samples_of, sentences

PROMPTS = 45
"""Prompts of a language."""
SHORTEST_S, LONGEST_S = 2.0, 3.0
"""The length of a prompt. Longer ones are often several sentences, and each is a complete turn."""
SILENCE_S = 0.2
"""Noise of the line between the end of speech and the judgement."""
THRESHOLDS = (0.5, 0.7, 0.9)
CURVE = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Thresholds of the curve."""
HOLDS_MS = (800, 1000, 1200, 1600)
"""Hold times of the curve."""
PAUSES_MS = (500, 600, 700, 800, 1000, 1500)
"""Pauses inside a sentence that an answer may cut into: shorter ones are over before any answer."""
RELEASE_MS = 484
"""End of speech to the answer, if the judge takes the turn for complete: 200 ms of silence, noticed 30 ms late, a model
of 250 ms, and 4 ms."""
LONG_MS = 1000
"""A pause, of which only the beginning is heard."""
SERVER_MS = 784
"""End of speech to the answer, if the server waits for 500 ms of silence."""
AT_ONCE = 0.8
"""The share of whole turns that must be answered at once, so that the response time's p80 keeps its budget."""

_QUIET = 0.02  # of the loudest step


def main(arguments: Sequence[str]) -> int:
    """Print one row or curve for each language; returns 1 if the model cannot be fetched."""
    parser = argparse.ArgumentParser(prog="python -m lab judging")
    parser.add_argument("languages", nargs="*", default=["en"], metavar="LANGUAGE", help="default: en")
    parser.add_argument("--curve", action="store_true", help="print what thresholds and hold times lead to")
    options = parser.parse_args(arguments)
    lab_dir = default_lab_dir()
    if not ensure_judge(lab_dir, without="So there is nothing to measure"):
        return 1
    judge = Judge.open(modelfile.in_lab(lab_dir) / modelfile.MODEL.name)
    for language in options.languages:
        root = ensure_package(f"asterisk-core-sounds-{language}-wav", lab_dir)
        if options.curve:
            spoken = sentences(root)
            whole = [each.samples[: each.ends] for each in spoken]
            cut = [each.samples[: each.with_pause(LONG_MS).pauses_at] for each in spoken]
            print("\n".join(curve(language, Judgements.of(judge, whole, cut))), flush=True)  # noqa: T201
        else:
            speech = prompts(root)
            found = Judgements.of(judge, speech, [each[: pause(each)] for each in speech])
            print(row(language, found), flush=True)  # noqa: T201
    print(cost(judge), flush=True)  # noqa: T201
    return 0


def prompts(root: Path) -> list[Samples]:
    """Speech of a package, from its first sound to its last, evenly chosen among those of a fitting length."""
    found = [speech for path in sorted(root.rglob("sounds/*/*.wav")) if (speech := _speech(path)) is not None]
    return found[:: max(1, len(found) // PROMPTS)][:PROMPTS]


@dataclass(frozen=True, slots=True)
class Judgements:
    """The probabilities for whole turns, and for the same turns cut in a pause."""

    whole: NDArray[np.float64]
    cut: NDArray[np.float64]

    @classmethod
    def of(cls, judge: Judging, whole: Sequence[Samples], cut: Sequence[Samples]) -> Self:
        """Judge all of this speech."""
        return cls(*(np.array([_judged(judge, each) for each in speech]) for speech in (whole, cut)))

    def at_once(self, threshold: float) -> tuple[float, float]:
        """The shares of whole and of cut turns above a threshold."""
        return float(np.mean(self.whole > threshold)), float(np.mean(self.cut > threshold))

    def cut_ins(self, threshold: float, hold_ms: float) -> float:
        """The expected number of cut-ins into one pause of each length of ``PAUSES_MS``."""
        _, cut = self.at_once(threshold)
        return sum(1.0 if ms >= hold_ms else cut if ms > RELEASE_MS else 0.0 for ms in PAUSES_MS)


def row(language: str, found: Judgements) -> str:
    """The shares of complete and of cut turns above each threshold."""
    shares = " | ".join("{:.2f} / {:.2f}".format(*found.at_once(threshold)) for threshold in THRESHOLDS)
    return f"| {language}, {len(found.whole)} prompts | {shares} |"


def curve(language: str, found: Judgements) -> list[str]:
    """A table of what each threshold and hold time leads to, and a line that says whether both budgets can be kept."""
    server = float(sum(ms > SERVER_MS for ms in PAUSES_MS))
    heads = " | ".join(f"cut-ins, hold time {hold} ms" for hold in HOLDS_MS)
    lines = [
        f"| {language}, {len(found.whole)} prompts: threshold | whole turns answered at once | cut turns | {heads} |",
        "|---" * (3 + len(HOLDS_MS)) + "|",
    ]
    kept = []
    for threshold in CURVE:
        whole, cut = found.at_once(threshold)
        sums = [found.cut_ins(threshold, hold) for hold in HOLDS_MS]
        lines.append(f"| {threshold} | {whole:.2f} | {cut:.2f} | {' | '.join(f'{each:.1f}' for each in sums)} |")
        kept += [f"{threshold} with {hold} ms" for hold, each in zip(HOLDS_MS, sums, strict=True)
                 if whole >= AT_ONCE and each < server]  # fmt: skip
    budgets = f"at least {AT_ONCE:.0%} answered at once, fewer than {server:g} cut-ins (the server's)"
    lines.append(f"{language}: {budgets}: {', '.join(kept) or 'no threshold and hold time keep both'}")
    return lines


def cost(judge: Judging) -> str:
    """The time of one core that a judgement takes, and its features alone."""
    noise = np.random.default_rng(1).integers(-3000, 3000, 16_000 * 8, dtype=np.int16)
    spent: dict[str, list[float]] = {"judgement": [], "features": []}
    for _ in range(20):
        began = time.thread_time()
        features(noise)
        middle = time.thread_time()
        judge.judge(noise[::2].tobytes(), RATE_HZ)
        spent["features"].append(middle - began)
        spent["judgement"].append(time.thread_time() - middle)
    return ", ".join(f"{name} {statistics.median(times) * 1000:.1f} ms" for name, times in spent.items())


def _judged(judge: Judging, speech: Samples) -> float:
    """The judgement on speech through a telephone line, ``SILENCE_S`` after its end."""
    hiss = np.random.default_rng(len(speech)).normal(0, 4, int(RATE_HZ * SILENCE_S)).astype(np.int16)
    line = g711.decode_ulaw(g711.encode_ulaw(np.concatenate((speech, hiss))))
    return judge.judge(line.astype("<i2").tobytes(), RATE_HZ)


def _speech(path: Path) -> Samples | None:
    if (samples := samples_of(path)) is None:
        return None
    levels = levels_of(samples)
    sounding = np.flatnonzero(levels > _QUIET * levels.max(initial=1.0))
    if not len(sounding) or not SHORTEST_S <= (sounding[-1] - sounding[0]) * STEP / RATE_HZ <= LONGEST_S:
        return None
    return samples[sounding[0] * STEP : (sounding[-1] + 1) * STEP]
