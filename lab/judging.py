"""``python -m lab judging [LANGUAGE ...]``: how well the end-of-turn judge hears the end of human speech, and its cost.

The speech is that of Debian's ``asterisk-core-sounds-LANGUAGE-wav``: human voices that nobody here synthesised. Each
prompt counts once as a complete turn, and once cut in a pause in its middle. Many prompts are fragments of sentences
themselves, so not every "complete" turn sounds complete.
"""

from __future__ import annotations

import argparse
import statistics
import time
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ariagent.audio import g711
from ariagent.turns import modelfile
from ariagent.turns.features import features
from ariagent.turns.judge import Judge, Judging
from lab.packages import default_lab_dir, ensure_judge, ensure_package

PROMPTS = 45
"""Prompts of a language."""
SHORTEST_S, LONGEST_S = 2.0, 3.0
"""The length of a prompt. Longer ones are often several sentences, and each is a complete turn."""
SILENCE_S = 0.2
"""Noise of the line between the end of speech and the judgement."""
THRESHOLDS = (0.5, 0.7, 0.9)
RATE_HZ = 8_000

Samples = NDArray[np.int16]

_STEP = RATE_HZ // 100
_QUIET = 0.02  # of the loudest step


def main(arguments: Sequence[str]) -> int:
    """Print one row for each language; returns 1 if the model cannot be fetched."""
    parser = argparse.ArgumentParser(prog="python -m lab judging")
    parser.add_argument("languages", nargs="*", default=["en"], metavar="LANGUAGE", help="default: en")
    languages = parser.parse_args(arguments).languages
    lab_dir = default_lab_dir()
    if not ensure_judge(lab_dir):
        return 1
    judge = Judge.open(modelfile.in_lab(lab_dir) / modelfile.MODEL.name)
    for language in languages:
        root = ensure_package(f"asterisk-core-sounds-{language}-wav", lab_dir)
        print(row(language, judge, prompts(root)), flush=True)  # noqa: T201
    print(cost(judge), flush=True)  # noqa: T201
    return 0


def prompts(root: Path) -> list[Samples]:
    """Speech of a package, from its first sound to its last, evenly chosen among those of a fitting length."""
    found = [speech for path in sorted(root.rglob("sounds/*/*.wav")) if (speech := _speech(path)) is not None]
    return found[:: max(1, len(found) // PROMPTS)][:PROMPTS]


def row(language: str, judge: Judging, speech: Sequence[Samples]) -> str:
    """The shares of complete and of cut turns above each threshold."""
    complete = np.array([_judged(judge, each) for each in speech])
    cut = np.array([_judged(judge, each[: pause(each)]) for each in speech])
    shares = " | ".join(f"{np.mean(complete > p):.2f} / {np.mean(cut > p):.2f}" for p in THRESHOLDS)
    return f"| {language}, {len(speech)} prompts | {shares} |"


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


def pause(speech: Samples) -> int:
    """Where the deepest pause between a third and two thirds of a prompt is, in samples."""
    levels = _levels(speech)
    smooth = np.convolve(levels, np.ones(8) / 8, mode="same")
    third = len(levels) // 3
    return int(third + np.argmin(smooth[third : 2 * third])) * _STEP


def _judged(judge: Judging, speech: Samples) -> float:
    """The judgement on speech through a telephone line, ``SILENCE_S`` after its end."""
    hiss = np.random.default_rng(len(speech)).normal(0, 4, int(RATE_HZ * SILENCE_S)).astype(np.int16)
    line = g711.decode_ulaw(g711.encode_ulaw(np.concatenate((speech, hiss))))
    return judge.judge(line.astype("<i2").tobytes(), RATE_HZ)


def _speech(path: Path) -> Samples | None:
    with wave.open(str(path)) as file:
        if file.getframerate() != RATE_HZ or file.getnchannels() != 1:
            return None
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)
    levels = _levels(samples)
    sounding = np.flatnonzero(levels > _QUIET * levels.max(initial=1.0))
    if not len(sounding) or not SHORTEST_S <= (sounding[-1] - sounding[0]) * _STEP / RATE_HZ <= LONGEST_S:
        return None
    return samples[sounding[0] * _STEP : (sounding[-1] + 1) * _STEP]


def _levels(samples: Samples) -> NDArray[np.float64]:
    """The level of each 10 ms."""
    whole = samples[: len(samples) // _STEP * _STEP].reshape(-1, _STEP).astype(np.float64)
    levels: NDArray[np.float64] = np.sqrt(np.mean(whole**2, axis=1))
    return levels
